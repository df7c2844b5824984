//! A register of more findings than one answer holds: it costs time and stops no rule.

use super::{Bench, NOW, PATIENCE, TENANT};
use std::time::{Duration, Instant};

/// More than one answer holds.
const MANY: u32 = 200_500;

impl Bench {
    /// So many findings of a rule that stand and rest on nothing any more.
    async fn found_before(&self, rule: &str, many: u32) {
        let id = "toUUID(concat('00000000-0000-4000-8000-', leftPad(lower(hex(number)), 12, '0')))";
        let at = format!("fromUnixTimestamp64Milli({NOW} - 86400000 - toInt64(number), 'UTC')");
        for sql in [
            format!(
                "INSERT INTO finding_rows (tenant, finding_id, version, rule, rule_version, person, severity, confidence, first_at, last_at, detail, content) \
                 SELECT '{TENANT}', {id}, 1, '{rule}', 1, leftPad(lower(hex(number)), 32, '0'), 'high', 'proven', {at}, {at}, '{{}}', 0 FROM numbers({many})"
            ),
            format!(
                "INSERT INTO finding_change_rows (tenant, finding_id, change_id, changed_at, what, actor, reason) \
                 SELECT '{TENANT}', {id}, {id}, {at}, 'opened', 'rules', '' FROM numbers({many})"
            ),
        ] {
            self.database.sql().query(&sql).execute().await.unwrap();
        }
    }

    /// How many findings of a rule stand.
    async fn standing(&self, rule: &str) -> u64 {
        let counts = self.database.store.register_counts(TENANT).await.unwrap();
        counts.iter().filter(|(of, ..)| of == rule).map(|(.., count)| count).sum()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_register_of_more_than_one_answer_holds_stops_no_rule() {
    let bench = Bench::new().await;
    for source in ["kc", "bs"] {
        bench.complete(source, 61).await;
    }
    bench.found_before("D16", MANY).await;
    assert_eq!(bench.standing("D16").await, u64::from(MANY));
    bench.let_in('a', 20).await;
    let detector = bench.detector();
    let running = tokio::spawn(async move { detector.run().await });
    let began = Instant::now();
    // All of it was looked at: what is no finding any more is withdrawn, the last one, too.
    while (bench.standing("D16").await, bench.standing("D19").await) != (0, 1) {
        let states = bench.database.store.rule_states(TENANT).await.unwrap();
        assert!(!states.iter().any(|state| state.detail.contains("cannot be judged now")), "{states:?}");
        assert!(began.elapsed() < PATIENCE, "{states:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let rule = |states: Vec<store::findings::RuleState>, rule: &str| states.into_iter().find(|one| one.rule == rule);
    while rule(bench.database.store.rule_states(TENANT).await.unwrap(), "D16").is_none_or(|one| one.state != "OK") {
        assert!(began.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    running.abort();
}
