//! Is anything missing? Heartbeats of a Backstage through the real program: what does not come back opens a gap with its
//! cause; what comes late repairs it; what is lost stays on record.
#![allow(clippy::unwrap_used)] // a test may panic

mod support;

use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use support::{Program, block_on, client};

/// Longest wait for a condition, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// Heartbeats that are lost in a row.
const LOST: usize = 6;

/// A backend that writes an access line for every request, as a root router does, and knows no page. It injects faults and
/// proves nothing about Backstage: the real one is in tests/backstage.rs.
struct Backend {
    address: SocketAddr,
    lines: Arc<Mutex<Vec<String>>>,
    refuses: Arc<AtomicBool>,
}

impl Backend {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (lines, refuses) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<AtomicBool>::default());
        let (log, refusing) = (Arc::clone(&lines), Arc::clone(&refuses));
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let Ok(mut connection) = connection else { return };
                let mut request = String::new();
                if refusing.load(Ordering::SeqCst)
                    || BufReader::new(&connection).read_line(&mut request).is_err()
                    || request.is_empty()
                {
                    continue;
                }
                let url = request.split(' ').nth(1).unwrap_or_default();
                let date = jiff::Timestamp::now();
                let line = json!({"date": format!("{date:.3}"), "level": "info", "method": "GET", "service": "rootHttpRouter",
                    "status": 404, "type": "incomingRequest", "url": url, "message": "", "userAgent": ""});
                log.lock().unwrap().push(line.to_string());
                let _ =
                    connection.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            }
        });
        Self { address, lines, refuses }
    }

    /// Takes the lines that were written since the last call.
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.lines.lock().unwrap())
    }
}

fn ship(program: &Program, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    let url = format!("{}/v1/backstage/backstage", program.intake());
    let (token, body) = (program.secret("backstage.token"), lines.join("\n"));
    let answer =
        block_on(async move { client().post(url).bearer_auth(token).body(body).send().await.unwrap().status() });
    assert!(answer.is_success(), "{answer}");
}

/// Looks until `found` gives something; `between` is done before each look.
fn until<T>(what: &str, mut between: impl FnMut(), mut found: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        between();
        if let Some(found) = found() {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "{what} did not come");
    }
}

fn gaps(program: &Program) -> Vec<Value> {
    program.status()["gaps"].as_array().unwrap().clone()
}

