//! Lines that are no receipts, summed over deliveries; and what recent lines of a Backstage say about themselves.
#![allow(clippy::unwrap_used)]

mod support;

use store::{LineCount, OtherLines, Records};
use support::{Database, NOON, TENANT};

/// Not a test: where the shared engine's child process begins.
#[test]
fn engine_child() {
    store::engine::run_if_asked();
}

fn counted(delivery: &str, kind: &str, lines: u64, received_at: i64) -> LineCount {
    LineCount {
        tenant: TENANT.into(),
        source_id: "portal".into(),
        kind: kind.into(),
        delivery: delivery.into(),
        lines,
        received_at,
    }
}

#[tokio::test]
async fn lines_of_a_delivery_count_once_however_often_and_in_whatever_order_it_is_written() {
    let database = Database::new().await;
    let rows = [
        counted("lines:a", "json", 3, NOON),
        counted("lines:a", "access", 5, NOON),
        counted("delivery:b", "json", 4, NOON + 10),
        counted("lines:a", "json", 3, NOON + 20), // the same delivery, sent again
    ];
    let blocks = [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]];
    for order in blocks {
        let line_counts = order.iter().map(|at| rows[*at].clone()).collect();
        database.store.put_records(&Records { line_counts, ..Records::default() }).await.unwrap();
        let sum = |kind: &str, lines, last_received_at| OtherLines {
            source_id: "portal".into(),
            kind: kind.into(),
            lines,
            last_received_at,
        };
        assert_eq!(
            database.store.other_lines(TENANT).await.unwrap(),
            [sum("access", 5, NOON), sum("json", 7, NOON + 20)]
        );
    }
    assert!(database.store.other_lines("another").await.unwrap().is_empty());
}
