//! The oracle: plain SQL over events and snapshots (`schemas/clickhouse/oracle`), which shares no code with the correlation, says row
//! by row what the correlation says. On the recorded story, on every other sample, and on generated worlds, all of them in one
//! database, a tenant each. `TOKENTRAIL_WORLDS` asks for more worlds than the default, or for some of them: `350..360`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]
#![allow(dead_code, reason = "the simulator also keeps the truth, which its own tests hold against the correlation")]

#[path = "../../../correlate/tests/worlds/conditions.rs"]
mod conditions;
#[path = "../../../correlate/tests/worlds/groups.rs"]
mod groups;
#[path = "../../../correlate/tests/worlds/lines.rs"]
mod lines;
#[path = "../../../correlate/tests/worlds/model.rs"]
mod model;
mod oracle;
#[path = "../../../correlate/tests/worlds/reader.rs"]
mod reader;
#[path = "../../../correlate/tests/worlds/rights.rs"]
mod rights;
#[path = "../../../events/tests/support/mod.rs"]
mod samples;
#[path = "../../../correlate/tests/worlds/sign_ins.rs"]
mod sign_ins;
#[path = "../../../correlate/tests/worlds/sim.rs"]
mod sim;
#[path = "../../../correlate/tests/worlds/snapshots.rs"]
mod snapshots;
#[path = "../../../store/tests/support/mod.rs"]
mod support;

use correlate::Join;
use events::{
    event::{DataClass, Event},
    normalise::{Normalised, normalise},
    receipt::{Input, Payload, Receipt},
};
use oracle::Oracle;
use rand::{Rng, SeedableRng, rngs::StdRng};
use sim::World;
use std::ops::Range;

/// Not a test: where the shared engine's child process begins.
#[test]
fn engine_child() {
    store::engine::run_if_asked();
}

/// How many worlds, or from which to which: `2000`, `350..360`.
fn seeds() -> Range<u64> {
    let Ok(asked) = std::env::var("TOKENTRAIL_WORLDS") else { return 0..200 };
    let (first, end) = asked.split_once("..").unwrap_or(("0", &asked));
    first.parse().unwrap()..end.parse().unwrap()
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
async fn samples() {
    let mut oracle = Oracle::new(samples::context().key, join()).await;
    let mut story = samples::webhook("pair/keycloak-webhook.ndjson");
    story.extend(samples::pulled("pair/keycloak-events.json"));
    story.extend(samples::pulled("pair/keycloak-admin-events.json"));
    story.extend(samples::lines("pair/backstage-stdout.cri.log.gz"));
    for line in samples::sample("pair/backstage-catalog-history.ndjson").lines() {
        story.push(samples::receipt(Payload::BackstageCatalogSnapshot, Input::Snapshot, line));
    }
    oracle.tell("the recorded story", &events_of(&story)).await;
    let mut keycloak = samples::webhook("keycloak/webhook.ndjson");
    keycloak.extend(samples::pulled("keycloak/events.json"));
    keycloak.extend(samples::pulled("keycloak/admin-events.json"));
    for name in ["custom-auditor", "decisions-wrapper", "events-otel", "events"] {
        let lines = samples::lines(&format!("backstage/audit-{name}.ndjson"));
        oracle.tell(name, &[events_of(&keycloak), events_of(&lines)].concat()).await;
    }
    oracle.ask().await;
    let [sessions, grants, decisions, rights] = oracle.agreed().await;
    println!("{sessions} sessions, {grants} grants, {decisions} decisions, {rights} rights at an instant");
    assert!(sessions > 20 && grants > 10 && decisions > 140 && rights > 20);
}

#[tokio::test]
async fn worlds() {
    let mut oracle = Oracle::new(lines::key(), join()).await;
    let seeds = seeds();
    for seed in seeds.clone() {
        let world = World::generate(seed);
        let mut random = StdRng::seed_from_u64(seed);
        // Some worlds lose lines: what is not there is there for neither side.
        let (lost, whole_reads) = [(0.0, true), (0.2, true), (0.1, false)][usize::try_from(seed % 3).unwrap()];
        let told = world.lines.iter().filter(|line| {
            let kept = whole_reads && line.events[0].data_class == DataClass::Snapshot;
            kept || !random.random_bool(lost)
        });
        let events: Vec<Event> = told.flat_map(|line| line.events.clone()).collect();
        oracle.tell(&format!("world {seed}"), &events).await;
    }
    oracle.ask().await;
    let [sessions, grants, decisions, rights] = oracle.agreed().await;
    println!("{sessions} sessions, {grants} grants, {decisions} decisions, {rights} rights at an instant");
    let worlds = seeds.end - seeds.start;
    assert!(sessions > 3 * worlds && grants > 8 * worlds && decisions > 2 * worlds && rights > 60 * worlds);
}