/// Has the shipper lose some lines, for good: what was lost, and the gap that stays when lines come again. A gap that is seen
/// while the machine is busy may be of what is only late, so it counts once it has ended around what was lost.
fn lose(program: &Program, backend: &Backend) -> (Vec<String>, Value) {
    let mut kept: Vec<String> = Vec::new();
    until(
        "lines to lose",
        || kept.extend(backend.take()),
        || (gaps(program).iter().any(|gap| gap["cause"] == "silent" && gap["until"].is_null())).then_some(()),
    );
    while kept.len() < LOST {
        kept.extend(backend.take());
        std::thread::sleep(Duration::from_millis(5));
    }
    let first: Value = serde_json::from_str(&kept[LOST / 2]).unwrap();
    let first = first["date"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_millisecond();
    let around = |gap: &Value| gap["since"].as_i64() < Some(first) && gap["until"].as_i64() > Some(first);
    let ended = until("its end", || ship(program, &backend.take()), || gaps(program).into_iter().find(around));
    (kept, ended)
}

fn watermark(program: &Program) -> i64 {
    let status = program.status();
    let inputs = status["inputs"].as_array().unwrap();
    let lines = inputs.iter().find(|input| input["source"] == "backstage" && input["input"] == "lines");
    lines.and_then(|input| input["watermark"].as_i64()).unwrap_or(0)
}

#[test]
fn what_does_not_come_back_is_a_gap_until_it_does() {
    let backend = Backend::start();
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("tokentrail.toml");
    let text = format!(
        "lateness_seconds = 1\n[sources.backstage]\nkind = \"backstage\"\ntoken_files = [\"secrets/backstage.token\"]\n\
         [sources.backstage.heartbeat]\nurl = \"http://{}\"\ninterval_seconds = 1\n",
        backend.address
    );
    std::fs::write(&config, text).unwrap();
    let (data, settings) = (dir.path().join("data"), [("TOKENTRAIL_CONFIG", config.to_str().unwrap())]);
    let program = Program::start(&data, &settings);
    let everything = || ship(&program, &backend.take());

    let first = until("a watermark", everything, || Some(watermark(&program)).filter(|mark| *mark > 0));
    let later = until("a later watermark", everything, || Some(watermark(&program)).filter(|mark| *mark > first));

    // The shipper stands still: an open gap from the last heartbeat that came back on.
    // (Where the machine is busy our own heartbeats may be stored late, and another cause is seen for a moment.)
    let silent = |gap: &Value| gap["until"].is_null() && gap["cause"] == "silent";
    let gap = until("an open gap", || (), || gaps(&program).into_iter().find(silent));
    assert_eq!((&gap["source"], &gap["input"]), (&json!("backstage"), &json!("lines")));
    assert!(gap["since"].as_i64().unwrap() >= later, "{gap}");
    let told = r#"tokentrail_gaps_unrepaired{cause="silent",source="backstage",state="open"} 1"#;
    until("its metric", || (), || program.get_admin("/metrics").unwrap().contains(told).then_some(()));

    // Everything that it held back comes in the end: nothing is missing, and the history says what happened.
    until("the repair", everything, || {
        let history = program.sql("SELECT repaired_by, until IS NOT NULL AS ended FROM gaps");
        let repaired = history.iter().all(|gap| gap["repaired_by"] == "lines" && gap["ended"] == 1);
        (gaps(&program).is_empty() && !history.is_empty() && repaired).then_some(())
    });

    // Lines that are lost stay missing after the gap has ended.
    let (_, lost) = lose(&program, &backend);
    assert_eq!(lost["cause"], "silent");

    // The backend is gone, then we are: other causes.
    backend.refuses.store(true, Ordering::SeqCst);
    let unreachable = |gap: &Value| gap["cause"] == "source_unreachable";
    until("the third gap", everything, || gaps(&program).into_iter().find(unreachable));
    backend.refuses.store(false, Ordering::SeqCst);
    until("its end", everything, || gaps(&program).into_iter().find(|gap| unreachable(gap) && gap["until"].is_i64()));
    everything();
    program.kill();
    std::thread::sleep(Duration::from_secs(4)); // nobody is there to meet a condition
    let program = Program::start(&data, &settings);
    let everything = || ship(&program, &backend.take());
    let absent = |gap: &Value| gap["cause"] == "no_heartbeat" && gap["until"].is_i64();
    until("the gap of our own absence", everything, || gaps(&program).into_iter().find(absent));
    // What was found missing before is still on record, under the same start.
    assert!(gaps(&program).iter().any(|gap| gap["since"] == lost["since"] && gap["until"] == lost["until"]));
    let covered = program.sql("SELECT sum(heartbeats) AS sent, sum(heartbeats_seen) AS seen FROM coverage");
    assert!(
        covered[0]["sent"].as_u64() > covered[0]["seen"].as_u64() && covered[0]["seen"].as_u64() > Some(3),
        "{covered:?}"
    );
    let status = program.drained();
    let beats = status["inputs"].as_array().unwrap().iter().find(|input| input["input"] == "heartbeat").unwrap();
    assert_eq!(beats["received"], beats["ignored"], "heartbeats are counted, and are no events: {beats}");
    // What alerts look at: how far it is complete, and how its heartbeats ended.
    let metrics = program.get_admin("/metrics").unwrap();
    let of = |name: &str| {
        let line = metrics.lines().find(|line| line.starts_with(name) && line.contains("source=\"backstage\""));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .unwrap_or_else(|| panic!("{name}: {metrics}"))
    };
    assert!(of("tokentrail_complete_until_seconds{") * 1e3 > lost["since"].as_f64().unwrap());
    assert!(of("tokentrail_heartbeats_total{") > 0.0);
    assert_eq!(program.terminate(), Some(0));
}

/// Runs the program's own command line on a data folder; whether it succeeded, and what it said.
fn run(program: &Program, config: &std::path::Path, arguments: &[&str]) -> (bool, String) {
    let mut command = support::command(&program.data);
    let output = command.env("TOKENTRAIL_CONFIG", config).args(arguments).output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn an_import_repairs_what_it_holds_and_no_more() {
    let backend = Backend::start();
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("tokentrail.toml");
    let text = format!(
        "lateness_seconds = 1\n[sources.backstage]\nkind = \"backstage\"\ntoken_files = [\"secrets/backstage.token\"]\n\
         [sources.backstage.heartbeat]\nurl = \"http://{}\"\ninterval_seconds = 1\n",
        backend.address
    );
    std::fs::write(&config, text).unwrap();
    let data = dir.path().join("data");
    let program = Program::start(&data, &[("TOKENTRAIL_CONFIG", config.to_str().unwrap())]);
    let everything = || ship(&program, &backend.take());
    let import = |lines: &[String], more: &[&str]| {
        let file = dir.path().join("backstage.log");
        std::fs::write(&file, lines.join("\n")).unwrap();
        let arguments = [&["import", "--source", "backstage"], more, &[file.to_str().unwrap()]].concat();
        run(&program, &config, &arguments)
    };
    // A log ends with the time of its last line.
    let old = r#"{"date":"2026-01-02T03:04:05.678Z","level":"info","message":"something else","service":"catalog"}"#;
    assert!(import(&[old.to_owned()], &[]).0);
    let mark = "SELECT toUnixTimestamp64Milli(watermark) AS ms FROM watermarks WHERE input = 'import'";
    until("the end of the import", everything, || {
        (program.sql(mark).first()?["ms"] == 1_767_323_045_678_i64).then_some(())
    });
    // A claim over lines that do not hold what the Backstage took is not believed.
    until("a watermark", everything, || Some(watermark(&program)).filter(|mark| *mark > 0));
    let (lines, gap) = lose(&program, &backend);
    let time = |ms: &Value| format!("{:.3}", jiff::Timestamp::from_millisecond(ms.as_i64().unwrap()).unwrap());
    let (from, to) = (time(&gap["since"]), time(&gap["until"]));
    let other = [r#"{"level":"info","message":"nothing of that time","service":"catalog"}"#.to_owned()];
    let (good, said) = import(&other, &["--from", &from, "--to", &to]);
    assert!(good && said.contains("said to hold all lines"), "{said}");
    until("the claim", || (), || (!program.sql("SELECT held FROM claims").is_empty()).then_some(()));
    let beats = program.sql("SELECT count() AS n FROM heartbeats")[0]["n"].as_u64().unwrap();
    // Two rounds later than the claim, and each writes a watermark.
    until("two rounds", everything, || {
        program.sql("SELECT count() AS n FROM heartbeats")[0]["n"].as_u64().filter(|n| *n > beats + 3)
    });
    assert!(gaps(&program).iter().any(|one| one["since"] == gap["since"] && one["until"] == gap["until"]));

    // The log itself brings the heartbeats back, one half of it a part of them.
    let half = lines.len() / 2;
    assert!(import(&lines[..half], &[]).0);
    let rest = until("the first half", everything, || {
        gaps(&program).into_iter().find(|one| one["until"] == gap["until"]).filter(|one| one["since"] != gap["since"])
    });
    assert!(rest["since"].as_i64() > gap["since"].as_i64(), "{rest}");
    assert!(import(&lines, &[]).0);
    until("the second half", everything, || {
        gaps(&program).iter().all(|one| one["until"] != gap["until"]).then_some(())
    });
    let (since, until) = (&gap["since"], &gap["until"]);
    let mended = program.sql(&format!(
        "SELECT repaired_by, toUnixTimestamp64Milli(until) - toUnixTimestamp64Milli(since) AS ms FROM gaps \
         WHERE toUnixTimestamp64Milli(since) >= {since} AND toUnixTimestamp64Milli(until) <= {until} AND repaired_by = 'import'"
    ));
    let whole = until.as_i64().unwrap() - since.as_i64().unwrap();
    assert!(mended.iter().map(|gap| gap["ms"].as_i64().unwrap()).sum::<i64>() >= whole, "{mended:?}");

    // Wrong arguments are refused before anything is sent.
    for (wrong, why) in [
        (&["--from", "2026-11-24", "--to", "2026-11-24"][..], "not before"),
        (&["--from", "2026-11-24", "--to", "2999-01-01"], "future"),
        (&["--from", "2026-11-24", "--to", "2026-11-25", "--scope", "b2"], "counts as one instance"),
        (&["--from", "2026-11-24"], "--to"),
        (&["--from", "soon", "--to", "2026-11-25"], "give a time"),
    ] {
        let (good, said) = import(&other, wrong);
        assert!(!good && said.contains(why), "{wrong:?}: {said}");
    }
    assert_eq!(program.terminate(), Some(0));
}

#[test]
fn each_instance_that_is_named_has_gaps_of_its_own() {
    let (first, second) = (Backend::start(), Backend::start());
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("tokentrail.toml");
    let text = format!(
        "lateness_seconds = 1\n[sources.backstage]\nkind = \"backstage\"\ntoken_files = [\"secrets/backstage.token\"]\n\
         [sources.backstage.heartbeat]\ninterval_seconds = 1\n\
         instances = {{ b1 = \"http://{}\", b2 = \"http://{}\" }}\n",
        first.address, second.address
    );
    std::fs::write(&config, text).unwrap();
    let data = dir.path().join("data");
    let program = Program::start(&data, &[("TOKENTRAIL_CONFIG", config.to_str().unwrap())]);
    let both = || {
        ship(&program, &first.take());
        ship(&program, &second.take());
    };
    until("a watermark", both, || Some(watermark(&program)).filter(|mark| *mark > 0));
    // The shipper of one instance stands still: that of the other says nothing of it.
    let silent = |gap: &Value| gap["scope"] == "b2" && gap["cause"] == "silent" && gap["until"].is_null();
    until("the gap of b2", || ship(&program, &first.take()), || gaps(&program).into_iter().find(silent));
    // The source is complete as far as the slowest is, and not as far as the other shipper brings it.
    let stands = watermark(&program);
    // What it held back comes as a file, of that instance alone.
    let file = dir.path().join("b2.log");
    std::fs::write(&file, second.take().join("\n")).unwrap();
    let (good, said) = run(&program, &config, &["import", "--source", "backstage", file.to_str().unwrap()]);
    assert!(good, "{said}");
    until("the end of its gap", both, || (watermark(&program) > stands && gaps(&program).is_empty()).then_some(()));
    // A claim says of which instance it is.
    let times = ["--from", "2026-11-24", "--to", "2026-11-24T01:00:00Z"];
    let claim = [&["import", "--source", "backstage"], &times[..], &[file.to_str().unwrap()]].concat();
    let (good, said) = run(&program, &config, &claim);
    assert!(!good && said.contains("say by --scope of which the files are: b1, b2"), "{said}");
    assert_eq!(program.terminate(), Some(0));
}
