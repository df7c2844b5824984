//! Replays on a real engine: a mended normaliser's rows replace, join and delete older ones, and nothing else changes.
#![allow(clippy::unwrap_used)] // a test may panic

mod acts;
mod history;
mod law;
mod orders;
mod seen;
#[path = "../../../store/tests/support/mod.rs"]
mod support;

use events::{
    normalise::{Dead, Ignored, Normalised},
    receipt::Input,
};
use law::{Law, arrived, first, law, read, say, webhooks};
use pipeline::replay::{EventCounts, Mode, Summary, Unreadable, UnreadableReceipt};
use seen::{DAY, change, kinds, merge, parts, seen, text};
use std::time::Duration;
use store::{DeadLetters, Page, Rolling, Selection, Watermark};
use support::{Database, NOON, TENANT, position};

/// Not a test: where the shared engine's child process begins.
#[test]
fn engine_child() {
    store::engine::run_if_asked();
}

/// Nothing that came in is an event.
fn nothing() -> Law {
    law(2, |_| Normalised::Ignored(Ignored::PlainLine))
}

#[tokio::test]
async fn a_normaliser_that_yields_the_same_changes_no_byte_of_any_event() {
    let database = Database::new().await;
    let mut receipts = webhooks(&["a login", "b logout", "a login", "c riddle"]);
    receipts.push(arrived(position(2, 0), Input::Pull, "b logout"));
    database.store.insert(&first().block(&receipts)).await.unwrap();
    let watermark =
        Watermark { tenant: TENANT.into(), source_id: "kc".into(), input: Input::Pull, watermark: 9, recorded_at: 9 };
    database.store.put_watermarks(&[watermark]).await.unwrap();
    merge(&database).await;
    let but = "SELECT * EXCEPT (normaliser) FROM events ORDER BY time, event_id";
    let others = "SELECT * FROM raw_bodies ORDER BY ALL";
    let all_fates = "SELECT * FROM fates ORDER BY source_id, input";
    let (before, fates) = (text(&database, but).await, text(&database, all_fates).await);
    let (bodies, written) = (text(&database, others).await, parts(&database).await);

    // The same version: nothing is written.
    let same = first().replay(&database.store, &Selection::default()).await;
    assert!(same.changes_nothing(), "{same:?}");
    assert_eq!((same.receipts.selected, same.receipts.current), (5, 5));
    assert_eq!(parts(&database).await, written, "not a part was written");

    // A newer version with the same opinion: only the version moves.
    let newer = Law { version: 2, ..first() };
    let summary = newer.replay(&database.store, &Selection::default()).await;
    assert_eq!(change(&summary), [("dead", "dead", 1), ("event", "event", 4)]);
    assert_eq!(summary.events, EventCounts { unchanged: 3, repeated: 1, ..EventCounts::default() });
    assert_eq!(text(&database, but).await, before);
    assert_eq!(text(&database, all_fates).await, fates);
    assert_eq!(text(&database, others).await, bodies);
    let normalisers: Vec<u32> =
        database.sql().query("SELECT DISTINCT normaliser FROM events").fetch_all().await.unwrap();
    assert_eq!(normalisers, [2]);
    let watermarks: Vec<i64> =
        database.sql().query("SELECT toUnixTimestamp64Milli(watermark) FROM watermarks").fetch_all().await.unwrap();
    assert_eq!(watermarks, [9]);

    // An older one has no say.
    let older = first().replay(&database.store, &Selection::default()).await;
    assert_eq!((older.receipts.newer, older.changes_nothing()), (5, true));
}

