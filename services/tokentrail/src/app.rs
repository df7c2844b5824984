//! Composes the rooms into one running process: what takes receipts in, what stores them, or both, and what lies between.
//!
//! Intake is open as soon as the journal is: Kafka and ClickHouse may come later, go away and come back; what came in is on
//! disk.

pub mod acts;
mod alerting;
mod announce;
mod forward_route;
mod listeners;
mod order;
pub mod scrub;
mod signals;
mod stopping;
mod storage;
mod taking;

pub use listeners::Listeners;
pub use order::HEADER as ORDER_HEADER;
use order::OrderKey;
pub use taking::open_journal;

use crate::{
    config::Config,
    deployment, gauges,
    kafka::{Link, journal_consumer},
    running::RunFile,
    secrets,
    snapshotting::States,
    status::{Observer, Report, Trouble, Waiting},
};
use alerts::Board;
use anyhow::{Context, bail};
use collector::{config::Limits, server::Server};
use durable_log::{Journal, bulletin::Alone, carrier::JournalCarrier};
use events::normalise::Context as NormaliseContext;
use listeners::Addresses;
use pipeline::{
    correlation::Acknowledged,
    faults::Faults,
    flow::{APPETITE, CONSUMER},
    metrics::Metrics,
};
use prometheus::Registry;
use signals::{Phase, Signals};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use stopping::{Began, Stages, Stopped, in_time};
use store::Store;
use taking::{Taken, Taking};
use tokio::{sync::watch, task::JoinHandle};

/// How long requests under way may take after the stop began.
const SERVER_DEADLINE: Duration = Duration::from_secs(3);
/// Between two looks at a condition of the stop.
const LOOK: Duration = Duration::from_millis(20);

/// Which parts of the program a process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// All of them.
    Up,
    /// What takes receipts in and forwards them.
    Collect,
    /// What stores them.
    Process,
}

impl Role {
    /// Whether receipts come in here.
    pub fn takes(self) -> bool {
        self != Self::Process
    }

    /// Whether they are stored from here.
    pub fn stores(self) -> bool {
        self != Self::Collect
    }
}

/// A running process.
pub struct App {
    config: Config,
    addresses: Addresses,
    taken: Option<Taken>,
    observer: watch::Receiver<Option<Observer>>,
    stop_intake: watch::Sender<bool>,
    stop_storage: watch::Sender<bool>,
    began: Began,
    admin: JoinHandle<bool>,
    storage: Option<JoinHandle<anyhow::Result<()>>>,
}

