//! Settings that matter are pinned on every statement that the program sends, whatever the server's defaults are: read on the way to the
//! real engine, over a run that migrates, stores, correlates, is asked, stops and starts again.
#![allow(clippy::unwrap_used)] // a test may panic

#[path = "support/recorded.rs"]
mod recorded;
mod support;

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, Response, Uri},
};
use recorded::{CONFIG, backstage_log, sample};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use store::engine::{self, Engine, EngineOptions};
use support::{Program, client, command};

/// Longest wait for a condition, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

const INSERTS: &[(&str, &str)] = &[
    ("async_insert", "0"),
    ("insert_deduplicate", "0"),
    ("insert_null_as_default", "0"),
    ("input_format_defaults_for_omitted_fields", "0"),
    ("max_insert_block_size", "1048449"),
    ("min_insert_block_size_rows", "1048449"),
    ("min_insert_block_size_bytes", "268435456"),
    ("max_insert_threads", "1"),
    ("materialize_skip_indexes_on_insert", "0"),
    ("distributed_foreground_insert", "1"),
];
const READS: &[(&str, &str)] = &[
    ("timeout_overflow_mode", "throw"),
    ("result_overflow_mode", "throw"),
    ("join_use_nulls", "0"),
    ("transform_null_in", "0"),
    ("session_timezone", "UTC"),
    ("use_query_cache", "0"),
    ("aggregate_functions_null_for_empty", "0"),
    ("group_by_use_nulls", "0"),
    ("prefer_column_name_to_alias", "0"),
    ("short_circuit_function_evaluation", "force_enable"),
    ("use_skip_indexes_if_final", "1"),
    ("use_skip_indexes_if_final_exact_mode", "1"),
];
const DEFINES: &[(&str, &str)] = &[
    ("data_type_default_nullable", "0"),
    ("flatten_nested", "1"),
    ("session_timezone", "UTC"),
    ("alter_sync", "1"),
    ("mutations_sync", "0"),
    ("distributed_ddl_output_mode", "throw"),
];
/// Asked before it is known what the server understands.
const BEFORE: [&str; 2] = ["SELECT version()", "SELECT 1"];
/// Longest that a statement may run in the server, seconds.
const LONGEST: u32 = 3_600;

/// Not a test: where the engine's child process begins.
#[test]
fn engine_child() {
    engine::run_if_asked();
}

/// A statement as it came to the server.
#[derive(Debug)]
struct Statement {
    sql: String,
    settings: BTreeMap<String, String>,
}

impl Statement {
    /// SQL stands in the address, in the body, or in a part of the body beside parameters.
    fn of(uri: &Uri, body: &Bytes) -> Self {
        let pairs = reqwest::Url::parse(&format!("http://x{uri}")).unwrap();
        let settings: BTreeMap<String, String> = pairs.query_pairs().into_owned().collect();
        let text = || String::from_utf8_lossy(body).into_owned();
        let sql = settings.get("query").cloned().unwrap_or_else(|| match text().split_once("name=\"query\"") {
            Some((_, part)) => part.split_once("\r\n\r\n").unwrap().1.to_owned(),
            None => text(),
        });
        let code: Vec<&str> = sql.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
        Self { sql: code.join(" ").trim().to_owned(), settings }
    }

    /// What it does, and what must be pinned for that.
    fn kind(&self) -> (&'static str, Vec<&'static [(&'static str, &'static str)]>) {
        match self.sql.split([' ', '(']).next().unwrap() {
            "SELECT" if BEFORE.contains(&self.sql.as_str()) => ("before", Vec::new()),
            "SELECT" | "WITH" => ("read", vec![READS]),
            "INSERT" if self.sql.contains("FORMAT Native") || self.sql.contains("FORMAT RowBinary") => {
                ("rows", vec![INSERTS])
            }
            "INSERT" => ("derived rows", vec![INSERTS, READS]),
            "DESCRIBE" => ("columns", vec![INSERTS]),
            "CREATE" | "ALTER" | "DROP" => ("definition", vec![DEFINES]),
            other => panic!("{other}: which settings matter for that? {}", self.sql),
        }
    }

    fn check(&self) -> &'static str {
        let (kind, wanted) = self.kind();
        for (name, value) in wanted.into_iter().flatten() {
            assert_eq!(self.settings.get(*name).map(String::as_str), Some(*value), "{name} of: {}", self.sql);
        }
        assert!(self.settings.contains_key("wait_end_of_query"), "{}", self.sql);
        if !["before", "definition"].contains(&kind) {
            let longest = self.settings.get("max_execution_time").and_then(|seconds| seconds.parse::<u32>().ok());
            assert!(longest.is_some_and(|seconds| (1..=LONGEST).contains(&seconds)), "{longest:?} of: {}", self.sql);
        }
        kind
    }
}

