//! Views of panels that read decisions in their order of time: they say what `decisions` says, of rows that no merge has touched and
//! of merged ones.

use crate::support::Database;
use store::correlation::{Correlated, DecisionRecord};

/// Five decisions of two people: said once; said twice, the newer one first; taken away; taken away and said again; of nobody.
const ROWS: [(&str, &str, u64, u8, &str, i64); 10] = [
    ("a", "1", 1, 0, "agrees", -1),
    ("a", "2", 9, 0, "exposure", 4_000),
    ("a", "2", 3, 0, "agrees", -1),
    ("a", "3", 2, 0, "exposure", 7_000),
    ("a", "3", 5, 1, "", -1),
    ("b", "4", 2, 0, "violation", 9_000),
    ("b", "4", 4, 1, "", -1),
    ("b", "4", 6, 0, "pending_grant", 500),
    ("", "5", 1, 0, "exposure", 1_000),
    ("a", "2", 8, 0, "violation", 8_000),
];

async fn said(database: &Database, from: &str) -> Vec<(String, String, i64)> {
    let sql = format!("SELECT person, toString(verdict), ifNull(delay_ms, -1) FROM {from} ORDER BY 1, 2, 3");
    database.sql().query(&sql).fetch_all().await.unwrap()
}

#[tokio::test]
async fn the_order_of_time_says_what_the_order_of_people_says() {
    let database = Database::new().await;
    // One part per row.
    for (person, row, version, is_deleted, verdict, delay) in ROWS {
        let mut row_id = [0; 16];
        row_id[0] = row.as_bytes()[0];
        let decision = DecisionRecord {
            tenant: super::TENANT.into(),
            person: person.into(),
            at: super::NOON + 1_000 * i64::from(row.as_bytes()[0] - b'0'),
            row_id,
            version,
            is_deleted,
            verdict: verdict.into(),
            delay_ms: (delay >= 0).then_some(delay),
            clock: "catalog".into(),
            grade: "exact".into(),
            ..DecisionRecord::default()
        };
        let rows = Correlated { decisions: vec![decision], ..Correlated::default() };
        database.store.write_correlated(&rows).await.unwrap();
    }
    let (from, to) = (super::NOON - 1, super::NOON + 60_000);
    let judged = format!("judged_in(from = {from}, to = {to})");
    let deviations = format!("deviations_in(from = {from}, to = {to})");
    let few = "(SELECT * FROM decisions WHERE verdict NOT IN ('agrees', 'not_judged'))";
    for merged in [false, true] {
        let all = said(&database, "decisions").await;
        assert_eq!(all.len(), 4, "merged: {merged}");
        assert_eq!(said(&database, &judged).await, all, "merged: {merged}");
        assert_eq!(said(&database, &deviations).await, said(&database, few).await, "merged: {merged}");
        let exposures =
            format!("SELECT person, toInt64(seconds) FROM exposures_in(from = {from}, to = {to}) ORDER BY 1");
        let exposures: Vec<(String, i64)> = database.sql().query(&exposures).fetch_all().await.unwrap();
        assert_eq!(exposures, [(String::new(), 1), ("a".to_owned(), 4)], "merged: {merged}");
        let outside = format!("judged_in(from = {}, to = {to})", super::NOON + 5_000);
        assert_eq!(said(&database, &outside).await.len(), 1, "merged: {merged}");
        database.sql().query("OPTIMIZE TABLE decision_rows FINAL").execute().await.unwrap();
    }
    let explained: Vec<String> = database
        .sql()
        .query(&format!("EXPLAIN projections = 1 SELECT count() FROM {judged}"))
        .fetch_all()
        .await
        .unwrap();
    assert!(explained.iter().any(|line| line.contains("by_time")), "{explained:?}");
}
