//! Lines that carry no time of their own and are read late, and callbacks, which date themselves.

use crate::case::Case;
use correlate::facts::What;

const CLEO: &[(&str, &str, &[&str])] = &[("user:default/cleo", "u1", &[])];

fn case() -> Case {
    let mut case = Case::new();
    case.catalog(1.0, CLEO, &[]);
    case
}

#[test]
fn an_issuing_line_that_is_read_after_its_callback_is_that_sign_ins() {
    let mut case = case();
    case.login(10.0, ("u1", "s1", "backstage"));
    let code = case.code(10.1, ("u1", "s1", "t1"));
    let callback = case.callback(10.2, "s1");
    let what = What::BackstageIssued { reference: "user:default/cleo", claims: "", instance: "pod-1" };
    let issued = case.tell_within((9.8, 10.8), ("bs", "", correlate::Rank::BackstageIssue), what);
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
    let late = |case: &mut Case, (from, to)| {
        let what = What::BackstageIssued { reference: "user:default/cleo", claims: "", instance: "pod-1" };
        case.tell_within((from, to), ("bs", "", correlate::Rank::BackstageIssue), what)
    };
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
    let what = || What::BackstageIssued { reference: "user:default/cleo", claims: "", instance: "pod-1" };
    let place = ("bs", "", correlate::Rank::BackstageIssue);
    let first = case.tell_within((10.0, 10.9), place, what());
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
