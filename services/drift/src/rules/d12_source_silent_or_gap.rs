//! D12 SOURCE_SILENT_OR_GAP: a source is silent, or something of it is missing. What another input healed stays a finding that ended:
//! something was lost on one way.

use super::{Judged, Need, Reach, Rule};
use crate::{
    Settings,
    facts::{Facts, Gap},
    finding::{Candidate, Confidence, Severity, seconds, values},
};
use serde_json::json;

pub(super) const RULE: Rule = Rule {
    id: "D12",
    name: "SOURCE_SILENT_OR_GAP",
    version: 2,
    asks: "Is a source silent, or is something missing of what it sent?",
    severity: "high; medium where everything came another way after all; low where a webhook lost events among its heartbeats and pull brought them",
    guards: &[
        "an outage is a cause, still a gap",
        "gaps shorter than alerts.rules.gap_least_seconds (0) are left out",
        "events that pull alone brought count once per source and hour, when the webhook's time for them is over, and not those in a gap",
    ],
    not_evaluable: &[
        "sources without heartbeats or pull: their silence proves nothing",
        "the usual traffic of the hour (no history of 28 days is kept for it)",
        "the clock of a source without heartbeats",
    ],
    controls: &["CC7.2", "A1.2", "A.8.15", "AU-5", "10.7.2"],
    check: "`tokentrail status` and `tokentrail doctor` name the input and the remedy; import what the source still has. Events that a webhook loses again and again: see Keycloak's log, and that it is subscribed to all types.",
    need: Need::Nothing,
    reach: Reach::All,
    judge,
};

/// Causes that are no outage: of these no gap is too short to be told.
const ALTERED: [&str; 5] = ["answers_differ", "chain_broken", "copies_differ", "events_missing", "store_went_back"];
/// Cause of the gap that stands for events which pull alone brought.
const DELIVERIES_LOST: &str = "deliveries_lost";

fn judge(facts: &Facts, settings: &Settings) -> Judged {
    let worth = |gap: &&Gap| match gap.cause.as_str() {
        // What came by the webhook in the end was only late.
        DELIVERIES_LOST => gap.missing != Some(0),
        cause if ALTERED.contains(&cause) => true,
        _ => gap.until.unwrap_or(facts.now) - gap.since >= settings.gap_least,
    };
    Judged { found: facts.gaps.iter().filter(worth).map(finding).collect(), values: Default::default() }
}

fn finding(gap: &Gap) -> Candidate {
    let last = gap.until.unwrap_or(gap.since).max(gap.since);
    let repaired = gap.repaired.is_some();
    let healed = gap.cause == DELIVERIES_LOST;
    let what = if healed { format!("lost by {}, repaired by pull", gap.input) } else { "gap".to_owned() };
    Candidate {
        rule: RULE.id,
        dedup: format!("{}:{}:{}:{}:{}", gap.source, gap.scope, gap.input, gap.cause, gap.since),
        person: String::new(),
        severity: match (repaired, healed) {
            (_, true) => Severity::Low,
            (true, false) => Severity::Medium,
            (false, false) => Severity::High,
        },
        confidence: Confidence::Proven,
        first: gap.since,
        last,
        stands: !repaired,
        values: values([
            ("what", json!(what)),
            ("source", json!(gap.source)),
            ("scope", json!(gap.scope)),
            ("input", json!(gap.input)),
            ("cause", json!(gap.cause)),
            ("since_ms", json!(gap.since)),
            ("until_ms", json!(gap.until)),
            ("seconds", gap.until.filter(|_| !healed).map_or(json!(null), |until| seconds(until - gap.since))),
            ("missing", json!(gap.missing)),
            ("repaired", json!(repaired)),
            ("repaired_by", json!(gap.repaired_by)),
        ]),
        evidence: Vec::new(),
    }
}
