//! Each rule speaks where it should and is silent where it must be; what it cannot judge is never green; the register opens once.
#![allow(clippy::unwrap_used)] // a test may panic

use drift::{
    Candidate, Facts, RULES, Rule, Settings, Severity, State, Subject,
    facts::{Act, Decision, Gap, Missing, Product, Source},
    finding::content,
    register::{Held, Looked, Standing, compare},
};
use std::collections::BTreeSet;
use uuid::Uuid;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

/// Both sources heard for a day, nothing missing, everything ripe.
fn facts() -> Facts {
    let source =
        |id: &str, product| Source { id: id.into(), product, proven: true, first: Some(-24 * HOUR), token_life: HOUR };
    Facts {
        now: 100 * HOUR,
        ripe: 100 * HOUR,
        correlated: true,
        sources: vec![source("kc", Product::Keycloak), source("bs", Product::Backstage)],
        ..Facts::default()
    }
}

fn act(n: u128, at: i64, kind: &str) -> Act {
    Act {
        event: id(n),
        at,
        source: "kc".into(),
        realm: "corp".into(),
        kind: kind.into(),
        outcome: "success".into(),
        account: "p1".into(),
        person: "p1".into(),
        ..Act::default()
    }
}

fn with(mut act: Act, name: &str, value: &str) -> Act {
    act.details.insert(name.into(), value.into());
    act
}

fn allow(n: u128, at: i64, verdict: &str, delay: Option<i64>) -> Decision {
    Decision {
        event: id(n),
        at,
        person: "p1".into(),
        permission: "catalog.location.create".into(),
        outcome: "allow".into(),
        verdict: verdict.into(),
        delay,
        clock: "catalog".into(),
        grade: "exact".into(),
        candidates: 1,
        groups: vec!["g1".into()],
        ..Decision::default()
    }
}

/// What a rule finds; each finding names what the rule says that its findings can be told by.
fn found(rule: &str, facts: &Facts) -> Vec<Candidate> {
    let rule = Rule::of(rule).unwrap();
    let found = rule.judge(facts, &Settings::default()).found;
    for one in &found {
        let names = [(Subject::Person, !one.person.is_empty()), (Subject::Source, one.values.contains_key("source"))];
        for (subject, named) in names {
            let may = rule.subjects().contains(&subject);
            // Of D03 and D04 a finding names one or both.
            assert!(may == named || (may && rule.subjects().len() > 1), "{} {subject}: {one:?}", rule.id);
        }
    }
    found
}

#[test]
fn stale_allow_is_exposure_within_the_budget_and_a_finding_beyond() {
    let mut facts = facts();
    facts.decisions = vec![allow(1, 10_000, "exposure", Some(6_000)), allow(2, 12_000, "exposure", Some(8_000))];
    assert!(found("D01", &facts).is_empty());
    let judged = Rule::of("D01").unwrap().judge(&facts, &Settings::default());
    assert_eq!(judged.values["exposure_catalog"]["longest_seconds"], 8.0);
    // Two decisions since one removal are one finding.
    facts.decisions.extend([
        allow(3, HOUR, "violation", Some(HOUR - 4_000)),
        allow(4, 2 * HOUR, "violation", Some(2 * HOUR - 4_000)),
    ]);
    let one = found("D01", &facts);
    assert_eq!((one.len(), one[0].first, one[0].last, one[0].severity), (1, 4_000, 2 * HOUR, Severity::High));
    let mut disabled = facts.clone();
    disabled.decisions.iter_mut().for_each(|one| one.reasons.push("disabled".into()));
    assert!(found("D01", &disabled).is_empty(), "disabled people are D02's");
    facts.ripe = HOUR - 1;
    assert!(found("D01", &facts).is_empty(), "evidence that is too young waits");
    let settings = Settings { privileged: ["g1".to_owned()].into(), ..Settings::default() };
    facts.ripe = 100 * HOUR;
    assert_eq!(Rule::of("D01").unwrap().judge(&facts, &settings).found[0].severity, Severity::Critical);
}

