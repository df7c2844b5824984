//! The recorded story, taken in by the whole program, correlated and judged, with a dead letter.

use crate::{
    asked::Grafana,
    recorded::{CONFIG, backstage_log, sample},
    support::{Program, block_on, client, command, sign},
};
use drift::{RULES, rules::NOT_BUILT};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use store::{
    Rolling, Store,
    engine::{EngineOptions, test_command},
};

/// Longest wait for the correlation on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// 2026-11-23 21:23:20 to 21:40:00, around the story.
pub const PERIOD: (i64, i64) = (1_795_469_000_000, 1_795_470_000_000);
pub struct Story {
    dir: tempfile::TempDir,
}

/// An engine whose child is this test binary.
pub fn options(dir: &Path) -> EngineOptions {
    let library = testbed::engine().expect("the ClickHouse engine is fetched by services/store/engine/fetch.sh");
    EngineOptions { library, dir: dir.to_owned(), command: test_command("engine_child").unwrap() }
}

impl Story {
    /// Takes everything in and ends the program, so that its database can be opened by an engine whose reader we are.
    pub fn told() -> Self {
        let story = Self { dir: tempfile::tempdir().unwrap() };
        let settings = story.dir.path().join("config.toml");
        let config = format!("{CONFIG}[privileged]\ngroups = [\"/platform/ops\"]\n");
        std::fs::write(&settings, config).unwrap();
        let program = Program::start(&story.data(), &[("TOKENTRAIL_CONFIG", settings.to_str().unwrap())]);
        let run = |args: &[&str]| {
            let output = command(&program.data).env("TOKENTRAIL_CONFIG", &settings).args(args).output().unwrap();
            assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        };
        let log = backstage_log(story.dir.path());
        run(&["import", "--source", "kc", sample("keycloak-webhook.ndjson").to_str().unwrap()]);
        run(&["send", "--source", "bs", "--instance", "b1", log.to_str().unwrap()]);
        run(&["import", "--source", "bs", sample("backstage-catalog-history.ndjson").to_str().unwrap()]);
        not_understood(&program);
        correlated(&program);
        judged(&program);
        privileged(&program);
        assert_eq!(program.terminate(), Some(0));
        story
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Where its database lies.
    pub fn engine(&self) -> PathBuf {
        self.data().join("clickhouse")
    }
}

/// An authentic delivery that is no JSON: kept, and dead.
fn not_understood(program: &Program) {
    let body = b"no JSON".to_vec();
    let request = client()
        .post(format!("{}/v1/keycloak/kc", program.intake()))
        .header("x-keycloak-signature", sign(&program.secret("kc.webhook"), &body))
        .body(body);
    assert!(block_on(async move { request.send().await.unwrap().status() }).is_success());
}

/// Waits until everything is stored and correlated.
fn correlated(program: &Program) {
    program.drained();
    let began = Instant::now();
    loop {
        let status = program.status();
        if status["correlation"]["phase"] == "following" && status["correlation"]["lag"] == 0 {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "the correlation lags: {}; log: {}", status["correlation"], program.log());
        std::thread::sleep(Duration::from_millis(25));
    }
}

/// Waits until every rule has been judged and what the story holds for them was found: the disabled person who went on.
fn judged(program: &Program) {
    let began = Instant::now();
    let rules = (RULES.len() + NOT_BUILT.len()).to_string();
    let found = format!(
        "SELECT 1 FROM rule_states WHERE rule = 'D02' AND state = 'EXCEPTION' AND (SELECT uniqExact(rule) FROM rule_states) = {rules}"
    );
    while program.sql(&found).is_empty() {
        assert!(began.elapsed() < PATIENCE, "{:?}; log: {}", program.sql("SELECT * FROM rule_states"), program.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Waits until the config's name of a group is known by its id, and who was in it is kept.
fn privileged(program: &Program) {
    let began = Instant::now();
    while program.sql("SELECT 1 FROM privileged_holding_rows WHERE is_deleted = 0 LIMIT 1").is_empty() {
        assert!(began.elapsed() < PATIENCE, "nobody was privileged; log: {}", program.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Has kept counts say what is stored: the program ended before all of its hours were at rest.
pub async fn counted(store: &Store) {
    store.close_marks_of_the_dead().await.unwrap();
    while store.roll(&Rolling { quiet: Duration::ZERO, cells: usize::MAX }).await.unwrap().left > 0 {}
    store.keep_continuity("default", (0, i64::MAX)).await.unwrap();
}

/// Names of persons by key.
pub async fn names(grafana: &Grafana<'_>) -> BTreeMap<String, String> {
    let rows = grafana
        .ask("names", "SELECT person, if(username = '', caller, username) FROM persons", &grafana.everything(PERIOD))
        .await
        .rows;
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    rows.iter().map(|row| (word(&row[0]), word(&row[1]))).collect()
}
