//! D02 LEAVER_ACTIVE: a disabled or deleted person goes on: decisions let them in, or tokens are issued to them.

use super::{Judged, Need, Reach, Rule};
use crate::{
    Settings,
    facts::{Act, Decision, Facts},
    finding::{Candidate, Confidence, Severity, bounded, seconds, values},
};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

pub(super) const RULE: Rule = Rule {
    id: "D02",
    name: "LEAVER_ACTIVE",
    version: 3,
    asks: "Did a disabled or deleted person go on: was a decision in their favour, or a token issued to them?",
    severity: "medium within the life of a token; critical beyond it, and for a login or refresh after the end",
    guards: &[
        "the first alerts.rules.leaver_grace_seconds (60) after the end: catalog sync and the difference of two clocks",
        "only until the person is enabled again",
        "a user created anew under the same name is another person",
        "what a read of Keycloak says within ten minutes of an event changes nothing: it may be older",
    ],
    not_evaluable: &[
        "the end of employment (no HR feed): only what Keycloak was told, or a read of it found, counts",
        "sessions that live on without a sign of life",
    ],
    controls: &["CC6.2", "CC6.3", "A.5.18", "AC-2(3)", "PS-4"],
    check: "Their Backstage token lives on: restart of Backstage or removal from its catalog ends it at once. See what they did: `tokentrail trace PERSON`.",
    need: Need::Keycloak,
    reach: Reach::Persons,
    judge,
};

/// What a read says may be so much older than its time, milliseconds.
const READ_AGE: i64 = 600_000;

/// One time out: from the end to the next beginning.
#[derive(Default)]
struct Out<'a> {
    /// Whose account it is.
    person: &'a str,
    since: i64,
    told: Option<(Uuid, &'static str)>,
    until: Option<i64>,
    decisions: Vec<&'a Decision>,
    tokens: Vec<&'a Act>,
}

fn judge(facts: &Facts, settings: &Settings) -> Judged {
    let mut outs: BTreeMap<(&str, i64), Out<'_>> = BTreeMap::new();
    let mut accounts: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut before: BTreeMap<&str, Before> = BTreeMap::new();
    for act in &facts.acts {
        // One of a person's accounts can be closed while another goes on.
        let account = act.account.as_str();
        if account.is_empty() {
            continue;
        }
        match before.entry(account).or_default().turned(act) {
            Some(Turn::Out(how)) => {
                let out = outs.entry((account, act.at)).or_default();
                (out.person, out.since, out.until) = (act.person.as_str(), act.at, None);
                out.told = Some((act.event, how));
                accounts.entry(out.person).or_default().insert(account);
            }
            Some(Turn::In) => {
                if let Some(out) = latest(&mut outs, account, act.at) {
                    out.until = Some(act.at);
                }
            }
            None if is_activity(act) && act.at <= facts.ripe => {
                if let Some(out) = latest(&mut outs, account, act.at).filter(|out| out.until.is_none()) {
                    out.tokens.push(act);
                }
            }
            None => {}
        }
    }
    for decision in facts.decisions.iter().filter(|one| one.lets_in() && one.has("disabled") && one.at <= facts.ripe) {
        // It names the person, and says of the account that it is about that this is disabled.
        let out_then = accounts.get(decision.person.as_str()).into_iter().flatten().filter_map(|account| {
            let ((account, since), out) = outs.range((*account, i64::MIN)..=(*account, decision.at)).next_back()?;
            out.until.is_none_or(|until| decision.at < until).then_some((*since, *account))
        });
        if let Some((since, account)) = out_then.max()
            && let Some(out) = outs.get_mut(&(account, since))
        {
            out.decisions.push(decision);
        }
    }
    let found = outs.into_iter().filter_map(|((account, since), out)| finding(account, since, &out, settings));
    Judged { found: found.collect(), values: Default::default() }
}

/// When accounts were out: account, from, and until they were let in again, if they were. Acts in order of time.
pub fn times_out<'a>(acts: impl Iterator<Item = &'a Act>) -> Vec<(String, i64, Option<i64>)> {
    let mut out: BTreeMap<&str, Vec<(i64, Option<i64>)>> = BTreeMap::new();
    let mut before: BTreeMap<&str, Before> = BTreeMap::new();
    for act in acts.filter(|act| !act.account.is_empty()) {
        let account = act.account.as_str();
        match before.entry(account).or_default().turned(act) {
            Some(Turn::Out(_)) => out.entry(account).or_default().push((act.at, None)),
            Some(Turn::In) => {
                if let Some((_, until)) = out.get_mut(account).and_then(|times| times.last_mut()) {
                    *until = Some(act.at);
                }
            }
            None => {}
        }
    }
    let each = |(account, times): (&str, Vec<(i64, Option<i64>)>)| {
        let account = account.to_owned();
        times.into_iter().map(move |(from, until)| (account.clone(), from, until)).collect::<Vec<_>>()
    };
    out.into_iter().flat_map(each).collect()
}

