//! `tokentrail replay` on the recorded story: a store as an older program with other normalisers left it becomes, killed
//! in between and by its own command line, what this program would have made of the same receipts from the start.
#![allow(clippy::unwrap_used)] // a test may panic

mod support;

use rand::Rng;
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::Output,
    time::Duration,
};
use support::{Program, command};

/// Replays that are killed before one may end.
const KILLED: usize = 5;

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas/samples/pair").join(name)
}

fn cli(program: &Program, args: &[&str]) -> Output {
    let output = command(&program.data).args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// A replay in a pipe: its summary, and not a word beside it.
fn replay(program: &Program, args: &[&str]) -> Value {
    let output = cli(program, &[&["replay", "--format", "json"], args].concat());
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "quiet in a pipe");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Everything that people see of events and fates.
fn current(program: &Program) -> (Vec<Value>, Vec<Value>, Vec<Value>) {
    let tell = |sql: &str| program.sql(sql);
    (
        tell("SELECT * FROM events ORDER BY time, event_id"),
        tell("SELECT * FROM fates ORDER BY source_id, input"),
        tell("SELECT stream, seq, reason FROM dead_letters ORDER BY stream, seq"),
    )
}

/// Turns the store into what an older program (normaliser 0) left of the same receipts: some kinds other, some times two
/// days off, some receipts not understood, and some events that are none.
fn as_an_older_program_left_it(program: &Program) {
    let unread = "cityHash64(stream, seq) % 7 = 0";
    let other_kind = "cityHash64(event_id, 'kind') % 5 = 0";
    let other_time = "cityHash64(event_id, 'time') % 5 = 0";
    for statement in [
        "CREATE TABLE kept_events AS event_rows ENGINE = MergeTree ORDER BY tuple()",
        "CREATE TABLE kept_receipts AS receipt_rows ENGINE = MergeTree ORDER BY tuple()",
        "INSERT INTO kept_events SELECT * FROM event_rows FINAL",
        "INSERT INTO kept_receipts SELECT * FROM receipt_rows FINAL",
        "TRUNCATE TABLE event_rows",
        "TRUNCATE TABLE receipt_rows",
        &format!(
            "INSERT INTO event_rows SELECT * REPLACE (version - 281474976710656 AS version, \
             if({other_kind}, 'mistaken', kind) AS kind, if({other_time}, time + toIntervalDay(2), time) AS time) \
             FROM kept_events WHERE NOT ({unread})"
        ),
        // Of every ninth event a second one, of another id.
        "INSERT INTO event_rows SELECT * REPLACE (version - 281474976710656 AS version, ordinal + 9 AS ordinal, \
         reinterpretAsUUID(reverse(reinterpretAsFixedString(event_id))) AS event_id) \
         FROM kept_events WHERE cityHash64(event_id) % 9 = 0",
        &format!(
            "INSERT INTO receipt_rows SELECT * REPLACE (0 AS normaliser, if(fate = 'event' AND {unread}, 'dead', fate) AS fate, \
             if(fate = 'event' AND {unread}, 'unknown_shape', reason) AS reason, \
             if(fate = 'event' AND {unread}, toUUID('00000000-0000-0000-0000-000000000000'), event_id) AS event_id) \
             FROM kept_receipts"
        ),
        "DROP TABLE kept_events",
        "DROP TABLE kept_receipts",
    ] {
        program.sql(statement);
    }
}

#[test]
fn a_store_of_an_older_program_becomes_what_this_one_would_have_made_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let program = Program::start(&dir.path().join("data"), &[]);
    let log = dir.path().join("backstage.log");
    let packed = std::fs::File::open(sample("backstage-stdout.cri.log.gz")).unwrap();
    std::io::copy(&mut flate2::read::GzDecoder::new(packed), &mut std::fs::File::create(&log).unwrap()).unwrap();
    cli(&program, &["import", "--source", "keycloak", sample("keycloak-webhook.ndjson").to_str().unwrap()]);
    cli(&program, &["send", "--source", "backstage", "--instance", "b1", log.to_str().unwrap()]);
    program.drained();
    let wanted = current(&program);
    assert!(wanted.0.len() > 300);
    let others = "SELECT count(), sum(cityHash64(*)) FROM raw_bodies UNION ALL SELECT count(), sum(cityHash64(*)) FROM watermark_rows FINAL";
    let untouched = program.sql(others);

    let nothing = replay(&program, &[]);
    assert_eq!((&nothing["receipts"]["judged"], &nothing["events"]["deleted"]), (&0.into(), &0.into()), "{nothing}");

    as_an_older_program_left_it(&program);
    let (older, _, dead) = current(&program);
    assert!(older.iter().any(|event| event["kind"] == "mistaken") && dead.len() > wanted.2.len() + 10);

    // A dry run says what will be and changes nothing; the same over the address of ClickHouse, with no program to ask.
    let dry = replay(&program, &["--dry-run"]);
    assert_eq!(current(&program).0, older);
    assert_eq!(over_url(&program, &["--dry-run"]), dry);

    // Dead letters alone.
    let retried = replay(&program, &["--dead", "--reason", "unknown_shape"]);
    assert_eq!(retried["receipts"]["selected"], dead.len(), "{retried}");
    assert_eq!(current(&program).2, wanted.2, "what this program understands is no dead letter");
    assert!(current(&program).0.iter().any(|event| event["kind"] == "mistaken"), "and the rest is as it was");

    // The rest, killed at random moments, then to its end.
    for _ in 0..KILLED {
        let mut child = command(&program.data).args(["replay", "--log", "error"]).spawn().unwrap();
        // The moment of the kill is the one thing here that must be random time and not a condition.
        std::thread::sleep(Duration::from_millis(rand::rng().random_range(50..600)));
        let _ = child.kill();
        child.wait().unwrap();
    }
    replay(&program, &[]);
    assert_eq!(current(&program), wanted);
    assert_eq!(program.sql(others), untouched, "bodies and watermarks are untouched");
    let again = replay(&program, &[]);
    assert_eq!((&again["receipts"]["judged"], &again["events"]["deleted"]), (&0.into(), &0.into()), "{again}");
    assert_eq!(again["receipts"]["current"], again["receipts"]["selected"]);

    let table = String::from_utf8(cli(&program, &["replay", "--input", "lines"]).stdout).unwrap();
    assert!(table.contains("judged by this normaliser before"), "{table}");
    assert_eq!(program.terminate(), Some(0));
}

