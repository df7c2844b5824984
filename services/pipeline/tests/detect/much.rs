//! More than one look holds: a machine that calls all day blinds no rule; what is too much is judged in parts; and of those who were put
//! out whatever let them in is looked at.

use crate::{Bench, NOW, support::TENANT};
use std::time::Duration;
use store::{StoreError, drift_facts::DriftQuery, findings::RuleState};

/// One more than a look holds.
const MUCH: u32 = 200_001;
const SECOND: i64 = 1_000;

impl Bench {
    pub(crate) async fn sql(&self, sql: &str) {
        self.database.sql().query(sql).execute().await.unwrap();
    }

    /// So many decisions, one a millisecond from a second before the tests' now on backwards.
    async fn decided(&self, person: char, (many, verdict): (u32, &str), (candidates, reason): (u32, &str)) {
        let (person, last) = (person.to_string().repeat(32), NOW - SECOND);
        self.sql(&format!(
            "INSERT INTO decision_rows (tenant, person, at, row_id, version, event_id, permission, outcome, verdict, candidates, grade, reasons) \
             SELECT '{TENANT}', '{person}', fromUnixTimestamp64Milli({last} - toInt64(number), 'UTC'), left(concat(leftPad(toString(number), 15, '0'), '{person}'), 16), 1, \
             generateUUIDv7(number), 'catalog.read', 'allow', '{verdict}', {candidates}, 'none', ['{reason}'] FROM numbers({many})"
        ))
        .await;
    }

    /// So many events of one kind, one a millisecond backwards from a time before the tests' now.
    async fn happened(&self, (person, actor): (char, char), (many, kind): (u32, &str), before: i64) {
        let (person, actor) = (person.to_string().repeat(32), actor.to_string().repeat(32));
        let outcome = if kind == "failed" { "failure" } else { "success" };
        let kind = if kind == "failed" { "login" } else { kind };
        let enabled = if kind == "user_updated" { "false" } else { "" };
        let last = NOW - before;
        let role = if actor.starts_with('0') { "" } else { "admin" };
        self.sql(&format!(
            "INSERT INTO event_rows (tenant, event_id, time, source_id, realm, kind, outcome, person, actor, actor_kind, details) SELECT '{TENANT}', \
             generateUUIDv7(number), fromUnixTimestamp64Milli({last} - toInt64(number)), 'kc', 'corp', '{kind}', '{outcome}', \
             unhex('{person}'), unhex('{actor}'), '{role}', map('enabled', '{enabled}') FROM numbers({many})"
        ))
        .await;
    }

    /// Judges all the time; after the first look of what happened within the last half minute.
    fn run(&self) -> tokio::task::JoinHandle<()> {
        let mut detector = self.detector();
        detector.reader.lateness = 0;
        tokio::spawn(async move { detector.run().await })
    }

    pub(crate) async fn states(&self) -> Vec<RuleState> {
        self.database.store.rule_states(TENANT).await.unwrap()
    }

