//! Copies of bytes that do not check out, under `quarantine/`, for people to look at. Nothing here is ever removed.

use crate::disk::{Disk, DiskFile};
use std::io;
use std::ops::Range;
use std::path::Path;

/// Folder of the copies.
pub(crate) const DIR: &str = "quarantine";
const CHUNK: u64 = 1 << 20;

/// Copies a range of a file durably; the copy's name relative to the journal's folder, `None` for an empty range.
/// Doing it again finds the copy that is there.
pub(crate) fn keep(
    disk: &dyn Disk,
    dir: &Path,
    (name, file): (&str, &dyn DiskFile),
    bytes: Range<u64>,
) -> io::Result<Option<String>> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let copy = format!("{DIR}/{name}.{}-{}", bytes.start, bytes.end);
    let path = dir.join(&copy);
    if disk.open_read(&path).is_ok() {
        // Perhaps made by a run that ended before this sync.
        disk.sync_dir(&dir.join(DIR))?;
        return Ok(Some(copy));
    }
    let new = dir.join(format!("{copy}.new"));
    crate::disk::remove_if_there(disk, &new)?;
    let written = write(disk, &new, file, bytes);
    if let Err(error) = written {
        // Half a copy only takes space; the original bytes are where they were.
        let _ = disk.remove(&new);
        return Err(error);
    }
    disk.rename(&new, &path)?;
    // From here on the copy outlives the original; a crash before leaves the original untouched.
    disk.sync_dir(&dir.join(DIR))?;
    Ok(Some(copy))
}

fn write(disk: &dyn Disk, path: &Path, from: &dyn DiskFile, bytes: Range<u64>) -> io::Result<()> {
    let to = disk.create(path)?;
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
