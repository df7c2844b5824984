//! How far a feed was read, on disk: the newest time appended and the events appended inside the overlap.
//!
//! File: one line of JSON (`Head`), then 24 bytes per remembered event (time as big-endian i64, 16 bytes of SHA-256 of
//! its id), then SHA-256 of all before. Written beside, synced, renamed, folder synced: it is the old one or the new one.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// Version of the file's format.
const VERSION: u32 = 1;

/// Most events remembered per feed (6 MB). Beyond, the overlap is shortened: a repeat from before it is a duplicate, no loss.
pub const MAX_REMEMBERED: usize = 250_000;

const KEY_BYTES: usize = 24;
const SUM_BYTES: usize = 32;

/// What a remembered event is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    time: i64,
    mark: [u8; 16],
}

impl Key {
    /// Of an event's time and whatever names it.
    pub fn new(time: i64, name: &[u8]) -> Self {
        let full: [u8; 32] = Sha256::digest(name).into();
        let mut mark = [0; 16];
        mark.copy_from_slice(&full[..16]);
        Self { time, mark }
    }
}

/// How far a feed was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// Newest time of an appended event, UTC milliseconds; nothing before the first.
    pub newest: Option<i64>,
    /// Nothing before this time is read again, because it is no longer remembered.
    forgotten_before: i64,
    remembered: BTreeSet<Key>,
}

impl Cursor {
    /// Where the next pass begins: the newest event less the overlap. `now` bounds an event from the future (a node
    /// whose clock is ahead), which would otherwise hide what the other nodes write.
    pub fn floor(&self, now: i64, overlap_ms: i64) -> Option<i64> {
        let newest = self.newest?;
        Some((newest.min(now) - overlap_ms).max(self.forgotten_before))
    }

    /// True if it was appended by an earlier pass or page.
    pub fn knows(&self, key: &Key) -> bool {
        self.remembered.contains(key)
    }

    /// Events remembered.
    pub fn remembered(&self) -> usize {
        self.remembered.len()
    }

    /// Takes up what the journal acknowledged, and forgets what no later pass reads again.
    pub fn advance(&mut self, appended: &[Key], now: i64, overlap_ms: i64) {
        for key in appended {
            self.newest = Some(self.newest.map_or(key.time, |newest| newest.max(key.time)));
            self.remembered.insert(*key);
        }
        let Some(floor) = self.floor(now, overlap_ms) else { return };
        self.remembered = self.remembered.split_off(&Key { time: floor, mark: [0; 16] });
        while self.remembered.len() > MAX_REMEMBERED {
            if let Some(oldest) = self.remembered.pop_first() {
                self.forgotten_before = oldest.time + 1;
            }
        }
    }

    fn encode(&self, name: &CursorName) -> Vec<u8> {
        let head = Head {
            v: VERSION,
            source_id: name.source_id.clone(),
            realm: name.realm.clone(),
            feed: name.feed.to_owned(),
            newest: self.newest,
            forgotten_before: self.forgotten_before,
        };
        let mut bytes = serde_json::to_vec(&head).unwrap_or_default();
        bytes.reserve(1 + self.remembered.len() * KEY_BYTES + SUM_BYTES);
        bytes.push(b'\n');
        for key in &self.remembered {
            bytes.extend_from_slice(&key.time.to_be_bytes());
            bytes.extend_from_slice(&key.mark);
        }
        let sum = Sha256::digest(&bytes);
        bytes.extend_from_slice(&sum);
        bytes
    }

    fn decode(bytes: &[u8], name: &CursorName) -> Option<Self> {
        let (content, sum) = bytes.split_at_checked(bytes.len().checked_sub(SUM_BYTES)?)?;
        let right: [u8; SUM_BYTES] = Sha256::digest(content).into();
        if sum != right {
            return None;
        }
        let end = content.iter().position(|byte| *byte == b'\n')?;
        let head: Head = serde_json::from_slice(&content[..end]).ok()?;
        let ours = (head.v, &head.source_id, &head.realm, head.feed.as_str());
        if ours != (VERSION, &name.source_id, &name.realm, name.feed) {
            return None;
        }
        let (keys, rest) = content[end + 1..].as_chunks::<KEY_BYTES>();
        if !rest.is_empty() {
            return None;
        }
        let mut remembered = BTreeSet::new();
        for key in keys {
            let (time, mark) = key.split_at(8);
            remembered.insert(Key { time: i64::from_be_bytes(time.try_into().ok()?), mark: mark.try_into().ok()? });
        }
        Some(Self { newest: head.newest, forgotten_before: head.forgotten_before, remembered })
    }
}

#[derive(Serialize, Deserialize)]
struct Head {
    v: u32,
    source_id: String,
    realm: String,
    feed: String,
    newest: Option<i64>,
    forgotten_before: i64,
}

