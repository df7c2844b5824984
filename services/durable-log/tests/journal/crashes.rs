//! The power goes at any operation, also during recovery, and any part of what was not synced is lost.

use crate::ledger::{Ledger, open, options};
use crate::sim::{Loss, SimDisk};
use durable_log::AppendError;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const SEEDS: u64 = 400;

fn run(seed: u64) -> usize {
    let mut random = StdRng::seed_from_u64(seed);
    let mut disk = SimDisk::default();
    let mut ledger = Ledger::default();
    for life in 0..4 {
        // Short lives end in recovery.
        let operations =
            if random.random_bool(0.4) { random.random_range(0..60) } else { random.random_range(60..900) };
        disk.dies_after(operations);
        if let Ok(journal) = open(&disk, options(4096)) {
            loop {
                match ledger.append(&journal, random.random_range(1..8), random.random_range(0..700)) {
                    Err(AppendError::Stopped) => break,
                    Err(AppendError::Full) if !disk.is_alive() => break,
                    _ => {}
                }
                if random.random_bool(0.2) {
                    let _ = journal.commit("one", random.random_range(0..=journal.durable_end()));
                    let _ = journal.trim();
                }
            }
        }
        let loss = match random.random_range(0..4) {
            0 => Loss::All,
            1 => Loss::Kill,
            _ => Loss::Some(random.random()),
        };
        disk = disk.crash(loss);
        let copy = disk.copy();
        let journal = open(&copy, options(4096)).unwrap();
        ledger.check(&journal, &format!("seed {seed} life {life} {loss:?}"));
    }
    let journal = open(&disk, options(4096)).unwrap();
    ledger.append(&journal, 2, 10).unwrap();
    ledger.check(&journal, &format!("seed {seed} at the end"));
    ledger.acknowledged.len()
}

#[test]
fn nothing_acknowledged_is_lost_in_a_crash() {
    let seeds = std::env::var("TOKENTRAIL_CRASH_SEEDS").ok().map_or(SEEDS, |seeds| seeds.parse().unwrap());
    let acknowledged: usize = (0..seeds).map(run).sum();
    assert!(acknowledged as u64 > seeds * 50, "the runs must get somewhere: {acknowledged}");
}
