//! What is forgotten, and what is told when it would be needed.

use crate::case::{Case, decided};
use correlate::{
    Correlator, Moment, Rank, Span,
    facts::{Account, Decided, EndKind, Ended, Fact, Grant, Issued, Lifespans, Parent, Refusal, What},
    rows::{Key, Reason, Row},
};
use events::event::Outcome;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

const DAY: i64 = 86_400_000;

/// The same people, day by day: each signs in, is given new tokens four times, and is decided about forty times.
struct Days {
    correlator: Correlator,
    events: u128,
}

impl Days {
    fn new() -> Self {
        let mut days = Self { correlator: Correlator::new(Case::new().config), events: 0 };
        let lives = Lifespans { idle: Some(1_800_000), max: Some(36_000_000), ..Lifespans::default() };
        days.take(0, ("kc", Rank::Change), What::Lifespans(lives));
        days
    }

    fn take(&mut self, at: i64, place: (&str, Rank), what: What<'_>) {
        let (source, rank) = place;
        self.events += 1;
        let moment = Moment { at, rank, event: Uuid::new_v5(&Uuid::NAMESPACE_OID, &self.events.to_le_bytes()) };
        let realm = if source == "kc" { "r" } else { "" };
        self.correlator.take(&Fact { moment, span: Span::exact(at), source, realm, by: "", what });
    }

    fn day(&mut self, day: i64) {
        for number in 0..100 {
            let at = day * DAY + number * 1_000;
            let (user, reference) = (format!("user-{number:032}"), format!("user:default/person{number}"));
            let session = format!("session-{day:08}-{number:019}");
            self.take(at, ("kc", Rank::Login), What::Named { user: &user, username: &reference[13..], email: "" });
            let login = What::Login { user: &user, session: &session, client: "backstage", impersonator: "" };
            self.take(at, ("kc", Rank::Login), login);
            for turn in 0..4 {
                let at = at + turn * 600_000;
                let token = |turn: i64| format!("refresh-{day:08}-{number:08}-{turn:08}");
                let (grant, presented) =
                    if turn == 0 { (Grant::Code, String::new()) } else { (Grant::Refresh, token(turn - 1)) };
                let (access, refresh) = (format!("access-{day:08}-{number:08}-{turn:08}"), token(turn));
                let (user, session, client) = (&*user, &*session, "backstage");
                let (access, presented, refresh, offline) = (&*access, &*presented, &*refresh, false);
                let issued = Issued { user, session, client, grant, access, presented, refresh, offline };
                self.take(at + 100, ("kc", Rank::Issue), What::Issued(issued));
                let issuing = What::BackstageIssued { reference: &reference, claims: "", instance: "pod-1" };
                self.take(at + 200, ("bs", Rank::BackstageIssue), issuing);
                for decision in 0..10 {
                    let trace = format!("trace-{day:08}-{number:08}-{turn:08}-{decision:02}");
                    let decided = Decided {
                        reference: &reference,
                        actor: ("plugin", "plugin:permission"),
                        permission: "deploy",
                        action: "use",
                        resource_type: "",
                        resource: "",
                        outcome: Outcome::Deny,
                        owner_refs: &[],
                        instance: "pod-1",
                        trace: &trace,
                    };
                    self.take(at + 1_000 + decision, ("bs", Rank::Decision), What::Decided(decided));
                }
            }
        }
        self.correlator.settle();
    }

    fn size(&self) -> usize {
        self.correlator.rooms().iter().map(|(_, bytes)| bytes).sum()
    }
}

#[test]
fn memory_does_not_grow_with_the_days() {
    let (mut all, mut forgetful) = (Days::new(), Days::new());
    let (mut grown, mut flat) = (Vec::new(), Vec::new());
    for day in 0..15 {
        all.day(day);
        forgetful.day(day);
        grown.push(all.size());
        if day > 3 {
            forgetful.correlator.forget((day - 3) * DAY, &mut |_| {});
            let (size, rooms) = (forgetful.correlator.size(), forgetful.size());
            assert_eq!(size, rooms, "measured when it has forgotten");
        }
        flat.push(forgetful.size());
    }
    assert!(grown[14] > 2 * grown[5], "{grown:?}");
    assert!(flat[14] * 100 < flat[5] * 110, "{flat:?}");
    assert_eq!(forgetful.correlator.too_old(), None, "nothing reached back");
}

/// One that forgot all that lies before a floor, and what it said so far.
pub struct Forgetful {
    pub correlator: Correlator,
    pub said: BTreeMap<Key, Row>,
    pub gone: BTreeSet<Key>,
}

impl Forgetful {
    fn of(case: &Case) -> Self {
        Self::behind(case, 3_000_000)
    }

    pub fn behind(case: &Case, floor: i64) -> Self {
        let mut correlator = Correlator::new(case.config.clone());
        case.tell_all(&mut correlator);
        let mut one = Self { correlator, said: BTreeMap::new(), gone: BTreeSet::new() };
        one.settle();
        one.forget(floor);
        one
    }

