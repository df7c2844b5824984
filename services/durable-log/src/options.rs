//! Options of the embedded journal.

use crate::format::{FOOTER_LEN, SEGMENT_HEADER_LEN};
use std::path::PathBuf;
use std::time::Duration;

/// Least size of a segment: header, footer and some room.
pub(crate) const MIN_SEGMENT_BYTES: u64 = SEGMENT_HEADER_LEN + FOOTER_LEN + 1024;

/// Where the journal lives and how much it may take.
#[derive(Clone, Debug)]
pub struct Options {
    /// Folder, owned by this journal alone.
    pub dir: PathBuf,
    /// Size to which segments are preallocated, in bytes. An append that needs more gets a larger segment.
    pub segment_bytes: u64,
    /// How long a segment is kept after it was sealed, though every consumer has committed it.
    pub keep: Duration,
    /// Most bytes of all segments. Committed segments are freed before their keep time to stay below, and where the file system is
    /// full; uncommitted ones never: appends then answer `Full`.
    pub max_bytes: u64,
    /// Bytes held back on the disk, so that the journal can be opened, and so drained, when the disk is full: at least
    /// twice what the opening entry takes, plus a torn tail to set aside (a group of appends, mostly below 4 MiB).
    pub reserve_bytes: u64,
    /// Most bytes of copies of damaged bytes, which no trim frees. The oldest stay; one that does not fit is not made.
    pub quarantine_bytes: u64,
    /// Most bytes of appends waiting for the writer; beyond, appends answer `Full`.
    pub queue_bytes: u64,
}

impl Options {
    /// The defaults: 64 MiB segments, kept for 24 h, 16 GiB in all, and 256 MiB of copies.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            segment_bytes: 64 << 20,
            keep: Duration::from_secs(24 * 3600),
            max_bytes: 16 << 30,
            reserve_bytes: 4 << 20,
            quarantine_bytes: 256 << 20,
            queue_bytes: 64 << 20,
        }
    }
}
