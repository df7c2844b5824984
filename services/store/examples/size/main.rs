//! Measures what an event costs: bytes per column and processor time, on the real engine with the real schema.
//!
//! `TOKENTRAIL_ENGINE="$(services/store/engine/fetch.sh)" cargo run -p store --example size [EVENTS]`
//! writes that many events (default 1,000,000) twice, merges, and prints the tables of docs/store.md. Ids are random,
//! 50,000 users are picked unevenly, sessions hold 1 to 40 events: what repeats in life repeats here, nothing more.

#[path = "../support/mod.rs"]
mod support;
mod world;

use clickhouse::Row;
use serde::Deserialize;
use std::{error::Error, time::Instant};
use store::{
    DEFAULT_DATABASE, Store,
    engine::{Engine, State},
};
use world::World;

const DEFAULT_EVENTS: u64 = 1_000_000;
const BLOCK: u64 = 20_000;

#[derive(Row, Deserialize)]
struct ColumnSize {
    table: String,
    column: String,
    bytes: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    support::begin();
    let events = std::env::args().nth(1).map_or(Ok(DEFAULT_EVENTS), |text| text.parse())?;
    support::on_an_engine(async |engine| measure(engine, events).await).await
}

async fn measure(engine: &Engine, events: u64) -> Result<(), Box<dyn Error>> {
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
    let (mut engine_cpu, mut client_cpu, mut wall) = (0.0, 0.0, 0.0);
    for round in 1..=2 {
        let mut world = World::new();
        for first in (0..events).step_by(BLOCK as usize) {
            let block = world.block(first, BLOCK.min(events - first));
            let before = (support::cpu(pid), support::cpu(std::process::id()), Instant::now());
            store.insert(&block).await?;
            engine_cpu += support::cpu(pid) - before.0;
            client_cpu += support::cpu(std::process::id()) - before.1;
            wall += before.2.elapsed().as_secs_f64();
        }
        println!("round {round} written");
    }
    let inserted = 2.0 * events as f64;
    println!(
        "insert, per event (event, body and receipt rows; merges beside it included): engine {:.1} us, client {:.1} us, {:.0} events/s",
        engine_cpu / inserted * 1e6,
        client_cpu / inserted * 1e6,
        inserted / wall
    );
    let before = support::cpu(pid);
    for table in ["event_rows", "person_event_rows", "receipt_rows", "raw_bodies"] {
        client.query(&format!("OPTIMIZE TABLE {table} FINAL")).execute().await?;
    }
    println!("final merge: engine {:.1} us per row set", (support::cpu(pid) - before) / inserted * 1e6);
    sizes(&client, events).await?;
    for sql in [
        "SELECT count() FROM events",
        "SELECT kind, count() FROM events GROUP BY kind FORMAT Null",
        "SELECT * FROM events_in(from = 1795521600000, to = 1795525200000) FORMAT Null",
        "SELECT * FROM fates FORMAT Null",
        "SELECT * FROM streams FORMAT Null",
        "SELECT * FROM events WHERE event_id IN (SELECT event_id FROM event_rows WHERE session_id = (SELECT any(session_id) FROM event_rows WHERE session_id != '')) FORMAT Null",
    ] {
        let started = Instant::now();
        client.query(sql).execute().await?;
        println!("{:>8.0} ms  {sql}", started.elapsed().as_secs_f64() * 1e3);
    }
    Ok(())
}

async fn sizes(client: &clickhouse::Client, events: u64) -> Result<(), Box<dyn Error>> {
    let columns: Vec<ColumnSize> = client
        .query(
            "SELECT table, column, sum(column_data_compressed_bytes) AS bytes FROM system.parts_columns \
             WHERE active AND database = currentDatabase() GROUP BY table, column HAVING bytes > 0 ORDER BY table, bytes DESC",
        )
        .fetch_all()
        .await?;
    let tables: Vec<(String, u64, u64, u64)> = client
        .query(
            "SELECT table, sum(rows), sum(bytes_on_disk), sum(secondary_indices_compressed_bytes) FROM system.parts \
             WHERE active AND database = currentDatabase() GROUP BY table ORDER BY table",
        )
        .fetch_all()
        .await?;
    for (table, rows, bytes, indices) in tables {
        println!(
            "\n{table}: {rows} rows, {:.1} bytes per event on disk, of it indices {:.1}",
            bytes as f64 / events as f64,
            indices as f64 / events as f64
        );
        for one in columns.iter().filter(|one| one.table == table && one.bytes * 20 >= events) {
            println!("  {:<24} {:>6.2}", one.column, one.bytes as f64 / events as f64);
        }
    }
    println!();
    Ok(())
}
