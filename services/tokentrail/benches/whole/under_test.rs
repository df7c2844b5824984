//! The real program under test: started with its engine or without a ClickHouse, asked for its counts.

#[path = "../../tests/support/mod.rs"]
mod support;

use crate::{
    load::Ledger,
    measure::{child_of, cpu_seconds},
    queries::{Queries, STORED},
    spent,
    workload::Address,
};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};
use support::Program;

/// Nobody listens on this port: the program goes on without ClickHouse and the journal grows.
const NO_CLICKHOUSE: &str = "http://127.0.0.1:9";
/// Longest wait for a condition.
const PATIENCE: Duration = Duration::from_secs(180);
/// Between two looks at a condition.
const LOOK: Duration = Duration::from_millis(5);
/// Between two looks at how much ClickHouse holds: each costs the engine 1.4 ms of its processor time, which is measured.
const STORED_LOOK: Duration = Duration::from_millis(100);
/// Between two looks at the whole status, which asks ClickHouse more.
const STATUS_LOOK: Duration = Duration::from_millis(500);
/// Merges count as done when none was seen for so many looks, [`QUIET_LOOK`] apart.
const QUIET_LOOKS: u32 = 4;
const QUIET_LOOK: Duration = Duration::from_millis(250);

/// Processor time so far, seconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu {
    pub program: f64,
    pub engine: f64,
}

impl Cpu {
    pub fn since(self, before: Self) -> Self {
        Self { program: self.program - before.program, engine: self.engine - before.engine }
    }

    pub fn all(self) -> f64 {
        self.program + self.engine
    }
}

/// How long a start took.
#[derive(Clone, Copy, Debug)]
pub struct Ready {
    /// Until /readyz said that receipts are taken.
    pub intake: Duration,
    /// Until ClickHouse could be asked.
    pub store: Duration,
}

/// What runs beside the way of an event: the goals leave the correlation's budget out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beside {
    Nothing,
    Correlation,
}

impl Beside {
    fn setting(self) -> (&'static str, &'static str) {
        ("TOKENTRAIL__CORRELATION__ENABLED", if self == Self::Correlation { "true" } else { "false" })
    }
}

/// A running program.
pub struct UnderTest {
    program: Program,
    engine: Option<u32>,
    queries: Option<Queries>,
}

impl UnderTest {
    /// With its embedded engine.
    pub fn start(data: &Path, beside: Beside) -> (Self, Ready) {
        Self::start_with(data, &[beside.setting()])
    }

    /// The same with settings of its own.
    pub fn start_with(data: &Path, settings: &[(&str, &str)]) -> (Self, Ready) {
        let (mut program, started) = spawn(data, settings);
        let intake = until("the intake is ready", || program.get_admin("/readyz").map(|_| started.elapsed()));
        let run = data.join("run.json");
        program.run = until("ClickHouse is ready", || {
            let told: Value = serde_json::from_slice(&std::fs::read(&run).ok()?).ok()?;
            told["store_url"].is_string().then_some(told)
        });
        let ready = Ready { intake, store: started.elapsed() };
        let queries = Queries::new(&program.run, support::client());
        let engine = child_of(program.child.id());
        assert!(engine.is_some(), "the program has no engine");
        (Self { program, engine, queries: Some(queries) }, ready)
    }

    /// While ClickHouse is away: intake and journal only.
    pub fn start_without_store(data: &Path) -> Self {
        let (program, _) = spawn(data, &[("TOKENTRAIL__STORE__URL", NO_CLICKHOUSE)]);
        until("the intake is ready", || program.get_admin("/readyz"));
        Self { program, engine: None, queries: None }
    }

    pub fn pid(&self) -> u32 {
        self.program.child.id()
    }

    pub fn address(&self) -> Address {
        Address {
            host: self.program.run["intake"].as_str().unwrap().to_owned(),
            secret: self.program.secret("keycloak.webhook"),
            token: self.program.secret("backstage.token"),
        }
    }

    pub fn cpu(&self) -> Cpu {
        Cpu { program: cpu_seconds(self.pid()), engine: self.engine.map_or(0.0, cpu_seconds) }
    }

    /// Asks ClickHouse for one number.
    pub fn number(&self, sql: &str) -> f64 {
        self.queries.as_ref().unwrap().number(sql)
    }

    /// Another connection to ClickHouse, for another thread.
    pub fn queries(&self) -> Queries {
        Queries::new(&self.program.run, support::client())
    }

