//! `tokentrail status`: what came in, the fate of every receipt, lag and state. The sum received = stored + duplicate +
//! ignored + dead + pending holds at any instant, because pending is read from the journal behind what the store holds.

mod alerts;
mod correlation;
mod faults;
mod journal;
mod kafka;
mod paths;
mod pending;
mod pulls;
mod render;
mod taken;
mod trouble;

pub use correlation::{CorrelationReport, MemoryReport, OwnerReport};
pub use faults::FaultReport;
pub use journal::JournalReport;
#[cfg(feature = "kafka")]
pub use kafka::MemberReport;
pub use kafka::{ForwardReport, KafkaReport, ObserveKafka, ObserveTopics, TopicReport};
pub use paths::{NotSaved, PathReport};
pub use pending::Waiting;
pub use pulls::{PullReport, Realms};
pub use render::{render, render_inputs};
pub use taken::TakenReport;
pub use trouble::Trouble;

use crate::{
    app::scrub::Last,
    gaps::GapReport,
    other_lines::{self, OtherLines},
    running::RunFile,
    snapshotting::States,
};
use ::alerts::{Board, ReceiverState};
use anyhow::Context;
use durable_log::Journal;
use events::receipt::Input;
use pending::Counts;
use pipeline::{correlation::Acknowledged, faults::Faults};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};
use store::{FateCounts, Store, StreamStatus, Totals};
use tokio::sync::watch;

/// Source under which records on Kafka are told, which nobody can count by source without reading them.
const ON_KAFKA: &str = "on kafka";

/// The whole status, as /v1/status answers it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// Tenant.
    pub tenant: String,
    /// Version of the program.
    pub version: String,
    /// Journal; none in a process that takes nothing in.
    pub journal: Option<JournalReport>,
    /// True if ClickHouse acknowledged the last block; none in a process that stores nothing.
    pub store_up: Option<bool>,
    /// Why ClickHouse cannot be asked now: then receipts that wait are told, and neither fates nor gaps nor rules.
    #[serde(default)]
    pub without_store: Option<String>,
    /// Kafka; none without.
    #[serde(default)]
    pub kafka: Option<KafkaReport>,
    /// Kafka topics that are a source.
    #[serde(default)]
    pub topics: Vec<TopicReport>,
    /// By realm that is pulled.
    #[serde(default)]
    pub pulls: Vec<PullReport>,
    /// By source and input, where receipts are stored.
    pub inputs: Vec<InputReport>,
    /// The same in a process that stores nothing, as far as it knows.
    #[serde(default)]
    pub taken: Vec<TakenReport>,
    /// By source that has both a webhook and a pull.
    pub paths: Vec<PathReport>,
    /// Times for which something may be missing: open gaps, and closed ones that nothing has repaired.
    #[serde(default)]
    pub gaps: Vec<GapReport>,
    /// Snapshots by source that has them.
    #[serde(default)]
    pub snapshots: States,
    /// Lines that are no receipts, by source.
    #[serde(default)]
    pub other_lines: Vec<OtherLines>,
    /// How far the answers are.
    #[serde(default)]
    pub correlation: Option<CorrelationReport>,
    /// Parts that died by a fault of their own since the start.
    #[serde(default)]
    pub faults: Vec<FaultReport>,
    /// Drift rules as they stand: rule, state, findings that stand, why.
    #[serde(default)]
    pub rules: Vec<RuleReport>,
    /// Receivers of alerts, by name.
    #[serde(default)]
    pub receivers: BTreeMap<String, ReceiverState>,
}

/// How a drift rule stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleReport {
    /// Rule id.
    pub rule: String,
    /// OK, EXCEPTION, NOT EVALUABLE or DISABLED.
    pub state: String,
    /// Findings that stand.
    pub open: u32,
    /// Why, or what is not judged.
    pub detail: String,
}

/// Fates of one input of one source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputReport {
    /// Source id.
    pub source: String,
    /// Way in.
    pub input: String,
    /// All receipts.
    pub received: u64,
    /// First receipts of an event.
    pub stored: u64,
    /// Further receipts of an event that was stored.
    pub duplicate: u64,
    /// Among those stored: may be repeats of others, and nothing in them could tell (no id, no key, no time).
    #[serde(default)]
    pub possible_duplicate: u64,
    /// Understood, and no event.
    pub ignored: u64,
    /// Not understood.
    pub dead: u64,
    /// On disk, not yet in ClickHouse.
    pub pending: u64,
    /// Why receipts were ignored or are dead.
    pub reasons: BTreeMap<String, u64>,
    /// Newest receipt, UTC milliseconds.
    pub last_received_at: Option<i64>,
    /// Complete up to here, UTC milliseconds.
    pub watermark: Option<i64>,
}

