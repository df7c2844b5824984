//! How far a file is acknowledged, kept on disk, and which file that was: told by its inode and by the bytes before the
//! place, so that neither a rotation, nor a copy that was cut back and grew again, nor an inode used again is taken for it.

use crate::secrets::write_private;
use anyhow::Context;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{fs::File, io::ErrorKind, os::unix::fs::FileExt, path::Path};

/// How many of the bytes before the place tell the file.
const TOLD_BY_BYTES: u64 = 1024;

/// Where a file is read from next.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
pub(super) struct Place {
    /// Inode of the file under this name when reading began.
    pub inode: u64,
    /// All bytes below are acknowledged.
    pub offset: u64,
    /// A batch that was tried: its end and the stamp of its first line.
    pub pending: Option<Pending>,
    /// Hash of the last bytes before `offset`.
    #[serde(default)]
    pub before: Option<String>,
    /// When the sender last knew that nothing was missing, UTC milliseconds.
    #[serde(default)]
    pub at: i64,
    /// Time of the file's last change then, UTC nanoseconds.
    #[serde(default)]
    pub changed_ns: i128,
    /// Lines before this file that nobody can read any more; not told yet.
    #[serde(default)]
    pub gap: Option<Gap>,
}

#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub(super) struct Pending {
    pub end: u64,
    pub stamp_ns: i64,
    /// The key of the delivery: other bytes have another.
    #[serde(default)]
    pub key: Option<String>,
}

/// Lines may be missing between two times, UTC milliseconds; how many, nobody knows.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub(super) struct Gap {
    pub since: i64,
    pub until: i64,
}

impl Gap {
    /// What is sent in place of the lines.
    pub fn record(&self) -> String {
        format!(r#"{{"since":{},"until":{},"dropped_lines":null}}"#, self.since, self.until)
    }
}

impl Place {
    /// The beginning of a file.
    pub fn begin(inode: u64, at: i64) -> Self {
        Self { inode, at, ..Self::default() }
    }

    /// What the file of the state holds, if it is there.
    pub fn kept_in(state: &Path) -> anyhow::Result<Option<Self>> {
        match std::fs::read(state) {
            Ok(text) => serde_json::from_slice(&text)
                .map(Some)
                .with_context(|| format!("{} is damaged; delete it to send the file from its start", state.display())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", state.display())),
        }
    }

    pub fn keep(&self, state: &Path) -> anyhow::Result<()> {
        write_private(state, &serde_json::to_vec(self)?)
    }

    /// What will tell the file once all bytes below `end` are acknowledged: what stands before that, and the last change.
    pub fn told(file: &File, end: u64) -> anyhow::Result<(Option<String>, i128)> {
        Ok((before(file, end)?, changed_ns(&file.metadata()?)))
    }

    /// Whether this is a place in this file, by its content: it is long enough, and the bytes before the place are those
    /// that were read.
    pub fn fits(&self, file: &File) -> anyhow::Result<bool> {
        let end = self.pending.as_ref().map_or(self.offset, |pending| pending.end).max(self.offset);
        if file.metadata()?.len() < end {
            return Ok(false);
        }
        Ok(self.before.is_none() || before(file, self.offset)? == self.before)
    }

    /// Whether the content alone can tell the file.
    pub fn is_told_by_content(&self) -> bool {
        self.offset > 0 && self.before.is_some()
    }
}

/// Hash of the last bytes before `offset`; none at the start of the file.
fn before(file: &File, offset: u64) -> anyhow::Result<Option<String>> {
    let length = offset.min(TOLD_BY_BYTES);
    if length == 0 {
        return Ok(None);
    }
    let mut bytes = vec![0; usize::try_from(length)?];
    match file.read_exact_at(&mut bytes, offset - length) {
        Ok(()) => Ok(Some(hex::encode(Sha256::digest(&bytes)))),
        // It was cut back between two looks.
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error).context("cannot read the file"),
    }
}

/// Time of the last change of the content, UTC nanoseconds.
pub(super) fn changed_ns(of: &std::fs::Metadata) -> i128 {
    use std::os::unix::fs::MetadataExt;
    i128::from(of.mtime()) * 1_000_000_000 + i128::from(of.mtime_nsec())
}
