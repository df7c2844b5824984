//! A ClickHouse that is too old is refused before anything is written, and that is told wherever one looks: by `up`, which takes in
//! meanwhile, and by `process`. The old one is the test's own: it knows its version, and writes down what it is asked.
#![allow(clippy::unwrap_used)] // a test may panic

mod support;

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use support::{Program, block_on, client, command, login, sign};

/// Longest wait for something to happen on a loaded machine.
const HAPPENS: Duration = Duration::from_secs(60);

/// A ClickHouse of this version, as far as it is asked for that; all that it is asked.
fn old_clickhouse(version: &'static str) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, asked) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<String>>>::default());
    let heard = asked.clone();
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let heard = heard.clone();
            std::thread::spawn(move || answer_version(&connection, version, &heard));
        }
    });
    (address, asked)
}

fn answer_version(mut connection: &TcpStream, version: &str, heard: &Mutex<Vec<String>>) -> Option<()> {
    let mut reader = BufReader::new(connection);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let start = head.len();
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
        let line = head[start..].trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        length = line.strip_prefix("content-length: ").map_or(Some(length), |value| value.parse().ok())?;
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    heard.lock().unwrap().push(head + &String::from_utf8_lossy(&body));
    let answer =
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{version}\n", version.len() + 1);
    connection.write_all(answer.as_bytes()).ok()
}

/// What is said of it.
fn words(url: &str) -> String {
    format!("the ClickHouse at {url} is 25.8, and 26.3 is the oldest that is supported: upgrade it")
}

fn until(what: &str, program: &Program, found: impl Fn() -> bool) {
    let started = Instant::now();
    while !found() {
        assert!(started.elapsed() < HAPPENS, "{what}; log: {}", program.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Commands tell it, with what can be done.
fn commands_tell(data: &Path, (url, told): (&str, &str)) {
    for words in ["status", "doctor"] {
        let output = command(data).env("TOKENTRAIL__STORE__URL", url).arg(words).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{words}: {text}");
        assert!(text.contains(told) && text.contains("leave store.url out"), "{words}: {text}");
    }
}

#[test]
fn up_refuses_it_and_takes_in_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let (address, heard) = old_clickhouse("25.8.4.13");
    let url = format!("http://{address}");
    let program = Program::start(&data, &[("TOKENTRAIL__STORE__URL", &url), support::ALONE]);
    let (intake, secret) = (format!("{}/v1/keycloak/keycloak", program.intake()), program.secret("keycloak.webhook"));
    let body = login("44444444-0000-4000-8000-000000000001", 1_795_469_103_342);
    let request = client().post(intake).header("x-keycloak-signature", sign(&secret, body.as_bytes()));
    let answer = block_on(async move { request.header("content-type", "application/json").body(body).send().await });
    assert!(answer.unwrap().status().is_success(), "intake does not depend on ClickHouse");
    let told = words(&url);
    until("it is not told", &program, || program.log().contains(&told));
    commands_tell(&data, (&url, &told));
    let heard = heard.lock().unwrap().clone();
    assert!(heard.iter().all(|one| one.contains("version")), "it was asked for more than its version: {heard:?}");
    assert_eq!(program.terminate(), Some(0));
}

/// It is refused before a broker is asked for anything: nobody listens at the address that is named here.
#[cfg(feature = "kafka")]
#[test]
fn process_refuses_it_before_it_joins_its_group() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    std::fs::create_dir_all(data.join("keys")).unwrap();
    std::fs::write(data.join("keys/deployment.key"), "07".repeat(32)).unwrap();
    let (address, heard) = old_clickhouse("25.8.4.13");
    let url = format!("http://{address}");
    let settings = [("TOKENTRAIL__STORE__URL", url.as_str()), ("TOKENTRAIL__KAFKA__BROKERS", "[\"127.0.0.1:1\"]")];
    let log = std::fs::File::create(data.join("log.ndjson")).unwrap();
    let mut process = command(&data);
    let child = process.envs(settings).arg("process").stdout(std::process::Stdio::null()).stderr(log).spawn().unwrap();
    let mut program = Program { child, data: data.clone(), run: serde_json::Value::Null };
    let told = words(&url);
    until("it is not told", &program, || program.log().contains(&told));
    assert!(program.child.try_wait().unwrap().is_none(), "it waits for another one");
    program.run = serde_json::from_slice(&std::fs::read(data.join("run.json")).unwrap()).unwrap();
    let (status, body) = program.ask_admin("/readyz").unwrap();
    assert!(status == 503 && body.contains(&told), "{status} {body}");
    let heard = heard.lock().unwrap().clone();
    assert!(heard.iter().all(|one| one.contains("version")), "it was asked for more than its version: {heard:?}");
    assert_eq!(program.terminate(), Some(0));
}
