//! Sessions, tokens, and what paid for a Backstage token.

use crate::case::{Case, decided, person};
use correlate::{
    Correlator,
    facts::{EndKind, Ended, List, Refusal, What},
    rows::{CredentialKind, Grade, Reason},
};
use events::event::Outcome::{Allow, Conditional, Deny};

const CLEO: &[(&str, &str, &[&str])] = &[("user:default/cleo", "u1", &[]), ("user:default/dora", "u2", &[])];
const OPS: &[(&str, &str)] = &[("group:default/ops", "g-ops")];

fn case() -> Case {
    let mut case = Case::new();
    case.catalog(1.0, CLEO, OPS);
    case
}

#[test]
fn one_session_with_two_clients_goes_on_when_one_grant_is_revoked() {
    let mut case = case();
    case.login(10.0, ("u1", "s1", "backstage"));
    case.login(20.0, ("u1", "s1", "wiki"));
    case.ended(30.0, Ended::One { session: "s1", user: "u1" }, EndKind::RevokeGrant);
    let rows = case.rows();
    let row = rows.session("s1");
    assert_eq!((row.started, row.logins, row.ended), (Some(10_000), 2, None));
    assert_eq!(row.clients, ["backstage", "wiki"]);
    case.ended(40.0, Ended::One { session: "s1", user: "u1" }, EndKind::Logout);
    assert_eq!(case.rows().session("s1").ended, Some((40_000, EndKind::Logout)));
}

#[test]
fn a_decision_in_a_session_in_which_somebody_else_acts_says_so() {
    let mut case = case();
    case.sign_in(10.0, ("u1", "s1", "user:default/cleo"));
    let own = case.decision(12.0, "user:default/cleo", Deny);
    case.sign_in(1_000.0, ("u1", "s2", "user:default/cleo"));
    let acted = case.decision(1_001.0, "user:default/cleo", Deny);
    // The webhook tells last that the second session was begun by an administrator.
    let by = What::Login { user: "u1", session: "s2", client: "security-admin-console", impersonator: "root" };
    case.tell(999.0, ("kc", "r", correlate::Rank::Login), by);
    let rows = case.rows();
    assert_eq!(rows.session("s2").impersonators.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["root"]);
    assert!(rows.decision(acted).reasons.contains(&Reason::Impersonated), "{:?}", rows.decision(acted));
    assert_eq!(rows.decision(acted).grade, Grade::Exact, "it is known which session it was");
    assert!(!rows.decision(own).reasons.contains(&Reason::Impersonated));
}

#[test]
fn everybody_who_acts_in_a_session_is_named_from_when_on() {
    let mut case = case();
    let acts = |case: &mut Case, at, impersonator| {
        let what = What::Login { user: "u1", session: "s1", client: "security-admin-console", impersonator };
        case.tell(at, ("kc", "r", correlate::Rank::Login), what)
    };
    let zoe = acts(&mut case, 10.0, "zoe");
    acts(&mut case, 20.0, "zoe");
    let adam = acts(&mut case, 30.0, "adam");
    let rows = case.rows();
    let told = rows.session("s1").impersonators.iter().map(|one| (one.name.as_str(), one.since, one.event));
    assert_eq!(told.collect::<Vec<_>>(), [("zoe", 10_000, zoe), ("adam", 30_000, adam)]);
}

#[test]
fn a_refresh_token_that_is_refused_because_it_was_used_before_stands_in_its_session() {
    let mut case = case();
    let refused = |case: &mut Case, at, presented, why| {
        let what = What::Refused { user: "u1", session: "s1", presented, why };
        case.tell(at, ("kc", "r", correlate::Rank::Issue), what)
    };
    case.code(10.0, ("u1", "s1", "t1"));
    // Tokens as old as this one were revoked: it had not been used by then.
    refused(&mut case, 15.0, "t1", Refusal::Stale);
    case.refresh(20.0, ("u1", "s1"), ("t1", "t2"));
    let first = refused(&mut case, 30.0, "t1", Refusal::Stale);
    refused(&mut case, 40.0, "t1", Refusal::Reuse);
    // Keycloak's word is enough where the use itself is not known.
    let last = refused(&mut case, 50.0, "t0", Refusal::Reuse);
    refused(&mut case, 60.0, "t1", Refusal::Other);
    let rows = case.rows();
    let row = rows.session("s1");
    assert_eq!(row.reuse_refused, [(30_000, first), (50_000, last)]);
    assert_eq!(row.seen, Some((10_000, 20_000)), "whoever is refused does not use it");
}

