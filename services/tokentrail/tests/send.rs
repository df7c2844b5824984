//! kill -9 of `tokentrail send` between the collector's append and the sender's note of the answer: what it sends again
//! after its restart is told from a second, equal delivery.
#![allow(clippy::unwrap_used)] // a test may panic

mod support;

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Uri},
};
use serde_json::Value;
use std::{
    future::pending,
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::{Duration, Instant},
};
use support::{Program, client, command};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Longest wait for something to happen on a loaded machine.
const HAPPENS: Duration = Duration::from_secs(60);

/// Ends with the test, whatever happens.
struct Running(Child);

impl Running {
    /// kill -9.
    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Stands between sender and collector: hands deliveries on, and keeps the answers to itself.
struct Between {
    _runtime: tokio::runtime::Runtime,
    url: String,
    answered: UnboundedReceiver<u16>,
}

async fn hand_on(State((to, told)): State<(String, UnboundedSender<u16>)>, uri: Uri, headers: HeaderMap, body: Bytes) {
    let answer = client().post(format!("{to}{}", uri.path())).headers(headers).body(body).send().await.unwrap();
    told.send(answer.status().as_u16()).unwrap();
    pending::<()>().await;
}

impl Between {
    fn start(collector: String) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (told, answered) = unbounded_channel();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let limit = axum::extract::DefaultBodyLimit::disable();
        let routes = Router::new().fallback(hand_on).layer(limit).with_state((collector, told));
        runtime.spawn(async move { axum::serve(listener, routes).await });
        Self { _runtime: runtime, url, answered }
    }

    /// The collector has acknowledged a delivery, and the sender does not know.
    fn landed(&mut self) {
        let answered = &mut self.answered;
        let status = self._runtime.block_on(async { tokio::time::timeout(HAPPENS, answered.recv()).await });
        assert_eq!(status.unwrap(), Some(200));
    }
}

/// The recorded standard output as the backend wrote it, without the frames of a runtime.
fn plain_lines(dir: &Path) -> (PathBuf, String) {
    let packed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas/samples/pair/backstage-stdout.cri.log.gz");
    let mut framed = String::new();
    let file = std::fs::File::open(packed).unwrap();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(file), &mut framed).unwrap();
    let plain: String = framed.lines().map(|line| line.splitn(4, ' ').nth(3).unwrap().to_owned() + "\n").collect();
    let path = dir.join("backstage.log");
    std::fs::write(&path, &plain).unwrap();
    (path, plain)
}

