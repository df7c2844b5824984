//! Copies of bytes that do not check out, under `quarantine/`, for people to look at. The program never removes one.
//!
//! Together they are bounded, and the oldest stay: the first damage tells most of what went wrong, and whoever can cause
//! damage must not be able to push older evidence out. A copy that does not fit is not made, and that is counted.

use crate::disk::{Disk, DiskFile, is_full, remove_if_there};
use crate::options::Options;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Folder of the copies.
pub(crate) const DIR: &str = "quarantine";
const CHUNK: u64 = 1 << 20;
/// A copy takes whole blocks of this many bytes.
const BLOCK: u64 = 4096;
/// When it is full, the folder is looked at again at most this often: someone may have taken copies away.
const RECOUNT_AFTER: Duration = Duration::from_secs(60);

/// The quarantine at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuarantineStatus {
    /// Copies.
    pub files: u64,
    /// Bytes that they take, in whole blocks.
    pub bytes: u64,
    /// Most bytes that they may take.
    pub limit: u64,
    /// Copies that were not made since the journal was opened, for lack of space here or on the disk.
    pub refused: u64,
}

/// What became of a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// There was nothing to copy.
    Nothing,
    /// Durable under this name, relative to the journal's folder.
    Copy(String),
    /// No space for it.
    Refused,
}

impl Kept {
    pub(crate) fn name(self) -> Option<String> {
        if let Self::Copy(name) = self { Some(name) } else { None }
    }
}

pub(crate) struct Quarantine {
    disk: Arc<dyn Disk>,
    journal: PathBuf,
    /// Room that a copy must leave on the disk: the next segment's.
    leave: u64,
    status: QuarantineStatus,
    counted: Instant,
}

impl Quarantine {
    /// Counts the copies that are there, and removes halves that a crash left.
    pub(crate) fn open(disk: &Arc<dyn Disk>, options: &Options) -> io::Result<Self> {
        let status = QuarantineStatus { limit: options.quarantine_bytes, ..QuarantineStatus::default() };
        let (disk, journal, counted) = (disk.clone(), options.dir.clone(), Instant::now());
        let mut quarantine = Self { disk, journal, leave: options.segment_bytes, status, counted };
        let dir = quarantine.journal.join(DIR);
        for name in quarantine.disk.list(&dir)?.iter().filter(|name| name.ends_with(".new")) {
            remove_if_there(&*quarantine.disk, &dir.join(name))?;
        }
        quarantine.count()?;
        Ok(quarantine)
    }

    pub(crate) fn status(&self) -> QuarantineStatus {
        self.status
    }

    fn count(&mut self) -> io::Result<()> {
        let dir = self.journal.join(DIR);
        (self.status.files, self.status.bytes) = (0, 0);
        for name in self.disk.list(&dir)? {
            match self.disk.open_read(&dir.join(name)) {
                Ok(copy) => {
                    self.status.files += 1;
                    self.status.bytes += blocks(copy.size()?);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        self.counted = Instant::now();
        Ok(())
    }

    /// Copies a range of a file durably, while the journal runs: never into the room that the next segment needs.
    pub(crate) fn keep(&mut self, file: (&str, &dyn DiskFile), bytes: Range<u64>) -> io::Result<Kept> {
        let needed = blocks(bytes.end.saturating_sub(bytes.start)) + self.leave;
        if !bytes.is_empty() && self.disk.free(&self.journal)? < needed {
            return Ok(self.refuse());
        }
        match self.keep_at_start(file, bytes) {
            Err(error) if is_full(&error) => Ok(self.refuse()),
            kept => kept,
        }
    }

    pub(crate) fn refuse(&mut self) -> Kept {
        self.status.refused += 1;
        Kept::Refused
    }

    /// As [`Quarantine::keep`], before the journal takes anything in. Doing it again finds the copy that is there.
    pub(crate) fn keep_at_start(&mut self, (name, file): (&str, &dyn DiskFile), bytes: Range<u64>) -> io::Result<Kept> {
        if bytes.is_empty() {
            return Ok(Kept::Nothing);
        }
        let dir = self.journal.join(DIR);
        let copy = format!("{name}.{}-{}", bytes.start, bytes.end);
        if self.disk.open_read(&dir.join(&copy)).is_ok() {
            // Perhaps made by a run that ended before this sync.
            self.disk.sync_dir(&dir)?;
            return Ok(Kept::Copy(format!("{DIR}/{copy}")));
        }
        let size = blocks(bytes.end - bytes.start);
        if !self.has_room(size) {
            return Ok(self.refuse());
        }
        let new = dir.join(format!("{copy}.new"));
        remove_if_there(&*self.disk, &new)?;
        if let Err(error) = self.write(&new, file, bytes) {
            // Half a copy only takes space; the original bytes are where they were.
            let _ = self.disk.remove(&new);
            return Err(error);
        }
        self.disk.rename(&new, &dir.join(&copy))?;
        // From here on the copy outlives the original; a crash before leaves the original untouched.
        self.disk.sync_dir(&dir)?;
        self.status.files += 1;
        self.status.bytes += size;
        Ok(Kept::Copy(format!("{DIR}/{copy}")))
    }

    fn has_room(&mut self, size: u64) -> bool {
        let fits = |status: &QuarantineStatus| status.bytes.saturating_add(size) <= status.limit;
        if !fits(&self.status) && self.counted.elapsed() >= RECOUNT_AFTER {
            let before = self.status;
            if let Err(error) = self.count() {
                tracing::warn!(%error, "The quarantine cannot be counted.");
                self.status = before;
            }
        }
        fits(&self.status)
    }

    fn write(&self, path: &std::path::Path, from: &dyn DiskFile, bytes: Range<u64>) -> io::Result<()> {
        let to = self.disk.create(path)?;
        let mut pos = bytes.start;
        while pos < bytes.end {
            let mut chunk = vec![0; CHUNK.min(bytes.end - pos) as usize];
            let got = from.read_at(&mut chunk, pos)?;
            to.write_at(&chunk[..got], pos - bytes.start)?;
            if got < chunk.len() {
                break;
            }
            pos += got as u64;
        }
        to.sync_data()
    }
}

fn blocks(len: u64) -> u64 {
    len.div_ceil(BLOCK) * BLOCK
}

/// Position after the last byte in `from..` that is not zero; `from` if all are.
pub(crate) fn end_of_content(file: &dyn DiskFile, from: u64) -> io::Result<u64> {
    let (mut pos, mut end) = (from, from);
    let mut chunk = vec![0; CHUNK as usize];
    loop {
        let got = file.read_at(&mut chunk, pos)?;
        if let Some(last) = chunk[..got].iter().rposition(|byte| *byte != 0) {
            end = pos + last as u64 + 1;
        }
        if got < chunk.len() {
            return Ok(end);
        }
        pos += got as u64;
    }
}
