//! Several processors, one of which correlates: the recorded story under load, with the owner killed and another one frozen past its
//! session, ends in the rows of one program on its journal; findings are opened once; one processor at a time judges.
#![cfg(feature = "kafka")]
#![allow(clippy::unwrap_used)] // a test may panic

#[path = "support/recorded.rs"]
mod recorded;
#[path = "support/standing.rs"]
mod standing;
mod support;

use recorded::{CONFIG, backstage_log, sample};
use serde_json::Value;
use standing::{assert_same, rows};
use std::{
    path::Path,
    process::Command,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};
use support::{
    Program,
    kafka::{ClickHouse, Deployment, drained, post},
    load::Ending,
    login, sign,
};
use testbed::{Kafka, KafkaOptions, until};

/// Logins of one delivery of the load.
const ARRAY: u64 = 20;
/// Parts in which the webhook's recording is delivered.
const PARTS: usize = 3;

/// Not a test: where the engine's child process begins.
#[test]
fn engine_child() {
    store::engine::run_if_asked();
}

/// Logins of people who are in no story, each in a session of their own.
fn deliver(program: &Program, numbers: std::ops::Range<u64>) {
    let one = |number: u64| {
        let told =
            login(&format!("66666666-0000-4000-8000-{number:012}"), 1_795_469_103_342 + i64::try_from(number).unwrap());
        let told = told.replace("cx-5n1IvfJg3rx8ScohigMeF", &format!("load-session-{number}"));
        told.replace("1bc6ec44-547f-4b49-83b0-3ea39f26a233", &format!("77777777-0000-4000-8000-{:012}", number % 40))
    };
    let body = format!("[{}]", numbers.map(one).collect::<Vec<_>>().join(","));
    let signature = sign(&program.secret("kc.webhook"), body.as_bytes());
    let headers = [("x-keycloak-signature", signature), ("content-type", "application/json".into())];
    assert_eq!(post(&format!("{}/v1/keycloak/kc", program.intake()), &headers, body.into_bytes()) / 100, 2);
}

/// Delivers while `during` runs.
fn under_load<T>(program: &Program, next: &AtomicU64, during: impl FnOnce() -> T) -> T {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _ended = Ending(&stop);
        let load = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let from = next.fetch_add(ARRAY, Ordering::Relaxed);
                deliver(program, from..from + ARRAY);
                std::thread::sleep(Duration::from_millis(150));
            }
        });
        let done = during();
        stop.store(true, Ordering::Relaxed);
        load.join().unwrap();
        done
    })
}

fn phase(program: &Program) -> String {
    let status = program.get_admin("/v1/status").map(|text| serde_json::from_str::<Value>(&text).unwrap());
    status.map_or_else(String::new, |status| status["correlation"]["phase"].as_str().unwrap_or_default().to_owned())
}

fn follows(program: &Program) -> Option<()> {
    (phase(program) == "following").then_some(())
}

