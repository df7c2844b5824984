//! D11 LOGGING_IMPAIRED: a Keycloak was told to record less: events off, admin events or their details off, our listener gone, types
//! left out, events kept for less time. Seen in the admin event, or, where the listener went first, in the next read of the configuration.

use super::{Judged, Need, Reach, Rule};
use crate::{
    Settings,
    facts::{Act, Facts},
    finding::{Candidate, Confidence, Severity, values},
};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

pub(super) const RULE: Rule = Rule {
    id: "D11",
    name: "LOGGING_IMPAIRED",
    version: 3,
    asks: "Does a realm record less than before: events, admin events, their details, types, a listener, or for less time?",
    severity: "critical; high where events are kept for less time; medium for a listener of Keycloak's own that sends nothing here (jboss-logging, email, metrics)",
    guards: &[
        "only what was on before and is off now; what was always off is doctor's to name",
        "ends by itself when it is on again",
        "no types named, or sixty and more, are all: what Keycloak answers where none are named",
        "a read that began before an event that set something, or within the skew behind it, says nothing",
    ],
    not_evaluable: &[
        "events that were cleared in Keycloak's own store",
        "how long admin events are kept (an attribute of the realm that is not read), and that events were kept for ever where only a read tells",
        "the log level and plugins of a Backstage",
    ],
    controls: &["CC7.2", "A.8.15", "AU-12", "10.2.1.6"],
    check: "Switch it on again and import what Keycloak's store still has. `tokentrail doctor` names what is off.",
    need: Need::Keycloak,
    reach: Reach::All,
    judge,
};

/// A read of the configuration.
pub(super) const READ: &str = "state_events_config";
/// (name in admin events, name in reads of the configuration).
pub(super) const SWITCHES: &[(&str, &str)] = &[
    ("events_enabled", "eventsEnabled"),
    ("admin_events_enabled", "adminEventsEnabled"),
    ("admin_events_details_enabled", "adminEventsDetailsEnabled"),
];
pub(super) const LISTENERS: (&str, &str) = ("listeners", "eventsListeners");
pub(super) const TYPES: (&str, &str) = ("enabled_event_types", "enabledEventTypes");
/// For how many seconds Keycloak's own store keeps events; 0: for ever.
pub(super) const EXPIRATION: (&str, &str) = ("events_expiration", "eventsExpiration");
/// All types are recorded: none is named, or nearly all are.
const ALL_TYPES: &str = "enabled_event_types all";
/// Keycloak names all types that it saves by itself where none was chosen: 103 of 26.7, and never fewer than this.
pub(super) const ALL_LEAST: usize = 60;
/// Listeners of Keycloak and its metrics, which send no event here.
const NOT_OURS: [&str; 4] = ["jboss-logging", "email", "metrics-listener", "micrometer-user-event-metrics"];

/// Events hold texts of up to 2,048 bytes: what is about as long may have lost its end, and what is not in it may be there.
pub(super) const CUT_BYTES: usize = 2_044;

/// What is known of one realm's recording.
#[derive(Default)]
struct Known<'a> {
    on: BTreeSet<String>,
    /// What was on and is off: since when, and the event that tells it.
    off: BTreeMap<String, &'a Act>,
    /// For how many seconds events are kept.
    kept: Option<i64>,
    /// When they were kept for less than before: the event, and for how long it was.
    shortened: Vec<(&'a Act, i64)>,
    /// When an event set something last.
    set: Option<i64>,
}

fn judge(facts: &Facts, settings: &Settings) -> Judged {
    let mut realms: BTreeMap<(&str, &str), Known<'_>> = BTreeMap::new();
    let mut found: BTreeMap<String, Candidate> = BTreeMap::new();
    for act in facts.acts.iter().filter(|act| is_config(act) && act.at <= facts.ripe) {
        let known = realms.entry((&act.source, &act.realm)).or_default();
        if act.kind == READ {
            // What it says was so before the event.
            if known.set.is_some_and(|set| !began_behind(act, set, settings)) {
                continue;
            }
        } else if sets(act) {
            known.set = Some(act.at);
        }
        for (name, on) in statements(act, known) {
            if on {
                if let Some(since) = known.off.remove(&name) {
                    end(&mut found, &key(since, &name), act);
                }
                known.on.insert(name);
            } else if known.on.remove(&name) {
                found.insert(key(act, &name), finding(act, &name));
                known.off.insert(name, act);
            }
        }
        keep(act, known, &mut found);
    }
    Judged { found: found.into_values().collect(), values: Default::default() }
}

/// It is as it was before.
fn end(found: &mut BTreeMap<String, Candidate>, key: &str, act: &Act) {
    if let Some(finding) = found.get_mut(key) {
        (finding.stands, finding.last) = (false, act.at);
        finding.evidence.push(act.event);
    }
}

pub(super) fn is_config(act: &Act) -> bool {
    matches!(act.kind.as_str(), "audit_config_changed" | "realm_updated" | READ) && act.outcome != "failure"
}

