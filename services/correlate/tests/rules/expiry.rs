//! By when a session that nobody ends has ended: a function of what is known, in order, backwards, twice.

use crate::case::Case;
use correlate::{
    Rank,
    facts::{EndKind, Ended, Grant, Issued, Lifespans, List, Refusal, What},
};

/// Keycloak's own allowance for several sites, and ours for two clocks.
const MORE: i64 = 120_000 + 1_000;

/// Idle after a minute, ended after ten; remembered ones after two and twenty.
const SAID: Lifespans = Lifespans {
    idle: Some(60_000),
    max: Some(600_000),
    idle_remembered: Some(0),
    max_remembered: Some(0),
    offline_idle: Some(3_600_000),
    offline_max: Some(7_200_000),
    offline_ends: Some(false),
};

fn realm(case: &mut Case, at: f64, (rank, said): (Rank, Lifespans)) {
    case.tell(at, ("kc", "r", rank), What::Lifespans(said));
}

/// Two sessions from 10 s on, of which one is used until 30 s.
fn case() -> Case {
    let mut case = Case::new();
    case.login(10.0, ("u1", "s1", "backstage"));
    case.code(10.1, ("u1", "s1", "t1"));
    case.login(10.0, ("u2", "s2", "backstage"));
    case
}

fn expires(case: &Case, session: &str) -> Option<i64> {
    case.rows().session(session).expires
}

#[test]
fn of_a_realm_whose_lifespans_are_not_known_nothing_is_said() {
    let mut case = case();
    assert_eq!(expires(&case, "s1"), None);
    // Those of another realm are not its own.
    case.tell(1.0, ("kc", "other", Rank::Read), What::Lifespans(SAID));
    assert_eq!(expires(&case, "s1"), None);
}

#[test]
fn nobody_is_idle_where_no_refresh_is_told() {
    let mut case = case();
    realm(&mut case, 100.0, (Rank::Read, SAID));
    assert_eq!(expires(&case, "s1"), Some(610_000 + MORE), "its whole life");
    case.refresh(30.0, ("u1", "s1"), ("t1", "t2"));
    let rows = case.rows();
    assert_eq!(rows.session("s1").expires, Some(90_000 + MORE));
    assert_eq!(rows.session("s2").expires, Some(70_000 + MORE), "of the same realm");
    // A refresh that comes late brings it back to life.
    case.refresh(85.0, ("u1", "s1"), ("t2", "t3"));
    assert_eq!(expires(&case, "s1"), Some(145_000 + MORE));
    // And whoever goes on and on comes to the end of its life.
    for at in [140.0, 190.0, 240.0, 290.0, 340.0, 390.0, 440.0, 490.0, 540.0, 590.0] {
        case.refresh(at, ("u1", "s1"), ("t", "t"));
    }
    assert_eq!(expires(&case, "s1"), Some(610_000 + MORE));
}

#[test]
fn what_is_told_or_read_counts_before_what_is_computed() {
    let mut case = case();
    realm(&mut case, 100.0, (Rank::Read, SAID));
    case.refresh(30.0, ("u1", "s1"), ("t1", "t2"));
    let refused = What::Refused { user: "u1", session: "s1", presented: "t0", why: Refusal::Other };
    case.tell(80.0, ("kc", "r", Rank::Issue), refused);
    assert_eq!(expires(&case, "s1"), Some(90_000 + MORE), "who is refused does not use it");
    // Somebody used it whose refresh is lost.
    case.read(120.0, ("kc", "r"), (vec![], vec![], vec![(List::Sessions, vec![("u1", "s1")])]));
    let rows = case.rows();
    assert_eq!(rows.session("s1").expires, Some(180_000 + MORE));
    assert_eq!(rows.session("s2").ended, Some((120_000, EndKind::AbsentFromRead)));
    assert_eq!(rows.session("s2").expires, None);
    case.ended(130.0, Ended::One { session: "s1", user: "u1" }, EndKind::Logout);
    assert_eq!(expires(&case, "s1"), None);
}

#[test]
fn lifespans_change_and_the_longer_one_counts_while_it_can_have() {
    let mut case = case();
    case.refresh(30.0, ("u1", "s1"), ("t1", "t2"));
    realm(&mut case, 20.0, (Rank::Read, SAID));
    realm(&mut case, 500.0, (Rank::Read, Lifespans { idle: Some(90_000), ..SAID }));
    assert_eq!(expires(&case, "s1"), Some(120_000 + MORE), "made longer at some time before it was read");
    // An admin's event tells the instant, and only what was changed: too late for this session.
    let shorter = Lifespans { idle: Some(30_000), ..Lifespans::default() };
    realm(&mut case, 700.0, (Rank::Change, shorter));
    assert_eq!(expires(&case, "s1"), Some(120_000 + MORE));
    // In time, it ends what is older than that.
    realm(&mut case, 70.0, (Rank::Change, shorter));
    let found = expires(&case, "s1");
    assert_eq!(found, Some(120_000 + MORE), "the next read says longer again, since nobody knows when");
    realm(&mut case, 71.0, (Rank::Change, shorter));
    assert_eq!(expires(&case, "s1"), Some(70_000 + MORE));
}

#[test]
fn whoever_is_remembered_or_holds_an_offline_token_lives_longer() {
    let mut case = case();
    case.refresh(30.0, ("u1", "s1"), ("t1", "t2"));
    let remembered = Lifespans { idle_remembered: Some(120_000), max_remembered: Some(1_200_000), ..SAID };
    realm(&mut case, 20.0, (Rank::Read, remembered));
    assert_eq!(expires(&case, "s1"), Some(150_000 + MORE), "nobody says who is");
    let offline = Issued {
        user: "u1",
        session: "s1",
        client: "backstage",
        grant: Grant::Code,
        access: "a",
        presented: "",
        refresh: "o1",
        offline: true,
    };
    case.tell(40.0, ("kc", "r", Rank::Issue), What::Issued(offline));
    assert_eq!(expires(&case, "s1"), Some(3_640_000 + MORE));
    let ends = Lifespans { offline_ends: Some(true), offline_max: Some(1_000_000), ..Lifespans::default() };
    realm(&mut case, 21.0, (Rank::Change, ends));
    assert_eq!(expires(&case, "s1"), Some(1_040_000 + MORE));
}
