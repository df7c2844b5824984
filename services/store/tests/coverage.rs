//! How complete each source is, on a real engine: heartbeats come back, watermarks only move forward, gaps keep the last
//! word, minutes are counted.
#![allow(clippy::unwrap_used)]

mod support;

use events::receipt::Input;
use store::{Block, Fate, Gap, Records, Rolling, SeenHeartbeat, SentHeartbeat, Watermark};
use support::{Database, NOON, TENANT, event, position, receipt};

const MINUTE: i64 = 60_000;
const CLOCK: i64 = 10 * MINUTE;

/// Not a test: where the shared engine's child process begins.
#[test]
fn engine_child() {
    store::engine::run_if_asked();
}

fn sent(at: i64, id: &str) -> SentHeartbeat {
    SentHeartbeat {
        tenant: TENANT.into(),
        source_id: "kc".into(),
        sent_at: at,
        scope: "acme".into(),
        id: id.into(),
        state: if id.is_empty() { "unreachable" } else { "sent" }.into(),
    }
}

/// A service account's login with this token, as it came by `input`.
fn login(block: &mut Block, seq: u64, input: Input, (token, time): (&str, i64)) {
    let mut stored = receipt(position(1, seq), input, &format!("login-{token}"));
    let mut event = event(&stored);
    (event.native_type, event.token_id, event.time) = ("CLIENT_LOGIN".into(), token.into(), time);
    stored.fate = Fate::event(&stored.receipt.header, &event);
    block.events.push(event);
    block.receipts.push(stored);
}

#[tokio::test]
async fn a_heartbeat_is_found_by_the_id_of_its_token_and_by_nothing_else() {
    let database = Database::new().await;
    let store = &database.store;
    let beats =
        vec![sent(NOON, "t1"), sent(NOON + MINUTE, "t2"), sent(NOON + 2 * MINUTE, ""), sent(NOON + 3 * MINUTE, "t3")];
    store.put_records(&Records { sent: beats.clone(), ..Records::default() }).await.unwrap();
    let mut block = Block::default();
    login(&mut block, 0, Input::Webhook, ("t1", NOON + 40));
    login(&mut block, 1, Input::Pull, ("t1", NOON + 40));
    // The same service account, but no heartbeat of ours: a stolen secret must not look like one.
    login(&mut block, 2, Input::Webhook, ("stolen", NOON + MINUTE));
    login(&mut block, 3, Input::Pull, ("t3", NOON + 3 * MINUTE));
    store.insert(&block).await.unwrap();
    for _ in 0..2 {
        for input in [Input::Webhook, Input::Pull] {
            store.find_heartbeats((TENANT, "kc"), input, (NOON - MINUTE, CLOCK)).await.unwrap();
        }
        // A block that is written again writes its records again.
        store.put_records(&Records { sent: beats.clone(), ..Records::default() }).await.unwrap();
    }
    let found = store.heartbeats(TENANT, "kc", NOON).await.unwrap();
    let seen: Vec<Vec<&str>> = found
        .iter()
        .map(|beat| {
            let mut inputs: Vec<&str> = beat.seen.iter().map(|(input, ..)| input.as_str()).collect();
            inputs.sort_unstable();
            inputs
        })
        .collect();
    assert_eq!(seen, [vec!["pull", "webhook"], vec![], vec![], vec!["pull"]], "{found:?}");
    let first = found[0].seen.iter().find(|(input, ..)| input == "webhook").unwrap();
    assert_eq!((first.1, first.2), (NOON + 40, NOON), "time at the source, arrival here");
    assert_eq!(found[2].state, "unreachable");
    assert!(store.heartbeats(TENANT, "kc", NOON + 4 * MINUTE).await.unwrap().is_empty());
    let rows: u64 = database.sql().query("SELECT count() FROM heartbeat_seen_rows").fetch_one().await.unwrap();
    assert_eq!(rows, 3, "what was found once is not looked for again");
}

