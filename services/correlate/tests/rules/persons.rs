//! Persons as operators made them by hand. Each case is told in order, backwards, twice, and settled after each fact.

use crate::case::{Case, Rows, decided, key, person};
use correlate::{
    Correlator, Rank,
    checkpoint::{Reader, Writer},
    facts::{Account, What},
    rows::{AliasKind, Key, Row, WorldKind},
};
use events::{act::AccountKind, event::Outcome::Allow, person::PersonKey};
use uuid::Uuid;

const OPS: &[(&str, &str)] = &[("group:default/ops", "g-ops")];
/// Reference, Keycloak id, groups.
type Tied = (&'static str, &'static str, &'static [&'static str]);
const PEOPLE: &[Tied] = &[("user:default/cleo", "u1", &["group:default/ops"]), ("user:default/cleo2", "u2", &[])];
const U1: Account<'static> = Account { source: "kc", kind: AccountKind::KeycloakUser, name: "u1" };
const U2: Account<'static> = Account { source: "kc", kind: AccountKind::KeycloakUser, name: "u2" };
const CI: Account<'static> = Account { source: "bs", kind: AccountKind::Static, name: "ci-deployer" };

struct Story {
    case: Case,
    decisions: [Uuid; 2],
    credentials: [Uuid; 2],
}

impl Story {
    /// Two accounts of one name and group, each with a session, a credential and a decision.
    fn new() -> Self {
        let mut case = Case::new();
        case.catalog(1.0, PEOPLE, OPS);
        for user in ["u1", "u2"] {
            case.keycloak(2.0, What::Named { user, username: "cleo", email: "cleo@x" });
            case.keycloak(3.0, What::Enabled { user, enabled: false });
            case.keycloak(4.0, What::Enabled { user, enabled: true });
            case.member(5.0, (user, "g-ops", true));
        }
        let credentials = [
            case.sign_in(10.0, ("u1", "s1", "user:default/cleo")),
            case.sign_in(11.0, ("u2", "s2", "user:default/cleo2")),
        ];
        let decisions =
            [case.decision(20.0, "user:default/cleo", Allow), case.decision(21.0, "user:default/cleo2", Allow)];
        Self { case, decisions, credentials }
    }

    fn act(&mut self, at: f64, what: What<'static>) -> Uuid {
        self.case.tell(at, ("", "", Rank::Change), what)
    }

    fn merge(&mut self, at: f64, account: Account<'static>, into: Account<'static>) -> Uuid {
        self.act(at, What::Merged { account, into })
    }
}

/// The person of each row that names one, by what the row is about: everything of u1 and of u2.
fn persons(rows: &Rows, story: &Story) -> [Vec<PersonKey>; 2] {
    let mut of = [Vec::new(), Vec::new()];
    for (place, user) in ["u1", "u2"].iter().enumerate() {
        let told = |row: Option<&PersonKey>| row.cloned().expect("a person");
        of[place].push(told(rows.decision(story.decisions[place]).person.as_ref()));
        of[place].push(rows.credential(story.credentials[place]).person.clone());
        of[place].push(told(rows.session(["s1", "s2"][place]).person.as_ref()));
        let account = person(user);
        for (key, row) in &rows.rows {
            match (key, row) {
                (Key::Grant(whose, ..), Row::Grant(row)) if *whose == account => of[place].push(row.person.clone()),
                (Key::Alias(whose, ..), Row::Alias(row)) if *whose == account => of[place].push(row.person.clone()),
                (_, Row::World(row)) if row.kind == WorldKind::Disabled && row.holder == *user => {
                    of[place].push(told(row.person.as_ref()));
                }
                (_, Row::World(row)) if row.kind == WorldKind::Tie && row.held == *user => {
                    of[place].push(told(row.person.as_ref()));
                }
                (_, Row::Token(row)) if row.session == ["s1", "s2"][place] => of[place].push(row.person.clone()),
                _ => {}
            }
        }
        assert_eq!(of[place].len(), 10, "of everything that names a person there is one, and names are three");
    }
    of
}

#[test]
fn a_merge_by_hand_makes_one_person_of_all_rows_and_a_split_two_again() {
    let mut story = Story::new();
    let before = story.case.rows();
    assert_eq!(persons(&before, &story), ["u1", "u2"].map(|user| vec![person(user); 10]));
    // Said long after what it is about.
    let merge = story.merge(1_000.0, U2, U1);
    let merged = story.case.rows();
    assert_eq!(persons(&merged, &story), ["u1", "u1"].map(|user| vec![person(user); 10]));
    assert_eq!(merged.rows.len(), before.rows.len(), "two accounts with one right and one name keep a row each");
    let changes = story.case.last_change();
    assert!(changes.len() >= 10 && changes.iter().all(|change| change.because == Some(merge)), "{changes:?}");
    // What is judged is the account, not all that the person has.
    assert_eq!(merged.decision(story.decisions[1]).verdict, before.decision(story.decisions[1]).verdict);
    for row in merged.rows.values() {
        if let Row::Alias(row) = row {
            assert_eq!(row.account, (row.user == "u2").then(|| person("u2")));
        }
    }
    story.act(2_000.0, What::Split { account: U2 });
    assert_eq!(story.case.rows().rows, before.rows, "as if nothing had been said");
    story.merge(3_000.0, U2, U1);
    assert_eq!(story.case.rows().rows, merged.rows);
}