/// A replay with no run file, by the address of ClickHouse.
fn over_url(program: &Program, args: &[&str]) -> Value {
    let (run, hidden) = (program.data.join("run.json"), program.data.join("hidden.json"));
    std::fs::rename(&run, &hidden).unwrap();
    let text = |name: &str| program.run[name].as_str().unwrap().to_owned();
    std::fs::write(program.data.join("store.password"), text("store_password")).unwrap();
    let mut command = command(&program.data);
    command
        .env("TOKENTRAIL__STORE__URL", text("store_url"))
        .env("TOKENTRAIL__STORE__USER", text("store_user"))
        .env("TOKENTRAIL__STORE__PASSWORD_FILE", "store.password");
    let output = command.args(["replay", "--format", "json"]).args(args).output().unwrap();
    std::fs::rename(&hidden, &run).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_replay_that_cannot_be_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |args: &[&str]| {
        let output = command(dir.path()).args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    };
    let no_key = refused(&["replay"]);
    assert!(no_key.contains("deployment.key is missing"), "{no_key}");
    assert!(!dir.path().join("keys").exists(), "and makes none");
    std::fs::create_dir(dir.path().join("keys")).unwrap();
    std::fs::write(dir.path().join("keys/deployment.key"), "07".repeat(32)).unwrap();
    let nobody = refused(&["replay"]);
    assert!(nobody.contains("tokentrail up"), "{nobody}");
    let behind = refused(&["replay", "--since", "2026-11-25", "--until", "2026-11-24"]);
    assert!(behind.contains("not before"), "{behind}");
}
