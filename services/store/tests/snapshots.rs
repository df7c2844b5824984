//! Snapshots of state in the store: what is listed is state, what a complete area no longer lists was absent, a snapshot without
//! an end is believed by nobody; whatever the order in which blocks are written, and twice.
#![allow(clippy::unwrap_used)]

mod support;

use events::{
    ids::{Position, StreamId},
    normalise::{Context, NORMALISER_VERSION, Normalised, normalise},
    person::DeploymentKey,
    receipt::{HEADER_VERSION, Input, Payload, Receipt, ReceiptHeader, SourceKind},
    snapshot::{Area, AreaEnd, Begin, End, Entity, List, Outcome, Trigger, entity_mark, state_hash},
};
use serde_json::{Value, json};
use store::{Block, Fate, StoredReceipt};
use support::{Database, NOON, TENANT};

/// Not a test: where the shared engine's child process begins.
#[test]
fn engine_child() {
    store::engine::run_if_asked();
}

fn key() -> DeploymentKey {
    DeploymentKey::new([7; 32])
}

/// Receipts of one snapshot after another, as a reader writes them.
#[derive(Default)]
struct Log(Vec<Receipt>);

impl Log {
    fn put(&mut self, payload: Payload, (snapshot, native): (&str, String), body: Value) {
        let seq = self.0.len() as u64;
        let header = ReceiptHeader {
            v: HEADER_VERSION,
            tenant: TENANT.into(),
            source_id: "keycloak".into(),
            source_kind: SourceKind::Keycloak,
            input: Input::Snapshot,
            payload,
            received_at: NOON + i64::try_from(seq).unwrap(),
            native_id: format!("snapshot:{snapshot}:{native}"),
            delivery_id: snapshot.into(),
            delivery_keyed: false,
            delivery_index: 0,
            line: None,
        };
        let position = Position { stream: StreamId([3; 16]), seq };
        self.0.push(Receipt { position, header, body: body.to_string().into_bytes() });
    }

    /// `states`: users by id with their state; those in `written` have an entity receipt in this snapshot.
    fn snapshot(&mut self, (id, previous): (&str, Option<&str>), users: &[(&str, bool)], outcome: Option<Outcome>) {
        let time = NOON + 1_000 * self.0.len() as i64;
        let begin = Begin {
            snapshot: id.into(),
            time,
            trigger: Trigger::Demand,
            full: previous.is_none(),
            previous: previous.map(str::to_owned),
            realms: vec!["acme".into()],
        };
        self.put(Payload::SnapshotBegin, (id, "begin".into()), serde_json::to_value(begin).unwrap());
        let mut entries = String::new();
        for (user, enabled) in users {
            let state = json!({"enabled": enabled, "id": user, "username": format!("name-{user}")});
            let entity = entity_mark(&key(), (TENANT, "keycloak"), ("acme", Area::Users, user));
            let hash = state_hash(&key(), &state.to_string());
            entries.push_str(&format!("{entity}{hash}"));
            let told = Entity {
                snapshot: id.into(),
                area: Area::Users,
                realm: "acme".into(),
                entity: entity.clone(),
                hash: hash.clone(),
                time_min: time,
                time_max: time + 5,
                state,
                names: Value::Null,
            };
            let native = format!("{entity}:{hash}");
            // Only what no earlier snapshot wrote.
            if !self.0.iter().any(|receipt| receipt.header.native_id.ends_with(&native)) {
                self.put(Payload::SnapshotEntity, (id, native), serde_json::to_value(told).unwrap());
            }
        }
        let list = List {
            snapshot: id.into(),
            area: Area::Users,
            realm: "acme".into(),
            within: String::new(),
            page: 0,
            pages: 1,
            time_min: time,
            time_max: time + 5,
            entries,
        };
        let Some(outcome) = outcome else { return };
        if outcome == Outcome::Complete {
            self.put(Payload::SnapshotList, (id, "list".into()), serde_json::to_value(list).unwrap());
        }
        let area = AreaEnd {
            area: Area::Users,
            realm: "acme".into(),
            outcome,
            needs: if outcome == Outcome::Forbidden { "view-users".into() } else { String::new() },
            lists: 1,
            pages: 1,
            entities: users.len() as u64,
            changed: 0,
            time_min: time,
            time_max: time + 5,
        };
        let end = End { snapshot: id.into(), time: time + 9, complete: outcome.is_whole(), areas: vec![area] };
        self.put(Payload::SnapshotEnd, (id, "end".into()), serde_json::to_value(end).unwrap());
    }

