//! What is measured: a real broker, collectors and a processor of the release binary, each a process of its own.

use crate::{
    load::Ledger,
    measure::{Memory, child_of, cpu_seconds},
    queries::{Queries, STORED},
    support::{self, Program, kafka::Deployment},
    workload::Address,
};
use std::{
    path::Path,
    time::{Duration, Instant},
};
use testbed::{Kafka, KafkaOptions};

/// Longest wait for a condition.
const PATIENCE: Duration = Duration::from_secs(300);
/// Between two looks at metrics: each is made anew, and costs the process that is measured.
pub const LOOK: Duration = Duration::from_millis(100);
/// Nobody listens on this port: the journal alone.
const NOBODY: &str = "[\"127.0.0.1:9\"]";

/// A broker with its topics, and the folders of the programs on it.
pub struct Cluster {
    pub kafka: Kafka,
    deployment: Deployment,
}

/// Whether a collector reaches the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    Brokers,
    Nobody,
}

impl Cluster {
    pub fn start(dir: &Path) -> Self {
        let kafka = Kafka::start(&KafkaOptions::default()).unwrap();
        let mut deployment = Deployment::new(dir, &kafka);
        // Its budget is apart.
        deployment.set("TOKENTRAIL__CORRELATION__ENABLED", "false");
        // The program's own again: tests, which kill processors, are in more of a hurry.
        deployment.set("TOKENTRAIL__KAFKA__CONSUMER__SESSION.TIMEOUT.MS", "\"30000\"");
        deployment.set("TOKENTRAIL__KAFKA__CONSUMER__HEARTBEAT.INTERVAL.MS", "\"3000\"");
        let made = deployment.apply_topics();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Self { kafka, deployment }
    }

    pub fn brokers(&self) -> &str {
        &self.deployment.brokers
    }

    /// Processor seconds of the broker so far.
    pub fn broker_cpu(&self) -> f64 {
        self.kafka.process(0).map_or(0.0, cpu_seconds)
    }

    pub fn collector(&self, name: &str, reach: Reach) -> Collector {
        let nobody = [("TOKENTRAIL__KAFKA__BROKERS".to_owned(), NOBODY.to_owned())];
        let settings = if reach == Reach::Nobody { &nobody[..] } else { &[] };
        Collector(self.deployment.start("collect", name, settings))
    }

    pub fn processor(&self) -> Processor {
        // The setting of the collectors' allocator (docker-compose.yml) is not for it.
        let plain = [("GLIBC_TUNABLES".to_owned(), String::new())];
        let program = self.deployment.start("process", "processor", &plain);
        let engine = child_of(program.child.id()).expect("the processor has an engine");
        let queries = Queries::new(&program.run, support::client());
        Processor { program, engine, queries }
    }
}

/// A `tokentrail collect`.
pub struct Collector(Program);

impl Collector {
    pub fn address(&self) -> Address {
        Address {
            host: self.0.run["intake"].as_str().unwrap().to_owned(),
            secret: self.0.secret("keycloak.webhook"),
            token: self.0.secret("backstage.token"),
        }
    }

    pub fn cpu(&self) -> f64 {
        cpu_seconds(self.0.child.id())
    }

    pub fn memory(&self) -> Memory {
        Memory::of(self.0.child.id())
    }

    /// Receipts that the brokers confirmed since the start.
    pub fn confirmed(&self) -> u64 {
        self.metric("tokentrail_forward_confirmed_records ") as u64
    }

    /// Receipts that they have not.
    pub fn waiting(&self) -> u64 {
        self.metric("tokentrail_journal_lag_records ") as u64
    }

    fn metric(&self, name: &str) -> f64 {
        let metrics = self.0.get_admin("/metrics").expect("metrics");
        let value = metrics.lines().find_map(|line| line.strip_prefix(name));
        value.unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
    }

    /// Receipts in its journal.
    pub fn end(&self) -> u64 {
        self.0.status()["journal"]["end"].as_u64().unwrap()
    }

    pub fn stop(self) {
        assert_eq!(self.0.terminate(), Some(0), "a collector did not stop in good order");
    }
}

/// A `tokentrail process` with its embedded engine.
pub struct Processor {
    program: Program,
    engine: u32,
    queries: Queries,
}

impl Processor {
    /// Processor seconds so far: its own, and the engine's.
    pub fn cpu(&self) -> (f64, f64) {
        (cpu_seconds(self.program.child.id()), cpu_seconds(self.engine))
    }

    pub fn memory(&self) -> Memory {
        Memory::of(self.program.child.id())
    }

    /// Another connection to its ClickHouse, for another thread.
    pub fn queries(&self) -> Queries {
        Queries::new(&self.program.run, support::client())
    }

    /// Waits until partitions are its own: a group takes seconds to form.
    pub fn reads(&self) {
        let owned = |metrics: &str| {
            metrics.lines().any(|line| line.starts_with("tokentrail_kafka_partitions ") && !line.ends_with(" 0"))
        };
        until("the processor reads", || self.program.get_admin("/metrics").filter(|metrics| owned(metrics)));
    }

    pub fn stored(&self) -> u64 {
        self.queries.number(STORED) as u64
    }

    /// A bench of a wrong program is worthless: the client's ledger, the journals and ClickHouse must agree.
    pub fn assert_counts_agree(&self, ledger: &Ledger, ends: &[u64]) {
        let number = |sql: &str| self.queries.number(sql) as u64;
        let journals: u64 = ends.iter().sum();
        assert_eq!(number("SELECT count() FROM receipts"), journals, "receipts against journals");
        let of = |source| number(&format!("SELECT count() FROM receipts WHERE source_id = '{source}'"));
        assert_eq!((of("keycloak"), of("backstage")), (ledger.events, ledger.lines), "receipts against the ledger");
        let ids = "SELECT groupBitXor(reinterpretAsUInt64(reverse(unhex(substring(replaceAll(native_id, '-', ''), 1, 16))))) \
            FROM receipts WHERE source_id = 'keycloak'";
        assert_eq!(self.queries.text(ids), ledger.ids.to_string(), "the ids of all events");
    }

    pub fn stop(self) {
        assert_eq!(self.program.terminate(), Some(0), "a processor did not stop in good order");
    }
}

/// Looks until something is there.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(LOOK);
    }
}