impl App {
    /// Starts the parts of a role.
    pub async fn start(config: &Config, listeners: Listeners, role: Role) -> anyhow::Result<Self> {
        let registry = Registry::new();
        let link = Link::of(config, &registry)?;
        if role != Role::Up && link.is_none() {
            bail!("`collect` and `process` are two processes with Kafka between: set kafka.brokers, or run `up`");
        }
        if role != Role::Up {
            // With another key every person would be another one; what one process makes up, no other has.
            secrets::shared_deployment_key(&config.data_dir, &config.deployment_key_file)?;
        }
        let key = deployment::key(config)?;
        if role.takes() {
            deployment::bind_folder(config, &key)?;
        }
        let metrics = Metrics::register(&registry)?;
        let (stop_intake, intake_stopped) = watch::channel(false);
        let (stop_storage, storage_stopped) = watch::channel(false);
        let (found, observer) = watch::channel(None);
        let began = Began::default();
        let (alone, observed) = watch::channel(None);
        let addresses = listeners.addresses()?;
        let (intake_listener, admin_listener) = listeners.adopt()?;
        let taken = match intake_listener {
            Some(listener) => {
                let (key, link) = (key.clone(), link.as_ref());
                let taking = Taking { config, key, registry: &registry, link, stop: intake_stopped.clone() };
                Some(taking.start(listener).await?)
            }
            None => None,
        };
        let journal = taken.as_ref().map(|taken| taken.journal.clone());
        if let Some(journal) = &journal {
            gauges::syncs(&registry, journal.clone())?;
            gauges::lag(&registry, (journal.clone(), journal_consumer(config)))?;
        }
        let trouble = Trouble::default();
        let ready = {
            let (journal, observer, trouble) = (journal.clone(), observer.clone(), trouble.clone());
            Arc::new(move || match &journal {
                Some(journal) if journal.status().can_append => Ok(()),
                Some(_) => Err("the journal cannot take receipts".to_owned()),
                None if observer.borrow().is_some() => Ok(()),
                None => Err(format!("ClickHouse: {}", trouble.told())),
            })
        };
        let mut routes =
            collector::admin::router(registry.clone(), ready).merge(announce::status_route(observer.clone(), observed));
        let order = OrderKey::random()?;
        if let Some(taken) = &taken {
            let mut orders =
                order::route(taken.orders.clone()).merge(acts::route(&config.tenant, taken.journal.clone()));
            if let Some(forward) = &taken.forward {
                orders = orders.merge(forward_route::route(taken.journal.clone(), forward.remote()));
            }
            routes = routes.merge(order.guard(orders));
        }
        let server = Server {
            listener: admin_listener,
            routes,
            tls: None,
            clients: None,
            limits: Limits::default(),
            metrics: None,
        };
        let admin = serve(server, intake_stopped);
        let observing = Observer {
            tenant: config.tenant.clone(),
            journal: journal.clone().map(|journal| (journal, journal_consumer(config))),
            waiting: Waiting::default(),
            taken: taken.as_ref().filter(|_| !role.stores()).map(|taken| taken.metrics.clone()),
            store: None,
            kafka: link.as_ref().map(Link::observe),
            topics: taken.as_ref().and_then(|taken| taken.topics.clone()),
            pulls: taken.as_ref().map(|taken| taken.realms.clone()).unwrap_or_default(),
            trouble,
            lateness_ms: i64::from(config.lateness_seconds) * 1000,
            faults: Faults::register(&registry, now_ms)?,
            correlation: (role.stores() && config.correlates()).then(Acknowledged::default),
            alerts: Board::register(&registry)?,
            metrics: metrics.clone(),
            scrubbed: taken
                .as_ref()
                .map_or_else(|| watch::Sender::new(None).subscribe(), |taken| taken.scrubbed.clone()),
            snapshots: taken
                .as_ref()
                .map_or_else(|| watch::Sender::new(States::new()).subscribe(), |taken| taken.snapshots.clone()),
        };
        let (intake, admin_at, stores) = (addresses.intake, addresses.admin, role.stores());
        let run =
            RunFile { pid: std::process::id(), intake, admin: admin_at, order: order.reveal(), stores, store: None };
        run.write(config)?;
        let storage = if role.stores() {
            alone.send_replace(Some(observing.clone()));
            let storage = storage::Storage {
                config: config.clone(),
                context: NormaliseContext { key },
                metrics,
                registry,
                run,
                observing,
                found,
                began: began.clone(),
            };
            Some(match (link, journal) {
                (Some(link), _) => tokio::spawn(storage.run(move |stop| link.join(stop), storage_stopped)),
                (None, Some(journal)) => {
                    let open = move |_: &watch::Receiver<bool>| {
                        Ok(Some((JournalCarrier::open(journal, CONSUMER, APPETITE)?, None::<Alone>)))
                    };
                    tokio::spawn(storage.run(open, storage_stopped))
                }
                (None, None) => bail!("nothing to read from"),
            })
        } else {
            found.send_replace(Some(observing));
            None
        };
        let config = config.clone();
        Ok(Self { config, addresses, taken, observer, stop_intake, stop_storage, began, admin, storage })
    }

    /// Address of the intake, if there is one.
    pub fn takes(&self) -> Option<SocketAddr> {
        self.addresses.intake
    }

    /// The journal, if receipts are taken in.
    pub fn journal(&self) -> Option<&Journal> {
        self.taken.as_ref().map(|taken| &taken.journal)
    }

    async fn observer(&self) -> anyhow::Result<Observer> {
        let mut observer = self.observer.clone();
        let found = observer.wait_for(Option::is_some).await.context("ClickHouse could not be started; see the log")?;
        found.clone().context("ClickHouse could not be started; see the log")
    }

