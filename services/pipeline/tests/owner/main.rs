//! One owner of the correlation among several processors, on a real engine: what is stored is announced before a position moves; of
//! two who believe to be the owner the later one's rows stand, also where it had nothing to write.
#![allow(clippy::unwrap_used)] // a test may panic

mod beside;
mod blamed;
mod board;
mod feed;
mod holder;
mod lost;
#[path = "../patience/mod.rs"]
mod patience;
#[path = "../../../store/tests/support/mod.rs"]
mod support;

use board::{Board, End, OneLoad};
use durable_log::{bulletin::Bulletin, carrier::Carrier};
use events::{
    normalise::Context,
    person::DeploymentKey,
    receipt::{HEADER_VERSION, Input, Payload, ReceiptHeader, SourceKind},
};
use holder::Holder;
use patience::until;
use pipeline::{
    correlation::{Acknowledged, Announcement, Correlating, CorrelationMetrics, Memory, Owner, Phase, Stage, Suspects},
    faults::Faults,
    flow::Flow,
    metrics::Metrics,
};
use prometheus::Registry;
use std::{sync::Arc, time::Duration};
use store::{Block, Store};
use support::{Database, NOON, TENANT, event, position, receipt};
use tokio::{sync::watch, task::JoinHandle};

const SECOND: i64 = 1_000;

/// Not a test: where the shared engine's child process begins.
#[test]
fn engine_child() {
    store::engine::run_if_asked();
}

fn key() -> DeploymentKey {
    DeploymentKey::new([9; 32])
}

fn stage(name: &str, (store, acknowledged): (Store, Acknowledged), faults: Faults, suspects: Suspects) -> Stage {
    Stage {
        store,
        config: correlate::Config { tenant: TENANT.into(), key: key(), joins: Vec::new(), skew: SECOND },
        acknowledged,
        name: name.into(),
        metrics: CorrelationMetrics::register(&Registry::new()).unwrap(),
        checkpoints: Some(Duration::from_secs(600)),
        memory: Memory { budget: 1 << 30, clock: || NOON },
        faults,
        suspects,
    }
}

/// The chain from a log to `store`, running; it ends well when told to stop.
fn flow<C: Carrier, B: Bulletin>(
    carrier: C,
    store: Store,
    correlation: Correlating<B>,
) -> (watch::Sender<bool>, JoinHandle<()>) {
    let flow = Flow {
        carrier,
        tenant: TENANT.to_owned(),
        store,
        context: Context { key: key() },
        metrics: Metrics::register(&Registry::new()).unwrap(),
        correlation,
    };
    let (stop, stopped) = watch::channel(false);
    (stop, tokio::spawn(async move { flow.run(stopped).await.unwrap() }))
}

/// A login of one session as a webhook's receipt: header and body.
fn delivered(number: u64) -> (Vec<u8>, Vec<u8>) {
    let header = ReceiptHeader {
        v: HEADER_VERSION,
        tenant: TENANT.into(),
        source_id: "kc".into(),
        source_kind: SourceKind::Keycloak,
        input: Input::Webhook,
        payload: Payload::KeycloakWebhook,
        received_at: NOON,
        native_id: format!("e{number}"),
        delivery_id: format!("d{number}"),
        delivery_keyed: false,
        delivery_index: 0,
        line: None,
    };
    let body = r#"{"id":"eNUMBER","time":TIME,"realmId":"r","realmName":"acme","authDetails":{"realmId":"acme","clientId":"backstage","userId":"user-1","sessionId":"session-1"},"details":{},"type":"access.LOGIN"}"#;
    let time = NOON + i64::try_from(number).unwrap() * SECOND;
    let body = body.replace("NUMBER", &number.to_string()).replace("TIME", &time.to_string());
    (header.to_bytes(), body.into_bytes())
}

/// A processor that may correlate, running.
struct Processor {
    end: End,
    acknowledged: Acknowledged,
    stop: watch::Sender<bool>,
    running: JoinHandle<()>,
}

impl Processor {
    fn start(name: &str, store: Store, board: &Arc<Board>) -> Self {
        let (end, acknowledged) = (End::of(board), Acknowledged::default());
        let faults = Faults::register(&Registry::new(), || NOON).unwrap();
        let stage = stage(name, (store, acknowledged.clone()), faults, Suspects::default());
        let (stop, stopped) = watch::channel(false);
        let owner = Owner { stage, bulletin: end.clone() };
        let running = tokio::spawn(async move { owner.run(stopped).await.unwrap() });
        Self { end, acknowledged, stop, running }
    }

    async fn stop(self) {
        self.stop.send_replace(true);
        self.running.await.unwrap();
    }

    async fn follows(&self) {
        until("it follows", async || (self.acknowledged.standing().phase == Phase::Following).then_some(())).await;
    }
}

/// A login of one session; each is one event.
fn login(number: u64) -> Block {
    let stored = receipt(position(1, number), Input::Webhook, &format!("login-{number}"));
    let mut event = event(&stored);
    (event.person_id, event.session_id) = ("user-1".into(), "session-1".into());
    event.time = NOON + i64::try_from(number).unwrap() * SECOND;
    (event.time_min, event.time_max) = (event.time, event.time);
    Block { receipts: vec![stored], events: vec![event] }
}

async fn store(database: &Database, board: &Arc<Board>, block: Block) {
    database.store.insert(&block).await.unwrap();
    End::of(board).put(Announcement::of(&block).to_bytes()).await.unwrap();
}

/// Logins of the session as it stands, and the epoch of who said so.
async fn standing(database: &Database) -> Option<(u32, u64)> {
    let sql = "SELECT logins, bitShiftRight(version, 40) FROM session_rows FINAL";
    database.sql().query(sql).fetch_all().await.unwrap().pop()
}