#[test]
fn a_leaver_is_found_beyond_the_grace_and_until_they_are_back() {
    let mut facts = facts();
    let mut late = allow(9, 10 * MINUTE, "exposure", Some(10 * MINUTE));
    late.reasons.push("disabled".into());
    facts.acts = vec![with(act(1, 0, "user_updated"), "enabled", "false")];
    let mut soon = late.clone();
    (soon.event, soon.at) = (id(8), 30_000);
    facts.decisions = vec![soon];
    assert!(found("D02", &facts).is_empty(), "within the grace");
    facts.decisions.push(late);
    let one = found("D02", &facts);
    assert_eq!((one.len(), one[0].severity), (1, Severity::Medium));
    assert_eq!(one[0].values["active_seconds"], 600.0);
    assert_eq!(one[0].evidence[0], id(1), "the act that put them out is the first evidence");
    // A refresh after the end is critical.
    facts.acts.push(act(2, 5 * MINUTE, "token_refreshed"));
    assert_eq!(found("D02", &facts)[0].severity, Severity::Critical);
    let mut refused = act(3, 5 * MINUTE, "login");
    refused.outcome = "failure".into();
    facts.acts = vec![with(act(1, 0, "user_updated"), "enabled", "false"), refused];
    facts.decisions.clear();
    assert!(found("D02", &facts).is_empty(), "a refused login is no activity");
    // Enabled again: what comes after is nothing.
    facts.acts = vec![
        with(act(1, 0, "user_updated"), "enabled", "false"),
        with(act(2, MINUTE, "user_updated"), "enabled", "true"),
        act(3, HOUR, "login"),
    ];
    assert!(found("D02", &facts).is_empty());
    // Updates that say nothing of it change nothing.
    facts.acts[1].details.clear();
    assert_eq!(found("D02", &facts).len(), 1);
}

#[test]
fn accounts_that_are_one_person_by_hand_are_told_apart_where_one_of_them_ends_or_is_guessed_at() {
    let mut facts = facts();
    let other = |act: Act| Act { account: "p2".into(), ..act };
    // Their second account is closed; with the first one they go on.
    facts.acts = vec![other(with(act(1, 0, "user_updated"), "enabled", "false")), act(2, HOUR, "login")];
    assert!(found("D02", &facts).is_empty());
    let mut late = allow(9, 10 * MINUTE, "exposure", Some(10 * MINUTE));
    late.reasons.push("disabled".into());
    facts.decisions = vec![late];
    let one = found("D02", &facts);
    assert_eq!((one.len(), one[0].person.as_str(), one[0].dedup.as_str()), (1, "p1", "p2:0"));
    // Failures of one account and a login to the other.
    let failure = |n: u128| Act { outcome: "failure".into(), ..act(n, n as i64 * 1_000, "login") };
    facts.acts = (0..10).map(|n| other(failure(n))).chain([act(50, MINUTE, "login")]).collect();
    assert!(found("D13", &facts).is_empty());
    facts.acts.push(other(act(51, MINUTE, "login")));
    assert_eq!(found("D13", &facts)[0].person, "p1");
    // From one of their accounts they give the other a right.
    facts.acts = vec![other(Act { actor: "p1".into(), right: "g1".into(), ..act(60, HOUR, "group_member_added") })];
    assert_eq!(found("D05", &facts).len(), 1);
}

#[test]
fn out_of_band_is_lowered_by_a_gap() {
    let mut facts = facts();
    facts.missing =
        vec![Missing { person: "p1".into(), right: "g1".into(), after: 0, before: HOUR, ..Missing::default() }];
    assert_eq!(found("D03", &facts)[0].severity, Severity::High);
    facts.gaps = vec![Gap { source: "kc".into(), since: MINUTE, until: Some(2 * MINUTE), ..Gap::default() }];
    assert_eq!(found("D03", &facts)[0].severity, Severity::Medium, "whose event is missing is not known");
    // Only a gap of the very source can have lost it, of a Backstage too.
    let other = Source { id: "kc2".into(), ..facts.sources[0].clone() };
    facts.sources.push(other);
    for (source, gap, severity) in [
        ("kc", "kc", Severity::Medium),
        ("kc", "", Severity::Medium),
        ("kc", "kc2", Severity::High),
        ("kc", "bs", Severity::High),
        ("bs", "kc", Severity::High),
        ("bs", "bs", Severity::Medium),
    ] {
        (facts.missing[0].source, facts.gaps[0].source) = (source.into(), gap.into());
        assert_eq!(found("D03", &facts)[0].severity, severity, "{source}, gap of {gap:?}");
    }
}

#[test]
fn self_escalation_is_the_same_person_by_key() {
    let mut facts = facts();
    let grant = |n, actor: &str| Act { actor: actor.into(), right: "g1".into(), ..act(n, HOUR, "group_member_added") };
    facts.acts = vec![grant(1, "p2"), grant(2, "")];
    assert!(found("D05", &facts).is_empty());
    facts.acts.push(grant(3, "p1"));
    assert_eq!(found("D05", &facts).len(), 1);
}

