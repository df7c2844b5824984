//! Who a reference stands for.

use crate::case::{Case, decided, key, person};
use correlate::{
    facts::{Entity, List, Parent, What},
    rows::{Grade, Reason, Verdict},
};
use events::event::Outcome::{Allow, Deny};

const OPS: &[(&str, &str)] = &[("group:default/ops", "g-ops")];

#[test]
fn a_user_deleted_and_created_again_under_one_name_is_two_persons() {
    let mut case = Case::new();
    case.catalog(1.0, &[("user:default/cleo", "u1", &[])], OPS);
    case.sign_in(10.0, ("u1", "s1", "user:default/cleo"));
    let before = case.decision(20.0, "user:default/cleo", Deny);
    case.keycloak(30.0, What::UserDeleted { user: "u1" });
    case.keycloak(40.0, What::UserCreated { user: "u2" });
    case.member(41.0, ("u2", "g-ops", true));
    case.catalog(50.0, &[("user:default/cleo", "u2", &["group:default/ops"])], OPS);
    let after = case.decision(60.0, "user:default/cleo", Allow);
    let rows = case.rows();
    assert_eq!(rows.decision(before).person, Some(person("u1")));
    let after = rows.decision(after);
    assert_eq!((after.person.as_ref(), after.verdict), (Some(&person("u2")), Verdict::Agrees));
    // The dead person's token works with the new person's rights.
    assert!(after.reasons.contains(&Reason::CredentialOfAnother), "{after:?}");
    assert_eq!(after.grade, Grade::Inferred);
}

#[test]
fn an_entity_that_is_gone_stands_for_its_last_person_while_tokens_live() {
    let mut case = Case::new();
    case.catalog(1.0, &[("user:default/cleo", "u1", &[])], OPS);
    case.sign_in(10.0, ("u1", "s1", "user:default/cleo"));
    case.catalog(50.0, &[], OPS);
    let soon = case.decision(60.0, "user:default/cleo", Deny);
    let late = case.decision(700.0, "user:default/cleo", Deny);
    let rows = case.rows();
    assert_eq!(rows.decision(soon).person, Some(person("u1")));
    assert!(rows.decision(soon).reasons.contains(&Reason::EntityGone));
    assert_eq!(rows.decision(late).person, Some(key().named("t", "bs", "user", "user:default/cleo")));
    assert_eq!(rows.decision(late).grade, Grade::None);
}

#[test]
fn a_late_tie_brings_old_decisions_home() {
    let mut case = Case::new();
    let early = case.decision(20.0, "user:default/cleo", Allow);
    let named = key().named("t", "bs", "user", "user:default/cleo");
    assert_eq!(case.rows().decision(early).person, Some(named));
    case.member(5.0, ("u1", "g-ops", true));
    case.catalog(100.0, &[("user:default/cleo", "u1", &["group:default/ops"])], OPS);
    let rows = case.rows();
    let row = rows.decision(early);
    assert_eq!((row.person.as_ref(), row.verdict), (Some(&person("u1")), Verdict::Agrees));
    assert!(row.reasons.contains(&Reason::TieSeenLater) && row.grade <= Grade::Inferred);
    let change = case.last_change();
    let change = change.iter().find(|change| change.key == correlate::rows::Key::Decision(early)).expect("changed");
    assert_eq!((change.version, change.because.is_some()), (2, true));
}

#[test]
fn whoever_comes_between_two_reads_of_the_catalog_is_who_the_second_names() {
    let mut case = Case::new();
    case.catalog(1.0, &[], OPS);
    case.catalog(50.0, &[], OPS);
    case.member(60.0, ("u1", "g-ops", true));
    case.catalog(100.0, &[("user:default/cleo", "u1", &["group:default/ops"])], OPS);
    let too_early = case.decision(20.0, "user:default/cleo", Deny);
    let issuing = case.sign_in(70.0, ("u1", "s1", "user:default/cleo"));
    let between = case.decision(71.0, "user:default/cleo", Allow);
    let rows = case.rows();
    let row = rows.decision(between);
    assert_eq!((row.person.as_ref(), row.verdict), (Some(&person("u1")), Verdict::Agrees));
    assert_eq!((row.session.as_deref(), row.grade), (Some("s1"), Grade::Inferred));
    assert!(row.reasons.contains(&Reason::TieSeenLater), "{row:?}");
    assert_eq!(rows.session("s1").sign_ins[0].credential, Some(issuing));
    assert!(rows.decision(too_early).reasons.contains(&Reason::NotTied), "then it was not there");
    assert!(rows.gaps().is_empty(), "the catalog has no events that could be missing");
}

