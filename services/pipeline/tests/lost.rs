//! What a webhook lost among heartbeats that came back, on a real engine: counted once per hour, never what is young, what a gap tells,
//! or what the webhook brings in the end.
#![allow(clippy::unwrap_used)] // a test may panic

#[path = "../../store/tests/support/mod.rs"]
mod support;

use events::receipt::{Input, SourceKind};
use pipeline::coverage::{Expected, Keeper};
use prometheus::Registry;
use std::time::Duration;
use store::{Block, Fate, Gap, Rolling};
use support::{Database, NOON, TENANT, event, position, receipt};

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const LATENESS: i64 = 2 * MINUTE;

/// Not a test: where the shared engine's child process begins.
#[test]
fn engine_child() {
    store::engine::run_if_asked();
}

struct Bench {
    database: Database,
    keeper: Keeper,
    registry: Registry,
    seq: u64,
}

impl Bench {
    /// A Keycloak that pushes and is pulled, a heartbeat in every minute.
    async fn new() -> Self {
        let database = Database::new().await;
        let push = Some((Input::Webhook, vec!["acme".to_owned()], MINUTE));
        let expected =
            vec![Expected { source_id: "kc".into(), kind: SourceKind::Keycloak, push, pull: Some(i64::MAX / 2) }];
        let place = (database.store.clone(), TENANT.to_owned());
        let registry = Registry::new();
        let keeper = Keeper::new(place, LATENESS, expected, (|| NOON, &registry)).unwrap();
        Self { database, keeper, registry, seq: 0 }
    }

    /// An event at `at` that some inputs bring.
    async fn happened(&mut self, native: &str, at: i64, inputs: &[Input]) {
        let mut block = Block { receipts: Vec::new(), events: Vec::new() };
        for input in inputs {
            let mut stored = receipt(position(1, self.seq), *input, native);
            self.seq += 1;
            let mut said = event(&stored);
            (said.time, said.time_min, said.time_max) = (at, at, at);
            stored.fate = Fate::event(&stored.receipt.header, &said);
            block.events.push(said);
            block.receipts.push(stored);
        }
        self.database.store.insert(&block).await.unwrap();
    }

    /// What a round at `now` leaves on record: hour, how many, by whom it was repaired. A second round changes nothing.
    async fn told(&self, now: i64) -> Vec<(i64, u64, String)> {
        self.keeper.round(now, true).await.unwrap();
        let once = self.gaps().await;
        self.keeper.round(now + 1, true).await.unwrap();
        assert_eq!(self.gaps().await, once, "a second round changes something");
        let lost = once.into_iter().filter(|gap| gap.cause == "deliveries_lost");
        lost.map(|gap| {
            assert!(gap.repaired_at.is_some() && gap.until.is_some() && gap.input == "webhook", "{gap:?}");
            (gap.since, gap.missing.unwrap(), gap.repaired_by)
        })
        .collect()
    }

    async fn gaps(&self) -> Vec<Gap> {
        self.database.store.gaps(TENANT, 0).await.unwrap()
    }
}

const BOTH: &[Input] = &[Input::Webhook, Input::Pull];
const PULL: &[Input] = &[Input::Pull];

