//! The store on a real engine: whatever is written twice or in another order, readers see the same.
#![allow(clippy::unwrap_used)]

mod support;

use events::{
    event::{Event, Outcome},
    normalise::{Dead, Ignored},
    person::PersonKey,
    receipt::{Input, LinePlace, ReceiptHeader, TimeBasis},
};
use store::{Block, Fate, FateCounts, Page, PersonQuery, StoreError, Term, TraceQuery, latest_version};
use support::{Database, NOON, TENANT, event, position, receipt};

/// Not a test: where the shared engine's child process begins.
#[test]
fn engine_child() {
    store::engine::run_if_asked();
}

fn block(entries: &[(u8, u64, Input, &str)]) -> Block {
    let mut block = Block::default();
    for (stream, seq, input, native) in entries {
        let stored = receipt(position(*stream, *seq), *input, native);
        block.events.push(event(&stored));
        block.receipts.push(stored);
    }
    block
}

async fn all(store: &store::Store) -> Vec<store::StoredEvent> {
    let query = PersonQuery {
        tenant: TENANT.into(),
        persons: Vec::new(),
        from: NOON - 400 * 86_400_000,
        to: NOON + 400 * 86_400_000,
        limit: 10_000,
    };
    store.events_between(&query, None).await.unwrap().events
}

async fn trace(store: &store::Store, term: Term) -> Vec<Event> {
    let query = TraceQuery { tenant: TENANT.into(), term, limit: 100 };
    let page = store.trace(&query).await.unwrap();
    page.events.into_iter().map(|stored| stored.event).collect()
}

async fn fates(store: &store::Store) -> Vec<FateCounts> {
    let fates = store.fates(TENANT).await.unwrap();
    for one in &fates {
        assert_eq!(one.received, one.stored + one.duplicate + one.ignored + one.dead, "{one:?}");
    }
    fates
}

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
async fn migrating_twice_and_from_two_programs_at_once_is_migrating_once() {
    let database = Database::empty().await;
    let others = [database.another(), database.another(), database.another()];
    let (a, b, c, d) =
        tokio::join!(database.store.migrate(), others[0].migrate(), others[1].migrate(), others[2].migrate());
    for result in [a, b, c, d] {
        result.unwrap();
    }
    database.store.migrate().await.unwrap();
    let applied = database.store.applied_migrations().await.unwrap();
    let versions: Vec<u32> = applied.iter().map(|one| one.version).collect();
    assert_eq!(versions, store::versions());
    let records: u64 = database.sql().query("SELECT count() FROM schema_migrations").fetch_one().await.unwrap();
    assert_eq!(records, store::versions().len() as u64, "each was applied by one program");
}

#[tokio::test]
async fn a_changed_or_unknown_migration_is_refused() {
    let database = Database::new().await;
    let newer = latest_version() + 1;
    let add = |version: u32, checksum: &str| {
        let sql = format!("INSERT INTO schema_migrations VALUES ({version}, 'x', '{checksum}', 0)");
        database.sql().query(&sql).execute()
    };
    add(newer, "00").await.unwrap();
    let error = database.store.migrate().await.unwrap_err();
    assert!(matches!(&error, StoreError::Incompatible(text) if text.contains("newer program")), "{error}");

    let database = Database::new().await;
    database.sql().query("INSERT INTO schema_migrations VALUES (1, 'x', 'ff', 0)").execute().await.unwrap();
    let error = database.store.migrate().await.unwrap_err();
    assert!(matches!(&error, StoreError::Incompatible(text) if text.contains("another text")), "{error}");
}

