//! Kept counts of decisions: whatever is written in whatever order, replaced or taken away, by several writers, and wherever writers and
//! roller are cut off, panels' views say what counting the decisions says. `TOKENTRAIL_ROLLUP_SEEDS` for more than 2 histories.

use crate::support::{Database, TENANT, cutter::Cutter, seeded::Seeded};
use std::time::Duration;
use store::{
    Rolling, Store,
    correlation::{Correlated, DecisionRecord},
};

const HOUR: i64 = 3_600_000;
const ALL: Rolling = Rolling { quiet: Duration::ZERO, cells: usize::MAX };
/// A day and an hour, with the end of one and the beginning of 1970.
const HOURS: [i64; 6] = [-1, 0, 1, 2, 23, 26];
const VERDICTS: [&str; 5] = ["agrees", "exposure", "violation", "pending_grant", "not_judged"];

/// What one of a few decisions says in one of a few versions: the same place for the same decision, the same words for the same version.
fn decision(random: &mut Seeded) -> DecisionRecord {
    let (which, version) = (random.below(40), 1 + random.below(6));
    let mut place = Seeded(which);
    let at = place.pick(&HOURS) * HOUR + place.pick(&[0, 1, HOUR / 2, HOUR - 1]);
    let mut says = Seeded(which * 100 + version);
    let verdict = says.pick(&VERDICTS);
    let mut row_id = [0; 16];
    row_id[0] = u8::try_from(which).unwrap() + 1;
    DecisionRecord {
        tenant: TENANT.into(),
        person: place.pick(&["a", "b", ""]).into(),
        at,
        row_id,
        version,
        is_deleted: u8::from(says.one_in(4)),
        event_id: uuid::Uuid::from_u128(u128::from(which) + 1),
        permission: says.pick(&["read", "delete"]).into(),
        outcome: "allow".into(),
        verdict: verdict.into(),
        delay_ms: matches!(verdict, "exposure" | "violation" | "pending_grant").then(|| says.number(90_000)),
        clock: says.pick(&["catalog", "token"]).into(),
        grade: says.pick(&["exact", "session", "none"]).into(),
        reasons: if says.one_in(2) { vec!["straddles".into(), "disabled".into()] } else { Vec::new() },
        ..DecisionRecord::default()
    }
}

async fn table(database: &Database, sql: &str) -> Vec<String> {
    let sql = format!("SELECT toString(tuple(*)) FROM ({sql}) ORDER BY ALL");
    database.sql().query(&sql).fetch_all().await.unwrap()
}

/// The kept answers against the definitions, over a span.
async fn agree(database: &Database, (from, to): (i64, i64), when: &str) {
    let within = format!(
        "decided_at >= fromUnixTimestamp64Milli({from}, 'UTC') AND decided_at < fromUnixTimestamp64Milli({to}, 'UTC')"
    );
    let counted = format!(
        "SELECT verdict, clock, grade, sum(d.decisions) AS n, mapSort(sumMap(d.reasons)) AS why FROM decided_in(from = {from}, to = {to}) AS d GROUP BY verdict, clock, grade"
    );
    let defined = format!(
        "SELECT toString(verdict) AS v, toString(clock) AS c, toString(grade) AS g, count() AS n, \
         mapSort(sumMap(CAST(arrayMap(r -> (toString(r), toUInt64(1)), reasons), 'Map(String, UInt64)'))) AS why FROM decisions WHERE {within} GROUP BY v, c, g"
    );
    assert_eq!(table(database, &counted).await, table(database, &defined).await, "counts, {from} to {to}, {when}");
    let columns = "person, decided_at, event_id, toString(permission), toString(outcome), toString(verdict), delay_ms, toString(clock), toString(grade)";
    let kept = format!("SELECT {columns} FROM deviations_in(from = {from}, to = {to})");
    let defined = format!(
        "SELECT {columns} FROM decisions WHERE {within} AND verdict IN ('exposure', 'violation', 'pending_grant')"
    );
    assert_eq!(table(database, &kept).await, table(database, &defined).await, "deviations, {from} to {to}, {when}");
}

/// Spans that begin and end on hours, within them, in one hour, and over all.
fn spans(random: &mut Seeded) -> Vec<(i64, i64)> {
    let from = random.pick(&HOURS) * HOUR + random.pick(&[0, 1, HOUR / 2]);
    let longest = random.pick(&[HOUR, 30 * HOUR]);
    vec![(-3 * HOUR, 40 * HOUR), (from, from + 1 + random.number(longest))]
}

