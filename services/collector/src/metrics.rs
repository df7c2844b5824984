//! Counters of the intake. Labels come from config and enums only, never from input.

use crate::verify::KnownSource;
use events::{
    lines::{LineCounts, LineKind},
    receipt::Input,
};
use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry, register_histogram_with_registry,
    register_int_counter_vec_with_registry, register_int_counter_with_registry, register_int_gauge_with_registry,
};
use std::time::Duration;

/// Upper bounds of the append histogram, seconds.
const APPEND_BUCKETS: [f64; 12] = [0.000_25, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0];

/// Why a request was refused, as a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the answer of its name")]
pub enum Reason {
    Unauthorized,
    NotFound,
    Method,
    TooLarge,
    MediaType,
    Encoding,
    Timeout,
    Busy,
    Full,
    Stopped,
    Unprocessable,
}

impl Reason {
    const ALL: [Self; 11] = [
        Self::Unauthorized,
        Self::NotFound,
        Self::Method,
        Self::TooLarge,
        Self::MediaType,
        Self::Encoding,
        Self::Timeout,
        Self::Busy,
        Self::Full,
        Self::Stopped,
        Self::Unprocessable,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Unauthorized => "unauthorized",
            Self::NotFound => "not_found",
            Self::Method => "method",
            Self::TooLarge => "too_large",
            Self::MediaType => "media_type",
            Self::Encoding => "encoding",
            Self::Timeout => "timeout",
            Self::Busy => "busy",
            Self::Full => "journal_full",
            Self::Stopped => "journal_stopped",
            Self::Unprocessable => "unprocessable",
        }
    }
}

/// All counters, ready made, so that a request only adds.
pub struct Metrics {
    sources: Vec<Vec<PerInput>>,
    ids: Vec<String>,
    other_lines: Vec<Vec<IntCounter>>,
    rejected: Vec<IntCounter>,
    append_seconds: Histogram,
    pub(crate) connections: IntGauge,
    pub(crate) connections_refused: IntCounter,
}

struct PerInput {
    understood: IntCounter,
    dead: IntCounter,
    bytes: IntCounter,
}

impl Metrics {
    /// Registers the counters for these sources.
    pub fn new<'a>(
        registry: &Registry,
        sources: impl Iterator<Item = &'a std::sync::Arc<KnownSource>>,
    ) -> Result<Self, prometheus::Error> {
        let receipts =
            Opts::new("tokentrail_intake_receipts_total", "Receipts taken in, by what was understood of them.");
        let receipts = register_int_counter_vec_with_registry!(receipts, &["source", "input", "result"], registry)?;
        let bytes = Opts::new("tokentrail_intake_bytes_total", "Bytes of proven requests as they came.");
        let bytes = register_int_counter_vec_with_registry!(bytes, &["source", "input"], registry)?;
        let other = "Lines taken in since the start that are no receipts, by what they were; repeats count again.";
        let other = Opts::new("tokentrail_intake_other_lines_total", other);
        let other = register_int_counter_vec_with_registry!(other, &["source", "kind"], registry)?;
        let rejected = Opts::new("tokentrail_intake_rejected_total", "Requests that were not answered 2xx.");
        let rejected = register_int_counter_vec_with_registry!(rejected, &["reason"], registry)?;
        let append = HistogramOpts::new("tokentrail_intake_append_seconds", "Time until an append was durable.");
        let append = append.buckets(APPEND_BUCKETS.to_vec());
        let mut places: Vec<(usize, &str)> = sources.map(|source| (source.place, source.id.as_str())).collect();
        places.sort_unstable();
        let kinds = |id: &str| LineKind::ALL.iter().map(|kind| other.with_label_values(&[id, kind.as_str()])).collect();
        let made = Self {
            sources: places.iter().map(|(_, id)| per_source(id, &receipts, &bytes)).collect(),
            ids: places.iter().map(|(_, id)| (*id).to_owned()).collect(),
            other_lines: places.iter().map(|(_, id)| kinds(id)).collect(),
            rejected: Reason::ALL.iter().map(|reason| rejected.with_label_values(&[reason.as_str()])).collect(),
            append_seconds: register_histogram_with_registry!(append, registry)?,
            connections: register_int_gauge_with_registry!(
                "tokentrail_intake_connections",
                "Open connections.",
                registry
            )?,
            connections_refused: register_int_counter_with_registry!(
                "tokentrail_intake_connections_refused_total",
                "Connections closed because too many were open.",
                registry
            )?,
        };
        Ok(made)
    }

    /// Receipts taken in since the start: source, input, how many were understood, how many were not.
    pub fn by_input(&self) -> impl Iterator<Item = (&str, Input, u64, u64)> {
        self.ids.iter().zip(&self.sources).flat_map(|(id, inputs)| {
            let counts = inputs.iter().map(|per| (per.understood.get(), per.dead.get()));
            Input::ALL.iter().zip(counts).map(move |(input, (good, dead))| (id.as_str(), *input, good, dead))
        })
    }

    pub(crate) fn taken(&self, source: &KnownSource, input: Input, counts: (u64, u64, u64)) {
        let place = Input::ALL.iter().position(|known| *known == input);
        let Some(per) = self.sources.get(source.place).zip(place).and_then(|(inputs, place)| inputs.get(place)) else {
            return;
        };
        per.understood.inc_by(counts.0);
        per.dead.inc_by(counts.1);
        per.bytes.inc_by(counts.2);
    }

    pub(crate) fn other_lines(&self, source: &KnownSource, counts: &LineCounts) {
        if counts.0.is_empty() {
            return;
        }
        let Some(counters) = self.other_lines.get(source.place) else { return };
        for (counter, kind) in counters.iter().zip(LineKind::ALL) {
            counter.inc_by(counts.0.get(kind).copied().unwrap_or_default());
        }
    }

    pub(crate) fn rejected(&self, reason: Reason) {
        if let Some(counter) = self.rejected.get(reason as usize) {
            counter.inc();
        }
    }

    pub(crate) fn appended(&self, time: Duration) {
        self.append_seconds.observe(time.as_secs_f64());
    }
}

fn per_source(id: &str, receipts: &IntCounterVec, bytes: &IntCounterVec) -> Vec<PerInput> {
    let one = |input: &Input| PerInput {
        understood: receipts.with_label_values(&[id, input.as_str(), "understood"]),
        dead: receipts.with_label_values(&[id, input.as_str(), "dead"]),
        bytes: bytes.with_label_values(&[id, input.as_str()]),
    };
    Input::ALL.iter().map(one).collect()
}
