//! Rules judged round by round on a real engine: what was not said over a gap is said once that is repaired, also where that holds others
//! back for a while; and what began after somebody had dealt with it stands again.
#![allow(clippy::unwrap_used)] // a test may panic

mod closed;
mod configured;
mod contradicted;
mod escalation;
mod large;
mod much;
mod orphans;
mod retold;
mod ripe;
mod sliced;
#[path = "../../../store/tests/support/mod.rs"]
mod support;
mod switched_off;

use drift::facts::{Product, Source};
use events::receipt::{Input, SourceKind};
use pipeline::detect::{DetectMetrics, Detector, Reader};
use prometheus::Registry;
use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, Instant},
};
use store::{Block, Gap, Watermark, findings::Finding, findings::FindingChange};
use support::{Database, NOON, TENANT, event, position, receipt};
use tokio::sync::watch;
use uuid::Uuid;

const MINUTE: i64 = 60_000;
/// Of the tests' clock, which moves on by a millisecond with each look at it.
const NOW: i64 = NOON + 60 * MINUTE;
static LOOKS: AtomicI64 = AtomicI64::new(0);
/// How long a token lives here.
const LIFE: i64 = 10 * MINUTE;
/// Longest wait on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// Not a test: where the shared engine's child process begins.
#[test]
fn engine_child() {
    store::engine::run_if_asked();
}

struct Bench {
    database: Database,
}

impl Bench {
    /// A Keycloak and a Backstage that are heard since noon.
    async fn new() -> Self {
        let bench = Self { database: Database::new().await };
        let mut block = Block::default();
        let sources = [("kc", SourceKind::Keycloak, Input::Webhook), ("bs", SourceKind::Backstage, Input::Lines)];
        for (seq, (source, kind, input)) in (0..).zip(sources) {
            let mut stored = receipt(position(1, seq), input, source);
            (stored.receipt.header.source_id, stored.receipt.header.source_kind) = (source.to_owned(), kind);
            let mut said = event(&stored);
            (said.source_id, said.source_kind) = (source.to_owned(), kind);
            block.events.push(said);
            block.receipts.push(stored);
        }
        bench.database.store.insert(&block).await.unwrap();
        bench
    }

    /// Somebody was let in so many minutes after noon, and no credential can stand behind it.
    async fn let_in(&self, person: char, minute: i64) {
        let (person, at) = (person.to_string().repeat(32), NOON + minute * MINUTE);
        let sql = format!(
            "INSERT INTO decision_rows (tenant, person, at, row_id, version, event_id, permission, outcome, verdict, candidates, grade) \
             VALUES ('{TENANT}', '{person}', fromUnixTimestamp64Milli({at}, 'UTC'), left('{person}', 16), 1, '{}', 'catalog.read', 'allow', \
             'not_judged', 0, 'none')",
            Uuid::new_v4()
        );
        self.database.sql().query(&sql).execute().await.unwrap();
    }

    /// Minutes after noon up to which a source is complete.
    async fn complete(&self, source: &str, minute: i64) {
        self.mark((source, Input::Webhook), minute).await;
    }

    /// The same of one input.
    async fn mark(&self, (source, input): (&str, Input), minute: i64) {
        let mark = Watermark {
            tenant: TENANT.into(),
            source_id: source.into(),
            input,
            watermark: NOON + minute * MINUTE,
            recorded_at: NOON + minute * MINUTE,
        };
        self.database.store.put_watermarks(&[mark]).await.unwrap();
    }

    /// A gap in minutes after noon; `recorded`: which of several rows about it counts.
    async fn gap(&self, source: &str, (since, until): (i64, Option<i64>), (repaired, recorded): (Option<i64>, i64)) {
        let gap = Gap {
            tenant: TENANT.into(),
            source_id: source.into(),
            scope: String::new(),
            input: "webhook".into(),
            since: NOON + since * MINUTE,
            cause: "silent".into(),
            until: until.map(|until| NOON + until * MINUTE),
            missing: None,
            repaired_at: repaired.map(|minute| NOON + minute * MINUTE),
            repaired_by: repaired.map(|_| "pull".to_owned()).unwrap_or_default(),
            recorded_at: NOON + recorded,
        };
        self.database.store.put_gaps(&[gap]).await.unwrap();
    }