    /// Waits until ClickHouse holds so many receipts.
    pub fn until_stored(&self, receipts: u64) {
        until("all receipts are in ClickHouse", || {
            let stored = self.number(STORED) >= receipts as f64;
            if !stored {
                std::thread::sleep(STORED_LOOK);
            }
            stored.then_some(())
        });
    }

    /// Waits until everything that is stored is answered for; at once where nothing answers. The status is asked when the gauge says so:
    /// it costs ClickHouse much.
    pub fn until_correlated(&self) {
        until("everything is correlated", || {
            let metrics = self.program.get_admin("/metrics").unwrap();
            let lag = metrics.lines().find_map(|line| line.strip_prefix("tokentrail_correlation_lag_receipts "));
            let done = lag.is_none_or(|lag| lag == "0") && {
                let correlation = &self.program.status()["correlation"];
                correlation["lag"].as_u64().unwrap_or(0) == 0 && correlation["phase"] != "loading"
            };
            if !done {
                std::thread::sleep(STATUS_LOOK);
            }
            done.then_some(())
        });
    }

    /// Waits until no merge has run for a while.
    pub fn until_merged(&self) {
        let mut quiet = 0;
        until("merges are done", || {
            std::thread::sleep(QUIET_LOOK);
            quiet = if self.number("SELECT count() FROM system.merges") == 0.0 { quiet + 1 } else { 0 };
            (quiet >= QUIET_LOOKS).then_some(())
        });
    }

    /// A bench of a wrong program is worthless: client ledger, journal, fates and ClickHouse must agree.
    pub fn assert_counts_agree(&self, ledger: &Ledger, starts: u64) -> Value {
        let status = self.program.drained();
        let inputs = status["inputs"].as_array().unwrap();
        let of = |source: &str, field: &str| -> u64 {
            inputs.iter().filter(|i| i["source"] == source).map(|i| i[field].as_u64().unwrap()).sum()
        };
        for (source, sent) in [("keycloak", ledger.events), ("backstage", ledger.lines)] {
            assert_eq!(of(source, "received"), sent, "fates against the client's ledger, {source}: {status}");
            assert_eq!(of(source, "stored"), sent, "each is a first one and understood, {source}: {status}");
        }
        // Beside them only the opening receipt of each start.
        assert_eq!(status["journal"]["end"].as_u64(), Some(ledger.receipts() + starts), "journal against ledger");
        let number = |sql: &str| self.number(sql) as u64;
        assert_eq!(number("SELECT count() FROM receipts"), ledger.receipts() + starts, "receipts against journal");
        let events = number("SELECT uniqExact(event_id) FROM event_inputs");
        assert!(events >= ledger.receipts(), "{events} events of {} receipts", ledger.receipts());
        let ids = "SELECT groupBitXor(reinterpretAsUInt64(reverse(unhex(substring(replaceAll(native_id, '-', ''), 1, 16))))) \
            FROM receipts WHERE source_id = 'keycloak'";
        assert_eq!(self.queries.as_ref().unwrap().text(ids), ledger.ids.to_string(), "the ids of all events");
        json!({"ledger": ledger.receipts(), "journal": ledger.receipts(), "fates": ledger.receipts(), "receipts": ledger.receipts(), "events": events})
    }

    /// SIGTERM; waits for the end, which must be a clean one.
    pub fn stop(self) {
        if let Some(queries) = &self.queries {
            spent::print(queries);
        }
        assert_eq!(self.program.terminate(), Some(0), "the program did not stop in good order");
    }
}

/// Starts the program on ports that are free now.
fn spawn(data: &Path, settings: &[(&str, &str)]) -> (Program, Instant) {
    std::fs::create_dir_all(data).unwrap();
    spent::prepare(data);
    let _ = std::fs::remove_file(data.join("run.json"));
    let log = std::fs::File::options().create(true).append(true).open(data.join("log.ndjson")).unwrap();
    let port = || format!("127.0.0.1:{}", testbed::free_port().unwrap());
    let (intake, admin) = (port(), port());
    let mut command = support::command(data);
    command.env("TOKENTRAIL__LISTEN__INTAKE", &intake).env("TOKENTRAIL__LISTEN__ADMIN", &admin);
    command.envs(settings.iter().copied()).arg("up").stdout(Stdio::null()).stderr(log);
    let started = Instant::now();
    let child = command.spawn().unwrap();
    let run = json!({"intake": intake, "admin": admin});
    (Program { child, data: PathBuf::from(data), run }, started)
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(LOOK);
    }
}
