//! A real Backstage that signs in through a real Keycloak, its standard output shipped by `tokentrail send --tee -`, and
//! the real program behind both: what the ledger of a working day says was done and decided is what ClickHouse holds.
#![allow(clippy::unwrap_used)] // a test may panic

mod support;

use serde_json::Value;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use support::Program;
use testbed::{
    Keycloak, KeycloakOptions, Webhook,
    backstage::{self, Act, Backstage, BackstageOptions, Outcome, Shipper, backstage_story},
};

/// Longest way of a line from Backstage into ClickHouse, on a busy machine.
const ARRIVE: Duration = Duration::from_secs(300);

/// Calls of the story that a plugin asks the permissions service about.
const DECIDED: [&str; 3] = ["refresh-entity", "create-location", "delete-location"];

/// Permissions whose decisions are all known: a frontend asked, or the one call that needs it was made.
const ASKED: [&str; 2] = ["catalog.entity.delete", "catalog.location.create"];

/// How often it was asked, by person, permission and what Backstage's policies said.
type Asked = BTreeMap<(String, String, String), u64>;

/// By the ledger.
fn asked(acts: &[Act]) -> Asked {
    let mut asked = Asked::new();
    for act in acts {
        let Some(permission) = act.permission.filter(|permission| ASKED.contains(permission)) else { continue };
        let outcome = match act.outcome {
            // Whose it is decides: the policies do not know.
            _ if permission == "catalog.entity.delete" => "conditional",
            Outcome::Allowed => "allow",
            _ => "deny",
        };
        *asked.entry((act.who.clone(), permission.to_owned(), outcome.to_owned())).or_default() += 1;
    }
    asked
}

/// By ClickHouse.
fn evaluated(program: &Program) -> Asked {
    let rows = program.sql(&format!(
        "SELECT person_name, permission, outcome, count() AS n FROM events WHERE native_type = 'permission.permission-evaluation' \
         AND permission IN ('{}', '{}') GROUP BY ALL",
        ASKED[0], ASKED[1]
    ));
    let text = |row: &Value, column: &str| row[column].as_str().unwrap().to_owned();
    let key = |row: &Value| (text(row, "person_name"), text(row, "permission"), text(row, "outcome"));
    rows.iter().map(|row| (key(row), row["n"].as_u64().unwrap())).collect()
}

/// Each sign-in has its callback with the session, each token that was issued its person.
fn sign_ins_are_told_with_their_sessions(program: &Program, acts: &[Act]) {
    let allowed = |op: &'static str| acts.iter().filter(move |act| act.op == op && act.outcome == Outcome::Allowed);
    let told = program.sql("SELECT session_id FROM events WHERE kind = 'backstage_callback' ORDER BY time");
    let told: Vec<_> = told.iter().map(|row| row["session_id"].as_str().unwrap()).collect();
    assert_eq!(told, allowed("sign-in").map(|act| act.session.as_deref().unwrap()).collect::<Vec<_>>());
    let mut issued = BTreeMap::<String, u64>::new();
    for act in allowed("sign-in").chain(allowed("refresh")) {
        *issued.entry(act.who.clone()).or_default() += 1;
    }
    let told = program
        .sql("SELECT person_name, count() AS n FROM events WHERE kind = 'backstage_token_issued' GROUP BY person_name");
    let name = |row: &Value| row["person_name"].as_str().unwrap().to_owned();
    assert_eq!(told.iter().map(|row| (name(row), row["n"].as_u64().unwrap())).collect::<BTreeMap<_, _>>(), issued);
}

/// Of each call that was decided there is one decision about its person or service, its permission and its resource, and it says
/// how the call ended.
fn what_was_done_was_decided_once(program: &Program, acts: &[Act]) {
    let mut checked = 0;
    for act in acts.iter().filter(|act| DECIDED.contains(&act.op) && act.outcome != Outcome::Unauthenticated) {
        let who = if act.who.starts_with("user:") {
            format!("person_name = '{}'", act.who)
        } else {
            format!("person_name = '' AND actor_kind = 'static' AND actor_name = '{}'", act.who)
        };
        // A location is known by its id to whoever asks, and to nobody who decides.
        let about = act.resource.as_deref().filter(|_| act.op == "refresh-entity");
        let told = program.sql(&format!(
            "SELECT outcome FROM events WHERE kind = 'decision' AND endsWith(native_type, '.permission-decision') AND {who} \
             AND permission = '{}' AND resource = '{}'",
            act.permission.unwrap(),
            about.unwrap_or_default()
        ));
        let outcome = if act.outcome == Outcome::Allowed { "allow" } else { "deny" };
        assert_eq!(told, [serde_json::json!({"outcome": outcome})], "{act:?}");
        checked += 1;
    }
    assert_eq!(checked, 5, "of the story");
}