#[tokio::test(flavor = "multi_thread")]
async fn what_pull_alone_brought_is_told_once_per_hour_and_only_when_it_is_lost() {
    let mut bench = Bench::new().await;
    let at = |minutes: i64, seconds: i64| NOON + minutes * MINUTE + seconds * SECOND;
    bench.happened("before the webhook was there", at(1, 0), PULL).await;
    assert_eq!(bench.told(at(200, 0)).await, [], "it has no webhook yet");
    bench.happened("first", at(2, 30), BOTH).await;
    bench.happened("in the first minute, before it", at(2, 10), PULL).await;
    bench.happened("in the first minute, behind it", at(2, 50), PULL).await;
    bench.happened("lost", at(7, 0), PULL).await;
    bench.happened("beside it", at(7, 1), BOTH).await;
    bench.happened("an hour later", at(65, 0), PULL).await;

    // The lateness and three intervals: until then the webhook may bring it, or a gap around it be found.
    let ripe = LATENESS + 3 * MINUTE;
    let noon = |events| (NOON, events, "pull".to_owned());
    assert_eq!(bench.told(at(7, 0) + ripe - 9).await, [noon(1)]);
    assert_eq!(bench.told(at(7, 0) + ripe + 9).await, [noon(2)]);
    let both = [noon(2), (NOON + HOUR, 1, "pull".to_owned())];
    assert_eq!(bench.told(at(90, 0)).await, both);

    // A gap of the webhook tells its own losses, however late it is found.
    let gap = Gap {
        tenant: TENANT.into(),
        source_id: "kc".into(),
        scope: "acme".into(),
        input: "webhook".into(),
        since: at(64, 0),
        cause: "sender_dropped".into(),
        until: Some(at(66, 0)),
        missing: None,
        repaired_at: None,
        repaired_by: String::new(),
        recorded_at: 1,
    };
    bench.database.store.put_gaps(&[gap]).await.unwrap();
    assert_eq!(bench.told(at(91, 0)).await, [noon(2), (NOON + HOUR, 0, "webhook".to_owned())]);

    // What the webhook brings in the end was late and not lost.
    bench.happened("lost", at(7, 0), &[Input::Webhook]).await;
    assert_eq!(bench.told(at(92, 0)).await[0], noon(1));
    bench.happened("in the first minute, behind it", at(2, 50), &[Input::Webhook]).await;
    assert_eq!(bench.told(at(93, 0)).await[0], (NOON, 0, "webhook".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_that_contradict_each_other_are_a_gap_until_they_agree() {
    let bench = Bench::new().await;
    let store = &bench.database.store;
    let copy = |seq, input, ip: &str, normaliser| {
        let mut stored = receipt(position(1, seq), input, "a");
        let mut said = event(&stored);
        (said.ip, said.normaliser, stored.normaliser) = (ip.to_owned(), normaliser, normaliser);
        stored.fate = Fate::event(&stored.receipt.header, &said);
        Block { receipts: vec![stored], events: vec![said] }
    };
    // What a round after the roller's leaves on record, and what the metric says.
    let told = async |round: i64| {
        store.roll(&Rolling { quiet: Duration::ZERO, cells: usize::MAX }).await.unwrap();
        bench.keeper.round(NOON + HOUR + round, false).await.unwrap();
        let gaps = bench.gaps().await.into_iter().filter(|gap| gap.cause == "copies_differ");
        let told: Vec<_> =
            gaps.map(|gap| (gap.source_id, gap.since, gap.until, gap.missing, gap.repaired_at)).collect();
        let families = bench.registry.gather();
        let family = families.iter().find(|family| family.name() == "tokentrail_copies_differ_events");
        (told, family.map_or(0.0, |family| family.get_metric()[0].get_gauge().get_value()))
    };
    let gap = |repaired: Option<i64>| vec![("kc".to_owned(), NOON, Some(NOON + HOUR), Some(1), repaired)];
    store.insert(&copy(0, Input::Webhook, "192.0.2.1", 1)).await.unwrap();
    store.insert(&copy(1, Input::Pull, "192.0.2.1", 1)).await.unwrap();
    assert_eq!(told(0).await, (Vec::new(), 0.0));
    // The words of the pull are others after a newer normaliser, then the same again, then others.
    store.insert(&copy(1, Input::Pull, "192.0.2.9", 2)).await.unwrap();
    assert_eq!(told(1).await, (gap(None), 1.0));
    assert_eq!(told(2).await, (gap(None), 1.0));
    store.insert(&copy(1, Input::Pull, "192.0.2.1", 3)).await.unwrap();
    assert_eq!(told(3).await, (gap(Some(NOON + HOUR + 3)), 0.0));
    store.insert(&copy(1, Input::Pull, "192.0.2.9", 4)).await.unwrap();
    assert_eq!(told(4).await, (gap(None), 1.0));
}
