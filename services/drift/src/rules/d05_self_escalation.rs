//! D05 SELF_ESCALATION: somebody gave themselves a group or role.

use super::{Judged, Need, Reach, Rule};
use crate::{
    Settings,
    facts::Facts,
    finding::{Candidate, Confidence, values},
};
use serde_json::json;

pub(super) const RULE: Rule = Rule {
    id: "D05",
    name: "SELF_ESCALATION",
    version: 1,
    asks: "Did somebody give themselves a group or role?",
    severity: "high; critical if it is privileged",
    guards: &["the actor and the person are told by Keycloak id, never by name", "a refused attempt is none"],
    not_evaluable: &[
        "a case or ticket that permits it (none comes in)",
        "a right that they give to a group or role that they hold themselves",
        "roles of Backstage's own that somebody gives themselves there",
    ],
    controls: &["CC6.3", "A.5.3", "AC-5", "AC-6"],
    check: "Ask for the case. If there is none: take the right away and see what it was used for: `tokentrail decisions --person`.",
    need: Need::Keycloak,
    reach: Reach::Since { before: 0 },
    judge,
};

fn judge(facts: &Facts, settings: &Settings) -> Judged {
    let own = facts.acts.iter().filter(|act| {
        matches!(act.kind.as_str(), "group_member_added" | "role_granted")
            && act.outcome != "failure"
            && !act.person.is_empty()
            && act.person == act.actor
            && act.at <= facts.ripe
    });
    let finding = |act: &crate::facts::Act| Candidate {
        rule: RULE.id,
        dedup: act.event.to_string(),
        person: act.person.clone(),
        severity: settings.raised(std::iter::once(&act.right)),
        confidence: Confidence::Proven,
        first: act.at,
        last: act.at,
        stands: true,
        values: values([
            ("right_kind", json!(act.right_kind)),
            ("right", json!(act.right)),
            ("realm", json!(act.realm)),
        ]),
        evidence: vec![act.event],
    };
    Judged { found: own.map(finding).collect(), values: Default::default() }
}
