//! The stages: each puts load on one part of the way over Kafka and returns what it measured.

use crate::{
    cluster::{Cluster, Collector, LOOK, Processor, until},
    load::{Load, Outcome, Pace, Shape},
    measure::Times,
    watch::Watch,
    workload::World,
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// The rate that goals of lag and memory are given for.
pub const RATE: f64 = 5_000.0;
/// Connections of the load generator.
const CONNECTIONS: u32 = 32;
const BATCH_CONNECTIONS: u32 = 4;

fn load(world: &Arc<World>, collector: &Collector, (shape, pace): (Shape, Pace)) -> Outcome {
    let connections = if shape == Shape::Single { CONNECTIONS } else { BATCH_CONNECTIONS };
    Load { world: world.clone(), address: collector.address(), connections, shape, pace }.run()
}

fn open(events: u64) -> (Shape, Pace) {
    (Shape::Single, Pace::Open { per_second: RATE, time: Duration::from_secs_f64(events as f64 / RATE) })
}

/// Single webhooks at [`RATE`] while no broker is there: microseconds of the collector an event.
pub fn alone(world: &Arc<World>, collector: &Collector, events: u64) -> (Outcome, f64) {
    let before = collector.cpu();
    let outcome = load(world, collector, open(events));
    let each = (collector.cpu() - before) / outcome.ledger.receipts() as f64 * 1e6;
    (outcome, each)
}

/// Batches as fast as they are taken, into the journal.
pub fn pile(world: &Arc<World>, collector: &Collector, time: Duration) -> Outcome {
    load(world, collector, (Shape::Batch, Pace::Closed(time)))
}

/// Single webhooks at [`RATE`], over the broker into ClickHouse.
pub struct Steady {
    pub outcome: Outcome,
    /// From acknowledged to queryable.
    pub lag: Times,
    /// Microseconds an event: collector, processor, engine, broker.
    pub each: [f64; 4],
}

pub fn steady(
    world: &Arc<World>,
    (cluster, collector, processor): (&Cluster, &Collector, &Processor),
    events: u64,
) -> Steady {
    processor.reads();
    let stored = processor.stored();
    let cpu = || {
        let (own, engine) = processor.cpu();
        [collector.cpu(), own, engine, cluster.broker_cpu()]
    };
    let watch = Watch::start(processor.queries(), LOOK);
    let before = cpu();
    let outcome = load(world, collector, open(events));
    let receipts = outcome.ledger.receipts();
    until("everything is confirmed", || (collector.waiting() == 0).then_some(()));
    until("everything is stored", || (processor.stored() >= stored + receipts).then_some(()));
    let after = cpu();
    let each = std::array::from_fn(|at| (after[at] - before[at]) / receipts as f64 * 1e6);
    let lag = lags(watch, &outcome, stored);
    Steady { outcome, lag, each }
}

/// Lag of the n-th acknowledgement until ClickHouse held n: of single receipts, whichever partition each lay on, this is
/// what the one that waited longest waited at most.
fn lags(watch: Watch, outcome: &Outcome, stored: u64) -> Times {
    let mut looks = watch.looks().into_iter();
    let mut answers: Vec<Instant> = outcome.answers.iter().map(|answer| answer.at).collect();
    answers.sort_unstable();
    let mut look = looks.next().unwrap();
    let lags = answers.into_iter().enumerate().map(|(at, answered)| {
        while look.1 < stored + at as u64 + 1 {
            look = looks.next().expect("the last look saw everything");
        }
        look.0.saturating_duration_since(answered)
    });
    Times::new(lags.collect())
}

/// A backlog that was worked off, without any other load.
#[derive(Clone, Copy, Debug)]
pub struct Drained {
    pub records: u64,
    pub wall: Duration,
    /// Microseconds a record: of the one that worked, of its engine, of the broker.
    pub each: [f64; 3],
}

/// What a journal holds, onto the topic: call right after the collector's start.
pub fn forwarded(cluster: &Cluster, collector: &Collector) -> Drained {
    until("the first confirmations", || (collector.confirmed() > 0).then_some(()));
    let (started, first) = (Instant::now(), collector.confirmed());
    let before = [collector.cpu(), 0.0, cluster.broker_cpu()];
    until("everything is confirmed", || (collector.waiting() == 0).then_some(()));
    let after = [collector.cpu(), 0.0, cluster.broker_cpu()];
    drained((started, collector.confirmed() - first), before, after)
}

/// What lies on the topic, into ClickHouse: call right after the processor's start.
pub fn processed(cluster: &Cluster, processor: &Processor, total: u64) -> Drained {
    let cpu = || {
        let (own, engine) = processor.cpu();
        [own, engine, cluster.broker_cpu()]
    };
    let before_first = processor.stored();
    let first = until("the first block", || Some(processor.stored()).filter(|stored| *stored > before_first));
    let (started, before) = (Instant::now(), cpu());
    until("everything is stored", || (processor.stored() >= total).then_some(()));
    drained((started, total - first), before, cpu())
}

fn drained((started, records): (Instant, u64), before: [f64; 3], after: [f64; 3]) -> Drained {
    let wall = started.elapsed();
    let each = std::array::from_fn(|at| (after[at] - before[at]) / records.max(1) as f64 * 1e6);
    Drained { records, wall, each }
}

/// A broker that stands still while webhooks come at [`RATE`], and the time from its return until all could be queried.
pub fn outage(
    world: &Arc<World>,
    (cluster, collector, processor): (&Cluster, &Collector, &Processor),
    events: u64,
) -> (Outcome, Drained) {
    let stored = processor.stored();
    cluster.kafka.freeze(0);
    let outcome = load(world, collector, open(events));
    let (own, engine) = processor.cpu();
    let before = [own, engine, cluster.broker_cpu()];
    let started = Instant::now();
    cluster.kafka.thaw(0);
    let receipts = outcome.ledger.receipts();
    until("it has caught up", || (processor.stored() >= stored + receipts).then_some(()));
    let (own, engine) = processor.cpu();
    let caught = drained((started, receipts), before, [own, engine, cluster.broker_cpu()]);
    (outcome, caught)
}
