//! A real Backstage that signs in through a real Keycloak, its standard output shipped by `tokentrail send --tee -`, and
//! the real program behind both: what the ledger says was decided is what ClickHouse holds, with the session behind it.
#![allow(clippy::unwrap_used)] // a test may panic

mod support;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use support::Program;
use testbed::{
    Keycloak, KeycloakOptions,
    backstage::{self, Backstage, BackstageOptions, Permission, Shipper},
};

/// Longest way of a line from Backstage into ClickHouse, on a busy machine.
const ARRIVE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn decisions_and_sign_ins_arrive_with_their_sessions() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let program = Program::start(&data, &[]);
    let keycloak = Keycloak::start(KeycloakOptions { realms: vec![backstage::realm()], ..KeycloakOptions::default() })
        .await
        .unwrap();
    let mut options = BackstageOptions::with_keycloak(&keycloak.url());
    let send = format!("exec '{}' send --source backstage --instance b1 --tee - -", env!("CARGO_BIN_EXE_tokentrail"));
    options.shipper = Some(Shipper {
        command: vec!["sh".into(), "-c".into(), send.into()],
        env: vec![("TOKENTRAIL__DATA_DIR".into(), data.clone().into())],
    });
    let backstage = Backstage::start(options).await.unwrap();

    let session = backstage.sign_in("nora", "nora-pw").await.unwrap().done().unwrap();
    let calls = backstage.calls(&session.token);
    let mut decided: BTreeMap<String, usize> = BTreeMap::new();
    for permission in [Permission::CreateLocation, Permission::CreateTask] {
        let decision = calls.authorize(permission).await.unwrap();
        *decided.entry(format!("{decision:?}").to_lowercase()).or_default() += 1;
    }
    let decisions = format!(
        "SELECT outcome, count() AS n FROM events WHERE native_type = 'permission.permission-evaluation' \
         AND person_name = '{}' AND permission IN ('catalog.location.create', 'scaffolder.task.create') GROUP BY outcome",
        session.entity_ref
    );
    let found = || -> BTreeMap<String, usize> {
        let count = |row: &serde_json::Value| row["n"].as_u64().unwrap() as usize;
        program.sql(&decisions).iter().map(|row| (row["outcome"].as_str().unwrap().to_owned(), count(row))).collect()
    };
    // The last thing that was done is the last thing to arrive: lines keep their order.
    let started = Instant::now();
    while found() != decided {
        assert!(started.elapsed() < ARRIVE, "{:?}, not {decided:?}; shipper: {}", found(), backstage.shipper_log());
    }
    let status = program.drained();
    let lines = status["inputs"].as_array().unwrap().iter().find(|i| i["input"] == "lines").unwrap();
    assert_eq!(lines["dead"], 0, "{lines}");

    let sessions = program.sql("SELECT session_id FROM events WHERE kind = 'backstage_callback'");
    assert!(sessions.iter().any(|row| row["session_id"] == session.keycloak_session.as_str()), "{sessions:?}");
    let issued = program.sql("SELECT person_name FROM events WHERE kind = 'backstage_token_issued'");
    assert!(issued.iter().any(|row| row["person_name"] == session.entity_ref.as_str()), "{issued:?}");
    assert_eq!(program.terminate(), Some(0));
}
