//! From the deciding event to the receiver, under load: again and again somebody gives themselves a group (D05), and a receiver of the
//! bench's own notes when it is told of which receipt. A stage by itself, on a folder of its own: its allowance for late events is
//! short, so that rules speak while the load goes on, and no other stage's figures have that in them.

use crate::{
    load::{Connection, Ledger, Outcome},
    measure::Times,
    queries::STORED,
    stages,
    under_test::UnderTest,
    watch::Watch,
    workload::{Address, Prepared, Sender, World},
};
use alerts::Secret;
use axum::{Router, body::Bytes, extract::State, http::HeaderMap, http::StatusCode, routing::post};
use std::{
    collections::HashMap,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

/// Between two events that are findings.
const EVERY: Duration = Duration::from_millis(500);
/// The allowance for late events in this stage.
pub const LATENESS: Duration = Duration::from_secs(2);
/// Longest wait for what is left to be told when the load is over.
const PATIENCE: Duration = Duration::from_secs(180);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const SECRET_FILE: &str = "hook.whsec";

/// How long it took until receivers knew.
pub struct Alarmed {
    pub ledger: Ledger,
    /// From when the deciding event could be queried and the allowance was over, whichever came later, to the delivery.
    pub beyond: Times,
    /// From the answer to the sender to the delivery, the allowance included.
    pub whole: Times,
    /// Findings that were told, of so many.
    pub told: usize,
    pub planted: usize,
}

/// A deciding event that was acknowledged.
struct Planted {
    sent: Instant,
    acknowledged: Instant,
    seq: u64,
}

/// The whole program at the usual rate, with rules and a receiver.
pub fn alarmed(world: &Arc<World>, data: &Path, events: u64) -> Alarmed {
    let hook = Hook::start();
    std::fs::create_dir_all(data).unwrap();
    std::fs::write(data.join(SECRET_FILE), SECRET).unwrap();
    let (url, lateness) = (format!("http://{}/", hook.address), LATENESS.as_secs().to_string());
    let settings = [
        ("TOKENTRAIL__LATENESS_SECONDS", lateness.as_str()),
        ("TOKENTRAIL__ALERTS__RECEIVERS__HOOK__KIND", "webhook"),
        ("TOKENTRAIL__ALERTS__RECEIVERS__HOOK__URL", &url),
        ("TOKENTRAIL__ALERTS__RECEIVERS__HOOK__SECRET_FILE", SECRET_FILE),
    ];
    let (program, _) = UnderTest::start_with(data, &settings);
    let watch = Watch::start(program.queries(), LOOK);
    let time = Duration::from_secs_f64(events as f64 / stages::RATE);
    let planting = {
        let (world, address) = (world.clone(), program.address());
        std::thread::spawn(move || plant(&world, address, time))
    };
    let Outcome { mut ledger, .. } = stages::at_the_rate(world, &program, time);
    let (planted, more) = planting.join().expect("the sender of findings failed");
    ledger.add(more);
    program.until_stored(1 + ledger.receipts());
    let told = hook.told(&planted);
    let given_up = Instant::now();
    let looks = watch.looks();
    program.assert_counts_agree(&ledger, 1);
    assert_eq!(
        program.number(STORED) as u64,
        1 + ledger.receipts(),
        "one stream from 0: so many are there once the last one is"
    );
    program.stop();
    // Receipts become queryable in their order: this one when so many are there.
    let queryable = |seq: u64| looks.iter().find(|(_, stored)| *stored > seq).expect("the last look saw everything").0;
    // One that was not told in all that time counts as told at its end.
    let at = |one: &Planted| told.get(&one.seq).copied().unwrap_or(given_up);
    let beyond = |one: &Planted| at(one).saturating_duration_since(queryable(one.seq).max(one.sent + LATENESS));
    let whole = |one: &Planted| at(one).saturating_duration_since(one.acknowledged);
    Alarmed {
        ledger,
        beyond: Times::new(planted.iter().map(beyond).collect()),
        whole: Times::new(planted.iter().map(whole).collect()),
        told: planted.iter().filter(|one| told.contains_key(&one.seq)).count(),
        planted: planted.len(),
    }
}

/// Sends events that are findings, each of another person, until the time is over.
fn plant(world: &Arc<World>, address: Address, time: Duration) -> (Vec<Planted>, Ledger) {
    let mut connection = Connection::open(&address.host);
    let mut sender = Sender::new(world.clone(), address);
    let (mut planted, mut ledger) = (Vec::new(), Ledger::default());
    let (mut request, began) = (Prepared::default(), Instant::now());
    while began.elapsed() < time {
        sender.escalation(planted.len(), &mut request);
        let sent = Instant::now();
        let seq = connection.post(&request.bytes).expect("the answer names the receipt");
        planted.push(Planted { sent, acknowledged: Instant::now(), seq });
        ledger.add(Ledger { events: 1, lines: 0, ids: request.ids });
        std::thread::sleep(EVERY.saturating_sub(sent.elapsed()));
    }
    (planted, ledger)
}

/// When which receipt was first told of.
type Told = Arc<Mutex<HashMap<u64, Instant>>>;

/// A receiver of Standard Webhooks.
struct Hook {
    told: Told,
    address: SocketAddr,
}

impl Hook {
    fn start() -> Self {
        let told = Told::default();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let routes = Router::new().route("/", post(take)).with_state(told.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                axum::serve(listener, routes).await.unwrap();
            });
        });
        Self { told, address }
    }

    /// Waits until each of them was told, or in vain.
    fn told(&self, planted: &[Planted]) -> HashMap<u64, Instant> {
        let began = Instant::now();
        loop {
            let told = self.told.lock().unwrap().clone();
            let left = planted.iter().filter(|one| !told.contains_key(&one.seq)).count();
            if left == 0 || began.elapsed() > PATIENCE {
                return told;
            }
            std::thread::sleep(LOOK);
        }
    }
}

async fn take(State(told): State<Told>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let at = Instant::now();
    let header = |name: &str| headers[name].to_str().unwrap();
    let (id, seconds) = (header("webhook-id"), header("webhook-timestamp").parse().unwrap());
    let expected = alerts::signature(&Secret::read(SECRET).unwrap(), (id, seconds), &body);
    if header("webhook-signature") != expected {
        return StatusCode::UNAUTHORIZED;
    }
    let message: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let mut told = told.lock().unwrap();
    for notice in message["data"]["findings"].as_array().unwrap() {
        let receipts = notice["receipts"].as_array().unwrap().iter().filter_map(|one| one.as_str()?.split_once('/'));
        for (_, seq) in receipts.filter(|_| notice["rule"] == "D05" && notice["status"] == "firing") {
            told.entry(seq.parse().unwrap()).or_insert(at);
        }
    }
    StatusCode::NO_CONTENT
}
