//! Who gives a role to what they are in has it from then on; what was done in an impersonated session makes it worse.
#![allow(clippy::unwrap_used)] // a test may panic

mod support;

use drift::{
    Candidate, Confidence, Facts, Rule, Settings, Severity,
    facts::{Act, Acted, Gap, Had, Source},
    register::{Held, Looked, Standing, compare},
};
use std::collections::BTreeSet;
use support::{HOUR, facts};
use uuid::Uuid;

fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

/// At ten o'clock `ann` gives the role `r` to a group.
fn grant() -> Act {
    Act {
        event: id(9),
        at: 10 * HOUR,
        source: "kc".into(),
        kind: "role_granted".into(),
        outcome: "success".into(),
        actor: "ann".into(),
        right_kind: "realm_role".into(),
        right: "r".into(),
        ..Act::default()
    }
}

/// She has it through the group `g`, of which she is a member since two o'clock.
fn had(from: Option<i64>, to: Option<i64>) -> Had {
    Had {
        person: "ann".into(),
        source: "kc".into(),
        role: "r".into(),
        through: "g".into(),
        path: vec!["g".into()],
        joined: Some((2 * HOUR, id(2))),
        from,
        to,
        rests_on_gap: false,
    }
}

fn found(rule: &str, facts: &Facts) -> Vec<Candidate> {
    Rule::of(rule).unwrap().judge(facts, &Settings::default()).found
}

#[test]
fn a_role_for_a_group_that_the_actor_is_in_is_one_for_themselves() {
    let mut facts = facts();
    facts.acts = vec![grant()];
    assert!(found("D05", &facts).is_empty(), "they are not in it");
    facts.had = vec![had(Some(10 * HOUR), None)];
    let one = found("D05", &facts).pop().unwrap();
    assert_eq!((one.person.as_str(), one.first, &one.values["through"]), ("ann", 10 * HOUR, &"g".into()));
    assert_eq!(one.values["joined_at_ms"], 2 * HOUR);
    assert_eq!((one.severity, one.confidence, one.evidence), (Severity::High, Confidence::Proven, vec![id(2), id(9)]));
    let settings = Settings { privileged: ["g".to_owned()].into(), ..Settings::default() };
    assert_eq!(Rule::of("D05").unwrap().judge(&facts, &settings).found[0].severity, Severity::Critical);

    // In it before, or later, and not then.
    for (from, to) in [(Some(11 * HOUR), None), (Some(2 * HOUR), Some(9 * HOUR))] {
        facts.had = vec![had(from, to)];
        assert!(found("D05", &facts).is_empty(), "{from:?}");
    }
    // What they had is nothing new: by another path, or by the same one where it is only saved anew.
    for before in [had(None, None), had(Some(3 * HOUR), Some(10 * HOUR))] {
        facts.had = vec![had(Some(10 * HOUR), None), before];
        assert!(found("D05", &facts).is_empty());
    }
    facts.had = vec![had(Some(10 * HOUR), None)];
    for wrong in [
        Act { actor: "bob".into(), ..grant() },
        Act { actor: String::new(), ..grant() },
        Act { source: "other".into(), ..grant() },
        Act { right: "s".into(), ..grant() },
        Act { outcome: "failure".into(), ..grant() },
    ] {
        facts.acts = vec![wrong];
        assert!(found("D05", &facts).is_empty(), "{:?}", facts.acts);
    }
    facts.acts = vec![grant()];
    facts.ripe = 10 * HOUR - 1;
    assert!(found("D05", &facts).is_empty());
}

#[test]
fn a_membership_that_may_have_ended_unseen_makes_it_less_sure() {
    let mut facts = facts();
    facts.acts = vec![grant()];
    facts.had = vec![Had { rests_on_gap: true, ..had(Some(10 * HOUR), None) }];
    let sure = |facts: &Facts| found("D05", facts)[0].confidence;
    assert_eq!(sure(&facts), Confidence::Inferred);
    // By a second group it is sure.
    facts.had.push(Had { through: "h".into(), ..had(Some(10 * HOUR), None) });
    assert_eq!((sure(&facts), &found("D05", &facts)[0].values["through"]), (Confidence::Proven, &"h".into()));
    let gap = |since, until| Gap { source: "kc".into(), since, until: Some(until), ..Gap::default() };
    facts.gaps = vec![gap(HOUR, 2 * HOUR - 1)];
    assert_eq!(sure(&facts), Confidence::Proven, "it was over when they joined");
    facts.gaps = vec![gap(3 * HOUR, 4 * HOUR)];
    assert_eq!(sure(&facts), Confidence::Inferred);
    facts.gaps[0].repaired = Some(5 * HOUR);
    assert_eq!(sure(&facts), Confidence::Proven);
    // Of another source nothing of it can be missing, of any something can.
    facts.sources.push(Source { id: "kc2".into(), ..facts.sources[0].clone() });
    for (source, confidence) in [
        ("kc2", Confidence::Proven),
        ("bs", Confidence::Proven),
        ("", Confidence::Inferred),
        ("kc", Confidence::Inferred),
    ] {
        facts.gaps = vec![Gap { source: source.into(), ..gap(3 * HOUR, 4 * HOUR) }];
        assert_eq!(sure(&facts), confidence, "{source:?}");
    }
}