async fn stands(database: &Database, logins: u32) -> u64 {
    until(&format!("{logins} logins stand"), async || {
        standing(database).await.filter(|one| one.0 == logins).map(|one| one.1)
    })
    .await
}

async fn owner(database: &Database) -> String {
    database.store.correlation_owner(TENANT).await.unwrap().unwrap().name
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_one_who_hung_do_not_stand_though_the_owner_had_nothing_to_write() {
    let database = Database::new().await;
    let board = Arc::new(Board::default());
    let holder = Holder::start(database.address(), "session_rows").await;
    let hung = Processor::start("hung", database.through(holder.url.clone()), &board);
    let other = Processor::start("other", database.another(), &board);
    hung.end.choose();
    store(&database, &board, login(0)).await;
    let first = stands(&database, 1).await;

    // A second login is answered, and the answer hangs on its way. Then that login turns out to be none.
    holder.arm();
    store(&database, &board, login(1)).await;
    holder.held.subscribe().wait_for(|held| *held).await.unwrap();
    let gone = "INSERT INTO event_rows SELECT * REPLACE (version + 1 AS version, 1 AS is_deleted) FROM event_rows FINAL \
        WHERE native_id = 'login-1'";
    database.sql().query(gone).execute().await.unwrap();
    other.end.choose();
    other.follows().await;
    assert_eq!(standing(&database).await, Some((1, first)), "what stood was right: the new owner had nothing to write");
    assert_eq!(owner(&database).await, "other");

    // It wakes, its late row stands for a moment, and it learns that it reads no more.
    hung.end.reads.send_replace(false);
    holder.release();
    until("the late row was there", async || {
        let sql = "SELECT count() FROM session_rows WHERE logins = 2";
        database.sql().query(sql).fetch_one::<u64>().await.ok().filter(|count| *count > 0)
    })
    .await;
    let healed = until("the owner has looked again", async || {
        standing(&database).await.filter(|one| one.0 == 1 && one.1 > first).map(|one| one.1)
    })
    .await;
    assert!(healed > first + 1, "by the owner, anew: {healed}");
    until("the one that hung stands by", async || {
        (hung.acknowledged.standing().phase == Phase::StandingBy).then_some(())
    })
    .await;
    assert_eq!(owner(&database).await, "other");

    // One that does not know yet takes over after the owner: the owner takes it back, and misses nothing.
    hung.end.choose();
    until("it took over", async || (owner(&database).await == "hung").then_some(())).await;
    hung.end.reads.send_replace(false);
    store(&database, &board, login(2)).await;
    until("the owner took it back", async || (owner(&database).await == "other").then_some(())).await;
    stands(&database, 2).await;
    until("all is settled", async || (*board.settled.lock().unwrap() == 3).then_some(())).await;
    hung.stop().await;
    other.stop().await;
}

/// What reads ahead holds the store, and an engine waits for everybody who does.
#[tokio::test(flavor = "multi_thread")]
async fn a_flow_that_ends_by_an_error_leaves_nothing_that_runs() {
    let database = Database::new().await;
    let (header, body) = delivered(0);
    let mut log = OneLoad::new(&Arc::default(), header, body);
    log.broken = true;
    let here = Correlating::<End>::Here(Acknowledged::default());
    let (_stop, running) = flow(log.clone(), database.another(), here);
    assert!(running.await.is_err(), "its position cannot be kept");
    until("nobody holds the log", async || (log.holders() == 1).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_moves_only_when_the_block_is_announced_or_noted() {
    let database = Database::new().await;
    let board = Arc::new(Board::default());
    let (header, body) = delivered(0);
    let log = OneLoad::new(&board, header, body);
    let end = End::of(&board);
    let to = || {
        let metrics = CorrelationMetrics::register(&Registry::new()).unwrap();
        Correlating::By(end.clone(), Acknowledged::default(), metrics)
    };
    let happened = |what: &'static str| {
        let board = board.clone();
        move || {
            let found = board.story.lock().unwrap().contains(&what).then_some(());
            async move { found }
        }
    };

    // ClickHouse has the block, and nobody can be told: not on the bulletin, and a note in ClickHouse hangs on its way.
    *board.refuses.lock().unwrap() = true;
    let holder = Holder::start(database.address(), "unannounced_rows").await;
    holder.arm();
    let (stop, running) = flow(log.clone(), database.through(holder.url.clone()), to());
    holder.held.subscribe().wait_for(|held| *held).await.unwrap();
    assert!(happened("refused")().await.is_some());
    let receipts = "SELECT count() FROM receipts";
    assert_eq!(database.sql().query(receipts).fetch_one::<u64>().await.unwrap(), 1);
    assert!(!board.story.lock().unwrap().contains(&"settled"));
    stop.send_replace(true);
    running.await.unwrap();
    assert!(!board.story.lock().unwrap().contains(&"settled"), "a stop settles nothing that was not announced");

    // So it comes again, is told, and only then settled; a processor that takes over now answers it once.
    board.story.lock().unwrap().clear();
    *board.refuses.lock().unwrap() = false;
    let (stop, running) = flow(log.again(), database.another(), to());
    until("it is settled", happened("settled")).await;
    assert_eq!(*board.story.lock().unwrap(), ["put", "settled"]);
    let processor = Processor::start("one", database.another(), &board);
    processor.end.choose();
    stands(&database, 1).await;
    until("the announcement is settled", async || (*board.settled.lock().unwrap() == 1).then_some(())).await;
    stop.send_replace(true);
    running.await.unwrap();
    processor.stop().await;
}
