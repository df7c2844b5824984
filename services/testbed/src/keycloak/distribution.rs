//! Keycloak as installed in the cache: fetched through Maven, checked, unpacked and built once for all runs.
//!
//! `start-dev` takes 46-50 s on two cores. A built distribution with a database that already holds the schema and the
//! master realm takes a third of that, so both are prepared here. A finished folder is only ever renamed into place.

use super::{ADMIN, EventStore};
use crate::{cache, java, port, process};
use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};
use std::{
    fs::{self, File},
    io::Read,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

/// `sha256  group:artifact:version:type`, one artifact a line.
const PINS: &str = include_str!("../../keycloak/artifacts.sha256");

/// Raised when the preparation below changes, so that an old cache is not taken for a new one.
const RECIPE: u32 = 1;

/// The Maven plugin's goal that copies an artifact to a folder.
const COPY: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy";

/// Patience with the one start that makes the database.
const FIRST_START: Duration = Duration::from_secs(240);

/// Parts of a distribution that every run shares; the rest (`bin/kc.sh`, `data`) is its own.
const SHARED: &[&str] = &["lib", "providers", "conf", "themes"];

/// An installed, built Keycloak.
#[derive(Clone, Debug)]
pub(super) struct Distribution {
    java_home: PathBuf,
    /// The built distribution.
    built: PathBuf,
    /// Database with schema and master realm.
    database: PathBuf,
}

impl Distribution {
    /// Finds it in the cache or puts it there. Blocks: minutes on an empty cache, milliseconds later.
    pub(super) fn get(store: EventStore) -> Result<Self> {
        let java_home = java::find()?;
        let key = hex::encode(Sha256::digest(format!("{RECIPE}\n{PINS}")));
        let root = cache::cache_dir().join("keycloak");
        let dir = root.join(&key[..16]);
        let found = Self { java_home, built: dir.join(store.name()), database: dir.join("database") };
        if found.built.is_dir() && found.database.is_dir() {
            return Ok(found);
        }
        let _lock = cache::lock(&root.join("lock"))?;
        fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        let work = tempfile::Builder::new().prefix("work.").tempdir_in(&root).context("cannot make a work folder")?;
        let plain = dir.join("plain");
        if !plain.is_dir() {
            eprintln!("fetching Keycloak (180 MB, once) ...");
            publish(&unpack(work.path())?, &plain)?;
        }
        if !found.built.is_dir() {
            publish(&found.build(&plain, store, work.path())?, &found.built)?;
        }
        if !found.database.is_dir() {
            publish(&found.first_start(work.path())?, &found.database)?;
        }
        Ok(found)
    }

    /// The Java that runs it.
    pub(super) fn java_home(&self) -> &Path {
        &self.java_home
    }

    /// Lays out the home folder of one run: shared parts are links, the database is a copy.
    pub(super) fn lay_out(&self, home: &Path) -> Result<()> {
        self.lay_out_empty(home)?;
        fs::create_dir_all(home.join("data/h2"))?;
        copy_all(&self.database, &home.join("data/h2"), Copying::Bytes)
    }

    fn lay_out_empty(&self, home: &Path) -> Result<()> {
        fs::create_dir_all(home.join("bin"))?;
        fs::create_dir_all(home.join("data/import"))?;
        for part in SHARED {
            symlink(self.built.join(part), home.join(part))?;
        }
        fs::copy(self.built.join("bin/kc.sh"), home.join("bin/kc.sh"))?;
        Ok(())
    }

    /// The command that starts the server laid out in `home`. What is in `data/import` becomes realms.
    pub(super) fn command(&self, home: &Path, port: u16) -> Command {
        let mut command = self.kc(home);
        command.env("KC_BOOTSTRAP_ADMIN_USERNAME", ADMIN.0).env("KC_BOOTSTRAP_ADMIN_PASSWORD", ADMIN.1);
        // A server of a minute never repays the second compiler.
        command.env("JAVA_OPTS_APPEND", "-XX:TieredStopAtLevel=1");
        command.args(["start", "--optimized", "--import-realm", "--http-enabled=true", "--hostname-strict=false"]);
        command.args(["--cache=local", "--http-host=127.0.0.1", &format!("--http-port={port}")]);
        command
    }

    fn kc(&self, home: &Path) -> Command {
        let mut command = Command::new("sh");
        command.arg(home.join("bin/kc.sh")).env("JAVA_HOME", &self.java_home).current_dir(home);
        // Settings of the person who runs the tests are none of the test's.
        for name in
            ["JAVA", "JAVA_OPTS", "JAVA_OPTS_KC_HEAP", "JAVA_ADD_OPENS", "DEBUG", "KC_DEBUG", "KC_RUN_IN_CONTAINER"]
        {
            command.env_remove(name);
        }
        command
    }

    fn build(&self, plain: &Path, store: EventStore, work: &Path) -> Result<PathBuf> {
        let home = work.join("built");
        // The build rewrites files in lib/quarkus only; all others may stay one file on disk.
        copy_all(plain, &home, Copying::Links)?;
        fs::remove_dir_all(home.join("lib/quarkus"))?;
        copy_all(&plain.join("lib/quarkus"), &home.join("lib/quarkus"), Copying::Bytes)?;
        let mut command = self.kc(&home);
        command.args(["build", "--db=dev-file", "--cache=local"]);
        if store == EventStore::Jpa {
            command.arg("--spi-events-store--provider=jpa");
        }
        process::run(&mut command).context("kc.sh build failed")?;
        Ok(home)
    }

    fn first_start(&self, work: &Path) -> Result<PathBuf> {
        let home = work.join("first");
        self.lay_out_empty(&home)?;
        let log = home.join("log");
        let mut group = process::Group::spawn(&self.command(&home, port::free_port()?), &log)?;
        let end = Instant::now() + FIRST_START;
        // The log's line comes after the master realm is committed.
        while !fs::read_to_string(&log)?.contains("Listening on:") {
            if let Some(status) = group.ended()? {
                bail!("Keycloak's first start ended early, {status}: {}", fs::read_to_string(&log)?);
            }
            ensure!(Instant::now() < end, "Keycloak's first start took too long: {}", fs::read_to_string(&log)?);
            thread::sleep(Duration::from_millis(100));
        }
        let ending = group.stop(Duration::from_secs(60))?;
        ensure!(ending == process::Ending::Graceful, "Keycloak's first start did not end when asked");
        Ok(home.join("data/h2"))
    }
}

/// Renames a finished folder into place: whoever sees it sees all of it.
fn publish(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).with_context(|| format!("cannot move {} into place", to.display()))
}

