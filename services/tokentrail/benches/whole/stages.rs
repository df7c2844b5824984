//! The stages: each puts load on one part of the way and returns what it measured.

use crate::{
    load::{Load, Outcome, Pace, Shape},
    measure::{Memory, MemorySeries, Times, median, quarters},
    queries::STORED,
    servers::{Role, Started},
    under_test::{Cpu, UnderTest},
    watch::Watch,
    workload::{Address, SECRET, World},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// The rate that goals of latency and memory are given for.
pub const RATE: f64 = 5_000.0;
/// Connections of the load generator: about what a Keycloak cluster's event listener threads hold open.
const CONNECTIONS: u32 = 32;
/// The intake works on so many requests of lines at once; more are answered 429.
const BATCH_CONNECTIONS: u32 = 4;
/// One turn of one server in the comparison.
const TURN: Duration = Duration::from_millis(1500);
/// Rounds of the comparison; in each, every server has two turns, in mirrored order.
const ROUNDS: usize = 3;
/// Between two looks at how much ClickHouse holds: as fine as the lag is told.
const LOOK: Duration = Duration::from_millis(50);

fn load(world: &Arc<World>, address: Address, shape: Shape, pace: Pace) -> Load {
    let connections = if shape == Shape::Single { CONNECTIONS } else { BATCH_CONNECTIONS };
    Load { world: world.clone(), address, connections, shape, pace }
}

/// Processor time per request of the servers compared, microseconds, and how they relate.
pub struct Comparison {
    pub bare: f64,
    pub intake: f64,
    pub durable: f64,
    /// Medians over the rounds of the ratios within a round.
    pub intake_ratio: f64,
    pub durable_ratio: f64,
    /// Requests per second of the program with its journal, generator on the same machine.
    pub durable_rate: f64,
    /// Latencies at [`RATE`].
    pub bare_latency: Times,
    pub durable_latency: Times,
    /// Mean bytes of a request, head included.
    pub request_bytes: f64,
    /// What the program acknowledged.
    pub outcomes: Vec<Outcome>,
}

/// A server in the comparison.
struct Contestant<'a> {
    address: Address,
    cpu: Box<dyn Fn() -> f64 + 'a>,
}

/// Bare axum, the intake without a disk, and the program without a ClickHouse, in turns.
pub fn compare(world: &Arc<World>, program: &UnderTest) -> Comparison {
    let (bare, intake) = (Started::new(Role::Bare), Started::new(Role::Intake));
    let of = |server: &Started| Address { host: server.address.clone(), secret: SECRET.into(), token: String::new() };
    let contestants = [
        Contestant { address: of(&bare), cpu: Box::new(|| crate::measure::cpu_seconds(bare.pid())) },
        Contestant { address: of(&intake), cpu: Box::new(|| crate::measure::cpu_seconds(intake.pid())) },
        Contestant { address: program.address(), cpu: Box::new(|| program.cpu().all()) },
    ];
    let mut outcomes = Vec::new();
    let mut turn = |place: usize, time: Duration| {
        let contestant = &contestants[place];
        let before = (contestant.cpu)();
        let outcome = load(world, contestant.address.clone(), Shape::Single, Pace::Closed(time)).run();
        let cost = ((contestant.cpu)() - before, outcome.requests());
        let rate = outcome.requests() / outcome.wall.as_secs_f64();
        if place == 2 {
            outcomes.push(outcome);
        }
        (cost, rate)
    };
    for place in 0..3 {
        turn(place, TURN / 3); // warms up
    }
    let mut rounds: [Vec<f64>; 3] = Default::default();
    let mut rates = Vec::new();
    for _ in 0..ROUNDS {
        let mut costs = [(0.0, 0.0); 3];
        for place in [0, 1, 2, 2, 1, 0] {
            let ((cpu, requests), rate) = turn(place, TURN);
            costs[place] = (costs[place].0 + cpu, costs[place].1 + requests);
            if place == 2 {
                rates.push(rate);
            }
        }
        costs.iter().zip(&mut rounds).for_each(|((cpu, requests), round)| round.push(cpu / requests * 1e6));
    }
    let open = |address: &Address, seconds| {
        let pace = Pace::Open { per_second: RATE, time: Duration::from_secs(seconds) };
        load(world, address.clone(), Shape::Single, pace).run()
    };
    let bare_latency = open(&contestants[0].address, 4).latency();
    let durable = open(&contestants[2].address, 8);
    let durable_latency = durable.latency();
    let request_bytes = durable.bytes as f64 / durable.requests();
    outcomes.push(durable);
    let ratio = |of: &[f64]| median(of.iter().zip(&rounds[0]).map(|(one, bare)| one / bare).collect());
    Comparison {
        intake_ratio: ratio(&rounds[1]),
        durable_ratio: ratio(&rounds[2]),
        bare: median(rounds[0].clone()),
        intake: median(rounds[1].clone()),
        durable: median(rounds[2].clone()),
        durable_rate: median(rates),
        bare_latency,
        durable_latency,
        request_bytes,
        outcomes,
    }
}

