//! Receipts: their fates, headers, bodies and streams.

use super::*;
use crate::support::Database;
use ::events::{
    normalise::{Dead, Ignored},
    receipt::{LinePlace, Payload, ReceiptHeader, TimeBasis},
};
use store::{Fate, Page};

#[tokio::test]
async fn fates_add_up_and_the_earliest_receipt_of_an_event_is_the_stored_one() {
    let database = Database::new().await;
    // b is pulled before it is pushed (stream 2 seq 0 is received at noon, stream 1 seq 1 later).
    let mut block = block(&[
        (1, 0, Input::Webhook, "a"),
        (1, 1, Input::Webhook, "b"),
        (1, 2, Input::Webhook, "a"),
        (2, 0, Input::Pull, "b"),
    ]);
    for (seq, fate) in
        [(3, Fate::Ignored(Ignored::Heartbeat)), (4, Fate::Dead(Dead::UnknownShape)), (5, Fate::Dead(Dead::NotJson))]
    {
        let mut stored = receipt(position(1, seq), Input::Webhook, "x");
        stored.fate = fate;
        block.receipts.push(stored);
    }
    // Three equal lines that nothing tells from repeats, and one that has a time of its own.
    for (seq, time_ns) in [(6, None), (7, None), (8, None), (9, Some(5))] {
        let mut stored = receipt(position(1, seq), Input::Lines, &format!("line{seq}"));
        stored.receipt.header.native_id = String::new();
        stored.receipt.header.delivery_keyed = false;
        stored.receipt.header.line = Some(LinePlace {
            instance: String::new(),
            number: 0,
            time_ns,
            basis: TimeBasis::Receipt,
            mark: "m".into(),
            backlog: false,
        });
        block.receipts.push(stored);
    }
    for _ in 0..2 {
        database.store.insert(&block).await.unwrap();
    }
    let fates = fates(&database.store).await;
    let of = |input: &str| fates.iter().find(|one| one.input == input).unwrap().clone();
    let webhook = of("webhook");
    assert_eq!((webhook.received, webhook.stored, webhook.duplicate), (6, 1, 2));
    assert_eq!((webhook.ignored, webhook.dead, webhook.possible_duplicate), (1, 2, 0));
    assert_eq!(
        webhook.reasons,
        [("heartbeat", 1), ("not_json", 1), ("unknown_shape", 1)].map(|(name, n)| (name.to_string(), n))
    );
    assert_eq!(webhook.last_received_at, NOON + 50);
    assert_eq!((of("pull").received, of("pull").stored), (1, 1));
    assert_eq!((of("lines").received, of("lines").stored, of("lines").possible_duplicate), (4, 4, 3));
}

#[tokio::test]
async fn headers_are_rebuilt_byte_for_byte_and_bodies_with_their_salts() {
    let database = Database::new().await;
    let mut block = Block::default();
    for seq in 0..64_u64 {
        let mut stored = receipt(position(1, seq), Input::ALL[seq as usize % Input::ALL.len()], "n");
        let header = &mut stored.receipt.header;
        let bit = |n: u32| seq & (1 << n) != 0;
        header.v = if bit(0) { 1 } else { 7 };
        header.payload = Payload::ALL[seq as usize % Payload::ALL.len()];
        header.native_id = if bit(1) { "quote\" \\ 日本 \u{0}".into() } else { String::new() };
        header.delivery_id = if bit(2) { "d".into() } else { String::new() };
        header.delivery_keyed = bit(3);
        header.delivery_index = u32::MAX - seq as u32;
        header.line = bit(4).then(|| LinePlace {
            instance: if bit(1) { "pod-1".into() } else { String::new() },
            number: seq as u32,
            time_ns: [None, Some(0), Some(-1), Some(i64::MAX)][seq as usize % 4],
            basis: TimeBasis::ALL[seq as usize % TimeBasis::ALL.len()],
            mark: String::new(),
            backlog: bit(5),
        });
        stored.receipt.body = vec![0xff, 0, seq as u8];
        stored.chain = bit(5).then_some([9; 32]);
        stored.enc = seq as u32;
        block.receipts.push(stored);
    }
    database.store.insert(&block).await.unwrap();
    let found = database.store.receipts_from(TENANT, position(1, 0), 1_000).await.unwrap();
    assert_eq!(found.len(), block.receipts.len());
    let bodies = database.store.bodies(TENANT, &found.iter().collect::<Vec<_>>()).await.unwrap();
    for ((found, stored), body) in found.iter().zip(&block.receipts).zip(bodies) {
        assert_eq!(found.header.to_bytes(), stored.receipt.header.to_bytes());
        assert_eq!(ReceiptHeader::from_bytes(&found.header.to_bytes()).unwrap(), stored.receipt.header);
        assert_eq!((found.position, found.commitment), (stored.receipt.position, stored.commitment));
        assert_eq!((found.chain, found.enc), (stored.chain, stored.enc));
        let body = body.unwrap();
        assert_eq!((body.body, body.salt, body.enc), (stored.receipt.body.clone(), stored.salt, stored.enc));
    }
}

