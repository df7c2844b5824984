//! What the commands say of what was done: explain, trace, access, findings.

use crate::{
    OPERATORS,
    bench::{BUDGET, Bench, REALM, TOKEN_LIFE},
    judged,
    ledger::{Decided, Span, Stand, Story, now},
};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use testbed::Keycloak;

/// The role that the group's members have in Backstage.
const ROLE: &str = "role:default/operators";

pub async fn a_group_that_came_and_went(story: &Story<'_>, keycloak: &Keycloak) {
    let rows = judged::as_done(story, "pia");
    // The first of those that were stale is exposure, and of those that were early pending, but on a machine so busy that it came late.
    let verdicts: BTreeSet<&str> = rows.iter().map(|(row, _)| row["verdict"].as_str().unwrap()).collect();
    assert!(verdicts.is_superset(&["agrees", "violation"].into()), "{verdicts:?}");
    assert!(["pending_grant", "denied_with_right"].iter().any(|early| verdicts.contains(early)), "{verdicts:?}");
    let group = keycloak.admin().group_id(REALM, OPERATORS).await.unwrap();
    explained(story, &rows, &group);
    traced(story, &rows);
    had_on_each_clock(story.bench, &rows);
    let beyond: Vec<&Value> = rows.iter().map(|(row, _)| row).filter(|row| row["verdict"] == "violation").collect();
    let found = finding(story.bench, "D01", |one| one["values"]["decisions"] == beyond.len());
    let stale = |row: &Value| row["delay_ms"].as_f64().unwrap() / 1_000.0;
    assert_eq!(found["person"], beyond[0]["person"], "{found}");
    let values = &found["values"];
    assert_eq!((&values["clock"], &values["permission"]), (&json!("catalog"), &beyond[0]["permission"]), "{found}");
    assert_eq!(values["groups"], json!([group]), "{found}");
    let longest = beyond.iter().map(|row| stale(row)).fold(0.0, f64::max);
    assert!((values["staleness_seconds"].as_f64().unwrap() - longest).abs() < 0.01, "{longest}: {found}");
}

