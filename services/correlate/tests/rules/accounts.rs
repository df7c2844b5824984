//! Accounts that are closed (disabled or deleted): judged as such before all else; and accounts of which it is not known, because an event
//! is missing.

use crate::{
    case::{Case, Rows, decided},
    rights::case,
};
use correlate::{
    facts::{Entity, List, Parent, What},
    rows::{Clock, DecisionRow, Grade, Reason, Verdict},
};
use events::event::Outcome::{self, Allow, Conditional, Deny};
use uuid::Uuid;

const CLEO: &str = "user:default/cleo";

fn read_users(case: &mut Case, at: f64, told: &[bool]) {
    let user = |enabled: &bool| Entity::User { user: "u1", username: "cleo", email: "", enabled: *enabled };
    case.read(at, ("kc", "r"), (vec![List::Users], told.iter().map(user).collect(), vec![]));
}

fn rests(row: &DecisionRow) -> bool {
    assert!(!row.reasons.contains(&Reason::RestsOnGap) || row.grade <= Grade::Inferred, "{row:?}");
    row.reasons.contains(&Reason::RestsOnGap)
}

/// Verdict, clock and delay.
fn told(rows: &Rows, event: Uuid) -> (Verdict, Clock, Option<i64>) {
    let row = rows.decision(event);
    assert!(row.reasons.contains(&Reason::Disabled), "{row:?}");
    (row.verdict, row.clock, row.delay)
}

#[test]
fn what_is_decided_where_it_is_not_known_that_the_account_was_closed_rests_on_a_gap() {
    // Disabled, deleted: the event is lost, the next read shows it.
    for after in [&[false][..], &[]] {
        let mut case = case();
        case.member(10.0, ("u1", "g-ops", true));
        read_users(&mut case, 20.0, &[true]);
        read_users(&mut case, 100.0, after);
        let sure = case.decision(15.0, CLEO, Allow);
        let between = case.decision(50.0, CLEO, Allow);
        let on_conditions = case.decision(51.0, CLEO, Conditional);
        let denied = case.decided(52.0, decided(CLEO, "another", Deny));
        let later = case.decision(900.0, CLEO, Allow);
        let rows = case.rows();
        assert_eq!((rows.decision(sure).verdict, rests(rows.decision(sure))), (Verdict::Agrees, false));
        assert_eq!((rows.decision(between).verdict, rests(rows.decision(between))), (Verdict::Agrees, true));
        assert!(rests(rows.decision(on_conditions)));
        assert!(!rests(rows.decision(denied)), "nothing was held: closed or not");
        // Beyond the token's budget; by when it was closed at the latest is known, and not when.
        let row = rows.decision(later);
        assert_eq!((row.verdict, row.delay, rests(row)), (Verdict::Exposure, Some(800_000), true));
    }
}

#[test]
fn whoever_was_let_in_again_without_an_event_is_no_violator() {
    let mut case = case();
    case.member(10.0, ("u1", "g-ops", true));
    case.keycloak(20.0, What::Enabled { user: "u1", enabled: false });
    read_users(&mut case, 2_000.0, &[true]);
    let allowed = case.decision(1_500.0, CLEO, Allow);
    let call = case.decided(1_501.0, decided(CLEO, "", Allow));
    let rows = case.rows();
    for event in [allowed, call] {
        let row = rows.decision(event);
        assert_eq!((row.verdict, rests(row)), (Verdict::Exposure, true), "{row:?}");
    }
}

