//! The cache outside the checkout: where it is, and the file lock that lets one process at a time fill it.

use anyhow::{Context, Result};
use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
};

/// The folder for what is fetched once: `TOKENTRAIL_CACHE`, else `tokentrail` in `XDG_CACHE_HOME` or `~/.cache`.
pub fn cache_dir() -> PathBuf {
    if let Some(dir) = env::var_os("TOKENTRAIL_CACHE").filter(|dir| !dir.is_empty()) {
        return PathBuf::from(dir);
    }
    let base = env::var_os("XDG_CACHE_HOME").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    base.unwrap_or_else(|| PathBuf::from(env::var_os("HOME").unwrap_or_default()).join(".cache")).join("tokentrail")
}

/// Held while a part of the cache is filled; released on drop, also when the process dies.
#[derive(Debug)]
pub struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing alone is not enough: a child that another thread is just starting shares the open file until its exec.
        // Where this fails, closing releases it a moment later.
        let _ = self.0.unlock();
    }
}

/// Waits for the lock file `path`, making its folder if needed.
pub fn lock(path: &Path) -> Result<Lock> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    }
    let file = File::options().create(true).append(true).open(path);
    let file = file.with_context(|| format!("cannot open {}", path.display()))?;
    file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
    Ok(Lock(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_holds_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/lock");
        let held = lock(&path).unwrap();
        let other = File::options().append(true).open(&path).unwrap();
        assert!(other.try_lock().is_err());
        drop(held);
        assert!(other.try_lock().is_ok());
    }
}
