//! A correlation whose memory is full forgets what is over, on a real engine: its rows are those of one that knows everything, whatever
//! it forgot, however often it was killed, and whatever comes late. No row that it forgot is ever taken away.
#![allow(clippy::unwrap_used)] // a test may panic

mod again;
mod days;
#[path = "../patience/mod.rs"]
mod patience;
#[path = "../../../store/tests/support/mod.rs"]
mod support;

use days::{DAY, DAYS, HOUR, Teller, midnight};
use events::person::DeploymentKey;
use patience::until;
use pipeline::{
    correlation::{
        Acknowledged, Announcement, CorrelationMetrics, Late, Memory, Phase, Probe, Remembered, Stage, Suspects,
    },
    faults::Faults,
};
use prometheus::Registry;
use std::time::Duration;
use store::{Block, correlation::version};
use support::{Database, NOON, TENANT};
use tokio::{
    sync::{OnceCell, watch},
    task::JoinHandle,
    time::Instant,
};

const PLENTY: u64 = 1 << 30;
/// Far less than the story takes, and more than its last days do.
const LITTLE: u64 = 480_000;

/// Not a test: where the shared engine's child process begins.
#[test]
fn engine_child() {
    store::engine::run_if_asked();
}

/// A program that correlates.
struct Program {
    acknowledged: Acknowledged,
    metrics: CorrelationMetrics,
    stop: watch::Sender<bool>,
    running: JoinHandle<()>,
}

impl Program {
    /// `checkpoints`: how often; none: never.
    fn start(database: &Database, budget: u64, checkpoints: Option<Duration>) -> Self {
        Self::start_seen((database, budget), checkpoints, |_| None)
    }

    /// The same, with what sees each event before it is taken in.
    fn start_seen(
        (database, budget): (&Database, u64),
        checkpoints: Option<Duration>,
        probe: impl FnOnce(&Acknowledged) -> Option<Probe>,
    ) -> Self {
        let registry = Registry::new();
        let (acknowledged, metrics) = (Acknowledged::default(), CorrelationMetrics::register(&registry).unwrap());
        let mut join = correlate::Join::new("bs", "kc");
        join.by_name = true;
        let config = correlate::Config {
            tenant: TENANT.into(),
            key: DeploymentKey::new([9; 32]),
            joins: vec![join],
            skew: 1_000,
        };
        let stage = Stage {
            store: database.another(),
            config,
            acknowledged: acknowledged.clone(),
            name: "one".into(),
            metrics: metrics.clone(),
            checkpoints,
            memory: Memory { budget, clock: || NOON },
            faults: Faults::register(&registry, || NOON).unwrap(),
            suspects: probe(&acknowledged).map_or_else(Suspects::default, Suspects::probed),
        };
        let (stop, stopped) = watch::channel(false);
        let running = tokio::spawn(async move { stage.run(stopped).await });
        Self { acknowledged, metrics, stop, running }
    }

    /// Waits until everything that it was told is answered.
    async fn answered(&self) -> Remembered {
        until("all is answered", async || {
            let standing = self.acknowledged.standing();
            let kept = self.acknowledged.remembered();
            kept.filter(|_| standing.phase == Phase::Following && standing.lag == 0)
        })
        .await
    }

    async fn told(&self, database: &Database, block: &Block) {
        database.store.insert(block).await.unwrap();
        self.acknowledged.note(&Announcement::of(block));
    }

    async fn kill(self) {
        self.running.abort();
        let _ = self.running.await;
    }

    async fn stop(self) {
        self.stop.send_replace(true);
        self.running.await.unwrap();
    }
}

