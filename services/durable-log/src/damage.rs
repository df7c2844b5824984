//! Damage: bytes or records that are not what was written. Always named, never skipped in silence, never deleted.

use crate::shared::now_ms;
use std::collections::HashMap;
use std::fmt;
use std::ops::Range;

/// Most damages kept by name in a status; further ones are only counted.
const MAX_LISTED: usize = 1000;

/// What is wrong, and whether records are lost by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DamageKind {
    /// Bytes of a segment do not check out: the records of the range cannot be read.
    Damaged,
    /// Records that were acknowledged are not on disk at all: a segment or its tail is gone.
    Missing,
    /// A record checks out by itself but does not continue the chain of the one before it.
    ChainBroken,
    /// A record's body does not match its commitment (found by a scrub).
    CommitmentBroken,
    /// Bytes behind the last record, of a write that was never acknowledged. Harmless.
    TornTail,
    /// The header of a segment does not check out; its records are readable without it. Harmless.
    SegmentHeader,
    /// The footer of a segment does not check out or disagrees with its records. Harmless.
    SegmentFooter,
    /// A slot of a cursor, of the durable mark or of the trim mark does not check out; the other slot or a safe lower
    /// bound was used. Harmless.
    SideFile,
}

impl DamageKind {
    /// True if acknowledged records cannot be read or cannot be trusted: someone must act.
    pub fn loses_records(self) -> bool {
        matches!(self, Self::Damaged | Self::Missing | Self::ChainBroken | Self::CommitmentBroken)
    }

    /// Name for logs and metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Damaged => "damaged",
            Self::Missing => "missing",
            Self::ChainBroken => "chain_broken",
            Self::CommitmentBroken => "commitment_broken",
            Self::TornTail => "torn_tail",
            Self::SegmentHeader => "segment_header",
            Self::SegmentFooter => "segment_footer",
            Self::SideFile => "side_file",
        }
    }
}

/// Numbers of one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SeqRange {
    /// The stream.
    pub stream: [u8; 16],
    /// First number.
    pub first_seq: u64,
    /// Last number.
    pub last_seq: u64,
}

/// One damage.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Damage {
    /// What is wrong.
    pub kind: DamageKind,
    /// File, relative to the journal's folder.
    pub file: String,
    /// Byte range in the file; empty if there are no such bytes.
    pub bytes: Range<u64>,
    /// Offsets concerned; empty if no record is.
    pub offsets: Range<u64>,
    /// The records at these offsets. `None` if none is concerned, or if nothing that is left says of which stream they
    /// were: the opening of the next stream, which names the last number of the one before it, then tells downstream.
    pub seqs: Option<SeqRange>,
    /// When it was first found since the journal was opened, UTC milliseconds.
    pub found_ms: u64,
    /// Copy of the bytes, relative to the journal's folder, if there is one.
    pub quarantine: Option<String>,
}

impl Damage {
    /// Found now; neither located in a stream nor copied.
    pub(crate) fn new(kind: DamageKind, file: impl Into<String>, bytes: Range<u64>, offsets: Range<u64>) -> Self {
        Self { kind, file: file.into(), bytes, offsets, seqs: None, found_ms: now_ms(), quarantine: None }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} bytes {}..{}", self.kind.as_str(), self.file, self.bytes.start, self.bytes.end)?;
        if !self.offsets.is_empty() {
            write!(f, ", records {}..{}", self.offsets.start, self.offsets.end)?;
        }
        if let Some(SeqRange { stream, first_seq, last_seq }) = &self.seqs {
            write!(f, " (stream {} seq {first_seq} to {last_seq})", hex::encode(stream))?;
        }
        match &self.quarantine {
            Some(copy) => write!(f, ", copy in {copy}"),
            None => Ok(()),
        }
    }
}

/// Where a stream lies: its records are dense in the journal.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) stream: [u8; 16],
    /// Offset of sequence number 0.
    pub(crate) start: u64,
    /// Offset after the last record that is known to be of this stream.
    pub(crate) end: u64,
}

impl Run {
    /// From a place in the stream to `end`; `None` if the numbers cannot be.
    pub(crate) fn new(stream: [u8; 16], (offset, seq): (u64, u64), end: u64) -> Option<Self> {
        Some(Self { stream, start: offset.checked_sub(seq)?, end })
    }
}

