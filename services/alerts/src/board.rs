//! How each receiver stands, for `status` and the metrics.

use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// How a receiver stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiverState {
    /// What it speaks.
    pub kind: String,
    /// Messages that it has not taken yet.
    pub pending: u64,
    /// Messages that it took since the start.
    pub delivered: u64,
    /// When it last took one, UTC milliseconds.
    pub last_delivered: Option<i64>,
    /// Since when it takes none, UTC milliseconds; none: it does.
    pub failing_since: Option<i64>,
    /// Why.
    pub trouble: String,
    /// Findings that stand and that it does not take.
    #[serde(default)]
    pub left_out: u64,
    /// What it answered to the last message that it refused.
    #[serde(default)]
    pub refusal: String,
}

/// A cheap handle: deliverers write, status and metrics read.
#[derive(Clone)]
pub struct Board {
    states: Arc<Mutex<BTreeMap<String, ReceiverState>>>,
    pending: IntGaugeVec,
    failing: IntGaugeVec,
    delivered: IntCounterVec,
    failures: IntCounterVec,
    left_out: IntGaugeVec,
    refused: IntCounterVec,
}

impl Board {
    /// Registers the metrics.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauge = |name: &str, help: &str| IntGaugeVec::new(Opts::new(name, help), &["receiver"]);
        let counter = |name: &str, help: &str| IntCounterVec::new(Opts::new(name, help), &["receiver"]);
        let board = Self {
            states: Arc::default(),
            pending: gauge("tokentrail_alert_messages_pending", "Messages that a receiver has not taken yet")?,
            failing: gauge("tokentrail_alert_receiver_failing", "1 while a receiver takes no messages")?,
            delivered: counter("tokentrail_alert_messages_delivered_total", "Messages that a receiver took")?,
            failures: counter("tokentrail_alert_attempts_failed_total", "Attempts that a receiver did not take")?,
            left_out: gauge(
                "tokentrail_alert_findings_left_out",
                "Findings that stand and that a receiver refuses by themselves",
            )?,
            refused: counter(
                "tokentrail_alert_messages_refused_total",
                "Messages that a receiver refused for what they say",
            )?,
        };
        registry.register(Box::new(board.pending.clone()))?;
        registry.register(Box::new(board.failing.clone()))?;
        registry.register(Box::new(board.delivered.clone()))?;
        registry.register(Box::new(board.failures.clone()))?;
        registry.register(Box::new(board.left_out.clone()))?;
        registry.register(Box::new(board.refused.clone()))?;
        Ok(board)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, ReceiverState>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All of them.
    pub fn states(&self) -> BTreeMap<String, ReceiverState> {
        self.lock().clone()
    }

    pub(crate) fn pending(&self, (name, kind): (&str, &str), pending: usize) {
        let pending = pending as u64;
        let mut states = self.lock();
        let state = states.entry(name.to_owned()).or_default();
        (state.pending, state.kind) = (pending, kind.to_owned());
        self.pending.with_label_values(&[name]).set(i64::try_from(pending).unwrap_or(i64::MAX));
    }

    /// It took one message.
    pub(crate) fn took(&self, name: &str, now: i64) {
        self.took_part(name, now);
        self.works(name);
    }

    /// It took a part of what it is told at once.
    pub(crate) fn took_part(&self, name: &str, now: i64) {
        let mut states = self.lock();
        let state = states.entry(name.to_owned()).or_default();
        state.delivered += 1;
        state.last_delivered = Some(now);
        self.delivered.with_label_values(&[name]).inc();
    }

    /// It takes what it is told.
    pub(crate) fn works(&self, name: &str) {
        let mut states = self.lock();
        let state = states.entry(name.to_owned()).or_default();
        state.failing_since = None;
        state.trouble.clear();
        self.failing.with_label_values(&[name]).set(0);
    }

    /// It answers, and does not take what one message says.
    pub(crate) fn refused(&self, name: &str, why: &str) {
        let mut states = self.lock();
        let state = states.entry(name.to_owned()).or_default();
        state.failing_since = None;
        state.trouble.clear();
        why.clone_into(&mut state.refusal);
        self.failing.with_label_values(&[name]).set(0);
        self.refused.with_label_values(&[name]).inc();
    }

    pub(crate) fn left_out(&self, name: &str, findings: usize) {
        let findings = findings as u64;
        let mut states = self.lock();
        let state = states.entry(name.to_owned()).or_default();
        state.left_out = findings;
        if findings == 0 {
            state.refusal.clear();
        }
        self.left_out.with_label_values(&[name]).set(i64::try_from(findings).unwrap_or(i64::MAX));
    }

    /// True if it is the first failure after a success.
    pub(crate) fn failed(&self, name: &str, (now, why): (i64, &str)) -> bool {
        let mut states = self.lock();
        let state = states.entry(name.to_owned()).or_default();
        let first = state.failing_since.is_none();
        state.failing_since.get_or_insert(now);
        why.clone_into(&mut state.trouble);
        self.failing.with_label_values(&[name]).set(1);
        self.failures.with_label_values(&[name]).inc();
        first
    }
}
