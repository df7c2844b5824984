//! What imports repair, on a real engine: no more than heartbeats prove or, where none speaks against it, somebody said; gaps that
//! outlast the time that is looked at keep their beginning; and a clock that is off is told as such.
#![allow(clippy::unwrap_used)] // a test may panic

use events::{
    receipt::{Input, SourceKind},
    record::Held,
};
use pipeline::coverage::{Expected, Keeper};
use prometheus::Registry;
use store::{
    ClaimedSpan, Gap, Records, SeenHeartbeat, SentHeartbeat, Store,
    engine::{self, Engine, EngineOptions},
};

const NOON: i64 = 1_795_521_600_000;
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const LATENESS: i64 = 2 * MINUTE;

/// Not a test: where the engine's child process begins.
#[test]
fn engine_child() {
    engine::run_if_asked();
}

struct Bench {
    store: Store,
    keeper: Keeper,
    engine: Engine,
    _dir: tempfile::TempDir,
}

impl Bench {
    /// A Keycloak of realm `acme`, a heartbeat in every `interval`.
    async fn new(interval: i64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let library = testbed::engine().unwrap();
        let command = engine::test_command("engine_child").unwrap();
        let engine = Engine::start(EngineOptions { library, dir: dir.path().join("engine"), command }).await.unwrap();
        let store = Store::connect(engine.connect_options("tokentrail")).unwrap();
        store.migrate().await.unwrap();
        let push = Some((Input::Webhook, vec!["acme".to_owned()], interval));
        let expected = vec![Expected { source_id: "kc".into(), kind: SourceKind::Keycloak, push, pull: None }];
        let place = (store.clone(), "default".to_owned());
        let keeper = Keeper::new(place, LATENESS, expected, (|| NOON, &Registry::new())).unwrap();
        Self { store, keeper, engine, _dir: dir }
    }

    async fn sent(&self, times: impl Iterator<Item = i64>) {
        let beat = |at: i64| SentHeartbeat {
            tenant: "default".into(),
            source_id: "kc".into(),
            sent_at: at,
            scope: "acme".into(),
            id: format!("b{at}"),
            state: "sent".into(),
        };
        let sent = times.map(beat).collect();
        self.store.put_records(&Records { sent, ..Records::default() }).await.unwrap();
    }

    async fn seen(&self, by: Input, times: impl Iterator<Item = i64>) {
        let beat = |at: i64| SeenHeartbeat {
            tenant: "default".into(),
            source_id: "kc".into(),
            time: at,
            id: format!("b{at}"),
            input: by.as_str().into(),
            received_at: at,
        };
        let seen = times.map(beat).collect();
        self.store.put_records(&Records { seen, ..Records::default() }).await.unwrap();
    }

    async fn claim(&self, held: Held, (since, until): (i64, i64)) {
        let claim = ClaimedSpan {
            tenant: "default".into(),
            source_id: "kc".into(),
            scope: "acme".into(),
            held: held.as_str().into(),
            since,
            until,
            recorded_at: 1,
        };
        self.store.put_records(&Records { claims: vec![claim], ..Records::default() }).await.unwrap();
    }

    /// Judges twice, which must be as good as once, and gives what is not repaired.
    async fn round(&self, now: i64, thorough: bool) -> Vec<(i64, Option<i64>)> {
        self.keeper.round(now, thorough).await.unwrap();
        let once = self.store.gaps("default", 0).await.unwrap();
        self.keeper.round(now + 1, thorough).await.unwrap();
        assert_eq!(self.store.gaps("default", 0).await.unwrap(), once, "a second round changes something");
        once.iter().filter(|gap| gap.repaired_at.is_none()).map(|gap| (gap.since, gap.until)).collect()
    }
}

