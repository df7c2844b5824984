//! D19 DECISION_WITHOUT_LOGIN: a permission was allowed and no login, refresh or token of that person can stand behind it.

use super::{Judged, Need, Reach, Rule};
use crate::{
    Settings,
    facts::{Decision, Facts, Product},
    finding::{Candidate, Confidence, Severity, bounded, values},
};
use serde_json::json;
use std::collections::BTreeMap;

pub(super) const RULE: Rule = Rule {
    id: "D19",
    name: "DECISION_WITHOUT_LOGIN",
    version: 1,
    asks: "Was somebody let in although no login, refresh or token of theirs can stand behind it?",
    severity: "high",
    guards: &[
        "nothing is said before the sources have been heard for the life of a token",
        "nothing is said where a gap of Keycloak or Backstage reaches into that time: the login may be lost",
        "guests, static tokens and plugins are counted apart, not hidden: they are no persons here",
    ],
    not_evaluable: &["Backstage sessions for offline access", "other identity providers than the configured Keycloak"],
    controls: &["CC6.1", "A.8.5", "IA-2"],
    check: "`tokentrail explain EVENT`; see whether another identity provider or a token from elsewhere is in use.",
    need: Need::Credentials,
    reach: Reach::Persons,
    judge,
};

const DAY: i64 = 86_400_000;

fn judge(facts: &Facts, _: &Settings) -> Judged {
    let (life, since) = (facts.token_life(), facts.credentials_since());
    let mut people: BTreeMap<(String, i64), Vec<&Decision>> = BTreeMap::new();
    let (mut callers, mut unsure) = (facts.callers, 0_u64);
    for decision in facts.decisions.iter().filter(|one| one.candidates == 0 && one.lets_in()) {
        if decision.person.is_empty() || decision.has("no_person") {
            callers += 1;
            continue;
        }
        let span = (decision.at - life, decision.at);
        if decision.at < since
            || facts.gap_within(Product::Keycloak, span)
            || facts.gap_within(Product::Backstage, span)
        {
            unsure += 1;
            continue;
        }
        if decision.at <= facts.ripe {
            let day = decision.at.div_euclid(DAY);
            people.entry((decision.person.clone(), day)).or_default().push(decision);
        }
    }
    let found = people.into_iter().map(|((person, day), decisions)| {
        let times = || decisions.iter().map(|one| one.at);
        Candidate {
            rule: RULE.id,
            dedup: format!("{person}:{day}"),
            person,
            severity: Severity::High,
            confidence: Confidence::Inferred,
            first: times().min().unwrap_or_default(),
            last: times().max().unwrap_or_default(),
            stands: true,
            values: values([("decisions", json!(decisions.len()))]),
            evidence: bounded(decisions.iter().map(|one| one.event).collect()),
        }
    });
    let found = found.collect();
    Judged {
        found,
        values: values([
            ("callers_that_are_no_person", json!(callers)),
            ("not_judged_for_want_of_coverage", json!(unsure)),
        ]),
    }
}
