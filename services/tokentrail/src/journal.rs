//! `tokentrail journal inspect|verify`: looks at the journal's files without their lock, also while they are written.

use crate::{
    status::moment,
    table::{Align, Table},
};
use anyhow::Context;
use durable_log::ScrubReport;
use events::ids::StreamId;
use std::path::Path;

fn read(dir: &Path) -> anyhow::Result<ScrubReport> {
    durable_log::inspect(dir).with_context(|| format!("cannot read a journal in {}", dir.display()))
}

/// Lists streams, consumers and damage.
pub fn inspect(dir: &Path) -> anyhow::Result<bool> {
    let report = read(dir)?;
    println!(
        "  {} segments, offsets {} to {}, {} MiB of records\n",
        report.segments,
        report.first_offset,
        report.next_offset,
        report.bytes >> 20
    );
    let mut streams = Table::new(&[
        ("stream", Align::Left),
        ("first", Align::Right),
        ("last", Align::Right),
        ("records", Align::Right),
        ("last chain", Align::Left),
    ]);
    for stream in &report.streams {
        streams.row(vec![
            StreamId(stream.stream).to_string(),
            stream.first_seq.to_string(),
            stream.last_seq.to_string(),
            stream.records.to_string(),
            hex::encode(stream.last_chain),
        ]);
    }
    print!("{}", streams.render());
    for (consumer, offset) in &report.committed {
        println!("  consumer {consumer}: {offset} committed, {} to go", report.next_offset.saturating_sub(*offset));
    }
    list(&report);
    Ok(report.is_intact())
}

fn list(report: &ScrubReport) {
    for damage in &report.damage {
        println!("  {damage}");
    }
    if report.damage_total > report.damage.len() as u64 {
        println!("  ... and {} more", report.damage_total - report.damage.len() as u64);
    }
}

/// Checks every byte, commitment and link of the chain.
pub fn verify(dir: &Path) -> anyhow::Result<bool> {
    let report = read(dir)?;
    list(&report);
    let streams = report.streams.len();
    if report.is_intact() {
        println!(
            "  intact: {} records of {streams} streams, every checksum, commitment and link of the chain checked at {}",
            report.records,
            moment(jiff::Timestamp::now().as_millisecond())
        );
    } else {
        println!("  DAMAGED: {} losses; {} records of {streams} streams check out", report.losses, report.records);
    }
    Ok(report.is_intact())
}
