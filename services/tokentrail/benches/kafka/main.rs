//! `make bench-kafka`: collectors, a real broker and a processor of the release binary against their goals, beside a bare loop of
//! librdkafka's producer in the same run.
//!
//! Processor time is the operating system's, process by process; the broker's is told apart (a JVM of the tests, without its
//! second compiler). At the end client ledger, journals and ClickHouse must agree. docs/performance.md says how to read the table.
//!
//! `TOKENTRAIL_BENCH_EVENTS` sets the events of the steady stage (default 100,000); `--format json` prints everything for
//! programs.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measurement")]

mod bare;
mod cluster;
mod figures;
#[allow(dead_code, reason = "shared with the bench of the whole program")]
#[path = "../whole/load.rs"]
mod load;
#[allow(dead_code, reason = "shared with the bench of the whole program")]
#[path = "../whole/measure.rs"]
mod measure;
#[allow(dead_code, reason = "shared with the bench of the whole program")]
#[path = "../whole/members.rs"]
mod members;
#[path = "../whole/queries.rs"]
mod queries;
#[path = "../whole/report.rs"]
mod report;
mod stages;
#[path = "../../tests/support/mod.rs"]
mod support;
#[path = "../whole/template.rs"]
mod template;
#[path = "../whole/watch.rs"]
mod watch;
#[allow(dead_code, reason = "shared with the bench of the whole program")]
#[path = "../whole/workload.rs"]
mod workload;

use cluster::{Cluster, Reach};
use load::Ledger;
use measure::{load as load_average, machine, round};
use report::Report;
use serde_json::{Value, json};
use stages::{Drained, Steady};
use std::{path::Path, sync::Arc, time::Duration};
use workload::World;

/// The program's allocator also for what it is compared with.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Events of the steady stage when nothing else is asked for.
const EVENTS: u64 = 100_000;
/// How long batches pile up in a journal that reaches no broker.
const PILE: Duration = Duration::from_secs(8);

/// Everything measured.
pub struct Results {
    /// Microseconds of a collector an event while no broker is there.
    alone: f64,
    steady: Steady,
    forwarded: Drained,
    /// Microseconds of the bare loop a record.
    bare: f64,
    processed: Drained,
    caught_up: Drained,
    /// Receipts that waited in one journal.
    backlog: u64,
    /// Highest resident memory of collectors and processors, MB.
    memory: (f64, f64),
}

fn main() {
    let events = std::env::var("TOKENTRAIL_BENCH_EVENTS")
        .map_or(EVENTS, |text| text.parse().expect("TOKENTRAIL_BENCH_EVENTS is a number"));
    let arguments: Vec<String> = std::env::args().collect();
    let as_json = arguments.windows(2).any(|pair| pair == ["--format", "json"]);
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas/samples");
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut machine = machine(dir.path());
    let results = run(&Arc::new(World::new(&samples)), dir.path(), events);
    machine["load_after"] = json!(load_average());
    let report = Report { machine, figures: figures::figures(&results), details: details(&results) };
    if as_json {
        println!("{:#}", report.to_json());
    } else {
        println!("\n{}", report.to_text());
    }
}

fn run(world: &Arc<World>, dir: &Path, events: u64) -> Results {
    let mut ledger = Ledger::default();
    let cluster = Cluster::start(dir);
    say(&format!("{events} webhooks at {} a second into a journal that reaches no broker ...", stages::RATE));
    let collector = cluster.collector("first", Reach::Nobody);
    let (outcome, alone) = stages::alone(world, &collector, events);
    ledger.add(outcome.ledger);
    ledger.add(stages::pile(world, &collector, PILE).ledger);
    let backlog = collector.end();
    let mut memory = (collector.memory().peak, 0.0);
    collector.stop();

    say("the same over the broker into ClickHouse ...");
    let (collector, processor) = (cluster.collector("second", Reach::Brokers), cluster.processor());
    let steady = stages::steady(world, (&cluster, &collector, &processor), events);
    ledger.add(steady.outcome.ledger);
    say("a broker that stands still, and comes back ...");
    let (outcome, caught_up) = stages::outage(world, (&cluster, &collector, &processor), events / 2);
    ledger.add(outcome.ledger);
    let second = collector.end();
    memory.0 = memory.0.max(collector.memory().peak);
    memory.1 = processor.memory().peak;
    collector.stop();
    processor.stop();

    say("what the first journal holds, onto the topic ...");
    let collector = cluster.collector("first", Reach::Brokers);
    let forwarded = stages::forwarded(&cluster, &collector);
    let first = collector.end();
    memory.0 = memory.0.max(collector.memory().peak);
    collector.stop();
    say("a bare producer ...");
    let bare = bare::produce(cluster.brokers(), "tokentrail.receipts.v1", forwarded.records as usize);
    say("what lies on the topic, into ClickHouse ...");
    let processor = cluster.processor();
    let processed = stages::processed(&cluster, &processor, first + second);
    memory.1 = memory.1.max(processor.memory().peak);
    say("do client ledger, journals and ClickHouse agree? ...");
    processor.assert_counts_agree(&ledger, &[first, second]);
    processor.stop();
    Results { alone, steady, forwarded, bare, processed, caught_up, backlog, memory }
}

fn say(what: &str) {
    eprintln!("bench: {what}");
}

fn details(r: &Results) -> Value {
    let drained = |of: &Drained| {
        json!({
            "records": of.records, "seconds": round(of.wall.as_secs_f64(), 2),
            "own_us": round(of.each[0], 2), "engine_us": round(of.each[1], 2), "broker_us": round(of.each[2], 2),
        })
    };
    let [collector, processor, engine, broker] = r.steady.each.map(|each| round(each, 2));
    json!({
        "alone_us": round(r.alone, 2), "bare_us": round(r.bare, 2),
        "steady": {
            "events": r.steady.outcome.ledger.receipts(), "lag": r.steady.lag.to_json(),
            "latency": r.steady.outcome.latency().to_json(), "collector_us": collector, "processor_us": processor,
            "engine_us": engine, "broker_us": broker,
        },
        "forwarded": drained(&r.forwarded), "processed": drained(&r.processed), "caught_up": drained(&r.caught_up),
        "backlog": r.backlog, "collector_mb": round(r.memory.0, 1), "processor_mb": round(r.memory.1, 1),
    })
}
