//! What `/metrics` tells beside what the rooms count themselves: the lag of the journal, read when it is asked for; the fate of
//! every receipt per source and input, of one instant; the state of every realm that is pulled.

use crate::{
    app::now_ms,
    status::{InputReport, ObserveTopics, Observer},
};
use collector::pull::RealmStatus;
use durable_log::{Journal, ReadLimits};
use events::receipt::ReceiptHeader;
use prometheus::{
    Counter, Gauge, IntCounter, IntGauge, IntGaugeVec, Opts, Registry,
    core::{Collector, Desc},
    proto::MetricFamily,
};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::watch;

/// Between two counts of all receipts.
const COUNTS: Duration = Duration::from_secs(15);

/// Families that are made when they are asked for.
struct Made<F> {
    describe: Vec<Desc>,
    make: F,
}

impl<F: Fn() -> Result<Vec<MetricFamily>, prometheus::Error> + Send + Sync> Collector for Made<F> {
    fn desc(&self) -> Vec<&Desc> {
        self.describe.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        // What cannot be made now is left out of this answer.
        (self.make)().unwrap_or_default()
    }
}

fn register(
    registry: &Registry,
    make: impl Fn() -> Result<Vec<MetricFamily>, prometheus::Error> + Send + Sync + 'static,
    names: &[(&str, &str, &[&str])],
) -> Result<(), prometheus::Error> {
    let describe = |(name, help, labels): &(&str, &str, &[&str])| {
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        Desc::new((*name).to_owned(), (*help).to_owned(), labels, Default::default())
    };
    let describe = names.iter().map(describe).collect::<Result<Vec<_>, _>>()?;
    registry.register(Box::new(Made { describe, make }))
}

const LAG_RECORDS: (&str, &str) =
    ("tokentrail_journal_lag_records", "Records of the journal that ClickHouse, or Kafka, has not acknowledged");
const LAG_SECONDS: (&str, &str) = (
    "tokentrail_journal_lag_seconds",
    "Age of the oldest record of the journal that ClickHouse, or Kafka, has not acknowledged; 0 if there is none",
);

const SYNCS: (&str, &str) = ("tokentrail_journal_syncs_total", "Syncs of the journal to disk since the start");
const SYNC_SECONDS: (&str, &str) = (
    "tokentrail_journal_sync_seconds_total",
    "Time in syncs of the journal since the start; by the number of syncs it is the mean of one",
);
const SYNC_LONGEST: (&str, &str) =
    ("tokentrail_journal_sync_longest_seconds", "The longest sync of the journal since the start");

/// How long the disk takes to make appends durable.
pub fn syncs(registry: &Registry, journal: Journal) -> Result<(), prometheus::Error> {
    let make = move || {
        let syncs = journal.status().syncs;
        let count = IntCounter::new(SYNCS.0, SYNCS.1)?;
        count.inc_by(syncs.count);
        let seconds = Counter::new(SYNC_SECONDS.0, SYNC_SECONDS.1)?;
        seconds.inc_by(syncs.total.as_secs_f64());
        let longest = Gauge::new(SYNC_LONGEST.0, SYNC_LONGEST.1)?;
        longest.set(syncs.longest.as_secs_f64());
        Ok([count.collect(), seconds.collect(), longest.collect()].concat())
    };
    register(registry, make, &[SYNCS, SYNC_SECONDS, SYNC_LONGEST].map(|(name, help)| (name, help, &[][..])))
}

