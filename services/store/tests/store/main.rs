//! The store on a real engine: whatever is written twice or in another order, readers see the same.
#![allow(clippy::unwrap_used)] // a test may panic

mod copies;
mod event_hours;
mod events;
mod histories;
mod hours;
mod laid;
mod owners;
mod panels;
mod privileged;
mod receipts;
mod register;
mod schema;
mod stories;
#[path = "../support/mod.rs"]
mod support;
mod suppressions;
mod traces;
mod unsaved;
mod whole;

use ::events::{event::Event, receipt::Input};
use store::{Block, FateCounts, PersonQuery, Term, TraceQuery};
use support::{NOON, TENANT, event, position, receipt};

/// Not a test: where the shared engine's child process begins.
#[test]
fn engine_child() {
    store::engine::run_if_asked();
}

fn block(entries: &[(u8, u64, Input, &str)]) -> Block {
    let mut block = Block::default();
    for (stream, seq, input, native) in entries {
        let stored = receipt(position(*stream, *seq), *input, native);
        block.events.push(event(&stored));
        block.receipts.push(stored);
    }
    block
}

async fn all(store: &store::Store) -> Vec<store::StoredEvent> {
    let query = PersonQuery {
        tenant: TENANT.into(),
        persons: Vec::new(),
        from: NOON - 400 * 86_400_000,
        to: NOON + 400 * 86_400_000,
        limit: 10_000,
    };
    store.events_between(&query, None).await.unwrap().events
}

async fn trace(store: &store::Store, term: Term) -> Vec<Event> {
    let query = TraceQuery { tenant: TENANT.into(), term, limit: 100 };
    let page = store.trace(&query).await.unwrap();
    page.events.into_iter().map(|stored| stored.event).collect()
}

async fn fates(store: &store::Store) -> Vec<FateCounts> {
    let fates = store.fates(TENANT).await.unwrap();
    for one in &fates {
        assert_eq!(one.received, one.stored + one.duplicate + one.ignored + one.dead, "{one:?}");
    }
    fates
}