/// Rows by table.
type Rows = Vec<(&'static str, Vec<String>)>;

/// The rows that stand, without what may differ.
async fn rows(database: &Database) -> Rows {
    let tables = [
        "session_rows",
        "token_rows",
        "credential_rows",
        "grant_rows",
        "decision_rows",
        "missing_event_rows",
        "alias_rows",
        "world_rows",
    ];
    let mut all = Vec::new();
    for table in tables {
        let row = format!(
            "SELECT formatRow('JSONEachRow', hex(row_id), * EXCEPT (version, because, row_id)) AS row FROM {table} FINAL ORDER BY at, row"
        );
        all.push((table, database.sql().query(&row).fetch_all::<String>().await.unwrap()));
    }
    all
}

async fn assert_same(database: &Database, expected: &Rows, how: &str) {
    for ((table, found), (_, expected)) in rows(database).await.iter().zip(expected) {
        for (found, expected) in found.iter().zip(expected) {
            assert_eq!(found, expected, "{how}: {table}");
        }
        assert_eq!(found.len(), expected.len(), "{how}: {table}");
    }
}

/// What all of it comes to for one who knows everything, and how much that is.
async fn all_known(blocks: &[Block]) -> Rows {
    let database = Database::new().await;
    for block in blocks {
        database.store.insert(block).await.unwrap();
    }
    let program = Program::start(&database, PLENTY, None);
    let kept = program.answered().await;
    assert_eq!((kept.floor, program.metrics.forgets.get()), (None, 0), "there is room for all");
    program.stop().await;
    assert!(kept.bytes > LITTLE + LITTLE / 2, "{kept:?}");
    let rows = rows(&database).await;
    let decisions = rows.iter().find(|(table, _)| *table == "decision_rows").map_or(0, |(_, rows)| rows.len());
    assert!(decisions > 1_000, "{decisions}");
    rows
}

/// The same of the story as it is.
async fn all_of_story() -> &'static Rows {
    static ALL: OnceCell<Rows> = OnceCell::const_new();
    ALL.get_or_init(async || all_known(&story()).await).await
}

