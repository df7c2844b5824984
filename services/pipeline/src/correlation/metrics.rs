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
        };
        registry.register(Box::new(metrics.lag.clone()))?;
        registry.register(Box::new(metrics.events.clone()))?;
        registry.register(Box::new(metrics.rows.clone()))?;
        registry.register(Box::new(metrics.loads.clone()))?;
        Ok(metrics)
    }
}