#[tokio::test]
async fn of_several_arrivals_the_first_counts() {
    let database = Database::new().await;
    let seen = |received_at| SeenHeartbeat {
        tenant: TENANT.into(),
        source_id: "kc".into(),
        time: NOON,
        id: "n1".into(),
        input: "lines".into(),
        received_at,
    };
    for received_at in [NOON + 90, NOON + 30, NOON + 60] {
        let records = Records { sent: vec![sent(NOON, "n1")], seen: vec![seen(received_at)], ..Records::default() };
        database.store.put_records(&records).await.unwrap();
    }
    let found = database.store.heartbeats(TENANT, "kc", NOON).await.unwrap();
    assert_eq!(found[0].seen, [("lines".to_owned(), NOON, NOON + 30)]);
}

#[tokio::test]
async fn watermarks_move_forward_only_and_gaps_keep_the_last_word() {
    let database = Database::new().await;
    let mut first = Block::default();
    login(&mut first, 0, Input::Pull, ("t", NOON));
    database.store.insert(&first).await.unwrap();
    for watermark in [500, 900, 700] {
        let one = Watermark {
            tenant: TENANT.into(),
            source_id: "kc".into(),
            input: Input::Pull,
            watermark,
            recorded_at: NOON,
        };
        database.store.put_watermarks(&[one]).await.unwrap();
    }
    let marks = database.store.watermarks(TENANT).await.unwrap();
    assert_eq!(marks.len(), 1);
    assert_eq!((marks[0].input, marks[0].watermark), (Input::Pull, 900));
    let gap = |since: i64, recorded_at: i64| Gap {
        tenant: TENANT.into(),
        source_id: "kc".into(),
        scope: "acme".into(),
        input: "webhook".into(),
        since,
        cause: "silent".into(),
        until: (recorded_at > 1).then_some(9),
        missing: None,
        repaired_at: (recorded_at > 2).then_some(11),
        repaired_by: if recorded_at > 2 { "pull" } else { "" }.into(),
        recorded_at,
    };
    for recorded_at in [2, 1] {
        database.store.put_gaps(&[gap(5, recorded_at)]).await.unwrap();
    }
    assert_eq!(database.store.gaps(TENANT, 100).await.unwrap(), [gap(5, 2)]);
    database.store.put_gaps(&[gap(5, 3), gap(7, 1)]).await.unwrap();
    assert_eq!(database.store.gaps(TENANT, 100).await.unwrap(), [gap(7, 1)], "a repaired gap is history");
    assert_eq!(database.store.gaps(TENANT, 5).await.unwrap(), [gap(5, 3), gap(7, 1)]);
}

#[tokio::test]
async fn coverage_counts_each_minute_with_its_heartbeats() {
    let database = Database::new().await;
    let store = &database.store;
    let mut block = Block::default();
    login(&mut block, 0, Input::Webhook, ("t1", NOON + 10));
    login(&mut block, 1, Input::Pull, ("t1", NOON + 10));
    login(&mut block, 2, Input::Webhook, ("x", NOON + 20));
    login(&mut block, 3, Input::Webhook, ("y", NOON + MINUTE + 20));
    store.insert(&block).await.unwrap();
    let beats = vec![sent(NOON, "t1"), sent(NOON + MINUTE, "t2")];
    store.put_records(&Records { sent: beats, ..Records::default() }).await.unwrap();
    store.find_heartbeats((TENANT, "kc"), Input::Pull, (NOON, CLOCK)).await.unwrap();
    let sql = "SELECT toInt64(toUnixTimestamp(minute)) * 1000, heartbeats, heartbeats_seen, lag_ms, at_source, stored FROM coverage WHERE source_id = 'kc' ORDER BY minute";
    type Minute = (i64, u64, u64, Option<i64>, Option<u64>, u64);
    let minutes: Vec<Minute> = database.sql().query(sql).fetch_all().await.unwrap();
    assert_eq!(
        minutes,
        [(NOON, 1, 1, Some(10), Some(1), 2), (NOON + MINUTE, 1, 0, None, None, 1)],
        "time, sent, seen, lag, at the source, stored"
    );
}