#[tokio::test(flavor = "multi_thread")]
async fn kept_hours_say_what_the_decisions_say_whatever_happens_to_them() {
    let seeds =
        std::env::var("TOKENTRAIL_ROLLUP_SEEDS").map_or(2, |n| n.parse().expect("TOKENTRAIL_ROLLUP_SEEDS is a number"));
    for seed in 0..seeds {
        let mut random = Seeded(seed);
        let database = Database::new().await;
        let cutter = Cutter::start(database.address()).await;
        let roller = database.through(cutter.url.clone());
        let (mut cuts, mut kept) = (0, 0);
        for step in 0..25 {
            let decisions = (0..=random.below(6)).map(|_| decision(&mut random)).collect();
            let rows = Correlated { decisions, ..Correlated::default() };
            // Who is cut off is another program, and dies of it: its rows could land for a while yet.
            let mortal = random.one_in(3);
            let writer = if mortal { database.through(cutter.url.clone()) } else { roller.clone() };
            if mortal && random.one_in(2) {
                cutter.cut_after(random.number(3), random.one_in(2));
            }
            cuts += usize::from(writer.write_correlated(&rows).await.is_err());
            cutter.mend();
            if random.one_in(2) {
                // As at a start of the engine. Else marks of the dead stay.
                roller.close_marks_of_the_dead().await.unwrap();
            }
            if random.one_in(2) {
                cutter.cut_after(random.number(8), random.one_in(2));
                let bounded = Rolling { cells: usize::try_from(random.below(4)).unwrap() + 1, ..ALL };
                cuts += usize::from(roller.roll(&bounded).await.is_err());
                cutter.mend();
            }
            if step % 3 == 0 {
                // What is kept of hours in use is asked for by nobody who must be exact.
                database.another().roll_hours_in_use().await.unwrap();
            }
            let at_rest =
                "SELECT DISTINCT hour FROM decision_hour_rows WHERE hour NOT IN (SELECT hour FROM open_hours)";
            kept += usize::from(!table(&database, at_rest).await.is_empty());
            for span in spans(&mut random) {
                agree(&database, span, &format!("seed {seed}, step {step}")).await;
            }
        }
        assert!(cuts > 0 && kept > 5, "{cuts} cut off, an hour kept at {kept} steps: this proves less than it says");
    }
}

#[tokio::test]
async fn hours_at_rest_are_answered_from_what_is_kept_alone() {
    let database = Database::new().await;
    let mut random = Seeded(7);
    let decisions = (0..60).map(|_| decision(&mut random)).collect();
    database.store.write_correlated(&Correlated { decisions, ..Correlated::default() }).await.unwrap();
    settle(&database.store).await;
    let whole = (0, 40 * HOUR);
    agree(&database, whole, "settled").await;
    let asked = format!(
        "SELECT 'counted', verdict, toString(sum(decisions)) FROM decided_in(from = {0}, to = {1}) GROUP BY verdict \
         UNION ALL SELECT person, toString(decided_at), verdict FROM deviations_in(from = {0}, to = {1})",
        whole.0, whole.1
    );
    let kept = table(&database, &asked).await;
    assert!(kept.len() > 8, "{kept:?}");
    database.sql().query("TRUNCATE TABLE decision_rows").execute().await.unwrap();
    assert_eq!(table(&database, &asked).await, kept);
}

/// The overview's views, of what is kept alone, are behind until hours in use are counted, and then say what the exact ones say.
#[tokio::test]
async fn hours_in_use_are_counted_where_they_stand_and_stay_in_use() {
    let database = Database::new().await;
    let mut random = Seeded(11);
    let asked = |counts: &str, exposures: &str| {
        let span = format!("from = 0, to = {}", 40 * HOUR);
        [
            format!(
                "SELECT toStartOfHour(time) AS h, verdict, clock, grade, sum(d.decisions) AS n FROM {counts}({span}) AS d GROUP BY ALL"
            ),
            format!("SELECT * EXCEPT last_event FROM {exposures}({span})"),
        ]
    };
    let (kept, exact) = (asked("kept_decided_in", "kept_exposures_in"), asked("decided_in", "exposures_in"));
    for round in 0..2 {
        let decisions = (0..30).map(|_| decision(&mut random)).collect();
        database.store.write_correlated(&Correlated { decisions, ..Correlated::default() }).await.unwrap();
        let open = table(&database, "SELECT hour FROM open_hours").await;
        assert!(open.len() > 3, "{open:?}");
        for (kept, exact) in kept.iter().zip(&exact) {
            assert_ne!(table(&database, kept).await, table(&database, exact).await, "round {round}: {kept}");
        }
        assert_eq!(database.store.roll_hours_in_use().await.unwrap(), open.len());
        for (kept, exact) in kept.iter().zip(&exact) {
            let said = table(&database, exact).await;
            assert!(said.len() > 3, "{said:?}");
            assert_eq!(table(&database, kept).await, said, "round {round}: {kept}");
        }
        assert_eq!(table(&database, "SELECT hour FROM open_hours").await, open, "nothing is settled by that");
    }
}

#[tokio::test]
async fn what_was_decided_before_hours_were_kept_is_counted() {
    let database = Database::new().await;
    let mut random = Seeded(3);
    let decisions = (0..20).map(|_| decision(&mut random)).collect();
    database.store.write_correlated(&Correlated { decisions, ..Correlated::default() }).await.unwrap();
    // As it was: no table knows of hours.
    for table in ["mark_rows", "decision_hour_rows", "deviation_rows"] {
        database.sql().query(&format!("TRUNCATE TABLE {table}")).execute().await.unwrap();
    }
    database.sql().query("DELETE FROM schema_migrations WHERE version = 22").execute().await.unwrap();
    database.store.migrate().await.unwrap();
    let all = (-3 * HOUR, 40 * HOUR);
    agree(&database, all, "migrated").await;
    settle(&database.store).await;
    agree(&database, all, "settled").await;
}

async fn settle(store: &Store) {
    assert!(store.roll(&ALL).await.unwrap().cells > 3);
    assert_eq!(store.roll(&ALL).await.unwrap(), store::Rolled::default(), "nothing is left");
}