fn claiming(outcome: Outcome, claims: &'static [String]) -> correlate::facts::Decided<'static> {
    correlate::facts::Decided { owner_refs: claims, ..decided(CLEO, "deploy", outcome) }
}

#[test]
fn whoever_is_closed_is_judged_as_such_before_all_else() {
    let mut case = case();
    case.member(10.0, ("u1", "g-ops", true));
    case.keycloak(100.0, What::Enabled { user: "u1", enabled: false });
    let own: &'static [String] = Box::leak(Box::new([CLEO.to_owned()]));
    let no_claim = case.decided(150.0, claiming(Conditional, &[]));
    let own_claim = case.decided(151.0, claiming(Conditional, own));
    let call = case.decided(152.0, decided(CLEO, "", Allow));
    let beyond = case.decided(800.0, decided(CLEO, "", Allow));
    let refused = case.decided(153.0, decided(CLEO, "", Deny));
    let rows = case.rows();
    assert_eq!(told(&rows, no_claim), (Verdict::Exposure, Clock::Token, Some(50_000)));
    assert_eq!(told(&rows, own_claim), (Verdict::Exposure, Clock::Token, Some(51_000)), "no pending grant");
    assert_eq!(told(&rows, call), (Verdict::Exposure, Clock::Token, Some(52_000)));
    assert_eq!(told(&rows, beyond), (Verdict::Violation, Clock::Token, Some(700_000)));
    assert_eq!(rows.decision(refused).verdict, Verdict::NotJudged);
    assert!(rows.decision(refused).reasons.contains(&Reason::Disabled));
}

#[test]
fn a_policy_that_is_not_known_does_not_hide_that_an_account_was_closed() {
    let mut case = Case::new();
    case.catalog(-30.0, &[(CLEO, "u1", &[])], &[]);
    case.keycloak(-20.0, What::UserDeleted { user: "u1" });
    let before = case.decision(-25.0, CLEO, Allow);
    let after = case.decision(-15.0, CLEO, Allow);
    let rows = case.rows();
    assert_eq!(rows.decision(before).verdict, Verdict::NotJudged);
    assert_eq!(told(&rows, after), (Verdict::Exposure, Clock::Token, Some(5_000)));
    let row = rows.decision(after);
    assert!(row.reasons.contains(&Reason::PolicyUnknown) && row.grade <= Grade::Inferred, "possibly: {row:?}");
}

/// A line whose time is hardly known can be of before, or of when a token of before lived still.
#[test]
fn what_can_have_been_decided_before_the_account_was_closed_is_no_violation() {
    let mut case = Case::new();
    case.catalog(-10_000.0, &[(CLEO, "u1", &[])], &[]);
    case.keycloak(-9_000.0, What::UserDeleted { user: "u1" });
    let mut allowed = |span| {
        let what = What::Decided(decided(CLEO, "deploy", Allow));
        case.tell_within(span, ("bs", "", correlate::Rank::Decision), what)
    };
    let events = [-9_001.0, -8_400.0, -8_399.0].map(|from| allowed((from, -1_000.0)));
    let soon = [-9_001.0, -8_999.0].map(|from| allowed((from, -8_990.0)));
    let rows = case.rows();
    let told =
        events.map(|event| rows.decision(event)).map(|row| (row.verdict, row.reasons.contains(&Reason::Straddles)));
    assert_eq!(told, [(Verdict::Exposure, true), (Verdict::Exposure, true), (Verdict::Violation, false)]);
    let told =
        soon.map(|event| rows.decision(event)).map(|row| (row.verdict, row.reasons.contains(&Reason::Straddles)));
    assert_eq!(told, [(Verdict::Exposure, true), (Verdict::Exposure, false)]);
}

#[test]
fn the_clock_is_that_of_what_took_the_right() {
    let mut case = case();
    case.member(10.0, ("u1", "g-ops", true));
    case.member(100.0, ("u1", "g-ops", false));
    case.keycloak(120.0, What::Enabled { user: "u1", enabled: false });
    let row = case.decision(140.0, CLEO, Allow);
    // The catalog may take 30 s, and has not followed for 40: that the account was closed since gives it no more time.
    assert_eq!(told(&case.rows(), row), (Verdict::Violation, Clock::Catalog, Some(40_000)));
}

#[test]
fn a_name_that_two_groups_share_is_no_right_of_whoever_is_closed() {
    let mut case = Case::new();
    case.group(1.0, ("g-ops", "/platform/ops", Parent::Top));
    case.group(1.0, ("g-other", "/contractors/ops", Parent::Top));
    case.member(5.0, ("u1", "g-other", true));
    case.catalog(10.0, &[(CLEO, "u1", &["group:default/ops"])], &[("group:default/ops", "g-ops")]);
    case.keycloak(30.0, What::Enabled { user: "u1", enabled: false });
    let before = case.decision(20.0, CLEO, Allow);
    let after = case.decision(40.0, CLEO, Allow);
    let rows = case.rows();
    assert_eq!(rows.decision(before).verdict, Verdict::NameCollision);
    assert_eq!(told(&rows, after), (Verdict::Exposure, Clock::Token, Some(10_000)));
    assert!(rows.decision(after).reasons.contains(&Reason::SharedName));
    // Both groups are the grounds: that which the person is in, and that whose role it is.
    let [path] = &rows.decision(before).support[..] else { panic!("{:#?}", rows.decision(before)) };
    assert_eq!((path.group.as_str(), path.above.as_str()), ("g-other", "g-ops"));
    assert_eq!((path.reference.as_str(), path.since), ("group:default/ops", Some(5_000)));
    assert!(!rows.decision(before).reasons.contains(&Reason::RightsFromCatalog));
}