#[test]
fn between_two_reads_that_name_two_persons_it_is_not_certain_who_it_was() {
    let mut case = Case::new();
    case.catalog(1.0, &[("user:default/cleo", "u1", &[])], OPS);
    case.catalog(100.0, &[("user:default/cleo", "u2", &[])], OPS);
    case.sign_in(40.0, ("u1", "s1", "user:default/cleo"));
    let between = case.decision(50.0, "user:default/cleo", Deny);
    let after = case.decision(110.0, "user:default/cleo", Deny);
    let rows = case.rows();
    let row = rows.decision(between);
    assert_eq!((row.person.as_ref(), row.grade), (Some(&person("u1")), Grade::Inferred));
    assert!(row.reasons.contains(&Reason::RestsOnGap), "{row:?}");
    assert_eq!(rows.decision(after).person.as_ref(), Some(&person("u2")));
    assert!(!rows.decision(after).reasons.contains(&Reason::RestsOnGap));
}

#[test]
fn a_reference_that_is_gone_stands_for_its_last_person_however_often_its_absence_is_read() {
    let mut case = Case::new();
    case.catalog(10.0, &[("user:default/cleo", "u1", &[])], OPS);
    case.catalog(100.0, &[], OPS);
    case.catalog(200.0, &[], OPS);
    let decision = case.decision(250.0, "user:default/cleo", Deny);
    let beyond = case.decision(701.0, "user:default/cleo", Deny);
    assert!(case.rows().decision(beyond).reasons.contains(&Reason::NotTied), "no token lives that long");
    // That it is there again later must not change who it was then.
    case.catalog(900.0, &[("user:default/cleo", "u2", &[])], OPS);
    let rows = case.rows();
    assert_eq!(rows.decision(decision).person, Some(person("u1")));
    assert!(rows.decision(decision).reasons.contains(&Reason::EntityGone));
    assert_eq!(rows.decision(beyond).person, Some(person("u2")), "it must have come by then");
    assert!(rows.decision(beyond).reasons.contains(&Reason::TieSeenLater));
}

#[test]
fn names_join_nobody_unless_configured() {
    let mut case = Case::new();
    case.keycloak(1.0, What::Named { user: "u1", username: "Cleo@Example", email: "" });
    case.member(2.0, ("u1", "g-ops", true));
    case.group(2.0, ("g-ops", "ops", Parent::Top));
    let decision = case.decision(20.0, "user:default/cleo-example", Allow);
    assert!(case.rows().decision(decision).reasons.contains(&Reason::NotTied));
    case.config.joins[0].by_name = true;
    let rows = case.rows();
    let row = rows.decision(decision);
    assert_eq!((row.person.as_ref(), row.verdict), (Some(&person("u1")), Verdict::Agrees));
    assert!(row.reasons.contains(&Reason::TiedByName) && row.grade <= Grade::Inferred);
    // A second user whose name Backstage would write alike: nobody is guessed.
    case.keycloak(1.0, What::Named { user: "u2", username: "cleo-example", email: "" });
    assert!(case.rows().decision(decision).reasons.contains(&Reason::SeveralUsers));
}

#[test]
fn two_keycloaks_never_meet() {
    let mut case = Case::new();
    case.catalog(1.0, &[("user:default/cleo", "u1", &[])], OPS);
    let other = ("elsewhere", "r", correlate::Rank::Change);
    case.tell(5.0, other, What::Member { user: "u1", group: "g-ops", path: "", held: true });
    case.tell(6.0, other, What::Enabled { user: "u1", enabled: false });
    let decision = case.decision(20.0, "user:default/cleo", Deny);
    let rows = case.rows();
    assert_eq!(rows.decision(decision).verdict, Verdict::Agrees);
    assert!(!rows.decision(decision).reasons.contains(&Reason::Disabled));
}

