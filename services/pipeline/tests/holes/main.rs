//! Loss behind intake, on a real engine: holes in streams, ends before their seal, and a journal that was put back.
#![allow(clippy::unwrap_used)] // a test may panic

mod held;
#[path = "../../../store/tests/support/mod.rs"]
mod support;

use events::{
    ids::{Position, StreamId},
    normalise::{Ignored, NORMALISER_VERSION},
    receipt::{Input, Payload, Receipt, ReceiptHeader, SourceKind},
    record::Held,
};
use pipeline::coverage::{Expected, Keeper};
use prometheus::Registry;
use std::{
    path::Path,
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, Instant},
};
use store::{
    Block, ClaimedSpan, Fate, Gap, OWN_RECORDS, Records, SentHeartbeat, Store, StoredReceipt,
    engine::{self, Engine, EngineOptions},
};

const NOON: i64 = 1_795_521_600_000;
const LATENESS: i64 = 1_000;

/// Not a test: where the engine's child process begins.
#[test]
fn engine_child() {
    engine::run_if_asked();
}

/// A record of stream `stream` that says nothing but what `body` says.
fn receipt(stream: u8, seq: u64, body: &str) -> StoredReceipt {
    let header = ReceiptHeader::own(
        "default",
        (Input::Collector, if seq == 0 { Payload::StreamOpening } else { Payload::LineCounts }),
        NOON + i64::from(stream) * 100_000 + i64::try_from(seq).unwrap(),
    );
    let position = Position { stream: StreamId([stream; 16]), seq };
    let mut commitment = [stream; 32];
    commitment[..8].copy_from_slice(&seq.to_be_bytes());
    StoredReceipt {
        receipt: Receipt { position, header, body: body.as_bytes().to_vec() },
        fate: Fate::Ignored(Ignored::Bookkeeping),
        salt: [3; 16],
        commitment,
        chain: None,
        enc: 0,
        normaliser: NORMALISER_VERSION,
    }
}

