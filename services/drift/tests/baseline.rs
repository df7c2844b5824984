//! D04: what differs from the baseline is found beyond its grace, ends when it differs no more, and is never green without a file.
#![allow(clippy::unwrap_used)] // a test may panic

use drift::{
    Candidate, Facts, Rule, Settings, Severity, State, Subject,
    baseline::Listed,
    facts::{BaselineFacts, BaselineGroup, Member, Product, Source},
    finding::content,
    register::{Held, Looked, Standing, compare},
};

const MINUTE: i64 = 60_000;

fn rule() -> &'static Rule {
    Rule::of("D04").unwrap()
}

fn member(person: &str, since: Option<i64>, listed: Listed) -> Member {
    Member { person: person.into(), since, listed, ..Member::default() }
}

/// A privileged group whose file changed at 10 min, with a grace of 60 min, looked at after 100 min.
fn facts(held: Vec<Member>) -> Facts {
    let group = BaselineGroup {
        source: "kc".into(),
        path: "/admins".into(),
        id: "g1".into(),
        grace: 60 * MINUTE,
        changed: 10 * MINUTE,
        held,
        ..BaselineGroup::default()
    };
    let source = Source { id: "kc".into(), product: Product::Keycloak, proven: true, first: Some(0), token_life: 0 };
    Facts {
        now: 100 * MINUTE,
        ripe: 100 * MINUTE,
        correlated: true,
        sources: vec![source],
        baseline: Some(BaselineFacts { groups: vec![group] }),
        ..Facts::default()
    }
}

fn group(facts: &mut Facts) -> &mut BaselineGroup {
    &mut facts.baseline.as_mut().unwrap().groups[0]
}

fn found(facts: &Facts) -> Vec<(String, String)> {
    let found = rule().judge(facts, &Settings::default()).found;
    assert_eq!(rule().subjects(), [Subject::Person, Subject::Source]);
    assert!(found.iter().all(|one| one.values["source"] == "kc"));
    found.iter().map(|one| (one.values["what"].as_str().unwrap().to_owned(), one.person.clone())).collect()
}

fn one(what: &str, person: &str) -> (String, String) {
    (what.into(), person.into())
}

#[test]
fn who_is_not_listed_is_found_beyond_the_grace() {
    let mut facts = facts(vec![
        member("listed", None, Listed::Yes),
        member("long", Some(0), Listed::No),
        member("since ever", None, Listed::No),
        member("young", Some(41 * MINUTE), Listed::No),
        member("excepted", Some(0), Listed::Until(101 * MINUTE)),
        member("over", Some(0), Listed::Until(40 * MINUTE)),
        member("just over", Some(0), Listed::Until(41 * MINUTE)),
    ]);
    let extra = [one("extra", "long"), one("extra", "since ever"), one("expired exception", "over")];
    assert_eq!(found(&facts), extra);
    // The file itself changed a moment ago: what it says new is on its way.
    group(&mut facts).changed = 41 * MINUTE;
    assert_eq!(found(&facts), []);
}

#[test]
fn who_is_lacking_and_a_group_that_is_too_large() {
    let mut facts = facts(vec![member("a", Some(0), Listed::Yes), member("b", Some(20 * MINUTE), Listed::Yes)]);
    let gone = Member { entry: 3, ..member("gone", Some(30 * MINUTE), Listed::No) };
    let unknown = Member { entry: 4, ..member("", None, Listed::No) };
    group(&mut facts).lacking = vec![gone, unknown];
    assert_eq!(found(&facts), [one("missing", "gone"), one("missing", "")]);
    group(&mut facts).most = Some(1);
    assert_eq!(found(&facts)[2], one("more than max_members", ""));
    group(&mut facts).held[1].since = Some(50 * MINUTE);
    assert_eq!(found(&facts).len(), 2, "the one too many is young");
    // Nobody has named such a group: counted, and nothing is said of it.
    group(&mut facts).id.clear();
    let judged = rule().judge(&facts, &Settings::default());
    assert_eq!((judged.found.len(), &judged.values["groups_never_seen"]), (0, &1.into()));
}

#[test]
fn privileged_groups_are_high() {
    let mut facts = facts(vec![member("p", Some(0), Listed::No)]);
    let severity = |facts: &Facts, settings: &Settings| rule().judge(facts, settings).found[0].severity;
    assert_eq!(severity(&facts, &Settings::default()), Severity::Medium);
    let named = Settings { privileged: ["g1".to_owned()].into(), ..Settings::default() };
    assert_eq!(severity(&facts, &named), Severity::High);
    group(&mut facts).privileged = true;
    assert_eq!(severity(&facts, &Settings::default()), Severity::High);
}

#[test]
fn without_a_file_it_is_not_evaluable() {
    let mut facts = facts(Vec::new());
    assert_eq!(rule().state(&facts, &Settings::default(), 0).0, State::Ok);
    facts.baseline = None;
    let (state, why) = rule().state(&facts, &Settings::default(), 0);
    assert!(state == State::NotEvaluable && why.contains("baseline check"), "{why}");
}

/// What is mended is over, once; it is not "none".
#[test]
fn what_differs_no_more_has_ended() {
    let facts = facts(vec![member("p", Some(0), Listed::No)]);
    let candidates: Vec<Candidate> = rule().judge(&facts, &Settings::default()).found;
    let looked = Looked { since: 0, ..Looked::ALL };
    let mut held = Held {
        id: candidates[0].id("t"),
        rule: "D04".into(),
        person: "p".into(),
        first: 0,
        standing: Some(Standing::Open),
        changes: 1,
        content: content(&candidates[0]),
    };
    let steps = |held: &Held, found: &[Candidate]| -> Vec<&'static str> {
        compare((rule(), "t"), std::slice::from_ref(held), found, looked).steps.iter().map(|step| step.what).collect()
    };
    assert_eq!(steps(&held, &candidates), [] as [&str; 0]);
    assert_eq!(steps(&held, &[]), ["ended"]);
    (held.standing, held.changes) = (Some(Standing::Ended), 2);
    assert_eq!(steps(&held, &[]), [] as [&str; 0]);
    assert_eq!(steps(&held, &candidates), ["reopened"]);
    // When somebody was done with it, it was not so: that they are in the group since long ago says nothing.
    let answers =
        |held: &Held| compare((rule(), "t"), std::slice::from_ref(held), &candidates, looked).steps[0].answers;
    assert!(answers(&held));
    held.standing = Some(Standing::Withdrawn);
    assert!(!answers(&held), "as when its rule was switched off and on");
}
