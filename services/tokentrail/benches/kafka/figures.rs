//! The goals of the way over Kafka, each with what was measured.

use crate::{
    Results,
    report::{
        Figure,
        Goal::{AtLeast, AtMost},
    },
    stages::{Drained, RATE},
};

/// Records a second of wall-clock time.
fn rate(of: &Drained) -> f64 {
    of.records as f64 / of.wall.as_secs_f64()
}

/// The lines of the table.
pub fn figures(results: &Results) -> Vec<Figure> {
    let Results { alone, steady, forwarded, bare, processed, caught_up, .. } = results;
    let [collector, processor, engine, broker] = steady.each;
    vec![
        Figure {
            stage: "webhook to the broker's acknowledgement, over the journal alone",
            goal: AtMost(4.0),
            unit: "us/event",
            measured: collector - alone,
            note: format!(
                "at {RATE:.0}/s: collector {collector:.1} with, {alone:.1} without a broker; broker {broker:.1} apart"
            ),
            why: "at this rate a batch holds few records: each batch costs the same whatever is in it",
        },
        Figure {
            stage: "forwarder on one core, lz4",
            goal: AtLeast(60_000.0),
            unit: "events/s",
            measured: 1e6 / forwarded.each[0],
            note: format!(
                "{:.1} us of the collector a record, {:.1} of the broker apart; {:.0}/s with both on these cores",
                forwarded.each[0],
                forwarded.each[2],
                rate(forwarded)
            ),
            why: "reading and checking the journal, key and headers of each record, librdkafka's batches and their compression",
        },
        Figure {
            stage: "its processor time",
            goal: AtMost(1.5),
            unit: "x bare producer",
            measured: forwarded.each[0] / bare,
            note: format!("a bare loop of librdkafka with the same records from memory: {bare:.1} us"),
            why: "reading and checking the journal, and labels made from each receipt's header",
        },
        Figure {
            stage: "processor on one core, into ClickHouse",
            goal: AtLeast(50_000.0),
            unit: "events/s",
            measured: 1e6 / processed.each[0],
            note: format!(
                "{:.1} us of the processor a record, engine {:.1}, broker {:.1} apart; {:.0}/s with all on these cores",
                processed.each[0],
                processed.each[1],
                processed.each[2],
                rate(processed)
            ),
            why: "checking each record's commitment, normalising, encoding columns, and memory that each block takes anew",
        },
        Figure {
            stage: "lag at 5,000/s, p99",
            goal: AtMost(2.0),
            unit: "s",
            measured: steady.lag.at(0.99).as_secs_f64(),
            note: format!(
                "p50 {:.2}, from acknowledged to queryable; processor {processor:.1}, engine {engine:.1} us/event at this rate",
                steady.lag.at(0.5).as_secs_f64()
            ),
            why: "a block waits for records, then three inserts one after another, each with a dozen or more syncs of the disk",
        },
        Figure {
            stage: "catch-up after an outage of the broker",
            goal: AtLeast(5.0),
            unit: "x arrival",
            measured: rate(caught_up) / RATE,
            note: format!(
                "{} receipts until queryable in {:.1} s from the broker's return",
                caught_up.records,
                caught_up.wall.as_secs_f64()
            ),
            why: "forwarder, broker, processor and engine share the cores",
        },
        Figure {
            stage: "memory of a collector",
            goal: AtMost(200.0),
            unit: "MB",
            measured: results.memory.0,
            note: format!("highest resident; {} receipts were waiting", results.backlog),
            why: "librdkafka's queue and what the forwarder holds between cursor and last record",
        },
        Figure {
            stage: "memory of a processor without the engine",
            goal: AtMost(200.0),
            unit: "MB",
            measured: results.memory.1,
            note: format!("highest resident; {} records were waiting", processed.records),
            why: "blocks that wait in columns, what was fetched ahead, and what the rules look at",
        },
    ]
}
