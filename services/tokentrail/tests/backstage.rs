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
    let config = dir.path().join("tokentrail.toml");
    let source = "[sources.backstage]\nkind = \"backstage\"\ntoken_files = [\"secrets/backstage.token\"]\n";
    std::fs::write(&config, source).unwrap();
    // The same address after a restart, so that the shipper finds it again.
    let intake = format!("127.0.0.1:{}", testbed::free_port().unwrap());
    let settings = [("TOKENTRAIL_CONFIG", config.to_str().unwrap()), ("TOKENTRAIL__LISTEN__INTAKE", &intake)];
    let program = Program::start(&data, &settings);
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

    // Heartbeats of the same Backstage come back as its access lines: complete up to now, and nothing is missing. The
    // shipper has met a collector that was not there.
    assert_eq!(program.terminate(), Some(0));
    let heartbeat =
        format!("{source}[sources.backstage.heartbeat]\nurl = \"{}\"\ninterval_seconds = 1\n", backstage.url());
    std::fs::write(&config, heartbeat).unwrap();
    let restarted = jiff::Timestamp::now().as_millisecond();
    let program = Program::start(&data, &settings);
    let watermark = || {
        let inputs = program.status()["inputs"].as_array().unwrap().clone();
        inputs.iter().find(|input| input["input"] == "lines").and_then(|input| input["watermark"].as_i64())
    };
    let started = Instant::now();
    while watermark().is_none_or(|mark| mark < restarted + 2_000) {
        assert!(started.elapsed() < ARRIVE, "no heartbeat came back: {}", backstage.shipper_log());
    }
    assert_eq!(program.status()["gaps"], serde_json::json!([]));
    assert_eq!(program.terminate(), Some(0));
}
