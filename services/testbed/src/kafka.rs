//! A real Apache Kafka 4.3.1: one to three KRaft brokers on free ports with fresh data, always stopped.

mod distribution;
mod security;

pub use security::{OTHER_USER, PASSWORD, USER};

use crate::{port, process};
use anyhow::{Context, Result, bail, ensure};
use distribution::Distribution;
use rustix::process::{Pid, Signal, kill_process_group};
use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Base64 of the 16 bytes that a cluster is known by.
const CLUSTER: &str = "tokentrail-testbed-00A";
/// Patience with a start, while other builds and servers use the machine.
const START: Duration = Duration::from_secs(180);
/// Starts tried when somebody else took a port in between.
const PORT_TRIES: u32 = 3;
const POLL: Duration = Duration::from_millis(50);

/// How clients reach the brokers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Security {
    /// Without.
    #[default]
    None,
    /// SASL (PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER with unsigned tokens) over TLS, with [`USER`] or [`OTHER_USER`], and [`PASSWORD`].
    SaslOverTls,
    /// The same, and a user may do only what an access control list gives: none is there at the start.
    Guarded,
    /// TLS, and whoever connects proves itself by a certificate of the brokers' CA ([`Kafka::client_files`]).
    Certificates,
}

impl Security {
    /// Kafka's name of what the clients' listener speaks.
    fn protocol(self) -> &'static str {
        match self {
            Self::None => "PLAINTEXT",
            Self::SaslOverTls | Self::Guarded => "SASL_SSL",
            Self::Certificates => "SSL",
        }
    }

    /// Lines of server.properties.
    fn properties(self, dir: &Path) -> String {
        match self {
            Self::None => String::new(),
            Self::SaslOverTls => security::passwords(dir),
            Self::Guarded => security::passwords(dir) + security::GUARDED,
            Self::Certificates => security::clients_by_certificate(dir),
        }
    }
}

/// What to start.
#[derive(Clone, Debug)]
pub struct KafkaOptions {
    /// 1 to 3.
    pub brokers: u8,
    /// Of the clients' listener.
    pub security: Security,
    /// Further lines of every server.properties.
    pub properties: Vec<String>,
    /// Folder of the log segments of a broker that is alone, so that they may lie on a file system of their own.
    pub data: Option<PathBuf>,
    /// Each request that a broker has answered is a line of its log, for [`Kafka::answered`].
    pub tell_requests: bool,
}

impl Default for KafkaOptions {
    fn default() -> Self {
        Self { brokers: 1, security: Security::None, properties: Vec::new(), data: None, tell_requests: false }
    }
}

/// Running brokers. They end when dropped, and when this process ends in whatever way.
#[derive(Debug)]
pub struct Kafka {
    // Declared before the folder: the servers end before their files go.
    nodes: Vec<Node>,
    distribution: Distribution,
    dir: TempDir,
}

#[derive(Debug)]
struct Node {
    group: Option<process::Group>,
    home: PathBuf,
    data: PathBuf,
    /// Of the clients, and of the brokers among themselves.
    ports: (u16, u16),
}

impl Kafka {
    /// Starts brokers and waits until each serves. Blocks: some seconds.
    pub fn start(options: &KafkaOptions) -> Result<Self> {
        ensure!((1..=3).contains(&options.brokers), "one to three brokers");
        ensure!(options.data.is_none() || options.brokers == 1, "one folder for one broker");
        let distribution = Distribution::get()?;
        for left in (0..PORT_TRIES).rev() {
            let dir = tempfile::Builder::new().prefix("tokentrail-kafka.").tempdir()?;
            let mut kafka = Self { nodes: lay_out(options, dir.path())?, distribution: distribution.clone(), dir };
            kafka.format(options.security)?;
            match (0..kafka.nodes.len()).try_for_each(|node| kafka.spawn(node)).and_then(|()| kafka.ready()) {
                Ok(()) => return Ok(kafka),
                Err(error) if left == 0 || !kafka.met_a_taken_port() => return Err(error),
                Err(_) => {}
            }
        }
        bail!("no free ports")
    }

