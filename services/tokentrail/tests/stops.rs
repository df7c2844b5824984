//! Signals at moments at which the process is no good listener: before its start is over, and while a request is under way. What was
//! acknowledged is there after the next start.
#![allow(clippy::unwrap_used)] // a test may panic

mod support;

use std::{
    fs::File,
    io::Write,
    net::TcpStream,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};
use support::{NO_CLICKHOUSE, Program, block_on, client, command, login, sign};

/// Longest wait for something to happen on a loaded machine.
const HAPPENS: Duration = Duration::from_secs(60);

fn signal(name: &str, child: &Child) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

fn ended(child: &mut Child) -> Option<ExitStatus> {
    let started = Instant::now();
    while started.elapsed() < HAPPENS {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    None
}

#[test]
fn a_signal_is_heard_while_a_start_waits_for_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    std::fs::create_dir_all(data.join("keys")).unwrap();
    let key = data.join("keys/deployment.key");
    assert!(Command::new("mkfifo").arg(&key).status().unwrap().success());
    let mut up = command(&data).arg("up").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // It can be opened for writing once somebody reads it: from then on the start waits for what never comes.
    let (tell, opened) = mpsc::channel();
    std::thread::spawn(move || tell.send(File::options().write(true).open(key)));
    let writer = opened.recv_timeout(HAPPENS).expect("the start reads its key").unwrap();
    signal("-TERM", &up);
    let status = ended(&mut up);
    drop(writer);
    if status.is_none() {
        up.kill().unwrap();
        up.wait().unwrap();
    }
    assert_eq!(status.expect("it stops though it has not started").code(), Some(0));
    assert!(!data.join("run.json").exists(), "nothing says that it runs");
}

#[test]
fn a_second_signal_is_heard_while_a_request_is_under_way_and_what_was_acknowledged_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let alone = [("TOKENTRAIL__STORE__URL", NO_CLICKHOUSE)];
    let mut program = Program::start(&data, &alone);
    let (url, secret) = (format!("{}/v1/keycloak/keycloak", program.intake()), program.secret("keycloak.webhook"));
    let body = login("55555555-0000-4000-8000-000000000001", 1_795_469_103_342);
    let request = client().post(url).header("x-keycloak-signature", sign(&secret, body.as_bytes()));
    let answer = block_on(async move { request.header("content-type", "application/json").body(body).send().await });
    assert!(answer.unwrap().status().is_success());

    let mut slow = TcpStream::connect(program.run["intake"].as_str().unwrap()).unwrap();
    slow.write_all(b"POST /v1/keycloak/keycloak HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{").unwrap();
    let started = Instant::now();
    while !program.get_admin("/metrics").unwrap().contains("tokentrail_intake_connections 1") {
        assert!(started.elapsed() < HAPPENS, "{:?}", program.get_admin("/metrics"));
        std::thread::sleep(Duration::from_millis(20));
    }
    signal("-TERM", &program.child);
    while !program.log().contains("Stopping; a second signal stops at once.") {
        assert!(started.elapsed() < HAPPENS, "the first signal was not heard; log: {}", program.log());
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(program.child.try_wait().unwrap().is_none(), "a stop in order waits for the request");
    signal("-INT", &program.child);
    assert_eq!(ended(&mut program.child).expect("it ends").code(), Some(130), "it did not wait");
    drop(slow);

    let program = Program::start(&data, &alone);
    let told = command(&data).args(["status", "--format", "json"]).env(alone[0].0, alone[0].1).output().unwrap();
    let status: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
    let webhook = status["inputs"].as_array().unwrap().iter().find(|input| input["source"] == "keycloak").unwrap();
    assert_eq!([&webhook["received"], &webhook["pending"]], [&1, &1], "{status}");
    assert_eq!(program.terminate(), Some(0));
}