impl Report {
    /// True of a process that stores receipts: their fates, gaps and answers are known where that is done.
    pub fn stores(&self) -> bool {
        self.store_up.is_some()
    }

    /// Receipts over all inputs.
    pub fn received(&self) -> u64 {
        self.inputs.iter().map(|input| input.received).sum()
    }

    /// Receipts without a fate in ClickHouse.
    pub fn pending(&self) -> u64 {
        self.inputs.iter().map(|input| input.pending).sum()
    }
}

/// What a status is made from.
#[derive(Clone)]
pub struct Observer {
    /// Tenant.
    pub tenant: String,
    /// The journal and the name of its consumer, in a process that takes receipts in.
    pub journal: Option<(Journal, &'static str)>,
    /// What waits in it.
    pub waiting: Waiting,
    /// What was taken in since the start, in a process that stores nothing.
    pub taken: Option<Arc<collector::metrics::Metrics>>,
    /// The store, in a process that stores them.
    pub store: Option<Store>,
    /// Kafka, if receipts go over it.
    pub kafka: Option<ObserveKafka>,
    /// Kafka topics that are a source, if there are any.
    pub topics: Option<ObserveTopics>,
    /// Realms that are pulled.
    pub pulls: Realms,
    /// Why ClickHouse has not been of use since the start.
    pub trouble: Trouble,
    /// What is younger may still come by the other way, milliseconds.
    pub lateness_ms: i64,
    /// The pipeline's numbers.
    pub metrics: pipeline::metrics::Metrics,
    /// What the last scrub of the journal found.
    pub scrubbed: Last,
    /// What died since the start.
    pub faults: Faults,
    /// How far the correlation is.
    pub correlation: Option<Acknowledged>,
    /// State of snapshots by source.
    pub snapshots: watch::Receiver<States>,
    /// How receivers of alerts stand.
    pub alerts: Board,
}

impl Observer {
    /// Adds everything up.
    pub async fn report(&self) -> anyhow::Result<Report> {
        // The counts are of one instant and lie between the two positions: what is read of the journal from the first on is
        // in the store if its stream has come that far there, and pending if not. Kafka is asked after the journal, so that
        // what moves on meanwhile is counted here or there.
        let from = self.journal.as_ref().map(|(journal, consumer)| journal.committed(consumer));
        // First: whoever reads that nothing lags reads answers that are no older than that.
        let journal = self.journal_report();
        let kafka = self.kafka().await?;
        let before = crate::app::now_ms() - self.lateness_ms;
        let totals = match &self.store {
            Some(store) => store.totals(&self.tenant, before).await?,
            None => Totals::default(),
        };
        let Totals { fates, streams, paths } = totals;
        let mut pending = self.pending(from, streams).await?;
        if let Some(lag) = kafka.as_ref().and_then(|kafka| kafka.lag).filter(|lag| *lag > 0 && self.store.is_some()) {
            let key = (ON_KAFKA.into(), Input::Collector.as_str().into());
            pending.insert(key, (lag, 0));
        }
        let (mut gaps, mut other_lines, mut inputs) = (Vec::new(), Vec::new(), BTreeMap::new());
        if let Some(store) = &self.store {
            inputs = self.inputs(store, fates).await?;
            other_lines = other_lines::read(store, &self.tenant).await?;
            gaps = store.gaps(&self.tenant, i64::MAX).await?.into_iter().map(GapReport::from).collect();
        }
        let rules = match &self.store {
            Some(store) => store.rule_states(&self.tenant).await?.into_iter().map(rule_report).collect(),
            None => Vec::new(),
        };
        let mut correlation = self.correlation.as_ref().map(CorrelationReport::of);
        if let (Some(correlation), Some(store)) = (&mut correlation, &self.store) {
            correlation.announced = kafka.as_ref().and_then(|kafka| kafka.uncorrelated);
            correlation.noted = store.unannounced(&self.tenant).await?.len() as u64;
            let owner = store.correlation_owner(&self.tenant).await?;
            correlation.owner = owner.map(|one| OwnerReport { name: one.name, epoch: one.epoch, since: one.taken_at });
        }
        let paths = match &self.store {
            Some(store) => paths::reports((store, &self.tenant), paths, before).await?,
            None => Vec::new(),
        };
        Ok(Report { journal, paths, other_lines, gaps, kafka, rules, correlation, ..self.add_up(inputs, pending) })
    }

    /// What is known while ClickHouse cannot be asked: what waits in the journal, and how the parts stand.
    pub async fn without_store(&self, why: String) -> anyhow::Result<Report> {
        let from = self.journal.as_ref().map(|(journal, consumer)| journal.committed(consumer));
        let journal = self.journal_report();
        let kafka = self.kafka().await?;
        let pending = self.pending(from, Vec::new()).await?;
        let correlation = self.correlation.as_ref().map(CorrelationReport::of);
        let (store_up, without_store) = (Some(false), Some(why));
        Ok(Report { journal, store_up, without_store, kafka, correlation, ..self.add_up(BTreeMap::new(), pending) })
    }

