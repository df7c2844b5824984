//! D13 BRUTE_FORCE_THEN_SUCCESS: many failed logins of one user, and then a good one. Works on failures alone, because without
//! Keycloak's brute-force protection there are no lockout events; a lockout counts as well.

use super::{Judged, Need, Reach, Rule};
use crate::{
    Settings,
    facts::{Act, Facts},
    finding::{Candidate, Confidence, Severity, bounded, values},
};
use serde_json::json;
use std::collections::BTreeMap;

pub(super) const RULE: Rule = Rule {
    id: "D13",
    name: "BRUTE_FORCE_THEN_SUCCESS",
    version: 2,
    asks: "Did a login succeed soon after many failures of the same user, or after a lockout?",
    severity: "high; critical if a password or second factor changed within the hour",
    guards: &[
        "failures and success are joined by the user's Keycloak id, not by address",
        "the burst must end within alerts.rules.success_within_minutes (180) of the login",
    ],
    not_evaluable: &["a new network or country (no ASN or country data)", "failures of users that do not exist"],
    controls: &["CC6.6", "A.8.5", "AC-7"],
    check: "Ask the person. If it was not they: end their sessions and reset their credentials.",
    need: Need::Keycloak,
    reach: Reach::Since { before: CHANGE_WITHIN },
    judge,
};

/// A change of credentials within this time of the login makes it worse, milliseconds.
pub const CHANGE_WITHIN: i64 = 3_600_000;

fn judge(facts: &Facts, settings: &Settings) -> Judged {
    // Who guesses, guesses at one account: those of one person are not added up.
    let mut accounts: BTreeMap<&str, Vec<&Act>> = BTreeMap::new();
    // Of others some logins may be there, and not what came before them.
    let read = |account: &String| facts.guessed.as_ref().is_none_or(|read| read.contains(account));
    let acts = facts.acts.iter().filter(|act| !act.account.is_empty() && read(&act.account));
    for act in acts.filter(|act| act.at <= facts.ripe) {
        accounts.entry(&act.account).or_default().push(act);
    }
    let found = accounts.into_values().flat_map(|acts| of_account(&acts, settings)).collect();
    Judged { found, values: Default::default() }
}

fn of_account(acts: &[&Act], settings: &Settings) -> Vec<Candidate> {
    let (mut failures, mut found): (Vec<&Act>, Vec<Candidate>) = (Vec::new(), Vec::new());
    for act in acts {
        match (act.kind.as_str(), act.outcome.as_str()) {
            ("login", "failure") | ("user_locked_temporarily" | "user_locked_permanently", _) => failures.push(act),
            ("login", "success") => {
                if let Some(burst) = burst(&failures, act, settings) {
                    let changed = acts.iter().any(|one| {
                        matches!(one.kind.as_str(), "credential_updated" | "password_reset" | "credential_removed")
                            && (act.at..=act.at + CHANGE_WITHIN).contains(&one.at)
                    });
                    found.push(finding(act, &burst, changed));
                }
                failures.clear();
            }
            _ => {}
        }
    }
    found
}

/// The failures that count before this login: enough of them close together, or a lockout.
fn burst<'a>(failures: &[&'a Act], login: &Act, settings: &Settings) -> Option<Vec<&'a Act>> {
    let near: Vec<&Act> = failures.iter().copied().filter(|one| login.at - one.at <= settings.success_within).collect();
    let locked = near.iter().any(|one| one.kind != "login");
    let dense = settings.failures > 0
        && near.windows(settings.failures).any(|some| some[some.len() - 1].at - some[0].at <= settings.failures_within);
    (locked || dense).then_some(near)
}

fn finding(login: &Act, burst: &[&Act], changed: bool) -> Candidate {
    let mode = if burst.iter().any(|one| one.kind != "login") { "lockout" } else { "failures" };
    Candidate {
        rule: RULE.id,
        dedup: login.event.to_string(),
        person: login.person.clone(),
        severity: if changed { Severity::Critical } else { Severity::High },
        confidence: Confidence::Heuristic,
        first: login.at,
        last: login.at,
        stands: true,
        values: values([
            ("failures", json!(burst.len())),
            ("mode", json!(mode)),
            ("credential_changed_within_the_hour", json!(changed)),
        ]),
        evidence: bounded(burst.iter().map(|one| one.event).chain([login.event]).collect()),
    }
}
