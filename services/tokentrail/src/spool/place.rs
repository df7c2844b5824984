//! What a spool remembers beside its lines: how far it is acknowledged, and that lines are being dropped.

use crate::secrets::write_private;
use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File},
    io::ErrorKind,
    path::{Path, PathBuf},
};

const PLACE: &str = "place.json";
const DROPPING: &str = "dropping.json";
const NS_PER_MS: i64 = 1_000_000;

/// How far the files are acknowledged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    /// Number of the file.
    pub file: u64,
    /// All bytes below are acknowledged.
    pub offset: u64,
    /// End of a batch that was tried.
    pub pending: Option<u64>,
}

impl Place {
    pub fn kept_in(dir: &Path) -> anyhow::Result<Option<Self>> {
        let path = dir.join(PLACE);
        match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text)
                .map(Some)
                .with_context(|| format!("{} is damaged; delete it to send the spool from its start", path.display())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// The place in this file. One of another file, or behind what a crash of the machine left of it, says nothing.
    pub fn in_file(self, file: u64, size: u64) -> Self {
        if self.file == file && self.offset.max(self.pending.unwrap_or(0)) <= size {
            return self;
        }
        Self { file, ..Self::default() }
    }

    pub fn keep(&self, dir: &Path) -> anyhow::Result<()> {
        write_private(&dir.join(PLACE), &serde_json::to_vec(self)?)
    }
}

/// Lines are being dropped. A mark on disk says so, so that a sender that dies now still tells of it at its next start.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Dropping {
    since: i64,
    until: i64,
    dropped_lines: Option<u64>,
    #[serde(skip)]
    mark: PathBuf,
}

impl Dropping {
    /// What an earlier run could not tell: that it dropped lines, not how many. It ends now at the latest.
    pub fn left_in(dir: &Path) -> anyhow::Result<Option<Self>> {
        let mark = dir.join(DROPPING);
        let text = match fs::read(&mark) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", mark.display())),
        };
        let until = crate::app::now_ms();
        let since = serde_json::from_slice::<Self>(&text).map_or(until, |left| left.since);
        Ok(Some(Self { since, until, dropped_lines: None, mark }))
    }

    /// The first line is dropped.
    pub fn begin(dir: &Path, now_ns: i64) -> Self {
        tracing::error!("the spool is full: lines are dropped and counted until the collector takes some");
        let since = now_ns / NS_PER_MS;
        let begun = Self { since, until: since, dropped_lines: Some(0), mark: dir.join(DROPPING) };
        let written =
            serde_json::to_vec(&begun).context("cannot write").and_then(|text| write_private(&begun.mark, &text));
        if let Err(error) = written {
            tracing::warn!(
                error = format!("{error:#}"),
                "that lines are dropped is only known while this process lives"
            );
        }
        begun
    }

    /// A line is dropped.
    pub fn line(&mut self, now_ns: i64) {
        self.until = now_ns / NS_PER_MS;
        self.dropped_lines = self.dropped_lines.map(|lines| lines + 1);
    }

    /// What is sent in place of the lines.
    pub fn record(&self) -> String {
        let lines = self.dropped_lines.map_or_else(|| "null".to_owned(), |lines| lines.to_string());
        format!(r#"{{"since":{},"until":{},"dropped_lines":{lines}}}"#, self.since, self.until)
    }

    /// The record is in the spool.
    pub fn told(self) -> anyhow::Result<()> {
        match fs::remove_file(&self.mark) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error).context("cannot remove the mark of a gap"),
            _ => {
                if let Some(dir) = self.mark.parent() {
                    File::open(dir).and_then(|dir| dir.sync_all()).context("cannot remove the mark of a gap")?;
                }
                Ok(())
            }
        }
    }
}
