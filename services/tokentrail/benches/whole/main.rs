//! `make bench`: the whole program against its goals, beside a bare axum handler in the same run.
//!
//! Starts the release binary on a temporary folder, loads it as Keycloaks and Backstages do, and reads processor time
//! from the operating system: program and engine counted, load generator apart. At the end client ledger, journal,
//! fates and ClickHouse must agree. docs/performance.md says how to read the table.
//!
//! `TOKENTRAIL_BENCH_EVENTS` sets the events of the steady stage (default 150,000, half a minute); `--format json`
//! prints everything for programs. `TOKENTRAIL_BENCH_SPENT=1` also prints what the engine spends its time on,
//! `TOKENTRAIL_BENCH_ALARMS_ONLY=1` runs the last stage alone.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measurement")]

mod alarm;
mod figures;
mod load;
mod measure;
mod members;
mod queries;
mod report;
mod servers;
mod spent;
mod stages;
mod template;
mod under_test;
mod watch;
mod workload;

use alarm::Alarmed;
use figures::figures;
use load::Ledger;
use measure::{load as load_average, machine, round};
use report::Report;
use serde_json::{Value, json};
use servers::Role;
use stages::{Comparison, Steady, Stored};
use std::{path::Path, sync::Arc, time::Duration};
use under_test::{Beside, Ready, UnderTest};
use workload::World;

/// The program's allocator also for what it is compared with.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Events of the steady stage when nothing else is asked for.
const EVENTS: u64 = 150_000;
/// How long batches are sent.
const BATCHES: Duration = Duration::from_secs(8);

/// Everything measured.
struct Results {
    steady: Steady,
    batches: Stored,
    compared: Comparison,
    drained: Stored,
    counts: Value,
    sizes: (f64, f64),
    ready: Ready,
    correlated: Correlated,
    alarmed: Alarmed,
}

/// The same with the correlation beside the way of an event.
struct Correlated {
    steady: Steady,
    drained: Stored,
    sizes: (f64, f64),
}

fn main() {
    if let Some(role) = Role::of_this_process() {
        return role.serve();
    }
    let events = std::env::var("TOKENTRAIL_BENCH_EVENTS")
        .map_or(EVENTS, |text| text.parse().expect("TOKENTRAIL_BENCH_EVENTS is a number"));
    let arguments: Vec<String> = std::env::args().collect();
    let as_json = arguments.windows(2).any(|pair| pair == ["--format", "json"]);
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas/samples");
    // Below the build's own folder: the temporary folder of a machine is often memory, where a sync costs nothing.
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    if std::env::var_os("TOKENTRAIL_BENCH_ALARMS_ONLY").is_some() {
        let alarmed = alarm::alarmed(&Arc::new(World::new(&samples)), dir.path(), events);
        return println!("{:#}", alarm_details(&alarmed));
    }
    let mut machine = machine(dir.path());
    let results = run(&Arc::new(World::new(&samples)), dir.path(), events);
    machine["load_after"] = json!(load_average());
    let report = Report { machine, figures: figures(&results), details: details(&results) };
    if as_json {
        println!("{:#}", report.to_json());
    } else {
        println!("\n{}", report.to_text());
    }
}

