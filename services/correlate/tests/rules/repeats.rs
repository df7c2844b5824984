//! What is only said again, of names and of sessions that go on, is let go behind a floor: memory does not grow with it, rows say the
//! same, and what lies between is told.

use crate::{case::Case, forgetting::Forgetful};
use correlate::{
    Correlator, Rank,
    facts::{EndKind, Ended, Entity, Lifespans, List, What},
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

const LATER: [Later; 13] = [
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
        let refused = What::Refused { user: "u1", session: "s1", presented: "t3" };
        case.tell(NOW, ("kc", "r", Rank::Issue), refused);
    }),
    ("the session ends", false, |case| {
        case.ended(NOW, Ended::One { session: "s1", user: "u1" }, EndKind::Logout);
    }),
];

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
    let refused = What::Refused { user: "u2", session: "s2", presented: "x" };
    case.tell(STEP, ("kc", "r", Rank::Issue), refused);
    let sessions =
        |case: &Case| case.rows().rows.keys().filter(|key| matches!(key, correlate::rows::Key::Session(..))).count();
    assert_eq!(sessions(&case), 1);
    case.login(STEP, ("u2", "s2", "backstage"));
    assert_eq!(sessions(&case), 2);
}
