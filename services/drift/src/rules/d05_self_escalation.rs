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
    version: 2,
    asks: "Did somebody give themselves a group or role, or give a role to a group or role that they were in?",
    severity: "high; critical if it is privileged, or what they were in is; one less while it is inferred",
    guards: &[
        "the actor and the person are told by Keycloak id, never by name",
        "a refused attempt is none",
        "a role that they had already, by whichever path, is none",
        "who was in the group before or after, and not then, gave themselves nothing",
        "inferred where an event of that membership is missing, a gap of Keycloak lies between it and the grant, or a Backstage role is saved with all its members",
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

/// What they have from this act on, and had by no path before.
fn through(act: &Act, facts: &Facts, settings: &Settings) -> Option<Candidate> {
    let person = facts.givers.get(&act.event).unwrap_or(&act.actor);
    let mine = |had: &&Had| {
        !person.is_empty()
            && had.person == *person
            && had.source == act.source
            && had.role.eq_ignore_ascii_case(&act.right)
    };
    let before = |had: &Had| had.from.is_none_or(|from| from < act.at) && had.to.is_none_or(|to| to >= act.at);
    let had: Vec<&Had> = facts.had.iter().filter(mine).collect();
    if had.iter().any(|had| before(had)) {
        return None;
    }
    let gained = had.into_iter().filter(|had| had.from == Some(act.at) && leads(act, had));
    // What a whole list of members replaced is not said.
    let whole = act.details.get("members").is_some_and(|members| members == "complete");
    // The surest path, and of several the one that they are in for longest.
    let unsure = |had: &Had| {
        let heard = facts.sources.iter().filter(|one| one.product == Product::Keycloak).filter_map(|one| one.first);
        let since = had.joined.map_or_else(|| heard.min().unwrap_or(act.at), |(at, _)| at);
        had.rests_on_gap || whole || facts.gap_within(Product::Keycloak, (since.min(act.at), act.at))
    };
    let had = gained.min_by_key(|had| (unsure(had), had.joined, &had.through))?;
    let mut one = finding(act, person, settings.raised([&act.right, &had.through].into_iter()));
    if unsure(had) {
        one.confidence = Confidence::Inferred;
        one.severity = if one.severity == Severity::Critical { Severity::High } else { Severity::Medium };
    }
    one.values.insert("through".into(), json!(had.through));
    if let Some((at, event)) = had.joined.filter(|(_, event)| *event != act.event) {
        one.values.insert("joined_at_ms".into(), json!(at));
        one.evidence.insert(0, event);
    }
    Some(one)
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
