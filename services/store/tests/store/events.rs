//! Events: written in any order and by several normalisers, merged from their inputs.

use super::*;
use crate::support::Database;
use ::events::{event::Outcome, person::PersonKey};

/// A small generator of reproducible numbers (SplitMix64).
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }
}

#[tokio::test]
async fn any_order_and_any_repetition_of_blocks_gives_the_same_rows() {
    let blocks = [
        block(&[(1, 0, Input::Webhook, "a"), (1, 1, Input::Webhook, "b"), (1, 2, Input::Webhook, "a")]),
        block(&[(2, 0, Input::Pull, "b"), (2, 1, Input::Pull, "c")]),
        block(&[(1, 3, Input::Webhook, "c"), (1, 4, Input::Webhook, "d")]),
    ];
    let first = Database::new().await;
    for block in &blocks {
        first.store.insert(block).await.unwrap();
    }
    let (expected_events, expected_fates) = (all(&first.store).await, fates(&first.store).await);
    assert_eq!(expected_events.len(), 4);
    assert_eq!(expected_events.iter().filter(|one| one.inputs == [Input::Webhook, Input::Pull]).count(), 2);
    for seed in 0..6 {
        let mut seeded = Seeded(seed);
        let database = Database::new().await;
        let mut left = vec![0, 1, 2];
        while !left.is_empty() {
            let pick = seeded.below(left.len());
            database.store.insert(&blocks[left[pick]]).await.unwrap();
            if seeded.below(2) == 0 {
                left.remove(pick);
            }
            if seeded.below(3) == 0 {
                for table in ["event_rows", "receipt_rows"] {
                    database.sql().query(&format!("OPTIMIZE TABLE {table} FINAL")).execute().await.unwrap();
                }
            }
        }
        assert_eq!(all(&database.store).await, expected_events, "seed {seed}");
        assert_eq!(fates(&database.store).await, expected_fates, "seed {seed}");
    }
}

#[tokio::test]
async fn inputs_add_to_each_other_and_contradictions_are_flagged() {
    let database = Database::new().await;
    let mut block = block(&[
        (1, 0, Input::Pull, "a"),
        (1, 1, Input::Webhook, "a"),
        (1, 2, Input::Pull, "b"),
        (1, 3, Input::Webhook, "b"),
    ]);
    block.events[0].session_id = "pulled".into();
    block.events[0].realm_id = "id".into();
    block.events[0].details = [("both", "pull"), ("only", "pull")].map(|(k, v)| (k.into(), v.into())).into();
    block.events[1].person_name = "alice".into();
    block.events[1].details = [("both", "webhook")].map(|(k, v)| (k.into(), v.into())).into();
    block.events[2].outcome = Outcome::Failure;
    block.events[3].outcome = Outcome::Success;
    block.events[3].time += 1;
    database.store.insert(&block).await.unwrap();
    let events = all(&database.store).await;
    let of = |native: &str| events.iter().find(|one| one.event.native_id == native).unwrap().clone();
    let merged = of("a");
    assert_eq!(merged.inputs, [Input::Webhook, Input::Pull]);
    assert_eq!((merged.event.session_id.as_str(), merged.event.person_name.as_str()), ("pulled", "alice"));
    assert_eq!(merged.event.realm_id, "id");
    assert_eq!(
        merged.event.details.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>(),
        ["both=webhook", "only=pull"]
    );
    assert_eq!((merged.conflicts.len(), merged.event.receipt), (0, position(1, 0)));
    let conflict = of("b");
    assert_eq!(conflict.conflicts, ["time", "outcome"]);
    assert_eq!((conflict.event.outcome, conflict.event.time), (Outcome::Success, NOON + 1));
}

#[tokio::test]
async fn an_event_comes_back_as_it_went_in() {
    let database = Database::new().await;
    let stored = receipt(position(1, 0), Input::Lines, "a");
    let mut full = event(&stored);
    full.person = Some(PersonKey("0123456789abcdef0123456789abcdef".into()));
    full.actor = full.person.clone();
    full.actor_id = "u-1".into();
    full.person_id = "u-1".into();
    full.person_name = "alice".into();
    full.actor_name = "bob".into();
    full.session_id = "s".into();
    full.code_id = "s".into();
    full.time_min = NOON - 5;
    full.time_max = NOON + 7;
    full.owner_refs = vec!["group:default/ops".into(), "user:default/alice".into()];
    full.personal = [("note", "è")].map(|(k, v)| (k.into(), v.into())).into();
    full.ordinal = 3;
    let block = Block { receipts: vec![stored], events: vec![full.clone()] };
    database.store.insert(&block).await.unwrap();
    let events = all(&database.store).await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].event, full);
}

#[tokio::test]
async fn a_newer_normaliser_replaces_an_older_one_even_where_it_moves_or_empties_fields() {
    let database = Database::new().await;
    let old = block(&[(1, 0, Input::Lines, "a")]);
    let mut new = old.clone();
    let mut old = old;
    old.events[0].person_name = "wrong".into();
    old.events[0].time += 40 * 86_400_000;
    new.events[0].normaliser += 1;
    // The newer one first, then a replay of the older one.
    database.store.insert(&new).await.unwrap();
    database.store.insert(&old).await.unwrap();
    let found = trace(&database.store, Term::Event(new.events[0].event_id)).await;
    assert_eq!(found, new.events);
}

#[tokio::test]
async fn events_of_two_months_in_one_block_are_all_there() {
    let database = Database::new().await;
    let december = 1_796_083_200_000;
    let mut block = block(&[(1, 0, Input::Webhook, "a"), (1, 1, Input::Webhook, "b"), (1, 2, Input::Webhook, "a")]);
    block.events[0].time = december - 1;
    block.events[2].time = december - 1;
    block.events[1].time = december;
    block.receipts[0].receipt.header.received_at = december - 1;
    block.receipts[1].receipt.header.received_at = december;
    for _ in 0..2 {
        database.store.insert(&block).await.unwrap();
    }
    let times: Vec<i64> = all(&database.store).await.iter().map(|one| one.event.time).collect();
    assert_eq!(times, [december - 1, december]);
    let parts: Vec<String> = database
        .sql()
        .query("SELECT DISTINCT partition FROM system.parts WHERE database = currentDatabase() AND table IN ('event_rows', 'receipt_rows') AND active ORDER BY 1")
        .fetch_all()
        .await
        .unwrap();
    assert_eq!(parts, ["202611", "202612"]);
}
