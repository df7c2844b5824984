//! What the ledger of a day in a real Keycloak says was done, against what ClickHouse holds of it: kinds, holders, rights, sessions.

use crate::{
    MEET,
    support::{LOOK, Program},
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Instant};
use testbed::{Keycloak, keycloak::story::Ledger};

/// Who got or lost which right, in order; what kinds of events the acts became; and whose sessions they were.
pub async fn told_as_done(program: &Program, keycloak: &Keycloak, ledger: &Ledger) {
    let carol = keycloak.admin().user_id("acme", "carol").await.unwrap();
    let payments = keycloak.admin().group_id("acme", "/payments").await.unwrap();
    let row = |kind: &str, right: &str, holder: &str| json!({"kind": kind, "right_name": right, "holder": holder});
    let rights = [
        row("group_member_added", "/platform/ops", &carol),
        row("role_granted", "deployer", &carol),
        row("role_revoked", "deployer", &carol),
        row("group_member_removed", "/platform/ops", &carol),
        row("role_granted", "prod-approver", &payments),
        row("role_revoked", "prod-approver", &payments),
    ];
    let told = || {
        program.sql(
        "SELECT kind, right_name, if(holder_id = '', person_id, holder_id) AS holder FROM events \
         WHERE native_type IN ('GROUP_MEMBERSHIP-CREATE', 'GROUP_MEMBERSHIP-DELETE', 'REALM_ROLE_MAPPING-CREATE', 'REALM_ROLE_MAPPING-DELETE') \
         AND has(inputs, 'webhook') ORDER BY time",
    )
    };
    // Deliveries of the story can still be under way.
    let started = Instant::now();
    while (told().as_slice(), kinds(program), sessions(program)) != (&rights, done(ledger), in_sessions(ledger)) {
        if started.elapsed() > MEET {
            assert_eq!(told(), rights);
            assert_eq!(kinds(program), done(ledger));
            assert_eq!(sessions(program), in_sessions(ledger));
        }
        std::thread::sleep(LOOK);
    }
}

/// Native types that each act of the ledger names, with the kind that they become.
const KINDS: [(&str, &str); 9] = [
    ("LOGIN_ERROR", "login"),
    ("LOGOUT", "logout"),
    ("REFRESH_TOKEN_ERROR", "token_refreshed"),
    ("REVOKE_GRANT", "grant_revoked"),
    ("USER-CREATE", "user_created"),
    ("USER-UPDATE", "user_updated"),
    ("USER-DELETE", "user_deleted"),
    ("USER_DISABLED_BY_TEMPORARY_LOCKOUT", "user_locked_temporarily"),
    ("USER_LOGIN_FAILURE-DELETE", "lockout_cleared"),
];

fn done(ledger: &Ledger) -> BTreeMap<(String, String), u64> {
    let expected = ledger.expected();
    KINDS.iter().map(|(native, kind)| (((*native).into(), (*kind).into()), expected[native] as u64)).collect()
}

fn kinds(program: &Program) -> BTreeMap<(String, String), u64> {
    let names: Vec<_> = KINDS.iter().map(|(native, _)| format!("'{native}'")).collect();
    // A new user's groups are events of the same receipt.
    let told = program.sql(&format!(
        "SELECT native_type, kind, count() AS n FROM events WHERE native_type IN ({}) AND has(inputs, 'webhook') AND right_change = '' \
         GROUP BY ALL",
        names.join(", ")
    ));
    told.iter().map(|row| ((text(row, "native_type"), text(row, "kind")), row["n"].as_u64().unwrap())).collect()
}

/// Native types of which each event says its session.
const IN_SESSIONS: [&str; 3] = ["LOGIN", "CODE_TO_TOKEN", "REFRESH_TOKEN"];

fn in_sessions(ledger: &Ledger) -> BTreeMap<(String, String), u64> {
    let mut acts = BTreeMap::new();
    for act in ledger.acts.iter().filter(|act| !act.session.is_empty()) {
        for native in act.events.iter().filter(|native| IN_SESSIONS.contains(native)) {
            *acts.entry((act.session.clone(), (*native).to_owned())).or_default() += 1;
        }
    }
    acts
}

fn sessions(program: &Program) -> BTreeMap<(String, String), u64> {
    let names = IN_SESSIONS.map(|native| format!("'{native}'")).join(", ");
    let told = program.sql(&format!(
        "SELECT session_id, native_type, count() AS n FROM events WHERE native_type IN ({names}) AND has(inputs, 'webhook') \
         AND outcome = 'success' GROUP BY ALL"
    ));
    told.iter().map(|row| ((text(row, "session_id"), text(row, "native_type")), row["n"].as_u64().unwrap())).collect()
}

fn text(row: &Value, column: &str) -> String {
    row[column].as_str().unwrap().to_owned()
}