#[test]
fn a_refused_refresh_is_no_other_client() {
    let mut case = case();
    case.login(10.0, ("u1", "s1", "backstage"));
    let refused = What::Refused { user: "u1", session: "s1", presented: "t0", why: Refusal::Other };
    case.tell(20.0, ("kc", "r", correlate::Rank::Issue), refused);
    case.ended(30.0, Ended::One { session: "s1", user: "u1" }, EndKind::RevokeGrant);
    assert_eq!(case.rows().session("s1").ended, Some((30_000, EndKind::RevokeGrant)));
}

#[test]
fn an_end_for_all_ends_those_that_had_begun() {
    let mut case = case();
    case.login(10.0, ("u1", "s1", "backstage"));
    case.ended(20.0, Ended::OfRealm, EndKind::Admin);
    case.login(30.0, ("u1", "s2", "backstage"));
    case.keycloak(40.0, What::UserDeleted { user: "u1" });
    let rows = case.rows();
    assert_eq!(rows.session("s1").ended, Some((20_000, EndKind::Admin)));
    assert_eq!(rows.session("s2").ended, Some((40_000, EndKind::UserDeleted)));
}

#[test]
fn a_session_can_be_known_from_a_later_event_or_a_read_alone() {
    let mut case = case();
    case.refresh(50.0, ("u1", "s1"), ("t1", "t2"));
    case.read(60.0, ("kc", "r"), (vec![], vec![], vec![(List::Sessions, vec![("u2", "s2")])]));
    let rows = case.rows();
    assert_eq!((rows.session("s1").started, rows.session("s1").seen), (None, Some((50_000, 50_000))));
    assert_eq!(rows.session("s1").ended, Some((60_000, EndKind::AbsentFromRead)));
    assert_eq!((rows.session("s2").person.as_ref(), rows.session("s2").ended), (Some(&person("u2")), None));
}

#[test]
fn a_rotated_refresh_token_that_is_presented_again_is_told() {
    let mut case = case();
    case.code(10.0, ("u1", "s1", "t1"));
    case.refresh(20.0, ("u1", "s1"), ("t1", "t2"));
    case.refresh(30.0, ("u1", "s1"), ("t2", "t3"));
    case.refresh(40.0, ("u1", "s1"), ("t1", "t4"));
    let rows = case.rows();
    let tokens = rows.tokens();
    let reused: Vec<i64> = tokens.iter().filter(|row| row.reused).map(|row| row.at).collect();
    assert_eq!(reused, [40_000]);
    assert!(tokens.iter().all(|row| row.parent.is_some() == (row.at > 10_000)));
}

#[test]
fn a_refused_sign_in_brings_no_token_and_leaves_nothing_for_the_next() {
    let mut case = case();
    // Refused: Keycloak said yes, Backstage no.
    case.login(10.0, ("u1", "s1", "backstage"));
    case.code(10.1, ("u1", "s1", "t1"));
    case.callback(10.3, "s1");
    // Another try of the same person, a second later.
    let issuing = case.sign_in(11.0, ("u1", "s2", "user:default/cleo"));
    let decision = case.decision(12.0, "user:default/cleo", Deny);
    let rows = case.rows();
    assert_eq!(rows.session("s1").sign_ins[0].credential, None);
    assert_eq!(rows.session("s2").sign_ins[0].credential, Some(issuing));
    assert_eq!(rows.decision(decision).session.as_deref(), Some("s2"));
    assert_eq!(rows.decision(decision).grade, Grade::Exact);
}

#[test]
fn what_a_refused_sign_in_leaves_does_not_pay_for_a_refresh() {
    let mut case = case();
    case.sign_in(10.0, ("u1", "s1", "user:default/cleo"));
    // A second browser is refused; the first one refreshes a second later.
    case.code(30.0, ("u1", "s2", "t2"));
    case.callback(30.2, "s2");
    case.refresh(31.0, ("u1", "s1"), ("s1", "t1"));
    let issuing = case.issuing(31.1, "user:default/cleo");
    let rows = case.rows();
    let row = rows.credential(issuing);
    assert_eq!((row.kind, row.session.as_deref(), row.sure), (CredentialKind::Refresh, Some("s1"), true));
}

#[test]
fn tokens_do_not_pay_after_their_time() {
    let mut case = case();
    case.code(10.0, ("u1", "s1", "t1"));
    // Something else keeps the neighbourhood busy; then another session refreshes.
    case.login(13.0, ("u1", "s9", "backstage"));
    case.callback(14.0, "s9");
    case.refresh(18.0, ("u1", "s2"), ("t2", "t3"));
    let issuing = case.issuing(18.1, "user:default/cleo");
    let rows = case.rows();
    let row = rows.credential(issuing);
    assert_eq!(
        (row.session.as_deref(), row.sure),
        (Some("s2"), true),
        "what was issued eight seconds before pays no more"
    );
}

