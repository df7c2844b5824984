//! Plays systemd: holds the sockets of deploy/systemd/tokentrail.socket over stops, restarts and a kill of the real
//! program while clients post without pause. No connection is refused, nothing acknowledged is lost.
//! And lets the real `systemd-analyze`, where there is one, read the units.
#![allow(clippy::unwrap_used)] // a test may panic

mod support;

use std::{
    collections::BTreeSet,
    net::TcpListener,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use support::{Program, client, command, login, sign};

/// Clients that post at once, each request on a connection of its own, as Keycloak's plugin does.
const CLIENTS: usize = 4;
/// Acknowledgements between two restarts.
const BETWEEN: usize = 40;
/// Longest wait for them.
const PATIENCE: Duration = Duration::from_secs(60);

fn unit(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/systemd").join(name)
}

/// What the engine warned of.
fn engine_log(data: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(data.join("clickhouse/log/server.log")).unwrap()).into_owned()
}

/// All values of a key of a unit.
fn values(name: &str, key: &str) -> Vec<String> {
    let text = std::fs::read_to_string(unit(name)).unwrap();
    let value = |line: &str| Some(line.strip_prefix(key)?.strip_prefix('=')?.to_owned());
    text.lines().filter_map(value).collect()
}

/// The sockets as systemd holds them: bound once, for as long as the socket unit lives.
struct Sockets {
    intake: TcpListener,
    admin: TcpListener,
}

impl Sockets {
    fn bind() -> Self {
        let bind = || TcpListener::bind("127.0.0.1:0").unwrap();
        Self { intake: bind(), admin: bind() }
    }

    /// Starts the program as systemd does: sockets from descriptor 3 on, in the order of the unit, and their count,
    /// addressee and names in the environment. The shell only moves the descriptors: a process id is known after the
    /// fork alone.
    fn start(&self, data: &Path) -> Program {
        let program = command(data);
        let mut shell = Command::new("sh");
        for (key, value) in program.get_envs() {
            shell.env(key, value.unwrap());
        }
        let descriptor = |socket: &TcpListener| OwnedFd::from(socket.try_clone().unwrap());
        shell
            .args(["-c", "LISTEN_PID=$$; export LISTEN_PID; exec \"$0\" up 3<&0 4<&1 0</dev/null 1>/dev/null"])
            .arg(program.get_program())
            .env("LISTEN_FDS", "2")
            .env("LISTEN_FDNAMES", "tokentrail.socket:tokentrail.socket")
            .stdin(descriptor(&self.intake))
            .stdout(descriptor(&self.admin));
        Program::ready(shell, data)
    }
}

#[derive(Default)]
struct Ledger {
    next: AtomicU64,
    stop: AtomicBool,
    acknowledged: Mutex<BTreeSet<String>>,
    refused: AtomicU64,
    busy: AtomicU64,
    /// A connection that was accepted and ended without an answer.
    cut: AtomicU64,
}

impl Ledger {
    fn acknowledged(&self) -> usize {
        self.acknowledged.lock().unwrap().len()
    }

