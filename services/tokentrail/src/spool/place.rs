//! What a spool remembers beside its lines: how far it is acknowledged, and that lines are being dropped.

use crate::secrets::write_private;
use anyhow::Context;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Write},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// The place, in two slots that are written in turn and in place: it can be kept on a disk that is full, and a torn write leaves the
/// other one.
const PLACE: &str = "place.slots";
/// How earlier versions kept it.
const PLACE_BEFORE: &str = "place.json";
/// Bytes of a slot: a block of the disk, of its own.
const SLOT_BYTES: usize = 4096;
/// Hex digits of the hash that a slot begins with.
const SUM_BYTES: usize = 64;
const DROPPING: &str = "dropping.json";
const NS_PER_MS: i64 = 1_000_000;

/// How far the files are acknowledged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    /// Number of the file.
    pub file: u64,
    /// All bytes below are acknowledged.
    pub offset: u64,
    /// End of a batch that was tried.
    pub pending: Option<u64>,
}

/// A slot's content: the one with the higher number counts.
#[derive(Serialize, Deserialize)]
struct Slot {
    number: u64,
    /// None: the room is taken, and nothing was sent yet.
    place: Option<Place>,
}

impl Slot {
    /// Hash, JSON, a line's end, and zeros to the end of the slot.
    fn to_bytes(&self) -> anyhow::Result<Vec<u8>> {
        let text = serde_json::to_vec(self)?;
        let mut bytes = hex::encode(Sha256::digest(&text)).into_bytes();
        bytes.extend_from_slice(&text);
        bytes.push(b'\n');
        bytes.resize(SLOT_BYTES, 0);
        Ok(bytes)
    }

    /// None if it was never written, or not to its end.
    fn read(bytes: &[u8]) -> Option<Self> {
        let (sum, rest) = bytes.split_at_checked(SUM_BYTES)?;
        let text = &rest[..rest.iter().position(|byte| *byte == b'\n')?];
        (sum == hex::encode(Sha256::digest(text)).as_bytes()).then(|| serde_json::from_slice(text).ok())?
    }
}

/// The newest slot, and which of the two it is.
fn newest(dir: &Path) -> anyhow::Result<Option<(usize, Slot)>> {
    let path = dir.join(PLACE);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let slots = bytes.chunks(SLOT_BYTES).enumerate().filter_map(|(at, slot)| Some((at, Slot::read(slot)?)));
    Ok(slots.max_by_key(|(_, slot)| slot.number))
}

impl Place {
    /// Takes the room that the place needs, while there is some. What cannot be had now is tried again when the place is kept.
    pub fn reserve(dir: &Path) -> anyhow::Result<()> {
        if dir.join(PLACE).exists() {
            return Ok(());
        }
        let first = Slot { number: 0, place: Self::kept_in(dir)? }.to_bytes()?;
        let part = dir.join("place.part");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
        file.write_all(&first)?;
        // Not a hole: a disk that is full later has given these bytes already.
        file.write_all(&first)?;
        file.sync_all()?;
        fs::rename(&part, dir.join(PLACE))?;
        File::open(dir)?.sync_all()?;
        // Commit point: from here on the slots are the place; a crash before this line leaves both, and the slots count.
        match fs::remove_file(dir.join(PLACE_BEFORE)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error).context("cannot remove the old place"),
            _ => Ok(()),
        }
    }

    pub fn kept_in(dir: &Path) -> anyhow::Result<Option<Self>> {
        if let Some((_, slot)) = newest(dir)? {
            return Ok(slot.place);
        }
        let path = dir.join(PLACE_BEFORE);
        match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text)
                .map(Some)
                .with_context(|| format!("{} is damaged; delete it to send the spool from its start", path.display())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// The place in this file. One of another file, or behind what a crash of the machine left of it, says nothing.
    pub fn in_file(self, file: u64, size: u64) -> Self {
        if self.file == file && self.offset.max(self.pending.unwrap_or(0)) <= size {
            return self;
        }
        Self { file, ..Self::default() }
    }

    /// Over the older slot: the newer one stays until this one is on disk.
    pub fn keep(&self, dir: &Path) -> anyhow::Result<()> {
        Self::reserve(dir).context("cannot keep the place of the spool")?;
        let (at, number) = newest(dir)?.map_or((1, 0), |(at, slot)| (at, slot.number));
        let bytes = Slot { number: number + 1, place: Some(self.clone()) }.to_bytes()?;
        let write = || {
            let file = OpenOptions::new().write(true).open(dir.join(PLACE))?;
            file.write_all_at(&bytes, if at == 0 { SLOT_BYTES as u64 } else { 0 })?;
            file.sync_data()
        };
        write().context("cannot keep the place of the spool")
    }
}

