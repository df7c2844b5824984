//! The count of lines that are no receipts, as the last piece of a delivery.
//!
//! A shipper that repeats a delivery repeats its lines with the times at which it read them: where every counted line has
//! such a time, the keyed mark of them all tells the repeat from another delivery that merely counts the same.

use super::{Piece, backstage::Reading};
use events::{
    lines::{LineCounts, LineKind},
    receipt::{LinePlace, Payload, TimeBasis},
};
use sha2::{Digest, Sha256};

#[derive(Default)]
pub(super) struct Counts {
    counts: LineCounts,
    lines: u32,
    hash: Sha256,
    last_ns: Option<i64>,
    undated: bool,
}

impl Counts {
    /// Counts a line of an instance that a shipper read at this time (UTC nanoseconds).
    pub fn add(&mut self, kind: LineKind, (instance, read_at): (&str, Option<i64>), line: &str) {
        self.counts.add(kind);
        self.lines += 1;
        self.last_ns = read_at;
        self.undated |= read_at.is_none();
        if self.undated {
            return;
        }
        for part in [instance.as_bytes(), &read_at.unwrap_or_default().to_be_bytes(), line.as_bytes()] {
            self.hash.update((part.len() as u64).to_be_bytes());
            self.hash.update(part);
        }
    }

    /// The piece, if anything was counted.
    pub fn piece(self, reading: &Reading<'_>) -> Option<Piece> {
        if self.lines == 0 {
            return None;
        }
        let mut piece = Piece::of(Payload::LineCounts, self.counts.to_bytes());
        if !self.undated {
            piece.line = Some(LinePlace {
                instance: String::new(),
                number: self.lines - 1,
                time_ns: self.last_ns,
                basis: TimeBasis::Shipper,
                mark: reading.key.mark("counted-lines", &[&hex::encode(self.hash.finalize())]),
                backlog: reading.backlog,
            });
        }
        Some(piece)
    }
}
