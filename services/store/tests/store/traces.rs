//! Finding events by what is known of them, and by time.

use super::*;
use crate::support::Database;
use ::events::person::PersonKey;

#[tokio::test]
async fn traces_find_an_event_by_whatever_is_known_of_it() {
    let database = Database::new().await;
    let alice = PersonKey("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".into());
    let mut block = block(&[(1, 0, Input::Webhook, "a"), (1, 1, Input::Webhook, "b"), (1, 2, Input::Webhook, "b")]);
    let one = &mut block.events[0];
    one.person = Some(alice.clone());
    one.actor = Some(alice.clone());
    one.person_name = "alice".into();
    one.actor_name = "alice".into();
    one.person_id = "id-1".into();
    one.session_id = "session".into();
    one.token_id = "token".into();
    one.new_refresh_token_id = "fresh".into();
    let wanted = one.clone();
    database.store.insert(&block).await.unwrap();
    for term in [
        Term::Event(wanted.event_id),
        Term::Session("session".into()),
        Term::Token("token".into()),
        Term::Token("fresh".into()),
        Term::Person(alice.clone()),
        Term::Name("alice".into()),
        Term::Name("id-1".into()),
        Term::Receipt(position(1, 0)),
        Term::Name("a".into()),
        Term::Id("session".into(), Vec::new()),
        Term::Id("fresh".into(), Vec::new()),
        Term::Id("nothing".into(), vec![wanted.event_id]),
        Term::Id(String::new(), vec![wanted.event_id]),
    ] {
        let found = trace(&database.store, term.clone()).await;
        assert_eq!(found, std::slice::from_ref(&wanted), "{term:?}");
    }
    // A duplicate's position leads to the event too, and quotes are only text.
    assert_eq!(trace(&database.store, Term::Receipt(position(1, 2))).await.len(), 1);
    assert!(trace(&database.store, Term::Name("' OR 1=1 --\\".into())).await.is_empty());
    let query = PersonQuery { tenant: TENANT.into(), persons: vec![alice], from: NOON, to: NOON + 1, limit: 10 };
    assert_eq!(database.store.person_events(&query).await.unwrap().events[0].event, wanted);
    let later = PersonQuery { from: NOON + 1, to: NOON + 2, ..query };
    assert!(database.store.person_events(&later).await.unwrap().events.is_empty());
    let stranger = TraceQuery { tenant: "other".into(), term: Term::Session("session".into()), limit: 10 };
    assert!(database.store.trace(&stranger).await.unwrap().events.is_empty());
}

#[tokio::test]
async fn a_replay_pages_through_every_event_once() {
    let database = Database::new().await;
    let names: Vec<String> = (0..25).map(|n| format!("e{n}")).collect();
    let entries: Vec<_> =
        names.iter().enumerate().map(|(n, name)| (1, n as u64, Input::Webhook, name.as_str())).collect();
    let mut block = block(&entries);
    for (n, event) in block.events.iter_mut().enumerate() {
        event.time += (n / 4) as i64;
    }
    database.store.insert(&block).await.unwrap();
    let query = PersonQuery { tenant: TENANT.into(), persons: Vec::new(), from: NOON, to: NOON + 1_000, limit: 7 };
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = database.store.events_between(&query, after).await.unwrap();
        seen.extend(page.events.iter().map(|one| (one.event.time, one.event.event_id)));
        after = seen.last().copied();
        if !page.more {
            break;
        }
        assert_eq!(page.events.len(), 7);
    }
    let mut expected: Vec<_> = block.events.iter().map(|one| (one.time, one.event_id)).collect();
    assert_eq!(seen.len(), 25);
    expected.sort_by_key(|(time, _)| *time);
    seen.sort();
    expected.sort();
    assert_eq!(seen, expected);
    assert_eq!(database.store.next_time(TENANT, NOON - 5).await.unwrap(), Some(NOON));
    assert_eq!(database.store.next_time(TENANT, NOON + 500).await.unwrap(), None);
}

