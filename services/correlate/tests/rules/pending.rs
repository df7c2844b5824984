//! What is denied although it was given: pending for as long as the catalog may take to read it.

use crate::{case::decided, rights::case};
use correlate::{
    facts::{Decided, What},
    rows::{Grade, Reason, Verdict},
};
use events::event::Outcome::{Conditional, Deny};

#[test]
fn a_grant_that_has_no_effect_yet_is_pending_since_it_was_given() {
    let mut case = case();
    case.member(10.0, ("u1", "g-ops", true));
    let denied = case.decision(17.5, "user:default/cleo", Deny);
    let rows = case.rows();
    assert_eq!((rows.decision(denied).verdict, rows.decision(denied).delay), (Verdict::PendingGrant, Some(7_500)));
}

#[test]
fn what_the_catalog_must_have_read_by_then_is_not_pending() {
    let mut case = case();
    case.member(10.0, ("u1", "g-ops", true));
    let [within, beyond] = [40.0, 40.001].map(|at| case.decision(at, "user:default/cleo", Deny));
    let told = What::Decided(decided("user:default/cleo", "deploy", Deny));
    let either = case.tell_within((39.0, 41.0), ("bs", "", correlate::Rank::Decision), told);
    let rows = case.rows();
    let told = [within, beyond, either].map(|event| (rows.decision(event).verdict, rows.decision(event).delay));
    let expected = [
        (Verdict::PendingGrant, Some(30_000)),
        (Verdict::DeniedWithRight, Some(30_001)),
        (Verdict::DeniedWithRight, Some(31_000)),
    ];
    assert_eq!(told, expected);
    let straddles = [within, beyond, either].map(|event| rows.decision(event).reasons.contains(&Reason::Straddles));
    assert_eq!(straddles, [false, false, true], "the last can have been made within the budget");
}

/// The catalog has 30 s to read it, and 10 min later no claims of before are left.
#[test]
fn claims_that_lack_a_group_for_too_long_do_not_wait_for_it() {
    let claims: &'static [String] = Box::leak(Box::new(["user:default/cleo".to_owned()]));
    let mut case = case();
    case.member(10.0, ("u1", "g-ops", true));
    let mut left =
        |at| case.decided(at, Decided { owner_refs: claims, ..decided("user:default/cleo", "deploy", Conditional) });
    let [within, beyond] = [640.0, 640.001].map(&mut left);
    let rows = case.rows();
    let told = [within, beyond].map(|event| (rows.decision(event).verdict, rows.decision(event).delay));
    assert_eq!(told, [(Verdict::PendingGrant, Some(630_000)), (Verdict::Conditional, None)]);
    let lacks = [within, beyond].map(|event| rows.decision(event).reasons.contains(&Reason::ClaimMissing));
    assert_eq!(lacks, [false, true]);
    assert!(rows.decision(beyond).grade <= Grade::Inferred);
}
