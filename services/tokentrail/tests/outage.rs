//! ClickHouse dies under load or hangs, and the disk runs full: intake goes on or says why not, and all is caught up
//! without a hand. However ClickHouse is, a stop ends in time.
#![allow(clippy::unwrap_used)] // a test may panic

mod support;

use reqwest::{StatusCode, header::HeaderMap};
use std::{
    ops::Range,
    path::Path,
    process::Command,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    time::{Duration, Instant},
};
use support::{Program, block_on, client, login, sign};
use testbed::SmallDisk;

/// The engine's process id, once there is one: between two lives there is none.
fn engine_pid(program: &Program) -> String {
    let started = Instant::now();
    loop {
        let output = Command::new("pgrep").args(["-P", &program.child.id().to_string()]).output().unwrap();
        let pids = String::from_utf8(output.stdout).unwrap();
        match *pids.lines().collect::<Vec<_>>() {
            [pid] => return pid.to_owned(),
            [] => assert!(started.elapsed() < COMES_BACK, "the engine came not back; log: {}", program.log()),
            ref several => panic!("one child, not {several:?}"),
        }
    }
}

/// Longest wait for an engine that was killed.
const COMES_BACK: Duration = Duration::from_secs(180);
/// A stop of ten seconds on a machine that is busy; one that waits for the hanging insert takes two minutes.
const STOPPED: Duration = Duration::from_secs(60);

fn post(program: &Program, numbers: std::ops::Range<u32>) {
    let (url, secret) = (format!("{}/v1/keycloak/keycloak", program.intake()), program.secret("keycloak.webhook"));
    block_on(async move {
        let http = client();
        for number in numbers {
            let body = login(&format!("22222222-0000-4000-8000-{number:012}"), 1_795_469_103_342);
            let request = http.post(&url).header("x-keycloak-signature", sign(&secret, body.as_bytes()));
            let answer = request.header("content-type", "application/json").body(body).send().await.unwrap();
            assert!(answer.status().is_success(), "intake does not depend on ClickHouse");
        }
    });
}