    fn block(&self, receipts: impl Iterator<Item = usize>) -> Block {
        let mut block = Block::default();
        for receipt in receipts.map(|at| self.0[at].clone()) {
            let Normalised::Events(events) = normalise(&receipt, &Context { key: key() }) else { panic!("understood") };
            let fate = Fate::event(&receipt.header, &events[0]);
            block.events.extend(events);
            block.receipts.push(StoredReceipt {
                receipt,
                fate,
                salt: [0; 16],
                commitment: [9; 32],
                chain: None,
                enc: 0,
                normaliser: NORMALISER_VERSION,
            });
        }
        block
    }
}

#[tokio::test]
async fn absence_rests_on_complete_areas_only() {
    let mut log = Log::default();
    log.snapshot(("s1", None), &[("ann", true), ("ben", true), ("cleo", true)], Some(Outcome::Complete));
    log.snapshot(("s2", Some("s1")), &[("ann", false), ("cleo", true)], Some(Outcome::Complete));
    log.snapshot(("s3", Some("s2")), &[], Some(Outcome::Forbidden));
    log.snapshot(("s4", Some("s3")), &[("ann", true)], None);
    log.snapshot(("s5", Some("s3")), &[("cleo", true)], Some(Outcome::Complete));
    let count = log.0.len();
    let forward: Vec<usize> = (0..count).collect();
    let backward: Vec<usize> = (0..count).rev().chain(0..count).collect();
    for order in [forward, backward] {
        let database = Database::new().await;
        let store = &database.store;
        for chunk in order.chunks(3) {
            store.insert(&log.block(chunk.iter().copied())).await.unwrap();
        }
        let taken = store.snapshots(TENANT, 10).await.unwrap();
        let told: Vec<_> = taken.iter().map(|one| (one.snapshot.as_str(), one.ended.is_some(), one.complete)).collect();
        assert_eq!(
            told,
            [("s5", true, true), ("s4", false, false), ("s3", true, false), ("s2", true, true), ("s1", true, true)]
        );
        assert_eq!(taken[2].lacking, ["acme users: forbidden (view-users)"]);

        let text = |sql: &str| {
            let query = database.sql().query(sql);
            async move { query.fetch_all::<String>().await.unwrap() }
        };
        let absent = "SELECT concat(snapshot, ' ', person_id) FROM snapshot_absences ORDER BY 1";
        assert_eq!(text(absent).await, ["s2 ben", "s5 ann"], "nobody is absent from what was not read or did not end");
        let states = "SELECT concat(snapshot, ' ', person_id, ' ', details['enabled']) FROM snapshot_states ORDER BY 1";
        let expected = ["s1 ann true", "s1 ben true", "s1 cleo true", "s2 ann false", "s2 cleo true", "s5 cleo true"];
        assert_eq!(text(states).await, expected);

        let sides = store.snapshot_sides(TENANT, ("s1", "s2")).await.unwrap();
        let field = |fields: &[(String, String)], name: &str| {
            fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()).unwrap_or_default()
        };
        let mut told: Vec<_> = sides
            .iter()
            .map(|side| (field(&side.fields, "person_id"), side.later, field(&side.fields, "enabled")))
            .collect();
        told.sort();
        let side = |id: &str, later, enabled: &str| (id.to_owned(), later, enabled.to_owned());
        assert_eq!(told, [side("ann", false, "true"), side("ann", true, "false"), side("ben", false, "true")]);
        let areas = store.compared_areas(TENANT, ("s2", "s3")).await.unwrap();
        assert_eq!((areas[0].before.as_str(), areas[0].after.as_str()), ("complete", "forbidden"));
    }
}

