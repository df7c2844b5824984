//! Blocks of columns on a real engine: whatever a block holds, each row comes back as it was.
#![allow(clippy::unwrap_used)]

mod support;

use events::{event::Event, person::PersonKey, receipt::Input};
use std::collections::{BTreeMap, HashMap};
use store::{Block, PersonQuery};
use support::{Database, NOON, TENANT, event, position, receipt};
use uuid::Uuid;

/// Above what one byte tells apart, so that dictionaries use wider numbers.
const ROWS: u64 = 300;

/// Not a test: where the shared engine's child process begins.
#[test]
fn engine_child() {
    store::engine::run_if_asked();
}

/// Words that differ from row to row, are equal in all, or are missing in some.
fn row(seq: u64) -> (store::StoredReceipt, Event) {
    let stored = receipt(position(1, seq), Input::Webhook, &format!("native-{seq}"));
    let mut event = event(&stored);
    event.time += seq as i64;
    (event.time_min, event.time_max) = (event.time, event.time);
    event.client = format!("client-{seq}");
    event.person = seq.is_multiple_of(2).then(|| PersonKey(format!("{:032x}", seq + 1)));
    event.session_id = "é".repeat((seq % 200) as usize);
    event.owner_refs = (0..seq % 4).map(|n| format!("group:default/{n}")).collect();
    let pairs = |name: &str| -> BTreeMap<_, _> {
        (0..seq % 3).map(|n| (format!("{name}-{seq}-{n}"), format!("value {n}"))).collect()
    };
    (event.details, event.personal) = (pairs("detail"), BTreeMap::new());
    (stored, event)
}

#[tokio::test]
async fn every_row_of_a_block_comes_back_as_it_was() {
    let database = Database::new().await;
    let (receipts, events): (Vec<_>, Vec<_>) = (0..ROWS).map(row).unzip();
    database.store.insert(&Block { receipts, events: events.clone() }).await.unwrap();
    let query =
        PersonQuery { tenant: TENANT.into(), persons: Vec::new(), from: NOON, to: NOON + 60_000, limit: 10_000 };
    let found = database.store.events_between(&query, None).await.unwrap().events;
    let found: HashMap<Uuid, Event> = found.into_iter().map(|one| (one.event.event_id, one.event)).collect();
    assert_eq!(found.len() as u64, ROWS);
    for event in events {
        assert_eq!(found.get(&event.event_id), Some(&event));
    }
    // A body says whose it is, so that it can be kept or erased by source.
    let bodies = "SELECT concat(source_id, ' ', toString(count())) FROM raw_bodies FINAL GROUP BY source_id";
    assert_eq!(database.sql().query(bodies).fetch_all::<String>().await.unwrap(), [format!("kc {ROWS}")]);
}

#[tokio::test]
async fn a_table_with_another_column_is_refused_and_nothing_is_written() {
    let database = Database::new().await;
    let alter = "ALTER TABLE event_rows ADD COLUMN more String";
    database.sql().query(alter).execute().await.unwrap();
    let (receipt, event) = row(1);
    let error = database.store.insert(&Block { receipts: vec![receipt], events: vec![event] }).await.unwrap_err();
    assert!(matches!(error, store::StoreError::Incompatible(_)), "{error}");
    let rows = database.sql().query("SELECT count() FROM event_rows").fetch_one::<u64>().await.unwrap();
    assert_eq!(rows, 0);
}
