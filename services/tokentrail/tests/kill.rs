//! kill -9 of the whole program at random moments under load, against a ledger kept by the client:
//! nothing acknowledged is lost, nothing is stored twice. `TOKENTRAIL_KILL_CYCLES` for more than the suite's 25,
//! `TOKENTRAIL_KILL_SECONDS` to begin none after that time.

#![allow(clippy::unwrap_used)] // a test may panic

mod support;

use rand::Rng;
use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use support::{Program, client, login, sign};

/// Clients that post at once.
const CLIENTS: usize = 8;

#[derive(Default)]
struct Ledger {
    next: AtomicU64,
    stop: AtomicBool,
    acknowledged: Mutex<BTreeSet<String>>,
}

/// Posts fresh deliveries until told to stop; what is not acknowledged is left alone, as Keycloak's plugin would.
async fn load(ledger: Arc<Ledger>, url: String, secret: String) {
    let http = client();
    while !ledger.stop.load(Ordering::Relaxed) {
        let id = format!("00000000-0000-4000-8000-{:012}", ledger.next.fetch_add(1, Ordering::Relaxed));
        let body = login(&id, 1_795_469_103_342);
        let request = http.post(&url).header("x-keycloak-signature", sign(&secret, body.as_bytes())).body(body);
        match request.header("content-type", "application/json").send().await {
            Ok(answer) if answer.status().is_success() => {
                ledger.acknowledged.lock().unwrap().insert(id);
            }
            Ok(answer) => assert_eq!(answer.status().as_u16(), 503, "only a full or stopping journal may refuse"),
            Err(_) => return,
        }
    }
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_is_stored_twice() {
    let wanted: u32 =
        std::env::var("TOKENTRAIL_KILL_CYCLES").map_or(25, |n| n.parse().expect("TOKENTRAIL_KILL_CYCLES is a number"));
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let ledger = Arc::new(Ledger::default());
    let began = Instant::now();
    let most = std::env::var("TOKENTRAIL_KILL_SECONDS").ok().map(|n| n.parse().expect("a number of seconds"));
    let (mut killed_under_load, mut cycles) = (0, 0);
    while cycles < wanted && most.is_none_or(|most| began.elapsed() < Duration::from_secs(most)) {
        cycles += 1;
        let program = Program::start(&data, &[]);
        let (url, secret) = (format!("{}/v1/keycloak/keycloak", program.intake()), program.secret("keycloak.webhook"));
        let before = ledger.acknowledged.lock().unwrap().len();
        let shared = ledger.clone();
        let load = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut clients = tokio::task::JoinSet::new();
                for _ in 0..CLIENTS {
                    clients.spawn(load(shared.clone(), url.clone(), secret.clone()));
                }
                while let Some(done) = clients.join_next().await {
                    done.unwrap();
                }
            });
        });
        // The moment of the kill is the one thing here that must be random time and not a condition.
        std::thread::sleep(Duration::from_millis(rand::rng().random_range(5..600)));
        program.kill();
        load.join().unwrap();
        killed_under_load += usize::from(ledger.acknowledged.lock().unwrap().len() > before);
    }
    assert!(killed_under_load > 0, "no cycle saw an acknowledgement: this proves nothing");

    let program = Program::start(&data, &[]);
    let status = program.drained();
    let stored: Vec<String> = program
        .sql("SELECT native_id, count() AS n FROM events WHERE source_id = 'keycloak' GROUP BY native_id HAVING throwIf(n > 1, 'stored twice') = 0")
        .iter()
        .map(|row| row["native_id"].as_str().unwrap().to_owned())
        .collect();
    let stored: BTreeSet<String> = stored.into_iter().collect();
    let acknowledged = ledger.acknowledged.lock().unwrap().clone();
    let lost: Vec<_> = acknowledged.difference(&stored).collect();
    assert!(lost.is_empty(), "{} of {} acknowledged events are lost", lost.len(), acknowledged.len());
    let webhook = status["inputs"].as_array().unwrap().iter().find(|i| i["input"] == "webhook").unwrap().clone();
    assert_eq!(webhook["received"], webhook["stored"], "every receipt is a first one: {webhook}");
    assert_eq!(stored.len() as u64, webhook["stored"].as_u64().unwrap());
    // Streams are dense and the journal's own count agrees.
    let receipts = &program.sql("SELECT count() AS n FROM receipts")[0]["n"];
    assert_eq!(receipts, &status["journal"]["end"], "journal and ClickHouse count the same");
    for stream in program.sql("SELECT stream, last_seq, seqs, contested FROM streams") {
        assert_eq!(stream["seqs"].as_u64().unwrap(), stream["last_seq"].as_u64().unwrap() + 1, "a hole in {stream}");
        assert_eq!(stream["contested"], 0);
    }
    for (kept, recounted) in [("fates", "fates_recounted"), ("streams", "streams_recounted")] {
        let rows = |view: &str| program.sql(&format!("SELECT toString(tuple(*)) AS row FROM {view} ORDER BY row"));
        assert_eq!(rows(kept), rows(recounted), "what was kept over the kills is what all receipts say");
    }
    println!(
        "{cycles} cycles ({killed_under_load} under load), {} acknowledged, {} stored, 0 lost, 0 twice, {} s",
        acknowledged.len(),
        stored.len(),
        began.elapsed().as_secs()
    );
    assert_eq!(program.terminate(), Some(0));
}