/// Fetches and checks all artifacts, and unpacks them into one distribution without a build.
fn unpack(work: &Path) -> Result<PathBuf> {
    let mut files = Vec::new();
    for line in PINS.lines().filter(|line| !line.is_empty()) {
        let (sha256, coordinate) = line.split_once("  ").context("a pin is a hash, two spaces and a coordinate")?;
        files.push(fetch(coordinate, sha256, work)?);
    }
    let [distribution, provider] = files.as_slice() else {
        bail!("two artifacts are pinned: the server and the provider")
    };
    let home = work.join("plain");
    fs::create_dir(&home)?;
    let mut tar = Command::new("tar");
    tar.arg("-xzf").arg(distribution).arg("-C").arg(&home).args(["--strip-components=1", "--no-same-owner"]);
    process::run(&mut tar)?;
    let name = provider.file_name().context("the provider has no file name")?;
    fs::copy(provider, home.join("providers").join(name))?;
    Ok(home)
}

fn fetch(coordinate: &str, sha256: &str, work: &Path) -> Result<PathBuf> {
    let (artifact, kind) = coordinate.rsplit_once(':').context("a coordinate ends with its type")?;
    let mut parts = artifact.split(':').skip(1);
    let (Some(name), Some(version)) = (parts.next(), parts.next()) else { bail!("{coordinate} is no coordinate") };
    let mut maven = Command::new("mvn");
    maven.args(["--batch-mode", "--quiet", COPY, &format!("-Dartifact={coordinate}")]);
    maven.arg(format!("-DoutputDirectory={}", work.display())).current_dir(work);
    process::run(&mut maven).context("fetching Keycloak needs Maven (mvn) and the repository it is configured for")?;
    let path = work.join(format!("{name}-{version}.{kind}"));
    ensure!(digest(&path)? == sha256, "{coordinate} is not the file that was pinned");
    Ok(path)
}

fn digest(path: &Path) -> Result<String> {
    let mut file = File::open(path).with_context(|| format!("Maven left no {}", path.display()))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(hex::encode(hash.finalize()));
        }
        hash.update(&buffer[..read]);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Copying {
    Bytes,
    Links,
}

fn copy_all(from: &Path, to: &Path, copying: Copying) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy_all(&source, &target, copying)?;
        } else if copying == Copying::Bytes || fs::hard_link(&source, &target).is_err() {
            fs::copy(&source, &target).with_context(|| format!("cannot copy {}", source.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_are_hashes_of_exact_versions() {
        let pins: Vec<_> = PINS.lines().map(|line| line.split_once("  ").unwrap()).collect();
        assert_eq!(pins.len(), 2);
        for (hash, coordinate) in pins {
            assert_eq!(hex::decode(hash).unwrap().len(), 32);
            assert_eq!(coordinate.split(':').count(), 4, "{coordinate}");
            assert!(!coordinate.contains("SNAPSHOT") && !coordinate.contains("LATEST"));
        }
    }

    #[test]
    fn a_digest_is_of_the_whole_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), b"abc").unwrap();
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest(file.path()).unwrap(), known);
    }
}
