//! Generated deliveries of both products, through this program's own normaliser: whatever order they arrive in, however often, and
//! replayed, the rows that stand are the same, and the fates of all receipts add up.

use crate::{
    seen::{merge, text},
    support::{Database, NOON, TENANT, seeded::Seeded},
};
use durable_log::{Enc, Record, chain::commitment};
use events::{
    normalise::{Context, NORMALISER_VERSION, normalise},
    person::DeploymentKey,
    receipt::{HEADER_VERSION, Input, LinePlace, Payload, ReceiptHeader, SourceKind, TimeBasis},
};
use pipeline::{
    block::work,
    replay::{Mode, Normaliser, Replay},
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use store::Selection;

/// Different deliveries of one history.
const DELIVERIES: u64 = 60;

fn context() -> Context {
    Context { key: DeploymentKey::new([9; 32]) }
}

/// What a sender sends, however often.
#[derive(Clone)]
struct Delivery {
    payload: Payload,
    input: Input,
    body: String,
    line: Option<LinePlace>,
    id: String,
}

/// One of few events of a Keycloak, pushed or pulled, or a line of a Backstage, or something that is no event.
fn delivery(dice: &mut Seeded, number: u64) -> Delivery {
    let n = dice.below(12);
    let time = NOON + i64::try_from(n).unwrap() * 61_000;
    let id = format!("event-{n}");
    let of = |payload: Payload, input: Input, body: Value| Delivery {
        payload,
        input,
        body: body.to_string(),
        line: None,
        id: id.clone(),
    };
    // What an event says is told by its number alone: copies agree.
    let user = format!("user-{}", n % 4);
    let (session, details) = (format!("session-{n}"), json!({"token_id": format!("token-{n}")}));
    match dice.below(8) {
        0 | 1 if n < 6 => of(
            Payload::KeycloakWebhook,
            Input::Webhook,
            json!({"id": id, "time": time, "realmId": "r", "realmName": "acme", "type": "access.LOGIN", "details": details,
                "authDetails": {"realmId": "acme", "clientId": "web", "userId": user, "sessionId": session}}),
        ),
        2 | 3 if n < 6 => of(
            Payload::KeycloakEvent,
            Input::Pull,
            json!({"id": id, "time": time, "realmId": "r", "type": "LOGIN", "clientId": "web", "userId": user, "sessionId": session,
                "details": details}),
        ),
        4 => {
            let id = format!("admin-{n}");
            let group = json!({"id": format!("g{n}"), "name": "ops", "path": "/ops"}).to_string();
            let body = json!({"id": id, "time": time, "realmId": "r", "operationType": "CREATE", "resourceType": "GROUP_MEMBERSHIP",
                "resourcePath": format!("users/user-{}/groups/g{n}", n % 4), "authDetails": {"realmId": "m", "userId": "admin"},
                "representation": group});
            Delivery { id, ..of(Payload::KeycloakAdminEvent, Input::Pull, body) }
        }
        5 => of(Payload::KeycloakWebhook, Input::Webhook, json!({"hello": number})),
        kind => {
            let status = if kind == 6 { "initiated" } else { "succeeded" };
            let body = json!({"isAuditEvent": true, "plugin": "permission", "eventId": "permission-evaluation", "status": status,
                "severityLevel": "medium", "actor": {"actorId": "plugin:permission"}, "number": n,
                "meta": {"userEntityRef": "user:default/a", "permissionName": "catalog.entity.read", "action": "read", "result": "ALLOW"}})
            .to_string();
            let line = LinePlace {
                instance: "pod-1".into(),
                number: u32::try_from(n).unwrap(),
                time_ns: Some(time * 1_000_000),
                basis: TimeBasis::Shipper,
                mark: context().key.mark("line", &[&body]),
                backlog: false,
            };
            let id = String::new();
            Delivery { payload: Payload::BackstageLine, input: Input::Lines, body, line: Some(line), id }
        }
    }
}

/// Deliveries as they arrive, one a receipt: position and time are those of the arrival.
fn records(arriving: &[&Delivery]) -> Vec<Record> {
    let record = |(seq, one): (u64, &&Delivery)| {
        let backstage = one.payload == Payload::BackstageLine;
        let header = ReceiptHeader {
            v: HEADER_VERSION,
            tenant: TENANT.into(),
            source_id: if backstage { "bs" } else { "kc" }.into(),
            source_kind: if backstage { SourceKind::Backstage } else { SourceKind::Keycloak },
            input: one.input,
            payload: one.payload,
            received_at: NOON + 3_600_000 + i64::try_from(seq).unwrap() * 7_000,
            native_id: one.id.clone(),
            delivery_id: format!("delivery-{seq}"),
            delivery_keyed: false,
            delivery_index: 0,
            line: one.line.clone(),
        };
        let salt = [u8::try_from(seq % 251).unwrap(); 16];
        Record {
            offset: seq,
            stream: [1; 16],
            seq,
            header: header.to_bytes().into(),
            body: one.body.clone().into_bytes().into(),
            salt,
            commitment: commitment(&salt, one.body.as_bytes()),
            chain: [0; 32],
            enc: Enc::NONE,
        }
    };
    (0..).zip(arriving).map(record).collect()
}

/// Stores them in blocks, as the flow does.
async fn store(database: &Database, records: &[Record], block: usize) {
    for some in records.chunks(block) {
        let work = work(some.to_vec(), &context());
        database.store.insert(&work.block).await.unwrap();
        database.store.put_records(&work.records).await.unwrap();
    }
}

/// The rows that stand, but for where and when they arrived and who judged them: events, and each input's word on them.
async fn rows(database: &Database) -> (String, String) {
    let but = "SELECT * EXCEPT (receipt, received_at, normaliser) FROM events ORDER BY source_id, event_id";
    let inputs = "SELECT * EXCEPT (receipt, version, person_bytes, actor_bytes), hex(person_bytes), hex(actor_bytes) \
        FROM event_inputs ORDER BY source_id, event_id, input";
    (text(database, but).await, text(database, inputs).await)
}

/// Received, stored, duplicate, ignored and dead by source, once they add up.
async fn fates(database: &Database) -> BTreeMap<String, [u64; 5]> {
    let mut sums = BTreeMap::<String, [u64; 5]>::new();
    for one in database.store.fates(TENANT).await.unwrap() {
        assert_eq!(one.received, one.stored + one.duplicate + one.ignored + one.dead, "{one:?}");
        let all = sums.entry(one.source_id).or_default();
        for (sum, n) in all.iter_mut().zip([one.received, one.stored, one.duplicate, one.ignored, one.dead]) {
            *sum += n;
        }
    }
    let recounted = text(database, "SELECT * FROM fates_recounted ORDER BY source_id, input").await;
    assert_eq!(text(database, "SELECT * FROM fates ORDER BY source_id, input").await, recounted);
    sums
}

fn shuffled<'a>(dice: &mut Seeded, all: &[&'a Delivery]) -> Vec<&'a Delivery> {
    let mut left = all.to_vec();
    let mut out = Vec::new();
    while !left.is_empty() {
        let at = usize::try_from(dice.below(left.len() as u64)).unwrap();
        out.push(left.swap_remove(at));
    }
    out
}