    /// Everything is judged, in however many parts: no rule says that it could not be.
    pub(crate) async fn judged(&self) {
        let began = std::time::Instant::now();
        loop {
            let states = self.states().await;
            if !states.is_empty() && !states.iter().any(|state| state.detail.contains("at once")) {
                return;
            }
            assert!(began.elapsed() < super::PATIENCE, "{states:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_calls_all_day_and_leavers_of_all_time_blind_no_rule() {
    let bench = Bench::new().await;
    bench.complete("kc", 61).await;
    bench.complete("bs", 61).await;
    bench.decided('1', (MUCH, "not_judged"), (0, "no_person")).await;
    bench.decided('a', (1, "not_judged"), (0, "")).await;
    // What somebody did before they left is nothing; of what they did since, a refresh is; so is what let another one in under conditions.
    bench.happened(('b', '0'), (MUCH, "token_refreshed"), 700 * SECOND).await;
    bench.happened(('b', '0'), (1, "user_updated"), 600 * SECOND).await;
    bench.happened(('b', '0'), (1, "token_refreshed"), 300 * SECOND).await;
    bench.happened(('c', '0'), (1, "user_updated"), 600 * SECOND).await;
    bench.decided('c', (1, "conditional"), (1, "disabled")).await;
    let running = bench.run();
    bench.until(("D19", "a"), |one| one.state == "OPEN").await;
    let left = bench.until(("D02", "b"), |one| one.state == "OPEN").await;
    assert_eq!(left.severity, "critical");
    bench.until(("D02", "c"), |one| one.state == "OPEN").await;
    bench.judged().await;
    let all = bench.database.store.findings(TENANT).await.unwrap();
    assert_eq!(all.len(), 3, "{all:?}");
    running.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_much_at_once_is_judged_in_parts() {
    let bench = Bench::new().await;
    bench.complete("kc", 61).await;
    bench.complete("bs", 61).await;
    bench.decided('d', (MUCH, "not_judged"), (0, "")).await;
    bench.decided('e', (1, "not_judged"), (0, "")).await;
    // Of each it has to be asked what the actor has by it, which is nothing.
    bench.happened(('0', 'f'), (MUCH, "composite_added"), 60 * SECOND).await;
    let whole = bench.database.store.drift_watched(&DriftQuery::of(TENANT, (i64::MIN, i64::MAX))).await;
    assert!(matches!(whole, Err(StoreError::TooMany { .. })));
    // Among the grants one to themselves, at the beginning of all.
    bench.happened(('9', '9'), (1, "role_granted"), 2_000 * SECOND).await;
    let running = bench.run();
    bench.until(("D05", "9"), |one| one.state == "OPEN").await;
    bench.until(("D19", "d"), |one| one.state == "OPEN").await;
    bench.until(("D19", "e"), |one| one.state == "OPEN").await;
    bench.judged().await;
    let all = bench.database.store.findings(TENANT).await.unwrap();
    assert!(all.iter().all(|one| one.state == "OPEN") && all.len() == 3, "{all:?}");
    running.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_that_is_changed_in_a_later_round_makes_a_guessed_login_worse() {
    let bench = Bench::new().await;
    bench.happened(('a', '0'), (10, "failed"), 1_300 * SECOND).await;
    bench.happened(('a', '0'), (1, "login"), 1_200 * SECOND).await;
    let running = bench.run();
    let found = bench.until(("D13", "a"), |one| one.state == "OPEN").await;
    assert_eq!(found.severity, "high");
    bench.happened(('a', '0'), (1, "credential_updated"), 5 * SECOND).await;
    let worse = bench.until(("D13", "a"), |one| one.severity == "critical").await;
    assert!(worse.detail.contains("\"failures\":10"), "{worse:?}");
    assert_eq!((worse.finding_id, worse.changes), (found.finding_id, 1), "the same finding");
    running.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_that_cannot_be_judged_any_more_are_not_green() {
    let bench = Bench::new().await;
    let detector = bench.detector();
    let running = tokio::spawn(async move { detector.run().await });
    bench.judged().await;
    assert!(bench.states().await.iter().any(|state| state.state == "OK"));
    // Whatever makes each round fail: here a table that a round asks is gone.
    bench.sql("RENAME TABLE alias_rows TO alias_rows_gone").await;
    let began = std::time::Instant::now();
    while bench.states().await.iter().any(|state| state.state == "OK") {
        assert!(began.elapsed() < super::PATIENCE, "{:?}", bench.states().await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let states = bench.states().await;
    assert!(states.iter().any(|state| state.detail.contains("rules cannot be judged now")), "{states:?}");
    bench.sql("RENAME TABLE alias_rows_gone TO alias_rows").await;
    while !bench.states().await.iter().any(|state| state.state == "OK") {
        assert!(began.elapsed() < super::PATIENCE, "{:?}", bench.states().await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    running.abort();
}
