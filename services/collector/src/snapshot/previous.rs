//! What the last snapshot found, on disk: keyed ids and hashes by list, by which the next one tells what is new or changed.
//!
//! A line of JSON, then one line of JSON per list, then the SHA-256 of all before. Written beside, synced, renamed: it is the old
//! one or the new one. Without it (or damaged, and then put aside) the next snapshot writes every entity; nothing is lost.

use super::{
    pass::{Hash, Id},
    progress::{Packed, pack, unpack},
};
use events::snapshot::Area;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

/// Version of the format.
const VERSION: u32 = 1;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Head {
    v: u32,
    tenant: String,
    source_id: String,
    snapshot: String,
    full_at: i64,
    #[serde(default)]
    told_at: i64,
}

#[derive(Serialize, Deserialize)]
struct Line {
    unit: String,
    entries: Packed,
}

/// What the last snapshot found.
#[derive(Debug, Default)]
pub(super) struct Previous {
    /// Its id; none before the first.
    pub snapshot: Option<String>,
    /// When a snapshot last wrote every entity, UTC milliseconds.
    pub full_at: i64,
    /// When one last told what realms record, changed or not.
    pub told_at: i64,
    units: HashMap<String, BTreeMap<(Area, Id), Hash>>,
}

impl Previous {
    /// Reads the file of this source.
    pub(super) fn load(path: &Path, source: (&str, &str)) -> io::Result<Self> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        if let Some(previous) = decode(&bytes, source) {
            return Ok(previous);
        }
        tracing::warn!("What the last snapshot found is damaged and was put aside; the next one writes every entity.");
        fs::rename(path, path.with_extension("damaged"))?;
        Ok(Self::default())
    }

    /// The hash of an entity on a list, if it was there.
    pub(super) fn hash(&self, unit: &str, entity: (Area, Id)) -> Option<Hash> {
        self.units.get(unit)?.get(&entity).copied()
    }

    /// True if an entity of a list is missing from `now`.
    pub(super) fn has_beside(&self, unit: &str, now: &BTreeMap<(Area, Id), Hash>) -> bool {
        self.units.get(unit).is_some_and(|before| before.keys().any(|entity| !now.contains_key(entity)))
    }

    /// Keeps of a list what it was, because it could not be read now.
    pub(super) fn entries(&self, unit: &str) -> Option<Packed> {
        Some(pack(self.units.get(unit)?))
    }

    /// The lists that it knows.
    pub(super) fn units(&self) -> impl Iterator<Item = &str> {
        self.units.keys().map(String::as_str)
    }

    /// Replaces the file.
    pub(super) fn save(path: &Path, next: Next<'_>) -> io::Result<()> {
        let head = Head {
            v: VERSION,
            tenant: next.source.0.to_owned(),
            source_id: next.source.1.to_owned(),
            snapshot: next.snapshot.to_owned(),
            full_at: next.full_at,
            told_at: next.told_at,
        };
        let mut bytes = serde_json::to_vec(&head)?;
        bytes.push(b'\n');
        for (unit, entries) in next.units {
            serde_json::to_writer(&mut bytes, &Line { unit, entries })?;
            bytes.push(b'\n');
        }
        let sum = hex::encode(Sha256::digest(&bytes));
        let beside = path.with_extension("new");
        let mut file = File::create(&beside)?;
        file.write_all(&bytes)?;
        file.write_all(sum.as_bytes())?;
        file.sync_all()?;
        // Before this rename a crash leaves the old one, after it the new one; the folder's sync makes it last.
        fs::rename(&beside, path)?;
        path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
    }
}

/// What the next one is to find.
pub(super) struct Next<'a> {
    /// Tenant and source id.
    pub source: (&'a str, &'a str),
    pub snapshot: &'a str,
    pub full_at: i64,
    pub told_at: i64,
    pub units: Vec<(String, Packed)>,
}

fn decode(bytes: &[u8], source: (&str, &str)) -> Option<Previous> {
    let (content, sum) = bytes.split_at_checked(bytes.len().checked_sub(64)?)?;
    if hex::encode(Sha256::digest(content)).as_bytes() != sum {
        return None;
    }
    let mut lines = content.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let head: Head = serde_json::from_slice(lines.next()?).ok()?;
    if (head.v, head.tenant.as_str(), head.source_id.as_str()) != (VERSION, source.0, source.1) {
        return None;
    }
    let mut units = HashMap::new();
    for line in lines {
        let line: Line = serde_json::from_slice(line).ok()?;
        units.insert(line.unit, unpack(&line.entries).map(|entry| ((entry.area, entry.id), entry.hash)).collect());
    }
    Some(Previous { snapshot: Some(head.snapshot), full_at: head.full_at, told_at: head.told_at, units })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_back_as_it_was_and_every_flipped_bit_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kc.last");
        let entries = pack([(&(Area::Users, [1; 16]), &[2; 8]), (&(Area::Members, [3; 16]), &[4; 8])]);
        let units = vec![("u".to_owned(), entries)];
        let next = || Next { source: ("t", "kc"), snapshot: "s1", full_at: 9, told_at: 8, units: units.clone() };
        Previous::save(&path, next()).unwrap();
        let found = Previous::load(&path, ("t", "kc")).unwrap();
        assert_eq!((found.snapshot.as_deref(), found.full_at, found.told_at), (Some("s1"), 9, 8));
        assert_eq!(found.hash("u", (Area::Users, [1; 16])), Some([2; 8]));
        assert_eq!(found.hash("u", (Area::Users, [3; 16])), None);
        assert!(found.has_beside("u", &BTreeMap::from([((Area::Users, [1; 16]), [2; 8])])));
        let good = fs::read(&path).unwrap();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&bad, ("t", "kc")).is_none(), "bit {bit}");
        }
        assert!(Previous::load(&path, ("t", "other")).unwrap().snapshot.is_none());
        assert!(!path.exists(), "it was put aside");
    }
}
