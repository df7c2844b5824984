//! D11: what a realm records less than before, and that it ends when it is recorded again.
#![allow(clippy::unwrap_used)] // a test may panic

use drift::{
    Candidate, Confidence, Facts, Rule, Settings, Severity,
    configured::Change,
    facts::{Act, Gap, Product, Source},
};
use uuid::Uuid;

fn facts() -> Facts {
    let source = Source { id: "kc".into(), product: Product::Keycloak, proven: true, first: Some(0), token_life: 0 };
    Facts { now: 1_000, ripe: 1_000, sources: vec![source], ..Facts::default() }
}

fn act(n: u128, at: i64, kind: &str) -> Act {
    let (source, realm, kind) = ("kc".into(), "corp".into(), kind.into());
    Act { event: Uuid::from_u128(n), at, began: at, source, realm, kind, outcome: "success".into(), ..Act::default() }
}

fn with(mut act: Act, name: &str, value: &str) -> Act {
    act.details.insert(name.into(), value.into());
    act
}

fn found(facts: &Facts) -> Vec<Candidate> {
    by("D11", facts)
}

fn by(rule: &str, facts: &Facts) -> Vec<Candidate> {
    Rule::of(rule).unwrap().judge(facts, &Settings::default()).found
}

#[test]
fn what_a_read_shows_otherwise_than_was_told_changed_without_an_event() {
    const MINUTE: i64 = 60_000;
    let mut facts = facts();
    (facts.now, facts.ripe) = (1_000 * MINUTE, 1_000 * MINUTE);
    let set = |n, at: i64, (on, listeners): (&str, &str)| {
        with(with(act(n, at * MINUTE, "audit_config_changed"), "events_enabled", on), "listeners", listeners)
    };
    let read = |n, at: i64, (on, listeners): (&str, &str)| {
        let act = with(act(n, at * MINUTE, "state_events_config"), "eventsEnabled", on);
        with(with(act, "eventsListeners", listeners), "enabledEventTypes", "LOGIN,LOGOUT")
    };
    // In another order, and what no event named: nothing changed.
    facts.acts = vec![set(1, 0, ("true", "a,b")), read(2, 20, ("true", "b,a"))];
    assert!(by("D03", &facts).is_empty());
    // A read that began before an event says what was so before it, and is not believed later either.
    let slow = |began: i64, act: Act| Act { began: began * MINUTE, ..act };
    facts.acts.extend([set(3, 30, ("false", "a,b")), slow(29, read(4, 40, ("true", "a,b")))]);
    facts.acts.push(read(5, 60, ("false", "a,b")));
    assert!(by("D03", &facts).is_empty(), "{:?}", by("D03", &facts));
    facts.acts.push(read(6, 80, ("true", "a")));
    let one = by("D03", &facts).pop().unwrap();
    assert_eq!((one.first, one.last, one.severity), (60 * MINUTE, 80 * MINUTE, Severity::Critical));
    let said = [&one.values["source"], &one.values["realm"], &one.values["settings"]].map(ToString::to_string);
    assert_eq!(said, ["\"kc\"", "\"corp\"", "[\"events_enabled\",\"listeners\"]"]);
    assert_eq!((one.evidence, one.person), (vec![Uuid::from_u128(5), Uuid::from_u128(6)], String::new()));
    // Of another realm it says nothing; and once more the same is one finding.
    facts.acts.push(Act { realm: "other".into(), ..read(7, 81, ("false", "")) });
    facts.acts.push(read(8, 90, ("true", "a")));
    assert_eq!(by("D03", &facts).len(), 1);
    // The event may be lost.
    let gap = Gap { source: "kc".into(), since: 70 * MINUTE, until: Some(71 * MINUTE), ..Gap::default() };
    // Not by another Keycloak.
    facts.sources.push(Source { id: "kc2".into(), ..facts.sources[0].clone() });
    facts.gaps = vec![Gap { source: "kc2".into(), ..gap.clone() }];
    assert_eq!(by("D03", &facts)[0].confidence, Confidence::Proven);
    facts.gaps = vec![gap];
    let one = by("D03", &facts).pop().unwrap();
    assert_eq!(
        (one.severity, one.confidence, &one.values["gap_overlaps"]),
        (Severity::Medium, Confidence::Inferred, &true.into())
    );
    // An event told that something was set, and not what; one that was refused set nothing.
    let unsaid = act(9, 75 * MINUTE, "audit_config_changed");
    facts.acts.insert(5, Act { outcome: "failure".into(), ..unsaid.clone() });
    assert_eq!(by("D03", &facts).len(), 1);
    facts.acts[5] = unsaid;
    assert!(by("D03", &facts).is_empty());
    facts.acts[5] = with(act(9, 75 * MINUTE, "realm_updated"), "fields", "displayName");
    assert_eq!(by("D03", &facts).len(), 1, "it set something else");
    facts.ripe = 80 * MINUTE - 1;
    assert!(by("D03", &facts).is_empty());
}

