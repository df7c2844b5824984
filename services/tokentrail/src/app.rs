//! Composes the rooms into one running program: journal, intake, pull, engine, pipeline, admin listener.
//!
//! Intake is open as soon as the journal is: ClickHouse may come later, go away and come back; what came in is on disk.

mod announce;
mod listeners;
mod order;
pub mod scrub;
mod storage;

pub use listeners::Listeners;
pub use order::HEADER as ORDER_HEADER;

use crate::{
    beating,
    config::Config,
    gauges, pulling, secrets,
    snapshotting::Snapshots,
    sources,
    status::{Observer, Report},
    trusting,
};
use anyhow::{Context, bail};
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
    normalise::Context as NormaliseContext,
    person::DeploymentKey,
    receipt::{HEADER_VERSION, Input, Payload, ReceiptHeader, SourceKind},
};
use pipeline::{flow::CONSUMER, metrics::Metrics};
use prometheus::Registry;
use std::{
    net::SocketAddr,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};
use store::Store;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::JoinHandle,
};

/// How long requests under way may take after the stop began.
const SERVER_DEADLINE: Duration = Duration::from_secs(3);
/// How long a stop waits for ClickHouse to acknowledge what is pending; the rest is stored after the next start.
const DRAIN_DEADLINE: Duration = Duration::from_secs(3);
/// Between two looks at a condition of the stop.
const LOOK: Duration = Duration::from_millis(20);

/// The running program.
pub struct App {
    config: Config,
    intake: SocketAddr,
    journal: Journal,
    observer: watch::Receiver<Option<Observer>>,
    stop_intake: watch::Sender<bool>,
    stop_storage: watch::Sender<bool>,
    servers: Vec<JoinHandle<bool>>,
    pulls: JoinHandle<anyhow::Result<()>>,
    storage: JoinHandle<anyhow::Result<()>>,
}

impl App {
    /// Opens the journal, takes receipts, and starts what brings them into ClickHouse.
    pub async fn start(config: &Config, listeners: Listeners) -> anyhow::Result<Self> {
        let sources = sources::sources(config)?;
        let key = DeploymentKey::new(secrets::deployment_key(&config.data_dir)?);
        let journal = open_journal(config).await?;
        let registry = Registry::new();
        let metrics = Metrics::register(&registry)?;
        gauges::lag(&registry, journal.clone())?;

        let keys = HttpKeys::new(trusting::at_keys(config)?).context("the realms' keys cannot be fetched")?;
        let verifier = Verifier::new(&sources, Arc::new(keys))?;
        let intake_metrics = Arc::new(IntakeMetrics::new(&registry, verifier.sources())?);
        let mut run = [0; 8];
        getrandom::fill(&mut run).context("the system gives no random bytes")?;
        let limits = Limits::default();
        let routes = collector::http::router(Intake {
            verifier,
            receiver: Receiver::new(&config.tenant, key.clone(), run, limits.clone()),
            journal: Arc::new(journal.clone()),
            metrics: intake_metrics.clone(),
            clock: now_ms,
        });

        let (stop_intake, intake_stopped) = watch::channel(false);
        let (stop_storage, storage_stopped) = watch::channel(false);
        let (found, observer) = watch::channel(None);
        let (intake, admin) = listeners.addresses()?;
        let ready = {
            let journal = journal.clone();
            Arc::new(move || {
                if journal.status().can_append { Ok(()) } else { Err("the journal cannot take receipts".to_owned()) }
            })
        };
        let beats = collector::heartbeat::counter(&registry)?;
        let (snapshots, orders) = Snapshots::new(config, (journal.clone(), key.clone()), &registry)?;
        let admin_routes = collector::admin::router(registry.clone(), ready)
            .merge(announce::status_route(observer.clone()))
            .merge(order::route(orders));
        let (tls, clients) = listeners::tls(config, intake_stopped.clone())?;
        let (intake_listener, admin_listener) = listeners.adopt()?;
        let serve = |server: Server| {
            let mut stopped = intake_stopped.clone();
            tokio::spawn(async move {
                let stop = async move {
                    let _ = stopped.wait_for(|stop| *stop).await;
                };
                server.serve(stop, SERVER_DEADLINE).await
            })
        };
        let servers = vec![
            serve(Server {
                listener: intake_listener,
                routes,
                tls,
                clients,
                limits: limits.clone(),
                metrics: Some(intake_metrics),
            }),
            serve(Server {
                listener: admin_listener,
                routes: admin_routes,
                tls: None,
                clients: None,
                limits,
                metrics: None,
            }),
        ];
        let beating = beating::run(config.clone(), journal.clone(), (beats, intake_stopped.clone()));
        let (scrubs, scrubbed) = scrub::Scrubs::new(config, journal.clone(), &registry)?;
        tokio::spawn(scrubs.run(intake_stopped.clone()));
        let pulling =
            pulling::run(config.clone(), (journal.clone(), key.clone()), (registry.clone(), intake_stopped.clone()));
        let states = snapshots.states();
        let snapshotting = snapshots.run(intake_stopped);
        let pulls = tokio::spawn(async move { tokio::try_join!(beating, pulling, snapshotting).map(drop) });
        let storage = storage::Storage {
            config: config.clone(),
            journal: journal.clone(),
            context: NormaliseContext { key },
            metrics,
            registry,
            addresses: (intake, admin),
            scrubbed,
            snapshots: states,
            found,
        };
        let storage = tokio::spawn(storage.run(storage_stopped));
        Ok(Self {
            config: config.clone(),
            intake,
            journal,
            observer,
            stop_intake,
            stop_storage,
            servers,
            pulls,
            storage,
        })
    }