#[tokio::test]
async fn what_only_a_replaced_row_holds_finds_nothing() {
    let database = Database::new().await;
    // Merges must not hide it.
    database.sql().query("SYSTEM STOP MERGES event_rows").execute().await.unwrap();
    let mut old = block(&[(1, 0, Input::Lines, "a"), (1, 1, Input::Lines, "a"), (1, 2, Input::Pull, "a")]);
    let key = |text: &str| Some(PersonKey(text.repeat(32)));
    for (event, session) in old.events.iter_mut().zip(["wrong", "repeat", "pulled"]) {
        event.session_id = session.into();
    }
    let mut new = old.clone();
    new.events.truncate(1);
    new.receipts.truncate(1);
    (old.events[0].person_name, old.events[0].token_id) = ("mallory".into(), "wrong".into());
    (old.events[0].person, old.events[0].actor) = (key("b"), key("b"));
    (new.events[0].session_id, new.events[0].person_name, new.events[0].person) =
        ("right".into(), "alice".into(), key("a"));
    new.events[0].normaliser += 1;
    new.receipts[0].normaliser += 1;
    database.store.insert(&old).await.unwrap();
    let person = |text: &str| Term::Person(key(text).unwrap());
    let text = |text: &str| text.to_owned();
    assert_eq!(trace(&database.store, Term::Session(text("wrong"))).await.len(), 1, "it stands before the replay");
    assert_eq!(trace(&database.store, person("b")).await.len(), 1);
    database.store.insert(&new).await.unwrap();
    let rows: u64 = database.sql().query("SELECT count() FROM event_rows").fetch_one().await.unwrap();
    assert_eq!(rows, 3, "nothing was merged away");
    for gone in [
        Term::Session(text("wrong")),
        Term::Session(text("repeat")),
        Term::Token(text("wrong")),
        Term::Name(text("mallory")),
        Term::Name(text("mallory")),
        person("b"),
    ] {
        assert_eq!(trace(&database.store, gone.clone()).await, [], "{gone:?}");
    }
    // What stands finds it, also by the word of an input that another outranks; and so do all its receipts.
    for found in [
        Term::Session(text("right")),
        Term::Session(text("pulled")),
        Term::Name(text("alice")),
        person("a"),
        Term::Receipt(position(1, 0)),
        Term::Receipt(position(1, 1)),
        Term::Receipt(position(1, 2)),
    ] {
        assert_eq!(trace(&database.store, found.clone()).await.len(), 1, "{found:?}");
    }
}

#[tokio::test]
async fn of_a_long_session_the_last_events_before_an_instant_are_found() {
    let database = Database::new().await;
    let names: Vec<String> = (0..25).map(|n| format!("e{n}")).collect();
    let entries: Vec<_> =
        names.iter().enumerate().map(|(n, name)| (1, n as u64, Input::Webhook, name.as_str())).collect();
    let mut block = block(&entries);
    for (event, after) in block.events.iter_mut().zip(0..) {
        event.time += after;
        event.session_id = "long".into();
    }
    database.store.insert(&block).await.unwrap();
    let query = |limit| TraceQuery { tenant: TENANT.into(), term: Term::Session("long".into()), limit };
    let until = async |limit, at: i64| {
        let page = database.store.trace_until(&query(limit), NOON + at).await.unwrap();
        (page.events.iter().map(|one| one.event.time - NOON).collect::<Vec<_>>(), page.more)
    };
    assert_eq!(until(7, 20).await, ((14..=20).collect(), true));
    assert_eq!(until(100, 3).await, ((0..=3).collect(), false));
    assert_eq!(until(100, -1).await, (Vec::new(), false));
    let page = database.store.trace(&query(7)).await.unwrap();
    assert_eq!((page.events[0].event.time, page.more), (NOON, true), "without an instant the first");
}
