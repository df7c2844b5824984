//! The embedded ClickHouse engine's library, fetched by the store crate's own script.

use anyhow::{Context, Result, ensure};
use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Path of libchdb; the first call on a machine fetches it (180 MB, needs npm), later ones answer from the cache.
pub fn engine() -> Result<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../store/engine/fetch.sh");
    let run = Command::new("bash").arg(&script).stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let run = run.with_context(|| format!("cannot run bash {}", script.display()))?;
    ensure!(run.status.success(), "{} failed: {}", script.display(), run.status);
    let path = PathBuf::from(String::from_utf8(run.stdout).context("the script printed no text")?.trim());
    ensure!(path.is_file(), "the script printed no path of a file");
    Ok(path)
}
