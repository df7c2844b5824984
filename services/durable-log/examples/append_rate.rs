//! How fast this machine appends and reads: `cargo run --profile demo -p durable-log --example append_rate -- DIR`.
//!
//! Prints records per second and the processor time per record of 1 KB, at several sizes of an append.

use durable_log::{Entry, Journal, Options, ReadLimits};
use std::time::{Duration, Instant};

const BODY: usize = 1024;
const RUN: Duration = Duration::from_secs(2);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let parent = std::env::args().nth(1).map_or_else(std::env::temp_dir, Into::into);
    let dir = parent.join(format!("append-rate-{}", std::process::id()));
    let opening = |_: &[u8; 16], _: Option<&_>| Entry { header: b"opening".to_vec(), body: Vec::new() };
    let journal = Journal::open(Options::new(&dir), opening)?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    for batch in [1, 8, 64, 512] {
        let entry = Entry { header: vec![b'h'; 200], body: vec![b'b'; BODY] };
        let (started, cpu, mut records) = (Instant::now(), cpu_time(), 0_u32);
        while started.elapsed() < RUN {
            runtime.block_on(journal.append(vec![entry.clone(); batch]))?;
            records += batch as u32;
        }
        let rate = f64::from(records) / started.elapsed().as_secs_f64();
        let each = (cpu_time() - cpu) / records;
        println!("append of {batch:>3}: {rate:>9.0} records/s, {each:?} of processor time per record");
    }
    let (started, mut from, mut records) = (Instant::now(), 0, 0);
    while from < journal.durable_end() {
        let batch = journal.read(from, ReadLimits::default())?;
        from = batch.next;
        records += batch.records.len();
    }
    println!("read:           {:>9.0} records/s", records as f64 / started.elapsed().as_secs_f64());
    println!("syncs: {:?}", journal.status().syncs);
    journal.close();
    std::fs::remove_dir_all(dir)?;
    Ok(())
}

/// Processor time of this process so far.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