/// Lines are being dropped. A mark on disk says so, so that a sender that dies now still tells of it at its next start.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Dropping {
    since: i64,
    until: i64,
    dropped_lines: Option<u64>,
    #[serde(skip)]
    mark: PathBuf,
}

impl Dropping {
    /// What an earlier run could not tell: that it dropped lines, not how many. It ends now at the latest.
    pub fn left_in(dir: &Path) -> anyhow::Result<Option<Self>> {
        let mark = dir.join(DROPPING);
        let text = match fs::read(&mark) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", mark.display())),
        };
        let until = crate::app::now_ms();
        let since = serde_json::from_slice::<Self>(&text).map_or(until, |left| left.since);
        Ok(Some(Self { since, until, dropped_lines: None, mark }))
    }

    /// The first line is dropped.
    pub fn begin(dir: &Path, now_ns: i64) -> Self {
        tracing::error!("the spool is full: lines are dropped and counted until the collector takes some");
        let since = now_ns / NS_PER_MS;
        let begun = Self { since, until: since, dropped_lines: Some(0), mark: dir.join(DROPPING) };
        let written =
            serde_json::to_vec(&begun).context("cannot write").and_then(|text| write_private(&begun.mark, &text));
        if let Err(error) = written {
            tracing::warn!(
                error = format!("{error:#}"),
                "that lines are dropped is only known while this process lives"
            );
        }
        begun
    }

    /// A line is dropped.
    pub fn line(&mut self, now_ns: i64) {
        self.until = now_ns / NS_PER_MS;
        self.dropped_lines = self.dropped_lines.map(|lines| lines + 1);
    }

    /// What is sent in place of the lines.
    pub fn record(&self) -> String {
        let lines = self.dropped_lines.map_or_else(|| "null".to_owned(), |lines| lines.to_string());
        format!(r#"{{"since":{},"until":{},"dropped_lines":{lines}}}"#, self.since, self.until)
    }

    /// The record is in the spool.
    pub fn told(self) -> anyhow::Result<()> {
        match fs::remove_file(&self.mark) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error).context("cannot remove the mark of a gap"),
            _ => {
                if let Some(dir) = self.mark.parent() {
                    File::open(dir).and_then(|dir| dir.sync_all()).context("cannot remove the mark of a gap")?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(offset: u64) -> Place {
        Place { file: 3, offset, pending: Some(offset + 7) }
    }

    #[test]
    fn the_last_place_is_kept_and_a_torn_write_leaves_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Place::kept_in(dir.path()).unwrap(), None);
        Place::reserve(dir.path()).unwrap();
        assert_eq!(Place::kept_in(dir.path()).unwrap(), None, "the room alone is no place");
        for offset in 1..=5 {
            place(offset).keep(dir.path()).unwrap();
            assert_eq!(Place::kept_in(dir.path()).unwrap(), Some(place(offset)));
        }
        let path = dir.path().join(PLACE);
        let whole = fs::read(&path).unwrap();
        assert_eq!(whole.len(), 2 * SLOT_BYTES);
        let (at, _) = newest(dir.path()).unwrap().unwrap();
        for cut in [0, 10, SUM_BYTES + 5] {
            let mut torn = whole.clone();
            torn[at * SLOT_BYTES + cut..(at + 1) * SLOT_BYTES].fill(0);
            fs::write(&path, torn).unwrap();
            assert_eq!(Place::kept_in(dir.path()).unwrap(), Some(place(4)), "{cut}");
            place(9).keep(dir.path()).unwrap();
            assert_eq!(Place::kept_in(dir.path()).unwrap(), Some(place(9)), "over the torn one");
        }
    }

    #[test]
    fn a_place_of_an_earlier_version_is_gone_on_from() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(PLACE_BEFORE), r#"{"file":3,"offset":4,"pending":11}"#).unwrap();
        Place::reserve(dir.path()).unwrap();
        assert_eq!(Place::kept_in(dir.path()).unwrap(), Some(place(4)));
        assert!(!dir.path().join(PLACE_BEFORE).exists());
    }
}
