//! What became of a file that was rotated: its siblings, in the order in which they were written.

use super::place::{Place, changed_ns};
use anyhow::Context;
use std::{
    fs::{File, Metadata},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// Ends of names of files that are compressed: their lines cannot be read as they stand.
const COMPRESSED: [&str; 5] = ["gz", "zst", "xz", "bz2", "lz4"];

/// A rotated file: `FILE.1`, `FILE-20261128`, `FILE.2026-11-28`, `FILE.old`, compressed or not.
pub(super) struct Sibling {
    pub path: PathBuf,
    pub inode: u64,
    pub changed_ns: i128,
    pub compressed: bool,
    /// Of `FILE.3`, 3: the higher the older.
    number: Option<u64>,
}

impl Sibling {
    fn of(path: PathBuf, suffix: &str, metadata: &Metadata) -> Option<Self> {
        let suffix = suffix.strip_prefix(['.', '-'])?;
        let known = suffix.starts_with(|c: char| c.is_ascii_digit()) || suffix.starts_with("old");
        let (plain, compressed) = match suffix.rsplit_once('.') {
            Some((plain, end)) if COMPRESSED.contains(&end) => (plain, true),
            _ => (suffix, false),
        };
        // A date is no number of rotations.
        let number = plain.parse().ok().filter(|number| *number < 10_000);
        let (inode, changed_ns) = (metadata.ino(), changed_ns(metadata));
        (known && metadata.is_file()).then_some(Self { path, inode, changed_ns, compressed, number })
    }
}

/// All siblings of a file, the oldest first.
pub(super) fn siblings(path: &Path) -> anyhow::Result<Vec<Sibling>> {
    let dir = path.parent().context("a file needs a folder")?;
    let name = path.file_name().and_then(|name| name.to_str()).context("the name of the file is no text")?;
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))? {
        let entry = entry?;
        let file_name = entry.file_name();
        let Some(suffix) = file_name.to_str().and_then(|other| other.strip_prefix(name)) else { continue };
        // One that is renamed or deleted meanwhile is found by its new name, or not at all.
        let Ok(metadata) = entry.metadata() else { continue };
        found.extend(Sibling::of(entry.path(), suffix, &metadata));
    }
    if found.iter().all(|one| one.number.is_some()) {
        found.sort_by_key(|one| std::cmp::Reverse(one.number));
    } else {
        found.sort_by(|a, b| (a.changed_ns, &a.path).cmp(&(b.changed_ns, &b.path)));
    }
    Ok(found)
}

/// The file of a place among its siblings: the same inode with the same content, else a copy of the content.
pub(super) fn find<'a>(siblings: &'a [Sibling], place: &Place) -> Option<(usize, &'a Sibling, File)> {
    let open = |by: &dyn Fn(&Sibling) -> bool| {
        siblings.iter().enumerate().filter(|(_, one)| !one.compressed && by(one)).find_map(|(index, one)| {
            let file = File::open(&one.path).ok()?;
            place.fits(&file).ok()?.then_some((index, one, file))
        })
    };
    open(&|one| one.inode == place.inode)
        .or_else(|| place.is_told_by_content().then(|| open(&|one| one.inode != place.inode)).flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn siblings_are_told_from_other_files_and_stand_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let names = |of: &[&str]| {
            for name in of {
                std::fs::write(dir.path().join(name), "x").unwrap();
            }
            let found = siblings(&dir.path().join("b.log")).unwrap();
            found.iter().map(|one| one.path.file_name().unwrap().to_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let others = ["b.log", "b.log.json", "b.logger", "a.log.1", "b.log-tmp"];
        assert!(names(&others).is_empty());
        assert_eq!(names(&["b.log.1", "b.log.10", "b.log.2.gz"]), ["b.log.10", "b.log.2.gz", "b.log.1"]);
        assert_eq!(names(&["b.log-20261128"]).last().unwrap(), "b.log-20261128", "by time where there are dates");
        assert_eq!(siblings(&dir.path().join("b.log")).unwrap().iter().filter(|one| one.compressed).count(), 1);
    }
}
