//! D11 LOGGING_IMPAIRED: a Keycloak was told to record less: events off, admin events or their details off, our listener gone, types
//! left out. Seen in the admin event, or, where the listener went first, in the next read of the configuration.

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
    version: 1,
    asks: "Does a realm record less than before: events, admin events, their details, types, or a listener?",
    severity: "critical",
    guards: &[
        "only what was on before and is off now; what was always off is doctor's to name",
        "ends by itself when it is on again",
    ],
    not_evaluable: &["events that were cleared in Keycloak's own store", "the log level and plugins of a Backstage"],
    controls: &["CC7.2", "A.8.15", "AU-12", "10.2.1.6"],
    check: "Switch it on again and import what Keycloak's store still has. `tokentrail doctor` names what is off.",
    need: Need::Keycloak,
    reach: Reach::All,
    judge,
};

/// (name in admin events, name in reads of the configuration).
const SWITCHES: &[(&str, &str)] = &[
    ("events_enabled", "eventsEnabled"),
    ("admin_events_enabled", "adminEventsEnabled"),
    ("admin_events_details_enabled", "adminEventsDetailsEnabled"),
];
const LISTS: &[(&str, &str)] = &[("listeners", "eventsListeners"), ("enabled_event_types", "enabledEventTypes")];

/// Events hold texts of up to 2,048 bytes: what is about as long may have lost its end, and what is not in it may be there.
const CUT_BYTES: usize = 2_044;

/// What is known of one realm's recording.
#[derive(Default)]
struct Known<'a> {
    on: BTreeSet<String>,
    /// What was on and is off: since when, and the event that tells it.
    off: BTreeMap<String, &'a Act>,
}

fn judge(facts: &Facts, _: &Settings) -> Judged {
    let mut realms: BTreeMap<(&str, &str), Known<'_>> = BTreeMap::new();
    let mut found: BTreeMap<String, Candidate> = BTreeMap::new();
    for act in facts.acts.iter().filter(|act| is_config(act) && act.at <= facts.ripe) {
        let known = realms.entry((&act.source, &act.realm)).or_default();
        for (name, on) in statements(act, &known.on) {
            if on {
                if let Some(since) = known.off.remove(&name)
                    && let Some(finding) = found.get_mut(&key(since, &name))
                {
                    (finding.stands, finding.last) = (false, act.at);
                    finding.evidence.push(act.event);
                }
                known.on.insert(name);
            } else if known.on.remove(&name) {
                found.insert(key(act, &name), finding(act, &name));
                known.off.insert(name, act);
            }
        }
    }
    Judged { found: found.into_values().collect(), values: Default::default() }
}

fn is_config(act: &Act) -> bool {
    matches!(act.kind.as_str(), "audit_config_changed" | "realm_updated" | "state_events_config")
        && act.outcome != "failure"
}

/// Each switch, listener and type with whether it is on; what the event does not say is left out.
fn statements(act: &Act, before: &BTreeSet<String>) -> Vec<(String, bool)> {
    let said = |names: &(&'static str, &'static str)| act.details.get(names.0).or_else(|| act.details.get(names.1));
    let mut out = Vec::new();
    for names in SWITCHES {
        if let Some(value) = said(names).filter(|value| !value.is_empty()) {
            out.push((names.0.to_owned(), value == "true"));
        }
    }
    for names in LISTS {
        let Some(list) = said(names) else { continue };
        let cut = list.len() >= CUT_BYTES;
        let whole = if cut { list.rsplit_once(',').map_or("", |(whole, _)| whole) } else { list };
        let now: BTreeSet<String> =
            whole.split(',').filter(|one| !one.is_empty()).map(|one| format!("{} {one}", names.0)).collect();
        let gone = before.iter().filter(|one| one.starts_with(names.0) && !now.contains(*one)).cloned();
        // No types named means all types.
        if !cut && (names.0 == "listeners" || !now.is_empty()) {
            out.extend(gone.map(|one| (one, false)));
        }
        out.extend(now.into_iter().map(|one| (one, true)));
    }
    out
}

fn key(act: &Act, name: &str) -> String {
    format!("{}:{}:{name}:{}", act.source, act.realm, act.event)
}

fn finding(act: &Act, name: &str) -> Candidate {
    Candidate {
        rule: RULE.id,
        dedup: key(act, name),
        person: String::new(),
        severity: Severity::Critical,
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