    /// Waits for so many more.
    fn more(&self, program: &Program) {
        let (before, started) = (self.acknowledged(), Instant::now());
        while self.acknowledged() < before + BETWEEN {
            assert!(started.elapsed() < PATIENCE, "nothing is acknowledged any more; log: {}", program.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

async fn post(ledger: Arc<Ledger>, url: String, secret: String) {
    let http = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).timeout(PATIENCE).build().unwrap();
    while !ledger.stop.load(Ordering::Relaxed) {
        let id = format!("44444444-0000-4000-8000-{:012}", ledger.next.fetch_add(1, Ordering::Relaxed));
        let body = login(&id, 1_795_469_103_342);
        let request = http.post(&url).header("x-keycloak-signature", sign(&secret, body.as_bytes())).body(body);
        match request.header("content-type", "application/json").send().await {
            Ok(answer) if answer.status().is_success() => {
                ledger.acknowledged.lock().unwrap().insert(id);
            }
            Ok(answer) => {
                assert_eq!(answer.status().as_u16(), 503, "only a stopping journal may refuse");
                ledger.busy.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) if error.is_connect() => {
                ledger.refused.fetch_add(1, Ordering::Relaxed);
            }
            Err(_) => {
                ledger.cut.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

#[test]
fn restarts_refuse_no_connection_and_lose_nothing_acknowledged() {
    let _ = client(); // the TLS provider, once
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let sockets = Sockets::bind();
    let mut program = sockets.start(&data);
    let address = sockets.intake.local_addr().unwrap();
    assert_eq!(program.run["intake"].as_str(), Some(&*address.to_string()), "the socket that was handed over");
    assert_eq!(program.run["admin"].as_str(), Some(&*sockets.admin.local_addr().unwrap().to_string()));
    let ledger = Arc::new(Ledger::default());
    let clients = std::thread::spawn({
        let (ledger, secret) = (ledger.clone(), program.secret("keycloak.webhook"));
        let url = format!("http://{address}/v1/keycloak/keycloak");
        move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut clients = tokio::task::JoinSet::new();
                for _ in 0..CLIENTS {
                    clients.spawn(post(ledger.clone(), url.clone(), secret.clone()));
                }
                while let Some(done) = clients.join_next().await {
                    done.unwrap();
                }
            });
        }
    });
    for _ in 0..3 {
        ledger.more(&program);
        let began = Instant::now();
        assert_eq!(program.terminate(), Some(0));
        println!("stopped in {:?}", began.elapsed());
        assert!(!engine_log(&data).contains("remain"), "the engine waits for connections that we left open");
        program = sockets.start(&data);
    }
    let in_order = ledger.cut.load(Ordering::Relaxed);
    ledger.more(&program);
    program.kill();
    program = sockets.start(&data);
    ledger.more(&program);
    ledger.stop.store(true, Ordering::Relaxed);
    clients.join().unwrap();

    program.drained();
    let stored = program.sql("SELECT native_id FROM events WHERE source_id = 'keycloak'");
    let stored: BTreeSet<String> = stored.iter().map(|row| row["native_id"].as_str().unwrap().to_owned()).collect();
    let acknowledged = ledger.acknowledged.lock().unwrap().clone();
    let lost: Vec<_> = acknowledged.difference(&stored).collect();
    assert!(lost.is_empty(), "{} of {} acknowledged are lost", lost.len(), acknowledged.len());
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    println!(
        "{} acknowledged, {} refused, {} answered 503, {in_order} cut by a stop, {} by the kill",
        acknowledged.len(),
        count(&ledger.refused),
        count(&ledger.busy),
        count(&ledger.cut) - in_order
    );
    assert_eq!(count(&ledger.refused), 0, "a restart refused a connection");
    assert_eq!(in_order, 0, "a stop in order answers what it has accepted");
    assert_eq!(program.terminate(), Some(0));
}

#[test]
fn the_units_fit_the_program() {
    assert_eq!(values("tokentrail.socket", "ListenStream"), ["127.0.0.1:8480", "127.0.0.1:8481"], "as config::Listen");
    let stop: u64 = values("tokentrail.service", "TimeoutStopSec")[0].parse().unwrap();
    assert!(stop > 10, "the program may take 10 s");
    // A socket unit must outlive a service that fails at each start.
    assert_eq!(values("tokentrail.socket", "TriggerLimitIntervalSec"), ["0"]);
    assert_eq!(values("tokentrail.service", "StartLimitIntervalSec"), ["0"]);
    assert_eq!(values("tokentrail.service", "KillMode"), ["mixed"], "the engine ends after the program");
}

#[test]
fn systemd_accepts_the_units() {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        eprintln!("no systemd-analyze here: the units were not read by the real one");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for name in ["tokentrail.service", "tokentrail.socket"] {
        // The program is where the build put it, not where the package would.
        let text = std::fs::read_to_string(unit(name)).unwrap();
        std::fs::write(dir.path().join(name), text.replace("/usr/bin/tokentrail", env!("CARGO_BIN_EXE_tokentrail")))
            .unwrap();
    }
    let service = dir.path().join("tokentrail.service");
    let analyze = |arguments: &[&str]| {
        let output = Command::new("systemd-analyze").args(arguments).arg(&service).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (good, said) = analyze(&["verify", dir.path().join("tokentrail.socket").to_str().unwrap()]);
    assert!(good && !said.contains("tokentrail"), "{said}");
    // Exposure in tenths; a service without any hardening has 96.
    let (good, said) = analyze(&["security", "--offline=true", "--threshold=20"]);
    assert!(good, "{said}");
}