/// Cuts a damage where streams begin and end, and says which numbers of which stream each part held.
pub(crate) fn locate(runs: &[Run], damage: Damage) -> Vec<Damage> {
    let mut parts = Vec::new();
    let mut rest = damage.offsets.clone();
    while !rest.is_empty() {
        let run = runs.iter().find(|run| (run.start..run.end).contains(&rest.start));
        let next = runs.iter().map(|run| run.start).filter(|start| *start > rest.start).min();
        let end = run.map(|run| run.end).or(next).unwrap_or(rest.end).min(rest.end);
        let seqs = run.map(|run| SeqRange {
            stream: run.stream,
            first_seq: rest.start - run.start,
            last_seq: end - 1 - run.start,
        });
        parts.push(Damage { offsets: rest.start..end, seqs, ..damage.clone() });
        rest.start = end;
    }
    if parts.is_empty() { vec![damage] } else { parts }
}

/// The damages that a journal has met since it was opened.
#[derive(Debug, Default)]
pub(crate) struct Register {
    /// Place in `listed`.
    seen: HashMap<Key, usize>,
    listed: Vec<Damage>,
    total: u64,
}

type Key = (DamageKind, String, u64, u64);

impl Register {
    /// The same damage as it was first found.
    pub(crate) fn known(&self, damage: &Damage) -> Option<&Damage> {
        self.seen.get(&key(damage)).and_then(|at| self.listed.get(*at))
    }

    /// Notes a damage once and reports it in the program's log.
    pub(crate) fn note(&mut self, damage: Damage) {
        if self.known(&damage).is_some() {
            return;
        }
        self.total += 1;
        // Beyond the list no name is kept, so a range that is read again counts again: an upper bound.
        if self.listed.len() < MAX_LISTED {
            report(&damage);
            self.seen.insert(key(&damage), self.listed.len());
            self.listed.push(damage);
        }
    }

    /// Those listed, and how many there were.
    pub(crate) fn snapshot(&self) -> (Vec<Damage>, u64) {
        (self.listed.clone(), self.total)
    }
}

/// Recovery, reading and scrub name the same missing records by different files: what counts is which they are.
fn key(damage: &Damage) -> Key {
    let (file, at) = match damage.kind {
        DamageKind::Missing => (String::new(), 0),
        _ => (damage.file.clone(), damage.bytes.start),
    };
    (damage.kind, file, at, damage.offsets.start)
}

fn report(damage: &Damage) {
    let kind = damage.kind.as_str();
    let (from, to) = (damage.offsets.start, damage.offsets.end);
    if damage.kind.loses_records() {
        tracing::error!(kind, file = damage.file, bytes = ?damage.bytes, from, to, quarantine = ?damage.quarantine,
            "The journal has lost records; the range is named and reading goes on behind it.");
    } else {
        tracing::warn!(kind, file = damage.file, bytes = ?damage.bytes, from, to, quarantine = ?damage.quarantine,
            "The journal found bytes that do not check out; no acknowledged record is concerned.");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Part = (Range<u64>, Option<(u8, u64, u64)>);

    fn parts(runs: &[Run], offsets: Range<u64>) -> Vec<Part> {
        let seqs = |damage: &Damage| damage.seqs.map(|seqs| (seqs.stream[0], seqs.first_seq, seqs.last_seq));
        let located = locate(runs, Damage::new(DamageKind::Missing, "f", 0..0, offsets));
        located.into_iter().map(|damage| (damage.offsets.clone(), seqs(&damage))).collect()
    }

    #[test]
    fn a_damage_is_cut_where_streams_begin_and_end() {
        // Stream 1 from offset 0 is known up to 10; stream 2 has its number 5 at offset 20 and ends at 30.
        let runs = [Run::new([1; 16], (0, 0), 10).unwrap(), Run::new([2; 16], (20, 5), 30).unwrap()];
        assert_eq!(parts(&runs, 3..5), [(3..5, Some((1, 3, 4)))]);
        assert_eq!(parts(&runs, 16..20), [(16..20, Some((2, 1, 4)))], "before the first frame that is left");
        assert_eq!(
            parts(&runs, 8..40),
            [(8..10, Some((1, 8, 9))), (10..15, None), (15..30, Some((2, 0, 14))), (30..40, None)]
        );
        assert_eq!(parts(&runs, 4..4), [(4..4, None)], "no record is concerned");
        assert!(Run::new([3; 16], (4, 5), 9).is_none());
    }
}
