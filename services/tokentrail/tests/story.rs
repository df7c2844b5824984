//! The recorded story of a Keycloak and a Backstage through the real program, by its own command line: the counts of
//! client, journal, fates and ClickHouse agree; repeating everything changes nothing; bad input harms nobody.
#![allow(clippy::unwrap_used)] // a test may panic

mod support;

use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};
use support::{Program, block_on, client, command, login, sign};

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas/samples/pair").join(name)
}

fn cli(program: &Program, args: &[&str]) -> Output {
    let output = command(&program.data).args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

fn input<'a>(status: &'a Value, source: &str, input: &str) -> &'a Value {
    let found = status["inputs"].as_array().unwrap().iter().find(|i| i["source"] == source && i["input"] == input);
    found.unwrap_or_else(|| panic!("no {source}/{input} in {status}"))
}

/// Current rows without what may differ between two arrivals: receipt positions and times of receipt.
fn current_events(program: &Program) -> Vec<Value> {
    program.sql("SELECT * EXCEPT (receipt, received_at, inputs, conflicts) FROM events ORDER BY time, event_id")
}

#[test]
fn the_recorded_story_is_counted_traced_and_repeatable() {
    let dir = tempfile::tempdir().unwrap();
    let program = Program::start(&dir.path().join("data"), &[]);
    let log = dir.path().join("backstage.log");
    let packed = std::fs::File::open(sample("backstage-stdout.cri.log.gz")).unwrap();
    std::io::copy(&mut flate2::read::GzDecoder::new(packed), &mut std::fs::File::create(&log).unwrap()).unwrap();
    let log = log.to_str().unwrap();
    let history = sample("backstage-catalog-history.ndjson");
    let (webhooks, exported) = (sample("keycloak-webhook.ndjson"), sample("keycloak-events.json"));

    cli(&program, &["import", "--source", "keycloak", webhooks.to_str().unwrap()]);
    cli(&program, &["send", "--source", "backstage", "--instance", "b1", log]);
    cli(&program, &["import", "--source", "backstage", history.to_str().unwrap()]);
    let first = program.drained();

    let deliveries = std::fs::read_to_string(&webhooks).unwrap().lines().count() as u64;
    let imported = input(&first, "keycloak", "import");
    assert_eq!(imported["received"], deliveries, "client and fates count the same");
    assert_eq!(imported["stored"], deliveries);
    let lines = input(&first, "backstage", "lines");
    assert_eq!(lines["dead"], 0);
    assert_eq!(
        lines["received"].as_u64().unwrap(),
        ["stored", "duplicate", "ignored", "dead", "pending"]
            .iter()
            .map(|fate| lines[*fate].as_u64().unwrap())
            .sum::<u64>()
    );
    let sum: u64 = first["inputs"].as_array().unwrap().iter().map(|i| i["received"].as_u64().unwrap()).sum();
    assert_eq!(first["journal"]["end"], sum, "journal and fates count the same");
    assert_eq!(program.sql("SELECT count() AS n FROM receipts")[0]["n"], sum, "ClickHouse counts the same");

    // Every line of the file is a receipt or counted as what else it is; ours and the program's own counters agree.
    let others = |status: &Value| status["other_lines"][0]["lines"].clone();
    let expected = serde_json::json!({"access": 432, "json": 220, "redaction_off": 1, "text": 1});
    assert_eq!((&first["other_lines"][0]["source"], others(&first)), (&"backstage".into(), expected.clone()));
    let all = std::fs::read_to_string(log).unwrap().lines().count() as u64;
    assert_eq!(lines["received"].as_u64().unwrap() + 432 + 220 + 1 + 1, all);
    let metrics = program.get_admin("/metrics").unwrap();
    let value = |name: &str| {
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap();
        line.parse::<f64>().unwrap()
    };
    let (syncs, seconds) = (value("tokentrail_journal_syncs_total"), value("tokentrail_journal_sync_seconds_total"));
    let longest = value("tokentrail_journal_sync_longest_seconds");
    assert!(
        syncs > 2.0 && 0.0 < longest && longest <= seconds && seconds <= longest * syncs,
        "{syncs} {seconds} {longest}"
    );
    assert!(
        metrics.contains(r#"tokentrail_intake_other_lines_total{kind="access",source="backstage"} 432"#),
        "{metrics}"
    );

    // The truth of the story: 283 decisions were evaluated to an end.
    let decisions = program.sql("SELECT outcome, count() AS n FROM events WHERE kind = 'decision' GROUP BY outcome");
    let decided: u64 = decisions.iter().map(|row| row["n"].as_u64().unwrap()).sum();
    let terminal = std::fs::read_to_string(log)
        .unwrap()
        .lines()
        .filter(|l| l.contains("\"eventId\":\"permission-evaluation\"") && !l.contains("\"status\":\"initiated\""))
        .count();
    assert_eq!(decided, terminal as u64, "{decisions:?}");

    // One person across both systems, joined by the recorded annotation.
    let trail: Value = serde_json::from_slice(&cli(&program, &["trace", "finn", "--format", "json"]).stdout).unwrap();
    let steps = trail["events"].as_array().unwrap();
    let kinds = |source: &str| steps.iter().filter(|s| s["source_id"] == source).count();
    assert!(kinds("keycloak") > 3 && kinds("backstage") > 5, "both systems are in the trail");
    let disabled = steps.iter().find(|s| s["kind"] == "user_updated" && s["details"]["enabled"] == "false").unwrap();
    let late = steps.iter().filter(|s| {
        s["kind"] == "decision" && s["outcome"] == "allow" && s["time"].as_i64() > disabled["time"].as_i64()
    });
    let last_allow = late.map(|s| s["time"].as_i64().unwrap()).max().unwrap();
    let after_ms = last_allow - disabled["time"].as_i64().unwrap();
    assert!(
        (570_000..600_000).contains(&after_ms),
        "finn was allowed 583 s after he was disabled, found {after_ms} ms"
    );

    found_by_id(&program, steps);

    // Everything again, and what the event store held: more receipts, the same events.
    let before = current_events(&program);
    std::fs::remove_dir_all(program.data.join("send")).unwrap();
    cli(&program, &["send", "--source", "backstage", "--instance", "b1", log]);
    cli(&program, &["import", "--source", "keycloak", webhooks.to_str().unwrap(), exported.to_str().unwrap()]);
    let second = program.drained();
    assert_eq!(input(&second, "backstage", "lines")["stored"], lines["stored"], "a line sent twice is one event");
    assert_eq!(others(&second), expected, "lines of a repeated delivery are counted once");
    assert_eq!(input(&second, "keycloak", "import")["stored"], deliveries);
    assert!(input(&second, "keycloak", "import")["duplicate"].as_u64().unwrap() >= deliveries);
    assert_eq!(current_events(&program).len(), before.len());
    assert!(
        program.sql("SELECT event_id FROM events WHERE notEmpty(conflicts)").is_empty(),
        "copies of one event agree"
    );

    // Killed and started again: the same rows.
    let data = program.data.clone();
    program.kill();
    let program = Program::start(&data, &[]);
    program.drained();
    assert_eq!(current_events(&program).len(), before.len());
    let verified = command(&data).args(["journal", "verify"]).output().unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    assert_eq!(program.terminate(), Some(0), "a stop in good order");
    assert!(!data.join("run.json").exists());
    let log = std::fs::read_to_string(data.join("log.ndjson")).unwrap();
    for line in log.lines() {
        let told: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("no line of JSON: {line}"));
        assert!(told["timestamp"].is_string() && told["level"].is_string() && told["target"].is_string(), "{told}");
    }
    assert!(log.lines().count() > 2, "a program says when it starts and stops");
}

