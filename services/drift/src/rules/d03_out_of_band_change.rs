//! D03 OUT_OF_BAND_CHANGE: state that was read contradicts what events said: something changed and no event tells it.

use super::{
    Judged, Need, Reach, Rule,
    d11_logging_impaired::{
        ALL_LEAST, CUT_BYTES, EXPIRATION, LISTENERS, READ, SWITCHES, TYPES, began_behind, is_config, said,
    },
};
use crate::{
    Settings,
    configured::Change,
    facts::{Act, Facts, Missing, Product},
    finding::{Candidate, Confidence, Severity, bounded, values},
};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

pub(super) const RULE: Rule = Rule {
    id: "D03",
    name: "OUT_OF_BAND_CHANGE",
    version: 5,
    asks: "Did a membership, a role, a client, a way to sign in, a setting of a realm, or what it records change without an event that tells it?",
    severity: "high; critical if the right is privileged, for an identity provider, and for what a realm records; medium where a gap of that source explains it",
    guards: &[
        "a read that began within the skew of an event says nothing",
        "what a gap of the source overlaps is marked so: the event may be lost, not missing",
        "a read of the recording's settings that began before an event that set them, or within the skew behind it, says nothing; nor does one after an event that came without its representation",
        "what was said of a realm that was deleted is not held against another of its name",
        "a read in which no client is as before says nothing of clients: another realm of that name, or a release that reads otherwise",
        "any event about flows explains every change of a flow, any about required actions every change of those: Keycloak's events do not say enough",
    ],
    not_evaluable: &[
        "who changed it",
        "LDAP sync and realm import leave no mark that tells them apart",
        "secrets, mappers and scopes of clients, what a step of a flow is configured with, organizations, components (LDAP, keys) and settings of realms that docs/snapshots.md does not list: they are not read, or not held against events",
    ],
    controls: &["CC6.3", "CC7.1", "CM-3"],
    check: "`tokentrail gaps` lists rights with likely causes; of a client, an identity provider, a flow or a realm R07 shows the fields before and after. Compare with Keycloak's own admin events and the LDAP log.",
    need: Need::Keycloak,
    reach: Reach::All,
    judge,
};

fn judge(facts: &Facts, settings: &Settings) -> Judged {
    let ripe = facts.missing.iter().filter(|one| one.before <= facts.ripe);
    let rights = ripe.map(|one| finding(facts, settings, one));
    let configured = facts.configured.changes.iter().map(|one| configured(facts, one));
    Judged { found: rights.chain(recording(facts, settings)).chain(configured).collect(), values: Default::default() }
}

fn configured(facts: &Facts, change: &Change) -> Candidate {
    let in_gap = facts.gap_of(&change.source, (change.after, change.before));
    // Whoever is trusted to say who people are can be anybody.
    let most = if change.kind == "identity_provider" { Severity::Critical } else { Severity::High };
    let state = change.evidence.last().copied().unwrap_or_default();
    Candidate {
        rule: RULE.id,
        // By the state that was read: which read came before it, is another one where that was not whole at first.
        dedup: format!("{}:{}:{}:{}:{}", change.source, change.realm, change.kind, change.what, state),
        person: String::new(),
        severity: if in_gap { Severity::Medium } else { most },
        confidence: if in_gap { Confidence::Inferred } else { Confidence::Proven },
        first: change.after,
        last: change.before,
        stands: true,
        values: values([
            ("source", json!(change.source)),
            ("realm", json!(change.realm)),
            ("what", json!(change.what)),
            (change.kind, json!(change.name)),
            ("fields", json!(change.fields)),
            ("gap_overlaps", json!(in_gap)),
        ]),
        evidence: change.evidence.clone(),
    }
}

fn finding(facts: &Facts, settings: &Settings, missing: &Missing) -> Candidate {
    let span = (missing.after, missing.before);
    let in_gap = match missing.source.as_str() {
        // A Keycloak's, most likely.
        "" => facts.gap_within(Product::Keycloak, span),
        source => facts.gap_of(source, span),
    };
    let severity = match in_gap {
        true => Severity::Medium,
        false => settings.raised(std::iter::once(&missing.right)),
    };
    Candidate {
        rule: RULE.id,
        dedup: format!("{}:{}:{}:{}", missing.person, missing.right_kind, missing.right, missing.after),
        person: missing.person.clone(),
        severity,
        confidence: if in_gap { Confidence::Inferred } else { Confidence::Proven },
        first: missing.after,
        last: missing.before,
        stands: true,
        values: values([
            ("right_kind", json!(missing.right_kind)),
            ("right", json!(missing.right)),
            ("what", json!(missing.what)),
            ("gap_overlaps", json!(in_gap)),
        ]),
        evidence: missing.evidence.iter().copied().filter(|event| !event.is_nil()).collect(),
    }
}

/// What a setting of a realm's recording was last, and which event or read says so.
struct Last<'a> {
    value: String,
    act: &'a Act,
}

