//! Everything of a process that takes receipts in: journal, intake, pull, heartbeats, scrubs, and the forwarder if receipts go
//! over Kafka. Open as soon as the journal is; brokers and ClickHouse may come later, go away and come back.

use super::{
    now_ms, scrub, serve,
    stopping::{Began, STORED_BY, TAKEN_BY},
};
use crate::{
    beating,
    config::Config,
    kafka::{CONSUMERS, Forward, Link, TopicSources, journal_consumer},
    pulling::Pulling,
    snapshotting::{Orders, Snapshots, States},
    sources,
    status::{ObserveTopics, Realms},
    trusting,
};
use anyhow::Context;
use collector::{
    config::Limits,
    http::Intake,
    metrics::Metrics as IntakeMetrics,
    receive::Receiver,
    server::Server,
    verify::{Verifier, jwks::HttpKeys},
};
use durable_log::{Entry, Journal, Options, Sealed};
use events::{
    ids::StreamId,
    person::DeploymentKey,
    receipt::{Input, Payload, ReceiptHeader},
};
use pipeline::flow::CONSUMER;
use prometheus::Registry;
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, task::JoinHandle};

/// What taking in needs.
pub struct Taking<'a> {
    /// Config.
    pub config: &'a Config,
    /// Makes person keys and marks.
    pub key: DeploymentKey,
    /// Where counters go.
    pub registry: &'a Registry,
    /// Kafka, if receipts go over it.
    pub link: Option<&'a Link>,
    /// Turns true when nothing more shall be taken in.
    pub stop: watch::Receiver<bool>,
}

/// A process that takes receipts in.
pub struct Taken {
    /// Where they are kept.
    pub journal: Journal,
    /// Counts of what came in.
    pub metrics: Arc<IntakeMetrics>,
    /// What the last scrub of the journal found.
    pub scrubbed: scrub::Last,
    /// State of snapshots by source.
    pub snapshots: watch::Receiver<States>,
    /// Where orders of snapshots go.
    pub orders: Orders,
    /// State of the topics that are a source.
    pub topics: Option<ObserveTopics>,
    /// Realms that are pulled.
    pub realms: Realms,
    /// Onwards over Kafka.
    pub forward: Option<Forward>,
    /// The intake; true when it ended with nothing under way.
    pub server: JoinHandle<bool>,
    /// Pull, heartbeats, snapshots and topics.
    pub pulls: JoinHandle<anyhow::Result<()>>,
}

impl Taking<'_> {
    /// Opens the journal and takes receipts.
    pub async fn start(self, listener: tokio::net::TcpListener) -> anyhow::Result<Taken> {
        let Self { config, key, registry, link, stop } = self;
        let sources = sources::sources(config)?;
        let journal = open_journal(config).await?;
        let keys = HttpKeys::new(trusting::at_keys(config)?).context("the realms' keys cannot be fetched")?;
        let verifier = Verifier::new(&sources, Arc::new(keys))?;
        let metrics = Arc::new(IntakeMetrics::new(registry, verifier.sources())?);
        let mut run = [0; 8];
        getrandom::fill(&mut run).context("the system gives no random bytes")?;
        let listen = &config.listen;
        let (connections, connections_per_ip) = (listen.connections, listen.connections_per_address);
        let limits = Limits { connections, connections_per_ip, ..Limits::default() };
        let routes = collector::http::router(Intake {
            verifier,
            receiver: Receiver::new(&config.tenant, key.clone(), run, limits.clone()),
            journal: Arc::new(journal.clone()),
            metrics: metrics.clone(),
            clock: now_ms,
        });
        let (tls, clients) = super::listeners::tls(config, stop.clone())?;
        let server = Server { listener, routes, tls, clients, limits, metrics: Some(metrics.clone()) };
        let server = serve(server, stop.clone());
        let beats = collector::heartbeat::counter(registry)?;
        let beating = beating::run(config.clone(), journal.clone(), (beats, stop.clone()));
        let (scrubs, scrubbed) = scrub::Scrubs::new(config, journal.clone(), registry)?;
        tokio::spawn(scrubs.run(stop.clone()));
        let (taker, orders) = Snapshots::new(config, (journal.clone(), key.clone()), registry)?;
        let snapshots = taker.states();
        let snapshotting = taker.run(stop.clone());
        let reader = TopicSources::new(config, (journal.clone(), key.clone()), registry)?;
        let topics = reader.observe();
        let reading = reader.run(stop.clone());
        let pulling = Pulling::open(config, (&journal, &key), (registry, &stop))?;
        let realms = pulling.realms();
        let pulling = pulling.run(stop);
        let pulls = tokio::spawn(async move { tokio::try_join!(beating, pulling, snapshotting, reading).map(drop) });
        let forward = link.map(|link| link.forward(&journal)).transpose()?;
        Ok(Taken { journal, metrics, scrubbed, snapshots, orders, topics, realms, forward, server, pulls })
    }
}

