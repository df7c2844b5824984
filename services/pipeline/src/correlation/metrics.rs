//! What the correlation counts.

use prometheus::{IntCounter, IntGauge, IntGaugeVec, Opts, Registry};

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
    /// Bytes of what is known.
    pub memory: IntGauge,
    /// How many they may be.
    pub budget: IntGauge,
    /// Before when what was over is forgotten, UTC seconds; 0: nothing is.
    pub floor: IntGauge,
    /// Times that something was forgotten.
    pub forgets: IntCounter,
    /// Times that everything was read because of something older than that.
    pub old_loads: IntCounter,
    /// Events that it dies of and leaves out.
    pub set_aside: IntGauge,
    /// By source: how long after it happened the latest was received of what came too late for what is kept, seconds; 0: nothing does.
    pub late: IntGaugeVec,
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
            memory: IntGauge::new(
                "tokentrail_correlation_memory_bytes",
                "Memory of what the correlation knows and has said, about",
            )?,
            budget: IntGauge::new(
                "tokentrail_correlation_memory_budget_bytes",
                "Memory above which the correlation forgets what is over (correlation.memory_mib)",
            )?,
            floor: IntGauge::new(
                "tokentrail_correlation_floor_timestamp_seconds",
                "What was over before this instant is forgotten and stands as it was said; 0: nothing is",
            )?,
            forgets: IntCounter::new(
                "tokentrail_correlation_forgets_total",
                "Times that the correlation forgot what was over, because its memory was full",
            )?,
            old_loads: IntCounter::new(
                "tokentrail_correlation_old_loads_total",
                "Times that the correlation read everything because something came that was older than what it had kept",
            )?,
            set_aside: IntGauge::new(
                "tokentrail_correlation_set_aside_events",
                "Events that the correlation leaves out because it dies of them",
            )?,
            late: IntGaugeVec::new(
                Opts::new(
                    "tokentrail_correlation_source_late_seconds",
                    "How long after they happened events of a source come that are too old for what the correlation keeps; 0: none are",
                ),
                &["source"],
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
        registry.register(Box::new(metrics.memory.clone()))?;
        registry.register(Box::new(metrics.budget.clone()))?;
        registry.register(Box::new(metrics.floor.clone()))?;
        registry.register(Box::new(metrics.forgets.clone()))?;
        registry.register(Box::new(metrics.old_loads.clone()))?;
        registry.register(Box::new(metrics.set_aside.clone()))?;
        registry.register(Box::new(metrics.late.clone()))?;
        Ok(metrics)
    }
}
