//! The register as rules and receivers ask for it: what a look speaks of and nothing else, and who added something to it.

use crate::{
    support::{Database, TENANT},
    suppressions::{change, finding, id},
};
use std::collections::BTreeSet;
use store::{
    findings::FindingRow,
    register::{FoundOf, RegisterScope},
};
use uuid::Uuid;

/// More ids than are asked for part by part.
const MANY: u128 = 5_000;

fn texts(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Numbers of the findings of a scope.
async fn within(database: &Database, scope: RegisterScope) -> Vec<u128> {
    let mut found = Vec::new();
    let mut each = |entry: store::register::Entry| found.push(entry.finding_id.as_u128());
    database.store.register(TENANT, &scope, &mut each).await.unwrap();
    found.sort_unstable();
    found
}

/// 1 to 6: open of three rules, ended, withdrawn, closed.
async fn seeded() -> Database {
    let database = Database::new().await;
    let of = [
        (1, "D12", "", 10),
        (2, "D05", "p1", 20),
        (3, "D19", "p1", 30),
        (4, "D12", "", 40),
        (5, "D19", "p2", 50),
        (6, "D19", "p2", 60),
    ];
    let rows: Vec<FindingRow> = of
        .iter()
        .map(|(n, rule, person, first_at)| FindingRow { first_at: *first_at, ..finding(*n, rule, person) })
        .collect();
    database.store.put_findings(&rows).await.unwrap();
    let mut changes: Vec<_> = (1..=6).map(|n| change(n, ("opened", 100), None)).collect();
    changes.extend([(4, "ended"), (5, "withdrawn"), (6, "closed")].map(|(n, what)| change(n, (what, 200), None)));
    database.store.put_finding_changes(&changes).await.unwrap();
    database
}

#[tokio::test]
async fn a_look_is_told_the_findings_that_it_speaks_of() {
    let database = seeded().await;
    let none = RegisterScope { persons: Some(Vec::new()), ..RegisterScope::default() };
    assert_eq!(within(&database, none.clone()).await, []);
    assert_eq!(within(&database, RegisterScope { whole: texts(&["D12"]), ..none.clone() }).await, [1, 4]);
    let timed = |from, to| RegisterScope { timed: texts(&["D05", "D12"]), time: (from, to), ..none.clone() };
    assert_eq!(within(&database, timed(20, 40)).await, [2]);
    assert_eq!(within(&database, timed(i64::MIN, i64::MAX)).await, [1, 2, 4]);
    assert_eq!(within(&database, timed(i64::MAX, i64::MAX)).await, []);
    let personal = |persons| RegisterScope { personal: texts(&["D19"]), persons, ..RegisterScope::default() };
    assert_eq!(within(&database, personal(Some(Vec::new()))).await, []);
    assert_eq!(within(&database, personal(Some(texts(&["p2"])))).await, [6], "what was withdrawn is in none");
    assert_eq!(within(&database, personal(None)).await, [3, 6]);
    // Of many persons others may be told as well, but each finding once.
    let many: Vec<String> = (0..MANY).map(|n| format!("{n:032}")).chain(texts(&["p1"])).collect();
    let of_many = RegisterScope { whole: texts(&["D12"]), ..personal(Some(many.clone())) };
    assert_eq!(within(&database, of_many).await, [1, 3, 4, 6]);
    let some = RegisterScope { whole: texts(&["D12"]), ..personal(Some(many[3_000..].to_vec())) };
    assert_eq!(within(&database, some).await, [1, 3, 4]);
    // Of rules that are switched off what somebody is to do something about.
    assert_eq!(within(&database, RegisterScope { standing: texts(&["D12", "D19"]), ..none }).await, [1, 3]);

    let counts = database.store.register_counts(TENANT).await.unwrap();
    let counts: Vec<(&str, u64)> = counts.iter().map(|(rule, _, count)| (rule.as_str(), *count)).collect();
    assert_eq!(counts, [("D05", 1), ("D12", 1), ("D19", 1)]);
}

#[tokio::test]
async fn findings_are_known_by_their_ids_however_many_are_asked_for() {
    let database = seeded().await;
    for many in [6, MANY] {
        let ids: Vec<Uuid> = (1..=many).map(id).collect();
        let found = database.store.register_of(TENANT, &ids).await.unwrap();
        let standing: BTreeSet<(u128, &str)> =
            found.iter().map(|one| (one.finding_id.as_u128(), one.standing.as_str())).collect();
        let said = [(1, "open"), (2, "open"), (3, "open"), (4, "ended"), (5, "withdrawn"), (6, "open")];
        assert_eq!(standing, said.into());
        assert_eq!(found.iter().find(|one| one.finding_id == id(6)).unwrap().handling, "closed");
    }
    let named = database.store.findings_named(TENANT, &id(6).to_string()).await.unwrap();
    assert_eq!(named.iter().map(|one| one.state.as_str()).collect::<Vec<_>>(), ["CLOSED"]);
    assert_eq!(database.store.findings_named(TENANT, "00000000").await.unwrap().len(), 6);
    let withdrawn = database.store.findings_in_state(TENANT, &["WITHDRAWN", "ENDED"]).await.unwrap();
    assert_eq!(withdrawn.iter().map(|one| one.finding_id).collect::<Vec<_>>(), [id(5), id(4)]);
}

#[tokio::test]
async fn whoever_adds_a_finding_is_seen_and_whose_it_is() {
    let database = seeded().await;
    let (store, rules) = (&database.store, ["D05", "D19"]);
    let before = store.register_digests(TENANT, &rules).await.unwrap();
    store.put_findings(&[FindingRow { version: 2, ..finding(3, "D19", "p1") }, finding(8, "D12", "")]).await.unwrap();
    assert_eq!(
        store.register_digests(TENANT, &rules).await.unwrap(),
        before,
        "another word on one, and one of another rule"
    );
    store.put_findings(&[finding(9, "D19", "p9")]).await.unwrap();
    let after = store.register_digests(TENANT, &rules).await.unwrap();
    let other: Vec<u16> =
        after.iter().filter(|(bucket, digest)| before.get(bucket) != Some(digest)).map(|(bucket, _)| *bucket).collect();
    assert_eq!(other.len(), 1);
    let persons = async |of| store.persons_found((TENANT, &rules), of).await.unwrap();
    assert!(persons(FoundOf::Buckets(&other)).await.contains(&"p9".to_owned()));
    assert_eq!(persons(FoundOf::Anybody).await, ["p1", "p2", "p9"]);
    assert_eq!(persons(FoundOf::Persons(&texts(&["p2", "p3"]))).await, ["p2"]);
}

#[tokio::test]
async fn a_receiver_is_told_what_stands_and_what_ended_lately() {
    let database = seeded().await;
    let told = async |since| {
        let mut found = Vec::new();
        let mut each = |one: store::findings::Finding| found.push(one.finding_id.as_u128());
        database.store.findings_to_tell((TENANT, since), &mut each).await.unwrap();
        found.sort_unstable();
        found
    };
    assert_eq!(told(100).await, [1, 2, 3, 4]);
    assert_eq!(told(101).await, [1, 2, 3], "opened too long ago");
    let closed = database.store.findings_of(TENANT, &[id(6)]).await.unwrap();
    assert_eq!(closed.iter().map(|one| one.state.as_str()).collect::<Vec<_>>(), ["CLOSED"]);
}
