//! Normalisers of the tests' own, over bodies of two words: `native kind`.

use crate::support::{NOON, TENANT, event, position, receipt};
use durable_log::chain::commitment;
use events::{
    event::Event,
    ids::{Position, event_id},
    normalise::{Dead, Normalised},
    receipt::{Input, Receipt},
};
use pipeline::replay::{Mode, Normaliser, Replay, ReplayError, Summary};
use std::sync::Arc;
use store::{Block, Fate, Selection, Store, StoredReceipt};

/// A normaliser.
#[derive(Clone)]
pub struct Law {
    pub version: u32,
    pub function: Arc<dyn Fn(&Receipt) -> Normalised + Send + Sync>,
}

pub fn law(version: u32, function: impl Fn(&Receipt) -> Normalised + Send + Sync + 'static) -> Law {
    Law { version, function: Arc::new(function) }
}

/// What `receipt` says under the native key `native`: one event for each of `kinds`, `later` ms after noon.
pub fn say(receipt: &Receipt, native: &str, (kinds, later): (&[&str], i64)) -> Normalised {
    let mut stored = crate::support::receipt(receipt.position, receipt.header.input, native);
    stored.receipt.header = receipt.header.clone();
    let one = |(kind, ordinal): (&&str, u32)| {
        let time = NOON + later;
        Event {
            event_id: event_id(TENANT, "kc", native, ordinal),
            kind: (*kind).to_owned(),
            ordinal,
            time,
            time_min: time,
            time_max: time,
            ..event(&stored)
        }
    };
    Normalised::Events(kinds.iter().zip(0..).map(one).collect())
}

/// The two words of a body.
pub fn read(receipt: &Receipt) -> (String, String) {
    let text = String::from_utf8(receipt.body.clone()).unwrap();
    let (native, kind) = text.split_once(' ').unwrap();
    (native.to_owned(), kind.to_owned())
}

/// The first normaliser: every kind is an event at noon, but it does not understand riddles.
pub fn first() -> Law {
    law(1, |receipt| match read(receipt) {
        (_, kind) if kind == "riddle" => Normalised::Dead(Dead::UnknownShape),
        (native, kind) => say(receipt, &native, (&[&kind], 0)),
    })
}

/// A receipt whose commitment is a real one.
pub fn arrived(position: Position, input: Input, body: &str) -> StoredReceipt {
    let native = body.split(' ').next().unwrap();
    let mut stored = receipt(position, input, native);
    // No two receipts of two streams came in the same millisecond: what then stands is told by order, not by luck.
    stored.receipt.header.received_at += i64::from(position.stream.0[0]);
    stored.receipt.body = body.into();
    stored.commitment = commitment(&stored.salt, &stored.receipt.body);
    stored
}

/// Receipts of the first stream.
pub fn webhooks(bodies: &[&str]) -> Vec<StoredReceipt> {
    bodies.iter().zip(0..).map(|(body, seq)| arrived(position(1, seq), Input::Webhook, body)).collect()
}

impl Law {
    /// What the flow writes under this law.
    pub fn block(&self, receipts: &[StoredReceipt]) -> Block {
        let mut block = Block::default();
        for stored in receipts {
            let mut stored = stored.clone();
            stored.normaliser = self.version;
            stored.fate = match (self.function)(&stored.receipt) {
                Normalised::Events(mut events) => {
                    events.iter_mut().for_each(|event| event.normaliser = self.version);
                    let fate = Fate::event(&stored.receipt.header, &events[0]);
                    block.events.extend(events);
                    fate
                }
                Normalised::Ignored(reason) => Fate::Ignored(reason),
                Normalised::Dead(reason) => Fate::Dead(reason),
            };
            block.receipts.push(stored);
        }
        block
    }

    pub async fn replay(&self, store: &Store, selection: &Selection) -> Summary {
        self.try_replay(store, selection, Mode::Write).await
    }

    pub async fn run(&self, store: &Store, selection: &Selection) -> Result<Summary, ReplayError> {
        self.on(store).run(selection, Mode::Write, &mut |_| ()).await
    }

    pub async fn try_replay(&self, store: &Store, selection: &Selection, mode: Mode) -> Summary {
        let summary = self.on(store).run(selection, mode, &mut |_| ()).await.unwrap();
        let sum = &summary.receipts;
        let parts = sum.current + sum.newer + sum.judged + sum.no_body + sum.tampered + sum.encrypted;
        assert_eq!(sum.selected, parts, "{sum:?}");
        summary
    }

    fn on(&self, store: &Store) -> Replay {
        let function = self.function.clone();
        let normaliser = Normaliser::new(self.version, move |receipt| function(receipt));
        Replay { store: store.clone(), tenant: TENANT.into(), normaliser }
    }
}