/// Several snapshots wrote one state: each says it by its own receipt, and one that wrote none by the earliest.
#[tokio::test]
async fn a_state_is_evidenced_by_the_read_of_its_own_snapshot() {
    let (entity, other) = ("e".repeat(32), "f".repeat(32));
    let (on, off) = ("1".repeat(16), "0".repeat(16));
    // Set, changed and put back, told again, and found so by one that wrote nothing; the other one is as it was.
    let reads = [("s1", &on, true), ("s2", &off, true), ("s3", &on, true), ("s4", &on, true), ("s5", &on, false)];
    let mut rows = Vec::new();
    for (n, (snapshot, hash, is_written)) in (1_i64..).zip(reads) {
        let row = |kind: &str, place: i64, details: String| {
            let id = format!("00000000-0000-4000-8000-{:012}", 10 * n + place);
            let time = NOON + 1_000 * n;
            format!(
                "INSERT INTO event_rows (tenant, source_id, time, event_id, input, version, kind, data_class, realm, resource_kind, resource, details) \
                 VALUES ('{TENANT}', 'kc', fromUnixTimestamp64Milli({time}, 'UTC'), toUUID('{id}'), 'snapshot', 1, '{kind}', 'snapshot', 'acme', \
                 'events_config', '{snapshot}', map('snapshot', '{snapshot}', {details}))"
            )
        };
        rows.push(row("snapshot_list", 0, format!("'entries', '{entity}{hash}{other}{on}'")));
        if is_written {
            rows.push(row("state_events_config", 1, format!("'entity', '{entity}', 'hash', '{hash}'")));
        }
        if n == 1 {
            rows.push(row("state_events_config", 2, format!("'entity', '{other}', 'hash', '{on}'")));
        }
    }
    let backward: Vec<String> = rows.iter().rev().cloned().collect();
    for rows in [rows, backward] {
        let database = Database::new().await;
        for sql in rows {
            database.sql().query(&sql).execute().await.unwrap();
        }
        let said = async |entity: &str| {
            let sql = format!(
                "SELECT concat(snapshot, ' ', resource, ' ', substring(toString(event_id), 35)) FROM snapshot_states \
                 WHERE tenant = '{TENANT}' AND entity = '{entity}' ORDER BY snapshot"
            );
            database.sql().query(&sql).fetch_all::<String>().await.unwrap()
        };
        assert_eq!(said(&entity).await, ["s1 s1 11", "s2 s2 21", "s3 s3 31", "s4 s4 41", "s5 s1 11"]);
        assert_eq!(said(&other).await, ["s1 s1 12", "s2 s1 12", "s3 s1 12", "s4 s1 12", "s5 s1 12"]);
    }
}

/// What an organisation of 100,000 has: an engine has 2 GiB.
#[tokio::test]
async fn two_snapshots_of_a_hundred_thousand_users_are_compared() {
    let database = Database::new().await;
    let user = |n: &str| format!("lower(hex(sipHash128({n})))");
    let columns = "tenant, source_id, time, event_id, input, version, kind, data_class, realm, resource_kind, resource, person_id, details";
    let row = |kind: &str, person: &str, details: &str, of: &str| {
        format!(
            "INSERT INTO event_rows ({columns}) SELECT '{TENANT}', 'kc', fromUnixTimestamp64Milli({NOON}, 'UTC'), generateUUIDv7(number), \
             'snapshot', 1, '{kind}', 'snapshot', 'acme', 'users', '', {person}, map({details}) FROM {of}"
        )
    };
    // One of them is another in the second.
    let entry = format!("concat({}, if(i = 7 AND s = 's2', repeat('1', 16), repeat('0', 16)))", user("i"));
    let lists = format!(
        "'snapshot', s, 'entries', arrayStringConcat(arrayMap(i -> {entry}, range(500 * number, 500 * (number + 1))), '')"
    );
    let state = |snapshot: &str, hash: &str| {
        let of = user("number");
        format!("'snapshot', '{snapshot}', 'entity', {of}, 'hash', repeat('{hash}', 16), 'enabled', '{}'", hash == "0")
    };
    for sql in [
        row(
            "snapshot_list",
            "''",
            &lists,
            "numbers(200) AS n CROSS JOIN (SELECT arrayJoin(['s1', 's2']) AS s) AS both",
        ),
        row("state_user", "toString(number)", &state("s1", "0"), "numbers(100000)"),
        row("state_user", "toString(number)", &state("s2", "1"), "numbers(7, 1)"),
    ] {
        database.sql().query(&sql).execute().await.unwrap();
    }
    let sides = database.store.snapshot_sides(TENANT, ("s1", "s2")).await.unwrap();
    let mut told: Vec<_> = sides.iter().map(|side| (side.later, side.fields.clone())).collect();
    told.sort();
    let side =
        |enabled: &str| [("enabled", enabled), ("person_id", "7")].map(|(name, value)| (name.into(), value.into()));
    assert_eq!(told, [(false, side("true").to_vec()), (true, side("false").to_vec())]);
}
