//! Hostile input: bounded time and memory, clear reasons, and nobody else's answers change.

use crate::case::{Case, Rows, decided};
use correlate::{
    Correlator, Moment, Rank, Span,
    facts::{Entity, Fact, Grant, Issued, List, Parent, RoleName, What},
    rows::{Change, Key, Reason, Row, Verdict, WorldKind},
};
use events::event::Outcome::Allow;
use uuid::Uuid;

const CLEO: &[(&str, &str, &[&str])] = &[("user:default/cleo", "u1", &[])];
const OPS: &[(&str, &str)] = &[("group:default/ops", "g-ops")];

fn case() -> Case {
    let mut case = Case::new();
    case.catalog(1.0, CLEO, OPS);
    case.group(1.5, ("g-ops", "/ops", Parent::Top));
    case.member(2.0, ("u1", "g-ops", true));
    case
}

#[test]
fn cycles_of_groups_and_composites_end() {
    let mut case = case();
    case.group(3.0, ("g-ops", "ops", Parent::Below("g-b")));
    case.group(3.0, ("g-b", "b", Parent::Below("g-c")));
    case.group(3.0, ("g-c", "c", Parent::Below("g-ops")));
    let role = |id| RoleName { id, ..RoleName::default() };
    let held = Some(true);
    case.keycloak(4.0, What::RoleHeld { holder: correlate::facts::Holder::User("u1"), role: role("r1"), held });
    case.keycloak(4.0, What::Composite { outer: role("r1"), inner: role("r2"), held });
    case.keycloak(4.0, What::Composite { outer: role("r2"), inner: role("r1"), held });
    let decision = case.decision(20.0, "user:default/cleo", Allow);
    let rows = case.rows();
    assert_eq!(rows.decision(decision).verdict, Verdict::Agrees);
    assert_eq!(rows.correlator.rights_at("kc", "u1", 20_000).len(), 6, "three groups, two roles, one Backstage role");
}

#[test]
fn events_of_1970_and_2100_change_nobody_elses_answers() {
    let mut case = case();
    let decision = case.decision(20.0, "user:default/cleo", Allow);
    let before = case.rows().decision(decision).clone();
    for at in [-2_000_000_000.0, 0.0, 4_102_444_800.0] {
        case.member(at, ("u9", "g-ops", true));
        case.decision(at, "user:default/nobody", Allow);
        case.issuing(at, "user:default/nobody");
        case.callback(at, "s9");
    }
    for at in [i64::MIN, i64::MAX] {
        let what = What::Member { user: "u8", group: "g-ops", path: "", held: true };
        let moment = Moment { at, rank: Rank::Change, event: Uuid::from_u128(7 << 90) };
        let span = Span::exact(at);
        let fact = Fact { moment, span, source: "kc", realm: "r", by: "", what };
        let mut correlator = Correlator::new(case.config.clone());
        case.tell_all(&mut correlator);
        correlator.take(&fact);
        let moment = Moment { rank: Rank::Decision, ..moment };
        let what = What::Decided(decided("user:default/cleo", "deploy", Allow));
        correlator.take(&Fact { moment, span, source: "bs", realm: "", by: "", what });
        correlator.settle();
        assert_eq!(*Rows::from(correlator).decision(decision), before);
    }
    assert_eq!(*case.rows().decision(decision), before);
}

#[test]
fn a_clock_an_hour_off_ties_nothing_wrongly() {
    let mut case = case();
    case.login(4_000.0, ("u1", "s1", "backstage"));
    case.code(4_000.1, ("u1", "s1", "t1"));
    // Backstage is an hour behind.
    let issuing = case.issuing(400.2, "user:default/cleo");
    let decision = case.decision(410.0, "user:default/cleo", Allow);
    let rows = case.rows();
    assert_eq!(rows.credential(issuing).session, None);
    assert_eq!(rows.decision(decision).session, None);
    assert!(rows.decision(decision).reasons.contains(&Reason::SessionUnsure));
}

#[test]
fn a_group_of_a_hundred_thousand_is_deleted_by_reference() {
    let mut correlator = Correlator::new(case().config);
    case().tell_all(&mut correlator);
    let tell = |correlator: &mut Correlator, at: i64, what: What<'_>| {
        let event = Uuid::from_u128(u128::from(at.unsigned_abs()) << 64 | 5);
        let moment = Moment { at, rank: Rank::Change, event };
        correlator.take(&Fact { moment, span: Span::exact(at), source: "kc", realm: "r", by: "", what });
    };
    tell(&mut correlator, 2_500, What::Group { group: "g-sub", name: "sub", parent: Parent::Below("g-ops") });
    for number in 0..100_000 {
        let user = format!("member-{number}");
        tell(&mut correlator, 3_000 + number, What::Member { user: &user, group: "g-sub", path: "", held: true });
    }
    correlator.settle();
    tell(&mut correlator, 500_000, What::GroupDeleted { group: "g-ops" });
    let changes = correlator.settle();
    let lives = |change: &Change| matches!(change.key, Key::World(_, WorldKind::Lives, ..));
    assert!(changes.len() == 2 && changes.iter().all(lives), "a row per group, and none per person: {changes:?}");
    let held = |at| correlator.rights_at("kc", "member-777", at).len();
    assert_eq!((held(499_999), held(500_000)), (3, 0), "both groups and the role, then nothing");
}