fn minutes(range: std::ops::RangeInclusive<i64>) -> impl Iterator<Item = i64> {
    range.map(|n| NOON + n * MINUTE)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_of_a_keycloak_is_repaired_where_both_exports_were_claimed_and_no_heartbeat_speaks_against_it() {
    let bench = Bench::new(MINUTE).await;
    let at = |n: i64| NOON + n * MINUTE;
    bench.sent(minutes(0..=60)).await;
    bench.seen(Input::Webhook, minutes(0..=10)).await;
    bench.seen(Input::Webhook, minutes(31..=60)).await;
    let (whole, now) = ([(at(10), Some(at(31)))], at(61));
    assert_eq!(bench.round(now, true).await, whole);
    bench.claim(Held::UserEvents, (at(0), at(40))).await;
    assert_eq!(bench.round(now, true).await, whole, "admin events are not claimed");
    bench.claim(Held::AdminEvents, (at(12), at(40))).await;
    assert_eq!(bench.round(now, true).await, whole, "heartbeats that Keycloak took did not come");
    bench.seen(Input::Import, minutes(11..=20)).await;
    let rest = [(at(10), Some(at(12))), (at(20), Some(at(31)))];
    assert_eq!(bench.round(now, true).await, rest, "no more than what is claimed and came");
    bench.seen(Input::Import, minutes(21..=30)).await;
    assert_eq!(bench.round(now, false).await, rest[..1]);
    bench.claim(Held::AdminEvents, (at(10), at(12))).await;
    assert_eq!(bench.round(now, false).await, []);
    let history = bench.store.gaps("default", 0).await.unwrap();
    assert!(history.iter().all(|gap| gap.repaired_by == "import"), "{history:?}");
    bench.engine.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_that_outlasts_what_is_looked_at_stays_one_and_can_be_repaired_later() {
    let bench = Bench::new(HOUR).await;
    let at = |hours: i64| NOON + hours * HOUR;
    // The webhook stops after two hours, for sixty days; the program itself is away from the third hour to the tenth.
    bench.sent((0..=2).map(at)).await;
    bench.seen(Input::Webhook, (0..=2).map(at)).await;
    let both = [Held::UserEvents, Held::AdminEvents];
    assert_eq!(bench.round(at(2), true).await, []);
    assert_eq!(bench.round(at(9), false).await, [(at(2), None)], "an absence of more than what is looked at");
    for held in both {
        bench.claim(held, (at(2), at(7))).await;
    }
    let rest = [(at(7), None)];
    assert_eq!(bench.round(at(9) + 5, false).await, rest, "an open gap goes on behind what is repaired");
    bench.sent((10..=1_440).map(at)).await;
    for days in [1, 31, 33, 34, 59] {
        for thorough in [true, false] {
            let now = NOON + days * DAY + 30 * MINUTE;
            let open = bench.round(now, thorough).await;
            assert_eq!(open.last(), Some(&(at(7), None)), "day {days}: {open:?}");
            assert_eq!(open.len(), 1, "day {days}: {open:?}");
        }
    }
    // It comes back at last; what was missing is repaired by an export of all of it, long after.
    bench.seen(Input::Webhook, std::iter::once(at(1_440))).await;
    let now = at(1_440) + 30 * MINUTE;
    let closed: Vec<Gap> = {
        bench.round(now, true).await;
        bench.store.gaps("default", i64::MAX).await.unwrap()
    };
    assert_eq!((closed.len(), closed[0].since), (1, at(7)), "{closed:?}");
    for held in both {
        bench.claim(held, (at(7), at(1_440))).await;
    }
    bench.seen(Input::Import, (10..=1_439).map(at)).await;
    assert_eq!(bench.round(now, false).await.len(), 1, "only a thorough round looks back so far");
    assert_eq!(bench.round(now, true).await, []);
    bench.engine.close().await;
}

/// The same heartbeats came by a topic, too, which dates them right: the gauge of each input tells what that input says.
async fn offsets_are_told_by_input(bench: &Bench, now: i64) {
    bench.seen(Input::Kafka, minutes(0..=20)).await;
    let expected = [Input::Webhook, Input::Kafka].map(|input| Expected {
        source_id: "kc".into(),
        kind: SourceKind::Keycloak,
        push: Some((input, vec!["acme".to_owned()], MINUTE)),
        pull: None,
    });
    let (place, registry) = ((bench.store.clone(), "default".to_owned()), Registry::new());
    let keeper = Keeper::new(place, LATENESS, expected.into(), (|| NOON, &registry)).unwrap();
    keeper.round(now, true).await.unwrap();
    let families = registry.gather();
    let family = families.iter().find(|family| family.name() == "tokentrail_clock_offset_seconds").unwrap();
    let told: Vec<_> = family
        .get_metric()
        .iter()
        .map(|one| {
            let labels = one.get_label().iter().map(|label| (label.name(), label.value())).collect::<Vec<_>>();
            (labels, one.get_gauge().get_value())
        })
        .collect();
    let of = |input| vec![("input", input), ("source", "kc")];
    let hour = (HOUR + 20 - 300) as f64 / 1_000.0;
    assert_eq!(told, [(of("kafka"), 0.0), (of("webhook"), hour)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_an_hour_off_is_told_as_such_and_not_as_silence() {
    let bench = Bench::new(MINUTE).await;
    let at = |n: i64| NOON + n * MINUTE;
    let came = async |range: std::ops::RangeInclusive<i64>, ahead: i64| {
        let beat = |at: i64| SeenHeartbeat {
            tenant: "default".into(),
            source_id: "kc".into(),
            time: at + ahead + 20,
            id: format!("b{at}"),
            input: "webhook".into(),
            received_at: at + 300,
        };
        let seen = minutes(range).map(beat).collect();
        bench.store.put_records(&Records { seen, ..Records::default() }).await.unwrap();
    };
    let causes = async || -> Vec<String> {
        let gaps = bench.store.gaps("default", 0).await.unwrap();
        gaps.into_iter().filter(|gap| gap.repaired_at.is_none()).map(|gap| gap.cause).collect()
    };
    bench.sent(minutes(0..=30)).await;
    came(0..=4, 0).await;
    came(5..=20, HOUR).await;
    assert_eq!(bench.round(at(20), true).await, [(at(5), None)]);
    assert_eq!(causes().await, ["clock_off"]);
    offsets_are_told_by_input(&bench, at(20)).await;
    // Set right, it is over; what was said meanwhile stays in doubt.
    came(21..=30, 0).await;
    assert_eq!(bench.round(at(30), false).await, [(at(5), Some(at(21)))]);
    assert_eq!(bench.round(at(30) + DAY, true).await[0], (at(5), Some(at(21))));
    bench.engine.close().await;
}