/// What is known of accounts, act by act in order of time.
#[derive(Default)]
pub struct Accounts(BTreeMap<String, Before>);

impl Accounts {
    /// True if an act says something of its account that counts for this rule, or that it is gone (D20). What comes later does not change
    /// that: without the acts that say nothing it finds the same.
    pub fn says_anew(&mut self, act: &Act) -> bool {
        if !self.0.contains_key(&act.account) {
            self.0.insert(act.account.clone(), Before::default());
        }
        // How long ago an event enabled it decides whether a read that comes later is believed.
        self.0.get_mut(&act.account).is_some_and(|before| before.turned(act).is_some())
            || enables(act)
            || act.kind == "user_deleted"
    }
}

fn finding(account: &str, since: i64, out: &Out<'_>, settings: &Settings) -> Option<Candidate> {
    let times = out.decisions.iter().map(|one| one.at).chain(out.tokens.iter().map(|one| one.at));
    let last = times.max().filter(|last| last - since > settings.leaver_grace)?;
    let (told, how) = out.told?;
    let proven = out.decisions.iter().any(|one| matches!(one.grade.as_str(), "exact" | "session"));
    let mut evidence: Vec<(i64, Uuid)> = out.decisions.iter().map(|one| (one.at, one.event)).collect();
    evidence.extend(out.tokens.iter().map(|one| (one.at, one.event)));
    evidence.sort_unstable();
    let evidence = std::iter::once(told).chain(evidence.into_iter().map(|(_, event)| event));
    let beyond =
        last - since > settings.token_budget || out.tokens.iter().any(|one| one.at - since > settings.leaver_grace);
    Some(Candidate {
        rule: RULE.id,
        dedup: format!("{account}:{since}"),
        person: out.person.to_owned(),
        severity: if beyond { Severity::Critical } else { Severity::Medium },
        confidence: if proven || !out.tokens.is_empty() { Confidence::Proven } else { Confidence::Inferred },
        first: since,
        last,
        stands: true,
        values: values([
            ("how", json!(how)),
            ("ended_at_ms", json!(since)),
            ("active_seconds", seconds(last - since)),
            ("allowed", json!(out.decisions.len())),
            ("tokens_issued", json!(out.tokens.len())),
            ("token_budget_seconds", seconds(settings.token_budget)),
        ]),
        evidence: bounded(evidence.collect()),
    })
}

/// The time out of an account that began last before an instant.
fn latest<'a, 'f>(
    outs: &'a mut BTreeMap<(&'f str, i64), Out<'f>>,
    account: &'f str,
    at: i64,
) -> Option<&'a mut Out<'f>> {
    let (_, out) = outs.range_mut((account, i64::MIN)..=(account, at)).next_back()?;
    Some(out)
}

/// What is known of an account before an act.
#[derive(Clone, Copy, Default)]
struct Before {
    /// Out since then, if they are.
    out: Option<i64>,
    /// When an event enabled it last.
    enabled: Option<i64>,
}

/// What an act changes for an account.
enum Turn {
    /// It is out, and how that is said.
    Out(&'static str),
    In,
}

impl Before {
    /// What an act changes, and is known from then on. Told twice is once: the first counts.
    fn turned(&mut self, act: &Act) -> Option<Turn> {
        let said = end(act, *self);
        if enables(act) {
            self.enabled = Some(act.at);
        }
        match (said?, self.out) {
            (Some(how), None) => {
                self.out = Some(act.at);
                Some(Turn::Out(how))
            }
            (None, Some(_)) => {
                self.out = None;
                Some(Turn::In)
            }
            _ => None,
        }
    }
}

/// `Some(Some(how))`: the person was put out; `Some(None)`: may come in again.
fn end(act: &Act, before: Before) -> Option<Option<&'static str>> {
    let enabled = act.details.get("enabled").map(String::as_str);
    // A read that was begun before the last event of the account says what was so before it.
    let newer = |event: Option<i64>| event.is_none_or(|event| act.at - event > READ_AGE);
    match (act.kind.as_str(), enabled) {
        ("user_deleted", _) if act.outcome != "failure" => Some(Some("deleted")),
        ("user_locked_permanently", _) => Some(Some("locked permanently")),
        ("user_updated" | "user_created", Some("false")) if act.outcome != "failure" => Some(Some("disabled")),
        _ if enables(act) => Some(None),
        // A directory, or whoever writes in the database, disables without an event.
        ("state_user", Some("false")) if newer(before.enabled) => Some(Some("read as disabled")),
        ("state_user", Some("true")) if before.out.is_some() && newer(before.out) => Some(None),
        _ => None,
    }
}

/// True if an event says that the account is enabled.
fn enables(act: &Act) -> bool {
    let enabled = act.details.get("enabled").is_some_and(|enabled| enabled == "true");
    enabled && matches!(act.kind.as_str(), "user_updated" | "user_created") && act.outcome != "failure"
}

fn is_activity(act: &Act) -> bool {
    matches!(act.kind.as_str(), "login" | "token_issued" | "token_refreshed" | "token_exchanged")
        && act.outcome == "success"
}