#[test]
fn a_refresh_costs_its_token_and_its_session_whatever_else_a_person_has() {
    let mut correlator = Correlator::new(case().config);
    case().tell_all(&mut correlator);
    let tell = |correlator: &mut Correlator, at: i64, rank: Rank, what: What<'_>| {
        let moment = Moment { at, rank, event: Uuid::from_u128(u128::from(at.unsigned_abs()) << 64 | 5) };
        correlator.take(&Fact { moment, span: Span::exact(at), source: "kc", realm: "r", by: "", what });
    };
    let refresh = |session: &'static str, presented: &'static str| {
        let (client, grant, offline) = ("backstage", Grant::Refresh, false);
        let issued = Issued { user: "u1", session, client, grant, access: "", presented, refresh: "", offline };
        What::Issued(issued)
    };
    for number in 0..1_000 {
        let (group, session) = (format!("g-{number}"), format!("s-{number}"));
        tell(
            &mut correlator,
            10_000 + number,
            Rank::Change,
            What::Member { user: "u1", group: &group, path: "", held: true },
        );
        let login = What::Login { user: "u1", session: &session, client: "backstage", impersonator: "" };
        tell(&mut correlator, 20_000 + number, Rank::Login, login);
    }
    let named = || What::Named { user: "u1", username: "cleo", email: "cleo@example.org" };
    // The first refresh of a realm says something of all its sessions.
    tell(&mut correlator, 29_000, Rank::Issue, refresh("s-8", "t0"));
    tell(&mut correlator, 30_000, Rank::Change, named());
    correlator.settle();
    let before = correlator.answered();
    // The other sessions were alive a moment ago, and the name is the one that they bear.
    tell(&mut correlator, 30_001, Rank::Issue, refresh("s-7", "t1"));
    tell(&mut correlator, 30_001, Rank::Change, named());
    correlator.settle();
    assert_eq!(correlator.answered() - before, 2);
}

#[test]
fn a_decision_is_answered_once_however_late_it_comes() {
    let count = std::env::var("TOKENTRAIL_DECISIONS").ok().and_then(|count| count.parse().ok()).unwrap_or(100_000_i64);
    let mut correlator = Correlator::new(case().config);
    case().tell_all(&mut correlator);
    correlator.settle();
    let before = correlator.answered();
    for number in 0..count {
        // Odd multiples of a large prime visit the times in a scattered order.
        let at = 10_000 + (number * 7_919) % count * 10;
        let event = Uuid::from_u128(u128::from(number.unsigned_abs()) << 64 | 9);
        let moment = Moment { at, rank: Rank::Decision, event };
        let what = What::Decided(decided("user:default/cleo", "deploy", Allow));
        correlator.take(&Fact { moment, span: Span::exact(at), source: "bs", realm: "", by: "", what });
        if number % 1_000 == 0 {
            correlator.settle();
        }
    }
    correlator.settle();
    let decisions = correlator.rows().values().filter(|row| matches!(row, Row::Decision(_))).count();
    assert_eq!(decisions as i64, count);
    assert_eq!((correlator.answered() - before) as i64, count);
    // A late change costs the answers after it, and those of nobody else.
    let moment = Moment { at: 10_000 + (count - 100) * 10, rank: Rank::Change, event: Uuid::from_u128(8) };
    let what = What::Member { user: "u1", group: "g-ops", path: "", held: false };
    correlator.take(&Fact { moment, span: Span::exact(moment.at), source: "kc", realm: "r", by: "", what });
    let changes = correlator.settle();
    assert_eq!(changes.iter().filter(|change| matches!(change.row, Some(Row::Decision(_)))).count(), 100);
    assert_eq!(
        (correlator.answered() - before) as i64,
        count + 101,
        "a hundred decisions and the list of their rights"
    );
}

#[test]
fn a_line_whose_time_is_hardly_known_costs_nobody_else_anything() {
    let mut correlator = Correlator::new(case().config);
    case().tell_all(&mut correlator);
    let decide = |correlator: &mut Correlator, reference: &'static str, span: Span, number: u128| {
        let moment = Moment { at: span.min, rank: Rank::Decision, event: Uuid::from_u128(number << 64 | 9) };
        let what = What::Decided(decided(reference, "deploy", Allow));
        correlator.take(&Fact { moment, span, source: "bs", realm: "", by: "", what });
    };
    for number in 0..2_000 {
        decide(&mut correlator, "user:default/cleo", Span::exact(10_000 + number * 10), number.unsigned_abs().into());
    }
    // Somewhere between 1970 and 2100.
    decide(&mut correlator, "user:default/nobody", Span { min: 0, max: 4_102_444_800_000 }, 1 << 20);
    correlator.settle();
    let before = correlator.answered();
    let moment = Moment { at: 10_000 + 1_990 * 10, rank: Rank::Change, event: Uuid::from_u128(8) };
    let what = What::Member { user: "u1", group: "g-ops", path: "", held: false };
    correlator.take(&Fact { moment, span: Span::exact(moment.at), source: "kc", realm: "r", by: "", what });
    correlator.settle();
    assert_eq!(correlator.answered() - before, 11, "ten decisions after the change, and the list of rights");
}