#[test]
fn a_gap_stands_until_it_is_repaired_and_a_repaired_one_has_ended() {
    let mut facts = facts();
    facts.gaps = vec![
        Gap { source: "kc".into(), cause: "silent".into(), since: HOUR, ..Gap::default() },
        Gap {
            source: "kc".into(),
            cause: "lost".into(),
            since: 0,
            until: Some(1),
            repaired: Some(2),
            ..Gap::default()
        },
    ];
    let gaps = found("D12", &facts);
    assert_eq!(
        gaps.iter().map(|one| (one.stands, one.severity)).collect::<Vec<_>>(),
        [(true, Severity::High), (false, Severity::Medium)]
    );
    // Events among heartbeats that came back: low, over, and none where the webhook brought them in the end.
    let lost = |missing| Gap {
        source: "kc".into(),
        input: "webhook".into(),
        cause: "deliveries_lost".into(),
        until: Some(5),
        missing: Some(missing),
        repaired: Some(9),
        repaired_by: "pull".into(),
        ..Gap::default()
    };
    facts.gaps = vec![lost(3)];
    let healed = found("D12", &facts);
    assert_eq!((healed.len(), healed[0].stands, healed[0].severity), (1, false, Severity::Low));
    assert_eq!(healed[0].values["what"], "lost by webhook, repaired by pull");
    let mut settings = Settings { gap_least: HOUR, ..Settings::default() };
    assert_eq!(Rule::of("D12").unwrap().judge(&facts, &settings).found.len(), 1, "it is no span of time");
    let differ = Gap { cause: "copies_differ".into(), until: Some(5), missing: Some(1), ..Gap::default() };
    let answers = Gap { cause: "answers_differ".into(), until: None, since: facts.now, ..Gap::default() };
    facts.gaps = vec![Gap { cause: "silent".into(), until: Some(5), ..Gap::default() }, differ, answers];
    let altered = Rule::of("D12").unwrap().judge(&facts, &settings).found;
    let causes: Vec<_> = altered.iter().map(|one| &one.values["cause"]).collect();
    assert_eq!(causes, ["copies_differ", "answers_differ"], "no outage");
    assert_eq!((altered[0].stands, altered[0].severity), (true, Severity::High));
    facts.gaps = vec![lost(0)];
    settings.gap_least = 0;
    assert!(Rule::of("D12").unwrap().judge(&facts, &settings).found.is_empty());
    facts.sources.iter_mut().for_each(|source| source.proven = false);
    let rule = Rule::of("D12").unwrap();
    assert_eq!(rule.state(&facts, &Settings::default(), 0).0, State::NotEvaluable, "silence proves nothing here");
}

#[test]
fn a_burst_of_failures_counts_only_before_a_success_and_close_together() {
    let mut facts = facts();
    let failure = |n: u128, at| Act { outcome: "failure".into(), ..act(n, at, "login") };
    facts.acts = (0..9).map(|n| failure(n, n as i64 * MINUTE)).collect();
    facts.acts.push(act(50, HOUR, "login"));
    assert!(found("D13", &facts).is_empty(), "nine are not ten");
    facts.acts.insert(9, failure(9, 9 * MINUTE));
    let one = found("D13", &facts);
    assert_eq!((one.len(), &one[0].values["failures"], one[0].severity), (1, &10.into(), Severity::High));
    facts.acts.push(act(51, HOUR + MINUTE, "credential_updated"));
    assert_eq!(found("D13", &facts)[0].severity, Severity::Critical);
    facts.acts[10].at = 10 * HOUR;
    facts.acts.truncate(11);
    assert!(found("D13", &facts).is_empty(), "the burst is long over");
    let spread: Vec<Act> = (0..10).map(|n| failure(n, n as i64 * 10 * MINUTE)).collect();
    facts.acts = spread.into_iter().chain([act(50, 100 * MINUTE, "login")]).collect();
    assert!(found("D13", &facts).is_empty(), "ten within 90 minutes are no burst");
    facts.acts = vec![act(1, 0, "user_locked_temporarily"), act(2, HOUR, "login")];
    assert_eq!(found("D13", &facts)[0].values["mode"], "lockout");
}

#[test]
fn impersonation_counts_only_where_it_came_off() {
    let mut facts = facts();
    facts.acts = vec![Act { outcome: "failure".into(), ..act(1, HOUR, "impersonated") }];
    assert!(found("D16", &facts).is_empty());
    facts.acts.push(act(2, HOUR, "impersonated"));
    assert_eq!(found("D16", &facts).len(), 1);
}

#[test]
fn a_decision_without_login_needs_coverage_and_a_person() {
    let mut facts = facts();
    let mut alone = allow(1, 10 * HOUR, "agrees", None);
    alone.candidates = 0;
    facts.decisions = vec![alone.clone()];
    assert_eq!(found("D19", &facts).len(), 1);
    facts.gaps = vec![Gap { source: "kc".into(), since: 9 * HOUR + 1, until: Some(9 * HOUR + 2), ..Gap::default() }];
    assert!(found("D19", &facts).is_empty(), "the login may be lost");
    facts.gaps[0].repaired = Some(1);
    assert_eq!(found("D19", &facts).len(), 1);
    facts.sources[0].first = Some(10 * HOUR - 1);
    assert!(found("D19", &facts).is_empty(), "not heard for the life of a token");
    facts.sources[0].first = Some(0);
    alone.reasons.push("no_person".into());
    facts.decisions = vec![alone];
    let judged = Rule::of("D19").unwrap().judge(&facts, &Settings::default());
    assert_eq!(
        (judged.found.len(), &judged.values["callers_that_are_no_person"]),
        (0, &1.into()),
        "counted, not hidden"
    );
}