#[test]
fn what_contradicts_an_act_changes_nothing() {
    let mut story = Story::new();
    story.merge(1_000.0, U2, U1);
    let merged = story.case.rows();
    story.merge(1_001.0, U1, U2);
    story.merge(1_002.0, U1, U1);
    story.act(1_003.0, What::Split { account: U1 });
    assert_eq!(story.case.rows().rows, merged.rows);
}

#[test]
fn a_name_without_a_keycloak_user_can_be_merged_too() {
    let mut story = Story::new();
    let call = || {
        let mut call = decided("", "", Allow);
        call.actor = ("static", "ci-deployer");
        call
    };
    let decision = story.case.decided(30.0, call());
    assert_eq!(story.case.rows().decision(decision).person, Some(key().named("t", "bs", "static", "ci-deployer")));
    story.merge(1_000.0, CI, U1);
    assert_eq!(story.case.rows().decision(decision).person, Some(person("u1")));
    // And the other way round: the name's key stays.
    story.act(1_001.0, What::Split { account: CI });
    story.merge(1_002.0, U2, CI);
    let rows = story.case.rows();
    assert_eq!(rows.session("s2").person, Some(key().named("t", "bs", "static", "ci-deployer")));
    assert_eq!(rows.session("s1").person, Some(person("u1")));
}

#[test]
fn acts_are_part_of_a_checkpoint() {
    let mut story = Story::new();
    story.merge(1_000.0, U2, U1);
    let mut correlator = Correlator::new(story.case.config.clone());
    story.case.tell_all(&mut correlator);
    correlator.settle();
    let mut kept: Vec<Vec<u8>> = Vec::new();
    let mut push = |chunk| {
        kept.push(chunk);
        true
    };
    let mut writer = Writer::new(4_096, &mut push);
    correlator.keep(&mut writer);
    assert!(writer.finish());
    let mut chunks = kept.into_iter();
    let mut next = || chunks.next();
    let mut restored = Correlator::restore(story.case.config.clone(), &mut Reader::new(&mut next)).expect("whole");
    assert_eq!(restored.rows(), correlator.rows());
    assert!(restored.settle().is_empty());
    // A split that comes in behind it finds the merge that it undoes.
    let mut after = Story::new();
    after.merge(1_000.0, U2, U1);
    after.act(2_000.0, What::Split { account: U2 });
    after.case.tell_all(&mut restored);
    let changes = restored.settle();
    assert!(!changes.is_empty());
    let names = restored.rows();
    let of_u2 = names.values().filter_map(|row| match row {
        Row::Alias(row) if row.user == "u2" && row.kind == AliasKind::Username => Some(row.person.clone()),
        _ => None,
    });
    assert_eq!(of_u2.collect::<Vec<_>>(), [person("u2")]);
}

/// Names of one kind: of whom, and in what account.
fn names(rows: &Rows, kind: AliasKind) -> Vec<(&str, &str, &PersonKey)> {
    let of_kind = rows.rows.values().filter_map(|row| match row {
        Row::Alias(row) if row.kind == kind => Some((row.user.as_str(), row.name.as_str(), &row.person)),
        _ => None,
    });
    of_kind.collect()
}

#[test]
fn a_service_account_is_told_by_keycloak_and_never_by_its_name() {
    let mut story = Story::new();
    let named = "service-account-ci";
    story.case.keycloak(2.0, What::Named { user: "u3", username: named, email: "" });
    assert_eq!(names(&story.case.rows(), AliasKind::Client), []);
    story.case.tell(50.0, ("kc", "r", Rank::Login), What::ServiceAccount { user: "u4", client: "ci" });
    story.case.tell(60.0, ("kc", "r", Rank::Read), What::ServiceAccount { user: "u4", client: "ci" });
    let rows = story.case.rows();
    assert_eq!(names(&rows, AliasKind::Client), [("u4", "ci", &person("u4"))]);
}

#[test]
fn callers_that_nothing_ties_have_a_name_until_something_does() {
    let mut story = Story::new();
    let mut call = decided("", "", Allow);
    call.actor = ("static", "ci-deployer");
    story.case.decided(30.0, call);
    story.case.decided(31.0, decided("", "deploy", Allow));
    story.case.decision(32.0, "user:default/guest", Allow);
    let rows = story.case.rows();
    let named = |kind, name| key().named("t", "bs", kind, name);
    assert_eq!(names(&rows, AliasKind::Static), [("", "ci-deployer", &named("static", "ci-deployer"))]);
    assert_eq!(names(&rows, AliasKind::Plugin), [("", "plugin:permission", &named("plugin", "plugin:permission"))]);
    let guest = |rows: &Rows| {
        let all = names(rows, AliasKind::Reference).into_iter().filter(|(_, name, _)| name.ends_with("guest"));
        all.map(|(user, _, person)| (user.to_owned(), person.clone())).collect::<Vec<_>>()
    };
    assert_eq!(guest(&rows), [(String::new(), named("user", "user:default/guest"))]);
    // Merged by hand they carry the person's key; tied by the catalog they are the user's name.
    story.merge(1_000.0, CI, U1);
    assert_eq!(names(&story.case.rows(), AliasKind::Static), [("", "ci-deployer", &person("u1"))]);
    story.case.catalog(100.0, &[("user:default/guest", "u9", &[])], OPS);
    assert_eq!(guest(&story.case.rows()), [("u9".to_owned(), person("u9"))]);
}
