//! kill -9 of the whole program at random moments, under load and within its start, against a ledger kept by the client:
//! nothing acknowledged is lost, nothing is stored twice, and the fates that `/v1/status` tells while receipts come add up to what
//! came. `TOKENTRAIL_KILL_CYCLES` for more than the suite's 25, `TOKENTRAIL_KILL_SECONDS` to begin none after that time.

#![allow(clippy::unwrap_used)] // a test may panic

mod support;

use rand::Rng;
use serde_json::Value;
use std::{
    collections::BTreeSet,
    path::Path,
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use support::{Program, client, command, login, sign};

/// Clients that post at once.
const CLIENTS: usize = 8;
/// Between two looks at the status, and at the ledger.
const LOOK: Duration = Duration::from_millis(40);
/// Longest wait for the first acknowledgement of a program that is ready.
const ACKNOWLEDGED: Duration = Duration::from_secs(120);
/// Every so many cycles, the program dies within its start before.
const STARTS: u32 = 3;
/// Every so many cycles, some statuses are waited for.
const LOOKED_AT: u32 = 5;

#[derive(Default)]
struct Ledger {
    next: AtomicU64,
    stop: AtomicBool,
    acknowledged: Mutex<BTreeSet<String>>,
    /// Statuses that were held against this ledger.
    looks: AtomicU64,
}

impl Ledger {
    fn acknowledged(&self) -> u64 {
        self.acknowledged.lock().unwrap().len() as u64
    }
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

/// Holds each status against the ledger until the program is gone: it tells at least what was acknowledged before, at most what
/// was ever sent, and each receipt has one fate.
async fn watch(ledger: Arc<Ledger>, admin: String) {
    let http = client();
    loop {
        let before = ledger.acknowledged();
        let answer = match http.get(format!("{admin}/v1/status")).send().await {
            Ok(answer) => answer,
            Err(error) if error.is_timeout() => continue,
            Err(_) => return,
        };
        // ClickHouse may not have answered yet since the start.
        if answer.status().is_success() {
            let Ok(status) = answer.json::<Value>().await else { return };
            let sent = ledger.next.load(Ordering::Relaxed);
            let count = |input: &Value, fate: &str| input[fate].as_u64().unwrap();
            for input in status["inputs"].as_array().unwrap() {
                let fates = ["stored", "duplicate", "ignored", "dead", "pending"].map(|fate| count(input, fate));
                assert_eq!(count(input, "received"), fates.iter().sum::<u64>(), "{input}");
            }
            let of_ours = status["inputs"].as_array().unwrap().iter().find(|input| input["input"] == "webhook");
            let received = of_ours.map_or(0, |input| count(input, "received"));
            assert!((before..=sent).contains(&received), "{before} acknowledged, {sent} sent, and {received} received");
            ledger.looks.fetch_add(1, Ordering::Relaxed);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Starts the program and kills it a moment later; true if it was not ready by then.
fn dies_within_its_start(data: &Path) -> bool {
    let run = data.join("run.json");
    let _ = std::fs::remove_file(&run);
    let mut child = command(data).arg("up").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // As with the other kills: a random time, and no condition.
    std::thread::sleep(Duration::from_millis(rand::rng().random_range(0..300)));
    let unready = !run.exists();
    child.kill().unwrap();
    child.wait().unwrap();
    unready
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
    let (mut killed_under_load, mut killed_at_start, mut cycles) = (0, 0, 0);
    while cycles < wanted && most.is_none_or(|most| began.elapsed() < Duration::from_secs(most)) {
        cycles += 1;
        // Not before there are tables: whoever dies while he makes them keeps the next one waiting for a minute.
        if cycles > 1 && cycles % STARTS == 0 {
            killed_at_start += usize::from(dies_within_its_start(&data));
        }
        let program = Program::start(&data, &[]);
        let (url, secret) = (format!("{}/v1/keycloak/keycloak", program.intake()), program.secret("keycloak.webhook"));
        let admin = format!("http://{}", program.run["admin"].as_str().unwrap());
        let before = ledger.acknowledged();
        let shared = ledger.clone();
        let load = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut clients = tokio::task::JoinSet::new();
                for _ in 0..CLIENTS {
                    clients.spawn(load(shared.clone(), url.clone(), secret.clone()));
                }
                clients.spawn(watch(shared.clone(), admin));
                while let Some(done) = clients.join_next().await {
                    done.unwrap();
                }
            });
        });
        // In every second cycle surely under load, in the others whenever it may be: at the first connection, too.
        let waited = Instant::now();
        while cycles % 2 == 0 && ledger.acknowledged() == before {
            assert!(waited.elapsed() < ACKNOWLEDGED, "nothing is acknowledged; log: {}", program.log());
            std::thread::sleep(LOOK);
        }
        // A start takes ClickHouse longer than most cycles last: now and then it is waited for, so that the counts are looked at.
        let looked = ledger.looks.load(Ordering::Relaxed);
        while cycles % LOOKED_AT == 0 && ledger.looks.load(Ordering::Relaxed) < looked + 3 {
            assert!(waited.elapsed() < ACKNOWLEDGED, "no status; log: {}", program.log());
            std::thread::sleep(LOOK);
        }
        // The moment of the kill is the one thing here that must be random time and not a condition.
        std::thread::sleep(Duration::from_millis(rand::rng().random_range(5..600)));
        program.kill();
        load.join().unwrap();
        killed_under_load += u32::from(ledger.acknowledged() > before);
    }
    assert!(killed_under_load >= cycles / 2, "{killed_under_load} of {cycles} under load");
    assert!(killed_at_start > 0 || cycles < 2 * STARTS, "none died within its start");
    let looks = ledger.looks.load(Ordering::Relaxed);
    assert!(
        looks >= 3 * u64::from(cycles / LOOKED_AT),
        "{looks} statuses were held against the ledger in {cycles} cycles"
    );

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
        "{cycles} cycles ({killed_under_load} under load, {killed_at_start} more within a start), {looks} statuses, {} acknowledged, {} stored, \
         0 lost, 0 twice, {} s",
        acknowledged.len(),
        stored.len(),
        began.elapsed().as_secs()
    );
    assert_eq!(program.terminate(), Some(0));
}