/// The number behind a series of `/metrics`.
fn metric(program: &Program, series: &str) -> Option<f64> {
    let text = program.get_admin("/metrics").unwrap();
    text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

fn signal(name: &str, pid: &str) {
    assert!(Command::new("kill").args([name, pid]).status().unwrap().success());
}

/// Lag and fates as Prometheus sees them, while ClickHouse stands still and after.
fn metrics_tell_it(program: &Program) {
    assert_eq!(metric(program, "tokentrail_journal_lag_records"), Some(0.0), "all is acknowledged");
    assert_eq!(metric(program, "tokentrail_journal_lag_seconds"), Some(0.0));
    let pid = engine_pid(program);
    signal("-STOP", &pid);
    post(program, 800..850);
    let (records, seconds) =
        ["records", "seconds"].map(|what| metric(program, &format!("tokentrail_journal_lag_{what}"))).into();
    signal("-CONT", &pid);
    assert!(records >= Some(50.0) && seconds > Some(0.0), "{records:?} {seconds:?}");
    program.drained();
    assert_eq!(metric(program, "tokentrail_journal_lag_records"), Some(0.0));
    let fate = |fate: &str| {
        let series = format!(r#"tokentrail_receipts{{fate="{fate}",input="webhook",source="keycloak"}}"#);
        metric(program, &series)
    };
    let started = Instant::now();
    while fate("stored") != Some(850.0) {
        assert!(started.elapsed() < COMES_BACK, "{:?}", fate("stored"));
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(["duplicate", "ignored", "dead", "pending"].map(fate), [Some(0.0); 4], "the sum is what came in");
    let last = r#"tokentrail_last_receipt_timestamp_seconds{input="webhook",source="keycloak"}"#;
    assert!(metric(program, last) > Some(1_700_000_000.0));
}

#[test]
fn intake_goes_on_while_clickhouse_is_dead_and_all_is_caught_up() {
    let dir = tempfile::tempdir().unwrap();
    let program = Program::start(&dir.path().join("data"), &[]);
    for path in ["/metrics", "/v1/status", "/readyz"] {
        let url = format!("{}{path}", program.intake());
        let answer = block_on(async move { client().get(url).send().await.unwrap().status() });
        assert_eq!(answer, StatusCode::NOT_FOUND, "{path} is for the admin listener");
    }
    post(&program, 0..200);
    for round in 0..3 {
        let pid = engine_pid(&program);
        assert!(Command::new("kill").args(["-9", &pid]).status().unwrap().success());
        post(&program, 200 * (round + 1)..200 * (round + 2));
        program.get_admin("/readyz").expect("ready means: the journal takes receipts");
    }
    let started = Instant::now();
    while program.get_admin("/v1/status").is_none() {
        assert!(started.elapsed() < COMES_BACK, "the engine came not back; log: {}", program.log());
        std::thread::sleep(Duration::from_millis(100));
    }
    program.drained();
    metrics_tell_it(&program);
    let counted =
        &program.sql("SELECT count() AS n, uniqExact(native_id) AS ids FROM events WHERE source_id = 'keycloak'")[0];
    assert_eq!((&counted["n"], &counted["ids"]), (&850.into(), &850.into()), "nothing lost, nothing twice");
    assert_eq!(program.terminate(), Some(0));
}

#[test]
fn a_second_signal_stops_at_once_and_nothing_acknowledged_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut program = Program::start(&data, &[]);
    let (engine, own) = (engine_pid(&program), program.child.id().to_string());
    // A ClickHouse that stands still: a stop in order waits for what is pending.
    signal("-STOP", &engine);
    post(&program, 0..50);
    signal("-TERM", &own);
    let started = Instant::now();
    while !program.log().contains("Stopping; a second signal stops at once.") {
        assert!(started.elapsed() < COMES_BACK, "the first signal was not heard; log: {}", program.log());
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(program.child.try_wait().unwrap().is_none(), "a stop in order has something to wait for");
    signal("-INT", &own);
    assert_eq!(program.child.wait().unwrap().code(), Some(130), "it did not wait");
    signal("-CONT", &engine);
    let program = Program::start(&data, &[]);
    program.drained();
    let counted = &program.sql("SELECT count() AS n FROM events WHERE source_id = 'keycloak'")[0];
    assert_eq!(counted["n"], 50);
    assert_eq!(program.terminate(), Some(0));
}

/// Without ClickHouse: `status` tells what waits and says that it is not all, `doctor` what to look at, and nothing is guessed.
fn what_waits_is_told(data: &std::path::Path) {
    let asked = |words: &[&str]| support::command(data).args(words).output().unwrap();
    let told = asked(&["status", "--format", "json"]);
    let status: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!(told.status.code(), Some(1), "not all is well: {status}");
    assert!(status["without_store"].is_string() && status["store_up"] == false, "{status}");
    let webhook = status["inputs"].as_array().unwrap().iter().find(|input| input["source"] == "keycloak").unwrap();
    assert_eq!([&webhook["received"], &webhook["pending"], &webhook["stored"]], [&10, &10, &0], "{status}");
    let people = String::from_utf8(asked(&["status"]).stdout).unwrap();
    assert!(people.contains("ClickHouse cannot be asked: it has not answered since the start"), "{people}");
    let doctor = asked(&["doctor"]);
    let found = String::from_utf8(doctor.stdout).unwrap();
    assert_eq!(doctor.status.code(), Some(1), "{found}");
    assert!(found.contains("look  ClickHouse acknowledges: it has not answered since the start"), "{found}");
    assert!(!found.contains("nothing has come in"), "{found}");
    let trace = asked(&["trace", "ann"]);
    assert_eq!(trace.status.code(), Some(2), "{}", String::from_utf8_lossy(&trace.stderr));
}

#[test]
fn a_journal_that_can_keep_nothing_ends_the_program_though_nobody_reads_it() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    // No ClickHouse: nothing reads the journal, and nothing but its own end can tell of it.
    let settings = [("TOKENTRAIL__STORE__URL", support::NO_CLICKHOUSE), ("TOKENTRAIL__JOURNAL__SEGMENT_MIB", "1")];
    let mut program = Program::start(&data, &settings);
    post(&program, 0..10);
    what_waits_is_told(&data);
    // The next segment cannot be made.
    std::fs::rename(data.join("journal"), data.join("elsewhere")).unwrap();
    std::fs::write(data.join("journal"), "").unwrap();
    let (url, secret) = (format!("{}/v1/keycloak/keycloak", program.intake()), program.secret("keycloak.webhook"));
    let refused = block_on(async move {
        let http = client();
        for number in 0..3_000 {
            let body = login(&format!("33333333-0000-4000-8000-{number:012}"), 1_795_469_103_342);
            let request = http.post(&url).header("x-keycloak-signature", sign(&secret, body.as_bytes()));
            match request.header("content-type", "application/json").body(body).send().await {
                Ok(answer) if answer.status().is_success() => {}
                // Refused, or nobody is there any more.
                Ok(answer) => return answer.status().as_u16() == 503,
                Err(error) => return error.is_connect() || error.is_request(),
            }
        }
        false
    });
    assert!(refused, "what cannot be kept was acknowledged; log: {}", program.log());
    let started = Instant::now();
    let status = loop {
        if let Some(status) = program.child.try_wait().unwrap() {
            break status;
        }
        assert!(started.elapsed() < COMES_BACK, "it goes on and refuses for ever; log: {}", program.log());
        std::thread::sleep(Duration::from_millis(50));
    };
    assert!(status.code().is_some_and(|code| code != 0), "whoever supervises it must see a failure: {status}");
    assert!(program.log().contains("nothing can be kept"), "{}", program.log());
}

/// One signed delivery of events; status, headers and body of the answer, if there is one.
fn deliver(program: &Program, numbers: Range<u32>) -> Option<(StatusCode, HeaderMap, String)> {
    let (url, secret) = (format!("{}/v1/keycloak/keycloak", program.intake()), program.secret("keycloak.webhook"));
    let event = |number: u32| login(&format!("44444444-0000-4000-8000-{number:012}"), 1_795_469_103_342);
    let body = format!("[{}]", numbers.map(event).collect::<Vec<_>>().join(","));
    let request = client().post(url).header("x-keycloak-signature", sign(&secret, body.as_bytes()));
    block_on(async move {
        let answer = request.header("content-type", "application/json").body(body).send().await.ok()?;
        Some((answer.status(), answer.headers().clone(), answer.text().await.ok()?))
    })
}

/// Deliveries without a pause, until somebody says stop or the program is gone; how many were acknowledged.
fn deliver_until(program: &Program, (next, stop): (&AtomicU32, &AtomicBool)) -> u32 {
    let mut acknowledged = 0;
    while !stop.load(Ordering::Relaxed) {
        let number = next.fetch_add(1, Ordering::Relaxed);
        match deliver(program, number..number + 1) {
            Some((status, ..)) if status.is_success() => acknowledged += 1,
            _ => break,
        }
    }
    acknowledged
}

/// Exit code of a command on a data folder, and what it printed.
fn asked(data: &Path, words: &[&str]) -> (Option<i32>, String) {
    let output = support::command(data).args(words).output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap())
}

/// A ClickHouse that hangs under load: a stop is cut by the program's own deadline, in time, and nothing acknowledged is lost.
#[test]
fn a_stop_under_load_ends_in_time_though_clickhouse_hangs() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut program = Program::start(&data, &[]);
    let (engine, own) = (engine_pid(&program), program.child.id().to_string());
    signal("-STOP", &engine);
    let (next, stop) = (AtomicU32::new(0), AtomicBool::new(false));
    let (acknowledged, took) = std::thread::scope(|scope| {
        let load = scope.spawn(|| deliver_until(&program, (&next, &stop)));
        let lag = || metric(&program, "tokentrail_journal_lag_records");
        let started = Instant::now();
        // One more than fifty deliveries: the opening of the stream waits, too.
        while lag() < Some(51.0) {
            assert!(started.elapsed() < COMES_BACK, "no load: {:?}", lag());
        }
        signal("-TERM", &own);
        let since = Instant::now();
        let acknowledged = load.join().unwrap();
        // It may take no more connections at once, and ends later.
        stop.store(true, Ordering::Relaxed);
        (acknowledged, since)
    });
    assert_eq!(
        program.child.wait().unwrap().code(),
        Some(0),
        "what waits is stored after the next start; {}",
        program.log()
    );
    assert!(took.elapsed() < STOPPED, "{:?}", took.elapsed());
    assert!(program.log().contains("The stop was cut"), "{}", program.log());
    assert!(!data.join("run.json").exists(), "nothing says that it runs");
    signal("-CONT", &engine);
    let program = Program::start(&data, &[]);
    program.drained();
    let stored =
        program.sql("SELECT count() AS n, uniqExact(native_id) AS ids FROM events WHERE source_id = 'keycloak'");
    let (n, ids) = (stored[0]["n"].as_u64().unwrap(), stored[0]["ids"].as_u64().unwrap());
    assert!(acknowledged >= 50 && n == ids && n >= u64::from(acknowledged), "{acknowledged} acknowledged, {n} stored");
    assert_eq!(program.terminate(), Some(0));
}

