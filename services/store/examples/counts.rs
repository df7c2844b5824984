//! Measures what the status costs and what keeping its counts costs, on the real engine with the real schema.
//!
//! `TOKENTRAIL_ENGINE="$(services/store/engine/fetch.sh)" cargo run -p store --example counts [RECEIPTS]`
//! lays that many receipts (default 1,000,000) evenly over a year, two sources and three inputs, one receipt in twenty a
//! copy by the other way, and asks for all counts: at rest, with 70 seconds at 5,000 receipts a second that are not rolled
//! up, and after a backfill over 30 days. The receipts are made by the engine itself, past the store's inserts.

mod support;

use std::{error::Error, time::Instant};
use store::{
    DEFAULT_DATABASE, Rolling, Store,
    engine::{Engine, State},
};

const DEFAULT_RECEIPTS: u64 = 1_000_000;
const START: u64 = 1_764_000_000_000;
const YEAR_MS: u64 = 365 * 86_400_000;
const BUSY_RECEIPTS: u64 = 350_000;
const BACKFILL_RECEIPTS: u64 = 1_000_000;
const ROLLED: [&str; 2] = [
    "INSERT INTO rollup_rows SELECT tenant, source_id, cell, input, 1, events, stored, ignored, dead, possible_duplicate, alone, both, reasons, last_received_at FROM cells_recounted",
    "INSERT INTO stream_rollup_rows SELECT tenant, stream, toUInt32(cell), 1, first_seq, last_seq, seqs, contested, first_received_at, last_received_at FROM stream_cells_recounted",
];

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    support::begin();
    let receipts = std::env::args().nth(1).map_or(Ok(DEFAULT_RECEIPTS), |text| text.parse())?;
    support::on_an_engine(async |engine| measure(engine, receipts).await).await
}

/// Receipts `first..first + count` of stream `stream`, `gap_us` apart from `start_ms` on, with marks of a dead writer.
fn fill(stream: u8, count: u64, (start_ms, gap_us): (u64, u64)) -> [String; 2] {
    let stream = format!("unhex('{}')", format!("{stream:02x}").repeat(16));
    let receipts = format!(
        "INSERT INTO receipt_rows SELECT 'default', {stream}, number, \
           reinterpretAsFixedString(toUInt256(cityHash64(number, 1)) + bitShiftLeft(toUInt256(cityHash64(number, 2)), 192)), \
           toFixedString('', 32), 0, 1, if(number % 5 = 0, 'backstage', 'keycloak') AS source, source, \
           if(number % 5 = 0, 'lines', if(number % 20 = 1, 'pull', 'webhook')), if(number % 5 = 0, 'backstage_line', 'keycloak_webhook'), \
           fromUnixTimestamp64Milli(toInt64({start_ms} + intDiv(number * {gap_us}, 1000)) AS ms, 'UTC'), \
           if(number % 5 = 0, '', toString(generateUUIDv4(number))), toString(number), 1, 0, 0, '', 0, NULL, '', '', 0, \
           if(number % 20 = 10, 'ignored', 'event') AS fate, if(fate = 'ignored', 'plain_line', ''), \
           if(fate = 'event', reinterpretAsUUID(reinterpretAsFixedString(toUInt128(cityHash64(if(number % 20 = 1, number + 1, number), {stream})) + \
             bitShiftLeft(toUInt128(cityHash64(if(number % 20 = 1, number + 1, number), {stream}, 8)), 64))), toUUID('00000000-0000-0000-0000-000000000000')), \
           toUInt32(intDiv(ms, 60000)), 0, 1 FROM numbers({count}) SETTINGS max_insert_block_size = 200000"
    );
    let marks = format!(
        "INSERT INTO mark_rows SELECT DISTINCT tenant, stream, source_id, cell, 1, 1, 2, now() FROM (\
           SELECT tenant, toFixedString('', 16) AS stream, source_id, minute AS cell FROM receipt_rows AS r WHERE r.stream = {stream} \
           UNION ALL SELECT tenant, stream, '', toUInt32(intDiv(seq, 65536)) FROM receipt_rows WHERE stream = {stream})"
    );
    [receipts, marks]
}