/// A number of `/metrics`; none if it is not there.
fn number(program: &Program, name: &str) -> Option<f64> {
    let metrics = program.get_admin("/metrics")?;
    metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

/// Longest wait until it is.
const PATIENCE: Duration = Duration::from_secs(120);

/// Everything is stored, and whoever correlates has answered all of it.
fn correlated(collector: &Program, processors: &[&Program]) {
    drained(&[collector], processors[0]);
    let began = Instant::now();
    loop {
        let statuses: Vec<Value> = processors.iter().map(|one| one.status()["correlation"].clone()).collect();
        let told = |one: &Value| one["announced"] == 0 && one["noted"] == 0;
        let done = |one: &Value| told(one) && one["lag"] == 0 && one["phase"] != "loading";
        let one = statuses.iter().filter(|one| one["phase"] == "following").count() == 1;
        if one && statuses.iter().all(done) {
            return;
        }
        let logs = || processors.iter().map(|one| one.log()).collect::<Vec<_>>().join("\n---\n");
        assert!(began.elapsed() < PATIENCE, "not everything is correlated: {statuses:?}\n{}", logs());
        std::thread::sleep(support::LOOK);
    }
}

struct Story {
    dir: tempfile::TempDir,
    config: String,
}

impl Story {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        backstage_log(dir.path());
        let config = dir.path().join("config.toml").to_str().unwrap().to_owned();
        std::fs::write(&config, CONFIG).unwrap();
        let recording = std::fs::read_to_string(sample("keycloak-webhook.ndjson")).unwrap();
        let lines: Vec<&str> = recording.lines().collect();
        for (number, part) in lines.chunks(lines.len().div_ceil(PARTS)).enumerate() {
            std::fs::write(dir.path().join(format!("part-{number}.ndjson")), part.join("\n") + "\n").unwrap();
        }
        Self { dir, config }
    }

    fn cli(&self, program: &Program, args: &[&str]) -> Vec<u8> {
        let output =
            support::command(&program.data).env("TOKENTRAIL_CONFIG", &self.config).args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    fn import(&self, program: &Program, source: &str, file: &Path) {
        self.cli(program, &["import", "--source", source, file.to_str().unwrap()]);
    }

    fn part(&self, program: &Program, number: usize) {
        self.import(program, "kc", &self.dir.path().join(format!("part-{number}.ndjson")));
    }

    fn lines(&self, program: &Program) {
        let log = self.dir.path().join("backstage.log");
        self.cli(program, &["send", "--source", "bs", "--instance", "b1", log.to_str().unwrap()]);
    }

    fn catalog(&self, program: &Program) {
        self.import(program, "bs", &sample("backstage-catalog-history.ndjson"));
    }
}

#[test]
fn the_owner_is_killed_and_frozen_under_load_and_the_rows_are_those_of_one_program() {
    let story = Story::new();
    let kafka = Kafka::start(&KafkaOptions::default()).unwrap();
    let mut deployment = Deployment::new(story.dir.path(), &kafka);
    deployment.set("TOKENTRAIL_CONFIG", &story.config);
    let made = deployment.apply_topics();
    let text = String::from_utf8_lossy(&made.stdout).into_owned();
    assert!(made.status.success() && text.contains("tokentrail.events.v1"), "{text}");
    let clickhouse = ClickHouse::start(story.dir.path());
    let start = |name: &str| {
        let mut store = clickhouse.settings(&deployment.data(name));
        store.push(("TOKENTRAIL__KAFKA__CLIENT_ID".into(), name.to_owned()));
        deployment.start("process", name, &store)
    };
    let collector = deployment.start("collect", "collector", &[]);
    let next = AtomicU64::new(0);
    let (frozen, owner) = under_load(&collector, &next, || {
        let first = start("first");
        until("the only processor correlates", || follows(&first));
        let second = start("second");
        story.part(&collector, 0);
        until("the second one stands by and stores", || {
            let stored = number(&second, "tokentrail_stored_events_total")?;
            (phase(&second) == "standing_by" && stored > 0.0).then_some(())
        });
        until("the owner judges", || first.get_admin("/metrics")?.contains("tokentrail_rule_state{").then_some(()));
        assert!(!second.get_admin("/metrics").unwrap().contains("tokentrail_rule_state{"), "one judges");
        assert_eq!(number(&second, "tokentrail_correlation_owner"), Some(0.0));

        // kill -9 of the owner, with blocks stored and not answered.
        story.lines(&collector);
        first.kill();
        until("the second one takes over", || follows(&second));
        let third = start("third");
        until("the third one stands by and stores", || {
            let stored = number(&third, "tokentrail_stored_events_total")?;
            (phase(&third) == "standing_by" && stored > 0.0).then_some(())
        });

        // Frozen with work in its hands; it wakes long after its session ended.
        story.catalog(&collector);
        signal(&second, "-STOP");
        story.part(&collector, 1);
        until("the third one takes over", || follows(&third));
        let told = third.status()["correlation"].clone();
        assert_eq!((&told["owner"]["name"], &told["owner"]["epoch"]), (&"third".into(), &3.into()), "{told}");
        signal(&second, "-CONT");
        story.part(&collector, 2);
        until("the frozen one knows", || (phase(&second) == "standing_by").then_some(()));
        assert_eq!(number(&second, "tokentrail_correlation_owner"), Some(0.0));
        (second, third)
    });
    correlated(&collector, &[&owner, &frozen]);
    until("the rules are judged by the owner", || {
        owner.get_admin("/metrics")?.contains("tokentrail_rule_state{").then_some(())
    });
    assert!(!frozen.get_admin("/metrics").unwrap().contains("tokentrail_rule_state{"), "one judges");
    // An act by hand is made where receipts are taken in, and comes to the owner over Kafka like all else.
    let merge = |data: &Path, store: &[(String, String)]| {
        let args = ["person", "merge", "cleo", "dora", "--force", "--by", "ann", "--reason", "same badge"];
        let command = &mut support::command(data);
        command.env("TOKENTRAIL_CONFIG", &story.config).envs(store.iter().cloned()).args(args).output().unwrap()
    };
    let refused = merge(&owner.data, &[]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(refused.status.code() == Some(2) && said.contains("act where `collect`"), "{said}");
    let merged = merge(&collector.data, &clickhouse.settings(&collector.data));
    assert!(merged.status.success(), "{}", String::from_utf8_lossy(&merged.stderr));
    correlated(&collector, &[&owner, &frozen]);
    let found = rows(&owner);
    let of_two = found["decisions"]
        .iter()
        .filter(|row| row["reference"] == "user:default/cleo" || row["reference"] == "user:default/dora");
    let persons: std::collections::BTreeSet<String> = of_two.map(|row| row["person"].to_string()).collect();
    assert_eq!(persons.len(), 1, "one person of two accounts");
    // People are told who it is, and that its topic is looked at like the others.
    let told = String::from_utf8(story.cli(&frozen, &["status"])).unwrap();
    assert!(told.contains("another processor does it") && told.contains("third correlates since"), "{told}");
    let looked = String::from_utf8(deployment.cli("third", &["doctor"]).stdout).unwrap();
    assert!(looked.contains("topic tokentrail.events.v1 keeps"), "{looked}");

    // One program, one journal, the same deliveries.
    let alone = Program::start(&deployment.data("alone"), &[("TOKENTRAIL_CONFIG", &story.config)]);
    (0..PARTS).for_each(|number| story.part(&alone, number));
    story.lines(&alone);
    story.catalog(&alone);
    let load = next.load(Ordering::Relaxed);
    (0..load).step_by(500).for_each(|from| deliver(&alone, from..load.min(from + 500)));
    let followed = || {
        alone.drained();
        until("everything is correlated", || {
            let status = alone.status();
            (status["correlation"]["phase"] == "following" && status["correlation"]["lag"] == 0).then_some(())
        });
    };
    followed();
    assert!(merge(&alone.data, &[]).status.success());
    followed();
    assert!(found["decisions"].len() == 232 && found["sessions"].len() as u64 > load, "{load}");
    assert_same(&alone, &found, "several processors");

    // The disabled person who went on is found once, whoever judged.
    let findings = until("the finding", || {
        let found = story.cli_json(&owner, &["findings", "list", "--all", "--rule", "D02"]);
        (!found.as_array().unwrap().is_empty()).then_some(found)
    });
    assert_eq!(findings.as_array().unwrap().len(), 1, "{findings}");
    // A row comes before its step.
    let ids = until("each finding was opened once", || {
        let opened = owner.sql("SELECT count() AS n FROM finding_change_rows FINAL WHERE what = 'opened'");
        let ids = owner.sql("SELECT uniqExact(finding_id) AS n FROM finding_rows");
        (opened == ids).then_some(ids)
    });
    println!("{load} logins beside the story, findings: {}", ids[0]["n"]);
    for program in [alone, frozen, owner, collector] {
        assert_eq!(program.terminate(), Some(0));
    }
}

impl Story {
    fn cli_json(&self, program: &Program, args: &[&str]) -> Value {
        serde_json::from_slice(&self.cli(program, &[args, &["--format", "json"]].concat())).unwrap()
    }
}

fn signal(program: &Program, signal: &str) {
    let pid = program.child.id().to_string();
    assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
}
