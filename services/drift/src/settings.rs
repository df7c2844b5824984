//! Thresholds. Defaults follow public rule sets and the measured behaviour of Keycloak and Backstage; docs/alerts.md says why.

use crate::finding::Severity;
use std::collections::BTreeSet;

/// Settings of all rules. Times in milliseconds.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Ids of rules that are switched off.
    pub disabled: BTreeSet<String>,
    /// Groups (Keycloak ids) whose change is critical.
    pub privileged: BTreeSet<String>,
    /// D02: activity this soon after the end is the clock's own delay.
    pub leaver_grace: i64,
    /// D02: budget of the token clock: activity within it is medium, beyond it critical.
    pub token_budget: i64,
    /// D13: failures before a success.
    pub failures: usize,
    /// D13: within this time.
    pub failures_within: i64,
    /// D13: and the success this soon after the last of them.
    pub success_within: i64,
    /// D12: gaps shorter than this are not worth a finding.
    pub gap_least: i64,
    /// Clocks of reader and source differ by no more than this.
    pub skew: i64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            disabled: BTreeSet::new(),
            privileged: BTreeSet::new(),
            leaver_grace: 60_000,
            token_budget: 3_600_000,
            failures: 10,
            failures_within: 1_800_000,
            success_within: 10_800_000,
            gap_least: 0,
            skew: 1_000,
        }
    }
}

impl Settings {
    /// `high`, or `critical` where a privileged group is among them.
    pub fn raised<'a>(&self, mut groups: impl Iterator<Item = &'a String>) -> Severity {
        if groups.any(|group| self.privileged.contains(group)) { Severity::Critical } else { Severity::High }
    }
}
