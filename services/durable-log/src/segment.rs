//! One segment as the running journal knows it: name, identity, extent, and a sparse index for finding an offset.

use crate::scan::{Identity, Limit};
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

const SUFFIX: &str = ".seg";
/// An index entry is kept for about every this many bytes.
const INDEX_STRIDE: u64 = 256 * 1024;
/// Exact places where reads stopped, for consumers that read on.
const HINTS: usize = 16;

/// How far a segment reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Position after the last durable frame; of a sealed segment without a good footer, the length of the file.
    pub(crate) end: u64,
    /// Offset after the last durable record.
    pub(crate) next_offset: u64,
    /// When it was sealed, UTC milliseconds; `None` for the segment being written.
    pub(crate) sealed_ms: Option<u64>,
    /// Bytes that the file takes.
    pub(crate) file_len: u64,
}

pub(crate) struct Segment {
    pub(crate) name: String,
    pub(crate) first_offset: u64,
    /// `None` if neither the header nor the first frame checks out: nothing in the file can be read.
    pub(crate) identity: Option<Identity>,
    extent: Mutex<Extent>,
    index: Mutex<Index>,
}

#[derive(Default)]
struct Index {
    /// Ascending by offset and position.
    sparse: Vec<(u64, u64)>,
    hints: VecDeque<(u64, u64)>,
}

impl Segment {
    pub(crate) fn new(first_offset: u64, identity: Option<Identity>, extent: Extent) -> Self {
        let (extent, index) = (Mutex::new(extent), Mutex::new(Index::default()));
        Self { name: name_of(first_offset), first_offset, identity, extent, index }
    }

    pub(crate) fn extent(&self) -> Extent {
        *locked(&self.extent)
    }

    pub(crate) fn set_extent(&self, extent: Extent) {
        *locked(&self.extent) = extent;
    }

    pub(crate) fn limit(&self) -> Limit {
        let extent = self.extent();
        Limit { end: extent.end, next_offset: Some(extent.next_offset) }
    }

    /// The nearest known frame at or before an offset.
    pub(crate) fn nearest(&self, offset: u64) -> Option<(u64, u64)> {
        let index = locked(&self.index);
        let at = index.sparse.partition_point(|(known, _)| *known <= offset);
        let sparse = at.checked_sub(1).map(|at| index.sparse[at]);
        let hint = index.hints.iter().filter(|(known, _)| *known <= offset).max().copied();
        sparse.max(hint)
    }

    /// Notes that the frame of `offset` starts at `pos`, if that is far enough from what is known.
    pub(crate) fn passed(&self, offset: u64, pos: u64) {
        let mut index = locked(&self.index);
        if index.sparse.last().is_none_or(|(last, at)| offset > *last && pos >= at + INDEX_STRIDE) {
            index.sparse.push((offset, pos));
        }
    }

    /// Notes that a read stopped before the frame of `offset` at `pos`.
    pub(crate) fn stopped(&self, offset: u64, pos: u64) {
        let mut index = locked(&self.index);
        if index.hints.len() == HINTS {
            index.hints.pop_front();
        }
        index.hints.push_back((offset, pos));
    }
}

/// File name of the segment that starts at an offset.
pub(crate) fn name_of(first_offset: u64) -> String {
    format!("{first_offset:020}{SUFFIX}")
}

/// The offset in a segment's file name.
pub(crate) fn offset_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    if digits.len() != 20 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

/// Takes a lock; a thread that panicked under it cannot have left these plain values half-written.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
