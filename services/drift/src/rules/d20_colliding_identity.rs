//! D20 ORPHAN_OR_COLLIDING_IDENTITY: one name stands for two: a Keycloak group that lends its Backstage name, and so its role, to
//! another; a username created anew that inherits the old one's live token.

use super::{Judged, Need, Reach, Rule};
use crate::{
    Settings,
    facts::{Decision, Facts},
    finding::{Candidate, Confidence, bounded, values},
};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

pub(super) const RULE: Rule = Rule {
    id: "D20",
    name: "ORPHAN_OR_COLLIDING_IDENTITY",
    version: 1,
    asks: "Was somebody let in by what belongs to another group or person of the same name?",
    severity: "high; critical if a privileged group is among them",
    guards: &["groups and people are told by Keycloak id, never by name", "a collision that lets nobody in is none"],
    not_evaluable: &[
        "entities without a Keycloak user, and users without an entity, that decide nothing",
        "names that stand for two before anybody is let in by one",
    ],
    controls: &["CC6.1", "CC6.3", "A.5.16", "IA-4"],
    check: "Rename one of the two groups, or name Backstage groups by full path. A token of a deleted user: restart Backstage.",
    need: Need::Decisions,
    reach: Reach::Persons,
    judge,
};

fn judge(facts: &Facts, settings: &Settings) -> Judged {
    let mut people: BTreeMap<(String, &str, String), Vec<&Decision>> = BTreeMap::new();
    for decision in facts.decisions.iter().filter(|one| one.lets_in() && one.at <= facts.ripe) {
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
    Judged { found: found.collect(), values: Default::default() }
}
