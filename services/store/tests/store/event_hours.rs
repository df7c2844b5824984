//! Kept counts of logins and changes: late, pushed and pulled, replayed to another kind, another time or nothing, by several writers, and
//! wherever writers and roller are cut off, panels' views say what counting the events says. `TOKENTRAIL_ROLLUP_SEEDS` for more than one history.

use crate::histories::{self, INPUTS, key, table};
use crate::support::{Database, TENANT, cutter::Cutter, event, position, receipt, seeded::Seeded};
use events::{
    event::{DataClass, Event, Outcome},
    receipt::Input,
};
use std::time::Duration;
use store::{Block, Rejudged, Rolling, Store, StoredReceipt};

const HOUR: i64 = 3_600_000;
const ALL: Rolling = Rolling { quiet: Duration::ZERO, cells: usize::MAX };
/// A day and an hour, with the end of one and the beginning of 1970.
const HOURS: [i64; 6] = [-1, 0, 1, 2, 23, 26];
const EVENTS: u64 = 30;

/// What one of a few deliveries says to one of two normalisers: the same words whenever it is said.
fn said(which: u64, input: Input, normaliser: u32) -> (StoredReceipt, Event) {
    let copy = u64::from(input == Input::Pull);
    let stored = receipt(position(1, which * 2 + copy), input, &format!("n{which}"));
    let (mut place, mut says) = (Seeded(which), Seeded(which * 100 + u64::from(normaliser)));
    let mut one = event(&stored);
    let at = place.pick(&HOURS) * HOUR + place.pick(&[0, 1, HOUR / 2, HOUR - 1]);
    one.time = at + if normaliser > 1 && place.one_in(3) { HOUR } else { 0 };
    (one.time_min, one.time_max) = (one.time, one.time);
    one.normaliser = normaliser;
    let (kind, class) = says.pick(&[
        ("login", DataClass::Authentication),
        ("login", DataClass::Authentication),
        ("refresh", DataClass::Authentication),
        ("user_updated", DataClass::Administration),
        ("group_joined", DataClass::Administration),
    ]);
    (one.kind, one.data_class) = (kind.into(), class);
    one.outcome = says.pick(&[Outcome::Success, Outcome::Failure]);
    one.error = if one.outcome == Outcome::Failure { says.pick(&["locked", "wrong"]) } else { "" }.into();
    one.realm = says.pick(&["acme", "other"]).into();
    one.person = says.pick(&[None, Some("a"), Some("b")]).map(key);
    one.actor = says.pick(&[None, Some("a"), Some("c")]).map(key);
    // What the webhook says counts first, so what the pull says beside it shows who was asked.
    one.ip = format!("10.0.0.{}", says.below(3) + 10 * copy);
    (stored, one)
}

fn told(which: u64, inputs: &[Input]) -> Block {
    histories::told(said, which, inputs)
}

fn rejudged(which: u64) -> Rejudged {
    histories::rejudged(said, which)
}

/// What panels ask of kept counts, each beside the same asked of the events.
fn questions((from, to): (i64, i64)) -> [(String, String); 4] {
    let of = |view: &str| format!("{view}(from = {from}, to = {to})");
    let (logins, logins_kept, changes, changes_kept) =
        (of("logins_in"), of("logins_counted_in"), of("changes_in"), of("changes_counted_in"));
    [
        (
            format!(
                "SELECT toStartOfHour(time) AS h, source_id, realm, outcome, error, sum(l.logins) AS n, max(last) AS last FROM {logins_kept} AS l GROUP BY ALL"
            ),
            format!(
                "SELECT toStartOfHour(time) AS h, source_id, realm, outcome, error, count() AS n, max(time) AS last FROM {logins} GROUP BY ALL"
            ),
        ),
        (
            format!(
                "SELECT error, uniqExactArray(people) AS a, sum(unknown) AS b, uniqExactMerge(addresses) AS c FROM {logins_kept} WHERE outcome = 'failure' GROUP BY error"
            ),
            format!(
                "SELECT error, uniqExactIf(person, person != '') AS a, countIf(person = '') AS b, uniqExact(ip) AS c FROM {logins} WHERE outcome = 'failure' GROUP BY error"
            ),
        ),
        (
            format!(
                "SELECT toStartOfHour(time) AS h, source_id, realm, kind, outcome, sum(c.changes) AS n, max(last) AS last FROM {changes_kept} AS c GROUP BY ALL"
            ),
            format!(
                "SELECT toStartOfHour(time) AS h, source_id, realm, kind, outcome, count() AS n, max(time) AS last FROM {changes} GROUP BY ALL"
            ),
        ),
        (
            format!("SELECT kind, uniqExactArray(actors) AS a FROM {changes_kept} GROUP BY kind"),
            format!("SELECT kind, uniqExact(actor) AS a FROM {changes} GROUP BY kind"),
        ),
    ]
}