/// Each kind of id of the trail leads back to its event, and that to its receipt and its place in the journal.
fn found_by_id(program: &Program, steps: &[Value]) {
    let trace = |args: &[&str]| -> Value {
        let args = [&["trace"], args, &["--format", "json"]].concat();
        serde_json::from_slice(&cli(program, &args).stdout).unwrap()
    };
    let login = steps.iter().find(|step| step["kind"] == "token_issued" && step["source_id"] == "keycloak").unwrap();
    let id = |name: &str| login[name].as_str().unwrap();
    for (kind, name) in [("event", "event_id"), ("session", "session_id"), ("token", "token_id")] {
        let told = trace(&[kind, id(name)]);
        let found = told["events"].as_array().unwrap();
        let own =
            found.iter().find(|one| one["event_id"] == login["event_id"]).unwrap_or_else(|| panic!("{kind}: {told}"));
        assert_eq!(own["receipt"], login["receipt"], "{kind}");
        assert!(
            found.iter().all(|one| one[name] == login[name] || kind != "event"),
            "{kind}: and nothing else: {told}"
        );
    }
    let (stream, seq) = (login["receipt"]["stream"].as_str().unwrap(), &login["receipt"]["seq"]);
    let told = trace(&["receipt", &format!("{stream}/{seq}")]);
    assert_eq!(told["events"][0]["event_id"], login["event_id"], "{told}");
    let stored = format!("SELECT count() AS n FROM receipts WHERE lower(hex(stream)) = '{stream}' AND seq = {seq}");
    assert_eq!(program.sql(&stored)[0]["n"], 1, "the receipt is stored");
    let inspected = command(&program.data).args(["journal", "inspect", "--format", "json"]).output().unwrap();
    let told: Value = serde_json::from_slice(&inspected.stdout).unwrap();
    let streams = told["streams"].as_array().unwrap();
    assert!(streams.iter().any(|one| one["stream"] == stream), "and is in the journal: {told}");
}