#[test]
fn a_rename_is_one_person_with_two_names() {
    let mut case = Case::new();
    case.keycloak(1.0, What::Named { user: "u1", username: "cleo", email: "" });
    case.catalog(2.0, &[("user:default/cleo", "u1", &[])], OPS);
    case.keycloak(10.0, What::Named { user: "u1", username: "clea", email: "" });
    case.catalog(12.0, &[("user:default/clea", "u1", &[])], OPS);
    let before = case.decision(5.0, "user:default/cleo", Deny);
    let after = case.decision(20.0, "user:default/clea", Deny);
    let rows = case.rows();
    assert_eq!(rows.decision(before).person, rows.decision(after).person);
    let mut names: Vec<(String, Option<i64>, Option<i64>)> = Vec::new();
    for row in rows.rows.values() {
        if let correlate::rows::Row::Alias(row) = row {
            names.push((row.name.clone(), row.from, row.to));
        }
    }
    names.sort();
    let expected = [
        ("clea", Some(10_000), None),
        ("cleo", Some(1_000), Some(10_000)),
        ("user:default/clea", Some(12_000), None),
        ("user:default/cleo", None, Some(12_000)),
    ];
    assert_eq!(names, expected.map(|(name, from, to)| (name.to_owned(), from, to)));
}

#[test]
fn callers_without_a_person_are_none() {
    let mut case = Case::new();
    let mut call = decided("", "", Allow);
    call.actor = ("static", "ci-deployer");
    let token = case.decided(5.0, call);
    let system = case.decided(6.0, decided("", "deploy", Allow));
    let rows = case.rows();
    assert_eq!(rows.decision(token).person, Some(key().named("t", "bs", "static", "ci-deployer")));
    for event in [token, system] {
        assert_eq!((rows.decision(event).grade, rows.decision(event).verdict), (Grade::None, Verdict::NotJudged));
        assert_eq!(rows.decision(event).reasons, [Reason::NoPerson]);
    }
}

#[test]
fn a_read_of_keycloak_names_people_and_their_state() {
    let mut case = Case::new();
    case.catalog(1.0, &[("user:default/cleo", "u1", &["group:default/ops"])], OPS);
    let user = Entity::User { user: "u1", username: "cleo", email: "c@x", enabled: false };
    let group = Entity::Group { group: "g-ops", path: "/ops", parent: "" };
    case.read(
        100.0,
        ("kc", "r"),
        (vec![List::Users, List::Groups], vec![user, group], vec![(List::Members, vec![("u1", "g-ops")])]),
    );
    let decision = case.decision(110.0, "user:default/cleo", Allow);
    // No event ever disabled them: as far back as is known they were.
    let rows = case.rows();
    assert_eq!(rows.decision(decision).verdict, Verdict::AllowedWithoutRight);
    assert!(rows.decision(decision).reasons.contains(&Reason::Disabled));
}

#[test]
fn another_bearer_of_a_name_takes_the_credential_from_a_session() {
    let mut case = Case::new();
    case.config.joins[0].by_name = true;
    case.catalog(1.0, &[], &[]);
    case.keycloak(2.0, What::Named { user: "u1", username: "ann", email: "" });
    let issuing = case.sign_in(10.0, ("u1", "s1", "user:default/ann"));
    assert_eq!(case.rows().session("s1").sign_ins[0].credential, Some(issuing));
    case.keycloak(3.0, What::Named { user: "u2", username: "Ann", email: "" });
    assert_eq!(case.rows().session("s1").sign_ins[0].credential, None, "it may have been the other one's");
}

#[test]
fn a_name_that_only_a_snapshot_shows_ties_what_was_said_of_it_before() {
    let mut case = Case::new();
    case.config.joins[0].by_name = true;
    case.catalog(1.0, &[], &[]);
    case.keycloak(2.0, What::Named { user: "u1", username: "ann", email: "" });
    let user = |username| Entity::User { user: "u1", username, email: "", enabled: true };
    case.read(5.0, ("kc", "r"), (vec![List::Users], vec![user("ann")], vec![]));
    let decision = case.decision(30.0, "user:default/anna", Allow);
    assert_ne!(case.rows().decision(decision).person.as_ref(), Some(&person("u1")));
    case.read(20.0, ("kc", "r"), (vec![List::Users], vec![user("anna")], vec![]));
    assert_eq!(case.rows().decision(decision).person.as_ref(), Some(&person("u1")));
}
