//! What is only said again, of names and of sessions that go on, is let go behind a floor: memory does not grow with it, rows say the
//! same, and what lies between is told.

use crate::{case::Case, forgetting::Forgetful};
use correlate::{
    Correlator, Rank,
    facts::{EndKind, Ended, Entity, Lifespans, List, Refusal, What},
    rows::Row,
};

/// Seconds between two logins, or refreshes.
const STEP: f64 = 10_000.0;
const FLOOR: i64 = 300_000_000;

fn leaked(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

fn named(username: &'static str, email: &'static str) -> What<'static> {
    What::Named { user: "u1", username, email }
}

/// One session that is refreshed for days; with each refresh somebody logs in under the same name.
fn days(steps: u32) -> Case {
    let mut case = Case::new();
    let lives = Lifespans { idle: Some(200_000_000), max: Some(40_000_000_000), ..Lifespans::default() };
    case.tell(0.0, ("kc", "r", Rank::Read), What::Lifespans(lives));
    case.login(1.0, ("u1", "s1", "backstage"));
    case.code(1.0, ("u1", "s1", "t0"));
    case.keycloak(1.0, named("ann", "ann@example.com"));
    more(&mut case, 0..steps);
    case
}

fn more(case: &mut Case, steps: std::ops::Range<u32>) {
    for step in steps {
        let at = f64::from(step + 1) * STEP;
        case.keycloak(at, named("ann", "ann@example.com"));
        case.login(at, ("u1", "s1", if step % 2 == 0 { "backstage" } else { "grafana" }));
        let token = |step: u32| leaked(format!("t{step}"));
        case.refresh(at, ("u1", "s1"), (token(step), token(step + 1)));
    }
}

fn bytes(correlator: &Correlator) -> usize {
    correlator.rooms().iter().map(|(_, bytes)| bytes).sum()
}

#[test]
fn memory_does_not_grow_with_what_is_said_again() {
    let mut case = days(60);
    let mut forgetful = Forgetful::behind(&case, FLOOR);
    let mut sizes = Vec::new();
    for round in 0..10_u32 {
        let (told, begun) = (case.told(), 60 + round * 60);
        more(&mut case, begun..begun + 60);
        case.tell_from(told, &mut forgetful.correlator);
        forgetful.settle();
        assert_eq!(forgetful.correlator.too_old(), None);
        forgetful.forget((f64::from(begun + 30) * STEP * 1_000.0) as i64);
        sizes.push(bytes(&forgetful.correlator));
    }
    let mut all = Correlator::new(case.config.clone());
    case.tell_all(&mut all);
    all.settle();
    assert_eq!(forgetful.said, all.rows(), "660 refreshes and logins are counted");
    // What a token's row was said as, and which sessions: everything else stays as it is.
    assert!(sizes[9] * 100 < sizes[1] * 110, "{sizes:?}");
    assert!(bytes(&all) > 4 * sizes[9], "{} and {sizes:?}", bytes(&all));
}

