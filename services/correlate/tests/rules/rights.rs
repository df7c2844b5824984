//! Rights over time: groups and their tree, roles, clocks. What reads say of them: `reads.rs`.

use crate::case::{Case, decided};
use correlate::{
    facts::{Entity, Holder, List, Parent, RoleName, What},
    rows::{Clock, Key, Reason, RightKind, Row, Verdict},
};
use events::event::Outcome::{Allow, Conditional, Deny};

const CLEO: &[(&str, &str, &[&str])] = &[("user:default/cleo", "u1", &[])];
const OPS: &[(&str, &str)] = &[("group:default/ops", "g-ops")];

pub fn case() -> Case {
    let mut case = Case::new();
    case.catalog(1.0, CLEO, OPS);
    case.group(1.5, ("g-ops", "/ops", Parent::Top));
    case
}

#[test]
fn a_removal_is_exposure_up_to_the_budget_and_a_violation_after() {
    let mut case = case();
    case.member(10.0, ("u1", "g-ops", true));
    case.member(100.0, ("u1", "g-ops", false));
    let at = [50.0, 105.0, 130.0, 131.0].map(|at| case.decision(at, "user:default/cleo", Allow));
    let rows = case.rows();
    let told = at.map(|event| (rows.decision(event).verdict, rows.decision(event).delay));
    let expected = [
        (Verdict::Agrees, None),
        (Verdict::Exposure, Some(5_000)),
        (Verdict::Exposure, Some(30_000)),
        (Verdict::Violation, Some(31_000)),
    ];
    assert_eq!(told, expected);
    assert_eq!(rows.decision(at[3]).support[0].role, "role:default/ops", "what last supported it");
}

#[test]
fn removed_and_added_again_is_never_stale_and_a_second_path_keeps_the_right() {
    let mut case = case();
    case.role(0.0, ("role:default/ops", "group:default/more", true));
    case.catalog(2.0, CLEO, &[("group:default/ops", "g-ops"), ("group:default/more", "g-more")]);
    case.member(10.0, ("u1", "g-ops", true));
    case.member(11.0, ("u1", "g-more", true));
    case.member(20.0, ("u1", "g-ops", false));
    let second_path = case.decision(25.0, "user:default/cleo", Allow);
    case.member(30.0, ("u1", "g-more", false));
    let gone = case.decision(35.0, "user:default/cleo", Allow);
    case.member(40.0, ("u1", "g-ops", true));
    let again = case.decision(45.0, "user:default/cleo", Allow);
    let rows = case.rows();
    assert_eq!(rows.decision(second_path).verdict, Verdict::Agrees);
    assert_eq!(rows.decision(gone).delay, Some(5_000), "since the last of both");
    assert_eq!(rows.decision(again).verdict, Verdict::Agrees);
}

#[test]
fn a_nested_group_deleted_from_above_ends_the_right_by_reference() {
    let mut case = case();
    case.group(2.0, ("g-top", "/top", Parent::Top));
    case.group(3.0, ("g-ops", "ops", Parent::Below("g-top")));
    case.member(10.0, ("u1", "g-ops", true));
    case.keycloak(50.0, What::GroupDeleted { group: "g-top" });
    let before = case.decision(40.0, "user:default/cleo", Allow);
    let after = case.decision(60.0, "user:default/cleo", Allow);
    // A later read that does not list it is no gap.
    case.read(90.0, ("kc", "r"), (vec![List::Groups], vec![], vec![(List::Members, vec![])]));
    let rows = case.rows();
    assert_eq!(rows.decision(before).verdict, Verdict::Agrees);
    assert_eq!((rows.decision(after).verdict, rows.decision(after).delay), (Verdict::Exposure, Some(10_000)));
    assert!(rows.gaps().is_empty());
    assert_eq!(rows.grants()[0].to, None, "nothing was said about the person");
}

