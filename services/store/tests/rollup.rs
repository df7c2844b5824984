//! Rolled up counts on a real engine: in any order, with repeats, conflicts, newer verdicts, dead writers and a roller that is
//! cut off at any request, `fates` and `streams` say what counting all receipts says. `TOKENTRAIL_ROLLUP_SEEDS` for more
//! than the suite's 2 histories.
#![allow(clippy::unwrap_used)]

mod support;

use events::{
    normalise::{Dead, Ignored},
    receipt::{Input, LinePlace, TimeBasis},
};
use std::{collections::BTreeSet, time::Duration};
use store::{Block, Fate, Rolled, Rolling, Store, StoredReceipt};
use support::{Database, NOON, TENANT, cutter::Cutter, event, position, receipt, seeded::Seeded};

const MINUTE: i64 = 60_000;
const ALL: Rolling = Rolling { quiet: Duration::ZERO, cells: usize::MAX };

/// Not a test: where the shared engine's child process begins.
#[test]
fn engine_child() {
    store::engine::run_if_asked();
}

/// A receipt with what becomes of it; the event is none where the fate is another.
fn put(block: &mut Block, mut stored: StoredReceipt, minute: i64) {
    let mut said = event(&stored);
    said.time = NOON + minute * MINUTE + 7;
    if stored.receipt.header.line.is_some() {
        // Only the delivery's key tells a repeat, and each repeat is dated when it was read.
        let header = &stored.receipt.header;
        let key = format!("delivery:{}:{}", header.delivery_id, header.delivery_index);
        said.event_id = events::ids::event_id(TENANT, "kc", &key, 0);
        (said.time, said.time_basis) = (header.received_at, TimeBasis::Receipt);
    }
    if matches!(stored.fate, Fate::Event { .. }) {
        said.normaliser = stored.normaliser;
        stored.fate = Fate::event(&stored.receipt.header, &said);
        block.events.push(said);
    }
    block.receipts.push(stored);
}

/// What a position holds, from its seed: few native ids, so that many receipts are copies.
fn random_receipt(random: &mut Seeded, stream: u8, seq: u64, block: &mut Block) {
    let native = format!("n{}", random.below(12));
    let inputs: &[Input] = match stream {
        1 => &[Input::Webhook, Input::Pull],
        2 => &[Input::Webhook, Input::Kafka, Input::Pull],
        _ => &[Input::Pull, Input::Kafka, Input::Import],
    };
    let mut stored = receipt(position(stream, seq), random.pick(inputs), &native);
    let header = &mut stored.receipt.header;
    header.received_at = NOON + i64::try_from(random.below(9)).unwrap() * 20_000;
    let mut minute = i64::from(native.as_bytes()[1] % 5);
    match random.below(12) {
        0 => stored.fate = Fate::Ignored(random.pick(&[Ignored::Heartbeat, Ignored::State])),
        1 => stored.fate = Fate::Dead(random.pick(&[Dead::NotJson, Dead::UnknownShape])),
        2 => minute += 3, // contradicts the other copies of its event
        3 | 4 => {
            header.native_id.clear();
            header.input = Input::Lines;
            header.delivery_id = format!("batch-{}", random.below(3));
            header.delivery_index = u32::try_from(random.below(3)).unwrap();
            header.line = Some(LinePlace {
                instance: String::new(),
                number: 0,
                time_ns: None,
                basis: TimeBasis::Receipt,
                mark: "m".into(),
                backlog: false,
            });
        }
        5 => {
            header.native_id.clear();
            header.delivery_keyed = false;
        }
        _ => {}
    }
    if random.one_in(15) {
        stored.commitment[31] ^= 1; // the same position may come again with the other commitment
    }
    put(block, stored, minute);
}

async fn table(database: &Database, sql: &str) -> Vec<String> {
    let sql = format!("SELECT toString(tuple(*)) FROM ({sql}) ORDER BY ALL");
    database.sql().query(&sql).fetch_all().await.unwrap()
}

