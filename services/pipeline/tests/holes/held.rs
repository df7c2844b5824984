//! What the store acknowledged and holds no more, and a chain that does not lead from link to link: on a real engine, by deleting and
//! replacing rows behind the program's back.

use super::*;
use durable_log::chain::{self, Link};
use std::time::Duration;
use store::Rolling;

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_the_store_acknowledged_and_holds_no_more_are_gaps_until_they_are_back() {
    let database = support::Database::new().await;
    let store = &database.store;
    let place = (store.clone(), "default".to_owned());
    let keeper = Keeper::new(place, LATENESS, Vec::new(), (|| NOON, &Registry::new())).unwrap();
    let mut block = Block::default();
    for seq in 0..6 {
        // 4 repeats what 3 said: its event stands by that one.
        let stored =
            support::receipt(support::position(1, seq), Input::Webhook, &format!("n{}", seq.min(3).max(seq / 5 * 5)));
        block.events.push(support::event(&stored));
        block.receipts.push(stored);
    }
    let kept = async || {
        store.insert(&block).await.unwrap();
        store.roll(&Rolling { quiet: Duration::ZERO, cells: usize::MAX }).await.unwrap();
    };
    let delete = async |from: &str, condition: &str| {
        let sql = format!("ALTER TABLE {from} DELETE WHERE {condition} SETTINGS mutations_sync = 1");
        database.sql().query(&sql).execute().await.unwrap();
    };
    // Cause, source, numbers, how many; a second round finds the same.
    let told = async |round: i64| {
        let mut last = Vec::new();
        for at in [2 * round, 2 * round + 1] {
            keeper.round(NOON + 3_600_000 + at, true).await.unwrap();
            let gaps = store.gaps("default", i64::MAX).await.unwrap();
            let told = |gap: Gap| (gap.cause, gap.source_id, gap.scope[30..].to_owned(), gap.missing.unwrap());
            let now: Vec<_> = gaps.into_iter().map(told).collect();
            assert!(at % 2 == 0 || now == last, "a second round changes {last:?} to {now:?}");
            last = now;
        }
        last
    };
    let row = |cause: &str, source: &str, numbers: &str, count| (cause.into(), source.into(), numbers.into(), count);
    kept().await;
    assert_eq!(told(0).await, []);

    delete("event_rows", "native_id IN ('n1', 'n3')").await;
    assert_eq!(told(1).await, [row("events_missing", "kc", "01:1-4", 2)]);
    kept().await;
    assert_eq!(told(2).await, [], "they are back");

    delete("raw_bodies", "seq = 2").await;
    assert_eq!(told(3).await, [row("bodies_missing", "kc", "01:2-2", 1)]);
    kept().await;

    // The end of the stream: whatever was counted last was there.
    for table in ["receipt_rows", "raw_bodies", "event_rows"] {
        delete(table, "seq >= 4").await;
    }
    assert_eq!(told(4).await, [row("store_went_back", "", "01:4-5", 2)]);
    let written = store.gaps("default", i64::MAX).await.unwrap();
    let at = |seq: usize| block.receipts[seq].receipt.header.received_at;
    assert_eq!((written[0].since, written[0].until), (at(3), Some(at(5) + 1)));
    kept().await;
    assert_eq!(told(5).await, []);
    let history = store.gaps("default", 0).await.unwrap();
    assert_eq!(history.iter().filter(|gap| gap.repaired_at.is_some()).count(), 3, "history is kept: {history:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commitment_or_a_seal_that_was_altered_breaks_the_chain() {
    let database = support::Database::new().await;
    let store = &database.store;
    let place = (store.clone(), "default".to_owned());
    let keeper = Keeper::new(place, LATENESS, Vec::new(), (|| NOON, &Registry::new())).unwrap();
    // A stream of ten with its links; those of 0, 4 and 8 are kept.
    let mut value = chain::START;
    let mut receipts: Vec<StoredReceipt> = (0..10).map(|seq| receipt(1, seq, "{}")).collect();
    for one in &mut receipts {
        let (header, position) = (one.receipt.header.to_bytes(), one.receipt.position);
        let link = Link { stream: &position.stream.0, seq: position.seq, header: &header, commitment: &one.commitment };
        value = chain::link(&value, link);
        one.chain = position.seq.is_multiple_of(4).then_some(value);
    }
    let sealed = |stream: u8, said: [u8; 32]| {
        let previous = StreamId([1; 16]);
        let said = hex::encode(said);
        receipt(stream, 0, &format!(r#"{{"previous_stream":"{previous}","previous_seq":9,"previous_chain":"{said}"}}"#))
    };
    let put = async |receipts: Vec<StoredReceipt>| {
        store.insert(&Block { receipts, events: Vec::new() }).await.unwrap();
        store.roll(&Rolling { quiet: Duration::ZERO, cells: usize::MAX }).await.unwrap();
    };
    let delete = async |table: &str, condition: &str| {
        let sql = format!("ALTER TABLE {table} DELETE WHERE {condition} SETTINGS mutations_sync = 1");
        database.sql().query(&sql).execute().await.unwrap();
    };
    // Every cell has its turn: one of each stream.
    let told = async |round: i64| {
        for turn in 0..2 {
            keeper.round(NOON + 3_600_000 + 2 * round + turn, true).await.unwrap();
        }
        gaps(store).await
    };
    put(receipts.clone()).await;
    put(vec![sealed(2, value)]).await;
    assert_eq!(told(0).await, []);

    // Somebody puts another receipt in the place of number 6, body and commitment and all.
    delete("receipt_rows", "seq = 6").await;
    delete("raw_bodies", "seq = 6").await;
    put(vec![StoredReceipt { commitment: [9; 32], ..receipts[6].clone() }]).await;
    assert_eq!(told(1).await, [row("chain_broken", "01:5-8", None)]);
    let gap = store.gaps("default", i64::MAX).await.unwrap().remove(0);
    let at = |seq: usize| receipts[seq].receipt.header.received_at;
    assert_eq!((gap.since, gap.until), (at(4), Some(at(8) + 1)));
    delete("receipt_rows", "seq = 6").await;
    delete("raw_bodies", "seq = 6").await;
    put(receipts[6..7].to_vec()).await;
    assert_eq!(told(2).await, [], "a backup brought it back");

    // What the opening says of the end.
    delete("raw_bodies", "stream = unhex(repeat('02', 16))").await;
    delete("receipt_rows", "stream = unhex(repeat('02', 16))").await;
    put(vec![sealed(2, [7; 32])]).await;
    assert_eq!(told(3).await, [row("chain_broken", "01:9-9", None)]);
}