#[test]
fn moving_a_group_changes_what_its_members_inherit() {
    let mut case = case();
    case.group(2.0, ("g-sub", "/sub", Parent::Top));
    case.member(10.0, ("u1", "g-sub", true));
    let outside = case.decision(20.0, "user:default/cleo", Deny);
    case.group(30.0, ("g-sub", "sub", Parent::Below("g-ops")));
    let inside = case.decision(40.0, "user:default/cleo", Allow);
    case.group(50.0, ("g-sub", "sub", Parent::Top));
    let left = case.decision(60.0, "user:default/cleo", Allow);
    let rows = case.rows();
    assert_eq!(rows.decision(outside).verdict, Verdict::Agrees);
    let support = &rows.decision(inside).support[0];
    assert_eq!((support.group.as_str(), support.above.as_str()), ("g-sub", "g-ops"));
    assert_eq!(rows.decision(left).delay, Some(10_000));
}

#[test]
fn a_renamed_group_keeps_its_keycloak_right_and_loses_the_backstage_role() {
    let mut case = case();
    case.member(10.0, ("u1", "g-ops", true));
    case.group(50.0, ("g-ops", "operations", Parent::Unsaid));
    let stale = case.decision(55.0, "user:default/cleo", Allow);
    case.catalog(60.0, CLEO, &[("group:default/operations", "g-ops")]);
    let denied = case.decision(70.0, "user:default/cleo", Deny);
    let rows = case.rows();
    assert_eq!((rows.decision(stale).verdict, rows.decision(stale).delay), (Verdict::Exposure, Some(5_000)));
    assert_eq!(rows.decision(denied).verdict, Verdict::Agrees);
    let rights = rows.correlator.rights_at("kc", "u1", 70_000);
    assert_eq!(rights.iter().map(|right| right.right.as_str()).collect::<Vec<_>>(), ["g-ops"]);
}

#[test]
fn two_groups_of_one_backstage_name_stay_two() {
    let mut case = Case::new();
    // The annotation names /platform/ops; cleo is in /contractors/ops.
    case.group(1.0, ("g-ops", "/platform/ops", Parent::Top));
    case.group(1.0, ("g-other", "/contractors/ops", Parent::Top));
    case.member(5.0, ("u1", "g-other", true));
    case.catalog(10.0, &[("user:default/cleo", "u1", &["group:default/ops"])], OPS);
    let decision = case.decision(20.0, "user:default/cleo", Allow);
    let rows = case.rows();
    assert_eq!(rows.decision(decision).verdict, Verdict::NameCollision);
    assert!(rows.decision(decision).reasons.contains(&Reason::SharedName));
}

#[test]
fn groups_of_a_new_user_are_named_by_path_alone() {
    let mut case = case();
    case.keycloak(10.0, What::UserCreated { user: "u1" });
    case.keycloak(10.0, What::Member { user: "u1", group: "", path: "/ops", held: true });
    let decision = case.decision(20.0, "user:default/cleo", Allow);
    let rows = case.rows();
    assert_eq!(rows.decision(decision).verdict, Verdict::Agrees);
    assert_eq!(rows.grants()[0].right, "g-ops");
}

#[test]
fn a_new_user_is_in_the_default_groups_at_once() {
    let mut case = case();
    case.keycloak(10.0, What::UserCreated { user: "u1" });
    let decision = case.decision(20.0, "user:default/cleo", Allow);
    // That it is a default group comes to be known last.
    case.keycloak(5.0, What::DefaultGroup { group: "g-ops", held: true });
    assert_eq!(case.rows().decision(decision).verdict, Verdict::Agrees);
}

#[test]
fn disabling_is_on_the_clock_of_the_token_and_enabling_gives_back() {
    let mut case = case();
    case.member(10.0, ("u1", "g-ops", true));
    case.keycloak(20.0, What::Enabled { user: "u1", enabled: false });
    let disabled = case.decision(120.0, "user:default/cleo", Allow);
    case.keycloak(130.0, What::Enabled { user: "u1", enabled: true });
    let enabled = case.decision(140.0, "user:default/cleo", Allow);
    let rows = case.rows();
    let row = rows.decision(disabled);
    assert_eq!((row.verdict, row.clock, row.delay), (Verdict::Exposure, Clock::Token, Some(100_000)));
    assert_eq!(rows.decision(enabled).verdict, Verdict::Agrees);
}

