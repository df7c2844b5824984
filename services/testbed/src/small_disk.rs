//! A small file system of its own, for what happens when a disk runs full. Needs the right to mount.

use anyhow::{Context, Result, ensure};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use std::{
    ffi::CString,
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

/// What takes the room that is left.
const FILLER: &str = "somebody-else";

/// A mounted tmpfs; unmounted when dropped.
#[derive(Debug)]
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts one of `mib` on an empty folder. `None` if this machine does not permit a mount, which CI must say expressly
    /// (`TOKENTRAIL_NO_MOUNT=1`).
    pub fn mount(dir: &Path, mib: u32) -> Result<Option<Self>> {
        let size = CString::new(format!("size={mib}m")).context("a size has no zero byte")?;
        let Err(error) = mount(c"tokentrail", dir, c"tmpfs", MountFlags::empty(), Some(size.as_c_str())) else {
            return Ok(Some(Self(dir.into())));
        };
        let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|set| set == value);
        ensure!(!is("CI", "true") || is("TOKENTRAIL_NO_MOUNT", "1"), "cannot mount a small file system: {error}");
        eprintln!("no mount here ({error}): the real small file system was not tested");
        Ok(None)
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.0
    }

    /// Somebody else takes what is left, to the last byte that can be had.
    pub fn fill(&self) -> Result<()> {
        let mut file = File::options().create(true).append(true).open(self.0.join(FILLER))?;
        let block = vec![0; 64 * 1024];
        let mut size = block.len();
        while size > 0 {
            match file.write(&block[..size]) {
                Ok(0) | Err(_) => size /= 2,
                Ok(_) => {}
            }
        }
        Ok(())
    }

    /// Gives back what [`SmallDisk::fill`] took.
    pub fn make_room(&self) -> Result<()> {
        fs::remove_file(self.0.join(FILLER)).context("nobody else had taken room")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}
