//! D01 STALE_ALLOW: a permission was allowed although every right that supported it had been removed, for longer than the clock may
//! take. Within the budget it is exposure: measured per clock, never an alarm.

use super::{Judged, Need, Reach, Rule};
use crate::{
    Settings,
    facts::{Decision, Facts},
    finding::{Candidate, Confidence, bounded, seconds, values},
};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

pub(super) const RULE: Rule = Rule {
    id: "D01",
    name: "STALE_ALLOW",
    version: 1,
    asks: "Was a permission allowed after the last right that supported it was removed, for longer than the clock may take?",
    severity: "high; critical if a privileged group was the support",
    guards: &[
        "another path to the same permission is no removal",
        "a decision whose time straddles the change is never a violation",
        "within the clock's budget (sources.*.sign_in.budgets) it is exposure, measured and not alerted",
        "disabled and deleted people are D02's",
    ],
    not_evaluable: &["the outcome of a conditional decision without a trace id"],
    controls: &["CC6.3", "A.5.18", "AC-2(3)"],
    check: "`tokentrail explain EVENT` shows the path that was lost and when. See why the catalog (or the claims) did not follow.",
    need: Need::Decisions,
    reach: Reach::Persons,
    judge,
};

fn judge(facts: &Facts, settings: &Settings) -> Judged {
    let mut removals: BTreeMap<(String, String, String, i64), Vec<&Decision>> = BTreeMap::new();
    let mut exposures: BTreeMap<&str, (u64, i64)> = BTreeMap::new();
    for decision in facts.decisions.iter().filter(|one| one.lets_in()) {
        let Some(delay) = decision.delay else { continue };
        if !matches!(decision.verdict.as_str(), "exposure" | "violation") {
            continue;
        }
        let exposure = exposures.entry(&decision.clock).or_default();
        *exposure = (exposure.0 + 1, exposure.1.max(delay));
        if decision.verdict == "violation" && !decision.has("disabled") && decision.at <= facts.ripe {
            let key =
                (decision.person.clone(), decision.clock.clone(), decision.permission.clone(), decision.at - delay);
            removals.entry(key).or_default().push(decision);
        }
    }
    let found = removals.into_iter().map(|((person, clock, permission, removed), decisions)| {
        let groups: BTreeSet<&String> = decisions.iter().flat_map(|one| &one.groups).collect();
        let proven = decisions.iter().any(|one| matches!(one.grade.as_str(), "exact" | "session"));
        let last = decisions.iter().map(|one| one.at).max().unwrap_or(removed);
        Candidate {
            rule: RULE.id,
            dedup: format!("{person}:{clock}:{permission}:{removed}"),
            person,
            severity: settings.raised(groups.iter().copied()),
            confidence: if proven { Confidence::Proven } else { Confidence::Inferred },
            first: removed,
            last,
            stands: true,
            values: values([
                ("clock", json!(clock)),
                ("permission", json!(permission)),
                ("removed_at_ms", json!(removed)),
                ("staleness_seconds", seconds(last - removed)),
                ("decisions", json!(decisions.len())),
                ("groups", json!(groups)),
            ]),
            evidence: bounded(decisions.iter().map(|one| one.event).collect()),
        }
    });
    Judged { found: found.collect(), values: exposure(&exposures) }
}

/// Exposure per clock: how often, and the longest.
fn exposure(clocks: &BTreeMap<&str, (u64, i64)>) -> Map<String, Value> {
    let each = clocks.iter().map(|(clock, (count, longest))| {
        (format!("exposure_{clock}"), json!({ "decisions": count, "longest_seconds": seconds(*longest) }))
    });
    each.collect()
}
