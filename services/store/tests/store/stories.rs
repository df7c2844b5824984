//! The story of somebody, found by where their events stand, is what all events say of them: of what came late, twice, pushed and pulled, replayed
//! to another person, another time or nothing, merged by hand, cut off at any statement; and it costs what they did, not what everybody did.
//! `TOKENTRAIL_ROLLUP_SEEDS` for more than one history.

use crate::histories::{self, INPUTS, key, table};
use crate::support::{Database, TENANT, cutter::Cutter, event, position, receipt, seeded::Seeded};
use events::{event::Event, person::PersonKey, receipt::Input};
use store::{Block, PersonQuery, Rejudged, StoredReceipt};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
/// Around the end of a month and the beginning of 1970, and a day apart.
const TIMES: [i64; 7] = [-HOUR, 0, HOUR, 23 * HOUR, DAY, 31 * DAY - 1, 31 * DAY];
const ALL: (i64, i64) = (-10 * DAY, 100 * DAY);
const EVENTS: u64 = 40;
/// More than the events of anybody.
const MANY: u32 = 1_000;
/// Rows that the engine reads at least of a table in which it looks for anything.
const GRANULE: u64 = 8_192;

/// What one of a few deliveries says to one of two normalisers: the same words whenever it is said.
fn said(which: u64, input: Input, normaliser: u32) -> (StoredReceipt, Event) {
    let copy = u64::from(input == Input::Pull);
    let stored = receipt(position(1, which * 2 + copy), input, &format!("n{which}"));
    let mut one = event(&stored);
    let mut says = Seeded(which * 100 + u64::from(normaliser));
    let moved = if normaliser > 1 && says.one_in(3) { 40 * HOUR } else { 0 };
    one.time = Seeded(which).pick(&TIMES) + moved;
    (one.time_min, one.time_max) = (one.time, one.time);
    one.normaliser = normaliser;
    one.kind = says.pick(&["login", "login", "refresh", "user_updated"]).into();
    one.person = says.pick(&[None, Some("a"), Some("b"), Some("d")]).map(key);
    one.actor = says.pick(&[None, Some("a"), Some("c")]).map(key);
    if copy == 1 && says.one_in(2) {
        // What only one of them names is theirs too.
        (one.person, one.actor) = (says.pick(&[None, Some("a")]).map(key), None);
    }
    (stored, one)
}

fn told(which: u64, inputs: &[Input]) -> Block {
    histories::told(said, which, inputs)
}

fn rejudged(which: u64) -> Rejudged {
    histories::rejudged(said, which)
}

fn list(letters: &[&str]) -> String {
    letters.iter().map(|letter| format!("'{}'", letter.repeat(32))).collect::<Vec<_>>().join(", ")
}