async fn measure(engine: &Engine, receipts: u64) -> Result<(), Box<dyn Error>> {
    let State::Running { pid, .. } = *engine.state().borrow() else {
        return Err("the engine is not running".into());
    };
    let options = engine.connect_options(DEFAULT_DATABASE);
    let client = clickhouse::Client::default()
        .with_url(&options.url)
        .with_user(&options.user)
        .with_password(&options.password)
        .with_database(DEFAULT_DATABASE);
    let store = Store::connect(options)?;
    store.migrate().await?;
    let [fill_all, _] = fill(1, receipts, (START, YEAR_MS * 1000 / receipts));
    client.query(&fill_all).execute().await?;
    // What a year of rounds leaves, in one step.
    for sql in ROLLED {
        client.query(sql).execute().await?;
    }
    println!("{receipts} receipts over a year");
    ask(&store, pid, "at rest").await?;
    let busy = START + YEAR_MS + 60_000;
    for sql in fill(2, BUSY_RECEIPTS, (busy, 200)) {
        client.query(&sql).execute().await?;
    }
    ask(&store, pid, "with 350,000 receipts that are not rolled up").await?;
    let before = support::cpu(pid);
    store.roll(&Rolling { quiet: std::time::Duration::ZERO, cells: 65_536 }).await?;
    println!(
        "rolling these up: {:.2} us of the engine per receipt",
        (support::cpu(pid) - before) / BUSY_RECEIPTS as f64 * 1e6
    );
    for sql in fill(3, BACKFILL_RECEIPTS, (START + YEAR_MS / 2, 30 * 86_400_000_000 / BACKFILL_RECEIPTS)) {
        client.query(&sql).execute().await?;
    }
    let before = (support::cpu(pid), Instant::now());
    let (mut cells, mut longest) = (0, 0.0_f64);
    loop {
        let round = Instant::now();
        let rolled = store.roll(&Rolling { quiet: std::time::Duration::ZERO, cells: 8_192 }).await?;
        longest = longest.max(round.elapsed().as_secs_f64());
        cells += rolled.cells;
        if rolled.left == 0 {
            break;
        }
    }
    println!(
        "a backfill of {BACKFILL_RECEIPTS} receipts over 30 days: {cells} cells, {:.1} s, the longest round {longest:.2} s, {:.2} us of the engine per receipt",
        before.1.elapsed().as_secs_f64(),
        (support::cpu(pid) - before.0) / BACKFILL_RECEIPTS as f64 * 1e6
    );
    ask(&store, pid, "after it").await?;
    let before = support::cpu(pid);
    for n in 0..100 {
        let sql = format!("INSERT INTO mark_rows VALUES ('default', '', 'x', {n}, 2, 1, 0, now())");
        client.query(&sql).execute().await?;
    }
    println!("one insert of marks: {:.2} ms of the engine", (support::cpu(pid) - before) / 100.0 * 1e3);
    let sizes: Vec<(String, u64, u64)> = client
        .query("SELECT table, sum(rows), sum(bytes_on_disk) FROM system.parts WHERE active AND database = currentDatabase() GROUP BY table ORDER BY table")
        .fetch_all()
        .await?;
    for (table, rows, bytes) in sizes.iter().filter(|(table, ..)| table.contains("roll") || table.contains("mark")) {
        println!("{table}: {rows} rows, {bytes} bytes, {:.3} per receipt", *bytes as f64 / receipts as f64);
    }
    Ok(())
}

/// The median of five.
async fn ask(store: &Store, pid: u32, when: &str) -> Result<(), Box<dyn Error>> {
    let (mut took, before) = (Vec::new(), support::cpu(pid));
    for _ in 0..5 {
        let began = Instant::now();
        store.totals("default", i64::try_from(START + YEAR_MS)?).await?;
        took.push(began.elapsed().as_secs_f64());
    }
    took.sort_by(f64::total_cmp);
    println!("all counts {when}: {:.2} s, {:.2} s of the engine", took[2], (support::cpu(pid) - before) / 5.0);
    Ok(())
}
