//! D03 OUT_OF_BAND_CHANGE: state that was read contradicts what events said: something changed and no event tells it.

use super::{Judged, Need, Reach, Rule};
use crate::{
    Settings,
    facts::{Facts, Missing, Product},
    finding::{Candidate, Confidence, Severity, values},
};
use serde_json::json;

pub(super) const RULE: Rule = Rule {
    id: "D03",
    name: "OUT_OF_BAND_CHANGE",
    version: 1,
    asks: "Did a membership or role change without an event that tells it?",
    severity: "high; critical if the right is privileged; medium where a gap of the source explains it",
    guards: &[
        "a read that began within the skew of an event says nothing",
        "what a gap of the source overlaps is marked so: the event may be lost, not missing",
    ],
    not_evaluable: &[
        "who changed it",
        "LDAP sync and realm import leave no mark that tells them apart",
        "clients, flows and realms: what was read of them is not held against events",
    ],
    controls: &["CC6.3", "CC7.1", "CM-3"],
    check: "`tokentrail gaps` lists it with likely causes. Compare with Keycloak's own admin events and the LDAP log.",
    need: Need::Keycloak,
    reach: Reach::All,
    judge,
};

fn judge(facts: &Facts, settings: &Settings) -> Judged {
    let ripe = facts.missing.iter().filter(|one| one.before <= facts.ripe);
    Judged { found: ripe.map(|one| finding(facts, settings, one)).collect(), values: Default::default() }
}

fn finding(facts: &Facts, settings: &Settings, missing: &Missing) -> Candidate {
    let in_gap = facts.gap_within(Product::Keycloak, (missing.after, missing.before));
    let severity = match in_gap {
        true => Severity::Medium,
        false => settings.raised(std::iter::once(&missing.right)),
    };
    Candidate {
        rule: RULE.id,
        dedup: format!("{}:{}:{}:{}", missing.person, missing.right_kind, missing.right, missing.after),
        person: missing.person.clone(),
        severity,
        confidence: if in_gap { Confidence::Inferred } else { Confidence::Proven },
        first: missing.after,
        last: missing.before,
        stands: true,
        values: values([
            ("right_kind", json!(missing.right_kind)),
            ("right", json!(missing.right)),
            ("what", json!(missing.what)),
            ("gap_overlaps", json!(in_gap)),
        ]),
        evidence: missing.evidence.iter().copied().filter(|event| !event.is_nil()).collect(),
    }
}