fn opening(stream: u8, (previous, seq): (u8, u64)) -> StoredReceipt {
    let previous = StreamId([previous; 16]);
    receipt(stream, 0, &format!(r#"{{"previous_stream":"{previous}","previous_seq":{seq},"previous_chain":""}}"#))
}

/// An engine with an empty database.
async fn database(dir: &Path) -> (Engine, Store) {
    let library = testbed::engine().unwrap();
    let command = engine::test_command("engine_child").unwrap();
    let engine = Engine::start(EngineOptions { library, dir: dir.join("engine"), command }).await.unwrap();
    let store = Store::connect(engine.connect_options("tokentrail")).unwrap();
    store.migrate().await.unwrap();
    (engine, store)
}

/// Cause, end of the scope, number missing.
type Told = (String, String, Option<u64>);

async fn gaps(store: &Store) -> Vec<Told> {
    let gaps = store.gaps("default", i64::MAX).await.unwrap();
    let told = |gap: Gap| (gap.cause, gap.scope.get(30..).unwrap_or_default().to_owned(), gap.missing);
    gaps.into_iter().map(told).collect()
}

fn row(cause: &str, scope: &str, missing: Option<u64>) -> Told {
    (cause.into(), scope.into(), missing)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_behind_intake_is_a_gap_with_its_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, store) = database(dir.path()).await;
    let place = (store.clone(), "default".to_owned());
    let keeper = Keeper::new(place, LATENESS, Vec::new(), (|| NOON, &Registry::new())).unwrap();

    // Stream 1 lacks 2 and 3, and ends before the seal that stream 2 tells; stream 3 goes on from before the end of 2.
    let whole = [receipt(1, 0, "{}"), receipt(1, 1, "{}"), receipt(1, 4, "{}")];
    let sealed = [opening(2, (1, 6)), receipt(2, 1, "{}"), receipt(2, 2, "{}"), opening(3, (2, 1))];
    let receipts = whole.into_iter().chain(sealed).collect();
    store.insert(&Block { receipts, events: Vec::new() }).await.unwrap();

    // While a block may still be on its way, a hole is none yet, and neither is an end that has not come.
    let told = async || gaps(&store).await.into_iter().map(|gap| gap.1).collect::<Vec<_>>();
    keeper.round(NOON + 100_004 + LATENESS, true).await.unwrap();
    assert_eq!(told().await, ["02:1"]);
    keeper.round(NOON + 200_000 + LATENESS, true).await.unwrap();
    assert_eq!(told().await, ["01:2-3", "02:1"]);

    let now = NOON + 3_600_000;
    keeper.round(now, true).await.unwrap();
    let hole = row("records_missing", "01:2-3", Some(2));
    let tail = row("records_missing", "01:5-6", Some(2));
    let rolled = row("log_rolled_back", "02:1", None);
    assert_eq!(gaps(&store).await, [hole, tail.clone(), rolled.clone()]);

    // A round more changes nothing. The records come after all (a broker that was repaired): the hole is closed.
    keeper.round(now + 1, true).await.unwrap();
    let late = vec![receipt(1, 2, "{}"), receipt(1, 3, "{}")];
    store.insert(&Block { receipts: late, events: Vec::new() }).await.unwrap();
    keeper.round(now + 2, true).await.unwrap();
    assert_eq!(gaps(&store).await, [tail.clone(), rolled.clone()]);

    // A second stream that goes on from the end of 3: a volume was cloned, or a backup put back. Each one alone looks right.
    let fork = vec![opening(4, (3, 0)), opening(5, (3, 0))];
    store.insert(&Block { receipts: fork, events: Vec::new() }).await.unwrap();
    keeper.round(now + 3, true).await.unwrap();
    let forked = row("log_rolled_back", "03:0", None);
    assert_eq!(gaps(&store).await, [tail, rolled, forked]);
    let written: Vec<Gap> = store.gaps("default", 0).await.unwrap();
    assert_eq!(written.len(), 4, "history is kept: {written:?}");
    assert!(written.iter().any(|gap| gap.repaired_at == Some(now + 2)), "{written:?}");

    // Another receipt at a position that is taken. The same one again is nothing.
    let twice = vec![receipt(1, 0, "{}"), StoredReceipt { commitment: [9; 32], ..receipt(1, 4, "{}") }];
    store.insert(&Block { receipts: twice, events: Vec::new() }).await.unwrap();
    keeper.round(now + 4, true).await.unwrap();
    keeper.round(now + 5, true).await.unwrap();
    let contested: Vec<Gap> = store.gaps("default", 0).await.unwrap();
    let contested: Vec<&Gap> = contested.iter().filter(|gap| gap.cause == "position_contested").collect();
    let [gap] = contested[..] else { panic!("one gap, not {contested:?}") };
    let (since, until) = (receipt(1, 4, "{}").receipt.header.received_at, Some(gap.since + 1));
    assert_eq!((gap.since, gap.until, gap.repaired_at), (since, until, None));
    assert!(gap.scope.ends_with("01"), "{}", gap.scope);
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_may_wait_in_the_log_is_not_told_as_missing() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, store) = database(dir.path()).await;
    let place = (store.clone(), "default".to_owned());
    let (reached, settled_until) = tokio::sync::watch::channel(0);
    let keeper = Keeper::new(place, LATENESS, Vec::new(), (|| NOON, &Registry::new())).unwrap().behind(settled_until);
    // A backlog of long ago is worked off: 2 and 3 wait on one partition, and so does the end of the stream before.
    let receipts = vec![opening(1, (9, 3)), receipt(1, 1, "{}"), receipt(1, 4, "{}")];
    store.insert(&Block { receipts, events: Vec::new() }).await.unwrap();
    let now = NOON + 3_600_000;
    // What was in the log when they were missed first is not settled, or may have been sent again until a moment ago.
    for (round, settled) in [(now, 0), (now + 500, now - 1), (now + 5_000, now + LATENESS - 1)] {
        reached.send_replace(settled);
        keeper.round(round, true).await.unwrap();
        assert_eq!(gaps(&store).await, [], "at {round}");
    }
    let insert = async |receipts| store.insert(&Block { receipts, events: Vec::new() }).await.unwrap();
    let end = || row("records_missing", "09:0-3", Some(4));
    // A number that is missed since now may wait; the others are lost.
    insert(vec![receipt(1, 6, "{}")]).await;
    reached.send_replace(now + LATENESS);
    keeper.round(now + 6_000, true).await.unwrap();
    assert_eq!(gaps(&store).await, [end(), row("records_missing", "01:2-3", Some(2))]);
    // What was told stays told, however far behind the log is then, also where a part of it comes.
    reached.send_replace(0);
    insert(vec![receipt(1, 3, "{}")]).await;
    keeper.round(now + 9_000, true).await.unwrap();
    assert_eq!(gaps(&store).await, [end(), row("records_missing", "01:2-2", Some(1))]);
    reached.send_replace(now + 6_000 + LATENESS);
    keeper.round(now + 10_000, true).await.unwrap();
    let told = [end(), row("records_missing", "01:2-2", Some(1)), row("records_missing", "01:5-5", Some(1))];
    assert_eq!(gaps(&store).await, told);
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_log_lost_is_repaired_when_no_number_is_missing_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, store) = database(dir.path()).await;
    let place = (store.clone(), "default".to_owned());
    let keeper = Keeper::new(place, LATENESS, Vec::new(), (|| NOON, &Registry::new())).unwrap();
    let insert = async |receipts: Vec<StoredReceipt>| {
        store.insert(&Block { receipts, events: Vec::new() }).await.unwrap();
    };
    // Stream 1 is sealed by 2. Retention took its number 1 from the topic, and a strange record was passed.
    insert(vec![receipt(1, 0, "{}"), receipt(1, 2, "{}"), opening(2, (1, 2)), receipt(2, 1, "{}")]).await;
    let lost = |cause: &str, scope: &str| Gap {
        tenant: "default".into(),
        source_id: String::new(),
        scope: scope.into(),
        input: String::new(),
        since: NOON + 100_001,
        cause: cause.into(),
        until: Some(NOON + 200_003),
        missing: Some(1),
        repaired_at: None,
        repaired_by: String::new(),
        recorded_at: NOON + 200_003,
    };
    let found = [("log_expired", "t/0@1-1"), ("log_passed", "t/0@2-2"), ("record_unreadable", "t/0@4: no")];
    store.put_gaps(&found.map(|(cause, scope)| lost(cause, scope))).await.unwrap();
    let now = NOON + 3_600_000;
    let open = async || {
        let gaps = store.gaps("default", i64::MAX).await.unwrap();
        let mut causes: Vec<_> = gaps.into_iter().map(|gap| gap.cause).collect();
        causes.sort();
        causes
    };
    keeper.round(now, true).await.unwrap();
    assert_eq!(open().await, ["log_expired", "log_passed", "record_unreadable", "records_missing"]);
    // It is sent again. Of stream 2 nobody knows whether it goes on.
    insert(vec![receipt(1, 1, "{}")]).await;
    keeper.round(now + 1, true).await.unwrap();
    assert_eq!(open().await, ["log_expired", "log_passed", "record_unreadable"]);
    // It does, behind the loss: nothing is missing.
    insert(vec![receipt(2, 2, "{}"), receipt(2, 3, "{}"), receipt(2, 4, "{}")]).await;
    keeper.round(now + 2, true).await.unwrap();
    assert_eq!(open().await, ["record_unreadable"], "a record that is none of ours comes not again");
    let written = store.gaps("default", 0).await.unwrap();
    assert!(written.iter().any(|gap| gap.cause == "log_expired" && gap.repaired_by == "log"), "{written:?}");
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_which_nothing_is_there_is_told_from_the_beginning_on() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, store) = database(dir.path()).await;
    let place = (store.clone(), "default".to_owned());
    let keeper = Keeper::new(place, LATENESS, Vec::new(), (|| NOON, &Registry::new())).unwrap();
    // The store began anew; the journal had freed stream 6 before.
    let receipts = vec![opening(7, (6, 41)), receipt(7, 1, "{}")];
    store.insert(&Block { receipts, events: Vec::new() }).await.unwrap();
    let opened = NOON + 700_000;
    keeper.round(opened + LATENESS, true).await.unwrap();
    assert_eq!(gaps(&store).await, [], "it may still be on its way");
    let now = NOON + 3_600_000;
    for round in 0..2 {
        keeper.round(now + round, true).await.unwrap();
        let told = store.gaps("default", i64::MAX).await.unwrap();
        assert_eq!(told.len(), 1);
        assert_eq!((told[0].since, told[0].until, told[0].recorded_at), (0, Some(opened), now));
        assert_eq!(gaps(&store).await, [row("records_missing", "06:0-41", Some(42))]);
    }
    // It comes after all, but for its end.
    let late = (0..40).map(|seq| receipt(6, seq, "{}")).collect();
    store.insert(&Block { receipts: late, events: Vec::new() }).await.unwrap();
    keeper.round(now + 5, true).await.unwrap();
    assert_eq!(gaps(&store).await, [row("records_missing", "06:40-41", Some(2))]);
    engine.close().await;
}