/// The rolled up answers against the definitions.
async fn agree(database: &Database, when: &str) {
    for (rolled, definition) in [
        (
            "SELECT * REPLACE (mapSort(reasons) AS reasons) FROM fates",
            "SELECT * REPLACE (mapSort(reasons) AS reasons) FROM fates_recounted",
        ),
        ("SELECT * FROM streams", "SELECT * FROM streams_recounted"),
    ] {
        assert_eq!(table(database, rolled).await, table(database, definition).await, "{rolled}, {when}");
    }
    let (from, to) = (NOON - MINUTE, NOON + 2 * MINUTE);
    let rolled =
        format!("SELECT tenant, source_id, stored FROM continuity_in(from = {from}, to = {to}) WHERE stored > 0");
    let definition = format!(
        "SELECT tenant, source_id, sum(stored) AS stored FROM cells_recounted WHERE cell >= {} AND cell < {} \
         GROUP BY tenant, source_id HAVING stored > 0",
        from / MINUTE,
        to / MINUTE
    );
    assert_eq!(table(database, &rolled).await, table(database, &definition).await, "{rolled}, {when}");
}

/// The same of the paths, which are defined by events: only where no block is there by half.
async fn paths_agree(database: &Database, when: &str) {
    let before = NOON + 3 * MINUTE + MINUTE / 2;
    let paths = database.store.paths(TENANT, before).await.unwrap();
    let found: Vec<_> = paths.iter().map(|p| (p.source_id.clone(), p.both, p.pull_only, p.push_only)).collect();
    assert_eq!(found, paths_recounted(database, before).await, "paths, {when}");
}

async fn paths_recounted(database: &Database, before: i64) -> Vec<(String, u64, u64, u64)> {
    let sql = format!(
        "SELECT source_id, countIf(w AND p), countIf(p AND NOT w AND at >= first_w), countIf(w AND NOT p AND at >= first_p) FROM (\
           SELECT source_id, event_id, max(input != 'pull') AS w, max(input = 'pull') AS p, min(time) AS at \
           FROM event_rows FINAL WHERE input IN ('webhook', 'kafka', 'pull') AND time < fromUnixTimestamp64Milli({before}, 'UTC') \
           GROUP BY source_id, event_id, toStartOfMinute(time)\
         ) AS e INNER JOIN (\
           SELECT source_id, minIf(time, input IN ('webhook', 'kafka')) AS first_w, minIf(time, input = 'pull') AS first_p \
           FROM event_rows FINAL GROUP BY source_id HAVING countIf(input IN ('webhook', 'kafka')) > 0 AND countIf(input = 'pull') > 0\
         ) AS f USING source_id GROUP BY source_id ORDER BY source_id"
    );
    database.sql().query(&sql).fetch_all().await.unwrap()
}