    /// Somebody is done with a finding, so many minutes after noon.
    async fn close(&self, finding_id: Uuid, minute: i64) {
        let closed = FindingChange {
            tenant: TENANT.into(),
            finding_id,
            change_id: Uuid::new_v4(),
            changed_at: NOON + minute * MINUTE,
            what: "closed".into(),
            actor: "ana".into(),
            reason: "seen".into(),
            until: None,
            severity: String::new(),
            answers: None,
        };
        self.database.store.put_finding_changes(&[closed]).await.unwrap();
    }

    fn detector(&self) -> Detector {
        let source =
            |id: &str, product, token_life| Source { id: id.into(), product, proven: true, first: None, token_life };
        let reader = Reader {
            store: self.database.another(),
            tenant: TENANT.into(),
            sources: vec![source("kc", Product::Keycloak, 0), source("bs", Product::Backstage, LIFE)],
            settings: drift::Settings::default(),
            // Nothing is ripe by its age alone.
            lateness: NOW,
            correlated: true,
            baselines: Vec::new(),
            sign_ins: Vec::new(),
        };
        let metrics = DetectMetrics::register(&Registry::new()).unwrap();
        Detector {
            reader,
            acknowledged: None,
            clock: || NOW + LOOKS.fetch_add(1, Ordering::SeqCst),
            metrics,
            hint: watch::channel(0).0,
        }
    }

    async fn of(&self, rule: &str, person: &str) -> Option<Finding> {
        let all = self.database.store.findings(TENANT).await.unwrap();
        all.into_iter().find(|one| one.rule == rule && one.person.starts_with(person))
    }

    /// Waits until a finding of a rule, and of the person whose key begins so, is as it should be.
    async fn until(&self, (rule, person): (&str, &str), fits: impl Fn(&Finding) -> bool) -> Finding {
        let of = |one: &&Finding| one.rule == rule && one.person.starts_with(person);
        self.look(&format!("{rule} of {person}"), |all| all.iter().find(of).filter(|one| fits(one)).cloned()).await
    }

    /// Waits until there is something among the findings.
    async fn look<T>(&self, what: &str, among: impl Fn(&[Finding]) -> Option<T>) -> T {
        let began = Instant::now();
        loop {
            let all = self.database.store.findings(TENANT).await.unwrap();
            if let Some(found) = among(&all) {
                return found;
            }
            assert!(began.elapsed() < PATIENCE, "{what}: {all:?}");
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_gap_kept_from_being_said_is_said_once_it_is_repaired() {
    let bench = Bench::new().await;
    bench.complete("kc", 61).await;
    bench.complete("bs", 46).await;
    // One was let in while the login may have been lost, one when nothing was.
    bench.gap("kc", (15, Some(25)), (None, 1)).await;
    bench.let_in('a', 22).await;
    bench.let_in('b', 45).await;
    let detector = bench.detector();
    let running = tokio::spawn(async move { detector.run().await });
    let found = bench.until(("D19", "b"), |one| one.state == "OPEN").await;
    assert_eq!(bench.of("D19", "a").await, None, "not over a gap");

    // As after a rebuild from the log: somebody was done with one of the same id before this one began; and with another one later.
    bench.close(found.finding_id, 30).await;
    bench.gap("kc", (15, Some(25)), (Some(50), 2)).await;
    bench.until(("D12", ""), |one| one.standing == "ended").await;
    // The same round says it, though of this person nothing was ever found.
    let late = bench.of("D19", "a").await.unwrap();
    assert_eq!((late.state.as_str(), late.first_at), ("OPEN", NOON + 22 * MINUTE));
    let again = bench.until(("D19", "b"), |one| one.state == "OPEN").await;
    assert_eq!((again.standing.as_str(), again.changes), ("open", 2), "opened, and again because it began later");
    bench.close(late.finding_id, 55).await;

    // A source is silent and holds nothing back; heard again it does, for what was passed over meanwhile, too.
    bench.let_in('c', 50).await;
    bench.gap("bs", (47, None), (None, 3)).await;
    bench.until(("D12", ""), |one| one.standing == "open").await;
    bench.gap("bs", (47, Some(58)), (Some(59), 4)).await;
    let over = |one: &Finding| one.standing == "ended" && one.first_at == NOON + 47 * MINUTE;
    bench.until(("D12", ""), over).await;
    assert_eq!(bench.of("D19", "c").await, None, "the source is not complete up to then");
    bench.complete("bs", 61).await;
    bench.until(("D19", "c"), |one| one.state == "OPEN").await;
    assert_eq!(bench.of("D19", "a").await.unwrap().state, "CLOSED", "who closed it had seen its beginning");
    running.abort();
}
