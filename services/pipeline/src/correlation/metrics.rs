//! What the correlation counts.

use prometheus::{IntCounter, IntGauge, Registry};

/// Counters and gauges of one stage.
#[derive(Clone)]
pub struct CorrelationMetrics {
    /// Receipts that are stored and not correlated.
    pub lag: IntGauge,
    /// Events taken in.
    pub events: IntCounter,
    /// Rows written.
    pub rows: IntCounter,
    /// Times that everything was read.
    pub loads: IntCounter,
    /// Times that it went on from a checkpoint.
    pub resumes: IntCounter,
    /// Checkpoints written.
    pub checkpoints: IntCounter,
    /// Size of the last.
    pub checkpoint_bytes: IntGauge,
    /// 1 in the processor that correlates.
    pub owner: IntGauge,
    /// Blocks that are stored and not told to it.
    pub unannounced: IntGauge,
    /// Blocks that ClickHouse tells it, because the topic did not take them.
    pub aside: IntCounter,
}

impl CorrelationMetrics {
    /// Registers all of them.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            lag: IntGauge::new(
                "tokentrail_correlation_lag_receipts",
                "Receipts that are stored and not yet correlated",
            )?,
            events: IntCounter::new("tokentrail_correlated_events_total", "Events that the correlation took in")?,
            rows: IntCounter::new("tokentrail_correlation_rows_total", "Rows that the correlation wrote")?,
            loads: IntCounter::new(
                "tokentrail_correlation_loads_total",
                "Times that the correlation read everything that is stored",
            )?,
            resumes: IntCounter::new(
                "tokentrail_correlation_resumes_total",
                "Times that the correlation went on from a checkpoint",
            )?,
            checkpoints: IntCounter::new(
                "tokentrail_correlation_checkpoints_total",
                "Checkpoints that the correlation wrote",
            )?,
            checkpoint_bytes: IntGauge::new(
                "tokentrail_correlation_checkpoint_bytes",
                "Size of the correlation's last checkpoint before compression",
            )?,
            owner: IntGauge::new("tokentrail_correlation_owner", "1 in the program that correlates")?,
            unannounced: IntGauge::new(
                "tokentrail_correlation_unannounced_blocks",
                "Blocks that this processor has stored and not told to the one that correlates yet",
            )?,
            aside: IntCounter::new(
                "tokentrail_correlation_told_by_store_blocks_total",
                "Blocks of which ClickHouse tells the one that correlates, because the topic took no announcement",
            )?,
        };
        metrics.owner.set(1);
        registry.register(Box::new(metrics.lag.clone()))?;
        registry.register(Box::new(metrics.events.clone()))?;
        registry.register(Box::new(metrics.rows.clone()))?;
        registry.register(Box::new(metrics.loads.clone()))?;
        registry.register(Box::new(metrics.resumes.clone()))?;
        registry.register(Box::new(metrics.checkpoints.clone()))?;
        registry.register(Box::new(metrics.checkpoint_bytes.clone()))?;
        registry.register(Box::new(metrics.owner.clone()))?;
        registry.register(Box::new(metrics.unannounced.clone()))?;
        registry.register(Box::new(metrics.aside.clone()))?;
        Ok(metrics)
    }
}
