//! D20 ORPHAN_OR_COLLIDING_IDENTITY: one name stands for two: a Keycloak group that lends its Backstage name, and so its role, to
//! another; a username created anew that inherits the old one's live token. Or one system alone knows somebody: the catalog still lists who is
//! gone from Keycloak, or somebody signs in whom the catalog does not have.

use super::{Judged, Need, Reach, Rule};
use crate::{
    Settings,
    facts::{Decision, Facts},
    finding::{Candidate, Confidence, Severity, bounded, values},
    orphan::Orphan,
};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

pub(super) const RULE: Rule = Rule {
    id: "D20",
    name: "ORPHAN_OR_COLLIDING_IDENTITY",
    version: 2,
    asks: "Was somebody let in by what belongs to another group or person of the same name, or does Keycloak or Backstage alone know somebody?",
    severity: "high; critical if a privileged group is among them; whom one system alone knows: medium, high if they are in a privileged group",
    guards: &[
        "groups and people are told by Keycloak id, never by name",
        "a collision that lets nobody in is none",
        "an entity is without a user only where a complete read of the catalog, begun longer than the catalog's budget after the user was gone, still lists it",
        "a user is without an entity only who signed in to that Backstage's clients longer than that budget before its catalog was read, within 30 days of it, and whose realm it has entities of; an entity of that name without an annotation counts as theirs",
    ],
    not_evaluable: &[
        "names that stand for two before anybody is let in by one",
        "entities whose annotation names somebody of whom nothing was ever heard",
    ],
    controls: &["CC6.1", "CC6.3", "A.5.16", "IA-4"],
    check: "Rename one of the two groups, or name Backstage groups by full path. A token of a deleted user: restart Backstage. Known to one system alone: `tokentrail person show ACCOUNT` names them; look at the catalog's sync, and take the entity away.",
    need: Need::Decisions,
    reach: Reach::Persons,
    judge,
};

fn judge(facts: &Facts, settings: &Settings) -> Judged {
    let mut people: BTreeMap<(String, &str, String), Vec<&Decision>> = BTreeMap::new();
    let known = |one: &&Decision| one.lets_in() && one.at <= facts.ripe && !one.person.is_empty();
    for decision in facts.decisions.iter().filter(known) {
        let how = match () {
            () if decision.verdict == "name_collision" => "group",
            () if decision.has("credential_of_another") => "user",
            () => continue,
        };
        let key = (decision.person.clone(), how, decision.permission.clone());
        people.entry(key).or_default().push(decision);
    }
    let found = people.into_iter().map(|((person, how, permission), decisions)| {
        let groups: BTreeSet<&String> = decisions.iter().flat_map(|one| &one.groups).collect();
        let times = || decisions.iter().map(|one| one.at);
        Candidate {
            rule: RULE.id,
            dedup: format!("{person}:{how}:{permission}"),
            person,
            severity: settings.raised(groups.iter().copied()),
            confidence: Confidence::Inferred,
            first: times().min().unwrap_or_default(),
            last: times().max().unwrap_or_default(),
            stands: true,
            values: values([
                ("collision_of", json!(how)),
                ("permission", json!(permission)),
                ("decisions", json!(decisions.len())),
                ("groups", json!(groups)),
            ]),
            evidence: bounded(decisions.iter().map(|one| one.event).collect()),
        }
    });
    let orphans = facts.orphans.found.iter().map(|one| orphan(one, settings));
    Judged { found: found.chain(orphans).collect(), values: Default::default() }
}

/// It concerns no person whose history decides: it is so now, or no more.
fn orphan(one: &Orphan, settings: &Settings) -> Candidate {
    let privileged = one.groups.iter().any(|group| settings.privileged.contains(group));
    Candidate {
        rule: RULE.id,
        dedup: format!("{}:{}:{}", one.backstage, one.side.as_str(), one.person),
        person: String::new(),
        severity: if privileged { Severity::High } else { Severity::Medium },
        confidence: if one.proven { Confidence::Proven } else { Confidence::Inferred },
        first: one.since,
        last: one.since,
        stands: true,
        values: values([
            ("orphan", json!(one.side.as_str())),
            ("source", json!(one.backstage)),
            ("keycloak", json!(one.keycloak)),
            ("account", json!(one.person)),
            ("groups", json!(one.groups)),
            ("told_from_ms", json!(one.evidence.first().map(|(at, _)| *at))),
        ]),
        evidence: one.evidence.iter().map(|(_, event)| *event).collect(),
    }
}