fn run(world: &Arc<World>, dir: &Path, events: u64) -> Results {
    let data = &dir.join("data");
    let mut ledger = Ledger::default();
    say(&format!("{events} webhooks at {} a second, nothing answered ...", stages::RATE));
    let (program, _) = UnderTest::start(data, Beside::Nothing);
    let steady = stages::steady(world, &program, events);
    ledger.add(steady.outcome.ledger);
    say("batches of a hundred as fast as they are taken ...");
    let batches = stages::batches(world, &program, BATCHES);
    ledger.add(batches.outcome.ledger);
    program.stop();
    let before = ledger.receipts() + 1;

    say("bare axum, the intake without a disk and the program without a ClickHouse, in turns ...");
    let program = UnderTest::start_without_store(data);
    let compared = stages::compare(world, &program);
    compared.outcomes.iter().for_each(|outcome| ledger.add(outcome.ledger));
    program.stop();

    say("what the journal took in meanwhile, into ClickHouse ...");
    let (program, _) = UnderTest::start(data, Beside::Nothing);
    let drained = stages::drain(&program, before, ledger.receipts() + 3);
    say("do client ledger, journal, fates and ClickHouse agree? ...");
    let counts = program.assert_counts_agree(&ledger, 3);
    let sizes = stages::sizes(&program, ledger.receipts());
    program.stop();
    let (program, ready) = UnderTest::start(data, Beside::Nothing);
    program.stop();
    let correlated = correlated(world, &dir.join("correlated"), events);
    say("... and how soon a receiver is told of findings meanwhile ...");
    let alarmed = alarm::alarmed(world, &dir.join("alarmed"), events);
    Results { steady, batches, compared, drained, counts, sizes, ready, correlated, alarmed }
}

fn correlated(world: &Arc<World>, data: &Path, events: u64) -> Correlated {
    say("the same with the correlation: out of the journal ...");
    let program = UnderTest::start_without_store(data);
    let kept = stages::kept(world, &program, BATCHES / 2);
    program.stop();
    let (program, _) = UnderTest::start(data, Beside::Correlation);
    let drained = stages::drain(&program, 0, kept.ledger.receipts() + 2);
    say(&format!("... and {events} webhooks at {} a second ...", stages::RATE));
    let steady = stages::steady(world, &program, events);
    let sizes = stages::sizes(&program, drained.receipts + steady.outcome.ledger.receipts());
    let mut ledger = kept.ledger;
    ledger.add(steady.outcome.ledger);
    program.assert_counts_agree(&ledger, 2);
    program.stop();
    Correlated { steady, drained, sizes }
}

fn say(what: &str) {
    eprintln!("bench: {what}");
}

fn steady_details(steady: &Steady) -> Value {
    let events = steady.outcome.ledger.receipts() as f64;
    json!({
        "events": events, "latency": steady.latency.to_json(), "lag": steady.lag.to_json(),
        "program_us": round(steady.cpu.program / events * 1e6, 1),
        "engine_us": round(steady.cpu.engine / events * 1e6, 1),
        "generator_us": round(steady.outcome.generator_cpu / events * 1e6, 1),
        "resident_mb": round(steady.peak.resident, 1), "anonymous_mb": round(steady.peak.anonymous, 1),
    })
}

fn alarm_details(alarmed: &Alarmed) -> Value {
    json!({
        "events": alarmed.ledger.receipts(), "told": alarmed.told, "planted": alarmed.planted,
        "lateness_s": alarm::LATENESS.as_secs(),
        "beyond": alarmed.beyond.to_json(), "from_acknowledged": alarmed.whole.to_json(),
    })
}

fn details(r: &Results) -> Value {
    let stored = |of: &Stored| {
        json!({
            "receipts": of.receipts, "seconds": round(of.wall.as_secs_f64(), 2),
            "program_cpu_s": round(of.cpu.program, 2), "engine_cpu_s": round(of.cpu.engine, 2),
            "generator_cpu_s": round(of.outcome.generator_cpu, 2),
        })
    };
    json!({
        "steady": steady_details(&r.steady),
        "correlated": {"steady": steady_details(&r.correlated.steady), "drained": stored(&r.correlated.drained)},
        "alarmed": alarm_details(&r.alarmed),
        "compared": {
            "bare_us": round(r.compared.bare, 2), "intake_us": round(r.compared.intake, 2),
            "durable_us": round(r.compared.durable, 2),
            "bare_latency": r.compared.bare_latency.to_json(), "durable_latency": r.compared.durable_latency.to_json(),
        },
        "batches": stored(&r.batches), "drained": stored(&r.drained), "counts": r.counts,
    })
}