async fn settle(store: &Store) -> Rolled {
    let rolled = store.roll(&ALL).await.unwrap();
    assert_eq!(store.roll(&ALL).await.unwrap(), Rolled::default(), "nothing is left");
    rolled
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_comes_in_whatever_order_and_wherever_the_roller_stops_the_counts_are_those_of_all_receipts() {
    let seeds =
        std::env::var("TOKENTRAIL_ROLLUP_SEEDS").map_or(2, |n| n.parse().expect("TOKENTRAIL_ROLLUP_SEEDS is a number"));
    for seed in 0..seeds {
        let mut random = Seeded(seed);
        let database = Database::new().await;
        let cutter = Cutter::start(database.address()).await;
        let roller = database.through(cutter.url.clone());
        let mut blocks = Vec::new();
        for stream in 1..4_u8 {
            let mut next = 0;
            for _ in 0..4 {
                let mut block = Block::default();
                let end = next + 1 + random.below(12);
                for seq in next..end {
                    random_receipt(&mut random, stream, seq, &mut block);
                }
                next = end;
                blocks.push(block);
            }
        }
        let (mut cuts, mut halves) = (0, BTreeSet::new());
        for step in 0..25 {
            let writer = if random.one_in(4) { database.another() } else { roller.clone() };
            let picked = usize::try_from(random.below(blocks.len() as u64)).unwrap();
            let block = &blocks[picked];
            if random.one_in(3) {
                cutter.cut_after(i64::try_from(random.below(6)).unwrap(), random.one_in(2));
                if writer.insert(block).await.is_err() {
                    cuts += 1;
                    halves.insert(picked);
                }
            } else {
                writer.insert(block).await.unwrap();
                halves.remove(&picked);
            }
            if random.one_in(2) {
                // Else the writer is dead, or works on: its marks stay.
                cutter.mend();
                writer.close_marks().await.unwrap();
            }
            if random.one_in(2) {
                cutter.cut_after(i64::try_from(random.below(10)).unwrap(), random.one_in(2));
                let bounded = Rolling { cells: usize::try_from(random.below(4)).unwrap() + 1, ..ALL };
                cuts += usize::from(roller.roll(&bounded).await.is_err());
            }
            cutter.mend();
            if random.one_in(3) {
                agree(&database, &format!("seed {seed}, step {step}")).await;
                if halves.is_empty() {
                    paths_agree(&database, &format!("seed {seed}, step {step}")).await;
                }
            }
        }
        for half in halves {
            roller.insert(&blocks[half]).await.unwrap();
        }
        assert!(cuts > 0, "nothing was cut off: this proves less than it says");
        agree(&database, &format!("seed {seed}, at the end")).await;
        paths_agree(&database, &format!("seed {seed}, at the end")).await;
    }
}

#[tokio::test]
async fn a_settled_store_answers_from_its_rows_alone() {
    let database = Database::new().await;
    let mut random = Seeded(1);
    let mut block = Block::default();
    (0..200).for_each(|seq| random_receipt(&mut random, 1, seq, &mut block));
    database.store.insert(&block).await.unwrap();
    assert!(settle(&database.store).await.cells > 3);
    agree(&database, "settled").await;
    let kept = table(&database, "SELECT * FROM fates").await;
    database.sql().query("TRUNCATE TABLE receipt_rows").execute().await.unwrap();
    assert_eq!(table(&database, "SELECT * FROM fates").await, kept);
    assert_eq!(database.store.streams(TENANT).await.unwrap()[0].seqs, 200);
}

#[tokio::test]
async fn a_newer_verdict_empties_the_cell_that_its_receipts_leave() {
    let database = Database::new().await;
    let mut old = Block::default();
    for seq in 0..4 {
        put(&mut old, receipt(position(1, seq), Input::Webhook, &format!("n{seq}")), 0);
    }
    let mut new = Block::default();
    for seq in 0..3 {
        let mut stored = receipt(position(1, seq), Input::Webhook, &format!("n{seq}"));
        stored.normaliser += 1;
        put(&mut new, stored, 5); // it reads the time from another field
    }
    let mut ignored = receipt(position(1, 3), Input::Webhook, "n3");
    (ignored.fate, ignored.normaliser) = (Fate::Ignored(Ignored::State), ignored.normaliser + 1);
    ignored.receipt.header.received_at = NOON + 9 * MINUTE;
    old.receipts[3].receipt.header.received_at = NOON + 9 * MINUTE;
    new.receipts.push(ignored);
    database.store.insert(&old).await.unwrap();
    settle(&database.store).await;
    // By the same program, and by one that has never seen the stream.
    for writer in [database.store.clone(), database.another()] {
        writer.insert(&new).await.unwrap();
        agree(&database, "after the newer verdict").await;
        writer.close_marks().await.unwrap();
        settle(&database.store).await;
        agree(&database, "settled after the newer verdict").await;
        // An old row that lands late changes nothing.
        database.store.insert(&old).await.unwrap();
        agree(&database, "after the late old rows").await;
        settle(&database.store).await;
        agree(&database, "settled after the late old rows").await;
    }
    let fates = database.store.fates(TENANT).await.unwrap();
    assert_eq!((fates[0].received, fates[0].stored, fates[0].ignored), (4, 3, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_roller_beside_a_busy_writer_never_settles_what_is_under_way() {
    let database = Database::new().await;
    let writer = database.store.clone();
    let write = tokio::spawn(async move {
        for round in 0..25_u64 {
            let mut block = Block::default();
            for seq in round * 3..round * 3 + 3 {
                put(&mut block, receipt(position(1, seq), Input::Webhook, &format!("n{seq}")), 0);
            }
            writer.insert(&block).await.unwrap();
        }
    });
    let mut rounds = 0;
    while !write.is_finished() {
        database.store.roll(&ALL).await.unwrap();
        let totals = database.store.totals(TENANT, NOON).await.unwrap();
        let received: u64 = totals.fates.iter().map(|one| one.received).sum();
        let seqs: u64 = totals.streams.iter().map(|one| one.seqs).sum();
        assert_eq!(received, seqs, "fates and streams are of one instant");
        rounds += 1;
    }
    write.await.unwrap();
    assert!(rounds > 1);
    agree(&database, "at the end").await;
    settle(&database.store).await;
    agree(&database, "settled").await;
}

#[tokio::test]
async fn marks_of_the_dead_are_taken_over_at_a_start_of_the_engine() {
    let database = Database::new().await;
    let mut block = Block::default();
    put(&mut block, receipt(position(1, 0), Input::Webhook, "a"), 0);
    database.another().insert(&block).await.unwrap();
    assert_eq!(database.store.roll(&ALL).await.unwrap(), Rolled::default(), "another writer may still be at it");
    agree(&database, "with a mark of another").await;
    database.store.close_marks_of_the_dead().await.unwrap();
    // Of its source, of its stream, and the hour of its event.
    assert_eq!(settle(&database.store).await.cells, 3);
    agree(&database, "settled").await;
}

#[tokio::test]
async fn a_keyed_repeat_without_a_time_is_a_duplicate_hours_later_and_another_minute_is_a_contradiction() {
    let database = Database::new().await;
    let mut block = Block::default();
    for seq in 0..2 {
        let mut stored = receipt(position(1, seq), Input::Lines, "");
        let header = &mut stored.receipt.header;
        header.received_at = NOON + i64::try_from(seq).unwrap() * 120 * MINUTE;
        header.line = Some(LinePlace {
            instance: String::new(),
            number: 0,
            time_ns: None,
            basis: TimeBasis::Receipt,
            mark: "m".into(),
            backlog: false,
        });
        put(&mut block, stored, 0);
    }
    assert_eq!(block.events[0].event_id, block.events[1].event_id);
    assert_ne!(block.events[0].time, block.events[1].time);
    for (seq, minute) in [(2, 0), (3, 0), (4, 1)] {
        put(&mut block, receipt(position(1, seq), Input::Webhook, "n"), minute);
    }
    database.store.insert(&block).await.unwrap();
    for _ in 0..2 {
        let fates = database.store.fates(TENANT).await.unwrap();
        let counts: Vec<_> = fates.iter().map(|f| (f.input.as_str(), f.received, f.stored, f.duplicate)).collect();
        assert_eq!(counts, [("lines", 2, 1, 1), ("webhook", 3, 2, 1)]);
        agree(&database, "with repeats").await;
        settle(&database.store).await;
    }
}

#[tokio::test]
async fn each_input_is_counted_under_its_own_name() {
    let database = Database::new().await;
    let mut block = Block::default();
    for (seq, input) in (0..).zip(Input::ALL) {
        put(&mut block, receipt(position(1, seq), *input, &format!("n{seq}")), 0);
    }
    database.store.insert(&block).await.unwrap();
    let fates = database.store.fates(TENANT).await.unwrap();
    assert_eq!(fates.len(), Input::ALL.len());
    for one in fates {
        assert_eq!((one.received, one.stored), (1, 1), "{}", one.input);
    }
}
