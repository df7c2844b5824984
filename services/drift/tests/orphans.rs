//! D20 of whom one system alone knows: it is so now or no more, whoever a round looks at; what could not be asked is said.
#![allow(clippy::unwrap_used)] // a test may panic

mod support;

use drift::{
    Facts, Rule, Settings, Severity, State,
    finding::content,
    orphan::{Orphan, Side},
    register::{Held, Looked, Standing, compare},
};
use std::collections::BTreeSet;
use support::{HOUR, facts};
use uuid::Uuid;

fn rule() -> &'static Rule {
    Rule::of("D20").unwrap()
}

fn orphan(side: Side, group: &str) -> Orphan {
    Orphan {
        side,
        backstage: "bs".into(),
        keycloak: "kc".into(),
        person: "a".repeat(32),
        since: HOUR,
        groups: vec![group.to_owned()],
        proven: side == Side::Entity,
        evidence: vec![(HOUR, Uuid::from_u128(7))],
    }
}

fn with(orphans: Vec<Orphan>) -> Facts {
    let mut facts = facts();
    facts.orphans.found = orphans;
    facts
}

#[test]
fn who_is_in_a_privileged_group_is_worse() {
    let settings = Settings { privileged: ["g1".to_owned()].into(), ..Settings::default() };
    let severities = |group: &str| {
        let found = rule().judge(&with(vec![orphan(Side::Entity, group), orphan(Side::User, group)]), &settings).found;
        assert!(
            found.iter().all(|one| one.values["source"] == "bs" && one.person.is_empty()),
            "what may be suppressed"
        );
        assert_eq!(found.iter().map(|one| one.id("t")).collect::<BTreeSet<_>>().len(), 2, "one of each side");
        found.iter().map(|one| one.severity).collect::<Vec<_>>()
    };
    assert_eq!(severities("g1"), [Severity::High, Severity::High]);
    assert_eq!(severities("g2"), [Severity::Medium, Severity::Medium]);
}

#[test]
fn it_opens_and_ends_in_a_round_that_looks_at_nobody() {
    let found = rule().judge(&with(vec![orphan(Side::Entity, "g1")]), &Settings::default()).found;
    let nobody = BTreeSet::new();
    let looked = Looked { persons: Some(&nobody), since: i64::MAX, ..Looked::ALL };
    let opened = compare((rule(), "t"), &[], &found, looked);
    assert_eq!((opened.rows.len(), opened.steps[0].what), (1, "opened"));
    let held = Held {
        id: found[0].id("t"),
        rule: "D20".into(),
        person: String::new(),
        first: HOUR,
        standing: Some(Standing::Open),
        changes: 1,
        content: content(&found[0]),
    };
    let of_somebody = Held { id: Uuid::from_u128(9), person: "b".repeat(32), ..held.clone() };
    let both = [held.clone(), of_somebody];
    let quiet = compare((rule(), "t"), &both, &found, looked);
    assert!(quiet.rows.is_empty() && quiet.steps.is_empty(), "{quiet:?}");
    let over = compare((rule(), "t"), &both, &[], looked);
    let steps: Vec<_> = over.steps.iter().map(|step| (step.finding, step.what)).collect();
    assert_eq!(steps, [(held.id, "ended")], "whom nobody looked at stays");
    let unasked = Looked { nobody: false, ..looked };
    assert!(compare((rule(), "t"), &both, &[], unasked).steps.is_empty(), "what could not be asked is not over");
    let ended = Held { standing: Some(Standing::Ended), ..held };
    let again = compare((rule(), "t"), &[ended], &found, looked);
    assert!(again.steps[0].what == "reopened" && again.steps[0].answers, "{again:?}");
}

#[test]
fn what_could_not_be_asked_is_said() {
    let mut facts = facts();
    facts.orphans.unjudged = vec!["whom bs or kc alone knows (no complete snapshot)".into()];
    let (state, detail) = rule().state(&facts, &Settings::default(), 0);
    assert_eq!(state, State::Ok);
    assert!(detail.contains("whom bs or kc alone knows (no complete snapshot)"), "{detail}");
    assert!(!rule().state(&with(Vec::new()), &Settings::default(), 0).1.contains("alone knows"));
}
