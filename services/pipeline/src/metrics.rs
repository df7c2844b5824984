//! What the pipeline counts. Labels are enums or names from config, never input.

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// Counters and gauges of one pipeline.
#[derive(Clone)]
pub struct Metrics {
    /// Receipts by fate as normalised (`event`, `ignored`, `dead`).
    pub receipts: IntCounterVec,
    /// Events written.
    pub events: IntCounter,
    /// Time of one block from read to acknowledged by ClickHouse, seconds.
    pub insert: Histogram,
    /// Inserts that failed and are tried again.
    pub retries: IntCounter,
    /// 1 when the last insert was acknowledged, else 0.
    pub store_up: IntGauge,
    /// Records that were carried and did not come out, by cause (`durable_log::carrier::Cause`).
    pub lost: IntCounterVec,
}

impl Metrics {
    /// Registers all of them.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            receipts: IntCounterVec::new(
                Opts::new("tokentrail_normalised_receipts_total", "Receipts by fate as normalised"),
                &["fate"],
            )?,
            events: IntCounter::new("tokentrail_stored_events_total", "Events written to ClickHouse")?,
            insert: Histogram::with_opts(HistogramOpts::new(
                "tokentrail_insert_seconds",
                "One block, from normalised to acknowledged",
            ))?,
            retries: IntCounter::new("tokentrail_insert_retries_total", "Inserts that failed and were tried again")?,
            store_up: IntGauge::new("tokentrail_store_up", "1 when the last insert was acknowledged")?,
            lost: IntCounterVec::new(
                Opts::new("tokentrail_lost_records_total", "Records that were carried and did not come out, by cause"),
                &["cause"],
            )?,
        };
        // The first dead letter is an increase, too.
        ["event", "ignored", "dead"].iter().for_each(|fate| metrics.receipts.with_label_values(&[fate]).inc_by(0));
        registry.register(Box::new(metrics.receipts.clone()))?;
        registry.register(Box::new(metrics.events.clone()))?;
        registry.register(Box::new(metrics.insert.clone()))?;
        registry.register(Box::new(metrics.retries.clone()))?;
        registry.register(Box::new(metrics.store_up.clone()))?;
        registry.register(Box::new(metrics.lost.clone()))?;
        Ok(metrics)
    }
}
