//! Lines that carry no time of their own and are read late, and callbacks, which date themselves.

use crate::case::{Case, decided};
use correlate::{
    Rank,
    facts::{Decided, What},
    rows::{Grade, Reason, Verdict},
};
use events::event::Outcome::{Allow, Conditional, Deny};
use uuid::Uuid;

const CLEO: &[(&str, &str, &[&str])] = &[("user:default/cleo", "u1", &[])];

fn case() -> Case {
    let mut case = Case::new();
    case.catalog(1.0, CLEO, &[]);
    case
}

const ISSUE: (&str, &str, Rank) = ("bs", "", Rank::BackstageIssue);

fn issued_in(instance: &'static str) -> What<'static> {
    What::BackstageIssued { reference: "user:default/cleo", claims: "", instance }
}

#[test]
fn an_issuing_line_that_is_read_after_its_callback_is_that_sign_ins() {
    let mut case = case();
    case.login(10.0, ("u1", "s1", "backstage"));
    let code = case.code(10.1, ("u1", "s1", "t1"));
    let callback = case.callback(10.2, "s1");
    let issued = case.tell_within((9.8, 10.8), ISSUE, issued_in("pod-1"));
    let rows = case.rows();
    let row = rows.credential(issued);
    assert_eq!(row.session.as_deref(), Some("s1"));
    assert_eq!((row.cause, row.callback, row.sure), (Some(code), Some(callback), true));
    let told = rows.session("s1").sign_ins.iter().map(|one| (one.callback, one.credential));
    assert_eq!(told.collect::<Vec<_>>(), [(callback, Some(issued))]);
}

#[test]
fn a_refused_sign_in_is_not_that_of_a_line_that_was_written_after_it() {
    let mut case = case();
    case.code(10.1, ("u1", "s1", "t1"));
    case.callback(10.2, "s1");
    // Read when it was written at the earliest after the callback; and one that something else pays for.
    let late = |case: &mut Case, span| case.tell_within(span, ISSUE, issued_in("pod-1"));
    let unpaid = late(&mut case, (10.3, 11.3));
    case.code(20.1, ("u1", "s2", "t2"));
    case.callback(20.2, "s2");
    case.refresh(20.3, ("u1", "s3"), ("t3", "t4"));
    let refreshed = late(&mut case, (19.9, 20.9));
    let rows = case.rows();
    assert_eq!(rows.credential(unpaid).session, None);
    assert_eq!(rows.credential(refreshed).session.as_deref(), Some("s3"));
    assert!(rows.session("s1").sign_ins.iter().all(|one| one.credential.is_none()));
    assert!(rows.session("s2").sign_ins.iter().all(|one| one.credential.is_none()));
}

#[test]
fn of_two_sign_ins_within_what_a_reader_is_late_neither_is_sure() {
    let mut case = case();
    for (at, session) in [(10.1, "s1"), (10.3, "s2")] {
        case.code(at, ("u1", session, session));
        case.callback(at + 0.1, session);
    }
    let first = case.tell_within((10.0, 10.9), ISSUE, issued_in("pod-1"));
    let rows = case.rows();
    assert_eq!(rows.credential(first).session.as_deref(), Some("s1"));
    assert!(!rows.credential(first).sure);
}

#[test]
fn a_callback_pays_surely_only_for_a_line_just_before_it() {
    let mut case = case();
    for (at, session, callback) in [(10.0, "s1", 10.5), (100.0, "s2", 101.5)] {
        case.login(at - 0.1, ("u1", session, "backstage"));
        case.callback(callback, session);
    }
    // The tokens of neither were told.
    let [near, far] = [10.0, 100.0].map(|at| case.issuing(at, "user:default/cleo"));
    let rows = case.rows();
    let told = [near, far].map(|event| (rows.credential(event).session.as_deref(), rows.credential(event).sure));
    assert_eq!(told, [(Some("s1"), true), (Some("s2"), false)]);
}

/// Grade of a decision just before the line of a second sign-in, or of a second token of the same session.
fn before_a_line(session: &'static str, line: (f64, &'static str), decision: (f64, f64)) -> (Grade, Vec<Reason>) {
    let mut case = case();
    case.sign_in(10.0, ("u1", "s1", "user:default/cleo"));
    case.refresh(100.0, ("u1", session), ("t1", "t2"));
    let (from, instance) = line;
    case.tell_within((from, 100.9), ISSUE, issued_in(instance));
    let what = What::Decided(decided("user:default/cleo", "deploy", Deny));
    let event = case.tell_within(decision, ("bs", "", Rank::Decision), what);
    let rows = case.rows();
    let row = rows.decision(event);
    (row.grade, row.reasons.clone())
}