/// The whole program under single webhooks at [`RATE`].
pub struct Steady {
    pub outcome: Outcome,
    pub latency: Times,
    /// From acknowledged to queryable.
    pub lag: Times,
    pub cpu: Cpu,
    /// Highest memory so far.
    pub peak: Memory,
    /// Mean anonymous memory in the second and in the last quarter, MB.
    pub quarters: (f64, f64),
}

pub fn steady(world: &Arc<World>, program: &UnderTest, events: u64) -> Steady {
    let time = Duration::from_secs_f64(events as f64 / RATE);
    let stored_before = program.number(STORED) as u64;
    let memory = MemorySeries::start(program.pid());
    let watch = Watch::start(program.queries(), LOOK);
    let before = program.cpu();
    let outcome = at_the_rate(world, program, time);
    program.until_stored(stored_before + outcome.ledger.receipts());
    program.until_correlated();
    let cpu = program.cpu().since(before);
    let series = memory.finish();
    let lag = lags(watch, &outcome, stored_before);
    Steady {
        latency: outcome.latency(),
        lag,
        cpu,
        peak: Memory::of(program.pid()),
        quarters: quarters(&series),
        outcome,
    }
}

/// Single webhooks at [`RATE`].
pub fn at_the_rate(world: &Arc<World>, program: &UnderTest, time: Duration) -> Outcome {
    load(world, program.address(), Shape::Single, Pace::Open { per_second: RATE, time }).run()
}

/// Lag of every acknowledged request. A block's receipts are inserted in the order of the journal and after their
/// events, so a receipt is queryable once so many are there.
fn lags(watch: Watch, outcome: &Outcome, stored_before: u64) -> Times {
    let seen = watch.looks();
    let mut answers: Vec<_> = outcome.answers.iter().map(|answer| (answer.end_seq, answer.at)).collect();
    answers.sort_unstable();
    // Everything before this load was stored when it began; streams before this one count, too.
    let first_seq = answers[0].0 - 1;
    let mut looks = seen.into_iter();
    let mut look = looks.next().unwrap();
    let lags = answers.into_iter().map(|(end_seq, at)| {
        while look.1 - stored_before.min(look.1) < end_seq - first_seq {
            look = looks.next().expect("the last look saw everything");
        }
        look.0.saturating_duration_since(at)
    });
    Times::new(lags.collect())
}

/// What it takes to bring receipts into ClickHouse.
pub struct Stored {
    pub outcome: Outcome,
    pub receipts: u64,
    /// From the first request, or from the start of the pipeline, until all were queryable.
    pub wall: Duration,
    /// Merges that follow included.
    pub cpu: Cpu,
}

/// Batches of a hundred as fast as they are taken, until all is queryable.
pub fn batches(world: &Arc<World>, program: &UnderTest, time: Duration) -> Stored {
    let stored_before = program.number(STORED) as u64;
    let before = program.cpu();
    let started = Instant::now();
    let outcome = load(world, program.address(), Shape::Batch, Pace::Closed(time)).run();
    let receipts = outcome.ledger.receipts();
    program.until_stored(stored_before + receipts);
    let wall = started.elapsed();
    program.until_merged();
    Stored { receipts, wall, cpu: program.cpu().since(before), outcome }
}

/// Batches of a hundred into the journal alone.
pub fn kept(world: &Arc<World>, program: &UnderTest, time: Duration) -> Outcome {
    load(world, program.address(), Shape::Batch, Pace::Closed(time)).run()
}

/// What was taken in while ClickHouse was away, brought into it without any other load: call right after the start.
pub fn drain(program: &UnderTest, stored_before: u64, total: u64) -> Stored {
    let started = Instant::now();
    let before = program.cpu();
    program.until_stored(total);
    let wall = started.elapsed();
    program.until_correlated();
    program.until_merged();
    let cpu = program.cpu().since(before);
    Stored { receipts: total - stored_before, wall, cpu, outcome: Outcome::default() }
}

/// Bytes on disk per receipt after all merges: without and with the raw bodies.
pub fn sizes(program: &UnderTest, receipts: u64) -> (f64, f64) {
    for table in ["event_rows", "receipt_rows", "raw_bodies"] {
        program.queries().text(&format!("OPTIMIZE TABLE {table} FINAL"));
    }
    let bytes = |condition: &str| {
        let sql = format!(
            "SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database = 'tokentrail' AND {condition}"
        );
        program.number(&sql) / receipts as f64
    };
    (bytes("table != 'raw_bodies'"), bytes("1"))
}