#[test]
fn a_role_given_in_backstage_is_no_stale_right() {
    let mut case = case();
    case.role(10.0, ("role:default/ops", "user:default/cleo", true));
    let given = case.decision(20.0, "user:default/cleo", Allow);
    case.role(30.0, ("role:default/ops", "user:default/cleo", false));
    let taken = case.decision(40.0, "user:default/cleo", Deny);
    let rows = case.rows();
    assert_eq!((rows.decision(given).verdict, rows.decision(given).clock), (Verdict::GrantedInBackstage, Clock::None));
    assert_eq!(rows.decision(taken).verdict, Verdict::Agrees);
}

#[test]
fn members_that_a_whole_list_leaves_out_are_out() {
    let mut case = case();
    case.member(5.0, ("u1", "g-ops", true));
    case.tell(50.0, ("bs", "", correlate::Rank::Change), What::RoleMembersReplaced { role: "role:default/ops" });
    case.role(50.0, ("role:default/ops", "group:default/others", true));
    let decision = case.decision(60.0, "user:default/cleo", Allow);
    assert_eq!(case.rows().decision(decision).delay, Some(10_000));
}

#[test]
fn whom_one_of_two_lists_of_a_millisecond_names_is_a_member_without_interruption() {
    // The lists lie beside each other, before all whom they name; the one that names nobody is the first or the second.
    for first in [true, false] {
        let mut case = case();
        let (role, cleo) = ("role:default/ops", "user:default/cleo");
        case.role(10.0, (role, cleo, true));
        for names in [first, !first] {
            case.tell(50.0, ("bs", "", correlate::Rank::Change), What::RoleMembersReplaced { role });
            if names {
                case.role(50.0, (role, cleo, true));
            }
        }
        let decision = case.decision(60.0, cleo, Allow);
        let rows = case.rows();
        assert_eq!(rows.decision(decision).support[0].since, Some(10_000), "named by the first: {first}");
    }
}

#[test]
fn deny_wins_and_unknown_policy_is_said() {
    let mut case = case();
    case.member(5.0, ("u1", "g-ops", true));
    case.policy(50.0, ("role:default/ops", "deploy", "use", "deny"));
    let denied = case.decision(60.0, "user:default/cleo", Deny);
    assert_eq!(case.rows().decision(denied).verdict, Verdict::Agrees);
    let early = case.decision(-5.0, "user:default/cleo", Allow);
    let rows = case.rows();
    assert_eq!(rows.decision(early).verdict, Verdict::NotJudged);
    assert!(rows.decision(early).reasons.contains(&Reason::PolicyUnknown));
}

#[test]
fn policies_replaced_without_a_name_leave_the_role_unsure() {
    let mut case = case();
    case.member(5.0, ("u1", "g-ops", true));
    case.tell(50.0, ("bs", "", correlate::Rank::Change), What::PoliciesReplaced { role: "role:default/ops" });
    let before = case.decision(40.0, "user:default/cleo", Allow);
    let after = case.decision(60.0, "user:default/cleo", Allow);
    let rows = case.rows();
    assert!(!rows.decision(before).reasons.contains(&Reason::PolicyUnsure));
    assert!(rows.decision(after).reasons.contains(&Reason::PolicyUnsure));
}

#[test]
fn claims_follow_the_last_issue() {
    let mut case = case();
    static OPS_CLAIM: std::sync::LazyLock<Vec<String>> =
        std::sync::LazyLock::new(|| vec!["user:default/cleo".to_owned(), "group:default/ops".to_owned()]);
    static NO_CLAIM: std::sync::LazyLock<Vec<String>> =
        std::sync::LazyLock::new(|| vec!["user:default/cleo".to_owned()]);
    let with = |claims: &'static [String]| {
        let mut decided = decided("user:default/cleo", "deploy", Conditional);
        decided.owner_refs = claims;
        decided
    };
    case.member(10.0, ("u1", "g-ops", true));
    let too_early = case.decided(15.0, with(&NO_CLAIM));
    let right = case.decided(20.0, with(&OPS_CLAIM));
    case.member(30.0, ("u1", "g-ops", false));
    let stale = case.decided(50.0, with(&OPS_CLAIM));
    let rows = case.rows();
    let told = [too_early, right, stale].map(|event| (rows.decision(event).verdict, rows.decision(event).delay));
    let expected =
        [(Verdict::PendingGrant, Some(5_000)), (Verdict::Conditional, None), (Verdict::Exposure, Some(20_000))];
    assert_eq!(told, expected);
    assert_eq!(rows.decision(stale).stale_claims, ["group:default/ops"]);
    assert_eq!(rows.decision(stale).clock, Clock::Claims);
    // What can have been decided before the claim was lost, or before the group was given, is less sure.
    let mut within = |span, claims| {
        let what = What::Decided(with(claims));
        case.tell_within(span, ("bs", "", correlate::Rank::Decision), what)
    };
    let events = [within((25.0, 51.0), &OPS_CLAIM), within((31.0, 52.0), &OPS_CLAIM), within((5.0, 16.0), &NO_CLAIM)];
    let rows = case.rows();
    let straddles = events.map(|event| rows.decision(event).reasons.contains(&Reason::Straddles));
    assert_eq!(straddles, [true, false, true]);
}