#[tokio::test]
async fn what_is_no_longer_an_event_goes_and_its_receipt_is_ignored() {
    let database = Database::new().await;
    let receipts = webhooks(&["a login", "b logout", "c login", "d logout", "d logout"]);
    database.store.insert(&first().block(&receipts)).await.unwrap();
    let mended = law(2, |receipt| match read(receipt) {
        (_, kind) if kind == "logout" => Normalised::Ignored(Ignored::PlainLine),
        (native, kind) => say(receipt, &native, (&[&kind], 0)),
    });
    let dry = mended.try_replay(&database.store, &Selection::default(), Mode::DryRun).await;
    assert_eq!(kinds(&database).await.len(), 4, "a dry run writes nothing");
    let done = mended.replay(&database.store, &Selection::default()).await;
    assert_eq!(Summary { dry_run: false, ..dry }, done, "a dry run says what will be");
    assert_eq!(change(&done), [("event", "event", 2), ("event", "ignored", 3)]);
    assert_eq!(done.events, EventCounts { unchanged: 2, deleted: 2, ..EventCounts::default() });
    // Counts follow, also rolled up by another program, which need not wait for the marks of this one.
    let rolled = Rolling { quiet: Duration::ZERO, cells: usize::MAX };
    assert!(database.another().roll(&rolled).await.unwrap().cells > 0);
    assert_eq!(text(&database, "SELECT * FROM open_cells").await, "");
    for _ in 0..2 {
        assert_eq!(kinds(&database).await, ["a login", "c login"]);
        let fates = database.store.fates(TENANT).await.unwrap();
        assert_eq!((fates[0].received, fates[0].stored, fates[0].ignored), (5, 2, 3));
        assert_eq!(fates[0].reasons, [("plain_line".to_owned(), 3)]);
        merge(&database).await;
    }
    // What an older program writes late loses.
    database.store.insert(&first().block(&receipts)).await.unwrap();
    assert_eq!(kinds(&database).await, ["a login", "c login"]);
}

#[tokio::test]
async fn events_move_in_time_and_kind_get_company_and_change_ids() {
    let database = Database::new().await;
    let receipts = webhooks(&["a login", "b logout", "c login", "d other"]);
    database.store.insert(&first().block(&receipts)).await.unwrap();
    let mended = law(2, |receipt| match read(receipt).0.as_str() {
        "a" => say(receipt, "a", (&["login"], 40 * DAY)),
        "b" => say(receipt, "b", (&["timeout"], 0)),
        "c" => say(receipt, "c", (&["login", "login_detail"], 0)),
        _ => say(receipt, "e", (&["other"], 0)),
    });
    let summary = mended.replay(&database.store, &Selection::default()).await;
    assert_eq!(summary.events, EventCounts { unchanged: 1, changed: 2, new: 2, repeated: 0, deleted: 1 });
    let fresh = Database::new().await;
    fresh.store.insert(&mended.block(&receipts)).await.unwrap();
    let now = seen(&database).await;
    assert_eq!(now, seen(&fresh).await);
    assert_eq!(kinds(&database).await.len(), 5);
    assert_eq!(now.by_day[0].matches("\"native_id\":\"a\"").count(), 0, "nothing stands where the event stood before");
    assert_eq!(now.by_day[2].matches("\"native_id\":\"a\"").count(), 1);
}

#[tokio::test]
async fn dead_letters_are_retried_alone() {
    let database = Database::new().await;
    let receipts = webhooks(&["a riddle", "b login", "c riddle", "d riddle"]);
    database.store.insert(&first().block(&receipts)).await.unwrap();
    let solved = law(2, |receipt| match read(receipt) {
        (native, _) if native == "d" => Normalised::Dead(Dead::MissingField),
        (native, _) => say(receipt, &native, (&["solved"], 0)),
    });
    let other = Selection { dead: DeadLetters::Because("not_json".into()), ..Selection::default() };
    assert_eq!(solved.replay(&database.store, &other).await.receipts.selected, 0);
    let dead = Selection { dead: DeadLetters::Only, ..Selection::default() };
    let summary = solved.replay(&database.store, &dead).await;
    assert_eq!(change(&summary), [("dead", "dead", 1), ("dead", "event", 2)]);
    assert_eq!(summary.events, EventCounts { new: 2, ..EventCounts::default() });
    assert_eq!(kinds(&database).await, ["a solved", "b login", "c solved"], "the login was not asked again");
    let left = database.store.dead_letters(TENANT, &Page { after: None, limit: 9 }).await.unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!((left[0].position.seq, left[0].reason.as_str(), left[0].normaliser), (3, "missing_field", 2));
}