/// What comes later: whether it would need what was let go, and how to tell it.
type Later = (&'static str, bool, fn(&mut Case));

const BETWEEN: f64 = 55_000.5;
const NOW: f64 = 420_000.0;

const LATER: [Later; 16] = [
    ("the same name is said again, late", false, |case| {
        case.keycloak(BETWEEN, named("ann", "ann@example.com"));
    }),
    ("another name was borne in between", true, |case| {
        case.keycloak(BETWEEN, named("anna", ""));
    }),
    ("another address", true, |case| {
        case.keycloak(BETWEEN, named("", "anna@example.com"));
    }),
    ("another name before all of that", false, |case| {
        case.keycloak(0.5, named("anna", ""));
    }),
    ("another name from now on", false, |case| {
        case.keycloak(NOW, named("anna", "anna@example.com"));
    }),
    ("a read of long ago says the same", false, |case| read(case, BETWEEN, "ann")),
    ("a read of long ago says another name", true, |case| read(case, BETWEEN, "anna")),
    ("a read says another name now", false, |case| read(case, NOW, "anna")),
    ("the session goes on", false, |case| {
        case.refresh(NOW, ("u1", "s1"), ("t40", "t41"));
    }),
    ("by a refresh token of long ago", false, |case| {
        case.refresh(NOW, ("u1", "s1"), ("t3", "t41"));
    }),
    ("by one that nobody knows", false, |case| {
        case.refresh(NOW, ("u1", "s1"), ("lost", "t41"));
    }),
    ("somebody tries one of long ago", false, |case| {
        let refused = What::Refused { user: "u1", session: "s1", presented: "t3", why: Refusal::Other };
        case.tell(NOW, ("kc", "r", Rank::Issue), refused);
    }),
    ("one of long ago is refused as a reuse", false, |case| {
        refused(case, NOW, ("t3", Refusal::Reuse));
    }),
    ("or as stale, and it is known that it was used", false, |case| {
        refused(case, NOW, ("t3", Refusal::Stale));
    }),
    ("or as stale, and nobody knows it", false, |case| {
        refused(case, NOW, ("lost", Refusal::Stale));
    }),
    ("the session ends", false, |case| {
        case.ended(NOW, Ended::One { session: "s1", user: "u1" }, EndKind::Logout);
    }),
];

fn refused(case: &mut Case, at: f64, (presented, why): (&'static str, Refusal)) {
    case.tell(at, ("kc", "r", Rank::Issue), What::Refused { user: "u1", session: "s1", presented, why });
}

fn read(case: &mut Case, at: f64, username: &'static str) {
    let user = Entity::User { user: "u1", username, email: "ann@example.com", enabled: true };
    case.read(at, ("kc", "r"), (vec![List::Users], vec![user], vec![]));
}

#[test]
fn what_lies_between_what_was_let_go_is_told_and_all_else_is_exact() {
    for (what, needed, later) in LATER {
        let mut case = days(40);
        let mut forgetful = Forgetful::behind(&case, FLOOR);
        assert_eq!(forgetful.hears(&mut case, later), needed, "{what}");
        assert_eq!(forgetful.correlator.too_old(), None, "{what}: told once");
    }
}

#[test]
fn refused_reuses_are_let_go_but_for_the_first_and_the_last() {
    let mut case = days(40);
    for n in 0..20 {
        let at = 100_003.0 + f64::from(n) * 10_000.0;
        refused(&mut case, at, (leaked(format!("t{}", n / 4)), Refusal::Stale));
    }
    let last = case.told();
    refused(&mut case, 310_003.0, ("t5", Refusal::Stale));
    let mut forgetful = Forgetful::behind(&case, FLOOR);
    let told = |forgetful: &Forgetful| -> Vec<i64> {
        let row = |row: &Row| if let Row::Session(row) = row { Some(row.reuse_refused.clone()) } else { None };
        forgetful.said.values().find_map(row).unwrap().into_iter().map(|(at, _)| at).collect()
    };
    assert_eq!(told(&forgetful), [100_003_000, 310_003_000]);
    // A second copy of the last one, of whose token it is not known any more when it was used.
    case.tell_from(last, &mut forgetful.correlator);
    forgetful.settle();
    assert_eq!(forgetful.correlator.too_old(), None);
    assert_eq!(forgetful.said, case.rows().rows);
    let told_by = case.told();
    more(&mut case, 40..400);
    case.tell_from(told_by, &mut forgetful.correlator);
    forgetful.settle();
    forgetful.forget(4_000_000_000);
    more(&mut case, 400..401);
    case.tell_from(case.told() - 3, &mut forgetful.correlator);
    forgetful.settle();
    assert_eq!(
        told(&forgetful),
        [100_003_000, 310_003_000],
        "the tokens are not known any more, and what they proved is"
    );
}

#[test]
fn of_a_session_that_goes_on_for_very_long_the_oldest_tokens_are_not_known_any_more() {
    let mut case = days(400);
    let mut forgetful = Forgetful::behind(&case, 4_000_000_000);
    let now = 4_100_000.0;
    let reused = |case: &mut Case, at: f64, token| {
        case.refresh(at, ("u1", "s1"), (token, leaked(format!("after {token}"))));
    };
    // Of the latest it is known that they were presented before, and by which event they had been issued.
    assert!(!forgetful.hears(&mut case, |case| reused(case, now, "t390")));
    let reuses =
        forgetful.said.values().filter(|row| matches!(row, Row::Token(row) if row.reused && row.parent.is_some()));
    assert_eq!(reuses.count(), 1);
    assert!(forgetful.hears(&mut case, |case| reused(case, now + 1.0, "t3")), "it may be one of the oldest");
    assert!(forgetful.hears(&mut case, |case| reused(case, now + 2.0, "lost")), "so may any that nobody knows");
}

#[test]
fn whoever_was_only_ever_refused_had_no_session() {
    let mut case = days(3);
    let refused = What::Refused { user: "u2", session: "s2", presented: "x", why: Refusal::Other };
    case.tell(STEP, ("kc", "r", Rank::Issue), refused);
    let sessions =
        |case: &Case| case.rows().rows.keys().filter(|key| matches!(key, correlate::rows::Key::Session(..))).count();
    assert_eq!(sessions(&case), 1);
    case.login(STEP, ("u2", "s2", "backstage"));
    assert_eq!(sessions(&case), 2);
}
