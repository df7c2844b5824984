//! The scheduled scrub in the running program: damage that no reader meets is found, counted and told with stream and
//! numbers, and a bounded rest of time keeps the next one away.
#![allow(clippy::unwrap_used)] // a test may panic

mod support;

use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use support::{Program, block_on, client, command, login, sign};

/// Longest wait for a scrub of a small journal.
const PATIENCE: Duration = Duration::from_secs(60);

fn post(program: &Program, count: u32) {
    let (url, secret) = (format!("{}/v1/keycloak/keycloak", program.intake()), program.secret("keycloak.webhook"));
    block_on(async move {
        let http = client();
        for number in 0..count {
            let body = login(&format!("33333333-0000-4000-8000-{number:012}"), 1_795_469_103_342);
            let request = http.post(&url).header("x-keycloak-signature", sign(&secret, body.as_bytes()));
            let answer = request.header("content-type", "application/json").body(body).send().await.unwrap();
            assert!(answer.status().is_success());
        }
    });
}

fn metric(program: &Program, name: &str) -> Option<i64> {
    let text = program.get_admin("/metrics")?;
    let line = text.lines().find(|line| line.starts_with(&format!("tokentrail_journal_scrub_{name} ")))?;
    line.rsplit_once(' ')?.1.parse().ok()
}

/// Waits for a scrub with this result and returns the journal's status then.
fn scrubbed(program: &Program, result: &str) -> Value {
    let (name, started) = (format!("runs_total{{result=\"{result}\"}}"), Instant::now());
    while metric(program, &name) != Some(1) {
        assert!(started.elapsed() < PATIENCE, "no scrub ended; log: {}", program.log());
        std::thread::sleep(Duration::from_millis(5));
    }
    program.status()["journal"].clone()
}

fn run(data: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let output = command(data).args(arguments).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

fn first_segment(data: &Path) -> PathBuf {
    data.join("journal").join(format!("{:020}.seg", 0))
}

#[test]
fn a_scheduled_scrub_finds_what_nobody_reads_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let program = Program::start(&data, &[]);
    post(&program, 20);
    program.drained();
    let journal = scrubbed(&program, "intact");
    assert_eq!(journal["scrub"]["losses"], 0);
    assert_eq!(program.terminate(), Some(0));

    // The store has it all; a byte of one record rots afterwards.
    let mut bytes = std::fs::read(first_segment(&data)).unwrap();
    let at = bytes.windows(12).position(|at| at == b"000000000007").unwrap();
    bytes[at] ^= 1;
    std::fs::write(first_segment(&data), bytes).unwrap();
    let program = Program::start(&data, &[]);
    let journal = program.status()["journal"].clone();
    assert_eq!((&journal["damage"], &journal["scrub"]["losses"]), (&0.into(), &0.into()), "nobody reads it");
    assert_eq!(metric(&program, "running"), Some(0), "the next scrub is due in a day");
    assert_eq!(program.terminate(), Some(0));

    std::fs::remove_file(data.join("scrub.json")).unwrap();
    let program = Program::start(&data, &[]);
    let journal = scrubbed(&program, "damaged");
    assert_eq!((metric(&program, "losses"), metric(&program, "damage")), (Some(1), Some(1)));
    assert_eq!(journal["scrub"]["losses"], 1);
    let damage = &journal["damages"][0];
    assert_eq!((&damage["kind"], &damage["loses_records"]), (&"damaged".into(), &true.into()));
    assert_eq!(damage["first_seq"], damage["last_seq"]);
    let stream =
        &program.sql("SELECT lower(hex(stream)) AS stream FROM receipts ORDER BY received_at LIMIT 1")[0]["stream"];
    assert_eq!(&damage["stream"], stream, "named as the store names it");
    assert!(damage["found_at"].as_i64().unwrap() > 0);
    assert_eq!(journal["quarantine"]["files"], 1);

    let (code, doctor) = run(&data, &["doctor"]);
    assert_eq!(code, Some(1), "{doctor}");
    assert!(doctor.contains("no record of the journal is lost: damaged"), "{doctor}");
    let (code, told) = run(&data, &["journal", "inspect"]);
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains(&format!("(stream {}", stream.as_str().unwrap())), "{told}");
    let (_, status) = run(&data, &["status"]);
    assert!(status.contains("1 LOSSES") && status.contains("quarantine: 1 copies"), "{status}");
    assert_eq!(program.terminate(), Some(0));
}

#[test]
fn zero_hours_is_never() {
    let dir = tempfile::tempdir().unwrap();
    let program = Program::start(&dir.path().join("data"), &[("TOKENTRAIL__JOURNAL__SCRUB_HOURS", "0")]);
    post(&program, 1);
    program.drained();
    assert_eq!(program.status()["journal"]["scrub"], Value::Null);
    assert_eq!(metric(&program, "running"), Some(0));
    assert_eq!(program.terminate(), Some(0));
}
