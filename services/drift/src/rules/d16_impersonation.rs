//! D16 IMPERSONATION: an administrator acted as somebody else.

use super::{Judged, Need, Reach, Rule};
use crate::{
    Settings,
    facts::Facts,
    finding::{Candidate, Confidence, Severity, values},
};
use serde_json::json;

pub(super) const RULE: Rule = Rule {
    id: "D16",
    name: "IMPERSONATION",
    version: 1,
    asks: "Did an administrator act as somebody else?",
    severity: "high",
    guards: &["an attempt that failed is none"],
    not_evaluable: &[
        "the case that permits it (no ticket feed)",
        "whether the target is privileged",
        "what was done in the session: writes in Backstage, a change of credentials",
    ],
    controls: &["CC6.3", "A.8.2", "AC-6(9)"],
    check: "Ask for the support case. `tokentrail trace SESSION` shows what was done in the session.",
    need: Need::Keycloak,
    reach: Reach::Since { before: 0 },
    judge,
};

fn judge(facts: &Facts, _: &Settings) -> Judged {
    let acts =
        facts.acts.iter().filter(|act| act.kind == "impersonated" && act.outcome == "success" && act.at <= facts.ripe);
    let finding = |act: &crate::facts::Act| Candidate {
        rule: RULE.id,
        dedup: act.event.to_string(),
        person: act.person.clone(),
        severity: Severity::High,
        confidence: Confidence::Proven,
        first: act.at,
        last: act.at,
        stands: true,
        values: values([("realm", json!(act.realm)), ("actor", json!(act.actor))]),
        evidence: vec![act.event],
    };
    Judged { found: acts.map(finding).collect(), values: Default::default() }
}
