//! A block that comes in parts and is sent twice is the block that came at once.

use super::*;
use crate::support::Database;
use ::events::person::PersonKey;
use store::Laying;

/// More than one insert holds.
const MANY: u64 = 50_100;
const DAY: i64 = 86_400_000;

/// What a table holds: rows, and a sum over all that stands in them.
async fn held(database: &Database, table: &str) -> (u64, u64) {
    let sql = format!("SELECT count(), sum(cityHash64(tuple(*))) FROM {table} FINAL");
    database.sql().query(&sql).fetch_one().await.unwrap()
}

fn some(seqs: std::ops::Range<u64>) -> Block {
    let mut block = Block::default();
    for seq in seqs {
        let mut stored = receipt(position(1, seq), Input::Webhook, &seq.to_string());
        // Three months, in turn.
        stored.receipt.header.received_at += (seq % 3) as i64 * 40 * DAY;
        let mut event = event(&stored);
        event.time = stored.receipt.header.received_at;
        event.person = seq.is_multiple_of(2).then(|| PersonKey(format!("{:032x}", seq + 1)));
        block.events.push(event);
        block.receipts.push(stored);
    }
    block
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_in_parts_and_sent_again_is_the_block_at_once() {
    let (whole, parts) = (Database::new().await, Database::new().await);
    whole.store.insert(&some(0..3 * MANY)).await.unwrap();
    let mut laying = Laying::new(&parts.store.layout().await.unwrap(), 500);
    for first in (0..3 * MANY).step_by(500) {
        laying.add(&some(first..(first + 500).min(3 * MANY))).unwrap();
    }
    let laid = laying.finish().unwrap();
    for _ in 0..2 {
        parts.store.send(&laid).await.unwrap();
    }
    for table in ["event_rows", "raw_bodies", "receipt_rows"] {
        let told = held(&parts, table).await;
        assert_eq!((told, told.0), (held(&whole, table).await, 3 * MANY), "{table}");
    }
    let hints = held(&parts, "person_event_rows").await;
    assert_eq!(hints, held(&whole, "person_event_rows").await);
    assert_eq!(hints.0, (3 * MANY).div_ceil(2));
    let counted = fates(&parts.store).await;
    assert_eq!((counted[0].received, counted[0].stored), (3 * MANY, 3 * MANY));
    assert_eq!(counted, fates(&whole.store).await);
}