#[test]
fn a_client_that_changed_without_an_event_is_told_and_is_less_sure_over_a_gap() {
    let mut facts = facts();
    facts.configured.changes = vec![Change {
        source: "kc".into(),
        realm: "corp".into(),
        kind: "client",
        id: "c1".into(),
        name: "portal".into(),
        what: "changed",
        fields: vec!["redirectUris".into()],
        after: 100,
        before: 200,
        evidence: vec![Uuid::from_u128(1), Uuid::from_u128(2)],
    }];
    let one = by("D03", &facts).pop().unwrap();
    assert_eq!((one.severity, one.confidence, one.first, one.last), (Severity::High, Confidence::Proven, 100, 200));
    assert_eq!((&one.values["client"], &one.values["fields"]), (&"portal".into(), &["redirectUris"][..].into()));
    assert_eq!((one.evidence.len(), one.person.as_str()), (2, ""));
    // What changed twice is two findings; in a gap of its source, and of no other, the event may be lost.
    let again =
        Change { after: 300, before: 400, evidence: vec![Uuid::from_u128(3)], ..facts.configured.changes[0].clone() };
    facts.configured.changes.push(again);
    facts.gaps = vec![Gap { source: "kc".into(), since: 350, until: Some(360), ..Gap::default() }];
    let found = by("D03", &facts);
    assert_ne!(found[0].dedup, found[1].dedup);
    assert_eq!((found[0].severity, found[0].confidence), (Severity::High, Confidence::Proven));
    assert_eq!((found[1].severity, found[1].confidence), (Severity::Medium, Confidence::Inferred));
    facts.gaps[0].source = "kc2".into();
    facts.sources.push(Source { id: "kc2".into(), ..facts.sources[0].clone() });
    assert_eq!(by("D03", &facts)[1].severity, Severity::High);
}

/// D03 of what an event set and a read then shows otherwise; times in milliseconds.
fn contradicts(event: i64, (began, read): (i64, i64)) -> bool {
    let mut facts = facts();
    (facts.now, facts.ripe) = (1_000_000, 1_000_000);
    let read = with(act(2, read, "state_events_config"), "eventsEnabled", "false");
    let set = with(act(1, event, "audit_config_changed"), "events_enabled", "true");
    facts.acts = vec![set, Act { began, ..read }];
    !by("D03", &facts).is_empty()
}

#[test]
fn a_read_contradicts_an_event_that_was_stamped_before_it_began() {
    let skew = Settings::default().skew;
    assert!(contradicts(10_000, (10_001 + skew, 10_002 + skew)), "at once");
    assert!(!contradicts(10_000, (10_000 + skew, 700_000)), "the clocks may differ by that");
    assert!(!contradicts(10_000, (9_000, 700_000)), "however long the read took");
}

#[test]
fn a_read_that_began_before_something_unsaid_was_set_is_not_what_is_known_then() {
    let mut facts = facts();
    (facts.now, facts.ripe) = (1_000_000, 1_000_000);
    let read = |n, began: i64, at: i64, on: &str| Act {
        began,
        ..with(act(n, at, "state_events_config"), "eventsEnabled", on)
    };
    let unsaid = act(2, 20_000, "audit_config_changed");
    facts.acts = vec![unsaid, read(3, 19_000, 22_000, "true"), read(4, 60_000, 60_001, "false")];
    assert!(by("D03", &facts).is_empty());
    facts.acts[1].began = 21_500;
    assert_eq!(by("D03", &facts).len(), 1);
}