/// True of a read that was begun surely after an event: one from before tells what was so before it.
pub(super) fn began_behind(read: &Act, event: i64, settings: &Settings) -> bool {
    read.began > event.saturating_add(settings.skew)
}

/// What an event says under either name.
pub(super) fn said<'a>(act: &'a Act, names: (&str, &str)) -> Option<&'a str> {
    act.details.get(names.0).or_else(|| act.details.get(names.1)).map(String::as_str)
}

/// True of an event that sets some of it, or does not say what it sets.
fn sets(act: &Act) -> bool {
    let names = SWITCHES.iter().chain([&LISTENERS, &TYPES, &EXPIRATION]);
    names.into_iter().any(|names| said(act, *names).is_some()) || !act.details.contains_key("fields")
}

/// Each switch, listener and type with whether it is on; what the event does not say is left out.
fn statements(act: &Act, known: &mut Known<'_>) -> Vec<(String, bool)> {
    let mut out = Vec::new();
    for names in SWITCHES {
        if let Some(value) = said(act, *names).filter(|value| !value.is_empty()) {
            out.push((names.0.to_owned(), value == "true"));
        }
    }
    if let Some(list) = said(act, LISTENERS) {
        listed((LISTENERS.0, list), known, &mut out);
    }
    if let Some(list) = said(act, TYPES) {
        types(list, known, &mut out);
    }
    out
}

/// What a list names is on, and what it named before and does not now is off, unless the list lost its end.
fn listed((name, list): (&str, &str), known: &Known<'_>, out: &mut Vec<(String, bool)>) {
    let cut = list.len() >= CUT_BYTES;
    let whole = if cut { list.rsplit_once(',').map_or("", |(whole, _)| whole) } else { list };
    let named = whole.split(',').filter(|one| !one.is_empty());
    let now: BTreeSet<String> = named.map(|one| format!("{name} {one}")).collect();
    let gone = known.on.iter().filter(|one| one.starts_with(name) && *one != ALL_TYPES && !now.contains(*one));
    if !cut {
        out.extend(gone.map(|one| (one.clone(), false)));
    }
    out.extend(now.into_iter().map(|one| (one, true)));
}

fn types(list: &str, known: &mut Known<'_>, out: &mut Vec<(String, bool)>) {
    let all = list.is_empty() || list.len() >= CUT_BYTES || list.split(',').count() >= ALL_LEAST;
    if all {
        out.push((ALL_TYPES.to_owned(), true));
    } else if known.on.contains(ALL_TYPES) {
        // One statement for all of them, however many were named before.
        out.push((ALL_TYPES.to_owned(), false));
        known.on.retain(|one| one == ALL_TYPES || !one.starts_with(TYPES.0));
    }
    if list.is_empty() {
        out.extend(known.off.keys().filter(|one| one.starts_with(TYPES.0)).map(|one| (one.clone(), true)));
    } else {
        listed((TYPES.0, list), known, out);
    }
}

/// For how long events are kept, if the event says so.
fn keep<'a>(act: &'a Act, known: &mut Known<'a>, found: &mut BTreeMap<String, Candidate>) {
    let seconds = said(act, EXPIRATION).and_then(|text| text.parse::<i64>().ok());
    let Some(now) = seconds.map(|seconds| if seconds <= 0 { i64::MAX } else { seconds }) else { return };
    let name = EXPIRATION.0;
    if let Some(before) = known.kept.replace(now).filter(|before| now < *before) {
        let mut shorter = Candidate { severity: Severity::High, ..finding(act, name) };
        let seconds = |kept: i64| if kept == i64::MAX { json!("for ever") } else { json!(kept) };
        shorter.values.insert("kept_seconds_before".into(), seconds(before));
        shorter.values.insert("kept_seconds".into(), seconds(now));
        found.insert(key(act, name), shorter);
        known.shortened.push((act, before));
    }
    known.shortened.retain(|(since, before)| {
        if now >= *before {
            end(found, &key(since, name), act);
        }
        now < *before
    });
}

fn key(act: &Act, name: &str) -> String {
    format!("{}:{}:{name}:{}", act.source, act.realm, act.event)
}

fn severity(name: &str) -> Severity {
    let of = |listener: &str| name.strip_prefix(LISTENERS.0).is_some_and(|rest| rest.trim_start() == listener);
    if NOT_OURS.into_iter().any(of) { Severity::Medium } else { Severity::Critical }
}

fn finding(act: &Act, name: &str) -> Candidate {
    Candidate {
        rule: RULE.id,
        dedup: key(act, name),
        person: String::new(),
        severity: severity(name),
        confidence: Confidence::Proven,
        first: act.at,
        last: act.at,
        stands: true,
        values: values([
            ("source", json!(act.source)),
            ("realm", json!(act.realm)),
            ("off", json!(name)),
            (
                "seen_in",
                json!(if act.kind.starts_with("state_") { "read of the configuration" } else { "admin event" }),
            ),
        ]),
        evidence: vec![act.event],
    }
}