type Heard = Arc<Mutex<Vec<Statement>>>;

/// Writes down what is asked, and hands it on as it came.
async fn hand_on(
    State((to, heard)): State<(String, Heard)>,
    uri: Uri,
    mut headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    heard.lock().unwrap().push(Statement::of(&uri, &body));
    for own in ["host", "content-length", "transfer-encoding", "connection"] {
        headers.remove(own);
    }
    let answer = client().post(format!("{to}{uri}")).headers(headers).body(body).send().await;
    // An engine that is going answers nothing, and nothing is answered for it.
    let Ok(answer) = answer else { return Response::builder().status(503).body(Body::empty()).unwrap() };
    let mut response = Response::builder().status(answer.status());
    for (name, value) in answer.headers() {
        if !["content-length", "transfer-encoding", "connection"].contains(&name.as_str()) {
            response = response.header(name, value);
        }
    }
    response.body(Body::from(answer.bytes().await.unwrap_or_default())).unwrap()
}

async fn between(to: String, heard: Heard) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let limit = axum::extract::DefaultBodyLimit::disable();
    let routes = Router::new().fallback(hand_on).layer(limit).with_state((to, heard));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    url
}

fn correlated(program: &Program) {
    program.drained();
    let began = Instant::now();
    while program.status()["correlation"]["phase"] != "following" || program.status()["correlation"]["lag"] != 0 {
        assert!(began.elapsed() < PATIENCE, "the correlation lags; log: {}", program.log());
        std::thread::sleep(Duration::from_millis(25));
    }
}

#[test]
fn every_statement_carries_the_settings_that_matter() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let library = testbed::engine().unwrap();
    let child = engine::test_command("engine_child").unwrap();
    let options = EngineOptions { library, dir: dir.path().join("engine"), command: child };
    let engine = runtime.block_on(Engine::start(options)).unwrap();
    let heard = Heard::default();
    let url = runtime.block_on(between(engine.url.clone(), heard.clone()));
    let config = dir.path().join("config.toml");
    std::fs::write(&config, CONFIG).unwrap();
    std::fs::write(dir.path().join("password"), &engine.password).unwrap();
    let password = dir.path().join("password").display().to_string();
    let settings = [
        ("TOKENTRAIL_CONFIG", config.to_str().unwrap()),
        ("TOKENTRAIL__STORE__URL", url.as_str()),
        ("TOKENTRAIL__STORE__USER", engine.user.as_str()),
        ("TOKENTRAIL__STORE__PASSWORD_FILE", password.as_str()),
    ];
    let data = dir.path().join("data");
    let run = |words: &[&str]| {
        let output = command(&data).envs(settings).args(words).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code().is_some_and(|code| code < 2), "{words:?}: {said}");
    };
    let lines = backstage_log(dir.path());
    let path = |path: &Path| path.to_str().unwrap().to_owned();

    let program = Program::start(&data, &settings);
    run(&["import", "--source", "kc", &path(&sample("keycloak-webhook.ndjson"))]);
    run(&["send", "--source", "bs", "--instance", "b1", &path(&lines)]);
    run(&["import", "--source", "bs", &path(&sample("backstage-catalog-history.ndjson"))]);
    correlated(&program);
    let period = ["--from", "2026-11-23T21:00:00Z", "--to", "2026-11-23T22:00:00Z"];
    for words in ["trace ann", "decisions", "access ann", "self-check", "findings list", "rules list", "gaps"] {
        run(&words.split(' ').collect::<Vec<_>>());
    }
    run(&[&["report", "run", "R08"], &period[..], &["--format", "ndjson"]].concat());
    run(&["deadletters", "list"]);
    run(&["replay"]);
    correlated(&program);
    assert_eq!(program.terminate(), Some(0), "and the correlation keeps what it knows");
    let program = Program::start(&data, &settings);
    correlated(&program);
    assert_eq!(program.terminate(), Some(0));
    runtime.block_on(engine.close());

    let heard = heard.lock().unwrap();
    let kinds: BTreeSet<&str> = heard.iter().map(Statement::check).collect();
    let all = ["before", "columns", "definition", "derived rows", "read", "rows"];
    assert_eq!(kinds, BTreeSet::from(all), "of {} statements", heard.len());
}
