//! The journal as a carrier.

use crate::contract::{World, holds, journal};
use durable_log::Journal;
use durable_log::carrier::{Appetite, Carrier, CarryError, JournalCarrier};

struct Embedded {
    journal: Journal,
    _dir: tempfile::TempDir,
}

impl World for Embedded {
    type Carrier = JournalCarrier;

    fn journal(&self) -> &Journal {
        &self.journal
    }

    fn open(&self, appetite: Appetite) -> JournalCarrier {
        JournalCarrier::open(self.journal.clone(), "test", appetite).unwrap()
    }

    fn close(&self, carrier: JournalCarrier) {
        drop(carrier);
    }
}

fn world() -> Embedded {
    let dir = tempfile::tempdir().unwrap();
    Embedded { journal: journal(dir.path()), _dir: dir }
}

#[test]
fn the_journal_holds_the_contract() {
    holds(world);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_settled_is_freed_and_the_end_is_told() {
    let world = world();
    let carrier = world.open(crate::contract::LARGE);
    world.journal.append(crate::contract::entries(0..3000, 1000)).await.unwrap();
    let before = world.journal.status().segments;
    assert_eq!(carrier.backlog(), 3001);
    crate::contract::take(&carrier, 3001).await;
    assert_eq!(carrier.backlog(), 0);
    assert!(world.journal.status().segments < before);
    assert!(*carrier.leads().borrow());
    world.journal.clone().close();
    assert!(matches!(carrier.next().await, Err(CarryError::Closed)));
}
