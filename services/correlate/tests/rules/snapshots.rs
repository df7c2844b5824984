//! Snapshots: lists of marks, what they stand for, and what follows where they and the events disagree.

use crate::case::{Case, person};
use correlate::{
    Rank,
    facts::{EndKind, Entity, List, Mark, Parent, RoleName, Said, Snapshot, State, What},
    rows::{Cause, Grade, Missed, Reason, RightKind, Verdict},
};
use events::{
    event::Outcome::{Allow, Deny},
    snapshot::Area,
};

const CLEO: &[(&str, &str, &[&str])] = &[("user:default/cleo", "u1", &[])];
const OPS: &[(&str, &str)] = &[("group:default/ops", "g-ops")];
pub const KEYCLOAK: (&str, &str, Rank) = ("kc", "one", Rank::Read);
const BACKSTAGE: (&str, &str, Rank) = ("bs", "", Rank::Read);

/// A mark of its own for every text.
fn mark(text: &str) -> Mark {
    let number = text.bytes().fold(7_u128, |sum, byte| sum.wrapping_mul(1_099_511_628_211) ^ u128::from(byte));
    Mark { entity: number, hash: number as u64 }
}

fn leak(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

pub type Listed = (Area, Vec<State<'static>>);

pub fn keycloak(lists: Vec<Listed>) -> Vec<Listed> {
    let realm = State::Realm { id: "r", default_role: "r-default" };
    let group = State::Group { group: "g-ops", path: "/ops", parent: "" };
    let user = State::User { user: "u1", username: "cleo", email: "", enabled: true };
    let roles = ["r-default", "r-admin"].map(|role| State::Role { role, name: role, client: "" });
    let mut all = vec![
        (Area::Realm, vec![realm]),
        (Area::Clients, vec![]),
        (Area::Groups, vec![group]),
        (Area::Users, vec![user]),
        (Area::Roles, roles.to_vec()),
    ];
    all.retain(|(area, _)| !lists.iter().any(|(other, _)| other == area));
    all.extend(lists);
    all
}

pub fn member(holder: &'static str, held: &'static str) -> State<'static> {
    State::Pair { holder, held }
}

impl Case {
    /// What a mark stands for is told once, by the first snapshot that has it.
    fn entity(&mut self, at: f64, place: (&'static str, &'static str, Rank), entity: (Area, State<'static>)) {
        let said = Said::Entity { mark: mark(&format!("{entity:?}")), state: entity.1 };
        self.tell(at, place, What::Snapshot(Snapshot { id: "of an entity", said }));
    }

    fn list(&mut self, when: (f64, f64), place: (&'static str, &'static str, Rank), told: (&'static str, &Listed)) {
        let (id, (area, states)) = told;
        let entry = |state: &State<'static>| {
            let mark = mark(&format!("{:?}", (*area, *state)));
            format!("{:032x}{:016x}", mark.entity, mark.hash)
        };
        let entries = leak(states.iter().map(entry).collect());
        let said = Said::List { area: *area, within: "", page: 0, pages: 1, entries };
        self.tell_within(when, place, What::Snapshot(Snapshot { id, said }));
    }

    fn area(&mut self, when: (f64, f64), place: (&'static str, &'static str, Rank), told: (&'static str, Area, u64)) {
        let (id, area, entries) = told;
        let said = Said::Area { area, whole: true, counted: (1, 1, entries) };
        self.tell_within(when, place, What::Snapshot(Snapshot { id, said }));
    }

    /// A snapshot, every area read from `when.0` to `when.1`.
    pub fn snapshot(&mut self, when: (f64, f64), place: (&'static str, &'static str, Rank), lists: &[Listed]) {
        let id = leak(format!("at {when:?} of {place:?}"));
        for (area, states) in lists {
            states.iter().for_each(|state| self.entity(when.1, place, (*area, *state)));
            self.list(when, place, (id, &(*area, states.clone())));
            self.area(when, place, (id, *area, states.len() as u64));
        }
    }
}

pub fn case() -> Case {
    let mut case = Case::new();
    case.catalog(1.0, CLEO, OPS);
    case
}

#[test]
fn what_a_snapshot_lacks_is_a_gap_up_to_its_end_and_marks_what_rests_on_it() {
    let mut case = case();
    case.snapshot((20.0, 30.0), KEYCLOAK, &keycloak(vec![(Area::Members, vec![member("u1", "g-ops")])]));
    case.snapshot((100.0, 110.0), KEYCLOAK, &keycloak(vec![(Area::Members, vec![])]));
    let at = [10.0, 50.0, 105.0, 160.0].map(|at| case.decision(at, "user:default/cleo", Allow));
    let denied = case.decision(60.0, "user:default/cleo", Deny);
    let rows = case.rows();
    let [gap] = rows.gaps()[..] else { panic!("{:#?}", rows.gaps()) };
    assert_eq!((gap.kind, gap.right.as_str(), gap.missing), (RightKind::Group, "g-ops", Missed::Removal));
    assert_eq!((gap.after, gap.before), (20_000, 110_000), "held at some instant from 20, not held at some until 110");
    assert_eq!((gap.person.clone(), gap.causes[0]), (Some(person("u1")), Cause::LostDelivery));
    let told = at.map(|event| {
        let row = rows.decision(event);
        (row.verdict, row.reasons.contains(&Reason::RestsOnGap))
    });
    let expected = [
        (Verdict::Agrees, false),
        (Verdict::Agrees, true),
        (Verdict::Agrees, true),
        // 50 s after the right was gone for sure: beyond the budget of 30 s, and not called a violation.
        (Verdict::Exposure, true),
    ];
    assert_eq!(told, expected);
    assert!(rows.decision(at[1]).grade <= Grade::Inferred);
    assert!(rows.decision(denied).reasons.contains(&Reason::RestsOnGap), "a denial in between does, too");
}

#[test]
fn what_a_snapshot_has_and_no_event_gave_marks_the_decisions_in_between() {
    let mut case = case();
    case.snapshot((20.0, 20.0), KEYCLOAK, &keycloak(vec![(Area::Members, vec![])]));
    case.snapshot((100.0, 100.0), KEYCLOAK, &keycloak(vec![(Area::Members, vec![member("u1", "g-ops")])]));
    let between = case.decision(50.0, "user:default/cleo", Allow);
    let before = case.decision(10.0, "user:default/cleo", Allow);
    let rows = case.rows();
    assert_eq!((rows.gaps().len(), rows.gaps()[0].missing), (1, Missed::Grant));
    assert_eq!(rows.decision(between).verdict, Verdict::AllowedWithoutRight);
    assert!(rows.decision(between).reasons.contains(&Reason::RestsOnGap), "the grant may have come before");
    assert!(!rows.decision(before).reasons.contains(&Reason::RestsOnGap));
}

#[test]
fn a_list_says_nothing_before_it_is_known_what_its_marks_stand_for() {
    let mut case = case();
    let all = keycloak(vec![(Area::Members, vec![member("u1", "g-ops")])]);
    case.member(10.0, ("u1", "g-ops", false));
    for (area, states) in all.iter().filter(|(area, _)| *area != Area::Members) {
        states.iter().for_each(|state| case.entity(50.0, KEYCLOAK, (*area, *state)));
    }
    for (area, states) in &all {
        case.list((50.0, 50.0), KEYCLOAK, ("s", &(*area, states.clone())));
        case.area((50.0, 50.0), KEYCLOAK, ("s", *area, states.len() as u64));
    }
    assert!(case.rows().gaps().is_empty(), "one receipt is missing");
    case.entity(5.0, KEYCLOAK, (Area::Members, member("u1", "g-ops")));
    assert_eq!(case.rows().gaps().len(), 1, "an earlier snapshot had told it");
}

#[test]
fn an_area_of_which_a_page_is_missing_or_that_was_not_read_says_nothing() {
    let mut case = case();
    case.member(10.0, ("u1", "g-ops", true));
    let all = keycloak(vec![(Area::Members, vec![])]);
    case.snapshot((50.0, 50.0), KEYCLOAK, &all[..all.len() - 1]);
    case.area((50.0, 50.0), KEYCLOAK, ("at (50.0, 50.0) of (\"kc\", \"one\", Read)", Area::Members, 1));
    case.snapshot((60.0, 60.0), KEYCLOAK, &all[..all.len() - 1]);
    let said = Said::Area { area: Area::Members, whole: false, counted: (0, 0, 0) };
    let id = "at (60.0, 60.0) of (\"kc\", \"one\", Read)";
    case.tell(60.0, KEYCLOAK, What::Snapshot(Snapshot { id, said }));
    assert!(case.rows().gaps().is_empty());
    case.snapshot((70.0, 70.0), KEYCLOAK, &all);
    assert_eq!(case.rows().gaps().len(), 1);
}

#[test]
fn what_changes_while_it_is_read_is_left_open() {
    let mut case = case();
    case.member(10.0, ("u1", "g-ops", true));
    // Removed after the list of its group was read, or before: both are true states of that minute.
    case.member(95.0, ("u1", "g-ops", false));
    case.snapshot((60.0, 120.0), KEYCLOAK, &keycloak(vec![(Area::Members, vec![member("u1", "g-ops")])]));
    case.snapshot((300.0, 310.0), KEYCLOAK, &keycloak(vec![(Area::Members, vec![])]));
    assert!(case.rows().gaps().is_empty());
    // And whoever came while it was read may be listed, although the reading began before.
    case.member(450.0, ("u1", "g-ops", true));
    case.snapshot((400.0, 500.0), KEYCLOAK, &keycloak(vec![(Area::Members, vec![member("u1", "g-ops")])]));
    assert!(case.rows().gaps().is_empty(), "{:#?}", case.rows().gaps());
}

#[test]
fn members_of_a_group_that_came_after_the_list_of_groups_are_not_missing() {
    let mut case = case();
    let all = keycloak(vec![(Area::Members, vec![])]);
    let id = "s";
    for (area, states) in &all {
        states.iter().for_each(|state| case.entity(100.0, KEYCLOAK, (*area, *state)));
        let when = if *area == Area::Members { (100.0, 110.0) } else { (50.0, 55.0) };
        case.list(when, KEYCLOAK, (id, &(*area, states.clone())));
        case.area(when, KEYCLOAK, (id, *area, states.len() as u64));
    }
    case.keycloak(70.0, What::GroupCreated { group: "g-new" });
    case.group(70.0, ("g-new", "new", Parent::Top));
    case.member(80.0, ("u1", "g-new", true));
    assert!(case.rows().gaps().is_empty());
}

#[test]
fn what_a_new_user_gets_at_once_is_no_gap() {
    let mut case = case();
    let one = |user| State::User { user, username: user, email: "", enabled: true };
    let default = State::DefaultGroup { group: "g-ops" };
    let lists = |users: &[&'static str]| {
        keycloak(vec![
            (Area::Users, users.iter().copied().map(one).collect()),
            (Area::DefaultGroups, vec![default]),
            (Area::Members, users.iter().map(|user| member(user, "g-ops")).collect()),
            (Area::RoleUsers, users.iter().map(|user| member(user, "r-default")).collect()),
        ])
    };
    case.snapshot((20.0, 20.0), KEYCLOAK, &lists(&["u1"]));
    case.keycloak(50.0, What::UserCreated { user: "u2" });
    case.snapshot((100.0, 100.0), KEYCLOAK, &lists(&["u1", "u2"]));
    let rows = case.rows();
    assert!(rows.gaps().is_empty(), "{:#?}", rows.gaps());
    let of_new = rows.grants().into_iter().filter(|grant| grant.person == person("u2"));
    let told: Vec<_> = of_new.map(|grant| (grant.right.as_str(), grant.from)).collect();
    assert_eq!(told, [("g-ops", Some(50_000)), ("r-default", Some(50_000))]);
    // Another group is none that a new user gets.
    case.snapshot((200.0, 200.0), KEYCLOAK, &lists(&["u1", "u2", "u3"]));
    let gaps: Vec<RightKind> = case.rows().gaps().iter().map(|gap| gap.kind).collect();
    assert_eq!(gaps, [RightKind::Existence], "that u3 came is one missing event, and not three");
}

#[test]
fn a_group_that_is_gone_unseen_is_one_gap_and_none_per_member() {
    let mut case = case();
    let sub = State::Group { group: "g-sub", path: "/ops/sub", parent: "g-ops" };
    let top = State::Group { group: "g-ops", path: "/ops", parent: "" };
    let there = vec![
        (Area::Groups, vec![top, sub]),
        (Area::Members, vec![member("u1", "g-ops"), member("u1", "g-sub"), member("u2", "g-sub")]),
    ];
    case.snapshot((20.0, 20.0), KEYCLOAK, &keycloak(there));
    let allowed = case.decision(50.0, "user:default/cleo", Allow);
    case.snapshot((100.0, 100.0), KEYCLOAK, &keycloak(vec![(Area::Groups, vec![]), (Area::Members, vec![])]));
    let rows = case.rows();
    let [gap] = rows.gaps()[..] else { panic!("{:#?}", rows.gaps()) };
    assert_eq!((gap.kind, gap.holder.as_str(), gap.person.clone()), (RightKind::Existence, "g-ops", None));
    assert!(rows.decision(allowed).reasons.contains(&Reason::RestsOnGap), "the group may have been gone");
    // Told, it is no gap at all.
    case.keycloak(60.0, What::GroupDeleted { group: "g-ops" });
    let rows = case.rows();
    assert!(rows.gaps().is_empty(), "{:#?}", rows.gaps());
    assert!(!rows.decision(allowed).reasons.contains(&Reason::RestsOnGap));
}

#[test]
fn a_role_that_is_deleted_takes_its_mappings_along() {
    let mut case = case();
    let held = vec![(Area::RoleUsers, vec![member("u1", "r-admin")])];
    case.snapshot((20.0, 20.0), KEYCLOAK, &keycloak(held));
    let left = State::Role { role: "r-default", name: "r-default", client: "" };
    case.snapshot((100.0, 100.0), KEYCLOAK, &keycloak(vec![(Area::Roles, vec![left]), (Area::RoleUsers, vec![])]));
    let rows = case.rows();
    let [gap] = rows.gaps()[..] else { panic!("{:#?}", rows.gaps()) };
    assert_eq!((gap.kind, gap.holder.as_str()), (RightKind::Existence, "r-admin"));
    case.keycloak(60.0, What::RoleDeleted { role: RoleName { name: "r-admin", ..RoleName::default() } });
    assert!(case.rows().gaps().is_empty(), "an event that names it by name");
}

#[test]
fn backstage_roles_and_policies_are_held_against_their_lines() {
    let mut case = case();
    let policy = |action| State::Policy {
        role: "role:default/owners",
        permission: "catalog-entity",
        action,
        effect: "conditional",
    };
    let told = correlate::facts::Policy { permission: "catalog-entity", action: "use,delete", effect: "conditional" };
    let role = "role:default/owners";
    case.tell(5.0, ("bs", "", Rank::Change), What::Policy { role, policy: told, held: true });
    case.role(5.0, ("role:default/ops", "user:default/cleo", true));
    let deploy = State::Policy { role: "role:default/ops", permission: "deploy", action: "use", effect: "allow" };
    let lists = |members: Vec<State<'static>>, conditions| {
        vec![(Area::RbacMembers, members), (Area::RbacPolicies, vec![deploy]), (Area::RbacConditions, conditions)]
    };
    let ops = member("group:default/ops", "role:default/ops");
    let cleo = member("user:default/cleo", "role:default/ops");
    case.snapshot((50.0, 50.0), BACKSTAGE, &lists(vec![ops, cleo], vec![policy("delete+use")]));
    assert!(case.rows().gaps().is_empty(), "the same actions in another order");
    case.snapshot((100.0, 100.0), BACKSTAGE, &lists(vec![], vec![]));
    let rows = case.rows();
    let mut told: Vec<_> = rows
        .gaps()
        .iter()
        .map(|gap| (gap.kind, gap.holder.as_str(), gap.person.is_some(), gap.right.as_str()))
        .collect();
    told.sort();
    let expected = [
        (RightKind::BackstageRole, "", true, "role:default/ops"),
        (RightKind::BackstageRole, "group:default/ops", false, "role:default/ops"),
        (RightKind::Policy, "role:default/owners", false, "catalog-entity|delete,use|conditional"),
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_session_that_is_not_listed_has_ended() {
    let mut case = case();
    case.login(10.0, ("u1", "s1", "backstage"));
    case.login(11.0, ("u1", "s2", "backstage"));
    let lists = vec![(Area::Sessions, vec![member("u1", "s2")]), (Area::OfflineSessions, vec![])];
    case.snapshot((50.0, 55.0), KEYCLOAK, &keycloak(lists));
    let rows = case.rows();
    assert_eq!(rows.session("s1").ended, Some((55_000, EndKind::AbsentFromRead)));
    assert_eq!(rows.session("s2").ended, None);
}

#[test]
fn a_rename_and_a_move_that_no_event_told_are_named() {
    let mut case = case();
    let user = || Entity::User { user: "u1", username: "cleo", email: "", enabled: true };
    let group = |path, parent| Entity::Group { group: "g-sub", path, parent };
    let top = Entity::Group { group: "g-ops", path: "/ops", parent: "" };
    let whole = || vec![List::Users, List::Groups];
    case.read(20.0, ("kc", "r"), (whole(), vec![user(), top, group("/ops/sub", "g-ops")], vec![]));
    case.read(100.0, ("kc", "r"), (whole(), vec![user(), top, group("/under", "")], vec![]));
    let rows = case.rows();
    let mut told: Vec<_> = rows.gaps().iter().map(|gap| (gap.kind, gap.right.as_str(), gap.missing)).collect();
    told.sort();
    assert_eq!(told, [(RightKind::Name, "g-sub", Missed::Change), (RightKind::Place, "g-sub", Missed::Change)]);
    // A rename says the name alone, and a read the path: they agree.
    case.group(50.0, ("g-sub", "under", Parent::Top));
    assert!(case.rows().gaps().is_empty());
}