#[test]
fn a_realm_that_was_made_again_is_not_held_against_the_one_before() {
    let mut facts = facts();
    (facts.now, facts.ripe) = (1_000_000, 1_000_000);
    let of = |id: &str, act: Act| Act { realm_id: id.into(), ..act };
    let read = |n, at, on: &str| with(act(n, at, "state_events_config"), "eventsEnabled", on);
    let is = |n, at, id: &str| of(id, act(n, at, "state_realm"));
    facts.acts = vec![is(1, 10_000, "old"), read(2, 10_001, "true"), is(3, 60_000, "old"), read(4, 60_000, "false")];
    assert_eq!(by("D03", &facts).len(), 1, "the same realm");
    // Read in the same instant, whichever id comes first.
    facts.acts[2] = is(9, 60_000, "new");
    facts.acts.swap(2, 3);
    assert!(by("D03", &facts).is_empty(), "{:?}", by("D03", &facts));
    facts.acts.push(read(5, 90_000, "true"));
    assert_eq!(by("D03", &facts).len(), 1, "the new one is held against itself");
    // The event that tells of a new realm is in the realm of whoever made it.
    let made = Act { realm: "master".into(), ..act(6, 30_000, "realm_created") };
    facts.acts = vec![read(2, 10_001, "true"), with(made, "changed_realm", "corp"), read(4, 60_000, "false")];
    assert!(by("D03", &facts).is_empty());
    facts.acts[1].outcome = "failure".into();
    assert_eq!(by("D03", &facts).len(), 1);
    // What an event says of the realm that it is in counts as well.
    let set = |n, at, id: &str| of(id, with(act(n, at, "audit_config_changed"), "listeners", "a"));
    facts.acts = vec![set(1, 9_000, "old"), read(2, 12_000, "true"), set(3, 30_000, "new"), read(4, 60_000, "false")];
    assert!(by("D03", &facts).is_empty());
}

#[test]
fn logging_is_impaired_by_event_or_by_configuration_and_ends() {
    const MINUTE: i64 = 60_000;
    let mut facts = facts();
    (facts.now, facts.ripe) = (100 * MINUTE, 100 * MINUTE);
    let config = |n, at: i64, kind: &str, on: &str, listeners: &str| {
        let named = kind == "state_events_config";
        let names =
            if named { ("adminEventsEnabled", "eventsListeners") } else { ("admin_events_enabled", "listeners") };
        with(with(act(n, at * MINUTE, kind), names.0, on), names.1, listeners)
    };
    facts.acts = vec![config(1, 0, "audit_config_changed", "false", "jboss-logging")];
    assert!(found(&facts).is_empty(), "what was never on is doctor's to name");
    facts.acts.push(config(2, 1, "audit_config_changed", "true", "jboss-logging,webhook"));
    facts.acts.push(config(3, 2, "audit_config_changed", "false", "jboss-logging,webhook"));
    let off = found(&facts);
    assert_eq!((off.len(), &off[0].values["off"], off[0].stands), (1, &"admin_events_enabled".into(), true));
    // The listener went first: only the next read of the configuration tells.
    facts.acts.push(config(4, 3, "state_events_config", "false", "jboss-logging"));
    let both = found(&facts);
    assert_eq!(both.len(), 2);
    assert!(both.iter().any(|one| one.values["off"] == "listeners webhook" && one.values["seen_in"] == "read of the configuration"));
    facts.acts.push(config(5, 4, "audit_config_changed", "true", "jboss-logging,webhook"));
    assert!(found(&facts).iter().all(|one| !one.stands), "it ends when it is on again");
    // A listener that sends nothing here is less.
    facts.acts.truncate(2);
    facts.acts.push(config(6, 2, "audit_config_changed", "true", "webhook"));
    facts.acts.push(config(7, 3, "audit_config_changed", "true", ""));
    let gone: Vec<_> = found(&facts).iter().map(|one| (one.values["off"].clone(), one.severity)).collect();
    assert_eq!(
        gone,
        [("listeners jboss-logging".into(), Severity::Medium), ("listeners webhook".into(), Severity::Critical)]
    );
}

#[test]
fn a_read_that_began_before_an_event_ends_and_opens_nothing() {
    let skew = Settings::default().skew;
    let mut facts = facts();
    (facts.now, facts.ripe) = (1_000_000, 1_000_000);
    let set = |n, at, on: &str| with(act(n, at, "audit_config_changed"), "events_enabled", on);
    let read = |n, began, at, on: &str| Act { began, ..with(act(n, at, "state_events_config"), "eventsEnabled", on) };
    // It was asked for before the event and answered behind it.
    facts.acts = vec![set(1, 0, "true"), set(2, 20_000, "false"), read(3, 20_000 + skew, 22_000, "true")];
    assert!(found(&facts)[0].stands);
    facts.acts[2].began += 1;
    assert!(!found(&facts)[0].stands);
    facts.acts.push(set(4, 30_000, "false"));
    facts.acts.extend([set(5, 40_000, "true"), read(6, 39_000, 41_000, "false")]);
    assert!(found(&facts).iter().all(|one| !one.stands));
    // What sets something else is no reason.
    facts.acts[5].began = 50_000;
    facts.acts[5].at = 50_001;
    facts.acts.insert(5, with(act(7, 50_000, "realm_updated"), "fields", "displayName"));
    assert_eq!(found(&facts).iter().filter(|one| one.stands).count(), 1);
}

