//! What a rule says of itself where it cannot see, and what is written where a part was read alone.
#![allow(clippy::unwrap_used)] // a test may panic

mod support;

use drift::{
    Candidate, Facts, RULES, Rule, Settings, State,
    facts::{Act, Gap},
    register::{Held, Looked, Standing, compare, switched_off},
    rules::times_out,
};
use std::collections::BTreeSet;
use support::{HOUR, facts};
use uuid::Uuid;

/// Rules that rest on Keycloak alone, and those that rest on Backstage, too.
const ON_KEYCLOAK: [&str; 6] = ["D02", "D03", "D05", "D11", "D13", "D16"];
const ON_BOTH: [&str; 3] = ["D01", "D19", "D20"];

fn act(n: u128, at: i64, (kind, account): (&str, &str)) -> Act {
    Act {
        event: Uuid::from_u128(n),
        at,
        kind: kind.into(),
        outcome: "success".into(),
        account: account.into(),
        person: account.into(),
        ..Act::default()
    }
}

fn state(rule: &str, facts: &Facts, open: usize) -> (State, String) {
    Rule::of(rule).unwrap().state(facts, &Settings::default(), open)
}

/// Rules that are OK with these facts and nothing found.
fn green(facts: &Facts) -> BTreeSet<&'static str> {
    RULES.iter().map(|rule| rule.id).filter(|rule| state(rule, facts, 0).0 == State::Ok).collect()
}

#[test]
fn what_rests_on_a_silent_source_is_not_green() {
    let mut facts = facts();
    let all = green(&facts);
    assert!(ON_KEYCLOAK.iter().chain(&ON_BOTH).all(|rule| all.contains(rule)), "{all:?}");
    let silent = |source: &str, cause: &str| Gap {
        source: source.into(),
        input: "webhook".into(),
        cause: cause.into(),
        since: HOUR,
        ..Gap::default()
    };
    facts.gaps = vec![silent("kc", "no_heartbeat")];
    assert!(green(&facts).is_disjoint(&ON_KEYCLOAK.into_iter().chain(ON_BOTH).collect()), "{:?}", green(&facts));
    let (not_evaluable, why) = state("D05", &facts, 0);
    assert_eq!(not_evaluable, State::NotEvaluable);
    assert_eq!(why, "what happens now may be missing: kc webhook no heartbeat");
    // What was found before stands, and says what it does not see.
    let (exception, detail) = state("D05", &facts, 1);
    assert!(exception == State::Exception && detail.contains("what happens now (kc webhook no heartbeat)"), "{detail}");
    facts.gaps = vec![silent("bs", "silent")];
    assert!(green(&facts).is_superset(&ON_KEYCLOAK.into()) && green(&facts).is_disjoint(&ON_BOTH.into()));
    facts.gaps = vec![silent("", "silent")];
    assert!(green(&facts).is_disjoint(&ON_KEYCLOAK.into()), "it may be any");
    let not_judged = Rule::of("D05").unwrap().not_judged(&facts);
    assert!(not_judged.iter().any(|part| part.contains("missing in 1 gaps")), "{not_judged:?}");
    // A clock that is off is no silence; a gap that is over is a past one.
    facts.gaps = vec![silent("kc", "clock_off"), Gap { until: Some(2 * HOUR), ..silent("kc", "silent") }];
    assert_eq!(green(&facts), all);
}

#[test]
fn what_is_not_proven_or_not_judged_yet_is_told() {
    let mut facts = facts();
    facts.sources[0].proven = false;
    let (state_then, detail) = state("D02", &facts, 0);
    assert!(state_then == State::Ok && detail.contains("kc lost unseen"), "{detail}");
    // Whose silence is what a rule asks about cannot be green, though another source is proven.
    let (state_then, why) = state("D12", &facts, 0);
    assert!(state_then == State::NotEvaluable && why.contains("peace of kc"), "{why}");
    let (state_then, detail) = state("D12", &facts, 1);
    assert!(state_then == State::Exception && detail.contains("kc lost unseen"), "{detail}");
    assert!(Rule::of("D12").unwrap().not_judged(&facts).iter().any(|part| part.contains("kc lost unseen")));
    facts.sources[0].first = None;
    assert_eq!(state("D12", &facts, 0).0, State::Ok, "one that never sent anything is not missed");
    facts.sources[0].first = Some(0);
    facts.parts = 2;
    let (state_then, why) = state("D02", &facts, 0);
    assert!(state_then == State::NotEvaluable && why.contains("2 parts"), "{why}");
    assert_eq!(state("D02", &facts, 1).0, State::Exception);
    // Before any login can have been heard of, none is missing.
    facts = self::facts();
    facts.sources[1].first = Some(facts.now - HOUR + 1);
    let (state_then, why) = state("D19", &facts, 0);
    assert!(state_then == State::NotEvaluable && why.contains("life of a token"), "{why}");
    assert_eq!(state("D20", &facts, 0).0, State::Ok);
}

