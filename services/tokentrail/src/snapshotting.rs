//! Takes snapshots of every source that has them in its config: on a schedule, and when told to.

mod remedy;

pub use remedy::remedy;

use crate::{
    app::now_ms,
    config::{Config, Pull, Snapshot},
    pulling::{self, ToJournal},
    secrets, trusting,
};
use anyhow::Context;
use collector::{
    pull::{Limits, NotAppended, Secret},
    snapshot::{Backstage, Extent, From, NotTaken, Order, Report, Settings, Surroundings, Taker},
};
use durable_log::Journal;
use events::{
    person::DeploymentKey,
    snapshot::{AreaEnd, Trigger},
};
use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
};

/// Between two tries of a snapshot that was due and could not be taken.
const AGAIN_MS: i64 = 5 * 60_000;
/// Orders that wait for a running snapshot.
const WAITING: usize = 4;

/// A snapshot that ended, for people and programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Id.
    pub snapshot: String,
    /// Source.
    pub source: String,
    /// When it began, UTC milliseconds.
    pub began: i64,
    /// When it ended.
    pub ended: i64,
    /// True if every area is whole.
    pub complete: bool,
    /// Entities on its lists.
    pub entities: u64,
    /// Entities that were new or changed.
    pub changed: u64,
    /// Areas that are not whole.
    pub lacking: Vec<AreaEnd>,
}

/// What is known of the snapshots of one source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Since when one is running, UTC milliseconds.
    pub running: Option<i64>,
    /// The last that ended.
    pub last: Option<Told>,
    /// Why the last try did not end, in a word.
    pub trouble: Option<String>,
    /// When the next one is due, UTC milliseconds; none if only on demand.
    pub due: Option<i64>,
}

/// The state of each source that has snapshots.
pub type States = BTreeMap<String, State>;

/// An order from outside.
pub struct Asked {
    extent: Extent,
    answer: oneshot::Sender<Result<Told, String>>,
}

/// Where orders go, by source.
#[derive(Clone, Default)]
pub struct Orders(BTreeMap<String, mpsc::Sender<Asked>>);

impl Orders {
    /// Takes one and waits for its end; none if the source has no snapshots.
    pub async fn take(&self, source: &str, extent: Extent) -> Option<Result<Told, String>> {
        let orders = self.0.get(source)?;
        let (answer, told) = oneshot::channel();
        if orders.try_send(Asked { extent, answer }).is_err() {
            return Some(Err("others wait already".to_owned()));
        }
        Some(told.await.unwrap_or_else(|_| Err("the program stops".to_owned())))
    }
}

/// Numbers for /metrics.
#[derive(Clone)]
struct Metrics {
    taken: IntCounterVec,
    ended: IntGaugeVec,
    complete: IntGaugeVec,
    duration: IntGaugeVec,
}

impl Metrics {
    fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauge = |name: &str, help: &str| -> Result<IntGaugeVec, prometheus::Error> {
            let gauge = IntGaugeVec::new(Opts::new(name, help), &["source"])?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        let help = "Snapshots by source and result: complete, incomplete, not_taken.";
        let taken = IntCounterVec::new(Opts::new("tokentrail_snapshots_total", help), &["source", "result"])?;
        registry.register(Box::new(taken.clone()))?;
        Ok(Self {
            taken,
            ended: gauge("tokentrail_snapshot_ended_timestamp_seconds", "When the last snapshot of a source ended.")?,
            complete: gauge("tokentrail_snapshot_complete", "1 if the last snapshot of a source was complete.")?,
            duration: gauge("tokentrail_snapshot_duration_milliseconds", "How long the last snapshot took.")?,
        })
    }

    fn told(&self, told: &Told) {
        let source = [told.source.as_str()];
        self.ended.with_label_values(&source).set(told.ended / 1000);
        self.complete.with_label_values(&source).set(i64::from(told.complete));
        self.duration.with_label_values(&source).set(told.ended - told.began);
    }
}

/// Everything that takes snapshots, made before it runs so that orders can be given at once.
pub struct Snapshots {
    takers: Vec<(Taker, mpsc::Receiver<Asked>, u64)>,
    states: watch::Sender<States>,
    dir: PathBuf,
    metrics: Metrics,
}