#[test]
fn colliding_names_are_found_by_who_they_let_in() {
    let mut facts = facts();
    let mut other = allow(2, HOUR, "agrees", None);
    other.reasons.push("credential_of_another".into());
    let denied = Decision { outcome: "deny".into(), ..allow(3, HOUR, "name_collision", None) };
    facts.decisions = vec![allow(1, HOUR, "name_collision", None), other, denied];
    let kinds: BTreeSet<_> = found("D20", &facts).iter().map(|one| one.values["collision_of"].to_string()).collect();
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), ["\"group\"", "\"user\""]);
}

#[test]
fn what_cannot_be_judged_is_never_green() {
    let empty = Facts::default();
    for rule in RULES {
        let (state, why) = rule.state(&empty, &Settings::default(), 0);
        assert_eq!(state, State::NotEvaluable, "{}", rule.id);
        assert!(!why.is_empty());
        let off = Settings { disabled: [rule.id.to_owned()].into(), ..Settings::default() };
        assert_eq!(rule.state(&facts(), &off, 0).0, State::Disabled);
    }
    let states = |open| Rule::of("D05").unwrap().state(&facts(), &Settings::default(), open).0;
    assert_eq!((states(0), states(1)), (State::Ok, State::Exception));
}

/// The register over rounds: what a crash between two writes, a repetition, or events that come late leave.
#[test]
fn the_register_opens_once_and_withdraws_what_is_undone() {
    let rule = Rule::of("D02").unwrap();
    let mut facts = facts();
    facts.acts = vec![with(act(1, 0, "user_updated"), "enabled", "false"), act(2, HOUR, "login")];
    let candidates = found("D02", &facts);
    let looked = Looked::ALL;
    let first = compare((rule, "t"), &[], &candidates, looked);
    let again = compare((rule, "t"), &[], &candidates, looked);
    assert_eq!(first.steps, again.steps, "two processors write the same step");
    assert_eq!((first.rows.len(), first.steps[0].what), (1, "opened"));
    let mut held = Held {
        id: candidates[0].id("t"),
        rule: "D02".into(),
        person: "p1".into(),
        first: 0,
        standing: None,
        changes: 0,
        content: content(&candidates[0]),
    };
    let after_crash = compare((rule, "t"), std::slice::from_ref(&held), &candidates, looked);
    assert_eq!((after_crash.rows.len(), &after_crash.steps), (0, &first.steps), "only the step was missing");
    (held.standing, held.changes) = (Some(Standing::Open), 1);
    let quiet = compare((rule, "t"), std::slice::from_ref(&held), &candidates, looked);
    assert!(quiet.rows.is_empty() && quiet.steps.is_empty());
    // Undone: withdrawn only if this person was looked at.
    let nobody = BTreeSet::new();
    let elsewhere = Looked { persons: Some(&nobody), since: 0, ..Looked::ALL };
    assert!(compare((rule, "t"), std::slice::from_ref(&held), &[], elsewhere).steps.is_empty());
    assert_eq!(compare((rule, "t"), std::slice::from_ref(&held), &[], looked).steps[0].what, "withdrawn");
    (held.standing, held.changes) = (Some(Standing::Withdrawn), 2);
    let back = compare((rule, "t"), std::slice::from_ref(&held), &candidates, looked);
    assert_eq!(back.steps[0].what, "reopened");
    assert_ne!(back.steps[0].change, first.steps[0].change);
}

#[test]
fn a_look_that_is_cut_short_judges_nothing_and_says_so() {
    let mut facts = facts();
    facts.acts = vec![act(1, 0, "user_locked_temporarily"), act(2, HOUR, "login")];
    assert_eq!(found("D13", &facts).len(), 1);
    let rule = Rule::of("D13").unwrap();
    facts.cut = true;
    assert!(rule.judge(&facts, &Settings::default()).found.is_empty());
    let (state, why) = rule.state(&facts, &Settings::default(), 1);
    assert!(state == State::NotEvaluable && why.contains("at once"), "{why}");
    (facts.cut, facts.partly) = (false, true);
    let (state, why) = rule.state(&facts, &Settings::default(), 0);
    assert!(state == State::Ok && why.contains("too much to look at"), "{why}");
}
