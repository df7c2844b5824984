//! Installs the app's packages once per lockfile and Node, and lays out a folder for each run.
//!
//! npm fetches and checks every package against the lockfile; better-sqlite3 is compiled here. What is installed is
//! never changed afterwards: each run has its own folder with a link to it.

use crate::{cache, process};
use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};
use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

/// The app.
const APP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/backstage");

/// The overrides that users get.
const OVERRIDES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/sources/backstage");

/// What npm reads.
const MANIFESTS: [&str; 3] = ["package.json", "package-lock.json", ".npmrc"];

/// What a run reads, besides the packages.
const FILES: [&str; 6] =
    ["package.json", "index.js", "app-config.yaml", "entities.yaml", "rbac/policy.csv", "rbac/conditions.yaml"];

/// Name in package.json.
const NAME: &str = "tokentrail-testbed-backstage";

/// Patience with an installation: some 1,100 packages and a compiler, beside other builds.
const INSTALL: Duration = Duration::from_secs(30 * 60);

/// How often the end of npm is looked for.
const POLL: Duration = Duration::from_millis(200);

/// Lines of npm's log that go into an error.
const TAIL_LINES: usize = 30;

/// The folder whose `node_modules` holds every package. The first call on a machine takes minutes.
pub(super) fn install() -> Result<PathBuf> {
    let app = Path::new(APP);
    let lockfile = fs::read(app.join("package-lock.json")).context("cannot read package-lock.json of the app")?;
    let node = Command::new("node").args(["-p", "process.versions.modules + process.platform + process.arch"]).output();
    let node = node.context("Backstage needs Node 20 or newer: cannot run node")?;
    ensure!(node.status.success(), "cannot ask node for its version: {}", node.status);
    // A compiled module fits one Node ABI only.
    let mut hash = Sha256::new();
    hash.update(&lockfile);
    hash.update(node.stdout.trim_ascii());
    let key = hex::encode(hash.finalize());
    let shelf = cache::cache_dir().join("backstage");
    let done = shelf.join(&key[..16]);
    if done.is_dir() {
        return Ok(done);
    }
    let _lock = cache::lock(&shelf.join("lock"))?;
    if done.is_dir() {
        return Ok(done);
    }
    let partial = shelf.join(format!("{}.partial", &key[..16]));
    if partial.exists() {
        fs::remove_dir_all(&partial).with_context(|| format!("cannot remove {}", partial.display()))?;
    }
    fs::create_dir_all(&partial).with_context(|| format!("cannot make {}", partial.display()))?;
    for name in MANIFESTS {
        copy(&app.join(name), &partial.join(name))?;
    }
    npm_ci(&partial)?;
    // Backstage reads which settings are secret from the schemas of the app's dependencies, and looks the app up by name.
    symlink("..", partial.join("node_modules").join(NAME)).context("cannot link the app to itself")?;
    let mut check = Command::new("node");
    check.args(["-e", "new (require('better-sqlite3'))(':memory:').close()"]).current_dir(&partial);
    process::run(&mut check).context("better-sqlite3 was not compiled: a C++ compiler, make and Python are needed")?;
    // From here the installation counts; a crash before leaves a folder that the next call removes.
    fs::rename(&partial, &done).with_context(|| format!("cannot rename {}", partial.display()))?;
    Ok(done)
}

fn npm_ci(dir: &Path) -> Result<()> {
    let log = dir.join("npm.log");
    let mut npm = Command::new("npm");
    npm.args(["ci", "--no-audit", "--no-fund", "--prefer-offline"]).current_dir(dir);
    // In a group of its own: if this process is killed, nothing goes on writing into a folder that others then fill.
    let mut group = process::Group::spawn(&npm, &log)?;
    let end = Instant::now() + INSTALL;
    loop {
        if let Some(status) = group.ended()? {
            if status.success() {
                return Ok(());
            }
            let text = fs::read_to_string(&log).unwrap_or_default();
            let lines: Vec<_> = text.lines().rev().take(TAIL_LINES).collect();
            let lines: Vec<_> = lines.into_iter().rev().collect();
            bail!("npm ci failed, {status}: {}", lines.join("\n"));
        }
        ensure!(Instant::now() < end, "npm ci did not end in {INSTALL:?}; its log is {}", log.display());
        thread::sleep(POLL);
    }
}

/// Fills the folder of one run: the app as it is now, the overrides as they are now, a link to the packages.
pub(super) fn lay_out(installed: &Path, home: &Path) -> Result<()> {
    for name in FILES {
        copy(&Path::new(APP).join(name), &home.join(name))?;
    }
    for name in ["auditor.js", "permissions.js"] {
        copy(&Path::new(OVERRIDES).join(name), &home.join("overrides").join(name))?;
    }
    symlink(installed.join("node_modules"), home.join("node_modules")).context("cannot link node_modules")
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    }
    let bytes = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    fs::write(to, bytes).with_context(|| format!("cannot write {}", to.display()))
}
