//! Whatever happened to a store before, after a whole replay it is what the new normaliser would have made from the start.

use crate::{
    law::{Law, arrived, law, read, say},
    seen::{DAY, merge, seen},
    support::{Database, NOON, position},
};
use events::{
    normalise::{Dead, Ignored, Normalised},
    receipt::Input,
};
use store::{DeadLetters, Selection, StoredReceipt};

/// A small generator of reproducible numbers (SplitMix64).
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }

    fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len() as u64) as usize]
    }
}

/// A normaliser without sense: anything may become anything, but always the same.
fn senseless(version: u32) -> Law {
    law(version, move |receipt| {
        let mut dice = Seeded(u64::from(version) << 32);
        for byte in &receipt.body {
            dice.0 = dice.0.wrapping_mul(31).wrapping_add(u64::from(*byte));
        }
        let native = read(receipt).0;
        match dice.below(8) {
            0 => Normalised::Dead(dice.pick(&[Dead::UnknownShape, Dead::MissingField])),
            1 => Normalised::Ignored(dice.pick(&[Ignored::PlainLine, Ignored::State])),
            _ => {
                let kinds: Vec<&str> = (0..=dice.below(3)).map(|_| dice.pick(&["login", "logout", "other"])).collect();
                let native = if dice.below(4) == 0 { format!("{native}-moved") } else { native };
                say(receipt, &native, (&kinds, dice.pick(&[0, 0, 1, 2 * DAY, 40 * DAY])))
            }
        }
    })
}

fn random_receipts(dice: &mut Seeded) -> Vec<StoredReceipt> {
    let mut receipts = Vec::new();
    for stream in 1..=2 {
        for seq in 0..20 {
            // Few names, so that receipts repeat each other, with bodies that differ a little.
            let body = format!("n{} v{}", dice.below(6), dice.below(3));
            let input = dice.pick(&[Input::Webhook, Input::Webhook, Input::Pull]);
            receipts.push(arrived(position(stream, seq), input, &body));
        }
    }
    receipts
}

fn random_selection(dice: &mut Seeded) -> Selection {
    let from = dice.below(20);
    let base = Selection::default();
    match dice.below(6) {
        0 => base,
        1 => Selection { source_id: Some("kc".into()), last: Some(from), ..base },
        2 => Selection { first: Some(from), ..base },
        3 => Selection { last: Some(from), input: Some(Input::Pull), ..base },
        4 => Selection { dead: DeadLetters::Only, ..base },
        _ => Selection { since: Some(NOON + 70), until: Some(NOON + 70 + dice.below(100) as i64), ..base },
    }
}

/// Anything that may happen to a store between two normalisers.
async fn happen(database: &Database, dice: &mut Seeded, (laws, receipts): (&[Law; 2], &[StoredReceipt])) {
    let store = &database.store;
    let cut = dice.below(receipts.len() as u64 - 5) as usize;
    let some = &receipts[cut..cut + 5];
    let selection = random_selection(dice);
    match dice.below(8) {
        0 | 1 => store.insert(&laws[0].block(some)).await.unwrap(),
        2 => store.insert(&laws[1].block(some)).await.unwrap(),
        3 | 4 => drop(laws[1].replay(store, &selection).await),
        5 => {
            let whole = Selection::default();
            let _ = tokio::join!(laws[1].replay(store, &selection), laws[1].replay(store, &whole));
        }
        6 => {
            // As kill -9: the moment is the one thing here that is no condition. What was sent may land or not.
            let moment = std::time::Duration::from_millis(dice.below(80));
            let _ = tokio::time::timeout(moment, laws[1].replay(store, &selection)).await;
        }
        _ => merge(database).await,
    }
}

#[tokio::test]
async fn after_a_whole_replay_all_is_as_if_the_new_normaliser_had_always_been_there() {
    let seeds: u64 = std::env::var("TOKENTRAIL_REPLAY_SEEDS").map_or(4, |n| n.parse().expect("a number of seeds"));
    let laws = [senseless(1), senseless(2)];
    let mut deleted = 0;
    for seed in 0..seeds {
        let mut dice = Seeded(seed);
        let receipts = random_receipts(&mut dice);
        let expected = Database::new().await;
        expected.store.insert(&laws[1].block(&receipts)).await.unwrap();
        let database = Database::new().await;
        for _ in 0..12 {
            happen(&database, &mut dice, (&laws, &receipts)).await;
        }
        // By now all has arrived, the last of it from an older program.
        database.store.insert(&laws[0].block(&receipts)).await.unwrap();
        deleted += laws[1].replay(&database.store, &Selection::default()).await.events.deleted;
        assert_eq!(seen(&database).await, seen(&expected).await, "seed {seed}");
        let again = laws[1].replay(&database.store, &Selection::default()).await;
        assert!(again.changes_nothing(), "seed {seed}: {again:?}");
        merge(&database).await;
        assert_eq!(seen(&database).await, seen(&expected).await, "seed {seed}, merged");
    }
    assert!(deleted > 0, "no seed deleted anything: this proves nothing");
}

/// Each half in either order, as two people would share the work.
#[tokio::test]
async fn halves_in_any_order_and_again_are_one_whole() {
    let laws = [senseless(1), senseless(2)];
    let receipts = random_receipts(&mut Seeded(99));
    let expected = Database::new().await;
    expected.store.insert(&laws[1].block(&receipts)).await.unwrap();
    let halves =
        [Selection { last: Some(9), ..Selection::default() }, Selection { first: Some(10), ..Selection::default() }];
    for order in [[0, 1, 0], [1, 0, 1], [1, 1, 0]] {
        let database = Database::new().await;
        database.store.insert(&laws[0].block(&receipts)).await.unwrap();
        for half in order {
            laws[1].replay(&database.store, &halves[half]).await;
        }
        assert_eq!(seen(&database).await, seen(&expected).await, "{order:?}");
    }
}
