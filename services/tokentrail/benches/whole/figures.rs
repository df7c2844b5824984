//! The goals, each with what was measured and what stands in the way when it is missed.

use crate::{
    Results,
    measure::Times,
    report::{
        Figure,
        Goal::{AtLeast, AtMost},
    },
    stages::Stored,
};
use std::time::Duration;

/// The lines of the table.
pub fn figures(results: &Results) -> Vec<Figure> {
    let mut figures = Vec::new();
    intake(results, &mut figures);
    storing(results, &mut figures);
    standing(results, &mut figures);
    correlated(results, &mut figures);
    alarmed(results, &mut figures);
    figures
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Microseconds per event.
fn each(seconds: f64, of: &Stored) -> f64 {
    seconds / of.receipts as f64 * 1e6
}

fn intake(results: &Results, figures: &mut Vec<Figure>) {
    let compared = &results.compared;
    figures.push(Figure {
        stage: "webhook verified, redacted, answered, no disk",
        goal: AtMost(1.5),
        unit: "x bare axum",
        measured: compared.intake_ratio,
        note: format!(
            "{:.1} us of {:.1} us; {:.0} bytes a request with its head",
            compared.intake, compared.bare, compared.request_bytes
        ),
        why: "signature, one pass of redaction, header and answer cost about as much user time as axum and hyper",
    });
    figures.push(Figure {
        stage: "+ durable in the journal before the answer",
        goal: AtMost(1.8),
        unit: "x bare axum",
        measured: compared.durable_ratio,
        note: format!(
            "{:.1} us; {:.0}/s with the generator on the same cores",
            compared.durable, compared.durable_rate
        ),
        why: "commitment, chain and checksum, the way to the writer's thread and back, and its share of a write and a \
            sync, of which there are at most a thousand a second",
    });
    figures.push(Figure {
        stage: "its latency at 5,000/s, p99",
        goal: AtMost(10.0),
        unit: "ms",
        measured: ms(results.steady.latency.at(0.99)),
        note: format!(
            "with pipeline and engine beside it; without them {:.2}, bare axum {:.2}",
            ms(compared.durable_latency.at(0.99)),
            ms(compared.bare_latency.at(0.99))
        ),
        why: "an answer waits for one or two syncs of the disk (above), which engine and others use, too",
    });
}

fn storing(results: &Results, figures: &mut Vec<Figure>) {
    let (drained, batches, steady) = (&results.drained, &results.batches, &results.steady);
    let events = steady.outcome.ledger.receipts() as f64;
    figures.push(Figure {
        stage: "journal to ClickHouse, all processes",
        goal: AtMost(25.0),
        unit: "us/event",
        measured: each(drained.cpu.all(), drained),
        note: format!(
            "program {:.1}, engine {:.1}, merges included",
            each(drained.cpu.program, drained),
            each(drained.cpu.engine, drained)
        ),
        why: "the engine sorts, compresses and writes three rows of 89 columns in all (two thirds of its share) and merges \
            each again at least once (a third); half of the program's share is normalising and encoding, the rest memory \
            that each block takes anew",
    });
    figures.push(Figure {
        stage: "end to end with batches, until queryable",
        goal: AtLeast(40_000.0),
        unit: "events/s",
        measured: batches.receipts as f64 / batches.wall.as_secs_f64(),
        note: format!(
            "program {:.1}, engine {:.1}, generator {:.1} us/event on the same cores",
            each(batches.cpu.program, batches),
            each(batches.cpu.engine, batches),
            each(batches.outcome.generator_cpu, batches)
        ),
        why: "processors times a second, divided by what an event costs all processes; and the disk's syncs",
    });
    figures.push(Figure {
        stage: "lag at 5,000/s, p99",
        goal: AtMost(1.5),
        unit: "s",
        measured: steady.lag.at(0.99).as_secs_f64(),
        note: format!(
            "p50 {:.2}, from acknowledged to queryable; program {:.1}, engine {:.1} us/event at this rate",
            steady.lag.at(0.5).as_secs_f64(),
            steady.cpu.program / events * 1e6,
            steady.cpu.engine / events * 1e6
        ),
        why: "three inserts one after another, each with a dozen or more syncs of the disk (above)",
    });
    let why = "event id and the source's own id, 16 random bytes each, are in event and receipt, beside 32 bytes of \
        commitment (docs/store.md)";
    for (stage, goal, measured) in [
        ("stored size without raw bodies", 150.0, results.sizes.0),
        ("stored size with raw bodies", 340.0, results.sizes.1),
    ] {
        figures.push(Figure { stage, goal: AtMost(goal), unit: "bytes/event", measured, note: String::new(), why });
    }
}

fn correlated(results: &Results, figures: &mut Vec<Figure>) {
    let (drained, steady) = (&results.correlated.drained, &results.correlated.steady);
    let events = steady.outcome.ledger.receipts() as f64;
    figures.push(Figure {
        stage: "journal to ClickHouse with the correlation",
        goal: AtMost(25.0),
        unit: "us/event",
        measured: each(drained.cpu.all(), drained),
        note: format!(
            "program {:.1}, engine {:.1}; {:.0}/s queryable; {:.0} / {:.0} bytes an event on disk",
            each(drained.cpu.program, drained),
            each(drained.cpu.engine, drained),
            drained.receipts as f64 / drained.wall.as_secs_f64(),
            results.correlated.sizes.0,
            results.correlated.sizes.1
        ),
        why: "events are read back from ClickHouse to be merged over their inputs, answered anew, and their rows written:             what of it is the correlation's is the difference to the line without it",
    });
    let (first, last) = steady.quarters;
    figures.push(Figure {
        stage: "memory with what the correlation knows",
        goal: AtMost(1_000.0 + 150.0),
        unit: "MB",
        measured: steady.peak.peak,
        note: format!(
            "anonymous {first:.0} to {last:.0} MB, second to last quarter; p99 {:.2} ms, lag p99 {:.2} s; program {:.1}, engine {:.1} us/event",
            ms(steady.latency.at(0.99)),
            steady.lag.at(0.99).as_secs_f64(),
            steady.cpu.program / events * 1e6,
            steady.cpu.engine / events * 1e6
        ),
        why: "people and their histories beyond the budget",
    });
}

fn alarmed(results: &Results, figures: &mut Vec<Figure>) {
    let (alarmed, lateness) = (&results.alarmed, crate::alarm::LATENESS.as_secs());
    let seconds = |times: &Times, share| times.at(share).as_secs_f64();
    figures.push(Figure {
        stage: "deciding event to delivery at 5,000/s, p99",
        goal: AtMost(5.0),
        unit: "s",
        measured: seconds(&alarmed.beyond, 0.99),
        note: format!(
            "p50 {:.2}, {} of {} findings told, from when the event is queryable and the allowance for late events ({lateness} s here) is over; \
             from acknowledged, allowance included: p50 {:.2}, p99 {:.2}",
            seconds(&alarmed.beyond, 0.5),
            alarmed.told,
            alarmed.planted,
            seconds(&alarmed.whole, 0.5),
            seconds(&alarmed.whole, 0.99)
        ),
        why: "a burst is one message (alerts.group_seconds, 2 s); before it, the correlation and a round of the rules, which waits for \
            the rest after the one before",
    });
}

fn standing(results: &Results, figures: &mut Vec<Figure>) {
    let steady = &results.steady;
    let (first, last) = steady.quarters;
    figures.push(Figure {
        stage: "memory of the program without the engine",
        goal: AtMost(150.0),
        unit: "MB",
        measured: steady.peak.peak,
        note: format!("highest resident over {} events at 5,000/s", steady.outcome.ledger.receipts()),
        why: "blocks pile up when ClickHouse is slow: each is held until it is acknowledged",
    });
    figures.push(Figure {
        stage: "its growth, second to last quarter",
        goal: AtMost(5.0),
        unit: "MB",
        measured: last - first,
        note: format!("anonymous {first:.0} to {last:.0} MB"),
        why: "blocks were larger at the end than at the beginning, or something grows: run a longer one",
    });
    figures.push(Figure {
        stage: "ready after a start with a warm engine",
        goal: AtMost(2.0),
        unit: "s",
        measured: results.ready.store.as_secs_f64(),
        note: format!(
            "takes receipts after {:.2}, ClickHouse can be asked after this",
            results.ready.intake.as_secs_f64()
        ),
        why: "the engine loads its library and its tables",
    });
}
