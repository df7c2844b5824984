//! What a journal says about itself.

use crate::damage::Damage;
use crate::quarantine::QuarantineStatus;
use crate::segment::locked;
use std::sync::Mutex;
use std::time::Duration;

/// What the writer is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Activity {
    /// Appends are taken in.
    Running,
    /// The last append found no space; the next one tries again.
    Full,
    /// A write or sync failed: state unknown, the process must stop.
    Stopped {
        /// What failed; no bytes of any record.
        why: String,
    },
    /// Closed in good order.
    Closed,
}

/// Syncs of groups of appends since the journal was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Syncs {
    /// How many.
    pub count: u64,
    /// Time in all of them.
    pub total: Duration,
    /// The longest.
    pub longest: Duration,
    /// The last.
    pub last: Duration,
}

/// A journal at one moment.
#[derive(Clone, Debug)]
pub struct Status {
    /// Stream of this run.
    pub stream: [u8; 16],
    /// First offset kept.
    pub first: u64,
    /// Offset after the last durable record.
    pub end: u64,
    /// Cursor of every consumer.
    pub committed: Vec<(String, u64)>,
    /// Bytes of all segments, preallocated ones included.
    pub bytes: u64,
    /// Number of segments.
    pub segments: usize,
    /// Bytes of appends not yet answered.
    pub queued_bytes: u64,
    /// Damages met since the journal was opened, by name; bounded.
    pub damage: Vec<Damage>,
    /// How many there were.
    pub damage_total: u64,
    /// Copies of damaged bytes.
    pub quarantine: QuarantineStatus,
    /// What the writer is doing.
    pub activity: Activity,
    /// False if an append made now would most likely be refused.
    pub can_append: bool,
    /// Syncs.
    pub syncs: Syncs,
}

#[derive(Default)]
pub(crate) struct SyncMeter(Mutex<Syncs>);

impl SyncMeter {
    pub(crate) fn note(&self, took: Duration) {
        let mut syncs = locked(&self.0);
        syncs.count += 1;
        syncs.total += took;
        syncs.longest = syncs.longest.max(took);
        syncs.last = took;
    }

    pub(crate) fn snapshot(&self) -> Syncs {
        *locked(&self.0)
    }
}