#[test]
fn another_realm_of_the_same_server_says_nothing_of_this_one() {
    let mut case = case();
    let decision = case.decision(20.0, "user:default/cleo", Allow);
    let before = case.rows();
    // Its complete lists name nobody of this realm; its groups and people have names of this one.
    let user = Entity::User { user: "x1", username: "cleo", email: "", enabled: false };
    let group = Entity::Group { group: "x-ops", path: "/ops", parent: "" };
    let lists = vec![(List::Members, vec![("x1", "x-ops")]), (List::UserRoles, vec![]), (List::DefaultGroups, vec![])];
    for at in [5.0, 30.0] {
        case.read(at, ("kc", "other"), (vec![List::Users, List::Groups], vec![user, group], lists.clone()));
    }
    let other = ("kc", "other", Rank::Change);
    case.tell(10.0, other, What::Member { user: "x1", group: "x-ops", path: "/ops", held: false });
    case.tell(11.0, other, What::GroupDeleted { group: "x-ops" });
    case.tell(12.0, other, What::RoleDeleted { role: RoleName { name: "admin", ..RoleName::default() } });
    let rows = case.rows();
    assert_eq!(rows.decision(decision), before.decision(decision));
    assert_eq!(rows.grants().into_iter().filter(|grant| grant.right == "g-ops").count(), 1);
    let changed = before.rows.iter().filter(|(key, row)| rows.rows.get(*key) != Some(*row)).count();
    assert_eq!(changed, 0, "every row of this realm stands as it was");
    assert!(!rows.gaps().is_empty(), "and what is wrong in the other is named");
    assert!(rows.gaps().iter().all(|gap| gap.right != "g-ops" && gap.holder != "g-ops"));
}

#[test]
fn names_that_normalise_to_one_another_join_nobody() {
    let mut case = case();
    case.config.joins[0].by_name = true;
    let named = |username| What::Named { user: username, username, email: "" };
    // Who is alone in bearing a name is meant by it, as configured.
    case.keycloak(3.0, named("Dora Ann"));
    let alone = case.decision(20.0, "user:default/dora-ann", Allow);
    assert_eq!(case.rows().decision(alone).reasons.first(), Some(&Reason::TiedByName));
    // Of several, nobody is, whichever of them a line means.
    for username in ["dora_ann", "DORA ANN", "dora\u{200b}ann", "d\u{f6}ra ann", "dora/ann"] {
        case.keycloak(4.0, named(username));
    }
    let decided = ["user:default/dora-ann", "user:default/cleo"].map(|reference| case.decision(30.0, reference, Allow));
    let rows = case.rows();
    for event in [alone, decided[0]] {
        assert!(rows.decision(event).reasons.contains(&Reason::SeveralUsers), "{:?}", rows.decision(event));
        assert_eq!(rows.decision(event).support, [], "and nobody's rights are theirs");
    }
    // The annotation goes by no name.
    assert_eq!(rows.decision(decided[1]).verdict, Verdict::Agrees);
    assert_eq!(rows.decision(decided[1]).person, Some(crate::case::person("u1")));
    // Groups of one name to Backstage are two, and so are roles that differ in writing.
    case.group(5.0, ("g-OPS", "/OPS", Parent::Top));
    case.member(6.0, ("u3", "g-OPS", true));
    let rights = case.rows().correlator.rights_at("kc", "u3", 40_000);
    let held: Vec<&str> = rights.iter().map(|right| right.right.as_str()).collect();
    assert!(!held.contains(&"g-ops"), "{held:?}");
}

#[test]
fn roles_that_all_contain_one_another_are_told_once_each() {
    let mut case = Case::new();
    let names: Vec<&'static str> = (0..40).map(|number| &*Box::leak(format!("r{number}").into_boxed_str())).collect();
    let role = |id| RoleName { id, ..RoleName::default() };
    for outer in &names {
        for inner in names.iter().filter(|inner| *inner != outer) {
            case.keycloak(2.0, What::Composite { outer: role(outer), inner: role(inner), held: Some(true) });
        }
    }
    let holder = correlate::facts::Holder::User("u1");
    case.keycloak(3.0, What::RoleHeld { holder, role: role("r0"), held: Some(true) });
    let mut correlator = Correlator::new(case.config.clone());
    case.tell_all(&mut correlator);
    assert_eq!(correlator.rights_at("kc", "u1", 10_000).len(), names.len());
}
