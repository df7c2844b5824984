//! A real Keycloak with its webhook and its Admin REST API, and the real program: both ways agree event by event; the
//! program is killed in the middle of a working day, pull repairs it, and status says what the webhook lost. What is lost on one way, on
//! both ways, or no longer recorded is a finding, and the reports say so.
#![allow(clippy::unwrap_used)] // a test may panic

mod acts;
mod losses;
#[path = "../support/receiver.rs"]
mod receiver;
#[path = "../support/mod.rs"]
mod support;
mod told;
mod way;

use receiver::Receiver;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};
use support::Program;
use testbed::{
    Keycloak, KeycloakOptions, Webhook,
    keycloak::{OidcClient, story},
};
use told::Cli;
use way::Way;

/// Longest wait until both ways have brought everything.
const MEET: Duration = Duration::from_secs(300);

/// At least so long nobody listens: one day of the story and more heartbeats than a gap needs, or `TOKENTRAIL_TEST_AWAY_SECONDS`.
fn away_for() -> Duration {
    let seconds = std::env::var("TOKENTRAIL_TEST_AWAY_SECONDS").ok();
    let seconds = seconds.map_or(0, |n| n.parse().expect("TOKENTRAIL_TEST_AWAY_SECONDS is a number"));
    Duration::from_secs(seconds.max(5 * HEARTBEAT_SECONDS))
}

/// Seconds between two heartbeats. An absence is a gap from two and a half of them on.
const HEARTBEAT_SECONDS: u64 = 2;

/// Ids of everything that Keycloak's store holds, and when it happened, UTC milliseconds.
async fn dated_at_source(keycloak: &Keycloak) -> BTreeMap<String, i64> {
    let admin = keycloak.admin();
    let events = admin.events("acme").await.unwrap().into_iter().chain(admin.admin_events("acme").await.unwrap());
    events.map(|event| (event["id"].as_str().unwrap().to_owned(), event["time"].as_i64().unwrap())).collect()
}

/// Ids of everything that Keycloak's store holds.
async fn at_source(keycloak: &Keycloak) -> BTreeSet<String> {
    dated_at_source(keycloak).await.into_keys().collect()
}

fn ids(program: &Program, condition: &str) -> BTreeSet<String> {
    let sql = format!(
        "SELECT DISTINCT native_id FROM events WHERE source_id = 'keycloak' AND native_id != '' AND ({condition})"
    );
    program.sql(&sql).iter().map(|row| row["native_id"].as_str().unwrap().to_owned()).collect()
}

/// Of an event that both ways brought.
const BY_BOTH: &str = "has(inputs, 'pull') AND has(inputs, 'webhook')";

/// Asks for events of which the words of webhook and pull are not the same in each canonical column.
fn unlike() -> String {
    let canonical = "kind, native_type, time, outcome, realm_id, person_bytes, person_id, actor_bytes, actor_id, client, session_id, \
        code_id, token_id, refresh_token_id, new_refresh_token_id, ip, right_kind, right_id, right_name, right_change, holder_kind, \
        holder_id, resource_kind, resource, action, error";
    format!(
        "SELECT groupArray((toString(input), native_type, {canonical})) AS words FROM event_inputs \
         WHERE source_id = 'keycloak' AND input IN ('webhook', 'pull') GROUP BY event_id HAVING uniqExact(({canonical})) > 1"
    )
}

/// No two copies contradict each other, of at least so many events that both ways brought; and nothing says that they do.
fn agree(program: &Program, least: usize) {
    let both = ids(program, BY_BOTH).len();
    assert!(both >= least, "both ways brought {both} events, not {least}");
    let conflicts = program.sql("SELECT native_type, inputs, conflicts FROM events WHERE notEmpty(conflicts)");
    assert!(conflicts.is_empty(), "copies contradict each other: {conflicts:?}");
    let alarms = program.sql("SELECT * FROM gaps WHERE cause = 'copies_differ'");
    assert!(alarms.is_empty(), "{alarms:?}");
}

/// Waits until the store holds, by the ways of `condition`, everything that `wanted` says.
fn meet(program: &Program, wanted: &BTreeSet<String>, condition: &str) {
    let started = Instant::now();
    loop {
        let found = ids(program, condition);
        let missing = wanted.difference(&found).count();
        if missing == 0 {
            return;
        }
        assert!(started.elapsed() < MEET, "{missing} of {} events did not come ({condition})", wanted.len());
        std::thread::sleep(support::LOOK);
    }
}