/// Returns how many rows the events give.
async fn agree(database: &Database, span: (i64, i64), when: &str) -> usize {
    let mut rows = 0;
    for (kept, defined) in questions(span) {
        let defined = table(database, &defined).await;
        assert_eq!(table(database, &kept).await, defined, "{kept}, {when}");
        rows += defined.len();
    }
    rows
}

/// The overview's views, of what is kept alone, against the events.
async fn agree_alone(database: &Database, span: (i64, i64), when: &str) {
    let questions = questions(span);
    let asked = |which: usize| questions[which].0.replace("changes_counted_in", "kept_changes_in");
    let failures = asked(1).replace("logins_counted_in", "kept_failures_in").replace(" WHERE outcome = 'failure'", "");
    let alone = [
        asked(0).replace("logins_counted_in", "kept_logins_in"),
        failures.replace("people", "persons"),
        asked(2),
        asked(3).replace("actors", "persons"),
    ];
    for (alone, (_, defined)) in alone.iter().zip(&questions) {
        assert_eq!(table(database, alone).await, table(database, defined).await, "{alone}, {when}");
    }
}

/// By hand, the account `a` is another's from now on.
async fn merge(database: &Database, into: &str) {
    let sql = format!(
        "INSERT INTO alias_rows (tenant, person, account, kind, name, user_id, version) VALUES ('{TENANT}', '{}', '{}', 'username', 'x', '', 1)",
        into.repeat(32),
        "a".repeat(32)
    );
    database.sql().query(&sql).execute().await.unwrap();
}

/// Spans that begin and end on hours, within them, in one hour, and over all.
fn spans(random: &mut Seeded) -> Vec<(i64, i64)> {
    let from = random.pick(&HOURS) * HOUR + random.pick(&[0, 1, HOUR / 2]);
    let longest = random.pick(&[HOUR, 30 * HOUR]);
    vec![(-3 * HOUR, 40 * HOUR), (from, from + 1 + random.number(longest))]
}

#[tokio::test(flavor = "multi_thread")]
async fn kept_hours_say_what_the_events_say_whatever_happens_to_them() {
    let seeds =
        std::env::var("TOKENTRAIL_ROLLUP_SEEDS").map_or(1, |n| n.parse().expect("TOKENTRAIL_ROLLUP_SEEDS is a number"));
    for seed in 0..seeds {
        let mut random = Seeded(seed + 40);
        let database = Database::new().await;
        let cutter = Cutter::start(database.address()).await;
        let roller = database.through(cutter.url.clone());
        let (mut cuts, mut kept) = (0, 0);
        for step in 0..16 {
            let which = random.below(EVENTS);
            // Who is cut off is another program, and dies of it: its rows could land for a while yet.
            let mortal = random.one_in(3);
            let writer = if mortal { database.through(cutter.url.clone()) } else { roller.clone() };
            if mortal && random.one_in(2) {
                cutter.cut_after(random.number(4), random.one_in(2));
            }
            if random.one_in(3) {
                if writer.rejudge(TENANT, &rejudged(which)).await.is_err() {
                    // Half of a move is not what a replay leaves: the next one completes it.
                    cuts += 1;
                    cutter.mend();
                    database.another().rejudge(TENANT, &rejudged(which)).await.unwrap();
                }
            } else {
                let inputs: &[Input] = random.pick(&[&INPUTS[..], &INPUTS[..1], &INPUTS[1..]]);
                for late in 0..3 {
                    let block = told((which + late * 7) % EVENTS, inputs);
                    cuts += usize::from(writer.insert(&block).await.is_err());
                }
            }
            cutter.mend();
            if random.one_in(2) {
                // As at a start of the engine. Else marks of the dead stay.
                roller.close_marks_of_the_dead().await.unwrap();
            }
            if random.one_in(2) {
                cutter.cut_after(random.number(8), random.one_in(2));
                let bounded = Rolling { cells: usize::try_from(random.below(9)).unwrap() + 1, ..ALL };
                cuts += usize::from(roller.roll(&bounded).await.is_err());
                cutter.mend();
            }
            let at_rest = "SELECT hour FROM login_hour_rows WHERE hour NOT IN (SELECT hour FROM open_event_hours) \
                UNION DISTINCT SELECT hour FROM change_hour_rows WHERE hour NOT IN (SELECT hour FROM open_event_hours)";
            kept += usize::from(!table(&database, at_rest).await.is_empty());
            // One of them, as each is eight questions.
            let spans = spans(&mut random);
            for span in [spans[step % 2]] {
                agree(&database, span, &format!("seed {seed}, step {step}")).await;
            }
        }
        assert!(cuts > 0 && kept > 4, "{cuts} cut off, an hour kept at {kept} steps: this proves less than it says");
    }
}