#[tokio::test]
async fn the_same_position_with_another_commitment_is_kept_and_counted() {
    let database = Database::new().await;
    let mut block = block(&[(1, 0, Input::Webhook, "a"), (1, 1, Input::Webhook, "b")]);
    let mut other = block.receipts[1].clone();
    other.commitment[0] ^= 0x80;
    other.receipt.body = b"other".to_vec();
    block.receipts.push(other.clone());
    for _ in 0..2 {
        database.store.insert(&block).await.unwrap();
    }
    let found = database.store.receipts_at(TENANT, &[position(1, 1)]).await.unwrap();
    assert_eq!(found.len(), 2);
    let bodies = database.store.bodies(TENANT, &found.iter().collect::<Vec<_>>()).await.unwrap();
    for (one, body) in found.iter().zip(bodies) {
        assert_eq!(body.unwrap().body == b"other", one.commitment == other.commitment);
    }
    // Asked for together, in order of position, and nothing of what is not there.
    let places = [position(1, 9), position(1, 1), position(1, 0)];
    let found = database.store.receipts_at(TENANT, &places).await.unwrap();
    assert_eq!(found.iter().map(|one| one.position.seq).collect::<Vec<_>>(), [0, 1, 1]);
    assert_eq!(database.store.receipts_at(TENANT, &[]).await.unwrap(), []);
    assert_eq!(database.store.bodies(TENANT, &[]).await.unwrap(), []);
    let streams = database.store.streams(TENANT).await.unwrap();
    assert_eq!((streams[0].seqs, streams[0].contested, streams[0].missing.len()), (2, 1, 0));
    fates(&database.store).await;
}

#[tokio::test]
async fn streams_name_what_is_missing() {
    let database = Database::new().await;
    let mut entries: Vec<_> = [2_u64, 3, 7, 9].map(|seq| (1_u8, seq, Input::Webhook, "a")).into();
    entries.extend([0, 1, 2].map(|seq| (2_u8, seq, Input::Webhook, "a")));
    database.store.insert(&block(&entries)).await.unwrap();
    let streams = database.store.streams(TENANT).await.unwrap();
    let of = |stream: u8| streams.iter().find(|one| one.stream == position(stream, 0).stream).unwrap().clone();
    assert_eq!(of(1).missing, [(0, 1), (4, 6), (8, 8)]);
    assert_eq!((of(1).last_seq, of(1).seqs), (9, 4));
    assert!(of(2).missing.is_empty());
    let range = database.store.count_range(TENANT, position(1, 0).stream, (3, 8)).await.unwrap();
    assert_eq!((range.seqs, range.contested), (2, 0));
}

#[tokio::test]
async fn dead_letters_are_listed_until_a_newer_verdict() {
    let database = Database::new().await;
    let mut block = Block::default();
    for seq in 0..5 {
        let mut stored = receipt(position(1, seq), Input::Webhook, "x");
        stored.fate = Fate::Dead(Dead::MissingField);
        block.receipts.push(stored);
    }
    database.store.insert(&block).await.unwrap();
    let first = database.store.dead_letters(TENANT, &Page { after: None, limit: 3 }).await.unwrap();
    let rest = database.store.dead_letters(TENANT, &Page { after: Some(first[2].position), limit: 3 }).await.unwrap();
    let seqs: Vec<u64> = first.iter().chain(&rest).map(|one| one.position.seq).collect();
    assert_eq!(seqs, [0, 1, 2, 3, 4]);
    assert_eq!(first[0].reason, "missing_field");
    // A later normaliser understands the second one.
    let sql = "INSERT INTO receipt_rows SELECT * REPLACE ('ignored' AS fate, 'state' AS reason, normaliser + 1 AS normaliser) FROM receipt_rows WHERE seq = 1";
    database.sql().query(sql).execute().await.unwrap();
    database.store.insert(&block).await.unwrap();
    let left = database.store.dead_letters(TENANT, &Page { after: None, limit: 9 }).await.unwrap();
    assert_eq!(left.iter().map(|one| one.position.seq).collect::<Vec<_>>(), [0, 2, 3, 4]);
}