/// What is known of one realm.
#[derive(Default)]
struct Known<'a> {
    /// Its Keycloak id; empty: nothing said it.
    id: &'a str,
    settings: BTreeMap<&'static str, Last<'a>>,
    /// When something was set of which the event does not say what.
    unsaid: Option<i64>,
}

/// A read of a realm itself, which tells its id.
const REALM_READ: &str = "state_realm";
/// It stands in the realm of whoever made the new one.
const REALM_MADE: &str = "realm_created";

/// Reads of what realms record that contradict what was said before.
fn recording(facts: &Facts, settings: &Settings) -> Vec<Candidate> {
    let mut realms: BTreeMap<(&str, &str), Known<'_>> = BTreeMap::new();
    let mut found = Vec::new();
    let concerns = |act: &&Act| is_config(act) || act.kind == REALM_READ || makes_realm(act).is_some();
    let mut acts: Vec<&Act> = facts.acts.iter().filter(concerns).filter(|act| act.at <= facts.ripe).collect();
    // Which realm it is, is read before its settings.
    acts.sort_by_key(|act| (act.at, act.kind != REALM_READ));
    for act in acts {
        if let Some(made) = makes_realm(act) {
            realms.remove(&(&*act.source, made));
            continue;
        }
        let known = realms.entry((&act.source, &act.realm)).or_default();
        if !act.realm_id.is_empty() && act.realm_id != known.id {
            let is_another = !known.id.is_empty();
            if is_another {
                *known = Known::default();
            }
            known.id = &act.realm_id;
        }
        if act.kind == REALM_READ {
            continue;
        }
        let is_read = act.kind == READ;
        let told = settings_of(act);
        if !is_read && told.is_empty() && !act.details.contains_key("fields") {
            (known.settings, known.unsaid) = (BTreeMap::new(), Some(act.at));
            continue;
        }
        let behind = |event: i64| began_behind(act, event, settings);
        if is_read && !known.unsaid.is_none_or(behind) {
            continue;
        }
        let mut changed = Vec::new();
        for (name, value) in told {
            let overtaken = |last: &Last<'_>| last.act.kind != act.kind && !behind(last.act.at);
            if is_read && known.settings.get(name).is_some_and(overtaken) {
                continue;
            }
            let last = known.settings.insert(name, Last { value, act });
            if let Some(last) = last.filter(|last| is_read && last.value != known.settings[name].value) {
                changed.push((name, last.act));
            }
        }
        found.extend(contradicted(act, &changed, facts));
    }
    found
}

/// The name of the realm that an event says was made.
pub fn makes_realm(act: &Act) -> Option<&str> {
    let made = act.kind == REALM_MADE && act.outcome != "failure";
    made.then(|| act.details.get("changed_realm").map(String::as_str)).flatten()
}

/// The finding of a read that contradicts what was said of some settings by these.
fn contradicted(read: &Act, changed: &[(&str, &Act)], facts: &Facts) -> Option<Candidate> {
    let before: BTreeSet<(i64, uuid::Uuid)> = changed.iter().map(|(_, act)| (act.at, act.event)).collect();
    let (after, _) = *before.last()?;
    let in_gap = facts.gap_of(&read.source, (after, read.at));
    let names: Vec<&str> = changed.iter().map(|(name, _)| *name).collect();
    Some(Candidate {
        rule: RULE.id,
        dedup: format!("{}:{}:recording:{}", read.source, read.realm, read.event),
        person: String::new(),
        severity: if in_gap { Severity::Medium } else { Severity::Critical },
        confidence: if in_gap { Confidence::Inferred } else { Confidence::Proven },
        first: after,
        last: read.at,
        stands: true,
        values: values([
            ("source", json!(read.source)),
            ("realm", json!(read.realm)),
            ("what", json!("change")),
            ("settings", json!(names)),
            ("gap_overlaps", json!(in_gap)),
        ]),
        evidence: bounded(before.into_iter().map(|(_, event)| event).chain([read.event]).collect()),
    })
}

/// What an event or a read says of the recording, in words that do not depend on how it says it.
fn settings_of(act: &Act) -> Vec<(&'static str, String)> {
    let mut told = Vec::new();
    let mut put = |names: (&'static str, &str), value: Option<String>| told.extend(value.map(|value| (names.0, value)));
    for names in SWITCHES {
        put(*names, said(act, *names).filter(|value| !value.is_empty()).map(str::to_owned));
    }
    let kept = said(act, EXPIRATION).and_then(|text| text.parse::<i64>().ok());
    put(EXPIRATION, kept.map(|seconds| seconds.max(0).to_string()));
    put(LISTENERS, said(act, LISTENERS).and_then(list));
    let all = |text: &str| text.is_empty() || text.len() >= CUT_BYTES || text.split(',').count() >= ALL_LEAST;
    put(TYPES, said(act, TYPES).and_then(|text| if all(text) { Some("all".into()) } else { list(text) }));
    told
}

/// A list in one order; none if it may have lost its end.
fn list(text: &str) -> Option<String> {
    let names: BTreeSet<&str> = text.split(',').filter(|name| !name.is_empty()).collect();
    (text.len() < CUT_BYTES).then(|| Vec::from_iter(names).join(","))
}
