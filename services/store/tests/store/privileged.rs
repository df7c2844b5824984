//! Privileged rights: named by an operator, found by what events call them, kept by id; who holds one.

use crate::support::{Database, NOON, TENANT, event, position, receipt};
use events::receipt::Input;
use store::{
    Block, PrivilegedNames,
    correlation::{Correlated, GrantRecord},
};

/// Right kind, id, name, seconds after noon.
const TOLD: [(&str, &str, &str, i64); 6] = [
    ("realm_role", "r1", "admin", 0),
    ("client_role", "r2", "manage-users", 1),
    ("client_role", "r3", "view-users", 2),
    ("group", "g1", "/ops", 3),
    // Renamed: its last name counts.
    ("group", "g2", "/ops", 4),
    ("group", "g2", "/readers", 5),
];

async fn kept(database: &Database) -> Vec<(String, String, String)> {
    let sql = "SELECT right_id, toString(kind), name FROM privileged_right_rows FINAL ORDER BY right_id";
    database.sql().query(sql).fetch_all().await.unwrap()
}

async fn rows(database: &Database) -> u64 {
    database.sql().query("SELECT count() FROM privileged_right_rows").fetch_one().await.unwrap()
}

fn names(roles: &[&str], groups: &[&str], ids: &[&str]) -> PrivilegedNames {
    let texts = |of: &[&str]| of.iter().map(|one| (*one).to_owned()).collect();
    PrivilegedNames { roles: texts(roles), groups: texts(groups), ids: texts(ids) }
}

#[tokio::test]
async fn rights_are_privileged_by_name_or_id_until_they_are_named_no_more() {
    let database = Database::new().await;
    let mut block = Block::default();
    for (seq, (kind, id, name, second)) in (0..).zip(TOLD) {
        let stored = receipt(position(1, seq), Input::Webhook, &format!("n{seq}"));
        let mut said = event(&stored);
        (said.right_kind, said.right_id, said.right_name) = (kind.into(), id.into(), name.into());
        said.time = NOON + second * 1_000;
        block.events.push(said);
        block.receipts.push(stored);
    }
    database.store.insert(&block).await.unwrap();
    let all = names(&["admin", "manage-users"], &["/ops"], &["g2", "nobody-told"]);
    database.store.keep_privileged(TENANT, &all).await.unwrap();
    let row = |id: &str, kind: &str, name: &str| (id.to_owned(), kind.to_owned(), name.to_owned());
    let expected = [
        row("g1", "group", "/ops"),
        row("g2", "group", "/readers"),
        row("nobody-told", "", ""),
        row("r1", "role", "admin"),
        row("r2", "role", "manage-users"),
    ];
    assert_eq!(kept(&database).await, expected);
    let written = rows(&database).await;
    database.store.keep_privileged(TENANT, &all).await.unwrap();
    assert_eq!(rows(&database).await, written, "what is the same is not written again");

    let grant = |person: &str, n: u8, right: &str, (from, to): (Option<i64>, Option<i64>)| GrantRecord {
        tenant: TENANT.into(),
        person: person.into(),
        at: from.unwrap_or_default(),
        row_id: [n; 16],
        version: 1,
        right_kind: if right.starts_with('g') { "group" } else { "role" }.into(),
        right_id: right.into(),
        held_from: from,
        held_to: to,
        ..GrantRecord::default()
    };
    let grants = vec![
        grant("since ever", 1, "r1", (None, None)),
        grant("over", 2, "r1", (Some(NOON - 10_000), Some(NOON))),
        grant("within", 3, "g1", (Some(NOON + 1_000), Some(NOON + 2_000))),
        grant("later", 4, "g1", (Some(NOON + 60_000), None)),
        grant("only looks", 5, "r3", (None, None)),
    ];
    database.store.write_correlated(&Correlated { grants, ..Correlated::default() }).await.unwrap();
    let holders = async |from: i64, to: i64| -> Vec<(String, String, u8)> {
        let sql = format!("SELECT person, name, holds FROM privileged_in(from = {from}, to = {to}) ORDER BY person");
        database.sql().query(&sql).fetch_all().await.unwrap()
    };
    let table = async |view: &str, from: i64, to: i64| -> Vec<String> {
        let sql = format!("SELECT toString(tuple(*)) FROM {view}(from = {from}, to = {to}) ORDER BY ALL");
        database.sql().query(&sql).fetch_all().await.unwrap()
    };
    let kept_as_walked = async || {
        database.store.keep_privileged_holders(TENANT).await.unwrap();
        let written: u64 =
            database.sql().query("SELECT count() FROM privileged_holding_rows").fetch_one().await.unwrap();
        database.store.keep_privileged_holders(TENANT).await.unwrap();
        let again: u64 = database.sql().query("SELECT count() FROM privileged_holding_rows").fetch_one().await.unwrap();
        assert_eq!(again, written, "who is the same is not written again");
        let mut rows = 0;
        for (from, to) in [(500, 1_500), (500, 60_000), (-1_000, 500), (-1_000, 90_000), (0, 0)] {
            let walked = table("privileged_in", NOON + from, NOON + to).await;
            assert_eq!(table("kept_privileged_in", NOON + from, NOON + to).await, walked, "{from} to {to}");
            rows += walked.len();
        }
        rows
    };
    let all_kept = kept_as_walked().await;
    assert!(all_kept > 6, "{all_kept}");
    let holder = |person: &str, name: &str, holds: u8| (person.to_owned(), name.to_owned(), holds);
    let (ever, within) = (holder("since ever", "admin", 1), |holds| holder("within", "/ops", holds));
    assert_eq!(holders(NOON + 500, NOON + 1_500).await, [ever.clone(), within(1)]);
    assert_eq!(holders(NOON + 500, NOON + 60_000).await, [ever.clone(), within(0)]);
    assert_eq!(holders(NOON - 1_000, NOON + 500).await, [holder("over", "admin", 0), ever]);

    database.store.keep_privileged(TENANT, &names(&[], &["/readers"], &[])).await.unwrap();
    assert_eq!(kept(&database).await, [row("g2", "group", "/readers")]);
    assert!(holders(NOON, NOON + 70_000).await.is_empty());
    assert_eq!(kept_as_walked().await, 0);
    database.store.keep_privileged(TENANT, &all).await.unwrap();
    assert_eq!(kept(&database).await, expected, "named again");
    assert_eq!(kept_as_walked().await, all_kept);
}
