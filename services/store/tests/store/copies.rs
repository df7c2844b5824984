//! Two inputs' copies of one event are held against each other in every canonical field, and hours in which they differ are kept.

use super::*;
use crate::support::Database;
use ::events::{
    event::{Outcome, RightChange},
    normalise::canonical_fields,
    person::PersonKey,
    receipt::TimeBasis,
};
use std::time::Duration;
use store::{DifferingHour, Rolling, Store};

const HOUR: i64 = 3_600_000;
const ALL: Rolling = Rolling { quiet: Duration::ZERO, cells: usize::MAX };

fn key(letter: &str) -> Option<PersonKey> {
    Some(PersonKey(letter.repeat(32)))
}

/// An event that says something in every canonical field.
fn full(stored: &store::StoredReceipt) -> Event {
    let mut one = event(stored);
    (one.person, one.actor) = (key("a"), key("b"));
    one.right_change = RightChange::Granted;
    for name in canonical_fields(&one).map(|(name, _)| name) {
        if let Some(text) = text(&mut one, name) {
            *text = format!("{name} as it was");
        }
    }
    one
}

/// A canonical field that is text.
fn text<'a>(one: &'a mut Event, name: &str) -> Option<&'a mut String> {
    Some(match name {
        "kind" => &mut one.kind,
        "native_type" => &mut one.native_type,
        "realm_id" => &mut one.realm_id,
        "person_id" => &mut one.person_id,
        "actor_id" => &mut one.actor_id,
        "client" => &mut one.client,
        "session_id" => &mut one.session_id,
        "code_id" => &mut one.code_id,
        "token_id" => &mut one.token_id,
        "refresh_token_id" => &mut one.refresh_token_id,
        "new_refresh_token_id" => &mut one.new_refresh_token_id,
        "ip" => &mut one.ip,
        "right_kind" => &mut one.right_kind,
        "right_id" => &mut one.right_id,
        "right_name" => &mut one.right_name,
        "holder_kind" => &mut one.holder_kind,
        "holder_id" => &mut one.holder_id,
        "resource_kind" => &mut one.resource_kind,
        "resource" => &mut one.resource,
        "action" => &mut one.action,
        "error" => &mut one.error,
        _ => return None,
    })
}

/// One field altered.
fn alter(one: &mut Event, name: &str) {
    match name {
        "time" => one.time += 1,
        "outcome" => one.outcome = Outcome::Failure,
        "person" => one.person = key("c"),
        "actor" => one.actor = key("c"),
        "right_change" => one.right_change = RightChange::Revoked,
        name => text(one, name).unwrap_or_else(|| panic!("no test alters {name}")).push('!'),
    }
}

/// The same field as an input has it that cannot carry it.
fn empty(one: &mut Event, name: &str) {
    match name {
        // Every input has them.
        "kind" | "native_type" => {}
        "time" => (one.time, one.time_basis) = (one.time + 1, TimeBasis::Receipt),
        "outcome" => one.outcome = Outcome::Unknown,
        "person" => one.person = None,
        "actor" => one.actor = None,
        "right_change" => one.right_change = RightChange::RevokedUnnamed,
        name => text(one, name).unwrap_or_else(|| panic!("no test empties {name}")).clear(),
    }
}

/// A webhook's copy as it was and one of pull on which something was done, of an event for each canonical field but its id.
async fn copies(store: &Store, (stream, from): (u8, &str), what: fn(&mut Event, &str)) -> Vec<&'static str> {
    let names = canonical_fields(&event(&receipt(position(1, 0), Input::Webhook, ""))).map(|(name, _)| name);
    let names: Vec<_> = names.into_iter().filter(|name| *name != "event_id").collect();
    let mut block = Block::default();
    for (seq, name) in (0..).step_by(2).zip(&names) {
        for (input, seq) in [(Input::Webhook, seq), (Input::Pull, seq + 1)] {
            let stored = receipt(position(stream, seq), input, &format!("{from} {name}"));
            let mut one = full(&stored);
            if input == Input::Pull {
                what(&mut one, name);
            }
            block.events.push(one);
            block.receipts.push(stored);
        }
    }
    store.insert(&block).await.unwrap();
    names
}