/// Of which source, and who repaired it.
async fn parts(store: &Store) -> Vec<(String, String)> {
    let gaps = store.gaps("default", 0).await.unwrap().into_iter().filter(|gap| gap.cause == "records_missing");
    let mut parts: Vec<_> = gaps.map(|gap| (gap.source_id, gap.repaired_by)).collect();
    parts.sort();
    parts
}

fn part(source: &str, repaired_by: &str) -> (String, String) {
    (source.into(), repaired_by.into())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_of_the_whole_time_closes_the_part_of_its_source_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, store) = database(dir.path()).await;
    let place = (store.clone(), "default".to_owned());
    let source = |id: &str, kind, push: Option<&str>| Expected {
        source_id: id.into(),
        kind,
        push: push.map(|realm| (Input::Webhook, vec![realm.to_owned()], 60_000)),
        pull: None,
    };
    let expected = vec![
        source("kc", SourceKind::Keycloak, Some("acme")),
        source("bs", SourceKind::Backstage, None),
        source("beaten", SourceKind::Keycloak, Some("acme")),
    ];
    let keeper = Keeper::new(place, LATENESS, expected, (|| NOON, &Registry::new())).unwrap();
    // Numbers 2 and 3 are lost, between these times. One that is there is of a source that the config names no more.
    let mut gone = receipt(1, 1, "{}");
    let header = &mut gone.receipt.header;
    (header.source_id, header.source_kind, header.input) = ("gone".into(), SourceKind::Keycloak, Input::Webhook);
    let receipts = vec![receipt(1, 0, "{}"), gone, receipt(1, 4, "{}")];
    store.insert(&Block { receipts, events: Vec::new() }).await.unwrap();
    let (since, until) = (NOON + 100_001, NOON + 100_004);
    let claim = |source: &str, held: Held, from: i64| ClaimedSpan {
        tenant: "default".into(),
        source_id: source.into(),
        scope: String::new(),
        held: held.as_str().into(),
        since: from,
        until,
        recorded_at: NOON,
    };
    let say = async |claims: Vec<ClaimedSpan>| {
        store.put_records(&Records { claims, ..Records::default() }).await.unwrap();
    };
    let now = NOON + 3_600_000;
    say(vec![claim("kc", Held::UserEvents, since - LATENESS), claim("kc", Held::AdminEvents, since)]).await;
    keeper.round(now, true).await.unwrap();
    assert_eq!(parts(&store).await, [part("", "")], "what came late before it is in no export of admin events");

    // Both kinds from before what may have come late; of another source both, and one of its heartbeats is in no input.
    let sent = SentHeartbeat {
        tenant: "default".into(),
        source_id: "beaten".into(),
        sent_at: since - 1,
        scope: "acme".into(),
        id: "b1".into(),
        state: "sent".into(),
    };
    store.put_records(&Records { sent: vec![sent], ..Records::default() }).await.unwrap();
    for source in ["kc", "beaten"] {
        say([Held::UserEvents, Held::AdminEvents].map(|held| claim(source, held, since - LATENESS)).into()).await;
    }
    let mut wanted = [
        part("", "import"),
        part(OWN_RECORDS, ""),
        part("beaten", ""),
        part("bs", ""),
        part("gone", ""),
        part("kc", "import"),
    ];
    for round in 1..3 {
        keeper.round(now + round, true).await.unwrap();
        assert_eq!(parts(&store).await, wanted);
    }
    say(vec![claim("bs", Held::Lines, since - LATENESS)]).await;
    keeper.round(now + 3, true).await.unwrap();
    wanted[3] = part("bs", "import");
    assert_eq!(parts(&store).await, wanted);

    // They come after all: nothing is missing, of nobody.
    let late = vec![receipt(1, 2, "{}"), receipt(1, 3, "{}")];
    store.insert(&Block { receipts: late, events: Vec::new() }).await.unwrap();
    keeper.round(now + 4, true).await.unwrap();
    let left: Vec<Gap> = store.gaps("default", i64::MAX).await.unwrap();
    assert!(left.iter().all(|gap| gap.cause != "records_missing"), "{left:?}");
    engine.close().await;
}