#[tokio::test]
async fn hours_of_events_at_rest_are_answered_from_what_is_kept_alone() {
    let database = Database::new().await;
    let store = &database.store;
    for which in 0..EVENTS {
        store.insert(&told(which, &INPUTS)).await.unwrap();
    }
    let whole = (0, 40 * HOUR);
    assert!(store.roll_hours_in_use().await.unwrap() > 3);
    agree_alone(&database, whole, "in use").await;
    settle(store).await;
    let rows = agree(&database, whole, "settled").await;
    assert!(rows > 12, "{rows}");
    // Who is one with another by hand is asked, not kept.
    let [_, (failed, _), _, (changed, _)] = questions(whole);
    let apart = [table(&database, &failed).await, table(&database, &changed).await];
    merge(&database, "c").await;
    assert_ne!([table(&database, &failed).await, table(&database, &changed).await], apart);
    agree(&database, whole, "merged by hand").await;
    agree_alone(&database, whole, "merged by hand").await;
    // Counted again where it was kept: what left an hour leaves its counts.
    for which in 0..EVENTS {
        store.rejudge(TENANT, &rejudged(which)).await.unwrap();
    }
    settle(store).await;
    assert_ne!(agree(&database, whole, "replayed").await, rows);
    agree_alone(&database, whole, "replayed").await;
    let mut answers = Vec::new();
    for (kept, _) in questions(whole) {
        answers.push(table(&database, &kept).await);
    }
    database.sql().query("TRUNCATE TABLE event_rows").execute().await.unwrap();
    for ((kept, _), answer) in questions(whole).iter().zip(answers) {
        assert_eq!(table(&database, kept).await, answer, "{kept}");
    }
}

#[tokio::test]
async fn what_was_told_before_hours_of_events_were_kept_is_counted() {
    let database = Database::new().await;
    for which in 0..EVENTS {
        database.store.insert(&told(which, &INPUTS)).await.unwrap();
    }
    // As it was: no table knows of hours.
    database.sql().query("TRUNCATE TABLE mark_rows").execute().await.unwrap();
    database.sql().query("DELETE FROM schema_migrations WHERE version = 27").execute().await.unwrap();
    database.store.migrate().await.unwrap();
    let all = (-3 * HOUR, 40 * HOUR);
    assert!(agree(&database, all, "migrated").await > 12);
    settle(&database.store).await;
    agree(&database, all, "settled").await;
}

#[tokio::test]
async fn logins_of_somebody_are_those_of_everybody_that_are_theirs() {
    let database = Database::new().await;
    for which in 0..EVENTS {
        database.store.insert(&told(which, &INPUTS)).await.unwrap();
    }
    let columns = "time, event_id, realm, outcome, error, client, session_id, ip";
    let span = format!("from = {}, to = {}", HOUR, 26 * HOUR);
    let mut counted = Vec::new();
    for merged in [false, true] {
        if merged {
            merge(&database, "b").await;
        }
        for letter in ["a", "b"] {
            let person = letter.repeat(32);
            let of = format!("SELECT {columns} FROM logins_of(tenant = '{TENANT}', person = '{person}', {span})");
            let all = format!("SELECT {columns} FROM logins_in({span}) WHERE person = '{person}'");
            let found = table(&database, &of).await;
            assert_eq!(found, table(&database, &all).await, "{letter}, merged: {merged}");
            counted.push(found.len());
        }
    }
    assert!(counted[0] > 0 && counted[1] > 0, "{counted:?}");
    assert_eq!(counted[2..], [0, counted[0] + counted[1]]);
}

async fn settle(store: &Store) {
    assert!(store.roll(&ALL).await.unwrap().cells > 3);
    assert_eq!(store.roll(&ALL).await.unwrap(), store::Rolled::default(), "nothing is left");
}