#[test]
fn what_is_given_back_after_a_moment_says_so_and_is_no_less() {
    let mut facts = facts();
    facts.acts = vec![grant()];
    let mut told = |until: i64, change: fn(Had) -> Had| {
        facts.had = vec![had(Some(10 * HOUR), None), change(had(Some(2 * HOUR), Some(until)))];
        let [one] = &found("D05", &facts)[..] else { panic!("{:?}", facts.had) };
        // Whoever took it away may have meant it.
        assert_eq!((one.severity, one.confidence), (Severity::High, Confidence::Proven));
        one.values.get("held_until_ms").cloned()
    };
    let moment = 10 * HOUR - drift::rules::MOMENT;
    assert_eq!(told(moment, |had| had), Some(moment.into()));
    assert_eq!(told(moment - 1, |had| had), None, "it was gone for long");
    // By another way, of somebody else, or perhaps never.
    assert_eq!(told(moment, |had| Had { through: "h".into(), path: vec!["h".into()], ..had }), None);
    assert_eq!(told(moment, |had| Had { person: "bob".into(), ..had }), None);
    assert_eq!(told(moment, |had| Had { role: "s".into(), ..had }), None);
    assert_eq!(told(moment, |had| Had { rests_on_gap: true, ..had }), None);
}

#[test]
fn a_backstage_role_is_given_by_whom_the_actor_was_tied_to() {
    let mut facts = facts();
    let role = |person: &str| Act {
        source: "bs".into(),
        kind: "backstage_role_member_added".into(),
        // Keys of references: nobody's that Keycloak knows.
        actor: "ref".into(),
        person: person.into(),
        right_kind: "backstage_role".into(),
        right: "role:default/Operators".into(),
        ..grant()
    };
    let has = Had { source: "bs".into(), role: "role:default/operators".into(), ..had(Some(10 * HOUR), None) };
    // To a group of theirs, or to themselves by name.
    for (person, through) in [("", "g"), ("ref", "")] {
        facts.acts = vec![Act {
            holder: if person.is_empty() { "group:default/g".into() } else { String::new() },
            ..role(person)
        }];
        let path = if through.is_empty() { vec![] } else { vec!["g".to_owned(), "group:default/G".to_owned()] };
        facts.had = vec![Had { through: through.into(), path, ..has.clone() }];
        facts.givers.clear();
        assert!(found("D05", &facts).is_empty(), "nobody knows who that is");
        facts.givers = [(id(9), "ann".to_owned())].into();
        assert_eq!((&*found("D05", &facts)[0].person, found("D05", &facts)[0].confidence), ("ann", Confidence::Proven));
        // In which Keycloak the membership began is not said: a gap of any counts, and one of this Backstage.
        for (source, confidence) in
            [("kc", Confidence::Inferred), ("bs", Confidence::Inferred), ("bs2", Confidence::Proven)]
        {
            facts.gaps = vec![Gap { source: source.into(), since: 3 * HOUR, until: Some(4 * HOUR), ..Gap::default() }];
            assert_eq!(found("D05", &facts)[0].confidence, confidence, "{source}");
        }
        facts.gaps.clear();
        // Saved with others: each of them is told by an event of its own.
        let own = facts.acts[0].clone();
        facts.acts.push(Act { event: id(10), person: "bob".into(), holder: String::new(), ..own.clone() });
        facts.acts.push(Act { event: id(11), person: String::new(), holder: "group:default/others".into(), ..own });
        facts.givers.extend([10, 11].map(|n| (id(n), "ann".to_owned())));
        assert_eq!(
            found("D05", &facts).iter().map(|one| one.evidence.clone()).collect::<Vec<_>>(),
            [vec![id(2), id(9)]]
        );
        // Saved with all its members: they may have been among them before.
        facts.acts[0].details.insert("members".into(), "complete".into());
        let one = &found("D05", &facts)[0];
        assert_eq!((one.confidence, one.severity), (Confidence::Inferred, Severity::Medium));
    }
}