#[test]
fn bad_input_is_refused_or_kept_and_never_leaks() {
    let dir = tempfile::tempdir().unwrap();
    let program = Program::start(&dir.path().join("data"), &[]);
    let secret = program.secret("keycloak.webhook");
    let canary = "hunter2-canary-4f9c";
    let body = login("11111111-0000-4000-8000-000000000001", 1_795_469_103_342)
        .replace("\"username\":\"ann\"}", &format!("\"username\":\"ann\",\"password\":\"{canary}\"}}"));
    let post = |path: &str, signature: Option<String>, body: Vec<u8>| {
        let mut request =
            client().post(format!("{}{path}", program.intake())).header("content-type", "application/json").body(body);
        if let Some(signature) = signature {
            request = request.header("x-keycloak-signature", signature);
        }
        block_on(async move {
            let answer = request.send().await.unwrap();
            (answer.status().as_u16(), answer.text().await.unwrap())
        })
    };
    let wrong = post("/v1/keycloak/keycloak", Some(sign("wrong", body.as_bytes())), body.clone().into_bytes());
    let unknown = post("/v1/keycloak/nobody", Some(sign(&secret, body.as_bytes())), body.clone().into_bytes());
    assert_eq!(wrong.0, 401);
    assert_eq!(wrong, unknown, "an unknown source and a bad signature cannot be told apart");
    assert_eq!(post("/v1/keycloak/keycloak", None, vec![b'x'; 2 << 20]).0, 413);
    assert_eq!(post("/v2/nothing", None, Vec::new()).0, 404);

    assert_eq!(post("/v1/keycloak/keycloak", Some(sign(&secret, body.as_bytes())), body.into_bytes()).0 / 100, 2);
    let nonsense = format!("{{\"no json {canary}");
    assert_eq!(
        post("/v1/keycloak/keycloak", Some(sign(&secret, nonsense.as_bytes())), nonsense.into_bytes()).0 / 100,
        2
    );
    let odd = "{\"hello\":\"world\"}";
    assert_eq!(post("/v1/keycloak/keycloak", Some(sign(&secret, odd.as_bytes())), odd.into()).0 / 100, 2);

    let status = program.drained();
    let webhook = input(&status, "keycloak", "webhook");
    assert_eq!(
        (&webhook["received"], &webhook["stored"], &webhook["dead"]),
        (&3.into(), &1.into(), &2.into()),
        "{webhook}"
    );
    let metrics = program.get_admin("/metrics").unwrap();
    assert!(metrics.contains("tokentrail_intake_receipts_total{"), "{metrics}");
    documented(&metrics);
    let data = program.data.clone();
    assert_eq!(program.terminate(), Some(0));
    for what in ["inspect", "verify"] {
        let output = command(&data).args(["journal", what, "--format", "json"]).output().unwrap();
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(
            (output.status.code(), &told["intact"], &told["losses"]),
            (Some(0), &true.into(), &0.into()),
            "{told}"
        );
        let records: u64 = told["streams"].as_array().unwrap().iter().map(|one| one["records"].as_u64().unwrap()).sum();
        assert_eq!((&told["records"], &told["next_offset"]), (&records.into(), &status["journal"]["end"]), "{told}");
    }
    assert!(!metrics.contains(canary));
    let found = Command::new("grep").args(["-rlaF", canary]).arg(&data).output().unwrap();
    assert!(found.stdout.is_empty(), "the canary stands in {}", String::from_utf8_lossy(&found.stdout));
}