    /// Address of the intake.
    pub fn intake(&self) -> SocketAddr {
        self.intake
    }

    async fn observer(&self) -> anyhow::Result<Observer> {
        let mut observer = self.observer.clone();
        let found = observer.wait_for(Option::is_some).await.context("ClickHouse could not be started; see the log")?;
        found.clone().context("ClickHouse could not be started; see the log")
    }

    /// The store, once it answers.
    pub async fn store(&self) -> anyhow::Result<Store> {
        Ok(self.observer().await?.store)
    }

    /// What came in and what became of it.
    pub async fn report(&self) -> anyhow::Result<Report> {
        self.observer().await?.report().await
    }

    /// Returns when something that must not end has ended.
    async fn broken(&mut self) -> anyhow::Error {
        let ended = tokio::select! {
            ended = &mut self.storage => ended,
            ended = &mut self.pulls => ended,
        };
        match ended {
            Ok(Ok(())) => anyhow::anyhow!("a part of the program ended by itself"),
            Ok(Err(error)) => error,
            Err(_) => anyhow::anyhow!("a part of the program died"),
        }
    }

    /// Stops in order: no new requests, what is pending to ClickHouse (bounded), journal, engine.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.stop_intake.send_replace(true);
        for server in self.servers {
            if !server.await.unwrap_or(false) {
                tracing::warn!(
                    "Requests were still under way when the time to stop was over; they were not acknowledged."
                );
            }
        }
        if !self.pulls.is_finished() {
            let _ = tokio::time::timeout(SERVER_DEADLINE, self.pulls).await;
        }
        let began = Instant::now();
        while self.journal.committed(CONSUMER) < self.journal.durable_end()
            && began.elapsed() < DRAIN_DEADLINE
            && !self.storage.is_finished()
        {
            tokio::time::sleep(LOOK).await;
        }
        self.stop_storage.send_replace(true);
        let stored =
            if self.storage.is_finished() { Ok(()) } else { self.storage.await.context("the pipeline died")? };
        let journal = self.journal;
        tokio::task::spawn_blocking(move || journal.close()).await.context("the journal did not close")?;
        crate::running::RunFile::remove(&self.config);
        stored
    }
}

/// `tokentrail up`.
pub async fn up(config: &Config) -> anyhow::Result<ExitCode> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let fresh = !config.path("keys/deployment.key").exists();
    let mut app = App::start(config, Listeners::bind(config)?).await?;
    announce::settings(config, &app, if fresh { announce::Folder::Fresh } else { announce::Folder::Known })?;
    let broken = tokio::select! {
        error = app.broken() => Some(error),
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
    };
    tracing::info!("Stopping; a second signal stops at once.");
    tokio::spawn(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        // Safe: what was acknowledged is on disk, the engine ends with us, the next start recovers.
        std::process::exit(130);
    });
    let stopped = app.stop().await;
    match broken {
        Some(error) => bail!(error),
        None => stopped.map(|()| ExitCode::SUCCESS),
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
    let status = journal.status();
    for damage in &status.damage {
        tracing::warn!(%damage, "The journal's recovery found this.");
    }
    // The consumer is known from the first record on, so that nothing is freed before it was stored.
    journal.commit(CONSUMER, journal.committed(CONSUMER)).context("cannot keep the pipeline's position")?;
    Ok(journal)
}

fn opening(tenant: &str, sealed: Option<&Sealed>) -> Entry {
    let header = ReceiptHeader {
        v: HEADER_VERSION,
        tenant: tenant.to_owned(),
        source_id: String::new(),
        source_kind: SourceKind::Tokentrail,
        input: Input::Collector,
        payload: Payload::StreamOpening,
        received_at: now_ms(),
        native_id: String::new(),
        delivery_id: String::new(),
        delivery_keyed: false,
        delivery_index: 0,
        line: None,
    };
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

/// Now, UTC milliseconds.
pub fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