/// Whose cursor it is. Written into the file, so that no cursor is taken for another.
#[derive(Clone, Debug)]
pub struct CursorName {
    /// Source.
    pub source_id: String,
    /// Realm.
    pub realm: String,
    /// [`super::Feed::as_str`].
    pub feed: &'static str,
}

/// What was found on disk.
#[derive(Debug, PartialEq, Eq)]
pub enum Loaded {
    /// Nothing: a first start.
    New,
    /// A cursor.
    Found(Cursor),
    /// Damaged, or of another feed: put aside. The feed is read again from its beginning; what was appended before
    /// becomes duplicates, and nothing is lost.
    Damaged,
}

/// Where cursors are kept.
pub trait KeepCursor: Send + Sync {
    /// Reads it, and puts a damaged one aside.
    fn load(&self) -> io::Result<Loaded>;
    /// Makes it durable.
    fn save(&self, cursor: &Cursor) -> io::Result<()>;
}

/// A cursor in a file.
#[derive(Clone, Debug)]
pub struct CursorFile {
    name: CursorName,
    dir: PathBuf,
    path: PathBuf,
}

impl CursorFile {
    /// In `dir`, which is made at the first save. A realm may have any name: the file's is safe and distinct.
    pub fn new(dir: &Path, name: CursorName) -> Self {
        let readable: String =
            name.realm.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).take(40).collect();
        let distinct = hex::encode(&Sha256::digest(format!("{}\n{}", name.source_id, name.realm))[..6]);
        let path = dir.join(format!("{readable}.{distinct}.{}.cursor", name.feed));
        Self { name, dir: dir.to_owned(), path }
    }
}

impl KeepCursor for CursorFile {
    fn load(&self) -> io::Result<Loaded> {
        let bytes = match fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Loaded::New),
            Err(error) => return Err(error),
        };
        if let Some(cursor) = Cursor::decode(&bytes, &self.name) {
            return Ok(Loaded::Found(cursor));
        }
        fs::rename(&self.path, self.path.with_extension("damaged"))?;
        Ok(Loaded::Damaged)
    }

    fn save(&self, cursor: &Cursor) -> io::Result<()> {
        fs::create_dir_all(&self.dir)?;
        let beside = self.path.with_extension("new");
        let mut file = File::create(&beside)?;
        file.write_all(&cursor.encode(&self.name))?;
        file.sync_all()?;
        // Before this rename a crash leaves the old cursor, after it the new one; the folder's sync makes it last.
        fs::rename(&beside, &self.path)?;
        File::open(&self.dir)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> CursorName {
        CursorName { source_id: "kc".into(), realm: "../a b".into(), feed: "events" }
    }

    fn sample() -> Cursor {
        let mut cursor = Cursor::default();
        cursor.advance(&[Key::new(1_000, b"a"), Key::new(2_000, b"b"), Key::new(2_000, b"c")], 5_000, 500);
        cursor
    }

    #[test]
    fn it_comes_back_as_it_was_and_only_to_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        let file = CursorFile::new(dir.path(), name());
        assert_eq!(file.load().unwrap(), Loaded::New);
        file.save(&sample()).unwrap();
        assert_eq!(file.load().unwrap(), Loaded::Found(sample()));
        let other = CursorFile { name: CursorName { realm: "b".into(), ..name() }, ..file };
        assert_eq!(other.load().unwrap(), Loaded::Damaged);
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let good = sample().encode(&name());
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Cursor::decode(&bad, &name()), None, "bit {bit}");
        }
        for length in 0..good.len() {
            assert_eq!(Cursor::decode(&good[..length], &name()), None);
        }
    }

    #[test]
    fn it_remembers_the_overlap_and_no_more() {
        let mut cursor = sample();
        assert_eq!((cursor.newest, cursor.remembered()), (Some(2_000), 2));
        assert_eq!(cursor.floor(5_000, 500), Some(1_500));
        cursor.advance(&[Key::new(2_501, b"d")], 5_000, 500);
        assert_eq!(cursor.remembered(), 1);
    }

    #[test]
    fn an_event_from_the_future_does_not_hide_the_present() {
        let mut cursor = sample();
        cursor.advance(&[Key::new(900_000, b"ahead")], 3_000, 500);
        assert_eq!(cursor.floor(3_000, 500), Some(2_500));
        assert!(cursor.knows(&Key::new(900_000, b"ahead")));
    }

    #[test]
    fn too_many_to_remember_shortens_the_overlap() {
        let mut cursor = Cursor::default();
        let keys: Vec<_> = (0..MAX_REMEMBERED as i64 + 10).map(|n| Key::new(n, &n.to_be_bytes())).collect();
        cursor.advance(&keys, i64::MAX, i64::MAX / 2);
        assert_eq!(cursor.remembered(), MAX_REMEMBERED);
        assert_eq!(cursor.floor(i64::MAX, i64::MAX / 2), Some(10));
    }
}
