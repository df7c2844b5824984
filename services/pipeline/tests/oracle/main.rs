//! The oracle: plain SQL over events and snapshots (`schemas/clickhouse/oracle`), which shares no code with the correlation, says row
//! by row what the correlation says. On the recorded story, on every other sample, and on generated worlds, all of them in one
//! database, a tenant each. `TOKENTRAIL_WORLDS` asks for more worlds than the default.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

#[path = "../../../correlate/tests/worlds/lines.rs"]
mod lines;
#[path = "../../../correlate/tests/worlds/model.rs"]
mod model;
mod oracle;
#[path = "../../../correlate/tests/worlds/reader.rs"]
mod reader;
#[path = "../../../events/tests/support/mod.rs"]
mod samples;
#[path = "../../../correlate/tests/worlds/sim.rs"]
mod sim;
#[path = "../../../correlate/tests/worlds/snapshots.rs"]
mod snapshots;
#[path = "../../../store/tests/support/mod.rs"]
mod support;

use correlate::Join;
use events::{
    event::Event,
    normalise::{Normalised, normalise},
    receipt::{Input, Payload, Receipt},
};
use oracle::Oracle;
use rand::{Rng, SeedableRng, rngs::StdRng};
use sim::World;

/// Not a test: where the shared engine's child process begins.
#[test]
fn engine_child() {
    store::engine::run_if_asked();
}

fn worlds() -> u64 {
    std::env::var("TOKENTRAIL_WORLDS").ok().and_then(|count| count.parse().ok()).unwrap_or(200)
}

fn events_of(receipts: &[Receipt]) -> Vec<Event> {
    let events = receipts.iter().filter_map(|receipt| match normalise(receipt, &samples::context()) {
        Normalised::Events(events) => Some(events),
        _ => None,
    });
    events.flatten().collect()
}

fn join() -> Join {
    let mut join = Join::new("bs", "kc");
    join.clients = vec!["backstage".to_owned()];
    join.token_life = 600_000;
    join
}

#[tokio::test]
async fn the_recorded_story() {
    let mut receipts = samples::webhook("pair/keycloak-webhook.ndjson");
    receipts.extend(samples::pulled("pair/keycloak-events.json"));
    receipts.extend(samples::pulled("pair/keycloak-admin-events.json"));
    receipts.extend(samples::lines("pair/backstage-stdout.cri.log.gz"));
    for line in samples::sample("pair/backstage-catalog-history.ndjson").lines() {
        receipts.push(samples::receipt(Payload::BackstageCatalogSnapshot, Input::Snapshot, line));
    }
    let mut oracle = Oracle::new(samples::context().key, join()).await;
    oracle.tell("pair", &events_of(&receipts)).await;
    oracle.ask().await;
    oracle.assert_agrees().await;
}

#[tokio::test]
async fn generated_worlds() {
    let mut oracle = Oracle::new(lines::key(), join()).await;
    for seed in 0..worlds() {
        let world = World::generate(seed);
        let mut random = StdRng::seed_from_u64(seed);
        // Every other world loses some of its lines: what is not there is there for neither.
        let lost = if seed % 2 == 0 { 0.0 } else { 0.1 };
        let told = world.lines.iter().filter(|_| !random.random_bool(lost)).flat_map(|line| line.events.clone());
        oracle.tell(&format!("world {seed}"), &told.collect::<Vec<_>>()).await;
    }
    oracle.ask().await;
    oracle.assert_agrees().await;
}