/// A newer version that says the same.
async fn replayed(database: &Database, selection: &Selection, version: u32) {
    let normaliser = Normaliser::new(version, move |receipt| normalise(receipt, &context()));
    let replay = Replay { store: database.store.clone(), tenant: TENANT.into(), normaliser };
    replay.run(selection, Mode::Write, &mut |_| ()).await.unwrap();
}

#[tokio::test]
async fn any_order_repetition_and_replay_of_deliveries_leave_the_same_rows_and_the_fates_add_up() {
    let seeds: u64 = std::env::var("TOKENTRAIL_ORDER_SEEDS").map_or(3, |n| n.parse().expect("a number of seeds"));
    for seed in 0..seeds {
        let mut dice = Seeded(seed);
        let deliveries: Vec<Delivery> = (0..DELIVERIES).map(|number| delivery(&mut dice, number)).collect();
        let all: Vec<&Delivery> = deliveries.iter().collect();
        let first = Database::new().await;
        store(&first, &records(&all), 1_000).await;
        let (expected, counted) = (rows(&first).await, fates(&first).await);
        let total = |fate: usize| counted.values().map(|one| one[fate]).sum::<u64>();
        assert_eq!(total(0), DELIVERIES);
        assert!((1..5).all(|fate| total(fate) > 0), "of every fate some: {counted:?}");

        // In any order, in blocks of any size.
        let other = Database::new().await;
        let arrived = records(&shuffled(&mut dice, &all));
        let block = usize::try_from(1 + dice.below(20)).unwrap();
        store(&other, &arrived, block).await;
        assert_eq!(
            (rows(&other).await, fates(&other).await),
            (expected.clone(), counted.clone()),
            "seed {seed}: order"
        );

        // The same blocks again, the last ones first, cut otherwise: not a receipt more, and each has the fate that it had.
        let receipts = "SELECT hex(stream), seq, hex(commitment), fate, reason, event_id, source_id, input FROM receipts ORDER BY seq, commitment";
        let before = text(&other, receipts).await;
        for some in arrived.chunks(7).rev() {
            store(&other, some, 1_000).await;
        }
        merge(&other).await;
        assert_eq!(
            (rows(&other).await, fates(&other).await),
            (expected.clone(), counted.clone()),
            "seed {seed}: again"
        );
        assert_eq!(text(&other, receipts).await, before, "seed {seed}");

        // Replayed, a part first.
        let part = Selection { first: Some(dice.below(DELIVERIES)), ..Selection::default() };
        replayed(&other, &part, NORMALISER_VERSION + 1).await;
        replayed(&other, &Selection::default(), NORMALISER_VERSION + 1).await;
        assert_eq!(
            (rows(&other).await, fates(&other).await),
            (expected.clone(), counted.clone()),
            "seed {seed}: replay"
        );
        assert_eq!(text(&other, receipts).await, before, "seed {seed}: replay");

        // Delivered twice, all mixed: as many receipts more, and not one event.
        let twice: Vec<&Delivery> = all.iter().chain(&all).copied().collect();
        let doubled = Database::new().await;
        store(&doubled, &records(&shuffled(&mut dice, &twice)), block).await;
        assert_eq!(rows(&doubled).await, expected, "seed {seed}: twice");
        let more = |[received, stored, duplicate, ignored, dead]: [u64; 5]| {
            [2 * received, stored, 2 * duplicate + stored, 2 * ignored, 2 * dead]
        };
        let expected: BTreeMap<_, _> = counted.into_iter().map(|(source, one)| (source, more(one))).collect();
        assert_eq!(fates(&doubled).await, expected, "seed {seed}: twice");
    }
}
