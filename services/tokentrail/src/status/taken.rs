//! What a process that stores nothing has taken in: the fates of it are told where it is stored.

use collector::metrics::Metrics;
use serde::{Deserialize, Serialize};

/// Receipts of one input of one source since the start of a collector.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakenReport {
    /// Source id.
    pub source: String,
    /// Way in.
    pub input: String,
    /// All receipts.
    pub receipts: u64,
    /// Among them those that cannot be understood.
    pub dead: u64,
}

impl TakenReport {
    /// Those inputs by which something came.
    pub fn of(metrics: &Metrics) -> Vec<Self> {
        let report = |(source, input, understood, dead): (&str, events::receipt::Input, u64, u64)| Self {
            source: source.to_owned(),
            input: input.as_str().to_owned(),
            receipts: understood + dead,
            dead,
        };
        metrics.by_input().map(report).filter(|taken| taken.receipts > 0).collect()
    }

    /// A line for people.
    pub fn render(&self) -> String {
        let dead = if self.dead > 0 { format!(", {} of them not understood", self.dead) } else { String::new() };
        format!("  {}, {}: {} receipts delivered since the start{dead}\n", self.source, self.input, self.receipts)
    }
}
