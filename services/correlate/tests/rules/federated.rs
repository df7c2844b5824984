//! Logins at identity providers are names of a person. Each case is told in order, backwards, twice, and settled after each fact.

use crate::case::{Case, Rows, person};
use correlate::{
    Rank,
    facts::{LinkKind, Login, What},
    rows::{AliasKind, Row},
};

/// Kind, name, from and to in seconds, whether the begin and the end have evidence.
type Told<'a> = (AliasKind, &'a str, Option<i64>, Option<i64>, (bool, bool));

use AliasKind::{FederatedId as Id, FederatedName as Name};
use LinkKind::{Linked, Unlinked, Used};

fn said(case: &mut Case, at: f64, user: &'static str, (how, id, name): (LinkKind, &'static str, &'static str)) {
    let rank = if how == Used { Rank::Login } else { Rank::Change };
    case.tell(at, ("kc", "r", rank), What::Federated { user, login: Login { provider: "github", id, name, how } });
}

fn told<'a>(rows: &'a Rows, user: &str) -> Vec<Told<'a>> {
    let of_user = rows.rows.values().filter_map(|row| match row {
        Row::Alias(row) if row.user == user && matches!(row.kind, Id | Name) => Some(row),
        _ => None,
    });
    let seconds = |at: i64| at / 1_000;
    of_user
        .map(|row| {
            assert_eq!(row.person, person(user));
            let evidence = (row.evidence.0.is_some(), row.evidence.1.is_some());
            (row.kind, row.name.as_str(), row.from.map(seconds), row.to.map(seconds), evidence)
        })
        .collect()
}

#[test]
fn a_login_is_a_name_from_its_link_to_its_unlink() {
    let mut case = Case::new();
    // An admin says both of its names; whoever links it themselves says what it is called.
    said(&mut case, 10.0, "u1", (Linked, "583231", "octocat"));
    said(&mut case, 20.0, "u1", (Unlinked, "", ""));
    said(&mut case, 30.0, "u1", (Linked, "", "mona"));
    let rows = case.rows();
    assert_eq!(
        told(&rows, "u1"),
        [
            (Id, "github/583231", Some(10), Some(20), (true, true)),
            (Name, "github/octocat", Some(10), Some(20), (true, true)),
            (Name, "github/mona", Some(30), None, (true, false)),
        ]
    );
}

#[test]
fn what_a_login_is_called_may_change_and_its_id_stays() {
    let mut case = Case::new();
    said(&mut case, 10.0, "u1", (Linked, "583231", "octocat"));
    said(&mut case, 20.0, "u1", (Used, "", "mona"));
    said(&mut case, 30.0, "u1", (Used, "", "mona"));
    assert_eq!(
        told(&case.rows(), "u1"),
        [
            (Id, "github/583231", Some(10), None, (true, false)),
            (Name, "github/octocat", Some(10), Some(20), (true, true)),
            (Name, "github/mona", Some(20), None, (true, false)),
        ]
    );
    // Linked anew under another name, without an unlinking: whether it is the same id is not known.
    said(&mut case, 40.0, "u1", (Linked, "", "hubot"));
    let rows = case.rows();
    assert_eq!(told(&rows, "u1")[0], (Id, "github/583231", Some(10), Some(40), (true, true)));
}

#[test]
fn a_session_that_goes_on_links_nothing_again() {
    let mut case = Case::new();
    said(&mut case, 10.0, "u1", (Used, "", "octocat"));
    said(&mut case, 20.0, "u1", (Unlinked, "", "octocat"));
    said(&mut case, 30.0, "u1", (Used, "", "octocat"));
    assert_eq!(told(&case.rows(), "u1"), [(Name, "github/octocat", Some(10), Some(20), (true, true))]);
}

#[test]
fn what_is_unlinked_was_linked_since_nobody_knows_when() {
    let mut case = Case::new();
    said(&mut case, 20.0, "u1", (Unlinked, "", "octocat"));
    assert_eq!(told(&case.rows(), "u1"), [(Name, "github/octocat", None, Some(20), (false, true))]);
}

#[test]
fn one_login_of_two_accounts_is_told_of_both_until_one_of_them_ends() {
    let mut case = Case::new();
    case.keycloak(5.0, What::UserCreated { user: "u1" });
    said(&mut case, 10.0, "u1", (Linked, "583231", ""));
    said(&mut case, 20.0, "u2", (Linked, "583231", ""));
    let both = |case: &Case| {
        let rows = case.rows();
        ["u1", "u2"].map(|user| told(&rows, user)[0].3)
    };
    assert_eq!(both(&case), [None, None]);
    case.keycloak(30.0, What::UserDeleted { user: "u1" });
    assert_eq!(both(&case), [Some(30), None]);
}
