//! Types that only webhook or topic brought: named with their realm, never while pull may still bring them.

use crate::support::{Database, NOON, TENANT, event, position, receipt};
use events::receipt::Input;
use store::{Block, UnsavedType};

const MINUTE: i64 = 60_000;

/// Type, realm, milliseconds after noon, and the ways by which it came.
type Told = (&'static str, (&'static str, &'static str), i64, &'static [Input]);

const BOTH: &[Input] = &[Input::Webhook, Input::Pull];
const PUSHED: &[Input] = &[Input::Webhook];

async fn happened(database: &Database, stream: u8, told: &[Told]) {
    let (mut block, mut seq) = (Block::default(), 0);
    for (number, (native_type, (realm, realm_id), at, inputs)) in told.iter().enumerate() {
        for input in *inputs {
            let mut stored = receipt(position(stream, seq), *input, &format!("n{stream}-{number}"));
            seq += 1;
            let mut said = event(&stored);
            said.native_type = (*native_type).into();
            // The event store knows a realm by its id alone.
            said.realm = if *input == Input::Pull { String::new() } else { (*realm).into() };
            (said.realm_id, said.time) = ((*realm_id).into(), NOON + at);
            stored.fate = store::Fate::event(&stored.receipt.header, &said);
            block.events.push(said);
            block.receipts.push(stored);
        }
    }
    database.store.insert(&block).await.unwrap();
}

#[tokio::test]
async fn types_that_only_the_webhook_saw_are_named_with_their_realm() {
    let database = Database::new().await;
    let (acme, partners) = (("acme", "r1"), ("", "r2"));
    happened(
        &database,
        1,
        &[
            ("LOGIN", acme, 0, BOTH),
            ("INTROSPECT_TOKEN", acme, MINUTE, PUSHED),
            ("INTROSPECT_TOKEN", acme, 5 * MINUTE, PUSHED),
            ("USER-CREATE", partners, 5 * MINUTE + 1, &[Input::Kafka]),
            ("LOGIN", acme, 5 * MINUTE + 2, &[Input::Kafka, Input::Pull]),
            ("LOGOUT", acme, 6 * MINUTE, &[Input::Pull]),
            // As young as the newest that pull brought, or younger: pull may bring it yet.
            ("REFRESH_TOKEN", acme, 7 * MINUTE, PUSHED),
        ],
    )
    .await;
    let named = async |before: i64| database.store.pushed_alone((TENANT, "kc"), NOON + before).await.unwrap();
    let row = |native_type: &str, realm: &str, events: u64, last: i64| UnsavedType {
        native_type: native_type.into(),
        realm: realm.into(),
        events,
        last: NOON + last,
    };
    let introspect = row("INTROSPECT_TOKEN", "acme", 2, 5 * MINUTE);
    let all = [introspect.clone(), row("USER-CREATE", "r2", 1, 5 * MINUTE + 1)];
    assert_eq!(named(60 * MINUTE).await, all);
    assert_eq!(named(5 * MINUTE).await, [row("INTROSPECT_TOKEN", "acme", 1, MINUTE)], "the rest is too young");
    assert_eq!(named(86_400_000 + 2 * MINUTE).await, [row("INTROSPECT_TOKEN", "acme", 1, 5 * MINUTE), all[1].clone()]);
    assert_eq!(named(2 * 86_400_000).await, [], "over for a day");
    assert_eq!(database.store.pushed_alone((TENANT, "another"), NOON + 60 * MINUTE).await.unwrap(), []);

    // Pull comes to it after all; the next that it brings shows that it passed by the other.
    happened(&database, 2, &[("LOGIN", acme, 8 * MINUTE, BOTH)]).await;
    assert_eq!(named(60 * MINUTE).await[1], row("REFRESH_TOKEN", "acme", 1, 7 * MINUTE));
}

#[tokio::test]
async fn of_a_source_that_is_not_pulled_nothing_is_said() {
    let database = Database::new().await;
    happened(&database, 1, &[("LOGIN", ("acme", "r1"), 0, PUSHED)]).await;
    assert_eq!(database.store.pushed_alone((TENANT, "kc"), NOON + MINUTE).await.unwrap(), []);
}
