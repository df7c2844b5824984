//! What the rules count.

use drift::State;
use prometheus::{IntGaugeVec, Opts, Registry};

/// A state as a label.
pub(super) struct StateLabel(pub(super) &'static str);

/// Gauges of the rules.
#[derive(Clone)]
pub struct DetectMetrics {
    states: IntGaugeVec,
    open: IntGaugeVec,
}

impl DetectMetrics {
    /// Registers all of them.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let states = Opts::new("tokentrail_rule_state", "1 for the state that a rule is in");
        let open = Opts::new("tokentrail_findings_open", "Findings that stand, closed ones left out");
        let metrics = Self {
            states: IntGaugeVec::new(states, &["rule", "state"])?,
            open: IntGaugeVec::new(open, &["rule", "severity"])?,
        };
        registry.register(Box::new(metrics.states.clone()))?;
        registry.register(Box::new(metrics.open.clone()))?;
        Ok(metrics)
    }

    /// Nothing is known any more.
    pub(super) fn reset(&self) {
        self.states.reset();
        self.open.reset();
    }

    pub(super) fn rule(&self, rule: &str, state: State) {
        self.states.with_label_values(&[rule, StateLabel::from(state).0]).set(1);
    }

    pub(super) fn findings(&self, (rule, severity): (&str, &str), open: u64) {
        self.open.with_label_values(&[rule, severity]).set(i64::try_from(open).unwrap_or(i64::MAX));
    }
}