/// A role was made with one member and one policy, and deleted: who got and lost what, and by whom.
fn a_right_in_backstage_comes_and_goes(program: &Program) {
    let told = program.sql(
        "SELECT kind, person_name, right_name, right_change, actor_name FROM events WHERE actor_name = 'user:default/rosa' \
         AND kind IN ('backstage_role_member_added', 'backstage_policy_added', 'backstage_role_member_removed') ORDER BY time",
    );
    let role = ("user:default/pia", "role:default/registrars");
    let row = |kind: &str, (person, right): (&str, &str), change: &str| {
        serde_json::json!({"kind": kind, "person_name": person, "right_name": right, "right_change": change,
            "actor_name": "user:default/rosa"})
    };
    let expected = [
        row("backstage_role_member_added", role, "granted"),
        row("backstage_policy_added", ("", "catalog.location.create"), "granted"),
        row("backstage_role_member_removed", role, "revoked"),
    ];
    assert_eq!(told, expected);
}

/// Waits until both snapshots that a first start takes are whole.
fn both_states_are_read(program: &Program) {
    let started = Instant::now();
    while ["keycloak", "backstage"].iter().any(|id| program.status()["snapshots"][id]["last"]["complete"] != true) {
        assert!(started.elapsed() < ARRIVE, "{}", program.status()["snapshots"]);
        std::thread::sleep(support::LOOK);
    }
}

/// Everybody signed in once: whatever they were allowed or denied rests on that session, whoever else was signed in then.
fn decisions_rest_on_the_sessions_of_their_persons(program: &Program, acts: &[Act]) {
    let signed_in = acts.iter().filter(|act| act.op == "sign-in" && act.outcome == Outcome::Allowed);
    let expected: BTreeMap<String, String> =
        signed_in.map(|act| (act.who.clone(), act.session.clone().unwrap())).collect();
    let told = || {
        program.sql(
            "SELECT reference, groupUniqArray(session_id) AS sessions, groupUniqArray(toString(grade)) AS grades, uniqExact(person) AS persons \
             FROM decisions WHERE startsWith(reference, 'user:') GROUP BY reference ORDER BY reference",
        )
    };
    let as_expected = |rows: &[Value]| {
        rows.len() == expected.len()
            && rows.iter().all(|row| {
                let session = expected.get(row["reference"].as_str().unwrap()).map(String::as_str);
                row["persons"] == 1 && row["sessions"] == serde_json::json!([session])
            })
    };
    let started = Instant::now();
    while !as_expected(&told()) {
        assert!(started.elapsed() < ARRIVE, "{:#?}, not {expected:#?}", told());
        std::thread::sleep(support::LOOK);
    }
}