#[test]
fn a_token_whose_line_is_stamped_behind_a_decision_can_stand_behind_it() {
    // It may have been issued 0.8 s before its line was read.
    let (grade, reasons) = before_a_line("s2", (100.1, "pod-1"), (100.5, 100.5));
    assert_eq!((grade, reasons.contains(&Reason::SeveralSessions)), (Grade::Inferred, true));
    let (grade, reasons) = before_a_line("s1", (100.1, "pod-1"), (100.5, 100.5));
    assert_eq!((grade, reasons.contains(&Reason::SeveralTokens)), (Grade::Session, true));
    // Not so if the line was written afterwards at the earliest.
    assert_eq!(before_a_line("s2", (100.6, "pod-1"), (100.5, 100.5)).0, Grade::Exact);
}

#[test]
fn lines_of_one_instance_keep_their_order() {
    // Both are stamped by their reader: of one instance the decision came first.
    assert_eq!(before_a_line("s2", (99.9, "pod-1"), (99.5, 100.5)).0, Grade::Exact);
    assert_eq!(before_a_line("s2", (99.9, "pod-2"), (99.5, 100.5)).0, Grade::Inferred);
    // Nor is there an order of stamps where one was dated otherwise: a line whose receipt alone is known, and a decision beside a dated one.
    assert_eq!(before_a_line("s2", (20.0, "pod-1"), (99.5, 100.5)).0, Grade::Inferred);
}

#[test]
fn of_two_lines_behind_a_callback_either_can_be_its_own() {
    let told = |first: (f64, f64), second: (f64, f64)| {
        let mut case = case();
        case.refresh(10.0, ("u1", "s1"), ("t1", "t2"));
        case.code(10.1, ("u1", "s2", "t3"));
        case.callback(10.2, "s2");
        let lines: [Uuid; 2] = [first, second].map(|span| case.tell_within(span, ISSUE, issued_in("pod-1")));
        let rows = case.rows();
        lines.map(|line| (rows.credential(line).session.clone(), rows.credential(line).sure))
    };
    let of = |session: &str, sure| (Some(session.to_owned()), sure);
    assert_eq!(told((9.3, 10.3), (9.4, 10.4)), [of("s1", false), of("s2", false)]);
    // One that was written behind it is another's.
    assert_eq!(told((10.25, 10.3), (9.4, 10.4)), [of("s1", true), of("s2", true)]);
    // Of one line alone the other can be lost.
    let mut case = case();
    case.refresh(10.0, ("u1", "s1"), ("t1", "t2"));
    case.code(10.1, ("u1", "s2", "t3"));
    case.callback(10.2, "s2");
    let line = case.tell_within((9.3, 10.3), ISSUE, issued_in("pod-1"));
    assert!(!case.rows().credential(line).sure);
}

#[test]
fn who_bore_a_name_is_asked_at_both_ends_of_a_decisions_time() {
    let mut case = case();
    case.catalog(50.0, &[("user:default/cleo", "u9", &[])], &[]);
    case.sign_in(100.0, ("u9", "s9", "user:default/cleo"));
    let decision = |case: &mut Case, from| {
        let what = What::Decided(decided("user:default/cleo", "deploy", Deny));
        case.tell_within((from, 110.0), ("bs", "", Rank::Decision), what)
    };
    let events = [49.0, 51.0].map(|from| decision(&mut case, from));
    let rows = case.rows();
    let told =
        events.map(|event| rows.decision(event)).map(|row| (row.grade, row.reasons.contains(&Reason::Straddles)));
    assert_eq!(told, [(Grade::Inferred, true), (Grade::Exact, false)]);
}

