//! What the program says of losses and acts at a real Keycloak: findings, verdicts, what a receiver was told.

use crate::{
    MEET,
    receiver::Receiver,
    support::{Program, command},
};
use serde_json::Value;
use std::{path::Path, process::Output, time::Instant};

/// The command line of a program that runs.
pub struct Cli<'a> {
    pub program: &'a Program,
    pub config: &'a Path,
}

impl Cli<'_> {
    pub fn run(&self, args: &[&str]) -> Output {
        command(&self.program.data).env("TOKENTRAIL_CONFIG", self.config).args(args).output().unwrap()
    }

    pub fn json(&self, args: &[&str]) -> Value {
        let output = self.run(&[args, &["--format", "json"]].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{args:?}: {said}"))
    }

    /// Findings of a rule, with their values as `values`.
    pub fn findings(&self, rule: &str) -> Vec<Value> {
        let mut found = self.json(&["findings", "list", "--all", "--rule", rule]);
        for one in found.as_array_mut().unwrap() {
            one["values"] = serde_json::from_str(one["detail"].as_str().unwrap()).unwrap();
        }
        found.as_array().unwrap().clone()
    }

    /// Waits for a finding that fits.
    pub fn finding(&self, rule: &str, fits: impl Fn(&Value) -> bool) -> Value {
        self.until(rule, || self.findings(rule).into_iter().find(&fits))
    }

    /// Runs a report into a folder beside the data: its sheet; none if what it asks about changes while it is read.
    fn sheet(&self, name: &str, span: &[&str]) -> Option<Value> {
        let folder = self.program.data.join("report/");
        let made = self.run(
            &[&["report", "run", name], span, &["--format", "csv", "--output", folder.to_str().unwrap()]].concat(),
        );
        let said = String::from_utf8_lossy(&made.stderr);
        if said.contains("changed while they were read") {
            return None;
        }
        assert!(made.status.code().is_some_and(|code| code < 2), "{name} {span:?}: {said}");
        let sheet = format!("{}.csv.ipe.json", reports::Report::named(name).unwrap().file_stem());
        Some(serde_json::from_slice(&std::fs::read(folder.join(sheet)).unwrap()).unwrap())
    }

    /// Rows of a report.
    pub fn rows(&self, name: &str, span: &[&str]) -> Vec<Value> {
        let args = [&["report", "run", name], span, &["--format", "ndjson"]].concat();
        let made =
            self.until(name, || Some(self.run(&args)).filter(|made| made.status.code().is_some_and(|code| code < 2)));
        String::from_utf8(made.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Waits until a report's sheet has a state.
    pub fn state(&self, name: &str, span: &[&str], state: &str) -> Value {
        let mut last = Value::Null;
        let sheet = || {
            let sheet = self.sheet(name, span)?;
            last = sheet["completeness"].clone();
            (last["state"] == state).then_some(sheet)
        };
        let started = Instant::now();
        let found = until(sheet);
        println!("{:>4} s waited: {name} is {state}", started.elapsed().as_secs());
        found.unwrap_or_else(|| panic!("{name} is not {state}: {last:#}; log: {}", self.program.log()))
    }

    /// A complete snapshot, stored.
    pub fn snapshot(&self) {
        let taken = self.json(&["snapshot", "take"]);
        assert_eq!(taken[0]["complete"], true, "{taken}");
        self.stored();
    }

    /// The status, once everything is stored that the journal holds now. Heartbeats and pulls go on, so it never stands still; and a
    /// busy machine may not answer for a while.
    pub fn stored(&self) -> Value {
        let status = || -> Option<Value> { serde_json::from_str(&self.program.get_admin("/v1/status")?).ok() };
        let end = self.until("no status", || status()?["journal"]["end"].as_u64());
        self.until("not stored", || {
            let status = status()?;
            let journal = &status["journal"];
            (journal["end"].as_u64()? - journal["lag"].as_u64()? >= end).then_some(status)
        })
    }

    pub fn until<T>(&self, what: &str, look: impl FnMut() -> Option<T>) -> T {
        let started = Instant::now();
        let found = until(look).unwrap_or_else(|| panic!("{what}; log: {}", self.program.log()));
        println!("{:>4} s waited: {what}", started.elapsed().as_secs());
        found
    }
}

/// Looks until something is there.
fn until<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let started = Instant::now();
    while started.elapsed() < MEET {
        if let Some(found) = look() {
            return Some(found);
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    None
}

/// What a webhook receiver was told of a finding.
pub fn told(receiver: &Receiver, finding: &Value) -> Vec<Value> {
    let messages = receiver.messages();
    let notices = messages.iter().flat_map(|one| one.json()["data"]["findings"].as_array().unwrap().clone());
    notices.filter(|notice| notice["finding"] == finding["finding_id"]).collect()
}

/// Now, as a report takes it.
pub fn now() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}