/// The overview's view, of what is kept, against the one that counts: of whole hours, and once they were looked at.
#[tokio::test]
async fn kept_hours_of_completeness_are_those_that_are_counted_also_when_something_comes_late() {
    const HOUR: i64 = 60 * MINUTE;
    let database = Database::new().await;
    let store = &database.store;
    let seen = |n: i64| SeenHeartbeat {
        tenant: TENANT.into(),
        source_id: "kc".into(),
        time: NOON + n * 20 * MINUTE + 40,
        id: format!("h{n}"),
        input: "webhook".into(),
        received_at: NOON + n * 20 * MINUTE + 90,
    };
    let beats = (0..9).map(|n| sent(NOON + n * 20 * MINUTE, &format!("h{n}"))).chain([sent(NOON + 5 * MINUTE, "")]);
    let records = Records { sent: beats.collect(), seen: [0, 1, 4, 8].map(seen).into(), ..Records::default() };
    store.put_records(&records).await.unwrap();
    let mut block = Block::default();
    for (seq, minute) in [(0, 1), (1, 2), (2, 70), (3, 71), (4, 140)] {
        login(&mut block, seq, Input::Webhook, (&format!("t{seq}"), NOON + minute * MINUTE));
    }
    store.insert(&block).await.unwrap();
    let gap = Gap {
        tenant: TENANT.into(),
        source_id: "kc".into(),
        scope: "acme".into(),
        input: "webhook".into(),
        since: NOON + 30 * MINUTE,
        cause: "silent".into(),
        until: Some(NOON + 50 * MINUTE),
        missing: None,
        repaired_at: None,
        repaired_by: String::new(),
        recorded_at: NOON + HOUR,
    };
    store.put_gaps(&[gap]).await.unwrap();
    let rolled = async || {
        store.roll(&Rolling { quiet: std::time::Duration::ZERO, cells: usize::MAX }).await.unwrap();
    };
    let table = async |view: &str, (from, to): (i64, i64)| -> Vec<String> {
        let sql = format!("SELECT toString(tuple(*)) FROM {view}(from = {from}, to = {to}) ORDER BY ALL");
        database.sql().query(&sql).fetch_all().await.unwrap()
    };
    let agree = async |when: &str| {
        for (first, end) in [(-1, 5), (0, 1), (1, 2), (2, 3), (1, 3), (4, 5)] {
            let span = (NOON + first * HOUR, NOON + end * HOUR);
            let counted = table("continuity_in", span).await;
            assert_eq!(table("kept_continuity_in", span).await, counted, "{when}: {first} to {end}");
        }
    };
    let written =
        async || -> u64 { database.sql().query("SELECT count() FROM continuity_hour_rows").fetch_one().await.unwrap() };
    rolled().await;
    let whole = (NOON - HOUR, NOON + 5 * HOUR);
    assert_ne!(table("kept_continuity_in", whole).await, table("continuity_in", whole).await, "nothing is kept yet");
    store.keep_continuity(TENANT, (0, i64::MAX)).await.unwrap();
    agree("kept").await;
    assert_eq!(written().await, 3, "an hour each");
    store.keep_continuity(TENANT, (0, i64::MAX)).await.unwrap();
    assert_eq!(written().await, 3, "what is the same is not written again");

    // A heartbeat is found, and a login told, after their hours were kept.
    store.put_records(&Records { seen: vec![seen(2)], ..Records::default() }).await.unwrap();
    let mut late = Block::default();
    login(&mut late, 5, Input::Pull, ("late", NOON + 3 * MINUTE));
    store.insert(&late).await.unwrap();
    rolled().await;
    store.keep_continuity(TENANT, (NOON + MINUTE, NOON + 2 * MINUTE)).await.unwrap();
    agree("late").await;
    assert_eq!(written().await, 4, "the hour that a span touches, and no other");
}
