//! D05 SELF_ESCALATION: somebody gave themselves a group or role: directly, or by giving a role to what they are in.

use super::{Judged, Need, Reach, Rule};
use crate::{
    Settings,
    facts::{Act, Facts, Had, Product},
    finding::{Candidate, Confidence, Severity, values},
};
use serde_json::json;

pub(super) const RULE: Rule = Rule {
    id: "D05",
    name: "SELF_ESCALATION",
    version: 3,
    asks: "Did somebody give themselves a group or role, or give a role to a group or role that they were in?",
    severity: "high; critical if it is privileged, or what they were in is; one less while it is inferred",
    guards: &[
        "the actor and the person are told by Keycloak id, never by name",
        "a refused attempt is none",
        "a role that they had already, by whichever path, is none",
        "of what they had by the same path until less than a minute before it says so (held_until_ms), and is no less severe: whoever took it away may have meant it",
        "who was in the group before or after, and not then, gave themselves nothing",
        "inferred where an event of that membership is missing, a gap of that Keycloak (of a Backstage role: of any, or of the Backstage) lies between it and the grant, or a Backstage role is saved with all its members",
    ],
    not_evaluable: &[
        "a case or ticket that permits it (none comes in)",
        "groups that are moved below one that carries roles, and policies that are added to a role that they have",
        "who is in a group that only Backstage's catalog knows, or is tied to Keycloak by name alone",
    ],
    controls: &["CC6.3", "A.5.3", "AC-5", "AC-6"],
    check: "Ask for the case. If there is none: take the right away and see what it was used for: `tokentrail decisions --person`.",
    need: Need::Keycloak,
    reach: Reach::Since { before: 0 },
    judge,
};

/// Of what was taken away no longer ago than this, milliseconds, it is said that it was held before: tools replace what is given by taking
/// and giving.
pub const MOMENT: i64 = 60_000;

fn judge(facts: &Facts, settings: &Settings) -> Judged {
    let acts = facts.acts.iter().filter(|act| act.outcome != "failure" && act.at <= facts.ripe);
    let found = acts.filter_map(|act| match act.kind.as_str() {
        "group_member_added" | "role_granted" if !act.person.is_empty() => themselves(act, settings),
        "role_granted" | "composite_added" | "backstage_role_member_added" => through(act, facts, settings),
        _ => None,
    });
    Judged { found: found.collect(), values: Default::default() }
}

fn themselves(act: &Act, settings: &Settings) -> Option<Candidate> {
    (act.person == act.actor).then(|| finding(act, &act.person, settings.raised(std::iter::once(&act.right))))
}

/// True if this is what the person had of what the act gives.
fn is_about(had: &Had, act: &Act, person: &str) -> bool {
    !person.is_empty() && had.person == person && had.source == act.source && had.role.eq_ignore_ascii_case(&act.right)
}

/// Until when they had it, if that was a moment before the act and is sure.
fn just_until(had: &Had, act: &Act) -> Option<i64> {
    let just = |to: &i64| (act.at.saturating_sub(MOMENT)..=act.at).contains(to);
    had.to.filter(just).filter(|_| !had.rests_on_gap && had.from != Some(act.at))
}

/// What they have from this act on, and had by no path before.
fn through(act: &Act, facts: &Facts, settings: &Settings) -> Option<Candidate> {
    let person = facts.givers.get(&act.event).unwrap_or(&act.actor);
    let before = |had: &Had| had.from.is_none_or(|from| from < act.at) && had.to.is_none_or(|to| to >= act.at);
    let had: Vec<&Had> = facts.had.iter().filter(|had| is_about(had, act, person)).collect();
    if had.iter().any(|had| before(had)) {
        return None;
    }
    let gained = had.iter().copied().filter(|had| had.from == Some(act.at) && leads(act, had));
    // What a whole list of members replaced is not said.
    let whole = act.details.get("members").is_some_and(|members| members == "complete");
    // The surest path, and of several the one that they are in for longest.
    let unsure = |had: &Had| had.rests_on_gap || whole || in_gap(had, act, facts);
    let by = gained.min_by_key(|had| (unsure(had), had.joined, &had.through))?;
    let mut one = finding(act, person, settings.raised([&act.right, &by.through].into_iter()));
    let back = had.iter().filter(|had| had.path == by.path).filter_map(|had| just_until(had, act)).max();
    if unsure(by) {
        one.confidence = Confidence::Inferred;
        one.severity = if one.severity == Severity::Critical { Severity::High } else { Severity::Medium };
    }
    one.values.extend(back.map(|until| ("held_until_ms".to_owned(), json!(until))));
    one.values.insert("through".into(), json!(by.through));
    if let Some((at, event)) = by.joined.filter(|(_, event)| *event != act.event) {
        one.values.insert("joined_at_ms".into(), json!(at));
        one.evidence.insert(0, event);
    }
    Some(one)
}

/// True if something of the membership, or of what they had before, may be lost. Of a Backstage role nothing says in which Keycloak it began.
fn in_gap(had: &Had, act: &Act, facts: &Facts) -> bool {
    let any = facts.is_of(&act.source, Product::Backstage);
    let keycloaks = facts.sources.iter().filter(|one| one.product == Product::Keycloak);
    let heard = keycloaks.filter(|one| any || one.id == act.source).filter_map(|one| one.first).min();
    let since = had.joined.map_or_else(|| heard.unwrap_or(act.at), |(at, _)| at);
    let span = (since.min(act.at), act.at);
    facts.gap_of(&act.source, span) || (any && facts.gap_within(Product::Keycloak, span))
}

/// A Backstage role that is saved tells each of its members by an event of its own: that of the one who was given it, or of what they are in.
fn leads(act: &Act, had: &Had) -> bool {
    match act.kind.as_str() {
        "backstage_role_member_added" if act.person.is_empty() => {
            had.path.iter().any(|step| step.eq_ignore_ascii_case(&act.holder))
        }
        "backstage_role_member_added" => act.person == act.actor && had.path.is_empty(),
        _ => true,
    }
}

fn finding(act: &Act, person: &str, severity: Severity) -> Candidate {
    Candidate {
        rule: RULE.id,
        dedup: act.event.to_string(),
        person: person.to_owned(),
        severity,
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
    }
}