#[test]
fn accounts_are_out_as_the_rule_about_leavers_says() {
    let enabled = |n, at, account, value: &str| {
        let mut act = act(n, at, ("user_updated", account));
        act.details.insert("enabled".into(), value.into());
        act
    };
    let acts = [
        enabled(1, 1, "a", "true"),
        enabled(2, 2, "a", "false"),
        enabled(3, 3, "a", "false"),
        act(4, 4, ("user_deleted", "b")),
        enabled(5, 5, "a", "true"),
        act(6, 6, ("user_locked_permanently", "a")),
        act(7, 7, ("user_deleted", "")),
    ];
    let told = |account: &str, from, until| (account.to_owned(), from, until);
    assert_eq!(times_out(acts.iter()), [told("a", 2, Some(5)), told("a", 6, None), told("b", 4, None)]);
}

#[test]
fn whom_a_read_alone_shows_as_disabled_is_a_leaver_too() {
    const MINUTE: i64 = 60_000;
    let enabled = |n, at, kind, value: &str| {
        let mut act = act(n, at, (kind, "a"));
        act.details.insert("enabled".into(), value.into());
        act
    };
    let mut facts = facts();
    let mut found = |acts: Vec<Act>| {
        facts.acts = acts;
        Rule::of("D02").unwrap().judge(&facts, &Settings::default()).found
    };
    let refresh = |n, at| act(n, at, ("token_refreshed", "a"));
    let read = enabled(1, 0, "state_user", "false");
    let one = found(vec![read.clone(), refresh(2, 5 * MINUTE)]);
    assert_eq!((one.len(), &one[0].values["how"]), (1, &"read as disabled".into()));
    assert!(found(vec![read, enabled(2, 20 * MINUTE, "state_user", "true"), refresh(3, 30 * MINUTE)]).is_empty());
    // A read that was begun before the event does not take it back; a later one does.
    let event = enabled(1, 0, "user_updated", "false");
    let soon = enabled(2, MINUTE, "state_user", "true");
    assert_eq!(found(vec![event.clone(), soon, refresh(3, 30 * MINUTE)]).len(), 1);
    assert!(found(vec![event, enabled(2, 20 * MINUTE, "state_user", "true"), refresh(3, 30 * MINUTE)]).is_empty());
    // The other way round: what was read may be older than the event that let them in again, or that made them.
    let back = enabled(2, MINUTE, "user_updated", "true");
    let older = |at| enabled(3, at, "state_user", "false");
    let put_out = enabled(1, 0, "user_updated", "false");
    let later = refresh(4, 40 * MINUTE);
    let acts = |read: Act| vec![put_out.clone(), back.clone(), read, later.clone()];
    assert!(found(acts(older(11 * MINUTE))).is_empty());
    assert_eq!(times_out(acts(older(11 * MINUTE)).iter()), [("a".to_owned(), 0, Some(MINUTE))]);
    assert_eq!(found(acts(older(11 * MINUTE + 1))).len(), 1, "a read that was begun after the event");
    let refused = Act { outcome: "failure".into(), ..back.clone() };
    let made = Act { kind: "user_created".into(), ..back.clone() };
    assert!(found(vec![made, older(2 * MINUTE), later.clone()]).is_empty());
    assert_eq!(found(vec![refused, older(2 * MINUTE), later]).len(), 1, "what was refused enabled nobody");
    // Of somebody who was never out a read says nothing.
    assert!(found(vec![enabled(1, 0, "state_user", "true"), refresh(2, 5 * MINUTE)]).is_empty());
}

fn guessed(facts: &mut Facts, login: i64) -> Vec<Candidate> {
    facts.acts = vec![act(1, login - 5, ("user_locked_temporarily", "a")), act(2, login, ("login", "a"))];
    Rule::of("D13").unwrap().judge(facts, &Settings::default()).found
}