    /// `bootstrap.servers` of all brokers.
    pub fn bootstrap(&self) -> String {
        let addresses: Vec<_> = self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.ports.0)).collect();
        addresses.join(",")
    }

    /// Runs one of Kafka's own tools to its end, as whoever may do everything, and returns what it printed. Blocks: seconds.
    pub fn tool(&self, class: &str, arguments: &[&str]) -> Result<String> {
        let mut command = self.distribution.java();
        let brokers = format!("127.0.0.1:{}", self.nodes[0].ports.1);
        command.arg(class).args(["--bootstrap-server", &brokers]).args(arguments);
        process::run(&mut command)
    }

    /// PEM file of the CA that the brokers' certificates are of, with TLS.
    pub fn ca_file(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// PEM files of a client's certificate of that CA and its key, with TLS.
    pub fn client_files(&self) -> (PathBuf, PathBuf) {
        (self.dir.path().join("client.pem"), self.dir.path().join("client.key"))
    }

    /// Folder of a broker's log segments.
    pub fn data(&self, node: usize) -> PathBuf {
        self.nodes[node].data.clone()
    }

    /// Process id of a broker's Java, while it runs.
    pub fn process(&self, node: usize) -> Option<u32> {
        self.nodes[node].group.as_ref()?.server()
    }

    /// True if a broker has ended by itself.
    pub fn ended(&mut self, node: usize) -> Result<bool> {
        Ok(self.nodes[node].group.as_mut().map(process::Group::ended).transpose()?.flatten().is_some())
    }

    /// kill -9 of one broker, from 0.
    pub fn kill(&mut self, node: usize) {
        self.nodes[node].group = None;
    }

    /// SIGSTOP of one broker: it answers nobody and closes nothing.
    pub fn freeze(&self, node: usize) {
        self.signal(node, Signal::STOP);
    }

    /// Ends [`Kafka::freeze`].
    pub fn thaw(&self, node: usize) {
        self.signal(node, Signal::CONT);
    }

    fn signal(&self, node: usize, signal: Signal) {
        let group = self.nodes[node].group.as_ref();
        let id = group.and_then(|group| i32::try_from(group.id()).ok()).and_then(Pid::from_raw);
        if let Some(id) = id {
            let _ = kill_process_group(id, signal);
        }
    }

    /// Starts a killed broker again, on its data and port, and waits until it serves.
    pub fn restart(&mut self, node: usize) -> Result<()> {
        fs::write(self.nodes[node].log(), b"")?;
        self.spawn(node)?;
        self.ready()
    }

    /// The end of a broker's log.
    pub fn log(&self, node: usize) -> String {
        let text = fs::read_to_string(self.nodes[node].log()).unwrap_or_default();
        let lines: Vec<_> = text.lines().rev().take(40).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// The requests of a kind (`FETCH`) that a broker has answered so far, as its log tells them, with
    /// [`KafkaOptions::tell_requests`]: `requestHeader`, `request`, `response`. The last line may be in the writing.
    pub fn answered(&self, node: usize, kind: &str) -> Vec<serde_json::Value> {
        let text = fs::read_to_string(self.nodes[node].log()).unwrap_or_default();
        let requests = text.lines().filter_map(|line| line.split_once("Completed request:"));
        let told = requests.filter_map(|(_, json)| serde_json::from_str::<serde_json::Value>(json).ok());
        told.filter(|one| one["requestHeader"]["requestApiKeyName"] == kind).collect()
    }

    /// The first complaints of a broker's log, which a long farewell follows.
    fn why(&self, node: usize) -> String {
        let text = fs::read_to_string(self.nodes[node].log()).unwrap_or_default();
        let complaint =
            |line: &&str| line.contains(" ERROR ") || line.contains(" FATAL ") || line.contains("Exception");
        let lines: Vec<_> = text.lines().filter(complaint).take(10).collect();
        if lines.is_empty() { self.log(node) } else { lines.join("\n") }
    }

    fn met_a_taken_port(&self) -> bool {
        let log = |node: &Node| fs::read_to_string(node.log()).unwrap_or_default();
        self.nodes.iter().any(|node| log(node).contains("Address already in use"))
    }

    fn format(&self, security: Security) -> Result<()> {
        thread::scope(|scope| {
            let formats: Vec<_> = self
                .nodes
                .iter()
                .map(|node| {
                    scope.spawn(|| {
                        let mut command = self.distribution.java();
                        command.args(["kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c"]);
                        command.arg(node.home.join("server.properties"));
                        if security.protocol() == "SASL_SSL" {
                            command.args(security::scram());
                        }
                        process::run(&mut command)
                    })
                })
                .collect();
            for format in formats {
                let Ok(formatted) = format.join() else { bail!("a format died") };
                formatted.context("the storage of a broker cannot be formatted")?;
            }
            Ok(())
        })
    }

    fn spawn(&mut self, node: usize) -> Result<()> {
        let node = &mut self.nodes[node];
        let mut command = self.distribution.java();
        command.env("KAFKA_LOG4J_OPTS", "");
        let log4j = format!("-Dlog4j2.configurationFile={}", self.dir.path().join("log4j2.properties").display());
        // Options come before the class: they are set through the environment, which the launcher reads first.
        command.env("JDK_JAVA_OPTIONS", format!("-Xmx512m {log4j}"));
        command.arg("kafka.Kafka").arg(node.home.join("server.properties")).current_dir(&node.home);
        node.group = Some(process::Group::spawn(&command, &node.log())?);
        Ok(())
    }

    fn ready(&mut self) -> Result<()> {
        let end = Instant::now() + START;
        for at in 0..self.nodes.len() {
            loop {
                let node = &mut self.nodes[at];
                let started = fs::read_to_string(node.log())?.contains("Kafka Server started");
                let Some(group) = node.group.as_mut().filter(|_| !started) else { break };
                if let Some(status) = group.ended()? {
                    bail!("broker {at} ended while starting, {status}: {}", self.why(at));
                }
                ensure!(Instant::now() < end, "broker {at} was not ready in {START:?}: {}", self.log(at));
                thread::sleep(POLL);
            }
        }
        Ok(())
    }
}

impl Node {
    fn log(&self) -> PathBuf {
        self.home.join("broker.log")
    }
}

/// Chooses ports and writes the settings of every broker.
fn lay_out(options: &KafkaOptions, dir: &Path) -> Result<Vec<Node>> {
    let log4j = "rootLogger.level=info\nrootLogger.appenderRef.out.ref=out\nappender.out.type=Console\nappender.out.name=out\n\
        appender.out.layout.type=PatternLayout\nappender.out.layout.pattern=%d %p %c{1} %m%n\n";
    let requests = if options.tell_requests {
        "logger.request.name=kafka.request.logger\nlogger.request.level=debug\n"
    } else {
        ""
    };
    fs::write(dir.join("log4j2.properties"), format!("{log4j}{requests}"))?;
    if options.security != Security::None {
        security::certificates(dir)?;
    }
    let ids = 1..=usize::from(options.brokers);
    let ports: Vec<(u16, u16, u16)> =
        ids.clone().map(|_| Ok((port::free_port()?, port::free_port()?, port::free_port()?))).collect::<Result<_>>()?;
    let voters: Vec<_> = ids.clone().map(|id| format!("{id}@127.0.0.1:{}", ports[id - 1].2)).collect();
    let replicas = options.brokers;
    let in_sync = replicas.min(2);
    let mut nodes = Vec::new();
    for id in ids {
        let home = dir.join(format!("broker{id}"));
        fs::create_dir_all(&home)?;
        let data = options.data.clone().unwrap_or_else(|| home.join("data"));
        let (client, between, controller) = ports[id - 1];
        let map = options.security.protocol();
        let mut text = format!(
            "process.roles=broker,controller\nnode.id={id}\ncontroller.quorum.voters={}\n\
             listeners=CLIENT://127.0.0.1:{client},BETWEEN://127.0.0.1:{between},CONTROLLER://127.0.0.1:{controller}\n\
             advertised.listeners=CLIENT://127.0.0.1:{client},BETWEEN://127.0.0.1:{between}\n\
             listener.security.protocol.map=CLIENT:{map},BETWEEN:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
             controller.listener.names=CONTROLLER\ninter.broker.listener.name=BETWEEN\nlog.dirs={}\n\
             metadata.log.dir={}\n\
             offsets.topic.replication.factor={replicas}\noffsets.topic.num.partitions=3\n\
             transaction.state.log.replication.factor={replicas}\ntransaction.state.log.min.isr={in_sync}\n\
             min.insync.replicas={in_sync}\ndefault.replication.factor={replicas}\ngroup.initial.rebalance.delay.ms=0\n\
             auto.create.topics.enable=false\nbroker.rack=rack-{id}\n\
             replica.selector.class=org.apache.kafka.common.replica.RackAwareReplicaSelector\n",
            voters.join(","),
            data.display(),
            home.join("metadata").display(),
        );
        text.push_str(&options.security.properties(dir));
        for line in &options.properties {
            let _ = writeln!(text, "{line}");
        }
        fs::write(home.join("server.properties"), text)?;
        nodes.push(Node { group: None, home, data, ports: (client, between) });
    }
    Ok(nodes)
}