/// The whole story, some days a block.
fn story() -> Vec<Block> {
    let mut teller = Teller::new(1);
    teller.begin();
    let mut blocks = Vec::new();
    for day in 0..DAYS {
        teller.day(day);
        if day % 4 == 3 {
            blocks.push(teller.block());
        }
    }
    blocks
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_memory_forgets_what_is_over_and_no_row_is_another() {
    let blocks = story();
    let expected = all_of_story().await;

    // Day by day, and killed in the middle.
    let database = Database::new().await;
    let mut program = Program::start(&database, LITTLE, Some(Duration::from_millis(1)));
    let (mut forgot, mut floor) = (0, None);
    for (number, block) in blocks.iter().enumerate() {
        program.told(&database, block).await;
        let kept = program.answered().await;
        assert!(kept.bytes <= LITTLE, "{kept:?}");
        assert!(kept.floor >= floor && kept.waiting.is_none(), "{kept:?}");
        floor = kept.floor;
        if number == 3 {
            until("there is a checkpoint", async || (program.metrics.checkpoints.get() > 0).then_some(())).await;
            forgot += program.metrics.forgets.get();
            program.kill().await;
            program = Program::start(&database, LITTLE, Some(Duration::from_millis(1)));
            program.answered().await;
            assert_eq!((program.metrics.resumes.get(), program.metrics.loads.get()), (1, 0));
        }
    }
    let kept = program.answered().await;
    forgot += program.metrics.forgets.get();
    assert!(forgot >= 2 && kept.floor > Some(midnight(DAYS / 2)), "{forgot} times, {kept:?}");
    assert_same(&database, expected, "forgotten day by day").await;
    program.stop().await;

    // Rows that nothing says, of any time; good ones elsewhere, or with other words; good ones taken away.
    let behind = format!("toUInt64({}) AS version", version(1, 1 << 38));
    for (table, change) in [
        ("decision_rows", "toFixedString(reverse(row_id), 16) AS row_id"),
        ("decision_rows", "'violation' AS verdict, content + 1 AS content"),
        ("session_rows", "at + INTERVAL 11 DAY AS at"),
        ("session_rows", "at - INTERVAL 11 DAY AS at"),
        ("grant_rows", "1 AS is_deleted"),
        ("alias_rows", "toFixedString(reverse(row_id), 16) AS row_id, 'nobody' AS name"),
    ] {
        let sql = format!(
            "INSERT INTO {table} SELECT * REPLACE ({behind}, {change}) FROM {table} FINAL WHERE rowNumberInAllBlocks() % 7 = 0"
        );
        database.sql().query(&sql).execute().await.unwrap();
    }
    assert!(rows(&database).await != *expected);
    // Everything anew, from events alone.
    let program = Program::start(&database, LITTLE, None);
    let kept = program.answered().await;
    assert!(kept.bytes <= LITTLE && kept.floor.is_some() && program.metrics.forgets.get() >= 2, "{kept:?}");
    assert_eq!((program.metrics.loads.get(), program.metrics.old_loads.get()), (1, 0));
    program.stop().await;
    assert_same(&database, expected, "read in parts").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_older_than_what_is_kept_has_all_read_anew_once() {
    let mut blocks = story();
    let database = Database::new().await;
    // Block by block: what is read anew is paced by how long the beginning took.
    let program = Program::start(&database, LITTLE, Some(Duration::from_millis(1)));
    program.answered().await;
    for block in &blocks {
        program.told(&database, block).await;
        program.answered().await;
    }
    let kept = program.answered().await;
    assert!(kept.floor > Some(midnight(8)), "{kept:?}");
    assert_eq!((program.metrics.loads.get(), program.metrics.old_loads.get()), (1, 0));

    // A source whose clock is weeks behind is named.
    let (mut last, mut longest) = (Instant::now(), Duration::ZERO);
    let mut behind = Teller::new(3);
    behind.member(midnight(3) + 13 * HOUR, ("bob", false));
    behind.member(midnight(3) + 14 * HOUR, ("bob", true));
    blocks.push(behind.block());
    program.told(&database, blocks.last().unwrap()).await;
    program.answered().await;
    if program.metrics.old_loads.get() == 0 {
        // Each is received ten milliseconds after the one before.
        let late = NOON + 10 - (midnight(3) + 14 * HOUR);
        assert_eq!(program.acknowledged.late(), Late::from([("kc".to_owned(), late)]));
        assert_eq!(program.metrics.late.with_label_values(&["kc"]).get(), late / 1_000);
    }

    // Weeks ago somebody lost a group for a day, and there were sessions of which nobody knew: an import in many blocks.
    let mut teller = Teller::imported(2);
    for number in 0..10 {
        let at = midnight(3) + 12 * HOUR + number * 60_000;
        teller.sign_in(at, ("fay", &format!("late-{number}")));
        if number == 0 {
            teller.member(at, ("ann", false));
            teller.member(at + DAY, ("ann", true));
        }
        let block = teller.block();
        program.told(&database, &block).await;
        blocks.push(block);
        let kept = program.answered().await;
        longest = longest.max(last.elapsed());
        last = Instant::now();
        if program.metrics.old_loads.get() == 0 {
            assert_eq!(kept.waiting, Some(midnight(3) + 12 * HOUR), "it says what it waits for");
        }
    }
    until("it was read anew", async || {
        let kept = program.answered().await;
        (program.metrics.old_loads.get() > 0 && kept.waiting.is_none()).then_some(())
    })
    .await;
    // Where the machine was so slow that the import seemed to be over it may have been twice.
    let most = if longest < Duration::from_millis(2_500) { 1 } else { 2 };
    let read = program.metrics.old_loads.get();
    assert!(read <= most, "{read} times, {longest:?}");
    assert_eq!(program.metrics.loads.get(), 1 + read);
    assert_eq!(program.acknowledged.late(), Late::new(), "it was answered, and no more came");
    assert_eq!(program.metrics.late.with_label_values(&["kc"]).get(), 0);
    let expected = all_known(&blocks).await;
    assert_same(&database, &expected, "imported").await;
    program.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_row_that_was_forgotten_is_taken_away_after_a_start() {
    let blocks = story();
    let expected = all_of_story().await;
    let database = Database::new().await;
    let (last, first) = blocks.split_last().unwrap();
    for block in first {
        database.store.insert(block).await.unwrap();
    }
    let program = Program::start(&database, LITTLE, Some(Duration::from_millis(1)));
    let kept = program.answered().await;
    assert!(kept.floor > Some(midnight(8)), "{kept:?}");
    program.stop().await;

    // Somebody who went on from another checkpoint said the same of what this one forgot, with a later version.
    let behind = format!("toUInt64({}) AS version", version(1, 1 << 39));
    for table in ["decision_rows", "session_rows", "token_rows", "grant_rows"] {
        let sql = format!(
            "INSERT INTO {table} SELECT * REPLACE ({behind}) FROM {table} FINAL \
             WHERE at < fromUnixTimestamp64Milli({}) AND at > '2000-01-01'",
            midnight(6)
        );
        database.sql().query(&sql).execute().await.unwrap();
    }
    database.store.insert(last).await.unwrap();
    let program = Program::start(&database, LITTLE, Some(Duration::from_millis(1)));
    program.answered().await;
    let began = (program.metrics.resumes.get(), program.metrics.loads.get());
    program.stop().await;
    assert_same(&database, expected, "in doubt").await;
    assert_eq!(began, (0, 1), "in doubt all is read");
}
