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
    /// Earlier places in the same file, oldest first: where reading goes on if a power cut took its end.
    #[serde(default)]
    pub marks: Vec<Mark>,
}

/// A place that was acknowledged, and what stood before it.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub(super) struct Mark {
    pub offset: u64,
    pub before: Option<String>,
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

    /// All below `end` is acknowledged; `before` is the hash of what stands before that. The place until now stays as a mark, and those
    /// that no longer tell more than their neighbours go: the older a mark, the farther it stands from the next, so there are few, and what
    /// lies between two is never more than what lies behind them or than one batch.
    pub fn advance(&mut self, end: u64, before: Option<String>) {
        if self.offset > 0 && self.offset < end {
            self.marks.push(Mark { offset: self.offset, before: self.before.take() });
        }
        (self.offset, self.before) = (end, before);
        let (mut kept, mut at): (Vec<Mark>, usize) = (Vec::new(), 0);
        while let Some(mark) = self.marks.get(at) {
            let older = kept.last().map_or(0, |older| older.offset);
            let newer = self.marks.get(at + 1).map_or(end, |newer| newer.offset);
            if newer - older > end - newer {
                kept.push(mark.clone());
            }
            at += 1;
        }
        self.marks = kept;
    }

    /// The last place of this file that is still as it was acknowledged, where its end is gone or is not what it was; lines may be missing
    /// from then on.
    pub fn last_good(&self, file: &File, now: i64) -> anyhow::Result<Option<Self>> {
        let length = file.metadata()?.len();
        let mut marks = self.marks.clone();
        marks.push(Mark { offset: self.offset, before: self.before.clone() });
        for (left, mark) in marks.iter().enumerate().rev() {
            let there = mark.before.is_some() && mark.offset <= length;
            if there && before(file, mark.offset)? == mark.before {
                let gap = self.gap.clone().or(Some(Gap { since: self.at, until: now }));
                let (offset, before) = (mark.offset, mark.before.clone());
                marks.truncate(left);
                return Ok(Some(Self { offset, before, pending: None, gap, marks, ..self.clone() }));
            }
        }
        Ok(None)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// After any number of batches there are few marks, and whatever length is left of the file, what is read again is no more than
    /// what was lost, or one batch.
    #[test]
    fn marks_are_few_and_lie_close_to_any_end_that_is_left() {
        for batch in [1, 7, 4096] {
            let mut place = Place::begin(1, 0);
            for end in (1..=3_000).map(|n| 3 * n * batch + n % 3) {
                place.advance(end, Some(end.to_string()));
                assert!(place.marks.windows(2).all(|two| two[0].offset < two[1].offset));
            }
            assert!(place.marks.len() < 40, "{}", place.marks.len());
            for left in (0..place.offset).step_by(batch as usize) {
                let most = 3 * batch + 2;
                let good = place.marks.iter().rev().find(|mark| mark.offset <= left).map_or(0, |mark| mark.offset);
                let (again, lost) = (left - good, place.offset - left);
                assert!(again <= lost.max(most), "{again} bytes again for {lost} lost, batches of {batch}");
            }
            assert!(place.marks.iter().all(|mark| mark.before.as_deref() == Some(mark.offset.to_string().as_str())));
        }
    }
}
