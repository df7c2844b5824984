//! Damage: bytes or records that are not what was written. Always named, never skipped in silence, never deleted.

use std::collections::HashSet;
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
    /// Copy of the bytes, relative to the journal's folder, if there is one.
    pub quarantine: Option<String>,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} bytes {}..{}", self.kind.as_str(), self.file, self.bytes.start, self.bytes.end)?;
        if !self.offsets.is_empty() {
            write!(f, ", records {}..{}", self.offsets.start, self.offsets.end)?;
        }
        match &self.quarantine {
            Some(copy) => write!(f, ", copy in {copy}"),
            None => Ok(()),
        }
    }
}

/// The damages that a journal has met since it was opened.
#[derive(Debug, Default)]
pub(crate) struct Register {
    seen: HashSet<(DamageKind, String, u64, u64)>,
    listed: Vec<Damage>,
    total: u64,
}

impl Register {
    /// True if this damage was not known.
    pub(crate) fn is_new(&self, damage: &Damage) -> bool {
        !self.seen.contains(&key(damage))
    }

    /// Notes a damage once and reports it in the program's log.
    pub(crate) fn note(&mut self, damage: Damage) {
        if self.listed.len() >= MAX_LISTED {
            // Not by name any more, so a range that is read again counts again: the count is then an upper bound.
            self.total += 1;
            return;
        }
        if !self.seen.insert(key(&damage)) {
            return;
        }
        self.total += 1;
        report(&damage);
        self.listed.push(damage);
    }

    /// Those listed, and how many there were.
    pub(crate) fn snapshot(&self) -> (Vec<Damage>, u64) {
        (self.listed.clone(), self.total)
    }

    /// The copy that was made of a known damage.
    pub(crate) fn quarantine_of(&self, damage: &Damage) -> Option<String> {
        let known = key(damage);
        self.listed.iter().find(|listed| key(listed) == known)?.quarantine.clone()
    }
}

fn key(damage: &Damage) -> (DamageKind, String, u64, u64) {
    (damage.kind, damage.file.clone(), damage.bytes.start, damage.offsets.start)
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
