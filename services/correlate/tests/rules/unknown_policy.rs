//! Where no policy is known, a decision is not judged; that a group was gone by then is said all the same.

use crate::case::Case;
use correlate::facts::{Parent, What};
use correlate::rows::{DecisionRow, Grade, Reason, Verdict};
use events::event::Outcome::{Allow, Conditional, Deny};

/// Policies are known from the instant 0 on.
fn before() -> Case {
    let mut case = Case::new();
    let groups = &[("group:default/ops", "g-ops"), ("group:default/top", "g-top")];
    case.catalog(-900.0, &[("user:default/cleo", "u1", &[])], groups);
    case.group(-900.0, ("g-ops", "/ops", Parent::Top));
    case.group(-900.0, ("g-other", "/other", Parent::Top));
    case
}

fn possibly_stale(row: &DecisionRow) -> Option<i64> {
    assert_eq!(row.verdict, Verdict::NotJudged);
    assert!(row.reasons.contains(&Reason::PolicyUnknown));
    assert_eq!(row.delay.is_some(), row.reasons.contains(&Reason::PossiblyStale));
    assert!(row.grade <= Grade::Inferred && row.support.is_empty());
    row.delay
}

#[test]
fn whoever_is_let_in_after_a_group_of_theirs_was_taken_is_possibly_stale() {
    let mut case = before();
    case.member(-500.0, ("u1", "g-ops", true));
    let held = case.decision(-450.0, "user:default/cleo", Allow);
    case.member(-400.0, ("u1", "g-ops", false));
    let gone = case.decision(-390.0, "user:default/cleo", Allow);
    let left_open = case.decision(-380.0, "user:default/cleo", Conditional);
    let refused = case.decision(-370.0, "user:default/cleo", Deny);
    case.member(-300.0, ("u1", "g-ops", true));
    let again = case.decision(-290.0, "user:default/cleo", Allow);
    let rows = case.rows();
    let told = [held, gone, left_open, refused, again].map(|event| possibly_stale(rows.decision(event)));
    assert_eq!(told, [None, Some(10_000), Some(20_000), None, None]);
}

#[test]
fn a_group_that_went_with_its_place_in_the_tree_counts_and_one_that_backstage_never_knew_does_not() {
    let mut case = before();
    case.group(-880.0, ("g-top", "/top", Parent::Top));
    case.group(-870.0, ("g-sub", "sub", Parent::Below("g-top")));
    case.member(-500.0, ("u1", "g-sub", true));
    case.member(-500.0, ("u1", "g-other", true));
    case.member(-450.0, ("u1", "g-other", false));
    let unknown = case.decision(-440.0, "user:default/cleo", Allow);
    case.group(-400.0, ("g-sub", "sub", Parent::Top));
    let moved = case.decision(-390.0, "user:default/cleo", Allow);
    let rows = case.rows();
    let told = [unknown, moved].map(|event| possibly_stale(rows.decision(event)));
    assert_eq!(told, [None, Some(10_000)]);
}

#[test]
fn whoever_was_closed_is_exposure_and_not_possibly_stale() {
    let mut case = before();
    case.member(-500.0, ("u1", "g-ops", true));
    case.member(-450.0, ("u1", "g-ops", false));
    case.keycloak(-400.0, What::Enabled { user: "u1", enabled: false });
    let closed = case.decision(-390.0, "user:default/cleo", Allow);
    let rows = case.rows();
    let row = rows.decision(closed);
    assert_eq!((row.verdict, row.delay), (Verdict::Exposure, Some(10_000)));
    assert!(!row.reasons.contains(&Reason::PossiblyStale));
}