impl Snapshots {
    /// Sends no request yet.
    pub fn new(
        config: &Config,
        (journal, key): (Journal, DeploymentKey),
        registry: &Registry,
    ) -> anyhow::Result<(Self, Orders)> {
        let (mut takers, mut orders, mut states) = (Vec::new(), Orders::default(), States::new());
        let metrics = Metrics::new(registry)?;
        let dir = dir(config);
        for (id, snapshot) in configured(config) {
            let (order, orders_of) = mpsc::channel(WAITING);
            orders.0.insert(id.clone(), order);
            takers.push((
                taker(config, (id, snapshot), (journal.clone(), key.clone()))?,
                orders_of,
                snapshot.interval_hours,
            ));
            let last = load(&dir, id);
            last.iter().for_each(|told| metrics.told(told));
            states.insert(id.clone(), State { last, ..State::default() });
        }
        Ok((Self { takers, states: watch::Sender::new(states), dir, metrics }, orders))
    }

    /// The state of each source, as it changes.
    pub fn states(&self) -> watch::Receiver<States> {
        self.states.subscribe()
    }

    /// Runs until `stop` turns true. One under way is dropped where it stands, and goes on after the next start.
    pub async fn run(self, stop: watch::Receiver<bool>) -> anyhow::Result<()> {
        let mut tasks = JoinSet::new();
        for (taker, orders, interval_hours) in self.takers {
            let keeper = Keeper {
                taker,
                interval_ms: i64::try_from(interval_hours.saturating_mul(3_600_000)).unwrap_or(i64::MAX),
                states: self.states.clone(),
                dir: self.dir.clone(),
                metrics: self.metrics.clone(),
            };
            tasks.spawn(keeper.keep(orders, stop.clone()));
        }
        while let Some(ended) = tasks.join_next().await {
            ended??;
        }
        let mut stop = stop;
        let _ = stop.wait_for(|stop| *stop).await;
        Ok(())
    }
}

struct Keeper {
    taker: Taker,
    interval_ms: i64,
    states: watch::Sender<States>,
    dir: PathBuf,
    metrics: Metrics,
}

impl Keeper {
    async fn keep(self, mut orders: mpsc::Receiver<Asked>, mut stop: watch::Receiver<bool>) -> anyhow::Result<()> {
        let mut tried = i64::MIN;
        loop {
            let due = self.due(tried);
            self.change(|state| state.due = due);
            let wait = due.map(|due| Duration::from_millis(u64::try_from(due - now_ms()).unwrap_or(0)));
            let asked = tokio::select! {
                asked = orders.recv() => asked,
                () = async { match wait {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => std::future::pending().await,
                } } => None,
                _ = stop.wait_for(|stop| *stop) => return Ok(()),
            };
            tried = now_ms();
            let order = match &asked {
                Some(asked) => Order { trigger: Trigger::Demand, extent: asked.extent },
                None => Order { trigger: Trigger::Schedule, extent: Extent::Changes },
            };
            let told = tokio::select! {
                told = self.take(order) => told,
                _ = stop.wait_for(|stop| *stop) => return Ok(()),
            };
            let told = match told {
                Err(NotTaken::Append(NotAppended::Stopped)) => anyhow::bail!("the journal has stopped"),
                told => told.map_err(|error| why(&error)),
            };
            if let Some(asked) = asked {
                // Whoever asked may have gone.
                let _ = asked.answer.send(told);
            }
        }
    }

    /// When the next one is due: an interval after the last began, or some minutes after a try that did not end.
    fn due(&self, tried: i64) -> Option<i64> {
        if self.interval_ms == 0 {
            return None;
        }
        let states = self.states.borrow();
        let last = states.get(self.taker.source_id()).and_then(|state| state.last.as_ref());
        let next = last.map_or(0, |last| last.began.saturating_add(self.interval_ms));
        Some(next.max(tried.saturating_add(AGAIN_MS.min(self.interval_ms))))
    }

    async fn take(&self, order: Order) -> Result<Told, NotTaken> {
        let source = self.taker.source_id();
        self.change(|state| state.running = Some(now_ms()));
        let taken = self.taker.take(order).await;
        let result = match &taken {
            Ok(report) if report.end.complete => "complete",
            Ok(_) => "incomplete",
            Err(_) => "not_taken",
        };
        self.metrics.taken.with_label_values(&[source, result]).inc();
        let told = match taken {
            Ok(report) => told(source, &report),
            Err(error) => {
                tracing::warn!(
                    source,
                    error = why(&error),
                    "A snapshot could not be taken to its end; it goes on later."
                );
                self.change(|state| (state.running, state.trouble) = (None, Some(why(&error))));
                return Err(error);
            }
        };
        for area in &told.lacking {
            tracing::warn!(
                source,
                realm = area.realm,
                area = area.area.as_str(),
                outcome = area.outcome.as_str(),
                needs = area.needs,
                "A snapshot is not complete: an area could not be read."
            );
        }
        self.metrics.told(&told);
        keep(&self.dir, &told);
        self.change(|state| *state = State { last: Some(told.clone()), due: state.due, ..State::default() });
        Ok(told)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        self.states.send_modify(|states| change(states.entry(self.taker.source_id().to_owned()).or_default()));
    }
}