/// What stands of D11 over lists of types, one after the other.
fn types_off(lists: &[&str]) -> Vec<String> {
    let mut facts = facts();
    let types = |(n, text): (u128, &&str)| with(act(n, n as i64, "audit_config_changed"), "enabled_event_types", text);
    facts.acts = (0..).zip(lists).map(types).collect();
    let stands = found(&facts).into_iter().filter(|one| one.stands);
    stands
        .map(|one| one.values["off"].as_str().unwrap().trim_start_matches("enabled_event_types ").to_owned())
        .collect()
}

#[test]
fn to_record_some_types_after_all_is_less() {
    assert_eq!(types_off(&["LOGIN,LOGOUT", "LOGIN"]), ["LOGOUT"]);
    // None named are all; however many were named meanwhile, it is told once.
    let many: Vec<String> = (0..60).map(|n| format!("TYPE_{n}")).collect();
    let many = many.join(",");
    assert_eq!(types_off(&["", "LOGOUT"]), ["all"]);
    assert_eq!(types_off(&["", &many, "LOGOUT"]), ["all"]);
    assert_eq!(types_off(&["", &many, ""]), [""; 0], "a read names all of them where none is named");
    assert_eq!(types_off(&["", "LOGOUT", "LOGIN,LOGOUT"]), ["all"], "some more are not all");
    assert_eq!(types_off(&["", "LOGOUT", &many]), ["LOGOUT"], "all of that name, without the one");
    assert_eq!(types_off(&["", "LOGOUT", ""]), [""; 0]);
    assert_eq!(types_off(&["LOGIN,LOGOUT", "LOGIN", ""]), [""; 0], "all are on again");
    // A list that events keep cut says nothing of what is not in it, and is of nearly all.
    let cut = &"A_TYPE_OF_MANY,".repeat(140)[..2_048];
    assert_eq!(types_off(&["LOGIN,LOGOUT", cut]), [""; 0]);
    assert_eq!(types_off(&["LOGIN,LOGOUT", cut, "LOGIN"]), ["all"]);
}

#[test]
fn to_keep_events_for_less_time_is_less_until_it_is_as_long_again() {
    let mut facts = facts();
    (facts.now, facts.ripe) = (1_000_000, 1_000_000);
    let mut stand = |kept: &[(&str, &str)]| -> Vec<(String, String)> {
        let acts = (0..).zip(kept).map(|(n, (kind, seconds))| {
            let name = if *kind == "state_events_config" { "eventsExpiration" } else { "events_expiration" };
            with(act(n, 60_000 * n as i64, kind), name, seconds)
        });
        facts.acts = acts.collect();
        let stands = found(&facts).into_iter().filter(|one| one.stands);
        stands
            .map(|one| (one.values["kept_seconds_before"].to_string(), one.values["kept_seconds"].to_string()))
            .collect()
    };
    let told = |before: &str, now: &str| (before.to_owned(), now.to_owned());
    let (changed, read) = ("audit_config_changed", "state_events_config");
    assert_eq!(stand(&[(changed, "604800")]), []);
    assert_eq!(stand(&[(changed, "604800"), (read, "3600")]), [told("604800", "3600")]);
    assert_eq!(stand(&[(changed, "0"), (changed, "3600")]), [told("\"for ever\"", "3600")]);
    let twice = [(changed, "604800"), (changed, "3600"), (changed, "60")];
    assert_eq!(stand(&twice), [told("604800", "3600"), told("3600", "60")]);
    let then = |seconds| [&twice[..], &[(changed, seconds)]].concat();
    assert_eq!(stand(&then("3600")), [told("604800", "3600")]);
    assert_eq!(stand(&then("604800")), []);
    assert_eq!(stand(&then("0")), []);
    assert_eq!(stand(&[(changed, "3600"), (changed, "604800")]), [], "for longer is no less");
}