/// Asked of all events, and by where theirs stand: the same rows, in the view and through the program. Returns how many.
async fn agree(database: &Database, letters: &[&str], (from, to): (i64, i64), when: &str) -> usize {
    let keys = list(letters);
    let whose = format!("lower(hex(person_bytes)) IN ({keys}) OR lower(hex(actor_bytes)) IN ({keys})");
    let slow = format!(
        "SELECT * FROM events WHERE tenant = '{TENANT}' AND event_id IN (SELECT event_id FROM event_inputs WHERE {whose}) \
         AND time >= fromUnixTimestamp64Milli({from}, 'UTC') AND time < fromUnixTimestamp64Milli({to}, 'UTC')"
    );
    let fast = format!("SELECT * FROM events_of(tenant = '{TENANT}', persons = [{keys}], from = {from}, to = {to})");
    let all = table(database, &slow).await;
    assert_eq!(table(database, &fast).await, all, "{letters:?} {from} {to}, {when}");
    let persons = letters.iter().map(|letter| key(letter)).collect();
    let query = PersonQuery { tenant: TENANT.into(), persons, from, to, limit: MANY };
    let page = database.store.person_events(&query).await.unwrap();
    assert!(!page.more && page.events.len() == all.len(), "{} of {}, {when}", page.events.len(), all.len());
    assert!(page.events.is_sorted_by_key(|one| one.event.time), "{when}");
    if all.len() > 1 {
        let some = PersonQuery { limit: u32::try_from(all.len()).unwrap() - 1, ..query };
        let cut = database.store.person_events(&some).await.unwrap();
        assert!(cut.more && cut.events == page.events[..all.len() - 1], "{when}");
    }
    all.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_story_says_what_all_events_say_whatever_happens_to_them() {
    let seeds =
        std::env::var("TOKENTRAIL_ROLLUP_SEEDS").map_or(1, |n| n.parse().expect("TOKENTRAIL_ROLLUP_SEEDS is a number"));
    for seed in 0..seeds {
        let mut random = Seeded(seed + 90);
        let database = Database::new().await;
        let (mut found, mut moved) = (0, 0);
        for step in 0..10 {
            for _ in 0..6 {
                let which = random.below(EVENTS);
                if random.one_in(3) {
                    let all = rejudged(which);
                    moved += all.deleted.len();
                    database.store.rejudge(TENANT, &all).await.unwrap();
                } else {
                    let inputs: &[Input] = random.pick(&[&INPUTS[..], &INPUTS[..1], &INPUTS[1..]]);
                    database.store.insert(&told(which, inputs)).await.unwrap();
                }
            }
            let from = random.pick(&TIMES);
            let span = random.pick(&[ALL, (from, from + DAY), (from, from + 1), (from + 1, 40 * DAY)]);
            let who: &[&str] = random.pick(&[&["a"][..], &["b"], &["c", "d"], &["a", "b", "c", "d"]]);
            found += agree(&database, who, span, &format!("seed {seed}, step {step}")).await;
        }
        let all = agree(&database, &["a", "b", "c", "d"], ALL, "at the end").await;
        assert!(all > 15 && found > 10 && moved > 5, "{all} {found} {moved}: this proves less than it says");
        assert_eq!(agree(&database, &["e"], ALL, "nobody").await, 0);
        for table in ["event_rows", "person_event_rows"] {
            database.sql().query(&format!("OPTIMIZE TABLE {table} FINAL")).execute().await.unwrap();
        }
        assert_eq!(agree(&database, &["a", "b", "c", "d"], ALL, "merged").await, all);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_never_there_before_its_hint_wherever_a_writer_is_cut_off() {
    let database = Database::new().await;
    let cutter = Cutter::start(database.address()).await;
    let mut cuts = 0;
    for (statement, which) in (0..12).zip(0..) {
        // Each of them another program, that dies of it: nothing of the block is written again.
        let writer = database.through(cutter.url.clone());
        cutter.cut_after(statement, which % 2 == 1);
        cuts += usize::from(writer.insert(&told(which, &INPUTS)).await.is_err());
        cutter.mend();
        agree(&database, &["a", "b", "c", "d"], ALL, &format!("cut off at {statement}")).await;
    }
    let events: u64 = database.sql().query("SELECT count() FROM events").fetch_one().await.unwrap();
    assert!(cuts > 5 && events > 2, "{cuts} cut off, {events} events: this proves less than it says");
}

#[tokio::test]
async fn what_was_told_before_hints_were_kept_is_found() {
    let database = Database::new().await;
    for which in 0..EVENTS {
        database.store.insert(&told(which, &INPUTS)).await.unwrap();
    }
    let before = agree(&database, &["a", "b", "c", "d"], ALL, "told").await;
    // As it was: no table knows of persons.
    database.sql().query("TRUNCATE TABLE person_event_rows").execute().await.unwrap();
    database.sql().query("DELETE FROM schema_migrations WHERE version = 52").execute().await.unwrap();
    database.store.migrate().await.unwrap();
    assert_eq!(agree(&database, &["a", "b", "c", "d"], ALL, "migrated").await, before);
    assert!(before > 15, "{before}");
}

/// Of whom eight events lie far apart; and who has 2,000 events and signed in eight times.
const RARE: u32 = 1_000;
const USUAL: u32 = 7;

/// A quarter of a year of 200 people, one after another: each of them is in every granule, but for the one who did little.
async fn crowd(database: &Database) {
    let person = format!("if(number % 50000 = 100, {RARE}, number % 200 + 1)");
    for part in 0..4_u64 {
        let made = format!(
            "INSERT INTO event_rows (tenant, source_id, source_kind, event_id, input, version, data_class, outcome, time_basis, time, kind, person) \
             SELECT '{TENANT}', 'kc', 'keycloak', generateUUIDv4(number), 'webhook', 1, 'authentication', 'success', 'event', \
             fromUnixTimestamp64Milli(toInt64(number) * 20000, 'UTC'), \
             if(number % 50000 = 6, 'login', 'refresh'), reverse(reinterpretAsFixedString(toUInt128({person}))) \
             FROM numbers({}, 100000) SETTINGS max_insert_block_size = 1000000",
            part * 100_000
        );
        database.sql().query(&made).execute().await.unwrap();
    }
    let hints = "INSERT INTO person_event_rows SELECT tenant, person, time, source_id, kind FROM event_rows \
        SETTINGS max_insert_threads = 1, min_insert_block_size_rows = 1000000, min_insert_block_size_bytes = 1000000000";
    database.sql().query(hints).execute().await.unwrap();
}

/// How many rows of events the engine reads for a question, as it plans it.
async fn planned(database: &Database, question: &str) -> u64 {
    let sql = format!("SELECT sum(rows) FROM (EXPLAIN ESTIMATE {question}) WHERE table = 'event_rows'");
    database.sql().query(&sql).fetch_one().await.unwrap()
}

#[tokio::test]
async fn a_story_costs_what_its_person_did_and_not_what_everybody_did() {
    let database = Database::new().await;
    crowd(&database).await;
    let rows: u64 = database.sql().query("SELECT count() FROM event_rows").fetch_one().await.unwrap();
    assert_eq!(rows, 400_000);
    let (rare, usual) = (format!("{RARE:032x}"), format!("{USUAL:032x}"));
    let span = format!("from = 0, to = {}", 100 * DAY);
    // Everything of who did little, and of who did much the logins alone.
    let story = format!("SELECT * FROM events_of(tenant = '{TENANT}', persons = ['{rare}'], {span})");
    let logins = format!("SELECT * FROM logins_of(tenant = '{TENANT}', person = '{usual}', {span})");
    for question in [story, logins] {
        assert_eq!(table(&database, &question).await.len(), 8, "{question}");
        let events = planned(&database, &question).await;
        assert!(events > 0 && events <= 8 * GRANULE, "{events} rows of events for {question}");
        // And the engine keeps to it, with all that it reads beside: it refuses what reads more than it may.
        let bounded = |most: u64| {
            format!("SELECT count() FROM ({question}) SETTINGS max_rows_to_read = {most}, read_overflow_mode = 'throw'")
        };
        database.sql().query(&bounded(20 * GRANULE)).execute().await.unwrap();
        assert!(database.sql().query(&bounded(GRANULE / 2)).execute().await.is_err(), "{question}");
    }
}

#[tokio::test]
async fn of_a_long_story_the_first_events_are_told_though_all_before_them_are_gone() {
    let database = Database::new().await;
    crowd(&database).await;
    let gone = format!(
        "INSERT INTO event_rows (tenant, source_id, event_id, input, version, time, is_deleted) SELECT tenant, source_id, event_id, input, 2, time, 1 \
         FROM event_rows WHERE person = unhex('{USUAL:032x}') AND time < fromUnixTimestamp64Milli(toInt64(4400000000), 'UTC')"
    );
    database.sql().query(&gone).execute().await.unwrap();
    let persons = vec![PersonKey(format!("{USUAL:032x}"))];
    let query = PersonQuery { tenant: TENANT.into(), persons, from: 0, to: 100 * DAY, limit: MANY };
    let whole = database.store.person_events(&query).await.unwrap();
    assert_eq!((whole.events.len(), whole.more), (900, false), "of 2,000 the first 1,100 are gone");
    let some = database.store.person_events(&PersonQuery { limit: 3, ..query }).await.unwrap();
    assert!(some.more && some.events == whole.events[..3]);
}