/// What pays for a line that is stamped behind a decision is told last: rows are the same in every order.
#[test]
fn a_decision_follows_what_comes_after_the_line_behind_it() {
    let mut case = case();
    case.sign_in(10.0, ("u1", "s1", "user:default/cleo"));
    case.refresh(96.0, ("u1", "s2"), ("t1", "t2"));
    let decided = |case: &mut Case, at| case.decision(at, "user:default/cleo", Deny);
    let (soon, before) = (decided(&mut case, 97.0), decided(&mut case, 40.0));
    // One line follows within what an answer takes; another has no time but that of its receipt.
    case.tell_within((100.5, 100.5), ISSUE, issued_in("pod-1"));
    case.tell_within((30.0, 200.0), ISSUE, issued_in("pod-2"));
    case.callback(104.9, "s2");
    case.code(199.0, ("u1", "s1", "t9"));
    let last = case.last_change();
    let rows = case.rows();
    assert_eq!([soon, before].map(|event| rows.decision(event).grade), [Grade::Session; 2]);
    assert!(last.iter().any(|change| change.key == correlate::rows::Key::Decision(before)), "{last:#?}");
}

/// The group gives no right to what is asked: only the claims tell whether its grant had come.
#[test]
fn claims_are_compared_at_both_ends_of_a_decisions_time() {
    let claims: &'static [String] = Box::leak(Box::new(["user:default/cleo".to_owned()]));
    let mut case = Case::new();
    case.catalog(1.0, CLEO, &[("group:default/pay", "g-pay")]);
    case.member(10.0, ("u1", "g-pay", true));
    let events = [5.0, 11.0].map(|from| {
        let decided = Decided { owner_refs: claims, ..decided("user:default/cleo", "deploy", Conditional) };
        case.tell_within((from, 16.0), ("bs", "", Rank::Decision), What::Decided(decided))
    });
    let rows = case.rows();
    let told =
        events.map(|event| rows.decision(event)).map(|row| (row.verdict, row.reasons.contains(&Reason::Straddles)));
    assert_eq!(told, [(Verdict::PendingGrant, true), (Verdict::PendingGrant, false)]);
}

#[test]
fn many_lines_behind_a_decision_hide_none_that_can_be_of_before() {
    let mut case = case();
    case.sign_in(10.0, ("u1", "s1", "user:default/cleo"));
    let event = case.decision(20.0, "user:default/cleo", Deny);
    (0..40).for_each(|n| _ = case.issuing(1_000.0 + f64::from(n), "user:default/cleo"));
    assert_eq!(case.rows().decision(event).grade, Grade::Exact);
    case.tell_within((0.0, 2_000.0), ISSUE, issued_in("pod-2"));
    assert_eq!(case.rows().decision(event).grade, Grade::Inferred);
}

#[test]
fn an_audited_call_of_before_the_name_was_anothers_is_no_violation() {
    let mut case = case();
    case.keycloak(2.0, What::UserDeleted { user: "u1" });
    case.catalog(4_990.0, CLEO, &[]);
    case.catalog(5_000.0, &[("user:default/cleo", "u9", &[])], &[]);
    // Dated to the second.
    let mut call = |at, to| {
        let what = What::Decided(decided("user:default/cleo", "", Allow));
        case.tell_dated(at, (at, to), ("bs", "", Rank::Decision), what)
    };
    let events = [call(4_999.5, 5_000.499), call(4_980.0, 4_980.999)];
    let rows = case.rows();
    let told =
        events.map(|event| rows.decision(event)).map(|row| (row.verdict, row.reasons.contains(&Reason::Straddles)));
    assert_eq!(told, [(Verdict::Exposure, true), (Verdict::Violation, false)]);
}