#[test]
fn man_pages_and_json_say_what_they_are_about() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let run = |args: &[&str]| command(&data).args(args).output().unwrap();
    let text = |output: &Output| String::from_utf8(output.stdout.clone()).unwrap();
    let all = text(&run(&["man"]));
    for part in [
        ".TH tokentrail 1",
        ".TH tokentrail-send 1",
        "spool\\-mib",
        ".TH tokentrail-journal-verify 1",
        "when\\-full",
        "Who could do what",
    ] {
        assert!(all.contains(part), "{part}");
    }
    assert!(!all.contains("engine-child"), "what is never typed by hand has no page");
    let folder = dir.path().join("man1");
    assert!(run(&["man", "--dir", folder.to_str().unwrap()]).status.success());
    let page = std::fs::read_to_string(folder.join("tokentrail-person-merge.1")).unwrap();
    assert!(page.contains(".TH tokentrail-person-merge 1") && page.contains("SYNOPSIS"), "{page}");

    let json = |output: &Output| serde_json::from_slice::<Value>(&output.stdout).unwrap();
    let good = run(&["config", "check", "--format", "json"]);
    assert_eq!((good.status.code(), &json(&good)["good"]), (Some(0), &true.into()));
    assert_eq!(json(&good)["sources"], serde_json::json!(["backstage", "keycloak"]));
    let bad =
        command(&data).args(["config", "check", "--format", "json"]).env("TOKENTRAIL__TENANT", "").output().unwrap();
    assert_eq!((bad.status.code(), &json(&bad)["good"]), (Some(2), &false.into()));
    assert!(json(&bad)["wrong"].as_str().unwrap().contains("tenant"));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let completions = command(&dir.path().join("data")).args(["completions", "bash"]).output().unwrap();
    let text = String::from_utf8(completions.stdout).unwrap();
    let commands = ["send", "import", "journal", "doctor", "trace", "report"];
    assert!(commands.iter().all(|name| text.contains(&format!("__{name})"))), "{text}");
    for arguments in [&["completions", "bash"][..], &["man"], &["config", "schema"], &["config", "print"]] {
        let mut child = support::command(&dir.path().join("data"))
            .args(arguments)
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        assert_eq!(child.wait().unwrap().code(), Some(0), "{arguments:?}");
    }
}

/// Whoever follows docs/operations.md finds each metric that it names, under the type that it has.
fn documented(metrics: &str) {
    let page = include_str!("../../../docs/operations.md");
    let named =
        page.split(|c: char| !(c.is_ascii_lowercase() || c == '_')).filter(|word| word.starts_with("tokentrail_"));
    let exposed: Vec<&str> =
        metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    // Told only where there is what they are of: heartbeats, a pull, gaps, faults, damage, Kafka. And the database's user.
    const ELSEWHERE: &[&str] = &[
        "tokentrail_complete_until_seconds",
        "tokentrail_copies_differ_events",
        "tokentrail_correlation_lag_announcements",
        "tokentrail_correlation_source_late_seconds",
        "tokentrail_gaps_unrepaired",
        "tokentrail_heartbeats_total",
        "tokentrail_journal_damaged_records_total",
        "tokentrail_kafka_partitions",
        "tokentrail_part_faults_total",
        "tokentrail_pull_state",
        "tokentrail_reader",
    ];
    let missing: std::collections::BTreeSet<_> =
        named.filter(|name| !exposed.contains(name) && !ELSEWHERE.contains(name)).collect();
    assert!(missing.is_empty(), "docs/operations.md names what is not exposed: {missing:?}");
}