#[test]
fn a_claim_of_a_group_that_the_catalog_has_no_more_is_stale() {
    let claim: &'static [String] = Box::leak(Box::new(["group:default/ops".to_owned()]));
    let with =
        || correlate::facts::Decided { owner_refs: claim, ..decided("user:default/cleo", "deploy", Conditional) };
    // Deleted, or called otherwise: the catalog was read since.
    for (change, gone) in [
        (What::GroupDeleted { group: "g-ops" }, &[][..]),
        (
            What::Group { group: "g-ops", name: "operations", parent: Parent::Unsaid },
            &[("group:default/operations", "g-ops")],
        ),
    ] {
        let mut case = case();
        case.member(10.0, ("u1", "g-ops", true));
        case.keycloak(30.0, change);
        case.catalog(40.0, CLEO, gone);
        let held = case.decided(20.0, with());
        let stale = case.decided(50.0, with());
        let rows = case.rows();
        assert_eq!(rows.decision(held).verdict, Verdict::Conditional);
        let row = rows.decision(stale);
        assert_eq!((row.verdict, row.clock, row.delay), (Verdict::Exposure, Clock::Claims, Some(20_000)), "{row:?}");
        assert_eq!(row.stale_claims, ["group:default/ops"]);
    }
}

#[test]
fn a_change_within_the_span_of_a_decision_is_not_put_in_an_order() {
    use correlate::{Moment, Rank, Span, facts::Fact};
    let mut case = case();
    case.member(10.0, ("u1", "g-ops", true));
    case.member(99.5, ("u1", "g-ops", false));
    let mut correlator = correlate::Correlator::new(case.config.clone());
    let event = uuid::Uuid::from_u128(1 << 100);
    let moment = Moment { at: 100_000, rank: Rank::Decision, event };
    let what = What::Decided(decided("user:default/cleo", "deploy", Allow));
    let span = Span { min: 99_000, max: 100_000 };
    let fact = Fact { moment, span, source: "bs", realm: "", by: "", what };
    case.tell_all(&mut correlator);
    correlator.take(&fact);
    correlator.settle();
    let rows = crate::case::Rows::from(correlator);
    assert!(rows.decision(event).reasons.contains(&Reason::Straddles));
    assert_eq!(rows.decision(event).verdict, Verdict::Exposure);
}

#[test]
fn a_late_change_within_the_span_of_an_earlier_line_is_reckoned_with() {
    use correlate::{Moment, Rank, Span, facts::Fact};
    let case = case();
    let mut correlator = correlate::Correlator::new(case.config.clone());
    case.tell_all(&mut correlator);
    let tell = |correlator: &mut correlate::Correlator, at: i64, rank, what: What<'_>| {
        let event = uuid::Uuid::from_u128((1 << 100) + at as u128);
        let (source, realm) = if rank == Rank::Change { ("kc", "r") } else { ("bs", "") };
        let span = Span { min: at, max: at + if rank == Rank::Change { 0 } else { 999 } };
        correlator.take(&Fact { moment: Moment { at, rank, event }, span, source, realm, by: "", what });
        correlator.settle();
        event
    };
    // The line's time is cut to the second; the change comes late and lies within it.
    let member = |held| What::Member { user: "u1", group: "g-ops", path: "", held };
    tell(&mut correlator, 10_000, Rank::Change, member(true));
    let decision = What::Decided(decided("user:default/cleo", "deploy", Allow));
    let event = tell(&mut correlator, 100_000, Rank::Decision, decision);
    let fact = What::Decided(decided("user:default/cleo", "deploy", Allow));
    let other = tell(&mut correlator, 99_000, Rank::Decision, fact);
    // Whoever only follows the changes is told of it, and of nothing that was over before.
    let changed = tell_and_settle(&mut correlator, 100_500, member(false));
    let told: Vec<_> = changed
        .iter()
        .filter_map(|change| match (&change.key, &change.row) {
            (Key::Decision(event), Some(Row::Decision(row))) => {
                Some((*event, row.reasons.contains(&Reason::Straddles)))
            }
            _ => None,
        })
        .collect();
    assert_eq!(told, [(event, true)]);
    let rows = crate::case::Rows::from(correlator);
    assert!(rows.decision(event).reasons.contains(&Reason::Straddles));
    assert!(!rows.decision(other).reasons.contains(&Reason::Straddles));
}