/// Native id and conflicts of each event, as a view says.
async fn conflicts(database: &Database, view: &str) -> Vec<(String, String)> {
    let sql = format!("SELECT native_id, arrayStringConcat(conflicts, ' ') FROM {view} ORDER BY native_id");
    database.sql().query(&sql).fetch_all().await.unwrap()
}

async fn differing(store: &Store) -> Vec<(i64, u64)> {
    store.roll(&ALL).await.unwrap();
    let hours = store.differing_hours(TENANT).await.unwrap();
    hours.into_iter().map(|DifferingHour { since, events, .. }| (since, events)).collect()
}

#[tokio::test]
async fn a_copy_that_is_altered_in_any_one_field_is_a_conflict_and_a_poorer_one_is_not() {
    let database = Database::new().await;
    copies(&database.store, (1, "poorer"), empty).await;
    assert_eq!(differing(&database.store).await, []);
    let names = copies(&database.store, (2, "altered"), alter).await;
    let mut wanted: Vec<_> = names.iter().map(|name| (format!("altered {name}"), (*name).to_owned())).collect();
    wanted.extend(names.iter().map(|name| (format!("poorer {name}"), String::new())));
    wanted.sort();
    let persons = ["a", "b", "c"].map(|letter| format!("'{}'", letter.repeat(32))).join(", ");
    let span = format!("from = {}, to = {}", NOON - HOUR, NOON + HOUR);
    let day = format!("events_in({span})");
    let of_persons = format!("events_of(tenant = '{TENANT}', persons = [{persons}], {span})");
    for view in ["events", &day, &of_persons] {
        assert_eq!(conflicts(&database, view).await, wanted, "{view}");
    }
    assert_eq!(differing(&database.store).await, [(NOON, names.len() as u64)]);
}

#[tokio::test]
async fn hours_in_which_copies_differ_are_kept_and_left_when_they_agree_again() {
    let database = Database::new().await;
    let store = &database.store;
    let mut block = block(&[
        (1, 0, Input::Webhook, "a"),
        (1, 1, Input::Pull, "a"),
        (1, 2, Input::Webhook, "b"),
        (1, 3, Input::Pull, "b"),
        (1, 4, Input::Webhook, "c"),
        (1, 5, Input::Webhook, "d"),
        (1, 6, Input::Webhook, "d"),
    ]);
    block.events[1].client = "another".into();
    // Dated into another hour.
    block.events[3].time -= 1;
    block.events[6].client = "of the same input, which is a repeat".into();
    // The second copy comes when the first one's hour is at rest.
    let (mut first, mut second) = (Block::default(), Block::default());
    for (at, (receipt, event)) in block.receipts.into_iter().zip(block.events).enumerate() {
        let part = if at % 2 == 0 { &mut first } else { &mut second };
        part.receipts.push(receipt);
        part.events.push(event);
    }
    store.insert(&first).await.unwrap();
    assert_eq!(differing(store).await, []);
    store.insert(&second).await.unwrap();
    let both = [(NOON - HOUR, 1), (NOON, 2)];
    assert_eq!(differing(store).await, both);
    assert_eq!(differing(store).await, both, "nothing was touched since");
    let fields = "SELECT arrayStringConcat(fields, ' ') FROM differing_hour_rows FINAL ORDER BY hour";
    let fields: Vec<String> = database.sql().query(fields).fetch_all().await.unwrap();
    assert_eq!(fields, ["time", "client time"]);

    // A newer normaliser that reads the copy right.
    second.events[0].client.clear();
    second.events[0].normaliser += 1;
    second.receipts[0].normaliser += 1;
    store.insert(&Block { receipts: second.receipts[..1].into(), events: second.events[..1].into() }).await.unwrap();
    assert_eq!(differing(store).await, [(NOON - HOUR, 1), (NOON, 1)]);
}