#[test]
fn what_is_done_in_an_impersonated_session_makes_it_worse() {
    let mut facts = facts();
    facts.acts = vec![Act { kind: "impersonated".into(), person: "bob".into(), ..grant() }];
    let one = found("D16", &facts).pop().unwrap();
    assert!(one.severity == Severity::High && !one.values.contains_key("let_in"), "nothing is known: {one:?}");
    let last = Some(11 * HOUR);
    let reads = Acted { let_in: 3, sure: 2, last, evidence: vec![id(20), id(21)], ..Acted::default() };
    facts.acted = [(id(9), reads.clone())].into();
    let one = found("D16", &facts).pop().unwrap();
    assert_eq!((one.severity, one.last, &one.values["let_in"]), (Severity::High, 11 * HOUR, &3.into()));
    assert_eq!((one.evidence, &one.values["gap_overlaps"]), (vec![id(9), id(20), id(21)], &false.into()));
    // What was allowed to be written was perhaps only shown as a button.
    for (acted, severity) in [
        (Acted { writes: 1, ..reads.clone() }, Severity::High),
        (Acted { credentials: 1, ..reads.clone() }, Severity::Critical),
    ] {
        facts.acted = [(id(9), acted)].into();
        assert_eq!(found("D16", &facts)[0].severity, severity);
    }
    // Where that cannot be looked up, neither rule speaks, and others do.
    facts.unanswered = true;
    let silent = |rule: &str| Rule::of(rule).unwrap().lacks(&facts).is_some();
    assert_eq!(["D05", "D16", "D03"].map(silent), [true, true, false]);
    facts.unanswered = false;
    // Whoever is acted for can do more than others.
    let settings = Settings { privileged: ["r".to_owned()].into(), ..Settings::default() };
    facts.acted = [(id(9), reads.clone())].into();
    let severity = |facts: &Facts| Rule::of("D16").unwrap().judge(facts, &settings).found[0].severity;
    for (from, to, said) in [
        (None, Some(10 * HOUR), Severity::High),
        (Some(10 * HOUR + 1), None, Severity::High),
        (Some(10 * HOUR), None, Severity::Critical),
    ] {
        facts.had = vec![Had { person: "bob".into(), ..had(from, to) }];
        assert_eq!(severity(&facts), said, "{from:?}");
    }
    facts.had[0].person = "ann".into();
    assert_eq!(severity(&facts), Severity::High);
    // Until the session ends, something of it may be missing: of this Keycloak, or of a Backstage.
    facts.gaps = vec![Gap { source: "bs".into(), since: 12 * HOUR, until: Some(13 * HOUR), ..Gap::default() }];
    assert_eq!(found("D16", &facts)[0].values["gap_overlaps"], true);
    facts.sources.push(Source { id: "kc2".into(), ..facts.sources[0].clone() });
    for (source, overlaps) in [("kc2", false), ("kc", true), ("bs", true)] {
        facts.gaps[0].source = source.into();
        assert_eq!(found("D16", &facts)[0].values["gap_overlaps"], overlaps, "{source}");
    }
    facts.acted = [(id(9), Acted { ended: Some(12 * HOUR - 1), ..reads })].into();
    assert_eq!(found("D16", &facts)[0].values["gap_overlaps"], false);
}

#[test]
fn what_is_looked_up_anew_is_opened_and_withdrawn_whenever_it_happened() {
    let rule = Rule::of("D05").unwrap();
    let mut facts = facts();
    (facts.acts, facts.had) = (vec![grant()], vec![had(Some(10 * HOUR), None)]);
    let found = found("D05", &facts);
    let held = Held {
        id: found[0].id("t"),
        rule: "D05".into(),
        person: "ann".into(),
        first: 10 * HOUR,
        standing: Some(Standing::Open),
        changes: 1,
        content: 0,
    };
    let again: BTreeSet<Uuid> = [held.id].into();
    let lately = Looked { since: 50 * HOUR, ..Looked::ALL };
    let looked = Looked { again: Some(&again), ..lately };
    let steps = |looked, held: &[Held], found: &[Candidate]| {
        compare((rule, "t"), held, found, looked).steps.into_iter().map(|step| step.what).collect::<Vec<_>>()
    };
    assert_eq!((steps(lately, &[], &found), steps(looked, &[], &found)), (vec![], vec!["opened"]));
    let held = std::slice::from_ref(&held);
    assert_eq!((steps(lately, held, &[]), steps(looked, held, &[])), (vec![], vec!["withdrawn"]));
}

#[test]
fn without_the_correlation_or_with_a_silent_backstage_both_say_what_they_do_not_see() {
    let mut facts = facts();
    let detail = |rule: &str, facts: &Facts| Rule::of(rule).unwrap().state(facts, &Settings::default(), 0).1;
    facts.correlated = false;
    for rule in ["D05", "D16"] {
        assert!(detail(rule, &facts).contains("answers of the correlation"), "{rule}");
    }
    facts.correlated = true;
    facts.gaps = vec![Gap { source: "bs".into(), cause: "silent".into(), since: HOUR, ..Gap::default() }];
    for rule in ["D05", "D16"] {
        assert!(detail(rule, &facts).contains("what Backstage tells (bs silent)"), "{rule}");
    }
    assert!(!detail("D03", &facts).contains("what Backstage tells"));
}
