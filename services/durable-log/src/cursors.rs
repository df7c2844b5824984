//! The consumers' cursors: one slot file each, under `cursors/`.

use crate::damage::{Damage, DamageKind};
use crate::disk::Disk;
use crate::log::CommitError;
use crate::slot::{SlotFile, Value};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Folder of the cursors.
pub(crate) const DIR: &str = "cursors";
/// Most consumers of one journal.
const MAX_CONSUMERS: usize = 64;
const MAX_NAME: usize = 64;
/// The name of a consumer that reads a second time ends so.
const AGAIN: &str = "-again";

pub(crate) struct Cursors {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    files: BTreeMap<String, SlotFile>,
}

impl Cursors {
    /// Opens every cursor. One whose slots are both damaged starts again at `floor`: too low only repeats work.
    pub(crate) fn open(disk: Arc<dyn Disk>, dir: &Path, floor: u64) -> io::Result<(Self, Vec<Damage>)> {
        let dir = dir.join(DIR);
        let mut files = BTreeMap::new();
        let mut damage = Vec::new();
        for name in disk.list(&dir)? {
            if !is_name(&name) {
                continue;
            }
            let first = Value { offset: floor, ..Value::default() };
            let (mut file, bad) = SlotFile::open(&*disk, &dir.join(&name), &name, first)?;
            damage.extend(bad.into_iter().map(|bytes| side_file(format!("{DIR}/{name}"), bytes)));
            if file.value().offset < floor {
                // Everything below was freed, which needs the commit of every consumer that is waited for: an older slot was read, or this
                // one is not waited for.
                file.write(first)?;
            }
            files.insert(name, file);
        }
        Ok((Self { disk, dir, files }, damage))
    }

    pub(crate) fn get(&self, consumer: &str) -> Option<u64> {
        self.files.get(consumer).map(|file| file.value().offset)
    }

    pub(crate) fn all(&self) -> Vec<(String, u64)> {
        self.files.iter().map(|(name, file)| (name.clone(), file.value().offset)).collect()
    }

    /// The lowest cursor, and the lowest of those for which segments are kept however much room is needed; `None` if there is none.
    pub(crate) fn lowest(&self) -> Option<(u64, u64)> {
        let offset = |(_, file): (&String, &SlotFile)| file.value().offset;
        let first = self.files.iter().filter(|(name, _)| !name.ends_with(AGAIN)).map(offset).min()?;
        Some((self.files.iter().map(offset).min()?, first))
    }

    pub(crate) fn commit(&mut self, consumer: &str, offset: u64) -> Result<(), CommitError> {
        if !is_name(consumer) {
            return Err(CommitError::Name);
        }
        let value = Value { offset, ..Value::default() };
        if let Some(file) = self.files.get_mut(consumer) {
            if offset <= file.value().offset {
                return Ok(());
            }
            // Commit point: from the sync on the consumer starts at `offset`; a crash before leaves the old value in
            // the other slot, and the consumer repeats what it has done since.
            return file.write_durably(value).map_err(CommitError::Io);
        }
        if self.files.len() >= MAX_CONSUMERS {
            return Err(CommitError::TooMany);
        }
        let (mut file, _) =
            SlotFile::open(&*self.disk, &self.dir.join(consumer), consumer, value).map_err(CommitError::Io)?;
        if file.value().offset < offset {
            file.write_durably(value).map_err(CommitError::Io)?;
        }
        self.files.insert(consumer.into(), file);
        Ok(())
    }

    /// Durably sets a consumer to `offset`, a lower one too. A crash leaves it where it was or there.
    pub(crate) fn set(&mut self, consumer: &str, offset: u64) -> Result<(), CommitError> {
        match self.files.get_mut(consumer) {
            Some(file) => file.write_durably(Value { offset, ..Value::default() }).map_err(CommitError::Io),
            None => self.commit(consumer, offset),
        }
    }

    /// Removes a consumer, so that nothing is kept for it any more.
    pub(crate) fn forget(&mut self, consumer: &str) -> io::Result<()> {
        if !self.files.contains_key(consumer) {
            return Ok(());
        }
        crate::disk::remove_if_there(&*self.disk, &self.dir.join(consumer))?;
        self.files.remove(consumer);
        self.disk.sync_dir(&self.dir)
    }
}

pub(crate) fn is_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
}

pub(crate) fn side_file(file: String, bytes: std::ops::Range<u64>) -> Damage {
    Damage::new(DamageKind::SideFile, file, bytes, 0..0)
}
