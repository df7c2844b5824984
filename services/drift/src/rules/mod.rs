//! The rules: one file each. A rule is a pure function over [`Facts`]; this file holds what all have in common.

mod d01_stale_allow;
mod d02_leaver_active;
mod d03_out_of_band_change;
mod d04_baseline_drift;
mod d05_self_escalation;
mod d11_logging_impaired;
mod d12_source_silent_or_gap;
mod d13_brute_force_then_success;
mod d16_impersonation;
mod d19_decision_without_login;
mod d20_colliding_identity;

pub use d02_leaver_active::{Accounts, times_out};
pub use d03_out_of_band_change::makes_realm;
pub use d05_self_escalation::MOMENT;
pub use d13_brute_force_then_success::CHANGE_WITHIN;

use crate::{
    Settings,
    facts::{Facts, Product},
    finding::Candidate,
};
use serde::Serialize;
use serde_json::{Map, Value};
use std::fmt;

/// Whose findings an evaluation of some part of the facts speaks of: what it does not find again there is withdrawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Of the persons whose facts were read, all their history. What concerns no person is as it is now.
    Persons,
    /// Of everything that began since the facts begin. Of what is read of it so long before them is known, too (milliseconds).
    Since {
        /// Of the persons who are looked at.
        before: i64,
    },
    /// Of everything.
    All,
    /// Of what is so now: what is not found again is over, not undone.
    Now,
}

/// What a rule needs to be judged at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Decisions, correlated here.
    Decisions,
    /// The same, and that sources were heard for as long as a credential lives.
    Credentials,
    /// Events of a Keycloak.
    Keycloak,
    /// Rights, correlated here, and a baseline file.
    Baseline,
    /// Nothing but the config.
    Nothing,
}

/// One rule.
pub struct Rule {
    /// `D01` ...
    pub id: &'static str,
    /// Name in the words of the field.
    pub name: &'static str,
    /// Version of what it says; a change of logic or meaning raises it.
    pub version: u32,
    /// What it asks, in one sentence.
    pub asks: &'static str,
    /// How bad, and when.
    pub severity: &'static str,
    /// What it guards against before it speaks.
    pub guards: &'static [&'static str],
    /// Parts that cannot be judged, because no source tells them here.
    pub not_evaluable: &'static [&'static str],
    /// Controls that it supports.
    pub controls: &'static [&'static str],
    /// What to do when it fires.
    pub check: &'static str,
    /// What it needs.
    pub need: Need,
    /// Whose findings it speaks of.
    pub reach: Reach,
    /// The rule.
    pub judge: fn(&Facts, &Settings) -> Judged,
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule").field("id", &self.id).finish_non_exhaustive()
    }
}

/// What a rule says of some facts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Judged {
    /// What it found.
    pub found: Vec<Candidate>,
    /// Numbers that are no finding: exposure within the budget, what was classified instead.
    pub values: Map<String, Value>,
}

/// How a rule stands. Not evaluable is never green.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum State {
    /// Nothing open, and it could be judged.
    Ok,
    /// Findings stand.
    Exception,
    /// An input that it needs is not there.
    NotEvaluable,
    /// Switched off in config.
    Disabled,
}

impl State {
    /// For people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Exception => "EXCEPTION",
            Self::NotEvaluable => "NOT EVALUABLE",
            Self::Disabled => "DISABLED",
        }
    }
}

/// Every rule, in order of id.
pub const RULES: &[Rule] = &[
    d01_stale_allow::RULE,
    d02_leaver_active::RULE,
    d03_out_of_band_change::RULE,
    d04_baseline_drift::RULE,
    d05_self_escalation::RULE,
    d11_logging_impaired::RULE,
    d12_source_silent_or_gap::RULE,
    d13_brute_force_then_success::RULE,
    d16_impersonation::RULE,
    d19_decision_without_login::RULE,
    d20_colliding_identity::RULE,
];

/// Rules over events of Keycloak of which a part rests on answers of the correlation, and on Backstage.
const ANSWERED_IN_PART: [&str; 2] = ["D05", "D16"];

/// Rules of the catalogue that are not built, or have no input here at all. Listed, so that nobody takes them for green.
pub const NOT_BUILT: &[(&str, &str, &str)] = &[
    ("D07", "UNAPPROVED_PRIVILEGED_GRANT", "no approvals or tickets come in"),
    ("D08", "OUTSIDE_CHANGE_WINDOW", "no calendar of changes comes in"),
];