#[tokio::test]
async fn a_lease_that_ran_out_is_taken_over() {
    let database = Database::empty().await;
    for sql in [
        format!("CREATE DATABASE {}", database.name),
        format!("CREATE TABLE {}.schema_lock_7 (unused UInt8) ENGINE = Null COMMENT 'somebody 1000'", database.name),
    ] {
        database.sql().with_database("system").query(&sql).execute().await.unwrap();
    }
    database.store.migrate().await.unwrap();
    let locks: Vec<String> = database
        .sql()
        .query("SELECT concat(name, ' ', comment) FROM system.tables WHERE database = currentDatabase() AND startsWith(name, 'schema_lock')")
        .fetch_all()
        .await
        .unwrap();
    assert_eq!(locks, ["schema_lock_8 free"]);
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
async fn headers_are_rebuilt_byte_for_byte_and_bodies_with_their_salts() {
    let database = Database::new().await;
    let mut block = Block::default();
    for seq in 0..64_u64 {
        let mut stored = receipt(position(1, seq), Input::ALL[seq as usize % Input::ALL.len()], "n");
        let header = &mut stored.receipt.header;
        let bit = |n: u32| seq & (1 << n) != 0;
        header.v = if bit(0) { 1 } else { 7 };
        header.payload = events::receipt::Payload::ALL[seq as usize % events::receipt::Payload::ALL.len()];
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
    for (found, stored) in found.iter().zip(&block.receipts) {
        assert_eq!(found.header.to_bytes(), stored.receipt.header.to_bytes());
        assert_eq!(ReceiptHeader::from_bytes(&found.header.to_bytes()).unwrap(), stored.receipt.header);
        assert_eq!((found.position, found.commitment), (stored.receipt.position, stored.commitment));
        assert_eq!((found.chain, found.enc), (stored.chain, stored.enc));
        let body = database.store.body(TENANT, found).await.unwrap().unwrap();
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
    let found = database.store.receipts_at(TENANT, position(1, 1)).await.unwrap();
    assert_eq!(found.len(), 2);
    for one in &found {
        let body = database.store.body(TENANT, one).await.unwrap().unwrap().body;
        assert_eq!(body == b"other", one.commitment == other.commitment);
    }
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
        Term::Any("a".into()),
        Term::Any("session".into()),
    ] {
        let found = trace(&database.store, term.clone()).await;
        assert_eq!(found, std::slice::from_ref(&wanted), "{term:?}");
    }
    // A duplicate's position leads to the event too, and quotes are only text.
    assert_eq!(trace(&database.store, Term::Receipt(position(1, 2))).await.len(), 1);
    assert!(trace(&database.store, Term::Any("' OR 1=1 --\\".into())).await.is_empty());
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

#[tokio::test]
async fn the_list_of_views_is_the_schemas_and_the_roles_files() {
    let database = Database::new().await;
    let views: Vec<String> = database
        .sql()
        .query("SELECT name FROM system.tables WHERE database = currentDatabase() AND engine = 'View' ORDER BY name")
        .fetch_all()
        .await
        .unwrap();
    assert_eq!(views, store::VIEWS);
    let roles = include_str!("../../../schemas/clickhouse/roles.sql");
    for view in store::VIEWS {
        assert!(roles.contains(&format!("GRANT SELECT ON tokentrail.{view} TO tokentrail_read;")), "{view}");
    }
}

#[tokio::test]
async fn errors_say_what_to_do_next() {
    let database = Database::empty().await;
    let missing = database.store.insert(&block(&[(1, 0, Input::Pull, "a")])).await.unwrap_err();
    assert!(matches!(missing, StoreError::Incompatible(_)), "{missing}");
    database.store.migrate().await.unwrap();
    let mut bad = block(&[(1, 0, Input::Pull, "a")]);
    bad.events[0].person = Some(PersonKey("alice".into()));
    let error = database.store.insert(&bad).await.unwrap_err();
    assert!(matches!(error, StoreError::Rejected(_)) && !error.to_string().contains("alice"), "{error}");
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gone = store::Store::connect(store::ConnectOptions {
        url: format!("http://{nobody}"),
        database: "x".into(),
        user: "x".into(),
        password: "x".into(),
    });
    assert!(gone.unwrap().ping().await.unwrap_err().is_unavailable());
}
