//! D12 SOURCE_SILENT_OR_GAP: a source is silent, or something of it is missing. A gap that another input healed stays a finding that
//! ended: something was lost on one way.

use super::{Judged, Need, Reach, Rule};
use crate::{
    Settings,
    facts::Facts,
    finding::{Candidate, Confidence, Severity, seconds, values},
};
use serde_json::json;

pub(super) const RULE: Rule = Rule {
    id: "D12",
    name: "SOURCE_SILENT_OR_GAP",
    version: 1,
    asks: "Is a source silent, or is something missing of what it sent?",
    severity: "high; medium where everything came another way after all",
    guards: &["an outage is a cause, still a gap", "gaps shorter than alerts.rules.gap_least_seconds (0) are left out"],
    not_evaluable: &[
        "sources without heartbeats or pull: their silence proves nothing",
        "the usual traffic of the hour (no history of 28 days is kept for it)",
        "the offset of a source's clock",
    ],
    controls: &["CC7.2", "A1.2", "A.8.15", "AU-5", "10.7.2"],
    check: "`tokentrail status` and `tokentrail doctor` name the input and the remedy; import what the source still has.",
    need: Need::Nothing,
    reach: Reach::All,
    judge,
};

fn judge(facts: &Facts, settings: &Settings) -> Judged {
    let worth = |gap: &&crate::facts::Gap| gap.until.unwrap_or(facts.now) - gap.since >= settings.gap_least;
    let finding = |gap: &crate::facts::Gap| {
        let last = gap.until.unwrap_or(gap.since).max(gap.since);
        let repaired = gap.repaired.is_some();
        Candidate {
            rule: RULE.id,
            dedup: format!("{}:{}:{}:{}:{}", gap.source, gap.scope, gap.input, gap.cause, gap.since),
            person: String::new(),
            severity: if repaired { Severity::Medium } else { Severity::High },
            confidence: Confidence::Proven,
            first: gap.since,
            last,
            stands: !repaired,
            values: values([
                ("source", json!(gap.source)),
                ("scope", json!(gap.scope)),
                ("input", json!(gap.input)),
                ("cause", json!(gap.cause)),
                ("since_ms", json!(gap.since)),
                ("until_ms", json!(gap.until)),
                ("seconds", gap.until.map_or(json!(null), |until| seconds(until - gap.since))),
                ("missing", json!(gap.missing)),
                ("repaired", json!(repaired)),
            ]),
            evidence: Vec::new(),
        }
    };
    Judged { found: facts.gaps.iter().filter(worth).map(finding).collect(), values: Default::default() }
}
