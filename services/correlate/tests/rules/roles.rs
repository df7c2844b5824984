//! Keycloak's roles: names and ids of one role, what ends with it, and differences that no event explains.

use crate::case::{Case, person};
use correlate::{
    Rank,
    facts::{Entity, Holder, List, Parent, RoleName, What},
    rows::{Cause, Missed, RightKind, Row, WorldKind},
};

fn by_id(id: &'static str) -> RoleName<'static> {
    RoleName { id, ..RoleName::default() }
}

fn by_name(name: &'static str) -> RoleName<'static> {
    RoleName { name, ..RoleName::default() }
}

fn held(case: &mut Case, at: f64, holder: Holder<'static>, role: RoleName<'static>) {
    case.keycloak(at, What::RoleHeld { holder, role, held: Some(true) });
}

fn roles_at(case: &Case, t: i64) -> Vec<String> {
    let rights = case.rows().correlator.rights_at("kc", "u1", t).into_iter();
    rights.filter(|right| right.kind == RightKind::Role).map(|right| right.right).collect()
}

/// A read of what contains what.
fn composites(case: &mut Case, at: f64, pairs: Vec<(&'static str, &'static str)>) {
    case.read(at, ("kc", "r"), (vec![], vec![], vec![(List::Composites, pairs)]));
}

#[test]
fn a_composite_that_is_told_by_name_is_of_the_role_that_bore_it() {
    let mut case = Case::new();
    held(&mut case, 1.0, Holder::User("u1"), RoleName { id: "r-1", name: "admin", client: "" });
    // A client's role of the same name is another.
    held(&mut case, 1.0, Holder::User("u2"), RoleName { id: "r-2", name: "admin", client: "c" });
    case.keycloak(2.0, What::Composite { outer: by_name("admin"), inner: by_id("r-3"), held: Some(true) });
    assert_eq!(roles_at(&case, 3_000), ["r-1", "r-3"]);
    // A read that says the same by id is no difference; one that lacks it is.
    composites(&mut case, 10.0, vec![("r-1", "r-3")]);
    assert!(case.rows().gaps().is_empty(), "{:#?}", case.rows().gaps());
    case.keycloak(20.0, What::Composite { outer: by_name("admin"), inner: by_id("r-3"), held: Some(false) });
    composites(&mut case, 30.0, vec![]);
    assert!(case.rows().gaps().is_empty(), "{:#?}", case.rows().gaps());
    assert_eq!(roles_at(&case, 25_000), ["r-1"]);
    // Ended and made anew under the same name: from then on the other is meant.
    case.keycloak(40.0, What::RoleDeleted { role: by_name("admin") });
    held(&mut case, 50.0, Holder::User("u1"), RoleName { id: "r-9", name: "admin", client: "" });
    case.keycloak(45.0, What::Composite { outer: by_name("admin"), inner: by_id("r-3"), held: Some(true) });
    assert_eq!((roles_at(&case, 42_000), roles_at(&case, 60_000)), (vec![], vec!["r-3".into(), "r-9".into()]));
}

#[test]
fn a_role_that_ended_gives_nothing_whoever_had_it() {
    let mut case = Case::new();
    case.group(1.0, ("g-ops", "/ops", Parent::Top));
    case.member(1.0, ("u1", "g-ops", true));
    held(&mut case, 2.0, Holder::User("u1"), by_id("r-own"));
    held(&mut case, 2.0, Holder::Group("g-ops"), by_id("r-group"));
    case.keycloak(3.0, What::Composite { outer: by_id("r-own"), inner: by_id("r-inner"), held: Some(true) });
    case.keycloak(3.0, What::Composite { outer: by_id("r-inner"), inner: by_id("r-last"), held: Some(true) });
    assert_eq!(roles_at(&case, 10_000), ["r-group", "r-inner", "r-last", "r-own"]);
    case.keycloak(20.0, What::RoleDeleted { role: by_id("r-inner") });
    case.keycloak(30.0, What::RoleDeleted { role: by_id("r-group") });
    assert_eq!(roles_at(&case, 19_999), ["r-group", "r-inner", "r-last", "r-own"]);
    assert_eq!(
        (roles_at(&case, 20_000), roles_at(&case, 30_000)),
        (vec!["r-group".into(), "r-own".into()], vec!["r-own".into()])
    );
    // By reference: one row of the role, and none of those who had it.
    let lives = case.rows().rows.into_values().filter_map(|row| match row {
        Row::World(row) if row.kind == WorldKind::Lives => Some((row.holder, row.from, row.to)),
        _ => None,
    });
    let lives: Vec<_> = lives.collect();
    assert_eq!(lives, [("r-group".to_owned(), None, Some(30_000)), ("r-inner".to_owned(), None, Some(20_000))]);
}

#[test]
fn composites_and_default_groups_that_changed_unseen_are_named() {
    let mut case = Case::new();
    let default = |case: &mut Case, at, groups: Vec<(&'static str, &'static str)>| {
        case.read(at, ("kc", "r"), (vec![], vec![], vec![(List::DefaultGroups, groups)]));
    };
    composites(&mut case, 10.0, vec![("r-1", "r-2")]);
    default(&mut case, 10.0, vec![("r", "g-1")]);
    // The console takes roles out of another and does not say which.
    case.keycloak(50.0, What::Composite { outer: by_id("r-1"), inner: by_name(""), held: None });
    composites(&mut case, 100.0, vec![("r-3", "r-2")]);
    default(&mut case, 100.0, vec![("r", "g-2")]);
    let rows = case.rows();
    let told: Vec<_> = rows
        .gaps()
        .into_iter()
        .map(|gap| {
            (gap.holder.as_str(), gap.kind, gap.right.as_str(), gap.missing, gap.after, gap.before, gap.causes[0])
        })
        .collect();
    let lost = Cause::LostDelivery;
    let gap = |of: (&'static str, RightKind, &'static str), missing, cause| {
        (of.0, of.1, of.2, missing, 10_000, 100_000, cause)
    };
    let expected = [
        gap(("r", RightKind::DefaultGroup, "g-1"), Missed::Removal, lost),
        gap(("r", RightKind::DefaultGroup, "g-2"), Missed::Grant, lost),
        gap(("r-1", RightKind::Composite, "r-2"), Missed::Removal, Cause::UnnamedRemoval),
        gap(("r-3", RightKind::Composite, "r-2"), Missed::Grant, lost),
    ];
    assert_eq!(told, expected);
    // Each is gone when the event comes after all.
    case.keycloak(60.0, What::Composite { outer: by_id("r-1"), inner: by_id("r-2"), held: Some(false) });
    case.keycloak(60.0, What::Composite { outer: by_id("r-3"), inner: by_id("r-2"), held: Some(true) });
    case.keycloak(60.0, What::DefaultGroup { group: "g-1", held: false });
    case.keycloak(60.0, What::DefaultGroup { group: "g-2", held: true });
    assert!(case.rows().gaps().is_empty(), "{:#?}", case.rows().gaps());
}

#[test]
fn a_default_group_that_is_gone_is_given_to_nobody() {
    let mut case = Case::new();
    case.group(1.0, ("g-top", "/top", Parent::Top));
    case.group(1.0, ("g-1", "/top/one", Parent::Below("g-top")));
    case.keycloak(2.0, What::DefaultGroup { group: "g-1", held: true });
    case.keycloak(10.0, What::UserCreated { user: "u1" });
    case.keycloak(20.0, What::GroupDeleted { group: "g-top" });
    case.keycloak(30.0, What::UserCreated { user: "u2" });
    // With the group it is no default any more: a list without it is no difference.
    let user = |user| Entity::User { user, username: user, email: "", enabled: true };
    let (users, lists) = (vec![user("u1"), user("u2")], vec![(List::DefaultGroups, vec![]), (List::Members, vec![])]);
    case.read(40.0, ("kc", "r"), (vec![List::Users], users, lists));
    let rows = case.rows();
    assert!(rows.gaps().is_empty(), "{:#?}", rows.gaps());
    let told = |case: &Case| -> Vec<(_, Option<i64>, bool)> {
        let rows = case.rows();
        rows.grants().into_iter().map(|grant| (grant.person.clone(), grant.from, grant.by_default)).collect()
    };
    assert_eq!(told(&case), [(person("u1"), Some(10_000), true)]);
    let by_default = |t| rows.correlator.rights_at("kc", "u1", t).iter().all(|right| right.by_default);
    assert!(by_default(15_000), "what follows from it, too");
    // Who leaves it and is put into it is there by somebody's hand.
    case.member(12.0, ("u1", "g-1", false));
    case.member(14.0, ("u1", "g-1", true));
    assert_eq!(told(&case), [(person("u1"), Some(10_000), true), (person("u1"), Some(14_000), false)]);
}

#[test]
fn a_backstage_role_that_is_saved_anew_is_held_since_it_was_given() {
    let mut case = Case::new();
    case.catalog(1.0, &[("user:default/cleo", "u1", &[]), ("user:default/dan", "u2", &[])], &[]);
    let save = |case: &mut Case, at, members: &[&'static str]| {
        let role = "role:default/owners";
        case.tell(at, ("bs", "", Rank::Change), What::RoleMembersReplaced { role });
        members.iter().for_each(|member| _ = case.role(at, (role, member, true)));
    };
    save(&mut case, 10.0, &["user:default/cleo", "user:default/dan"]);
    save(&mut case, 20.0, &["user:default/cleo"]);
    save(&mut case, 30.0, &["user:default/cleo", "user:default/dan"]);
    let since = |user| {
        let rights = case.rows().correlator.rights_at("kc", user, 40_000);
        let role = rights.into_iter().find(|right| right.kind == RightKind::BackstageRole);
        role.and_then(|role| role.since)
    };
    assert_eq!((since("u1"), since("u2")), (Some(10_000), Some(30_000)));
    assert!(case.rows().correlator.rights_at("kc", "u2", 25_000).is_empty());
}

#[test]
fn whom_a_read_alone_shows_was_not_named_before_either() {
    let mut case = Case::new();
    case.catalog(1.0, &[("user:default/cleo", "u1", &[])], &[]);
    let role = "role:default/owners";
    case.tell(10.0, ("bs", "", Rank::Change), What::RoleMembersReplaced { role });
    let pairs = vec![("user:default/cleo", role), ("group:default/ops", "role:default/ops")];
    case.read(20.0, ("bs", ""), (vec![], vec![], vec![(List::RoleMembers, pairs)]));
    // Its rows are the same in every order.
    let rights = |at| case.rows().correlator.rights_at("kc", "u1", at).len();
    assert_eq!([5_000, 15_000, 25_000].map(rights), [0, 0, 1]);
    let gaps =
        case.rows().gaps().into_iter().map(|gap| (gap.kind, gap.missing, gap.after, gap.before)).collect::<Vec<_>>();
    assert_eq!(gaps, [(RightKind::BackstageRole, Missed::Grant, 10_000, 20_000)]);
}