#[test]
fn a_sign_in_within_one_millisecond_is_put_in_its_order() {
    let mut case = case();
    // Told in the wrong order, and so with ids in the wrong order too.
    case.callback(10.0, "s1");
    let issuing = case.issuing(10.0, "user:default/cleo");
    let code = case.code(10.0, ("u1", "s1", "t1"));
    case.login(10.0, ("u1", "s1", "backstage"));
    let rows = case.rows();
    let row = rows.credential(issuing);
    assert_eq!((row.cause, row.sure, row.callback.is_some()), (Some(code), true, true));
    assert_eq!(rows.session("s1").sign_ins[0].credential, Some(issuing));
}

#[test]
fn sign_ins_of_two_people_at_once_are_kept_apart() {
    let mut case = case();
    case.code(10.0, ("u1", "s1", "t1"));
    case.code(10.01, ("u2", "s2", "t2"));
    let dora = case.issuing(10.1, "user:default/dora");
    let cleo = case.issuing(10.11, "user:default/cleo");
    case.callback(10.12, "s1");
    case.callback(10.13, "s2");
    let rows = case.rows();
    assert_eq!(rows.credential(cleo).session.as_deref(), Some("s1"));
    assert_eq!(rows.credential(dora).session.as_deref(), Some("s2"));
    assert!(rows.credential(cleo).sure && rows.credential(dora).sure);
}

#[test]
fn two_browsers_refreshing_at_once_are_not_sure() {
    let mut case = case();
    case.sign_in(10.0, ("u1", "s1", "user:default/cleo"));
    case.sign_in(20.0, ("u1", "s2", "user:default/cleo"));
    case.refresh(30.0, ("u1", "s1"), ("s1", "t1"));
    case.refresh(30.01, ("u1", "s2"), ("s2", "t2"));
    let first = case.issuing(30.1, "user:default/cleo");
    let second = case.issuing(30.11, "user:default/cleo");
    let rows = case.rows();
    assert!(!rows.credential(first).sure, "either of two sessions");
    assert_eq!(rows.credential(second).kind, CredentialKind::Refresh);
}

#[test]
fn of_more_live_tokens_than_are_looked_at_no_session_is_sure() {
    let mut case = case();
    case.sign_in(10.0, ("u1", "s1", "user:default/cleo"));
    case.sign_in(15.0, ("u1", "s2", "user:default/cleo"));
    for n in 0..40 {
        let at = 20.0 + 5.0 * f64::from(n);
        case.refresh(at, ("u1", "s2"), ("t1", "t2"));
        case.issuing(at + 0.1, "user:default/cleo");
    }
    let decision = case.decision(300.0, "user:default/cleo", Deny);
    let rows = case.rows();
    let row = rows.decision(decision);
    assert!(row.grade <= Grade::Inferred && row.reasons.contains(&Reason::SeveralSessions), "{row:?}");
}

#[test]
fn the_number_of_live_tokens_decides_the_grade() {
    let mut case = case();
    case.sign_in(10.0, ("u1", "s1", "user:default/cleo"));
    let one = case.decision(20.0, "user:default/cleo", Deny);
    case.refresh(30.0, ("u1", "s1"), ("s1", "t1"));
    case.issuing(30.1, "user:default/cleo");
    let two = case.decision(40.0, "user:default/cleo", Deny);
    case.sign_in(50.0, ("u1", "s2", "user:default/cleo"));
    let three = case.decision(60.0, "user:default/cleo", Deny);
    let alone = case.decision(631.0, "user:default/cleo", Deny);
    let none = case.decision(700.0, "user:default/cleo", Deny);
    let rows = case.rows();
    let grades = [one, two, three, alone, none].map(|event| rows.decision(event).grade);
    assert_eq!(grades, [Grade::Exact, Grade::Session, Grade::Inferred, Grade::Exact, Grade::None]);
    assert!(rows.decision(three).reasons.contains(&Reason::SeveralSessions));
    assert!(rows.decision(none).reasons.contains(&Reason::NoCredential));
}

#[test]
fn a_token_of_which_no_line_tells_is_reckoned_with() {
    let mut case = case();
    case.sign_in(10.0, ("u1", "s1", "user:default/cleo"));
    case.refresh(30.0, ("u1", "s1"), ("s1", "t1"));
    let soon = case.decision(30.05, "user:default/cleo", Deny);
    let later = case.decision(60.0, "user:default/cleo", Deny);
    let rows = case.rows();
    for event in [soon, later] {
        assert_eq!(rows.decision(event).grade, Grade::Inferred);
        assert!(rows.decision(event).reasons.contains(&Reason::TokenUnseen));
    }
    // What the line tells was not there before it.
    case.issuing(30.1, "user:default/cleo");
    let rows = case.rows();
    assert_eq!([soon, later].map(|event| rows.decision(event).grade), [Grade::Exact, Grade::Session]);
}