/// `--tee` hands every line on, in order.
fn every_line_is_passed_on(backstage: &Backstage) {
    let lines = backstage.lines().unwrap();
    assert!(lines.len() > 200, "a day of {} lines", lines.len());
    let started = Instant::now();
    loop {
        let log = backstage.shipper_log();
        let mut passed = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let Some(lost) = lines.iter().find(|line| !passed.any(|one| one == **line)) else { return };
        assert!(started.elapsed() < ARRIVE, "a line was not passed on, or not in order: {lost}");
        std::thread::sleep(support::LOOK);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_working_day_arrives_with_its_decisions_sessions_and_rights() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let config = dir.path().join("tokentrail.toml");
    std::fs::create_dir_all(data.join("secrets")).unwrap();
    let keycloak = Keycloak::start(KeycloakOptions { realms: vec![backstage::realm()], ..KeycloakOptions::default() })
        .await
        .unwrap();
    // The same address after a restart, so that shipper and webhook find it again.
    let intake = format!("127.0.0.1:{}", testbed::free_port().unwrap());
    let settings = [("TOKENTRAIL_CONFIG", config.to_str().unwrap()), ("TOKENTRAIL__LISTEN__INTAKE", &intake)];
    let mut options = BackstageOptions::with_keycloak(&keycloak.url());
    let send = format!("exec '{}' send --source backstage --instance b1 --tee - -", env!("CARGO_BIN_EXE_tokentrail"));
    options.shipper = Some(Shipper {
        command: vec!["sh".into(), "-c".into(), send.into()],
        env: vec![
            ("TOKENTRAIL__DATA_DIR".into(), data.clone().into()),
            ("TOKENTRAIL__LISTEN__INTAKE".into(), intake.clone().into()),
        ],
    });
    std::fs::write(data.join("secrets/backstage.token"), "backstage-token-of-this-test").unwrap();
    std::fs::write(data.join("secrets/keycloak.client"), "tokentrail-secret").unwrap();
    std::fs::write(data.join("secrets/portal.reader"), &options.secrets.reader).unwrap();
    // Begins while nobody takes its lines: the shipper keeps them.
    let backstage = Backstage::start(options).await.unwrap();
    let source = format!(
        "lateness_seconds = 1\n\
         [sources.keycloak]\nkind = \"keycloak\"\nwebhook_secret_files = [\"secrets/keycloak.webhook\"]\n\
         [sources.keycloak.snapshot]\nurl = \"{}\"\nrealms = [\"testbed\"]\nclient_id = \"tokentrail\"\n\
         client_secret_file = \"secrets/keycloak.client\"\n\
         [sources.backstage]\nkind = \"backstage\"\ntoken_files = [\"secrets/backstage.token\"]\n\
         [sources.backstage.snapshot]\nurl = \"{}\"\ntoken_file = \"secrets/portal.reader\"\n\
         [sources.backstage.sign_in]\nkeycloak = \"keycloak\"\nclients = [\"backstage\"]\ntoken_life_seconds = 600\n",
        keycloak.url(),
        backstage.url()
    );
    std::fs::write(&config, &source).unwrap();
    let program = Program::start(&data, &settings);
    let webhook = Webhook {
        url: format!("{}/v1/keycloak/keycloak", program.intake()),
        secret: program.secret("keycloak.webhook"),
    };
    keycloak.admin().add_webhook("testbed", &webhook).await.unwrap();
    both_states_are_read(&program);

    let acts = backstage_story(&backstage).await.unwrap();
    // The last thing that was done is the last thing to arrive: lines keep their order.
    let asked = asked(&acts);
    let started = Instant::now();
    while evaluated(&program) != asked {
        let found = evaluated(&program);
        assert!(started.elapsed() < ARRIVE, "{found:?}, not {asked:?}; shipper: {}", backstage.shipper_log());
        std::thread::sleep(support::LOOK);
    }
    let status = program.drained();
    let lines = status["inputs"].as_array().unwrap().iter().find(|i| i["input"] == "lines").unwrap();
    assert_eq!(lines["dead"], 0, "{lines}");
    sign_ins_are_told_with_their_sessions(&program, &acts);
    what_was_done_was_decided_once(&program, &acts);
    a_right_in_backstage_comes_and_goes(&program);
    decisions_rest_on_the_sessions_of_their_persons(&program, &acts);
    every_line_is_passed_on(&backstage);

    // Heartbeats of the same Backstage come back as its access lines: complete up to now, and nothing is missing. The
    // shipper has met a collector that was not there.
    assert_eq!(program.terminate(), Some(0));
    let heartbeat =
        format!("{source}[sources.backstage.heartbeat]\nurl = \"{}\"\ninterval_seconds = 1\n", backstage.url());
    // One that is a little late on a busy machine is none that is missing.
    let heartbeat = heartbeat.replace("lateness_seconds = 1\n", "lateness_seconds = 10\n");
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
        std::thread::sleep(support::LOOK);
    }
    // Where the machine is busy one that is late looks missing for a moment.
    let started = Instant::now();
    while program.status()["gaps"] != serde_json::json!([]) {
        assert!(started.elapsed() < ARRIVE, "{}", program.status()["gaps"]);
        std::thread::sleep(support::LOOK);
    }
    assert_eq!(program.terminate(), Some(0));
}