    /// The store, once it answers.
    pub async fn store(&self) -> anyhow::Result<Store> {
        self.observer().await?.store.context("this process stores nothing")
    }

    /// What came in and what became of it.
    pub async fn report(&self) -> anyhow::Result<Report> {
        self.observer().await?.report().await
    }

    /// Returns when something that must not end has ended.
    async fn broken(&mut self) -> anyhow::Error {
        let Self { storage, taken, .. } = self;
        let storage = async {
            match storage {
                Some(storage) => storage.await,
                None => std::future::pending().await,
            }
        };
        let taking = async {
            match taken {
                Some(taken) => taken.ended().await,
                None => std::future::pending().await,
            }
        };
        let ended = tokio::select! {
            ended = storage => ended,
            ended = taking => ended,
        };
        match ended {
            Ok(Ok(())) => anyhow::anyhow!("a part of the program ended by itself"),
            Ok(Err(error)) => error,
            Err(_) => anyhow::anyhow!("a part of the program died"),
        }
    }

    /// Stops in order: no new requests, what is pending to ClickHouse or Kafka (bounded), journal, engine.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.began.now();
        self.stop_intake.send_replace(true);
        let (began, admin, by_kafka) = (&self.began, self.admin, self.config.kafka.is_set());
        let journal = self.taken.as_ref().map(|taken| taken.journal.clone());
        let taken = self.taken;
        let taken = async {
            let settled = match taken {
                Some(taken) => Some(taken.settle(began).await),
                None => None,
            };
            if !admin.await.unwrap_or(false) {
                tracing::debug!("The admin listener had requests under way at the stop.");
            }
            settled
        };
        let storage = self.storage.filter(|storage| !storage.is_finished());
        let over = storage.as_ref().map(JoinHandle::abort_handle);
        let drained = async {
            let (Some(journal), Some(storing), false) = (&journal, &over, by_kafka) else { return };
            while journal.committed(CONSUMER) < journal.durable_end() && !storing.is_finished() {
                tokio::time::sleep(LOOK).await;
            }
        };
        let tell = || {
            self.stop_storage.send_replace(true);
        };
        let stored = async {
            match storage {
                Some(storage) => storage.await.context("the pipeline died")?,
                None => Ok(()),
            }
        };
        let (settled, stored) = Stages { taken, drained, tell, stored }.go(began).await;
        let closed = match settled.flatten() {
            Some(settled) => settled.close(began).await,
            None => Ok(()),
        };
        RunFile::remove(&self.config);
        stored.and(closed)
    }
}

/// Runs a server until `stop` turns true; true if nothing was under way then or it ended in time.
fn serve(server: Server, mut stop: watch::Receiver<bool>) -> JoinHandle<bool> {
    tokio::spawn(async move {
        let stop = async move {
            let _ = stop.wait_for(|stop| *stop).await;
        };
        server.serve(stop, SERVER_DEADLINE).await
    })
}

/// `tokentrail up`, `collect` and `process`; gives the exit code.
pub async fn run(config: &Config, role: Role) -> anyhow::Result<u8> {
    let signals = Signals::listen(config)?;
    let fresh = !config.key_file().exists();
    let mut app = App::start(config, Listeners::bind(config, role)?, role).await?;
    signals.enter(Phase::Running);
    announce::settings(config, &app, if fresh { announce::Folder::Fresh } else { announce::Folder::Known })?;
    let broken = tokio::select! {
        error = app.broken() => Some(error),
        () = signals.first() => None,
    };
    signals.enter(Phase::Stopping);
    tracing::info!("Stopping; a second signal stops at once.");
    let stopped = in_time(app.stop()).await;
    if matches!(stopped, Stopped::Cut) {
        // The engine, if it is ours, ends when this process is gone; the next start waits for it.
        RunFile::remove(config);
    }
    match (broken, stopped) {
        (Some(error), _) => bail!(error),
        (None, Stopped::InOrder(ended)) => ended.map(|()| 0),
        (None, Stopped::Cut) => Ok(0),
    }
}

/// Now, UTC milliseconds.
pub fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

#[cfg(test)]
mod described;
