//! Frees sealed segments that every consumer has committed: past their keep time, or before it when the journal or its file system is full.

use crate::disk::remove_if_there;
use crate::segment::locked;
use crate::shared::{Shared, now_ms};
use crate::slot::Value;
use std::io;

/// What a trim freed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trimmed {
    /// Segments.
    pub segments: u64,
    /// Bytes.
    pub bytes: u64,
}

/// Why a trim stopped. Nothing is lost: the next trim goes on.
#[derive(Debug, thiserror::Error)]
pub enum TrimError {
    /// The file system refused.
    #[error("cannot free {file}")]
    Io {
        /// The file.
        file: String,
        /// Cause.
        #[source]
        source: io::Error,
    },
}

/// Why it is done.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Keep times have passed.
    Age,
    /// So many bytes are needed now, within the journal's own limit.
    Space(u64),
    /// The file system is full: one segment, and whoever needs room tries again.
    Disk,
}

pub(crate) fn trim(shared: &Shared, reason: Reason) -> Result<Trimmed, TrimError> {
    let mut mark = locked(&shared.trimmed);
    let mut freed = Trimmed::default();
    let Some((lowest, lowest_of_first)) = locked(&shared.cursors).lowest() else { return Ok(freed) };
    let keep_ms = shared.options.keep.as_millis() as u64;
    let beyond_cap = |need: u64| (shared.bytes() + need).saturating_sub(shared.options.max_bytes);
    let mut over = match reason {
        Reason::Age => beyond_cap(0),
        Reason::Space(need) => beyond_cap(need),
        Reason::Disk => 1,
    };
    for segment in shared.segments() {
        let extent = segment.extent();
        let Some(sealed_ms) = extent.sealed_ms else { break };
        let expired = now_ms().saturating_sub(sealed_ms) >= keep_ms;
        // Who reads a second time holds up no intake.
        let needed = if over > 0 { lowest_of_first } else { lowest };
        if extent.next_offset > needed || !(expired || over > 0) {
            break;
        }
        let failed = |source| TrimError::Io { file: segment.name.clone(), source };
        // Commit point: from here on the records are freed and their absence is no damage. A crash before the removal
        // leaves the file; it is read as before and trimmed again.
        let value = Value { offset: extent.next_offset, ..Value::default() };
        if mark.value().offset < extent.next_offset {
            mark.write_durably(value).map_err(failed)?;
        }
        remove_if_there(&*shared.disk, &shared.options.dir.join(&segment.name)).map_err(failed)?;
        shared.edit_segments(|segments| segments.retain(|known| known.first_offset != segment.first_offset));
        // Oldest first and each made durable before the next, so that a crash leaves no hole.
        shared.disk.sync_dir(&shared.options.dir).map_err(failed)?;
        freed.segments += 1;
        freed.bytes += extent.file_len;
        over = over.saturating_sub(extent.file_len);
    }
    Ok(freed)
}
