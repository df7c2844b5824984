//! A small durable value in two checksummed slots: cursors, the durable mark, the trim mark.
//!
//! A write goes into the slot that holds the older value, in place: it needs no space on a full disk, and whatever
//! becomes of it, the other slot still holds the value before. The slots lie on different pages.

use crate::disk::{Disk, DiskFile};
use crate::format::{VERSION, array};
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

const MAGIC: &[u8; 8] = b"TTJSLOT\0";
const SLOT_LEN: usize = 128;
const SLOT_AT: [u64; 2] = [0, 4096];
const FILE_LEN: u64 = 4096 + SLOT_LEN as u64;

/// What a slot holds. Cursors and the trim mark use the offset only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Value {
    pub(crate) offset: u64,
    /// Of the record before `offset`.
    pub(crate) seq: u64,
    pub(crate) stream: [u8; 16],
    pub(crate) chain: [u8; 32],
}

/// The file behind a value.
pub(crate) struct SlotFile {
    file: Arc<dyn DiskFile>,
    name: String,
    generation: u64,
    value: Value,
}

/// A file read back.
pub(crate) struct Loaded {
    /// The newest value that checks out.
    pub(crate) value: Option<(u64, Value)>,
    /// Slots that do not.
    pub(crate) bad: Vec<Range<u64>>,
}

impl SlotFile {
    /// Opens the file, or makes it holding `first`. `name` is bound into the checksums, so that a file under another
    /// name does not pass.
    pub(crate) fn open(disk: &dyn Disk, path: &Path, name: &str, first: Value) -> io::Result<(Self, Vec<Range<u64>>)> {
        let file = match disk.open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok((Self::create(disk, path, name, first)?, Vec::new()));
            }
            Err(error) => return Err(error),
        };
        // A run that was killed may have left value or name to the operating system's memory, and more than a value
        // rests on it from here on: a trim removes what lies below.
        file.sync_data()?;
        sync_parent(disk, path)?;
        let loaded = load(&*file, name)?;
        let (generation, value) = loaded.value.unwrap_or((1, first));
        Ok((Self { file, name: name.into(), generation, value }, loaded.bad))
    }

    fn create(disk: &dyn Disk, path: &Path, name: &str, value: Value) -> io::Result<Self> {
        let new = path.with_extension("new");
        crate::disk::remove_if_there(disk, &new)?;
        let file = disk.create(&new)?;
        file.allocate(0, FILE_LEN)?;
        for (generation, at) in SLOT_AT.iter().enumerate() {
            file.write_at(&encode(name, generation as u64, &value), *at)?;
        }
        file.sync_data()?;
        // From the rename on the file exists under its name; a crash before leaves a `.new` that is replaced next time.
        disk.rename(&new, path)?;
        sync_parent(disk, path)?;
        Ok(Self { file, name: name.into(), generation: 1, value })
    }

    /// The value.
    pub(crate) fn value(&self) -> Value {
        self.value
    }

    /// Hands a new value to the operating system: survives the process, not the machine.
    pub(crate) fn write(&mut self, value: Value) -> io::Result<()> {
        let generation = self.generation + 1;
        self.file.write_at(&encode(&self.name, generation, &value), SLOT_AT[(generation % 2) as usize])?;
        (self.generation, self.value) = (generation, value);
        Ok(())
    }

    /// Makes a new value durable. After an error the file holds the old or the new value; the old one is assumed, and
    /// the next write goes to the same slot again.
    pub(crate) fn write_durably(&mut self, value: Value) -> io::Result<()> {
        let generation = self.generation + 1;
        self.file.write_at(&encode(&self.name, generation, &value), SLOT_AT[(generation % 2) as usize])?;
        self.file.sync_data()?;
        (self.generation, self.value) = (generation, value);
        Ok(())
    }

    /// Makes what was written durable.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

fn sync_parent(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |dir| disk.sync_dir(dir))
}

/// Reads both slots without changing anything.
pub(crate) fn load(file: &dyn DiskFile, name: &str) -> io::Result<Loaded> {
    let mut loaded = Loaded { value: None, bad: Vec::new() };
    for at in SLOT_AT {
        let mut bytes = [0; SLOT_LEN];
        file.read_at(&mut bytes, at)?;
        match decode(name, &bytes) {
            Some(found) if loaded.value.is_none_or(|(newest, _)| found.0 > newest) => loaded.value = Some(found),
            Some(_) => {}
            None => loaded.bad.push(at..at + SLOT_LEN as u64),
        }
    }
    Ok(loaded)
}

fn encode(name: &str, generation: u64, value: &Value) -> [u8; SLOT_LEN] {
    let mut out = [0; SLOT_LEN];
    out[..8].copy_from_slice(MAGIC);
    out[8] = VERSION;
    out[16..24].copy_from_slice(&generation.to_be_bytes());
    out[24..32].copy_from_slice(&value.offset.to_be_bytes());
    out[32..40].copy_from_slice(&value.seq.to_be_bytes());
    out[40..56].copy_from_slice(&value.stream);
    out[56..88].copy_from_slice(&value.chain);
    let crc = crc(name, &out);
    out[SLOT_LEN - 4..].copy_from_slice(&crc.to_be_bytes());
    out
}

fn decode(name: &str, bytes: &[u8; SLOT_LEN]) -> Option<(u64, Value)> {
    if &bytes[..8] != MAGIC || bytes[8] != VERSION || bytes[SLOT_LEN - 4..] != crc(name, bytes).to_be_bytes() {
        return None;
    }
    let value = Value {
        offset: u64::from_be_bytes(array(bytes, 24)),
        seq: u64::from_be_bytes(array(bytes, 32)),
        stream: array(bytes, 40),
        chain: array(bytes, 56),
    };
    Some((u64::from_be_bytes(array(bytes, 16)), value))
}

fn crc(name: &str, bytes: &[u8; SLOT_LEN]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(name.as_bytes()), &bytes[..SLOT_LEN - 4])
}