/// The journal's file system runs full: refused with a time to come again, and told wherever one looks; with room again receipts are
/// taken without a hand, and what was acknowledged is stored.
#[test]
fn a_full_disk_is_told_and_room_is_found_without_a_hand() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    std::fs::create_dir_all(data.join("journal")).unwrap();
    let Some(disk) = SmallDisk::mount(&data.join("journal"), 12).unwrap() else { return };
    let small = [("TOKENTRAIL__JOURNAL__SEGMENT_MIB", "1"), ("TOKENTRAIL__JOURNAL__MAX_MIB", "1024")];
    let program = Program::start(&data, &[&small[..], &[("TOKENTRAIL__STORE__URL", support::NO_CLICKHOUSE)]].concat());
    disk.fill().unwrap();
    let mut acknowledged = 0;
    let (status, headers, body) = loop {
        let answer = deliver(&program, acknowledged..acknowledged + 50).unwrap();
        if !answer.0.is_success() {
            break answer;
        }
        acknowledged += 50;
        assert!(acknowledged < 20_000, "the disk never ran full");
    };
    assert_eq!(status, 503, "after {acknowledged}: {body}");
    assert!(headers["retry-after"].to_str().unwrap().parse::<u32>().unwrap() >= 1);
    assert_eq!(headers["content-type"], "application/problem+json");
    assert!(body.contains("no room in the journal"), "{body}");
    assert!(acknowledged > 0, "what fitted was taken");
    let readiness = || program.ask_admin("/readyz").unwrap();
    assert_eq!(readiness(), (503, "the journal cannot take receipts\n".to_owned()));
    assert_eq!(program.ask_admin("/healthz").unwrap().0, 200, "a restart would help nobody");
    assert_eq!(asked(&data, &["health"]).0, Some(1));
    let (code, people) = asked(&data, &["status"]);
    assert!(code == Some(1) && people.contains("CANNOT take receipts: intake answers 503"), "{people}");
    let (code, found) = asked(&data, &["doctor"]);
    assert!(
        code == Some(1) && found.contains("the journal can take receipts: free disk space below data_dir"),
        "{found}"
    );

    disk.make_room().unwrap();
    let started = Instant::now();
    while readiness().0 != 200 {
        assert!(started.elapsed() < COMES_BACK, "room is back and was not found; log: {}", program.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    let answer = deliver(&program, acknowledged..acknowledged + 1).unwrap();
    assert!(answer.0.is_success(), "{answer:?}");
    assert_eq!(program.terminate(), Some(0));
    let program = Program::start(&data, &small);
    program.drained();
    let counted =
        &program.sql("SELECT count() AS n, uniqExact(native_id) AS ids FROM events WHERE source_id = 'keycloak'")[0];
    let all = u64::from(acknowledged) + 1;
    assert_eq!((counted["n"].as_u64(), counted["ids"].as_u64()), (Some(all), Some(all)));
    assert_eq!(program.terminate(), Some(0));
}