    pub fn forget(&mut self, floor: i64) {
        self.correlator.forget(floor, &mut |key| {
            self.gone.insert(key.clone());
        });
    }

    /// Tells it what `later` adds, and whether it would have needed what it forgot; if not it must say what one says that never forgot.
    pub fn hears(&mut self, case: &mut Case, later: impl FnOnce(&mut Case)) -> bool {
        let told = case.told();
        later(case);
        case.tell_from(told, &mut self.correlator);
        self.settle();
        let needed = self.correlator.too_old().is_some();
        let mut all = Correlator::new(case.config.clone());
        case.tell_all(&mut all);
        if !needed {
            assert_eq!(self.said, all.rows());
        }
        needed
    }

    pub fn settle(&mut self) {
        for change in self.correlator.settle() {
            assert!(!self.gone.contains(&change.key), "said again: {change:?}");
            match change.row {
                Some(row) => drop(self.said.insert(change.key, row)),
                None => drop(self.said.remove(&change.key)),
            }
        }
    }
}

/// Ann signs in to s1, is decided about and signs out; ben's s2 goes on.
fn long_ago() -> Case {
    let mut case = Case::new();
    case.catalog(
        1.0,
        &[("user:default/ann", "u1", &["group:default/ops"]), ("user:default/ben", "u2", &["group:default/ops"])],
        &[("group:default/ops", "ops")],
    );
    case.member(2.0, ("u1", "ops", true));
    case.sign_in(10.0, ("u1", "s1", "user:default/ann"));
    case.decision(15.0, "user:default/ann", Outcome::Allow);
    case.ended(20.0, Ended::One { session: "s1", user: "u1" }, EndKind::Logout);
    case.sign_in(30.0, ("u2", "s2", "user:default/ben"));
    case
}

