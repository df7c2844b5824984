//! Collectors and processors of the real program on a real broker.

use super::{Program, block_on, command};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use store::engine::{self, Engine, EngineOptions};
use testbed::Kafka;

/// Longest wait for a condition, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A ClickHouse that several programs share: the engine, as a child of the test.
pub struct ClickHouse {
    engine: Option<Engine>,
    dir: PathBuf,
    runtime: tokio::runtime::Runtime,
}

impl ClickHouse {
    /// Starts it. The test binary needs a test `engine_child` that calls `engine::run_if_asked`.
    pub fn start(dir: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let mut this = Self { engine: None, dir: dir.join("clickhouse"), runtime };
        this.open();
        this
    }

    fn open(&mut self) {
        let library = testbed::engine().unwrap();
        let options =
            EngineOptions { library, dir: self.dir.clone(), command: engine::test_command("engine_child").unwrap() };
        self.engine = Some(self.runtime.block_on(Engine::start(options)).unwrap());
    }

    /// Settings of a program that stores here. The password file lies in `data`.
    pub fn settings(&self, data: &Path) -> Vec<(String, String)> {
        let options = self.engine.as_ref().unwrap().connect_options("tokentrail");
        std::fs::create_dir_all(data).unwrap();
        std::fs::write(data.join("clickhouse.password"), &options.password).unwrap();
        vec![
            ("TOKENTRAIL__STORE__URL".into(), options.url),
            ("TOKENTRAIL__STORE__USER".into(), options.user),
            ("TOKENTRAIL__STORE__PASSWORD_FILE".into(), "clickhouse.password".into()),
        ]
    }

    /// Process id of the engine's child: of this test's children the one that is it.
    pub fn pid(&self) -> Option<String> {
        let output = std::process::Command::new("pgrep")
            .args(["-P", &std::process::id().to_string(), "-f", "engine_child"])
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap().lines().next().map(str::to_owned)
    }
}

impl Drop for ClickHouse {
    fn drop(&mut self) {
        if let Some(engine) = self.engine.take() {
            self.runtime.block_on(engine.close());
        }
    }
}

/// One deployment: its folders, its broker, its key.
pub struct Deployment {
    pub dir: PathBuf,
    pub brokers: String,
    key: String,
    more: Vec<(String, String)>,
}

impl Deployment {
    pub fn new(dir: &Path, kafka: &Kafka) -> Self {
        let more = vec![];
        Self { dir: dir.to_owned(), brokers: kafka.bootstrap(), key: "5a".repeat(32), more }
    }

    /// Further settings of every program.
    pub fn set(&mut self, name: &str, value: &str) {
        self.more.push((name.into(), value.into()));
    }

    pub fn data(&self, name: &str) -> PathBuf {
        let data = self.dir.join(name);
        std::fs::create_dir_all(data.join("keys")).unwrap();
        let key = data.join("keys/deployment.key");
        if !key.exists() {
            std::fs::write(key, &self.key).unwrap();
        }
        data
    }

    pub fn settings(&self, replication: u8) -> Vec<(String, String)> {
        let list: Vec<String> = self.brokers.split(',').map(|broker| format!("\"{broker}\"")).collect();
        let mut settings: Vec<(String, String)> = vec![
            ("TOKENTRAIL__KAFKA__BROKERS".into(), format!("[{}]", list.join(","))),
            ("TOKENTRAIL__KAFKA__TOPICS__REPLICATION".into(), replication.to_string()),
            ("TOKENTRAIL__KAFKA__CONSUMER__SESSION.TIMEOUT.MS".into(), "\"10000\"".into()),
            ("TOKENTRAIL__KAFKA__CONSUMER__HEARTBEAT.INTERVAL.MS".into(), "\"1000\"".into()),
        ];
        if replication < 2 {
            settings.push(("TOKENTRAIL__KAFKA__ALLOW_LOSS".into(), "true".into()));
        }
        settings.extend(self.more.clone());
        settings
    }

    pub fn replication(&self) -> u8 {
        self.brokers.split(',').count() as u8
    }

    /// `tokentrail topics apply`.
    pub fn apply_topics(&self) -> std::process::Output {
        self.cli("topics", &["topics", "apply"])
    }

    pub fn cli(&self, name: &str, arguments: &[&str]) -> std::process::Output {
        let data = self.data(name);
        command(&data).envs(self.settings(self.replication())).args(arguments).output().unwrap()
    }

    /// Starts `collect`, `process` or `up` on a folder of its own.
    pub fn start(&self, role: &str, name: &str, store: &[(String, String)]) -> Program {
        let data = self.data(name);
        let mut command = command(&data);
        command.envs(self.settings(self.replication())).envs(store.iter().cloned());
        command.arg(role).stdout(std::process::Stdio::null());
        Program::ready(command, &data)
    }
}

/// Waits until nothing waits in the collectors and nothing on the topic, as the processor tells: as long as it becomes less.
pub fn drained(collectors: &[&Program], processor: &Program) -> Value {
    let (mut end, mut least) = (Instant::now() + PATIENCE, u64::MAX);
    loop {
        let waiting: Vec<Value> =
            collectors.iter().map(|one| one.status()["kafka"]["forwarder"]["waiting"].clone()).collect();
        let status = processor.get_admin("/v1/status").map_or(Value::Null, |text| serde_json::from_str(&text).unwrap());
        if waiting.iter().all(|waiting| waiting == 0) && status["kafka"]["lag"] == 0 {
            return status;
        }
        let left = waiting.iter().chain([&status["kafka"]["lag"]]).map(Value::as_u64).sum::<Option<u64>>();
        if let Some(left) = left.filter(|left| *left < least) {
            (least, end) = (left, Instant::now() + PATIENCE);
        }
        if Instant::now() > end {
            let logs: Vec<String> = collectors.iter().map(|one| one.log()).chain([processor.log()]).collect();
            panic!("not drained: {waiting:?}, {status}\n{}", logs.join("\n---\n"));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Posts a body with the given headers; its status code.
pub fn post(url: &str, headers: &[(&str, String)], body: Vec<u8>) -> u16 {
    let mut request = super::client().post(url).body(body);
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    block_on(async move { request.send().await.unwrap().status().as_u16() })
}
