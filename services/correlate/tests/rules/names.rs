//! What a group is called, where nothing but memberships says so; and two groups of one name.

use crate::case::Case;
use correlate::{
    facts::{Entity, List, Parent, What},
    rows::{Grade, Missed, Reason, RightKind, Verdict},
};
use events::event::Outcome::Allow;
use uuid::Uuid;

const CLEO: &[(&str, &str, &[&str])] = &[("user:default/cleo", "u1", &[])];
const CLEO_IN_OPS: &[(&str, &str, &[&str])] = &[("user:default/cleo", "u1", &["group:default/ops"])];
const OPS: &[(&str, &str)] = &[("group:default/ops", "g-ops")];

fn member(case: &mut Case, at: f64, (user, group, path): (&'static str, &'static str, &'static str)) -> Uuid {
    case.keycloak(at, What::Member { user, group, path, held: true })
}

#[test]
fn groups_that_memberships_alone_name_collide() {
    let mut case = Case::new();
    member(&mut case, 4.0, ("u9", "g-ops", "/platform/ops"));
    member(&mut case, 5.0, ("u1", "g-other", "/contractors/Ops"));
    case.catalog(10.0, CLEO_IN_OPS, OPS);
    let decision = case.decision(20.0, "user:default/cleo", Allow);
    let rows = case.rows();
    let row = rows.decision(decision);
    assert_eq!(row.verdict, Verdict::NameCollision);
    assert!(row.reasons.contains(&Reason::SharedName));
    assert_eq!((row.support[0].group.as_str(), row.support[0].above.as_str()), ("g-other", "g-ops"));
    // A group whose name is not told collides with none.
    let mut case = Case::new();
    member(&mut case, 5.0, ("u1", "g-other", ""));
    case.catalog(10.0, CLEO_IN_OPS, OPS);
    let decision = case.decision(20.0, "user:default/cleo", Allow);
    assert_ne!(case.rows().decision(decision).verdict, Verdict::NameCollision);
}

#[test]
fn so_does_one_that_a_new_users_path_alone_names() {
    let mut case = Case::new();
    case.keycloak(5.0, What::UserCreated { user: "u1" });
    member(&mut case, 5.0, ("u1", "", "/contractors/ops"));
    case.catalog(10.0, CLEO_IN_OPS, OPS);
    let decision = case.decision(20.0, "user:default/cleo", Allow);
    assert_eq!(case.rows().decision(decision).verdict, Verdict::NameCollision);
}

#[test]
fn a_rename_that_no_event_told_is_a_gap_up_to_the_membership_that_shows_it() {
    let mut case = Case::new();
    case.catalog(1.0, CLEO, OPS);
    case.group(2.0, ("g-ops", "/ops", Parent::Top));
    member(&mut case, 10.0, ("u1", "g-ops", "/ops"));
    member(&mut case, 20.0, ("u8", "g-ops", "/ops"));
    let told = case.decision(15.0, "user:default/cleo", Allow);
    let open = case.decision(50.0, "user:default/cleo", Allow);
    member(&mut case, 100.0, ("u9", "g-ops", "/operations"));
    let after = case.decision(105.0, "user:default/cleo", Allow);
    let much_later = case.decision(200.0, "user:default/cleo", Allow);
    let rows = case.rows();
    let gap = rows.gaps()[0];
    assert_eq!((gap.kind, gap.right.as_str(), gap.missing), (RightKind::Name, "g-ops", Missed::Change));
    assert_eq!((gap.after, gap.before), (20_000, 100_000));
    assert!(!rows.decision(told).reasons.contains(&Reason::RestsOnGap), "by then it was still called so");
    assert_eq!(rows.decision(open).verdict, Verdict::Agrees);
    assert!(rows.decision(open).reasons.contains(&Reason::RestsOnGap));
    let row = rows.decision(after);
    assert_eq!((row.verdict, row.delay), (Verdict::Exposure, Some(5_000)), "at the latest since then");
    assert!(row.grade <= Grade::Inferred && row.reasons.contains(&Reason::RestsOnGap));
    assert_eq!(rows.decision(much_later).verdict, Verdict::Exposure, "what rests on a gap is never a violation");
    // The rename comes late.
    case.group(60.0, ("g-ops", "operations", Parent::Unsaid));
    let rows = case.rows();
    assert!(rows.gaps().is_empty());
    assert!(!rows.decision(open).reasons.contains(&Reason::RestsOnGap));
    assert_eq!((rows.decision(after).verdict, rows.decision(after).delay), (Verdict::Violation, Some(45_000)));
}

#[test]
fn a_membership_beside_a_rename_does_not_say_which_came_first() {
    let mut case = Case::new();
    case.group(2.0, ("g-ops", "/ops", Parent::Top));
    member(&mut case, 10.0, ("u1", "g-ops", "/ops"));
    case.group(50.0, ("g-ops", "operations", Parent::Unsaid));
    member(&mut case, 50.5, ("u2", "g-ops", "/ops"));
    member(&mut case, 60.0, ("u3", "g-ops", "/operations"));
    // A membership says the name that is read, too.
    let group = Entity::Group { group: "g-ops", path: "/operations", parent: "" };
    case.read(60.2, ("kc", "r"), (vec![List::Groups], vec![group], vec![]));
    assert!(case.rows().gaps().is_empty());
}

#[test]
fn one_of_a_shared_name_that_the_catalog_shows_when_it_is_read_next_collides_by_then() {
    let mut case = Case::new();
    case.catalog(1.0, CLEO, OPS);
    case.group(2.0, ("g-ops", "/platform/ops", Parent::Top));
    member(&mut case, 20.0, ("u1", "g-other", "/contractors/ops"));
    let before = case.decision(40.0, "user:default/cleo", Allow);
    case.catalog(60.0, CLEO_IN_OPS, OPS);
    let rows = case.rows();
    let row = rows.decision(before);
    assert_eq!(row.verdict, Verdict::NameCollision);
    assert!(row.reasons.contains(&Reason::RestsOnGap) && row.grade <= Grade::Inferred, "{row:?}");
}

#[test]
fn a_membership_of_a_shared_name_that_only_the_next_read_tells_collides_too() {
    let mut case = Case::new();
    case.group(2.0, ("g-ops", "/platform/ops", Parent::Top));
    case.group(2.0, ("g-other", "/contractors/ops", Parent::Top));
    case.keycloak(5.0, What::Member { user: "u1", group: "g-other", path: "", held: false });
    case.catalog(10.0, CLEO_IN_OPS, OPS);
    let decision = case.decision(40.0, "user:default/cleo", Allow);
    case.read(60.0, ("kc", "r"), (vec![], vec![], vec![(List::Members, vec![("u1", "g-other")])]));
    let rows = case.rows();
    let row = rows.decision(decision);
    assert_eq!(row.verdict, Verdict::NameCollision);
    assert!(row.reasons.contains(&Reason::RestsOnGap) && row.grade <= Grade::Inferred, "{row:?}");
}

#[test]
fn a_thousand_members_say_the_name_of_their_group_and_cost_each_other_nothing() {
    let mut case = Case::new();
    case.catalog(1.0, CLEO, OPS);
    member(&mut case, 10.0, ("u1", "g-ops", "/ops"));
    case.decision(20.0, "user:default/cleo", Allow);
    let mut correlator = correlate::Correlator::new(case.config.clone());
    case.tell_all(&mut correlator);
    correlator.settle();
    let (answered, told) = (correlator.answered(), case.told());
    for n in 0..1_000 {
        let user: &'static str = Box::leak(format!("m{n}").into_boxed_str());
        member(&mut case, 30.0 + f64::from(n), (user, "g-ops", "/ops"));
    }
    case.tell_from(told, &mut correlator);
    correlator.settle();
    assert_eq!(correlator.answered(), answered + 1_000, "their own grants alone");
}
