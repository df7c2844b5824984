//! Histories that are made of a seed: what two inputs said of an event, and what a newer normaliser makes of both copies.

use crate::support::{Database, seeded::Seeded};
use events::{event::Event, person::PersonKey, receipt::Input};
use store::{Block, DeletedEvent, EventKey, Rejudged, StoredReceipt};

pub const INPUTS: [Input; 2] = [Input::Webhook, Input::Pull];

/// What an input said of an event, as a version of the normaliser understands it.
pub type Said = fn(which: u64, input: Input, normaliser: u32) -> (StoredReceipt, Event);

pub fn key(letter: &str) -> PersonKey {
    PersonKey(letter.repeat(32))
}

pub fn told(said: Said, which: u64, inputs: &[Input]) -> Block {
    let (receipts, events) = inputs.iter().map(|input| said(which, *input, 1)).unzip();
    Block { receipts, events }
}

/// What the newer normaliser makes of both copies: another event, one at another time, or none.
pub fn rejudged(said: Said, which: u64) -> Rejudged {
    let (mut events, mut deleted) = (Vec::new(), Vec::new());
    for input in INPUTS {
        let (stored, new) = said(which, input, 2);
        let key = EventKey::of(&said(which, input, 1).1);
        let none = Seeded(which + 7).one_in(4);
        if none || EventKey::of(&new) != key {
            deleted.push(DeletedEvent { key, receipt: stored.receipt.position });
        }
        if !none {
            events.push(new);
        }
    }
    Rejudged { normaliser: 2, receipts: Vec::new(), events, deleted }
}

/// Each row as text, in order.
pub async fn table(database: &Database, sql: &str) -> Vec<String> {
    let sql = format!("SELECT toString(tuple(*)) FROM ({sql}) ORDER BY ALL");
    database.sql().query(&sql).fetch_all().await.unwrap()
}
