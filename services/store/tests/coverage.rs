//! How complete each source is, on a real engine: heartbeats come back, watermarks only move forward, gaps keep the last
//! word, minutes are counted.
#![allow(clippy::unwrap_used)]

mod support;

use events::receipt::Input;
use store::{Block, Fate, Gap, Records, SeenHeartbeat, SentHeartbeat, Watermark};
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