fn tell_and_settle(correlator: &mut correlate::Correlator, at: i64, what: What<'_>) -> Vec<correlate::rows::Change> {
    use correlate::{Moment, Rank, Span, facts::Fact};
    let moment = Moment { at, rank: Rank::Change, event: uuid::Uuid::from_u128((1 << 100) + at as u128) };
    correlator.take(&Fact { moment, span: Span::exact(at), source: "kc", realm: "r", by: "", what });
    correlator.settle()
}

#[test]
fn roles_come_by_every_path() {
    let mut case = case();
    let role = |id| RoleName { id, ..RoleName::default() };
    case.group(2.0, ("g-sub", "sub", Parent::Below("g-ops")));
    case.member(5.0, ("u1", "g-sub", true));
    case.keycloak(6.0, What::RoleHeld { holder: Holder::Group("g-ops"), role: role("r-group"), held: Some(true) });
    case.keycloak(6.0, What::RoleHeld { holder: Holder::User("u1"), role: role("r-own"), held: Some(true) });
    case.keycloak(7.0, What::Composite { outer: role("r-own"), inner: role("r-inner"), held: Some(true) });
    case.keycloak(20.0, What::RoleHeld { holder: Holder::User("u1"), role: role(""), held: None });
    let rows = case.rows();
    let roles = |t: i64| -> Vec<(String, bool)> {
        let rights = rows.correlator.rights_at("kc", "u1", t).into_iter();
        rights.filter(|right| right.kind == RightKind::Role).map(|right| (right.right, right.unsure)).collect()
    };
    let named =
        |list: &[(&str, bool)]| list.iter().map(|(role, unsure)| ((*role).to_owned(), *unsure)).collect::<Vec<_>>();
    assert_eq!(roles(10_000), named(&[("r-group", false), ("r-inner", false), ("r-own", false)]));
    // The console took a role of theirs and did not say which.
    assert_eq!(roles(30_000), named(&[("r-group", false), ("r-inner", true), ("r-own", true)]));
    assert_eq!(roles(5_500), named(&[]));
}

#[test]
fn the_catalog_tells_where_keycloak_does_not() {
    let mut case = Case::new();
    case.catalog(1.0, &[("user:default/cleo", "u1", &["group:default/ops"])], OPS);
    case.catalog(100.0, CLEO, OPS);
    let held = case.decision(50.0, "user:default/cleo", Allow);
    let stale = case.decision(110.0, "user:default/cleo", Allow);
    let rows = case.rows();
    assert_eq!(rows.decision(held).verdict, Verdict::Agrees);
    assert!(rows.decision(held).reasons.contains(&Reason::RightsFromCatalog));
    assert_eq!(rows.decision(stale).delay, Some(10_000));
    // Once Keycloak itself was read, it is what counts.
    let group = Entity::Group { group: "g-ops", path: "/ops", parent: "" };
    let user = Entity::User { user: "u1", username: "cleo", email: "", enabled: true };
    case.read(0.5, ("kc", "r"), (vec![List::Users, List::Groups], vec![user, group], vec![(List::Members, vec![])]));
    assert_eq!(case.rows().decision(held).verdict, Verdict::AllowedWithoutRight);
}