#[test]
fn of_a_part_of_the_events_only_what_is_known_whole_is_written() {
    let rule = Rule::of("D13").unwrap();
    let mut facts = facts();
    let written = |found: &[Candidate], since, until| {
        let looked = Looked { since, until, ..Looked::ALL };
        compare((rule, "t"), &[], found, looked).steps.len()
    };
    let found = guessed(&mut facts, 10 * HOUR);
    assert_eq!(written(&found, 10 * HOUR, 11 * HOUR), 1);
    assert_eq!(written(&found, 11 * HOUR, i64::MAX), 1, "a change of credentials may have made it worse");
    assert_eq!(written(&found, 11 * HOUR + 1, i64::MAX), 0);
    assert_eq!(written(&found, 0, 10 * HOUR), 0, "it belongs to the next part");
    // Taken back is only what began within the part.
    let held = Held {
        id: found[0].id("t"),
        rule: "D13".into(),
        person: "a".into(),
        first: 10 * HOUR,
        standing: Some(Standing::Open),
        changes: 1,
        content: 0,
    };
    let withdrawn = |since, until| {
        let looked = Looked { since, until, ..Looked::ALL };
        compare((rule, "t"), std::slice::from_ref(&held), &[], looked).steps.len()
    };
    assert_eq!((withdrawn(0, 10 * HOUR), withdrawn(10 * HOUR, 11 * HOUR), withdrawn(11 * HOUR, i64::MAX)), (0, 1, 0));
    // Logins of an account that was not looked at whole say nothing.
    facts.guessed = Some(["b".to_owned()].into());
    assert!(guessed(&mut facts, 10 * HOUR).is_empty());
}

#[test]
fn of_one_who_did_too_much_what_is_older_than_the_latest_stays_as_it_is() {
    let rule = Rule::of("D19").unwrap();
    let candidate = |first| Candidate {
        rule: "D19",
        dedup: "a:1".into(),
        person: "a".into(),
        severity: drift::Severity::High,
        confidence: drift::Confidence::Inferred,
        first,
        last: first,
        stands: true,
        values: Default::default(),
        evidence: Vec::new(),
    };
    let held = Held {
        id: candidate(0).id("t"),
        rule: "D19".into(),
        person: "a".into(),
        first: 5,
        standing: Some(Standing::Open),
        changes: 1,
        content: 0,
    };
    let persons: BTreeSet<String> = ["a".to_owned()].into();
    let looked = |latest| Looked { persons: Some(&persons), latest, ..Looked::ALL };
    let written = |held: &[Held], found: &[Candidate], latest| {
        let changes = compare((rule, "t"), held, found, looked(latest));
        (changes.rows.len(), changes.steps.iter().map(|step| step.what).collect::<Vec<_>>())
    };
    let one = std::slice::from_ref(&held);
    assert_eq!(written(one, &[candidate(20)], 10), (0, vec![]), "its beginning is not known");
    assert_eq!(written(one, &[], 10), (0, vec![]));
    assert_eq!(written(one, &[candidate(20)], 5), (1, vec![]));
    assert_eq!(written(one, &[], 5), (0, vec!["withdrawn"]));
    assert_eq!(written(&[], &[candidate(20)], 10), (1, vec!["opened"]), "better in part than not at all");
    let others = BTreeSet::new();
    let nobody = Looked { persons: Some(&others), ..Looked::ALL };
    assert!(compare((rule, "t"), &[], &[candidate(20)], nobody).steps.is_empty(), "of somebody who was not looked at");
}

#[test]
fn what_a_rule_that_is_switched_off_had_found_stands_no_more_and_is_found_again() {
    let rule = Rule::of("D13").unwrap();
    let found = guessed(&mut facts(), 10 * HOUR);
    let held = |standing, changes| Held {
        id: found[0].id("t"),
        rule: "D13".into(),
        person: "a".into(),
        first: 10 * HOUR,
        standing,
        changes,
        content: drift::finding::content(&found[0]),
    };
    let step = switched_off(&held(Some(Standing::Open), 1)).unwrap();
    assert_eq!((step.what, step.reason.contains("switched off")), ("withdrawn", true));
    // The next time it is another change of the same finding.
    assert_ne!(step.change, switched_off(&held(Some(Standing::Open), 3)).unwrap().change);
    for over in [None, Some(Standing::Ended), Some(Standing::Withdrawn)] {
        assert_eq!(switched_off(&held(over, 1)), None, "it stands no more");
    }
    let off = held(Some(Standing::Withdrawn), 2);
    let steps = |found: &[Candidate]| {
        let changes = compare((rule, "t"), std::slice::from_ref(&off), found, Looked::ALL);
        changes.steps.iter().map(|step| step.what).collect::<Vec<_>>()
    };
    assert_eq!((steps(&found), steps(&[])), (vec!["reopened"], vec![]));
}