/// What comes later: whether it would need what was forgotten, and how to tell it.
type Later = (&'static str, bool, fn(&mut Case));

const LATER: [Later; 12] = [
    ("whom nobody decided about was in a group long ago", false, |case| {
        case.member(1.5, ("u3", "ops", true));
    }),
    ("whoever was decided about was not", true, |case| {
        case.member(12.0, ("u1", "ops", false));
    }),
    ("a group ends", false, |case| {
        case.keycloak(4_000.0, What::GroupDeleted { group: "ops" });
    }),
    ("a user ends", false, |case| {
        case.keycloak(4_000.0, What::UserDeleted { user: "u1" });
    }),
    ("a session of long ago goes on", false, |case| {
        case.refresh(4_000.0, ("u2", "s2"), ("s2", "next"));
    }),
    ("and is decided about", false, |case| {
        case.refresh(4_000.0, ("u2", "s2"), ("s2", "next"));
        case.issuing(4_000.1, "user:default/ben");
        case.decision(4_001.0, "user:default/ben", Outcome::Deny);
    }),
    ("one that ended is used again", true, |case| {
        case.refresh(4_000.0, ("u1", "s1"), ("s1", "next"));
    }),
    ("somebody tries to use it", false, |case| {
        let refused = What::Refused { user: "u1", session: "s1", presented: "s1", why: Refusal::Other };
        case.tell(4_000.0, ("kc", "r", Rank::Issue), refused);
    }),
    ("a decision of long ago", true, |case| {
        case.decision(16.0, "user:default/ann", Outcome::Allow);
    }),
    ("a token of long ago", true, |case| {
        case.refresh(16.0, ("u2", "s2"), ("s2", "next"));
    }),
    ("two persons are one", true, |case| {
        let account = |name| Account { kind: events::act::AccountKind::KeycloakUser, source: "kc", name };
        let merged = What::Merged { account: account("u1"), into: account("u2") };
        case.tell(4_000.0, ("tokentrail", "", Rank::Change), merged);
    }),
    ("all sessions end", false, |case| {
        case.ended(4_000.0, Ended::OfRealm, EndKind::Admin);
    }),
];

#[test]
fn what_would_need_what_was_forgotten_is_told_and_all_else_is_exact() {
    for (what, needed, later) in LATER {
        let mut case = long_ago();
        let mut forgetful = Forgetful::of(&case);
        assert_eq!(forgetful.gone.len(), 6, "two tokens, two credentials, a decision, a session: {:?}", forgetful.gone);
        let told = case.told();
        later(&mut case);
        case.tell_from(told, &mut forgetful.correlator);
        forgetful.settle();
        assert_eq!(forgetful.correlator.too_old().is_some(), needed, "{what}");
        assert_eq!(forgetful.correlator.too_old(), None, "{what}: told once");
        let mut all = Correlator::new(case.config.clone());
        case.tell_all(&mut all);
        if !needed {
            assert_eq!(forgetful.said, all.rows(), "{what}");
        }
    }
}

#[test]
fn what_must_have_ended_before_was_not_ended_by_what_ends_all() {
    let mut case = long_ago();
    case.read(100.0, ("kc", "r"), (vec![], vec![], vec![(correlate::facts::List::Sessions, vec![])]));
    case.ended(4_000.0, Ended::OfUser("u2"), EndKind::Admin);
    assert_eq!(case.rows().session("s2").ended, Some((100_000, EndKind::AbsentFromRead)));
    case.refresh(3_900.0, ("u2", "s2"), ("s2", "next"));
    assert_eq!(case.rows().session("s2").ended, Some((4_000_000, EndKind::Admin)));
    let refused = What::Refused { user: "u1", session: "s3", presented: "x", why: Refusal::Other };
    case.login(50.0, ("u1", "s3", "backstage"));
    case.tell(200.0, ("kc", "r", Rank::Issue), refused);
    assert_eq!(
        case.rows().session("s3").ended,
        Some((100_000, EndKind::AbsentFromRead)),
        "whoever is refused does not use it"
    );
}

#[test]
fn a_read_long_after_a_session_expired_does_not_say_when_it_ended() {
    let hours = |hours: f64| hours * 3_600.0;
    let lives = Lifespans { max: Some(36_000_000), ..Lifespans::default() };
    // Where no lifespans are told, whoever is silent for so long is taken not to live any more.
    for (lives, floor, expires) in [(Some(lives), hours(6.0 * 24.0), true), (None, hours(62.0 * 24.0), false)] {
        let of = |read: Option<f64>| {
            let mut case = Case::new();
            lives.map(|lives| case.tell(0.0, ("kc", "r", Rank::Read), What::Lifespans(lives)));
            case.login(10.0, ("u1", "s1", "backstage"));
            if let Some(read) = read {
                case.read(read, ("kc", "r"), (vec![], vec![], vec![(correlate::facts::List::Sessions, vec![])]));
            }
            case
        };
        let mut case = of(None);
        let mut forgetful = Forgetful::behind(&case, (floor * 1_000.0) as i64);
        assert_eq!(forgetful.gone.len(), 1, "the session");
        let read = |case: &mut Case| {
            let list = vec![(correlate::facts::List::Sessions, vec![])];
            case.read(floor + hours(24.0), ("kc", "r"), (vec![], vec![], list));
        };
        assert!(!forgetful.hears(&mut case, read));
        let row = |case: &Case| (case.rows().session("s1").ended, case.rows().session("s1").expires.is_some());
        assert_eq!(row(&case), (None, expires));
        let ended = Some(((hours(2.0) * 1_000.0) as i64, EndKind::AbsentFromRead));
        assert_eq!(row(&of(Some(hours(2.0)))), (ended, false), "in time it does");
    }
}

#[test]
fn a_group_that_only_forgotten_claims_name_changes_no_verdict() {
    let mut case = Case::new();
    case.config.joins[0].by_name = true;
    case.group(1.0, ("audit", "/audit", Parent::Top));
    case.keycloak(1.0, What::UserCreated { user: "u1" });
    case.keycloak(1.0, What::Named { user: "u1", username: "ann", email: "" });
    case.member(2.0, ("u1", "audit", true));
    let conditional = |reference, claim: &str| {
        let owner_refs: &'static [String] = Box::leak(vec![claim.to_owned()].into_boxed_slice());
        Decided { owner_refs, ..decided(reference, "deploy", Outcome::Conditional) }
    };
    case.decided(15.0, conditional("user:default/ben", "group:default/audit"));
    let mut forgetful = Forgetful::of(&case);
    let mut asked = None;
    let later =
        |case: &mut Case| asked = Some(case.decided(4_000.0, conditional("user:default/ann", "user:default/ann")));
    assert!(!forgetful.hears(&mut case, later));
    let lacks = |case: &Case| case.rows().decision(asked.unwrap()).reasons.contains(&Reason::ClaimMissing);
    assert!(!lacks(&case));
    case.role(3.0, ("role:default/auditors", "group:default/audit", true));
    assert!(lacks(&case), "a role speaks of it: the claims lack the membership");
}

#[test]
fn who_acted_in_a_session_that_is_over_is_known_while_tokens_of_it_live() {
    let mut case = Case::new();
    case.catalog(1.0, &[("user:default/cleo", "u1", &[])], &[]);
    let login = What::Login { user: "u1", session: "s1", client: "security-admin-console", impersonator: "root" };
    case.tell(2_980.0, ("kc", "r", Rank::Login), login);
    case.sign_in(2_981.0, ("u1", "s1", "user:default/cleo"));
    case.ended(2_985.0, Ended::One { session: "s1", user: "u1" }, EndKind::Logout);
    let mut forgetful = Forgetful::of(&case);
    let needed = forgetful.hears(&mut case, |case| {
        case.decision(3_100.0, "user:default/cleo", Outcome::Deny);
    });
    assert!(!needed);
    let acted = forgetful
        .said
        .values()
        .filter(|row| matches!(row, Row::Decision(row) if row.reasons.contains(&Reason::Impersonated)));
    assert_eq!(acted.count(), 1);
}