impl Rule {
    /// The rule of an id, in any case of letters.
    pub fn of(id: &str) -> Option<&'static Self> {
        RULES.iter().find(|rule| rule.id.eq_ignore_ascii_case(id) || rule.name.eq_ignore_ascii_case(id))
    }

    /// Why it cannot be judged with these facts; none if it can.
    pub fn lacks(&self, facts: &Facts) -> Option<&'static str> {
        if facts.cut && self.reads_much() {
            return Some("more decisions or events are stored than can be looked at at once");
        }
        if facts.unanswered && ANSWERED_IN_PART.contains(&self.id) {
            return Some("what it asks of the answers about single events could not be looked up");
        }
        if facts.configured.unasked && self.id == d03_out_of_band_change::RULE.id {
            return Some("more was read of clients and settings than can be looked at at once");
        }
        let has = |product| facts.sources.iter().any(|source| source.product == product && source.first.is_some());
        match self.need {
            Need::Decisions | Need::Credentials if !facts.correlated => {
                Some("decisions are not correlated in this process")
            }
            Need::Decisions | Need::Credentials if !has(Product::Backstage) => {
                Some("no Backstage has sent anything yet")
            }
            Need::Baseline if !facts.correlated => Some("rights are not correlated in this process"),
            Need::Baseline if facts.baseline.is_none() => Some(
                "no baseline file is configured (alerts.baselines), or it cannot be read: `tokentrail baseline check`",
            ),
            Need::Decisions | Need::Credentials | Need::Keycloak | Need::Baseline if !has(Product::Keycloak) => {
                Some("no Keycloak has sent anything yet")
            }
            Need::Credentials if facts.credentials_since() > facts.now => {
                Some("the sources have not been heard for the life of a token yet")
            }
            Need::Nothing if !facts.sources.iter().any(|source| source.proven) => {
                Some("no source has heartbeats or a pull: silence cannot be told from peace")
            }
            _ => None,
        }
    }

    /// Whose findings it speaks of with one about this person (empty: about none).
    pub fn reach_of(&self, person: &str) -> Reach {
        if self.reach == Reach::Persons && person.is_empty() { Reach::Now } else { self.reach }
    }

    fn reads_much(&self) -> bool {
        matches!(self.need, Need::Decisions | Need::Credentials | Need::Keycloak)
    }

    /// Whose events it rests on.
    fn products(&self) -> &'static [Product] {
        match self.need {
            Need::Decisions | Need::Credentials => &[Product::Keycloak, Product::Backstage],
            Need::Keycloak | Need::Baseline => &[Product::Keycloak],
            Need::Nothing => &[],
        }
    }

    /// Sources that it rests on and whose silence proves nothing. Where silence is what it asks about, of all.
    fn unproven<'a>(&self, facts: &'a Facts) -> Vec<&'a str> {
        match self.need {
            Need::Nothing => facts.unproven(&[Product::Keycloak, Product::Backstage]),
            _ => facts.unproven(self.products()),
        }
    }

    fn not_evaluable_parts(&self, facts: &Facts) -> Vec<String> {
        let mut parts: Vec<String> = self.not_evaluable.iter().map(|part| (*part).to_owned()).collect();
        if facts.partly && self.reads_much() {
            parts.push("what came when there was too much to look at at once".into());
        }
        let unproven = self.unproven(facts);
        if !unproven.is_empty() {
            parts.push(format!("what {} lost unseen (no heartbeats, no pull)", unproven.join(", ")));
        }
        if self.id == d03_out_of_band_change::RULE.id && !facts.configured.unread.is_empty() {
            parts.push(format!("{} of which what was read is not stored", facts.configured.unread.join(", ")));
        }
        if self.id == d20_colliding_identity::RULE.id {
            parts.extend(facts.orphans.unjudged.iter().cloned());
        }
        if ANSWERED_IN_PART.contains(&self.id) {
            if !facts.correlated {
                parts.push("what rests on answers of the correlation, which is off".into());
            }
            let silent = facts.silent(&[Product::Backstage]).into_iter();
            parts.extend(silent.map(|one| format!("what Backstage tells ({one})")));
        }
        parts
    }

    /// What of it cannot be judged with these facts: parts that have no input here, and what may be missing in gaps among them.
    pub fn not_judged(&self, facts: &Facts) -> Vec<String> {
        let mut parts = self.not_evaluable_parts(facts);
        let gaps = facts.unrepaired(self.products());
        if gaps > 0 {
            parts.push(format!("what is missing in {gaps} gaps of its sources (`tokentrail gaps`)"));
        }
        parts
    }

    /// How it stands; `open`: its findings that stand. What rests on a source that is silent now cannot be judged: nothing found is not
    /// nothing there.
    pub fn state(&self, facts: &Facts, settings: &Settings, open: usize) -> (State, String) {
        if settings.disabled.contains(self.id) {
            return (State::Disabled, "switched off in config".into());
        }
        if let Some(why) = self.lacks(facts) {
            return (State::NotEvaluable, why.into());
        }
        if open == 0 && facts.parts > 0 && self.reads_much() {
            let why = format!("there was too much to look at at once: {} parts of it wait to be judged", facts.parts);
            return (State::NotEvaluable, why);
        }
        let silent = facts.silent(self.products());
        if open == 0 && !silent.is_empty() {
            return (State::NotEvaluable, format!("what happens now may be missing: {}", silent.join(", ")));
        }
        let unproven = self.unproven(facts);
        if open == 0 && self.need == Need::Nothing && !unproven.is_empty() {
            let why = format!("silence cannot be told from peace of {} (no heartbeats, no pull)", unproven.join(", "));
            return (State::NotEvaluable, why);
        }
        let mut parts = self.not_evaluable_parts(facts);
        parts.extend(silent.iter().map(|one| format!("what happens now ({one})")));
        let detail = if parts.is_empty() { String::new() } else { format!("not judged: {}", parts.join("; ")) };
        (if open > 0 { State::Exception } else { State::Ok }, detail)
    }

    /// What it finds, if it is on and can be judged. What rests on evidence younger than `facts.ripe` waits.
    pub fn judge(&self, facts: &Facts, settings: &Settings) -> Judged {
        if settings.disabled.contains(self.id) || self.lacks(facts).is_some() {
            return Judged::default();
        }
        (self.judge)(facts, settings)
    }
}