#[tokio::test]
async fn a_body_that_is_not_the_committed_one_is_named_and_left_alone() {
    let database = Database::new().await;
    let mut receipts = webhooks(&["a login", "b login", "c login", "d login"]);
    receipts[3].enc = 7;
    database.store.insert(&first().block(&receipts)).await.unwrap();
    // As somebody with write access would: the same key, another body.
    let mut forged = receipts[1].clone();
    forged.receipt.body = b"b logout".to_vec();
    let forged = store::Block { receipts: first().block(&[forged]).receipts, events: Vec::new() };
    database.store.insert(&forged).await.unwrap();
    database.sql().query("DELETE FROM raw_bodies WHERE seq = 2").execute().await.unwrap();
    let summary = nothing().replay(&database.store, &Selection::default()).await;
    let unreadable = |seq, why| UnreadableReceipt { receipt: position(1, seq), why };
    assert_eq!(
        summary.unreadable,
        [unreadable(1, Unreadable::Tampered), unreadable(2, Unreadable::NoBody), unreadable(3, Unreadable::Encrypted)]
    );
    let counts = &summary.receipts;
    assert_eq!((counts.judged, counts.tampered, counts.no_body, counts.encrypted), (1, 1, 1, 1));
    assert_eq!(kinds(&database).await, ["b login", "c login", "d login"], "what cannot be judged stands as it stood");
    let bodies: u64 = database.sql().query("SELECT count() FROM raw_bodies FINAL").fetch_one().await.unwrap();
    assert_eq!(bodies, 3, "an erased body does not come back");
}

#[tokio::test]
async fn in_a_part_of_the_range_an_event_goes_with_the_receipt_that_it_stands_by() {
    let database = Database::new().await;
    let receipts = webhooks(&["a login", "a login", "b login"]);
    // Each in a part of its own: within one, ClickHouse drops the repeat's row at once.
    for one in &receipts {
        database.store.insert(&first().block(std::slice::from_ref(one))).await.unwrap();
    }
    let only = |seq| Selection {
        stream: Some(position(1, 0).stream),
        first: Some(seq),
        last: Some(seq),
        ..Selection::default()
    };
    for merged in [false, true] {
        if merged {
            merge(&database).await;
        }
        let repeat = nothing().replay(&database.store, &only(1)).await;
        assert_eq!(repeat.events.deleted, 0);
        assert_eq!(kinds(&database).await, ["a login", "b login"], "the first receipt still vouches for it");
    }
    assert_eq!(nothing().replay(&database.store, &only(0)).await.events.deleted, 1);
    assert_eq!(kinds(&database).await, ["b login"], "and nothing out of the range changed");
}

#[tokio::test]
async fn what_an_older_program_left_of_receipts_that_the_flow_wrote_again_goes_too() {
    let database = Database::new().await;
    let receipts = webhooks(&["a login", "b login"]);
    // Stored but not committed before the program was replaced by a newer one: the journal brings the block again.
    database.store.insert(&first().block(&receipts)).await.unwrap();
    database.store.insert(&nothing().block(&receipts)).await.unwrap();
    assert_eq!(kinds(&database).await.len(), 2);
    let summary = nothing().replay(&database.store, &Selection::default()).await;
    assert_eq!((summary.receipts.current, summary.receipts.judged, summary.events.deleted), (2, 0, 2));
    assert!(kinds(&database).await.is_empty());
}

#[tokio::test]
async fn a_position_that_was_written_twice_is_judged_as_a_whole() {
    let database = Database::new().await;
    let mut receipts = webhooks(&["a login", "b login"]);
    receipts.push(arrived(position(1, 1), Input::Pull, "c login"));
    database.store.insert(&first().block(&receipts)).await.unwrap();
    let paths = database.store.paths(TENANT, NOON + DAY).await.unwrap();
    assert_eq!((paths[0].push_only, paths[0].pull_only), (2, 1));
    let pulled = Selection { input: Some(Input::Pull), ..Selection::default() };
    let summary = nothing().replay(&database.store, &pulled).await;
    assert_eq!((summary.receipts.judged, summary.events.deleted), (2, 2), "both receipts of the position");
    assert_eq!(kinds(&database).await, ["a login"]);
    assert!(
        database.store.paths(TENANT, NOON + DAY).await.unwrap().is_empty(),
        "pull brought nothing that is an event"
    );
}

#[tokio::test]
async fn a_stream_that_is_not_there_is_an_error_and_an_empty_range_is_not() {
    let database = Database::new().await;
    database.store.insert(&first().block(&webhooks(&["a login"]))).await.unwrap();
    let nowhere = Selection { stream: Some(position(9, 0).stream), ..Selection::default() };
    let error = nothing().run(&database.store, &nowhere).await.unwrap_err().to_string();
    assert!(error.contains(&position(9, 0).stream.to_string()), "{error}");
    let never = Selection { since: Some(NOON + DAY), ..Selection::default() };
    assert_eq!(nothing().replay(&database.store, &never).await.receipts.selected, 0);
}
