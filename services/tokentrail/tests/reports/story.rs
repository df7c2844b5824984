//! The recorded story in a program of its own, and how reports are asked for.

use crate::{
    recorded::{CONFIG, backstage_log, sample},
    support::{Program, command},
};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::{
    path::Path,
    process::{Command, Output},
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_secs(120);
/// The story lies within these.
pub const PERIOD: [&str; 4] = ["--from", "2026-11-23T21:00:00Z", "--to", "2026-11-23T22:00:00Z"];

/// The whole recording, stored and correlated.
pub struct Story {
    pub dir: tempfile::TempDir,
    pub program: Program,
}

/// What a run of a report said.
pub struct Made {
    pub code: i32,
    pub out: String,
    pub said: String,
}

impl Story {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let log = backstage_log(dir.path());
        let config = dir.path().join("config.toml");
        std::fs::write(&config, CONFIG).unwrap();
        let program = Program::start(&dir.path().join("data"), &[("TOKENTRAIL_CONFIG", config.to_str().unwrap())]);
        let story = Self { dir, program };
        story.good(&["import", "--source", "kc", sample("keycloak-webhook.ndjson").to_str().unwrap()]);
        story.good(&["send", "--source", "bs", "--instance", "b1", log.to_str().unwrap()]);
        story.good(&["import", "--source", "bs", sample("backstage-catalog-history.ndjson").to_str().unwrap()]);
        story.settled();
        story
    }

    /// Waits until everything is stored and correlated.
    pub fn settled(&self) {
        self.program.drained();
        let began = Instant::now();
        loop {
            let status = self.program.status();
            if status["correlation"]["phase"] == "following" && status["correlation"]["lag"] == 0 {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "the correlation lags; log: {}", self.program.log());
            std::thread::sleep(Duration::from_millis(25));
        }
    }

    /// Waits until a rule has found something.
    pub fn found(&self, rule: &str) {
        let began = Instant::now();
        let asked = ["findings", "list", "--all", "--rule", rule, "--format", "json"];
        while self.good(&asked).stdout.starts_with(b"[]") {
            assert!(began.elapsed() < PATIENCE, "{rule} finds nothing; log: {}", self.program.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = command(&self.program.data);
        command.env("TOKENTRAIL_CONFIG", self.dir.path().join("config.toml")).args(args);
        command
    }

    pub fn good(&self, args: &[&str]) -> Output {
        let output = self.command(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        output
    }

    /// Runs a report.
    pub fn report(&self, name: &str, args: &[&str]) -> Made {
        self.report_by("config.toml", name, args)
    }

    /// Runs a report with another config, a file in the story's folder.
    pub fn report_by(&self, config: &str, name: &str, args: &[&str]) -> Made {
        let mut command = self.command(&[&["report", "run", name], args].concat());
        let output = command.env("TOKENTRAIL_CONFIG", self.path(config)).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Made { code: output.status.code().unwrap(), out: text(output.stdout), said: text(output.stderr) }
    }

    /// Rows of a report.
    pub fn rows(&self, name: &str, args: &[&str]) -> Vec<Value> {
        let made = self.report(name, &[args, &["--format", "ndjson"]].concat());
        assert!(made.code < 2, "{}", made.said);
        made.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Runs a report into a folder of its own: exit code and sheet.
    pub fn sheet(&self, name: &str, args: &[&str]) -> (i32, Value) {
        self.sheet_by("config.toml", name, args)
    }

    /// The same with another config.
    pub fn sheet_by(&self, config: &str, name: &str, args: &[&str]) -> (i32, Value) {
        let folder = self.path("sheet/");
        let made = self.report_by(config, name, &[args, &["--format", "csv", "--output", &folder]].concat());
        assert!(made.code < 2, "{}", made.said);
        let stem = reports::Report::named(name).unwrap().file_stem();
        (made.code, json(&format!("{folder}{stem}.csv.ipe.json")))
    }

    /// State of a report's verdict over the whole story.
    pub fn state(&self, name: &str) -> String {
        let (code, sheet) = self.sheet(name, &PERIOD);
        let state = sheet["completeness"]["state"].as_str().unwrap().to_owned();
        assert_eq!(code, i32::from(state == "NOT_PROVEN"), "{sheet}");
        state
    }

    pub fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    /// Imports one user event of Keycloak, as a recorded delivery.
    pub fn user_event(&self, event: &Value) {
        let line = serde_json::json!({"received_at": 1_795_469_106.5, "headers": {}, "body": event.to_string()});
        let file = self.dir.path().join("one.ndjson");
        std::fs::write(&file, line.to_string() + "\n").unwrap();
        self.good(&["import", "--source", "kc", file.to_str().unwrap()]);
        self.settled();
    }

    /// Stops the program; a report without a store says so and leaves nothing.
    pub fn end(self) {
        let path = self.path("away.csv");
        let args = [&["report", "run", "R08"], &PERIOD[..], &["--format", "csv", "--output", &path]].concat();
        let mut asking = self.command(&args);
        assert_eq!(self.program.terminate(), Some(0));
        let output = asking.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && said.contains("tokentrail up"), "{said}");
        assert!(!Path::new(&path).exists());
    }
}

pub fn json(path: &str) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

pub fn sha256(path: &str) -> String {
    hex::encode(Sha256::digest(std::fs::read(path).unwrap()))
}

/// How often each word of a column stands in some rows.
pub fn words(rows: &[Value], column: &str) -> Vec<(String, usize)> {
    let mut counts = std::collections::BTreeMap::new();
    for row in rows {
        *counts.entry(row[column].as_str().unwrap().to_owned()).or_insert(0) += 1;
    }
    counts.into_iter().collect()
}
