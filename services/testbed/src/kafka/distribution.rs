//! Kafka as kept in the cache: the jars of one pom, fetched through Maven and checked file by file.

use crate::{cache, java, process};
use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const POM: &str = include_str!("../../kafka/pom.xml");

/// `sha256  file`, one jar a line.
const PINS: &str = include_str!("../../kafka/artifacts.sha256");

/// The Maven plugin's goal that copies a pom's dependencies to a folder.
const COPY: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies";

/// Jars in the cache, and the Java that runs them.
#[derive(Clone, Debug)]
pub(super) struct Distribution {
    java: PathBuf,
    jars: PathBuf,
}

impl Distribution {
    /// Finds it in the cache or puts it there. Blocks: seconds on an empty cache.
    pub(super) fn get() -> Result<Self> {
        let java = java::find()?.join("bin/java");
        let key = hex::encode(Sha256::digest(PINS));
        let root = cache::cache_dir().join("kafka");
        let jars = root.join(&key[..16]);
        if !jars.is_dir() {
            let _lock = cache::lock(&root.join("lock"))?;
            if !jars.is_dir() {
                eprintln!("fetching Kafka (54 MB, once) ...");
                let work = tempfile::Builder::new().prefix("work.").tempdir_in(&root)?;
                fetch(work.path())?;
                // Whoever sees the folder sees all of it.
                fs::rename(work.path().join("lib"), &jars)
                    .with_context(|| format!("cannot move {} into place", jars.display()))?;
            }
        }
        Ok(Self { java, jars })
    }

    /// `java -cp JARS`, with options for short runs; the main class and its arguments are the caller's.
    pub(super) fn java(&self) -> Command {
        let mut command = Command::new(&self.java);
        for name in ["JAVA_TOOL_OPTIONS", "KAFKA_OPTS", "KAFKA_HEAP_OPTS", "CLASSPATH"] {
            command.env_remove(name);
        }
        // A server of a minute never repays the second compiler.
        command.args(["-XX:TieredStopAtLevel=1", "-cp"]).arg(format!("{}/*", self.jars.display()));
        command
    }
}

fn fetch(work: &Path) -> Result<()> {
    fs::write(work.join("pom.xml"), POM)?;
    let mut maven = Command::new("mvn");
    maven.args(["--batch-mode", "--quiet", COPY, "-DincludeScope=runtime", "-DoutputDirectory=lib"]).current_dir(work);
    process::run(&mut maven).context("fetching Kafka needs Maven (mvn) and the repository it is configured for")?;
    let mut pins = BTreeMap::new();
    for line in PINS.lines() {
        let (sha256, name) = line.split_once("  ").context("a pin is a hash, two spaces and a file")?;
        pins.insert(name, sha256);
    }
    for entry in fs::read_dir(work.join("lib"))? {
        let entry = entry?;
        let name = entry.file_name().into_string().unwrap_or_default();
        let Some(sha256) = pins.remove(name.as_str()) else { bail!("{name} is not among the pinned files") };
        let found = hex::encode(Sha256::digest(fs::read(entry.path())?));
        ensure!(found == sha256, "{name} is not the file that was pinned");
    }
    ensure!(pins.is_empty(), "Maven did not bring {:?}", pins.keys());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_are_hashes_of_jars() {
        assert_eq!(PINS.lines().count(), 92);
        for line in PINS.lines() {
            let (hash, name) = line.split_once("  ").unwrap();
            assert_eq!(hex::decode(hash).unwrap().len(), 32);
            assert!(name.ends_with(".jar") && !name.contains("SNAPSHOT"), "{name}");
        }
    }
}