    /// What the journal holds from a position on and the store does not.
    async fn pending(&self, from: Option<u64>, streams: Vec<StreamStatus>) -> anyhow::Result<Counts> {
        let (Some((journal, _)), Some(from)) = (&self.journal, from) else { return Ok(Counts::new()) };
        let (journal, end, waiting) = (journal.clone(), journal.durable_end(), self.waiting.clone());
        let stored = streams.into_iter().map(|stream| (stream.stream, stream)).collect();
        tokio::task::spawn_blocking(move || waiting.count(&journal, (from, end), &stored)).await?
    }

    fn journal_report(&self) -> Option<JournalReport> {
        let (journal, consumer) = self.journal.as_ref()?;
        Some(JournalReport::new((journal, consumer), self.scrubbed.borrow().clone()))
    }

    async fn kafka(&self) -> anyhow::Result<Option<KafkaReport>> {
        let Some(observe) = self.kafka.clone() else { return Ok(None) };
        let journal = self.journal.as_ref().map(|(journal, _)| journal.clone());
        Ok(Some(tokio::task::spawn_blocking(move || observe(journal.as_ref())).await?))
    }

    async fn inputs(
        &self,
        store: &Store,
        fates: Vec<FateCounts>,
    ) -> anyhow::Result<BTreeMap<(String, String), InputReport>> {
        let mut out = BTreeMap::new();
        for fate in fates {
            let report = InputReport {
                source: fate.source_id.clone(),
                input: fate.input.clone(),
                received: fate.received,
                stored: fate.stored,
                duplicate: fate.duplicate,
                possible_duplicate: fate.possible_duplicate,
                ignored: fate.ignored,
                dead: fate.dead,
                pending: 0,
                reasons: fate.reasons.into_iter().collect(),
                last_received_at: Some(fate.last_received_at),
                watermark: None,
            };
            out.insert((fate.source_id, fate.input), report);
        }
        for mark in store.watermarks(&self.tenant).await? {
            if let Some(report) = out.get_mut(&(mark.source_id, mark.input.as_str().to_owned())) {
                report.watermark = Some(mark.watermark);
            }
        }
        Ok(out)
    }

    fn add_up(&self, mut inputs: BTreeMap<(String, String), InputReport>, pending: Counts) -> Report {
        for ((source, input), (count, last)) in pending {
            let report = inputs.entry((source.clone(), input.clone())).or_default();
            (report.source, report.input) = (source, input);
            report.received += count;
            report.pending += count;
            report.last_received_at = report.last_received_at.max(Some(last));
        }
        Report {
            tenant: self.tenant.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            journal: None,
            store_up: self.store.as_ref().map(|_| self.metrics.store_up.get() == 1),
            without_store: None,
            kafka: None,
            topics: self.topics.as_ref().map(|observe| observe()).unwrap_or_default(),
            pulls: self.pulls.iter().map(PullReport::of).collect(),
            inputs: inputs.into_values().collect(),
            taken: self.taken.as_deref().map(TakenReport::of).unwrap_or_default(),
            paths: Vec::new(),
            gaps: Vec::new(),
            snapshots: self.snapshots.borrow().clone(),
            other_lines: Vec::new(),
            correlation: None,
            faults: self.faults.told().into_iter().map(FaultReport::from).collect(),
            rules: Vec::new(),
            receivers: self.alerts.states(),
        }
    }
}

fn rule_report(row: store::findings::RuleState) -> RuleReport {
    RuleReport { rule: row.rule, state: row.state, open: row.open, detail: row.detail }
}

/// Asks the running program.
pub async fn fetch(run: &RunFile) -> anyhow::Result<Report> {
    let http = trust::Trust::system().http(|builder| builder.no_proxy().timeout(std::time::Duration::from_secs(60)))?;
    let answer = http
        .get(format!("http://{}/v1/status", run.admin))
        .send()
        .await
        .context("the running program does not answer")?;
    // Without ClickHouse it says so by its code, and tells what it knows.
    let answer = match answer.status() {
        reqwest::StatusCode::SERVICE_UNAVAILABLE => answer,
        _ => answer.error_for_status().context("the running program cannot tell its status now")?,
    };
    let text = answer.text().await.context("the running program does not answer")?;
    serde_json::from_str(&text).with_context(|| {
        format!("the running program cannot tell its status, or is of another version: {}", text.trim())
    })
}

/// UTC milliseconds as people read them.
pub fn moment(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |time| format!("{time:.3}"))
}
