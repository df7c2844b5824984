//! What is suppressed: one finding, or a rule's for one person or one source, from when to when; what is over stays over, unheard.

use crate::support::{Database, TENANT};
use std::time::{SystemTime, UNIX_EPOCH};
use store::{
    findings::{Finding, FindingChange, FindingRow},
    suppressions::SuppressionChange,
};
use uuid::Uuid;

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

pub fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

pub fn finding(n: u128, rule: &str, person: &str) -> FindingRow {
    FindingRow {
        tenant: TENANT.into(),
        finding_id: id(n),
        version: 1,
        rule: rule.into(),
        rule_version: 1,
        person: person.into(),
        severity: "high".into(),
        confidence: "proven".into(),
        first_at: 0,
        last_at: 0,
        detail: if person.is_empty() { r#"{"source":"kc"}"#.into() } else { "{}".into() },
        evidence: Vec::new(),
        receipts: Vec::new(),
        content: 0,
    }
}

pub fn change(n: u128, (what, at): (&str, i64), until: Option<i64>) -> FindingChange {
    let by_rules = matches!(what, "opened" | "ended" | "reopened" | "revived" | "withdrawn");
    FindingChange {
        tenant: TENANT.into(),
        finding_id: id(n),
        change_id: Uuid::new_v4(),
        changed_at: at,
        what: what.into(),
        actor: if by_rules { "rules" } else { "ana" }.into(),
        reason: "because".into(),
        until,
        severity: String::new(),
        answers: None,
    }
}

/// A rule is suppressed for a person or source by ana, for whom bo answers.
fn group(n: u128, (rule, kind, subject): (&str, &str, &str), (at, until): (i64, i64)) -> SuppressionChange {
    SuppressionChange {
        tenant: TENANT.into(),
        suppression_id: id(n),
        change_id: Uuid::new_v4(),
        changed_at: at,
        what: "made".into(),
        rule: rule.into(),
        subject_kind: kind.into(),
        subject: subject.into(),
        owner: "bo".into(),
        actor: "ana".into(),
        reason: "accepted".into(),
        until,
    }
}

async fn said(database: &Database, n: u128) -> Finding {
    let all = database.store.findings(TENANT).await.unwrap();
    all.into_iter().find(|one| one.finding_id == id(n)).unwrap()
}

async fn state(database: &Database, n: u128) -> String {
    said(database, n).await.state
}

#[tokio::test]
async fn a_rule_is_suppressed_for_one_person_or_source_until_its_end_and_for_nobody_else() {
    let (database, now) = (Database::new().await, now());
    let of = [(1, "D02", "p1"), (2, "D02", "p2"), (3, "D05", "p1"), (4, "D12", ""), (5, "D11", ""), (6, "D12", "")];
    let rows: Vec<FindingRow> = of.iter().map(|(n, rule, person)| finding(*n, rule, person)).collect();
    database.store.put_findings(&rows).await.unwrap();
    let mut changes: Vec<_> = (1..=6).map(|n| change(n, ("opened", now - DAY), None)).collect();
    // The sixth was over before anybody was silent.
    changes.push(change(6, ("ended", now - 20 * HOUR), None));
    database.store.put_finding_changes(&changes).await.unwrap();
    let person = group(10, ("D02", "person", "p1"), (now - 10 * HOUR, now + DAY));
    let source = group(11, ("D12", "source", "kc"), (now - 10 * HOUR, now + 2 * DAY));
    let over = group(12, ("D11", "source", "kc"), (now - 10 * HOUR, now - HOUR));
    // Somebody else's tenant, and a person who is called as a source.
    let elsewhere =
        SuppressionChange { tenant: "other".into(), ..group(13, ("D05", "person", "p1"), (now - HOUR, now + DAY)) };
    let misnamed = group(14, ("D11", "person", "kc"), (now - HOUR, now + DAY));
    let all = [person.clone(), source, over, elsewhere, misnamed, person];
    database.store.put_suppression_changes(&all).await.unwrap();

    let silent = said(&database, 1).await;
    assert_eq!((silent.state.as_str(), silent.owner.as_str()), ("SUPPRESSED", "bo"));
    assert_eq!((silent.suppressed_until, silent.suppression), (Some(now + DAY), id(10).to_string()));
    assert_eq!(state(&database, 2).await, "OPEN", "another person");
    assert_eq!(state(&database, 3).await, "OPEN", "another rule, and another tenant's word");
    assert_eq!(state(&database, 4).await, "SUPPRESSED");
    assert_eq!(state(&database, 5).await, "OPEN", "its suppression is over");
    let before = said(&database, 6).await;
    assert_eq!((before.state.as_str(), before.over_unheard), ("ENDED", 0), "it was over before anybody was silent");

    // What is opened later is suppressed, too; what ends meanwhile was heard of by nobody; who closes it has the last word.
    database.store.put_findings(&[finding(7, "D12", "")]).await.unwrap();
    let later = [change(7, ("opened", now - 5 * HOUR), None), change(1, ("closed", now), None)];
    database.store.put_finding_changes(&later).await.unwrap();
    assert_eq!((state(&database, 7).await, state(&database, 1).await), ("SUPPRESSED".into(), "CLOSED".into()));
    database.store.put_finding_changes(&[change(7, ("ended", now - 4 * HOUR), None)]).await.unwrap();
    let unheard = said(&database, 7).await;
    assert_eq!((unheard.state.as_str(), unheard.over_unheard), ("ENDED", 1));

    // Ended early, by whom and why: what is open is open.
    let (what, actor, reason) = ("ended".into(), "cy".into(), "mended".into());
    let end = SuppressionChange { what, actor, reason, ..group(11, ("D12", "source", "kc"), (now, now)) };
    database.store.put_suppression_changes(&[end]).await.unwrap();
    assert_eq!(state(&database, 4).await, "OPEN");
    assert_eq!(said(&database, 7).await.over_unheard, 1, "it ended while somebody was silent");
    let listed = database.store.suppressions(TENANT).await.unwrap();
    let one = |n: u128| listed.iter().find(|one| one.suppression_id == id(n)).unwrap();
    assert_eq!(listed.len(), 4, "what is written twice is one");
    assert_eq!((one(11).in_force, one(11).over_at, one(11).until), (0, now, now + 2 * DAY));
    assert_eq!(
        (one(11).ended_by.as_str(), one(11).ended_because.as_str(), one(11).made_by.as_str()),
        ("cy", "mended", "ana")
    );
    assert_eq!((one(10).in_force, one(12).in_force, one(12).ended_by.as_str()), (1, 0, ""));
}

#[tokio::test]
async fn one_finding_is_suppressed_until_its_end_or_until_somebody_ends_it() {
    let (database, now) = (Database::new().await, now());
    database.store.put_findings(&[finding(1, "D02", "p1"), finding(2, "D02", "p2")]).await.unwrap();
    let until = Some(now + DAY);
    let changes = [
        change(1, ("opened", now - DAY), None),
        change(1, ("suppressed", now - 10 * HOUR), until),
        change(2, ("opened", now - DAY), None),
        change(2, ("suppressed", now - 10 * HOUR), Some(now - HOUR)),
    ];
    database.store.put_finding_changes(&changes).await.unwrap();
    let one = said(&database, 1).await;
    assert_eq!((one.state.as_str(), one.suppressed_until, one.suppression.as_str()), ("SUPPRESSED", until, ""));
    assert_eq!(state(&database, 2).await, "OPEN", "its end has come");
    database.store.put_finding_changes(&[change(1, ("unsuppressed", now), None)]).await.unwrap();
    assert_eq!(state(&database, 1).await, "OPEN");
    // It ended while nobody was to be told, and does not come up when the silence ends.
    database.store.put_finding_changes(&[change(2, ("ended", now - 2 * HOUR), None)]).await.unwrap();
    let over = said(&database, 2).await;
    assert_eq!((over.state.as_str(), over.over_unheard), ("ENDED", 1));
}

/// As docs/alerts.md says of a backup: the register was lost, and found anew, before what people did is put back, twice.
#[tokio::test]
async fn what_people_did_may_be_put_back_when_everything_was_found_anew() {
    let (database, now) = (Database::new().await, now());
    let found = [finding(1, "D02", "p1"), finding(2, "D02", "p2"), finding(3, "D12", ""), finding(4, "D05", "p1")];
    // Who finds something again opens it under the same id.
    let opened = |at: i64| (1..=4).map(move |n| FindingChange { change_id: id(n), ..change(n, ("opened", at), None) });
    let opened = |at: i64| opened(at).collect::<Vec<_>>();
    database.store.put_findings(&found).await.unwrap();
    database.store.put_finding_changes(&opened(now - DAY)).await.unwrap();
    let by_people = [
        change(1, ("closed", now - HOUR), None),
        change(2, ("suppressed", now - HOUR), Some(now + DAY)),
        change(4, ("acknowledged", now - HOUR), None),
    ];
    database.store.put_finding_changes(&by_people).await.unwrap();
    let silent = group(10, ("D12", "source", "kc"), (now - HOUR, now + DAY));
    database.store.put_suppression_changes(&[silent]).await.unwrap();
    let states = async || {
        [state(&database, 1).await, state(&database, 2).await, state(&database, 3).await, state(&database, 4).await]
    };
    let before = states().await;
    assert_eq!(before, ["CLOSED", "SUPPRESSED", "SUPPRESSED", "ACKNOWLEDGED"]);

    let sql = database.sql();
    let run = async |text: &str| sql.query(text).execute().await.unwrap();
    let tables = ["finding_change_rows", "suppression_rows"];
    for table in tables {
        let kept = format!("CREATE TABLE kept_{table} ENGINE = MergeTree ORDER BY tuple() AS SELECT * FROM {table}");
        run(&kept).await;
        run(&format!("TRUNCATE TABLE {table}")).await;
    }
    run("TRUNCATE TABLE finding_rows").await;
    database.store.put_findings(&found).await.unwrap();
    database.store.put_finding_changes(&opened(now)).await.unwrap();
    assert_eq!(states().await, ["OPEN"; 4], "what people did is nowhere else");
    for table in tables.into_iter().chain(tables) {
        run(&format!("INSERT INTO {table} SELECT * FROM kept_{table}")).await;
    }
    assert_eq!(states().await, before);
}

/// What stands, as the overview counts it: what somebody looks at or is silent about, too, and what went on after it was closed.
#[tokio::test]
async fn exceptions_are_the_findings_that_stand() {
    let (database, now) = (Database::new().await, now());
    // `reopened` that answers what was said before it; and by a release of before, which said so by its reason.
    let (so_again, of_before) = ("reopened so again", "reopened of before");
    let histories: [(&[&str], bool); 15] = [
        (&["opened", "closed", "ended", so_again], true),
        (&["opened", "closed", of_before], true),
        (&["opened"], true),
        (&["opened", "acknowledged"], true),
        (&["opened", "suppressed"], true),
        (&["opened", "closed"], false),
        // What is found again is no news to whoever closed it.
        (&["opened", "ended", "closed", "reopened"], false),
        (&["opened", "closed", "revived"], true),
        (&["opened", "ended", "closed", "revived"], false),
        (&["opened", "closed", "revived", "closed"], false),
        (&["opened", "ended"], false),
        (&["opened", "withdrawn"], false),
        (&["opened", "ended", "reopened"], true),
        (&["opened", "closed", "acknowledged"], true),
        (&["opened", "closed", "revived", "withdrawn"], false),
    ];
    let mut expected = Vec::new();
    for (n, (history, stands)) in (1..).zip(histories) {
        database.store.put_findings(&[finding(n, "D05", "p1")]).await.unwrap();
        let until = |what: &str| (what == "suppressed").then_some(now + DAY);
        let at = |step: usize| now - DAY + i64::try_from(step).unwrap() * HOUR;
        // The act before it is what it answers.
        let answers = |step: usize| match history[step] {
            "revived" => Some(at(step - 1)),
            what => (what == so_again).then(|| at(step)),
        };
        let steps = history.iter().enumerate().map(|(step, said)| {
            let what = said.split(' ').next().unwrap();
            let made = change(n, (what, at(step)), until(what));
            let began = "it began after somebody had dealt with it".to_owned();
            let reason = if *said == of_before { began } else { made.reason.clone() };
            FindingChange { answers: answers(step), reason, ..made }
        });
        database.store.put_finding_changes(&steps.collect::<Vec<_>>()).await.unwrap();
        if stands {
            expected.push((id(n).to_string(), "high".to_owned(), at(0)));
        }
    }
    let ask = async |from: &str| -> Vec<(String, String, i64)> {
        let sql = format!(
            "SELECT toString(finding_id) AS id, severity, toUnixTimestamp64Milli(opened_at) FROM {from} ORDER BY id"
        );
        database.sql().query(&sql).fetch_all().await.unwrap()
    };
    assert_eq!(ask("exceptions").await, expected);
    let stand = "findings WHERE standing = 'open' AND state IN ('OPEN', 'ACKNOWLEDGED', 'SUPPRESSED')";
    assert_eq!(ask(stand).await, expected, "as the register says");
}

/// An act that is read late, after the rules answered one that was made before it, is not answered by that.
#[tokio::test]
async fn an_act_counts_from_when_it_was_made() {
    let (database, now) = (Database::new().await, now());
    database.store.put_findings(&[finding(1, "D02", "p1")]).await.unwrap();
    let closed = |at, severity: &str| FindingChange { severity: severity.into(), ..change(1, ("closed", at), None) };
    let revived = FindingChange { answers: Some(now - 5 * HOUR), ..change(1, ("revived", now), None) };
    let changes = [change(1, ("opened", now - DAY), None), closed(now - 5 * HOUR, "medium"), revived];
    database.store.put_finding_changes(&changes).await.unwrap();
    assert_eq!(state(&database, 1).await, "OPEN");
    database.store.put_finding_changes(&[closed(now - 4 * HOUR, "high")]).await.unwrap();
    assert_eq!(state(&database, 1).await, "CLOSED");
    // It says nothing that whoever closed it had not seen; then it goes on.
    assert_eq!(database.store.dealt_with(TENANT).await.unwrap(), []);
    let goes_on = FindingRow { version: 2, last_at: now - 3 * HOUR, ..finding(1, "D02", "p1") };
    database.store.put_findings(&[goes_on]).await.unwrap();
    let dealt = database.store.dealt_with(TENANT).await.unwrap();
    let said = dealt.iter().map(|one| (one.handling.as_str(), one.handled_at, one.handled_severity.as_str()));
    assert_eq!(said.collect::<Vec<_>>(), [("closed", now - 4 * HOUR, "high")]);
}