/// Waits until the status says exactly how many events the webhook lost: those of Keycloak's store, since the first that it brought, of
/// which the ledger of its way has no delivery that was taken. What pull alone brought is these very events.
async fn lost_to_the_last(
    keycloak: &Keycloak,
    cli: &Cli<'_>,
    (way, known): (&Way, &mut BTreeMap<String, i64>),
) -> (serde_json::Value, usize) {
    let first = "SELECT toUnixTimestamp64Milli(min(time)) AS at FROM event_inputs WHERE source_id = 'keycloak' AND input = 'webhook'";
    let first = cli.program.sql(first)[0]["at"].as_i64().unwrap();
    let alone =
        format!("has(inputs, 'pull') AND NOT has(inputs, 'webhook') AND toUnixTimestamp64Milli(time) >= {first}");
    let started = Instant::now();
    loop {
        // The store has forgotten some that were read before.
        known.extend(dated_at_source(keycloak).await);
        meet(cli.program, &known.keys().cloned().collect(), "has(inputs, 'pull')");
        let status = cli.stored();
        let found = ids(cli.program, &alone);
        let ledger = way.ledger();
        let of_ours = known.iter().filter(|(_, at)| **at >= first).map(|(id, _)| id.clone()).collect::<BTreeSet<_>>();
        let lost: BTreeSet<_> = of_ours.difference(&ledger.taken).cloned().collect();
        let counted = status["paths"][0]["lost_by_webhook"].as_u64();
        // One over which the program died may be in its journal all the same: which it is, ClickHouse says.
        let unclear: BTreeSet<_> = lost.symmetric_difference(&found).collect();
        if counted == Some(found.len() as u64) && unclear.iter().all(|id| ledger.unclear.contains(*id)) {
            println!("{:>4} s waited: the ledger and the status agree", started.elapsed().as_secs());
            return (status, found.len());
        }
        assert!(
            started.elapsed() < MEET,
            "the ledger has {} as lost, pull alone brought {}, the status says {counted:?}; they differ in {unclear:?}",
            lost.len(),
            found.len()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn webhook_and_pull_agree_and_pull_repairs_what_the_webhook_lost() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    std::fs::create_dir_all(data.join("secrets")).unwrap();
    std::fs::write(data.join("secrets/keycloak.webhook"), "whsec-of-this-test-0001").unwrap();
    std::fs::write(data.join("secrets/keycloak.client"), "tokentrail-secret").unwrap();
    let intake = format!("127.0.0.1:{}", testbed::free_port().unwrap());
    let (way, hook) = (Way::to(&intake), Receiver::start());
    let webhook = Webhook {
        url: format!("http://{}/v1/keycloak/keycloak", way.address),
        secret: "whsec-of-this-test-0001".into(),
    };
    std::fs::write(data.join("secrets/hook.whsec"), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    // The program is there first: a refused connection is a lost delivery.
    let config = dir.path().join("tokentrail.toml");
    let settings = [
        ("TOKENTRAIL_CONFIG", config.to_str().unwrap().to_owned()),
        ("TOKENTRAIL__LISTEN__INTAKE", intake.clone()),
        ("TOKENTRAIL__LATENESS_SECONDS", "3".to_owned()),
    ];
    let settings: Vec<(&str, &str)> = settings.iter().map(|(k, v)| (*k, v.as_str())).collect();
    let keycloak = Keycloak::start(KeycloakOptions::default()).await.unwrap();
    let text = format!(
        "[sources.keycloak]\nkind = \"keycloak\"\nwebhook_secret_files = [\"secrets/keycloak.webhook\"]\n\
         [sources.keycloak.pull]\nurl = \"{}\"\nrealms = [\"acme\"]\nclient_id = \"tokentrail\"\n\
         client_secret_file = \"secrets/keycloak.client\"\ninterval_seconds = 1\n\
         [sources.keycloak.heartbeat]\ninterval_seconds = {HEARTBEAT_SECONDS}\n[sources.keycloak.snapshot]\ninterval_hours = 0\n\
         [alerts]\ngroup_seconds = 1\n[alerts.receivers.hook]\nkind = \"webhook\"\nurl = \"http://{}/alerts\"\n\
         secret_file = \"secrets/hook.whsec\"\nleast = \"low\"\n",
        keycloak.url(),
        hook.address
    );
    std::fs::write(&config, text).unwrap();
    let program = Program::start(&data, &settings);
    keycloak.admin().add_webhook("acme", &webhook).await.unwrap();

    let ledger = story::play(&keycloak, "acme").await.unwrap();
    let stored = at_source(&keycloak).await;
    let done: usize = ledger.expected().values().sum();
    assert!(done > 20, "the story did {done} things");
    meet(&program, &stored, "has(inputs, 'pull')");
    // What happened before the webhook was there, and the pull's own logins in between, is pull's alone. What the webhook's way took
    // of the story must be there by both ways before their words can be compared.
    let taken = || -> BTreeSet<String> { stored.intersection(&way.ledger().taken).cloned().collect() };
    let started = Instant::now();
    while taken().len() < done {
        assert!(started.elapsed() < MEET, "{} events of a story of {done} were pushed", taken().len());
        std::thread::sleep(support::LOOK);
    }
    let pushed = taken();
    meet(&program, &pushed, BY_BOTH);
    let unlike = program.sql(&unlike());
    assert!(unlike.is_empty(), "webhook and pull do not say the same of one event: {unlike:?}");
    agree(&program, pushed.len());
    acts::told_as_done(&program, &keycloak, &ledger).await;

    // A heartbeat came back by the webhook, known by its token: the webhook is complete up to then.
    let by_webhook = || -> Option<i64> {
        let rows = program.sql("SELECT toInt64(max(watermark)) AS mark FROM watermarks WHERE input = 'webhook'");
        rows[0]["mark"].as_i64().filter(|mark| *mark > 0)
    };
    let started = Instant::now();
    while by_webhook().is_none() {
        assert!(started.elapsed() < MEET, "no heartbeat came back by the webhook");
        std::thread::sleep(support::LOOK);
    }

    let cli = Cli { program: &program, config: &config };
    losses::dropped_on_purpose(&keycloak, &cli, (&way, &hook)).await;
    losses::proven_so_far(&keycloak, &cli).await;
    let mut known = dated_at_source(&keycloak).await;
    let stored: BTreeSet<String> = known.keys().cloned().collect();
    meet(&program, &stored, "has(inputs, 'pull')");

    // Nobody listens while the day goes on: the plugin loses what it cannot deliver.
    program.kill();
    losses::lost_on_both_ways(&keycloak).await;
    let away = Instant::now();
    story::play(&keycloak, "acme").await.unwrap();
    // A longer absence: somebody signs in now and then.
    while away.elapsed() < away_for() {
        keycloak.browser("acme", OidcClient::named("portal")).sign_in("alice", "alice-pw").await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let lost = at_source(&keycloak).await.difference(&stored).cloned().collect::<BTreeSet<_>>();
    assert!(lost.len() >= done, "{} events happened unseen", lost.len());
    let absence = away.elapsed();
    let program = Program::start(&data, &settings);
    meet(&program, &at_source(&keycloak).await, "has(inputs, 'pull')");
    // Our own absence is on record until pull is proven to be complete beyond it.
    let started = Instant::now();
    while program.sql("SELECT 1 FROM gaps WHERE input = 'webhook' AND cause = 'no_heartbeat'").is_empty() {
        assert!(started.elapsed() < MEET, "no gap for {absence:?} without us: {:?}", program.sql("SELECT * FROM gaps"));
        std::thread::sleep(support::LOOK);
    }
    let cli = Cli { program: &program, config: &config };
    let (status, repaired) = lost_to_the_last(&keycloak, &cli, (&way, &mut known)).await;
    let there = way.ledger();
    let here = lost.difference(&there.taken).count();
    assert!(
        here >= done && repaired >= here,
        "{here} of {} events while nobody listened, {repaired} in all",
        lost.len()
    );
    assert_eq!(
        status["inputs"].as_array().unwrap().iter().map(|i| i["dead"].as_u64().unwrap()).sum::<u64>(),
        0,
        "{status}"
    );
    println!("{done} acts by both ways, {repaired} events repaired by pull");

    losses::shown_by_the_snapshot_alone(&keycloak, &cli).await;
    losses::suspicious_acts(&keycloak, &cli).await;
    losses::logging_switched_off(&keycloak, &cli).await;
    losses::a_type_is_saved_no_more(&keycloak, &cli).await;
    program.kill();
    losses::logging_taken_away(&keycloak).await;
    let program = Program::start(&data, &settings);
    losses::logging_gone_shown_by_the_snapshot_alone(&Cli { program: &program, config: &config });
    agree(&program, pushed.len() + 1);
    assert_eq!(program.terminate(), Some(0));
}
