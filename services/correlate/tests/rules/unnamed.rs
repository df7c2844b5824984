//! A removal that names no role may have taken any: what it says of people, groups and composites until roles are read again.

use crate::{
    case::Rows,
    snapshots::{KEYCLOAK, case, keycloak, member},
};
use correlate::{
    facts::{Holder, RoleName, State, What},
    rows::{RightKind, Row, WorldKind},
};
use events::snapshot::Area;

#[test]
fn an_unnamed_removal_is_open_until_the_roles_are_read_again() {
    let mut case = case();
    let held = || keycloak(vec![(Area::RoleUsers, vec![member("u1", "r-admin")])]);
    case.snapshot((20.0, 20.0), KEYCLOAK, &held());
    case.keycloak(50.0, What::RoleHeld { holder: Holder::User("u1"), role: RoleName::default(), held: None });
    case.snapshot((100.0, 100.0), KEYCLOAK, &held());
    let rows = case.rows();
    let unsure = |t: i64| {
        let rights = rows.correlator.rights_at("kc", "u1", t);
        rights.iter().find(|right| right.right == "r-admin").map(|right| right.unsure)
    };
    assert_eq!([30_000, 60_000, 110_000].map(unsure), [Some(false), Some(true), Some(false)]);
    assert_eq!(rests_on_gap(&rows), [false], "it was read again");
}

/// Of each role that is held.
fn rests_on_gap(rows: &Rows) -> Vec<bool> {
    let users = rows.grants().into_iter().filter(|row| row.kind == RightKind::Role).map(|row| row.rests_on_gap);
    users.chain(rows.rows.values().filter_map(group_role)).collect()
}

fn group_role(row: &Row) -> Option<bool> {
    let Row::World(row) = row else { return None };
    (row.kind == WorldKind::GroupRole).then_some(row.rests_on_gap)
}

#[test]
fn what_an_unnamed_removal_may_have_taken_is_told_as_not_sure() {
    let held =
        |mark| keycloak(vec![(Area::RoleUsers, vec![mark]), (Area::RoleGroups, vec![member("g-ops", "r-admin")])]);
    for (holder, expected) in [(Holder::User("u1"), [true, false]), (Holder::Group("g-ops"), [false, true])] {
        let mut case = case();
        case.snapshot((20.0, 20.0), KEYCLOAK, &held(member("u1", "r-admin")));
        assert_eq!(rests_on_gap(&case.rows()), [false, false]);
        case.keycloak(50.0, What::RoleHeld { holder, role: RoleName::default(), held: None });
        assert_eq!(rests_on_gap(&case.rows()), expected);
        case.snapshot((100.0, 100.0), KEYCLOAK, &held(member("u1", "r-admin")));
        assert_eq!(rests_on_gap(&case.rows()), [false, false], "{holder:?}");
    }
}

#[test]
fn what_an_unnamed_removal_may_have_taken_out_of_a_composite_is_told_as_not_sure() {
    let role = |role, name| State::Role { role, name, client: "" };
    let roles = vec![role("r-default", "r-default"), role("r-admin", "r-admin"), role("r-inner", "r-inner")];
    let held = || {
        keycloak(vec![
            (Area::Roles, roles.clone()),
            (Area::RoleUsers, vec![member("u1", "r-admin")]),
            (Area::Composites, vec![member("r-admin", "r-inner")]),
        ])
    };
    let outer = RoleName { id: "r-admin", ..RoleName::default() };
    let mut case = case();
    case.snapshot((20.0, 20.0), KEYCLOAK, &held());
    case.keycloak(50.0, What::Composite { outer, inner: RoleName::default(), held: None });
    let rested = |rows: &Rows| {
        let composites = rows.rows.values().filter_map(|row| match row {
            Row::World(row) if row.kind == WorldKind::Composite => Some(row.rests_on_gap),
            _ => None,
        });
        composites.collect::<Vec<bool>>()
    };
    let rows = case.rows();
    assert_eq!((rested(&rows), rests_on_gap(&rows)), (vec![true], vec![false]), "the role itself is as sure as it was");
    let later = RoleName { id: "r-later", ..RoleName::default() };
    case.keycloak(70.0, What::Composite { outer, inner: later, held: Some(true) });
    let rights = case.rows().correlator.rights_at("kc", "u1", 80_000);
    let unsure: Vec<_> = rights.iter().filter(|right| right.unsure).map(|right| &*right.right).collect();
    assert_eq!(unsure, ["r-inner"], "what came later was not taken before");
    case.keycloak(90.0, What::Composite { outer, inner: later, held: Some(false) });
    case.snapshot((100.0, 100.0), KEYCLOAK, &held());
    let rows = case.rows();
    let unsure = |t: i64| {
        let rights = rows.correlator.rights_at("kc", "u1", t).into_iter();
        let roles = rights.filter(|right| right.kind == RightKind::Role);
        roles.map(|right| (right.right, right.unsure)).collect::<Vec<_>>()
    };
    let told = |inner| vec![("r-admin".to_owned(), false), ("r-inner".to_owned(), inner)];
    assert_eq!([30_000, 60_000, 110_000].map(unsure), [told(false), told(true), told(false)]);
    assert_eq!(rested(&rows), [false, false], "it was read again, and what came later went");
}