fn start(program: &Program, args: &[&str], url: Option<&str>) -> Running {
    let mut command = command(&program.data);
    command.args(["send", "--source", "backstage", "--instance", "b1"]).args(args);
    if let Some(url) = url {
        command.args(["--url", url]);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    Running(command.spawn().unwrap())
}

fn lines(status: &Value) -> Option<&Value> {
    status["inputs"].as_array().unwrap().iter().find(|i| i["source"] == "backstage" && i["input"] == "lines")
}

/// Waits until this many receipts of lines have a fate.
fn received(program: &Program, expected: u64) -> Value {
    let started = Instant::now();
    loop {
        let status = program.drained();
        if lines(&status).is_some_and(|lines| lines["received"].as_u64() >= Some(expected)) {
            return status;
        }
        assert!(started.elapsed() < HAPPENS, "{expected} receipts do not come: {status}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Everything came twice, and is known as having come once.
fn assert_once(program: &Program, status: &Value, plain: &str) {
    let lines = lines(status).unwrap();
    assert_eq!((&lines["dead"], &lines["pending"]), (&0.into(), &0.into()));
    assert_eq!(lines["stored"], lines["duplicate"], "each event has one repeat: {lines}");
    let possible = program.sql("SELECT sum(possible_duplicate) AS n FROM fates");
    assert_eq!(possible[0]["n"], 0, "every repeat is told");
    let terminal = plain
        .lines()
        .filter(|l| l.contains("\"eventId\":\"permission-evaluation\"") && !l.contains("\"status\":\"initiated\""));
    let decisions = program.sql("SELECT count() AS n FROM events WHERE kind = 'decision'");
    assert_eq!(decisions[0]["n"], terminal.count());
    let others = status["other_lines"][0]["lines"].as_object().unwrap();
    let counted: u64 = others.values().map(|n| n.as_u64().unwrap()).sum();
    let receipts = lines["received"].as_u64().unwrap() / 2;
    assert_eq!(counted + receipts, plain.lines().count() as u64, "lines that are no receipts count once: {others:?}");
}

/// A followed file that was there before: its lines have no time of their own, so only the delivery tells a repeat.
#[test]
fn a_followed_backlog_that_is_sent_again_brings_nothing_new() {
    let dir = tempfile::tempdir().unwrap();
    let program = Program::start(&dir.path().join("data"), &[]);
    let (log, plain) = plain_lines(dir.path());
    let args = ["--follow", log.to_str().unwrap()];
    let mut between = Between::start(program.intake());
    let sender = start(&program, &args, Some(&between.url));
    between.landed();
    sender.kill();
    let once = lines(&program.drained()).unwrap()["received"].as_u64().unwrap();
    let undated = program.sql("SELECT count() AS n FROM receipts WHERE line_basis = 'neighbour_line'");
    assert!(undated[0]["n"].as_u64().unwrap() > 100, "decisions that nothing but their delivery tells apart");

    let again = start(&program, &args, None);
    let status = received(&program, once * 2);
    again.kill();
    assert_once(&program, &status, &plain);
    assert_eq!(program.terminate(), Some(0));
}

/// Standard input: what the dead sender had read is in its spool.
#[test]
fn a_spool_that_is_sent_again_brings_nothing_new() {
    let dir = tempfile::tempdir().unwrap();
    let program = Program::start(&dir.path().join("data"), &[]);
    let (_, plain) = plain_lines(dir.path());
    let mut between = Between::start(program.intake());
    let mut sender = start(&program, &["-"], Some(&between.url));
    let mut input = sender.0.stdin.take().unwrap();
    input.write_all(plain.as_bytes()).unwrap();
    between.landed();
    let spooled = program.data.join("send/backstage/spool/00000000000000000000.lines");
    let started = Instant::now();
    while std::fs::read_to_string(&spooled).unwrap().lines().count() < plain.lines().count() {
        assert!(started.elapsed() < HAPPENS, "standard input is not read to its end");
        std::thread::sleep(Duration::from_millis(10));
    }
    sender.kill();

    let mut again = start(&program, &["-"], None);
    drop(again.0.stdin.take());
    assert!(again.0.wait().unwrap().success());
    let status = program.drained();
    let repeated = program
        .sql("SELECT count() - uniqExact(delivery_id, delivery_index) AS n FROM receipts WHERE delivery_keyed = 1");
    assert!(repeated[0]["n"].as_u64().unwrap() > 0, "the batch was sent again");
    let possible = program.sql("SELECT sum(possible_duplicate) AS n FROM fates");
    assert_eq!(possible[0]["n"], 0);
    let others = status["other_lines"][0]["lines"].as_object().unwrap();
    let counted: u64 = others.values().map(|n| n.as_u64().unwrap()).sum();
    let receipts = &program
        .sql("SELECT uniqExact(line_mark, line_time_ns) AS n FROM receipts WHERE payload = 'backstage_line'")[0]["n"];
    assert_eq!(counted + receipts.as_u64().unwrap(), plain.lines().count() as u64, "each line counts once: {others:?}");
    assert_eq!(program.terminate(), Some(0));
}

/// A spool that is full drops, and says so: how many lines, when, and of which instance.
#[test]
fn lines_that_were_dropped_are_a_gap() {
    const LINES: u64 = 40_000;
    let dir = tempfile::tempdir().unwrap();
    let program = Program::start(&dir.path().join("data"), &[]);
    let nobody = format!("http://{}", std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    let mut sender = start(&program, &["--spool-mib", "1", "-"], Some(&nobody));
    let mut input = sender.0.stdin.take().unwrap();
    for number in 0..LINES {
        writeln!(input, "a line of plain text that says nothing about access, number {number:>12}").unwrap();
    }
    drop(input);
    let spool = program.data.join("send/backstage/spool");
    let kept = || {
        let files = std::fs::read_dir(&spool).into_iter().flatten().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> = files.filter(|file| file.extension().is_some_and(|end| end == "lines")).collect();
        files.sort();
        files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect::<String>()
    };
    let started = Instant::now();
    while !kept().ends_with("}\n") {
        assert!(started.elapsed() < HAPPENS, "the end of the input does not tell of dropped lines");
        std::thread::sleep(Duration::from_millis(10));
    }
    let kept = kept().lines().count() as u64 - 1;
    sender.kill();
    assert!(kept > 0 && kept < LINES, "{kept}");

    let mut again = start(&program, &["-"], None);
    drop(again.0.stdin.take());
    assert!(again.0.wait().unwrap().success());
    let status = program.drained();
    let gaps = status["gaps"].as_array().unwrap();
    let gap = gaps.iter().find(|gap| gap["cause"] == "sender_dropped").unwrap_or_else(|| panic!("{status}"));
    assert_eq!((&gap["source"], &gap["scope"], &gap["input"]), (&"backstage".into(), &"b1".into(), &"lines".into()));
    assert_eq!(gap["missing"], LINES - kept);
    assert!(gap["since"].as_i64().unwrap() <= gap["until"].as_i64().unwrap());
    assert_eq!(status["other_lines"][0]["lines"]["text"], kept);
    assert_eq!(program.terminate(), Some(0));
}
