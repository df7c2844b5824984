//! `tokentrail journal inspect|verify`: looks at the journal's files without their lock, also while they are written.

use crate::{
    Format,
    commands::{print, write_out},
    status::moment,
    table::{Align, Table},
};
use anyhow::Context;
use durable_log::ScrubReport;
use events::ids::StreamId;
use serde::Serialize;
use std::path::Path;

/// What was found, for programs.
#[derive(Serialize)]
struct Told {
    intact: bool,
    /// UTC milliseconds.
    checked_at: i64,
    segments: usize,
    first_offset: u64,
    next_offset: u64,
    /// Of headers and bodies.
    bytes: u64,
    records: u64,
    streams: Vec<ToldStream>,
    /// Offset that each consumer has committed.
    consumers: std::collections::BTreeMap<String, u64>,
    /// Of `damages`, those that are listed.
    damage: Vec<String>,
    damages: u64,
    /// How many of them lose records, or trust in them.
    losses: u64,
}

#[derive(Serialize)]
struct ToldStream {
    stream: String,
    first_seq: u64,
    last_seq: u64,
    records: u64,
    last_chain: String,
}

impl From<&ScrubReport> for Told {
    fn from(report: &ScrubReport) -> Self {
        let streams = report.streams.iter().map(|stream| ToldStream {
            stream: StreamId(stream.stream).to_string(),
            first_seq: stream.first_seq,
            last_seq: stream.last_seq,
            records: stream.records,
            last_chain: hex::encode(stream.last_chain),
        });
        Self {
            intact: report.is_intact(),
            checked_at: jiff::Timestamp::now().as_millisecond(),
            segments: report.segments,
            first_offset: report.first_offset,
            next_offset: report.next_offset,
            bytes: report.bytes,
            records: report.records,
            streams: streams.collect(),
            consumers: report.committed.iter().cloned().collect(),
            damage: report.damage.iter().map(ToString::to_string).collect(),
            damages: report.damage_total,
            losses: report.losses,
        }
    }
}

fn read(dir: &Path) -> anyhow::Result<ScrubReport> {
    durable_log::inspect(dir).with_context(|| format!("cannot read a journal in {}", dir.display()))
}

/// Lists streams, consumers and damage.
pub fn inspect(dir: &Path, format: Format) -> anyhow::Result<bool> {
    let report = read(dir)?;
    if format == Format::Json {
        return told(&report);
    }
    let mut out = format!(
        "  {} segments, offsets {} to {}, {} MiB of records\n\n",
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
    out.push_str(&streams.render());
    for (consumer, offset) in &report.committed {
        let left = report.next_offset.saturating_sub(*offset);
        out.push_str(&format!("  consumer {consumer}: {offset} committed, {left} to go\n"));
    }
    list(&report, &mut out);
    write_out(out.as_bytes())?;
    Ok(report.is_intact())
}

fn told(report: &ScrubReport) -> anyhow::Result<bool> {
    print(Format::Json, &Told::from(report), |_| String::new())?;
    Ok(report.is_intact())
}

fn list(report: &ScrubReport, out: &mut String) {
    for damage in &report.damage {
        out.push_str(&format!("  {damage}\n"));
    }
    if report.damage_total > report.damage.len() as u64 {
        out.push_str(&format!("  ... and {} more\n", report.damage_total - report.damage.len() as u64));
    }
}

/// Checks every byte, commitment and link of the chain.
pub fn verify(dir: &Path, format: Format) -> anyhow::Result<bool> {
    let report = read(dir)?;
    if format == Format::Json {
        return told(&report);
    }
    let mut out = String::new();
    list(&report, &mut out);
    let (streams, records) = (report.streams.len(), report.records);
    out.push_str(&if report.is_intact() {
        let now = moment(jiff::Timestamp::now().as_millisecond());
        format!("  intact: {records} records of {streams} streams, every checksum, commitment and link of the chain checked at {now}\n")
    } else {
        format!("  DAMAGED: {} losses; {records} records of {streams} streams check out\n", report.losses)
    });
    write_out(out.as_bytes())?;
    Ok(report.is_intact())
}