#[test]
fn a_conditional_decision_gets_an_outcome_only_from_its_own_trace() {
    let mut case = case();
    let mut conditional = decided("user:default/cleo", "deploy", Conditional);
    conditional.trace = "trace-1";
    let told = case.decided(10.0, conditional);
    let untold = case.decided(10.5, decided("user:default/cleo", "deploy", Conditional));
    let mut call = decided("user:default/cleo", "", Deny);
    call.trace = "trace-1";
    case.decided(11.0, call);
    case.decided(11.0, decided("user:default/cleo", "", Allow));
    let rows = case.rows();
    assert_eq!(rows.decision(told).final_outcome, Some(Deny));
    assert_eq!(rows.decision(untold).final_outcome, None);
}

#[test]
fn a_token_that_is_further_away_than_two_clocks_explain_is_not_sure_to_have_paid() {
    let mut case = case();
    // One answers at once; of two others, one may have lost its line and one its token.
    case.refresh(30.0, ("u1", "s1"), ("t1", "t2"));
    let near = case.issuing(30.9, "user:default/cleo");
    case.refresh(60.0, ("u1", "s2"), ("o1", "o2"));
    let far = case.issuing(61.2, "user:default/cleo");
    let decision = case.decision(70.0, "user:default/cleo", Deny);
    let rows = case.rows();
    assert_eq!((rows.credential(near).session.as_deref(), rows.credential(near).sure), (Some("s1"), true));
    assert_eq!((rows.credential(far).session.as_deref(), rows.credential(far).sure), (Some("s2"), false));
    let row = rows.decision(decision);
    assert!(row.grade <= Grade::Inferred && row.reasons.contains(&Reason::SessionUnsure), "{row:?}");
}

#[test]
fn a_second_copy_of_what_is_known_answers_nothing_anew() {
    let mut case = case();
    case.keycloak(2.0, What::Named { user: "u1", username: "cleo", email: "cleo@example.org" });
    case.member(3.0, ("u1", "g-ops", true));
    case.sign_in(10.0, ("u1", "s1", "user:default/cleo"));
    case.refresh(20.0, ("u1", "s1"), ("s1", "t2"));
    case.decision(30.0, "user:default/cleo", Allow);
    let mut correlator = Correlator::new(case.config.clone());
    case.tell_all(&mut correlator);
    correlator.settle();
    let answered = correlator.answered();
    // Another login says the same name again.
    case.keycloak(40.0, What::Named { user: "u1", username: "cleo", email: "cleo@example.org" });
    case.tell_all(&mut correlator);
    assert!(correlator.settle().is_empty());
    assert_eq!(correlator.answered(), answered);
}

#[test]
fn a_callback_whose_user_is_learnt_later_takes_it_from_another_session() {
    let mut case = case();
    case.login(9.0, ("u1", "s2", "backstage"));
    case.code(10.0, ("u1", "s2", "t2"));
    let issuing = case.issuing(10.2, "user:default/cleo");
    case.callback(10.21, "s1");
    case.callback(10.22, "s2");
    // Until now nothing said whose session the first callback names.
    case.ended(5_000.0, Ended::One { session: "s1", user: "u1" }, EndKind::Logout);
    let rows = case.rows();
    assert_eq!(rows.credential(issuing).callback, None);
    assert_eq!(rows.session("s2").sign_ins[0].credential, None);
}

#[test]
fn a_session_that_a_read_alone_shows_ends_as_others_do() {
    let listed = |case: &mut Case, at, sessions: &[(&'static str, &'static str)]| {
        case.read(at, ("kc", "r"), (vec![], vec![], vec![(List::Sessions, sessions.to_vec())]));
    };
    let mut case = case();
    listed(&mut case, 10.0, &[("u1", "s1"), ("u1", "s2"), ("u2", "s3")]);
    case.ended(20.0, Ended::One { session: "s1", user: "u1" }, EndKind::Logout);
    case.ended(30.0, Ended::OfUser("u1"), EndKind::Admin);
    // Its refresh token is refused because of that.
    let refused = What::Refused { user: "u1", session: "s2", presented: "t2", why: Refusal::Other };
    case.tell(35.0, ("kc", "r", correlate::Rank::Issue), refused);
    listed(&mut case, 40.0, &[]);
    // Nothing but its end is told of this one.
    case.ended(50.0, Ended::One { session: "s4", user: "u2" }, EndKind::Expired);
    let rows = case.rows();
    let told = ["s1", "s2", "s3", "s4"].map(|session| rows.session(session).ended);
    let ended = |at, how| Some((at, how));
    assert_eq!(
        told,
        [
            ended(20_000, EndKind::Logout),
            ended(30_000, EndKind::Admin),
            ended(40_000, EndKind::AbsentFromRead),
            ended(50_000, EndKind::Expired)
        ]
    );
}