/// A clock that counts how often it was looked at, twice in a round.
static LOOKS: AtomicI64 = AtomicI64::new(0);
const BEGAN: i64 = NOON + 3_600_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_look_at_the_past_that_fails_is_repeated_long_before_its_next_turn() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, store) = database(dir.path()).await;
    let receipts = vec![receipt(1, 0, "{}"), receipt(1, 1, "{}"), receipt(1, 4, "{}")];
    store.insert(&Block { receipts, events: Vec::new() }).await.unwrap();
    let options = engine.connect_options("tokentrail");
    let sql =
        clickhouse::Client::default().with_url(options.url).with_user(options.user).with_password(options.password);
    let sql = sql.with_database(options.database);
    // What seals streams cannot be read: no round that looks at them ends.
    sql.query("RENAME TABLE raw_bodies TO hidden").execute().await.unwrap();
    let push = Some((Input::Webhook, vec!["acme".to_owned()], 10));
    let expected = Expected { source_id: "kc".into(), kind: SourceKind::Keycloak, push, pull: None };
    let clock = || BEGAN + LOOKS.fetch_add(1, Ordering::SeqCst);
    let place = (store.clone(), "default".to_owned());
    let keeper = Keeper::new(place, LATENESS, vec![expected], (clock, &Registry::new())).unwrap();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let running = tokio::spawn(async move { keeper.run(stopped).await });
    let began = Instant::now();
    let wait = async || {
        assert!(began.elapsed() < Duration::from_secs(120));
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    // The first round is over, and so are some that did not look that far.
    while LOOKS.load(Ordering::SeqCst) < 7 {
        wait().await;
    }
    assert_eq!(gaps(&store).await.iter().filter(|gap| gap.0 == "records_missing").count(), 0);
    sql.query("RENAME TABLE hidden TO raw_bodies").execute().await.unwrap();
    let mended = LOOKS.load(Ordering::SeqCst);
    let hole = loop {
        let found = store.gaps("default", i64::MAX).await.unwrap();
        match found.into_iter().find(|gap| gap.cause == "records_missing") {
            Some(hole) => break hole,
            None => wait().await,
        }
    };
    // No more than six rounds, and the one that was under way.
    let looks = hole.recorded_at - BEGAN - mended;
    assert!(looks <= 14, "after {looks} looks");
    stop.send(true).unwrap();
    running.await.unwrap();
    engine.close().await;
}