/// Sources that have snapshots.
pub fn configured(config: &Config) -> impl Iterator<Item = (&String, &Snapshot)> {
    config.sources.iter().filter_map(|(id, source)| Some((id, source.snapshot.as_ref()?)))
}

/// What takes the snapshots of one source.
pub fn taker(
    config: &Config,
    (id, snapshot): (&str, &Snapshot),
    (journal, key): (Journal, DeploymentKey),
) -> anyhow::Result<Taker> {
    let limits = Limits { requests_per_second: snapshot.requests_per_second, ..Limits::default() };
    let settings = Settings {
        page: snapshot.page,
        full_every: Duration::from_secs(snapshot.full_days.saturating_mul(86_400)),
        ..Settings::new(dir(config))
    };
    let around = Surroundings { append: Arc::new(ToJournal(journal)), key, now: Arc::new(now_ms) };
    let source = config.sources.get(id).context("the config has no such source")?;
    let pull = source.pull.clone().or_else(|| login(snapshot));
    let from = match (&snapshot.token_file, pull) {
        (None, Some(pull)) => {
            let source = pulling::source(config, id, &pull)?;
            From::Keycloak(collector::pull::Source { limits, ..source })
        }
        (Some(token), _) => From::Backstage(Backstage {
            tenant: config.tenant.clone(),
            source_id: id.to_owned(),
            base_url: snapshot.url.clone().unwrap_or_default(),
            token: Secret::new(secrets::read(&config.data_dir, token)?),
            trust: trusting::at(
                &config.data_dir,
                &format!("sources.{id}.snapshot.ca_file"),
                snapshot.ca_file.as_ref(),
            )?,
            limits,
        }),
        (None, None) => anyhow::bail!("sources.{id}.snapshot names nothing that can be read"),
    };
    Ok(Taker::open(&from, settings, around)?)
}

fn login(snapshot: &Snapshot) -> Option<Pull> {
    Some(Pull {
        url: snapshot.url.clone()?,
        realms: snapshot.realms.clone(),
        client_id: snapshot.client_id.clone()?,
        client_secret_file: snapshot.client_secret_file.clone()?,
        login_realm: snapshot.login_realm.clone(),
        ca_file: snapshot.ca_file.clone(),
        interval_seconds: 0,
    })
}

fn dir(config: &Config) -> PathBuf {
    config.path("snapshots")
}

/// A report in few words.
pub fn told(source: &str, report: &Report) -> Told {
    let lacking = report.end.areas.iter().filter(|area| !area.outcome.is_whole()).cloned().collect();
    Told {
        snapshot: report.end.snapshot.clone(),
        source: source.to_owned(),
        began: report.begin.time,
        ended: report.end.time,
        complete: report.end.complete,
        entities: report.end.areas.iter().map(|area| area.entities).sum(),
        changed: report.end.areas.iter().map(|area| area.changed).sum(),
        lacking,
    }
}

/// Why a snapshot did not end, without text from the other side.
pub fn why(error: &NotTaken) -> String {
    match error {
        NotTaken::Append(NotAppended::Later) => "the journal cannot take more now".to_owned(),
        other => other.to_string(),
    }
}

/// The file of the last snapshot's words. Losing it makes the next one due at once, no more.
fn file(dir: &std::path::Path, source: &str) -> PathBuf {
    dir.join(format!("{source}.json"))
}

fn load(dir: &std::path::Path, source: &str) -> Option<Told> {
    let told: Told = serde_json::from_slice(&std::fs::read(file(dir, source)).ok()?).ok()?;
    Some(told).filter(|told| told.source == source)
}

/// Keeps what is told of the last snapshot over a restart.
pub fn keep(dir: &std::path::Path, told: &Told) {
    let written = serde_json::to_vec_pretty(told)
        .map_err(anyhow::Error::from)
        .and_then(|bytes| secrets::write_private(&file(dir, &told.source), &bytes));
    if let Err(error) = written {
        tracing::warn!(error = format!("{error:#}"), "What the last snapshot found cannot be kept on disk.");
    }
}
