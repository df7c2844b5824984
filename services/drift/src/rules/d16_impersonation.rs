//! D16 IMPERSONATION: an administrator acted as somebody else; worse where a credential was changed in that session.

use super::{Judged, Need, Reach, Rule};
use crate::{
    Settings,
    facts::{Act, Facts, Product},
    finding::{Candidate, Confidence, Severity, bounded, values},
};
use serde_json::json;

pub(super) const RULE: Rule = Rule {
    id: "D16",
    name: "IMPERSONATION",
    version: 2,
    asks: "Did an administrator act as somebody else, and what was done in that session?",
    severity: "high; critical if a credential was changed in it, or the person held a right of alerts.rules.privileged",
    guards: &[
        "an attempt that failed is none",
        "a decision says what was allowed, not that it was done: a page asks for every button that it may show",
        "a decision behind which another session of the person can stand is counted and makes it no worse",
        "what lies in a gap of the sources is said to be missing (gap_overlaps)",
    ],
    not_evaluable: &[
        "the case that permits it (no ticket feed)",
        "whether the person is privileged, where alerts.rules.privileged names nothing",
        "changes in Keycloak's administration in the session: an admin event names no session",
    ],
    controls: &["CC6.3", "A.8.2", "AC-6(9)"],
    check: "Ask for the support case. `tokentrail trace SESSION` shows what was done in the session.",
    need: Need::Keycloak,
    reach: Reach::Since { before: 0 },
    judge,
};

fn judge(facts: &Facts, settings: &Settings) -> Judged {
    let acts =
        facts.acts.iter().filter(|act| act.kind == "impersonated" && act.outcome == "success" && act.at <= facts.ripe);
    Judged { found: acts.map(|act| finding(act, facts, settings)).collect(), values: Default::default() }
}

fn finding(act: &Act, facts: &Facts, settings: &Settings) -> Candidate {
    let privileged = facts.had.iter().any(|had| {
        had.person == act.person
            && settings.privileged.contains(&had.role)
            && had.from.is_none_or(|from| from <= act.at)
            && had.to.is_none_or(|to| to > act.at)
    });
    let mut one = Candidate {
        rule: RULE.id,
        dedup: act.event.to_string(),
        person: act.person.clone(),
        severity: if privileged { Severity::Critical } else { Severity::High },
        confidence: Confidence::Proven,
        first: act.at,
        last: act.at,
        stands: true,
        values: values([
            ("realm", json!(act.realm)),
            ("actor", json!(act.actor)),
            ("person_privileged", json!(privileged)),
        ]),
        evidence: vec![act.event],
    };
    // Of a session that the correlation does not know nothing is said.
    let Some(done) = facts.acted.get(&act.event) else { return one };
    if done.credentials > 0 {
        one.severity = Severity::Critical;
    }
    one.last = done.last.unwrap_or(act.at).max(act.at);
    let span = (act.at, done.ended.unwrap_or(facts.ripe));
    let gap = facts.gap_of(&act.source, span) || facts.gap_within(Product::Backstage, span);
    one.values.extend(values([
        ("let_in", json!(done.let_in)),
        ("let_in_for_sure", json!(done.sure)),
        ("allowed_to_write", json!(done.writes)),
        ("credentials_changed", json!(done.credentials)),
        ("gap_overlaps", json!(gap)),
    ]));
    one.evidence = bounded(std::iter::once(act.event).chain(done.evidence.iter().copied()).collect());
    one
}
