//! How long it takes to normalise one receipt. Run by `make bench`; a figure of a quiet machine.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measurement")]

#[path = "../tests/support/mod.rs"]
mod support;

use events::normalise::normalise;
use std::{hint::black_box, time::Instant};
use support::{context, lines, webhook};

fn main() {
    let context = context();
    let deliveries = webhook("keycloak/webhook.ndjson");
    let decisions = lines("backstage/audit-events.ndjson");
    for (name, receipts) in [("webhook", &deliveries), ("backstage line", &decisions)] {
        let best = (0..50).map(|_| {
            let start = Instant::now();
            receipts.iter().for_each(|receipt| drop(black_box(normalise(black_box(receipt), &context))));
            start.elapsed().as_nanos() / receipts.len() as u128
        });
        let best = best.min().expect("fifty runs");
        let bytes = receipts.iter().map(|receipt| receipt.body.len()).sum::<usize>() / receipts.len();
        println!("normalise {name}: {best} ns each, {bytes} bytes on average");
    }
}