/// The last decision that was stale: each ground with who says so, in numbers and in words.
fn explained(story: &Story<'_>, rows: &[(Value, Decided)], group: &str) {
    let (row, done) = rows.iter().rfind(|(row, _)| row["verdict"] == "violation").unwrap();
    let person = &story.people["pia"];
    let id = row["event_id"].as_str().unwrap();
    let told = story.bench.json(&["explain", id]);
    assert_eq!(told["source"], "backstage");
    assert_eq!(told["budget_ms"].as_u64().map(u128::from), Some(BUDGET.as_millis()));
    assert_eq!((&told["session"]["source_id"], &told["session"]["ended_at"]), (&json!("keycloak"), &Value::Null));
    assert_eq!(told["session"]["session_id"], person.session.keycloak_session.as_str());
    let ids: BTreeSet<&str> =
        told["names"].as_array().unwrap().iter().map(|n| n["user_id"].as_str().unwrap()).collect();
    assert_eq!(ids, [person.id.as_str()].into());
    let support = told["decision"]["support"].as_array().unwrap();
    let [path] = support.as_slice() else { panic!("{support:?}") };
    let policy = "catalog.location.create|create|allow";
    for (step, expected) in [group, "", "group:default/sre", ROLE, policy].into_iter().enumerate() {
        assert_eq!(path[step], expected, "{path}");
    }
    assert_eq!(told["right_names"][group], OPERATORS);
    let Stand::Taken(taken) = done.stand else { panic!("{done:?}") };
    let grants = told["grants"].as_array().unwrap();
    let held = grants.iter().max_by_key(|grant| grant["held_from"].as_i64()).unwrap();
    let (from, to) = (held["held_from"].as_i64().unwrap(), held["held_to"].as_i64().unwrap());
    let given = rows.iter().rev().find_map(|(_, done)| match done.stand {
        Stand::Given(given) => Some(given),
        _ => None,
    });
    assert!(within(given.unwrap(), from) && within(taken, to), "{held}");
    let proof =
        [&told["decision"]["event_id"], &told["decision"]["credential"], &held["granted_in"], &held["removed_in"]];
    for event in proof {
        assert!(told["receipts"][event.as_str().unwrap()].as_str().unwrap().contains('/'), "{event}: {told:#}");
    }
    assert_eq!(told["missing_events"], json!([]));
    let text = story.bench.text(&["explain", id]);
    let seconds = format!("{:.3} s after the last right went; 2.000 s are allowed", to_seconds(&row["delay_ms"]));
    for words in ["violation: allowed although", &seconds, "several tokens", "/engineering/sre", ROLE] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

fn to_seconds(ms: &Value) -> f64 {
    ms.as_f64().unwrap() / 1_000.0
}

fn within(span: Span, at: i64) -> bool {
    (span.from..=span.to).contains(&at)
}

/// Both servers' events in one order, each decision with its verdict.
fn traced(story: &Story<'_>, rows: &[(Value, Decided)]) {
    let told = story.bench.json(&["trace", "person", "pia"]);
    let events = told["events"].as_array().unwrap();
    let wanted = rows.iter().map(|(row, _)| [&row["event_id"], &row["verdict"], &row["delay_ms"]]);
    let told: Vec<[&Value; 3]> = events
        .iter()
        .filter(|event| event["judged"] != Value::Null)
        .map(|event| [&event["event_id"], &event["judged"]["verdict"], &event["judged"]["delay_ms"]])
        .collect();
    assert_eq!(told, wanted.collect::<Vec<_>>());
    let session = &story.people["pia"].session.keycloak_session;
    let sessions: BTreeSet<&str> = events.iter().filter_map(|event| event["session_id"].as_str()).collect();
    assert_eq!(sessions.into_iter().filter(|id| !id.is_empty()).collect::<Vec<_>>(), [session.as_str()]);
    let last = rows.last().unwrap().0["event_id"].as_str().unwrap();
    let told = story.bench.json(&["trace", "decision", last]);
    let kinds: BTreeSet<&str> = told["events"].as_array().unwrap().iter().filter_map(|e| e["kind"].as_str()).collect();
    assert!(kinds.contains("login") && kinds.contains("decision"), "{kinds:?}");
}

/// What she had by Keycloak, and by what the catalog had heard, when each of the decisions was made.
fn had_on_each_clock(bench: &Bench, rows: &[(Value, Decided)]) {
    let has = |at: i64, clock: &str| {
        let at = jiff::Timestamp::from_millisecond(at).unwrap().to_string();
        let told = bench.json(&["access", "pia", "--at", &at, "--clock", clock]);
        told["rights"].as_array().unwrap().iter().any(|right| right["right_id"] == ROLE)
    };
    let at = |which: &dyn Fn(&Decided) -> bool| {
        let found = rows.iter().find(|(_, done)| which(done));
        found.unwrap().0["at"].as_i64().unwrap()
    };
    let times = [
        at(&|done| matches!(done.stand, Stand::Never)),
        at(&|done| done.unheard && !done.allowed),
        at(&|done| done.allowed && matches!(done.stand, Stand::Given(_))),
        at(&|done| done.unheard && done.allowed),
        rows.last().unwrap().0["at"].as_i64().unwrap(),
    ];
    let had = times.map(|at| ["keycloak", "catalog"].map(|clock| has(at, clock)));
    assert_eq!(had, [[false, false], [true, false], [true, true], [false, true], [false, false]]);
}

/// Waits for a finding of a rule that fits, with its values.
pub fn finding(bench: &Bench, rule: &str, fits: impl Fn(&Value) -> bool) -> Value {
    bench.until(rule, || {
        let mut found = bench.json(&["findings", "list", "--all", "--rule", rule]);
        for one in found.as_array_mut().unwrap() {
            one["values"] = serde_json::from_str(one["detail"].as_str().unwrap()).unwrap();
        }
        found.as_array().unwrap().iter().find(|one| fits(one)).cloned()
    })
}

/// The account ended when it did; whatever was allowed since is told with the token's end as its bound.
pub fn a_disabled_person(story: &Story<'_>) {
    let rows = judged::as_done(story, "sven");
    let (last, done) = rows.last().unwrap();
    let Stand::Disabled(ended) = done.stand else { panic!("{done:?}") };
    let told = story.bench.json(&["explain", last["event_id"].as_str().unwrap()]);
    assert_eq!(told["budget_ms"].as_u64().map(u128::from), Some(TOKEN_LIFE.as_millis()));
    let access = story.bench.json(&["access", "sven"]);
    let account = access["account"].as_array().unwrap();
    assert!(account.len() == 1 && within(ended, account[0]["held_from"].as_i64().unwrap()), "{access:#}");
    let allowed = rows.iter().filter(|(_, done)| matches!(done.stand, Stand::Disabled(_))).count();
    let found = finding(story.bench, "D02", |one| one["values"]["allowed"] == allowed);
    assert_eq!((&found["person"], &found["severity"]), (&last["person"], &json!("medium")), "{found}");
    assert_eq!(found["values"]["tokens_issued"], 0, "a refresh and a login were refused: {found}");
    assert!(within(ended, found["values"]["ended_at_ms"].as_i64().unwrap()), "{found}");
}

/// Keycloak's console takes a role by a request of its own, whose event names no role. Until roles are read again nobody can know which.
pub async fn a_role_that_the_console_took(bench: &Bench, keycloak: &Keycloak) {
    let admin = keycloak.admin();
    let quinn = admin.user_id(REALM, "quinn").await.unwrap();
    let holder = format!("users/{quinn}");
    let role = admin.get(&format!("{REALM}/roles/deployer")).await.unwrap()["id"].clone();
    let held = || {
        let told = bench.json(&["access", "quinn"]);
        told["rights"].as_array().unwrap().iter().find(|right| right["right_id"] == role).cloned()
    };
    let from = now();
    admin.grant_role(REALM, &holder, "deployer").await.unwrap();
    let given = Span { from, to: now() };
    let right = bench.until("the role is not told", held);
    assert!(within(given, right["held_from"].as_i64().unwrap()) && right["rests_on_gap"] == 0, "{right}");
    let from = now();
    admin.revoke_role_by_console(REALM, &holder, "deployer").await.unwrap();
    let taken = Span { from, to: now() };
    let unnamed = format!(
        "SELECT toUnixTimestamp64Milli(time) AS at, right_id FROM events WHERE kind = 'role_revoked' AND person_id = '{quinn}'"
    );
    let told = bench.until("the console's event", || bench.program.sql(&unnamed).pop());
    assert!(within(taken, told["at"].as_i64().unwrap()) && told["right_id"] == "", "{told}");
    bench.answered();
    let right = held().unwrap();
    assert_eq!(right["rests_on_gap"], 1, "nothing tells that it is this one, nor that it is not: {right}");
    bench.snapshot("keycloak");
    assert_eq!(held(), None);
    let gaps = bench.json(&["gaps"]);
    let [gap] = gaps["missing_events"].as_array().unwrap().as_slice() else { panic!("{gaps:#}") };
    assert_eq!([&gap["person"], &gap["right_id"]], [&judged::key(bench, &quinn), &role], "{gap}");
    assert_eq!((&gap["missing"], &gap["causes"][0]), (&json!("removal"), &json!("unnamed_removal")), "{gap}");
    assert!(within(given, gap["at"].as_i64().unwrap()) && gap["before"].as_i64() > Some(taken.to), "{gap}");
}