/// The lag of the journal's consumer.
pub fn lag(registry: &Registry, (journal, consumer): (Journal, &'static str)) -> Result<(), prometheus::Error> {
    let make = move || {
        let (from, end) = (journal.committed(consumer), journal.durable_end());
        let records = IntGauge::new(LAG_RECORDS.0, LAG_RECORDS.1)?;
        records.set(i64::try_from(end.saturating_sub(from)).unwrap_or(i64::MAX));
        let seconds = Gauge::new(LAG_SECONDS.0, LAG_SECONDS.1)?;
        seconds.set(oldest(&journal, (from, end)).map_or(0.0, |at| (now_ms() - at).max(0) as f64 / 1000.0));
        Ok([records.collect(), seconds.collect()].concat())
    };
    register(registry, make, &[(LAG_RECORDS.0, LAG_RECORDS.1, &[]), (LAG_SECONDS.0, LAG_SECONDS.1, &[])])
}

const TOPIC_LABELS: [&str; 2] = ["source", "topic"];
const TOPIC_LAG: (&str, &str) =
    ("tokentrail_source_topic_lag_records", "Records of a topic that is a source which the group has not taken in");
const TOPIC_AGE: (&str, &str) = (
    "tokentrail_source_topic_lag_seconds",
    "How long this collector is behind in a topic that is a source, in the partition where it is longest; 0 if in none",
);
const TOPIC_UP: (&str, &str) =
    ("tokentrail_source_topic_up", "1 when the brokers answer the reader of a topic that is a source");

/// The lag of topics that are a source.
#[cfg_attr(not(feature = "kafka"), expect(dead_code))]
pub fn topics(registry: &Registry, observe: ObserveTopics) -> Result<(), prometheus::Error> {
    let make = move || {
        let family = |(name, help): (&str, &str)| IntGaugeVec::new(Opts::new(name, help), &TOPIC_LABELS);
        let (lag, age, up) = (family(TOPIC_LAG)?, family(TOPIC_AGE)?, family(TOPIC_UP)?);
        for one in observe() {
            let labels = [one.source.as_str(), one.topic.as_str()];
            lag.with_label_values(&labels).set(i64::try_from(one.lag).unwrap_or(i64::MAX));
            age.with_label_values(&labels).set(one.behind_since.map_or(0, |at| (now_ms() - at).max(0) / 1000));
            up.with_label_values(&labels).set(i64::from(one.trouble.is_none()));
        }
        Ok([lag.collect(), age.collect(), up.collect()].concat())
    };
    let names = [TOPIC_LAG, TOPIC_AGE, TOPIC_UP].map(|(name, help)| (name, help, &TOPIC_LABELS[..]));
    register(registry, make, &names)
}

/// When the first record that is not acknowledged was taken in, UTC milliseconds.
pub fn oldest(journal: &Journal, (from, end): (u64, u64)) -> Option<i64> {
    if from >= end {
        return None;
    }
    let batch = journal.read(from, ReadLimits { records: 1, bytes: 1 }).ok()?;
    Some(ReceiptHeader::from_bytes(&batch.records.first()?.header).ok()?.received_at)
}

const RECEIPTS: (&str, &str) =
    ("tokentrail_receipts", "Receipts by fate, of one instant: what came in is the sum of all fates, pending included");
const LAST: (&str, &str) =
    ("tokentrail_last_receipt_timestamp_seconds", "When the newest receipt was taken in, Unix time");

const MAYBE: (&str, &str) = (
    "tokentrail_possible_duplicates",
    "Stored receipts that may repeat others: no id, no key and no time of theirs could tell",
);

/// The fate of every receipt.
#[derive(Clone, Default)]
pub struct Counts(Arc<Mutex<Vec<InputReport>>>);

impl Counts {
    /// Registers the families; they are empty until the first count.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counts = Self::default();
        let told = counts.clone();
        let labels: [&[&str]; 2] = [&["source", "input", "fate"], &["source", "input"]];
        let names = [(RECEIPTS.0, RECEIPTS.1, labels[0]), (LAST.0, LAST.1, labels[1]), (MAYBE.0, MAYBE.1, labels[1])];
        register(registry, move || told.families(), &names)?;
        Ok(counts)
    }

    /// Counts in rounds, without end.
    pub async fn run(self, observer: Observer) {
        loop {
            // An old count would pass for a present one: where none can be taken, none is told.
            let inputs = match observer.report().await {
                Ok(report) => report.inputs,
                Err(error) => {
                    tracing::debug!(error = format!("{error:#}"), "Receipts cannot be counted now.");
                    Vec::new()
                }
            };
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = inputs;
            tokio::time::sleep(COUNTS).await;
        }
    }

    fn families(&self) -> Result<Vec<MetricFamily>, prometheus::Error> {
        let receipts = IntGaugeVec::new(Opts::new(RECEIPTS.0, RECEIPTS.1), &["source", "input", "fate"])?;
        let last = IntGaugeVec::new(Opts::new(LAST.0, LAST.1), &["source", "input"])?;
        let maybe = IntGaugeVec::new(Opts::new(MAYBE.0, MAYBE.1), &["source", "input"])?;
        for one in self.0.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let (source, input) = (one.source.as_str(), one.input.as_str());
            for (fate, count) in [
                ("stored", one.stored),
                ("duplicate", one.duplicate),
                ("ignored", one.ignored),
                ("dead", one.dead),
                ("pending", one.pending),
            ] {
                let count = i64::try_from(count).unwrap_or(i64::MAX);
                receipts.with_label_values(&[source, input, fate]).set(count);
            }
            let possible = i64::try_from(one.possible_duplicate).unwrap_or(i64::MAX);
            maybe.with_label_values(&[source, input]).set(possible);
            if let Some(at) = one.last_received_at {
                last.with_label_values(&[source, input]).set(at.div_euclid(1000));
            }
        }
        Ok([receipts.collect(), last.collect(), maybe.collect()].concat())
    }
}

const PULL: (&str, &str) = ("tokentrail_pull_state", "1 for each state that a realm is in, as doctor explains them");

/// The states of the realms that are pulled.
pub fn realms(
    registry: &Registry,
    realms: Vec<(String, watch::Receiver<RealmStatus>)>,
) -> Result<(), prometheus::Error> {
    let labels: &[&str] = &["source", "realm", "state"];
    let make = move || {
        let states = IntGaugeVec::new(Opts::new(PULL.0, PULL.1), labels)?;
        for (source, realm) in &realms {
            let status = realm.borrow();
            for state in &status.states {
                states.with_label_values(&[source.as_str(), status.realm.as_str(), state.as_str()]).set(1);
            }
        }
        Ok(states.collect())
    };
    register(registry, make, &[(PULL.0, PULL.1, labels)])
}