/// Opens the journal; its opening receipt names and so seals the stream before.
pub async fn open_journal(config: &Config) -> anyhow::Result<Journal> {
    let mut options = Options::new(config.path("journal"));
    options.segment_bytes = config.journal.segment_mib << 20;
    options.keep = Duration::from_secs(config.journal.keep_hours * 3600);
    options.max_bytes = config.journal.max_mib << 20;
    options.quarantine_bytes = config.journal.quarantine_mib << 20;
    let tenant = config.tenant.clone();
    let open = move || Journal::open(options, |_, sealed| opening(&tenant, sealed));
    let journal = tokio::task::spawn_blocking(open).await.context("the journal's opening died")?;
    let journal = journal.context("cannot open the journal")?;
    for damage in &journal.status().damage {
        tracing::warn!(%damage, "The journal's recovery found this.");
    }
    // The consumer is known from the first record on, so that nothing is freed before it was stored or forwarded.
    take_over(&journal, journal_consumer(config)).context("cannot keep the consumer's position")?;
    Ok(journal)
}

/// Makes a consumer the only one of the two, but for what it reads again by order. From ClickHouse to Kafka it goes on where ClickHouse stood; the other way it begins at the
/// first record kept, because what the brokers have need not be stored yet. Records that come twice are stored once.
fn take_over(journal: &Journal, consumer: &str) -> anyhow::Result<()> {
    let known = journal.status().committed;
    let stands = |name: &str| known.iter().find(|(known, _)| known == name).map(|(_, offset)| *offset);
    let from = match stands(consumer) {
        Some(offset) => offset,
        None if consumer != CONSUMER => stands(CONSUMER).unwrap_or_else(|| journal.status().first),
        None => journal.status().first,
    };
    journal.commit(consumer, from)?;
    let is_other = |name: &&str| !name.starts_with(consumer) && stands(name).is_some();
    for other in CONSUMERS.into_iter().filter(is_other) {
        tracing::info!(other, consumer, from, "The journal is carried in another way from here on.");
        journal.forget(other)?;
    }
    Ok(())
}

impl Taken {
    /// Returns when the journal, pull, heartbeats or the forwarder have ended, which they must not.
    pub async fn ended(&mut self) -> Result<anyhow::Result<()>, tokio::task::JoinError> {
        let forward = async {
            match &self.forward {
                Some(forward) => forward.ended().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // Whoever reads it would notice; while ClickHouse is away nobody does.
            Err(closed) = self.journal.wait_past(u64::MAX) => Ok(Err(anyhow::Error::new(closed).context("nothing can be kept"))),
            ended = &mut self.pulls => ended,
            () = forward => Ok(Err(anyhow::anyhow!("the forwarder ended; see the log"))),
        }
    }

    /// After `stop` has turned true: waits, within bounds, for what is under way. The forwarder hands on what it has meanwhile.
    pub async fn settle(self, began: &Began) -> Settled {
        let pulls = async {
            if !self.pulls.is_finished() {
                let _ = began.by(TAKEN_BY, self.pulls).await;
            }
        };
        let (served, ()) = tokio::join!(self.server, pulls);
        if !served.unwrap_or(false) {
            tracing::warn!("Requests were still under way when the time to stop was over; they were not acknowledged.");
        }
        let forwarding = self.forward.map(|forward| tokio::task::spawn_blocking(move || forward.stop()));
        Settled { journal: self.journal, forwarding }
    }
}

/// Nothing comes in any more.
pub struct Settled {
    journal: Journal,
    forwarding: Option<JoinHandle<anyhow::Result<()>>>,
}

impl Settled {
    /// Waits, within bounds, for the brokers' confirmations, and closes the journal.
    pub async fn close(self, began: &Began) -> anyhow::Result<()> {
        let forwarded = match self.forwarding {
            // What they have not confirmed is sent again after the next start.
            Some(forwarding) => began.by(STORED_BY, forwarding).await.and_then(Result::ok).unwrap_or(Ok(())),
            None => Ok(()),
        };
        let journal = self.journal;
        tokio::task::spawn_blocking(move || journal.close()).await.context("the journal did not close")?;
        forwarded
    }
}

fn opening(tenant: &str, sealed: Option<&Sealed>) -> Entry {
    let header = ReceiptHeader::own(tenant, (Input::Collector, Payload::StreamOpening), now_ms());
    let body = match sealed {
        Some(sealed) => serde_json::json!({
            "previous_stream": StreamId(sealed.stream).to_string(),
            "previous_seq": sealed.last_seq,
            "previous_chain": hex::encode(sealed.last_chain),
        }),
        None => serde_json::json!({}),
    };
    Entry { header: header.to_bytes(), body: body.to_string().into_bytes() }
}
