//! Full disks: appends are refused as a whole, everything else goes on, and space that comes back is found.

use crate::ledger::{Ledger, block_on, open, opening, options};
use crate::sim::{Loss, SimDisk};
use durable_log::{Activity, AppendError, Journal, Options};
use std::time::{Duration, Instant};
use testbed::SmallDisk;

/// Space is looked for again within this time.
const PATIENCE: Duration = Duration::from_secs(60);

fn fill(ledger: &mut Ledger, journal: &Journal) {
    for _ in 0..10_000 {
        match ledger.append(journal, 3, 400) {
            Ok(_) => {}
            Err(AppendError::Full) => return,
            Err(error) => panic!("{error}"),
        }
    }
    panic!("the disk never ran full");
}

/// Waits for the journal to find space without being asked.
fn recovers(journal: &Journal) {
    let since = Instant::now();
    while !journal.status().can_append {
        assert!(since.elapsed() < PATIENCE, "space is back and was not found: {:?}", journal.status().activity);
        std::thread::yield_now();
    }
}

#[test]
fn a_full_disk_refuses_whole_appends_and_recovers_by_itself() {
    let disk = SimDisk::default();
    disk.set_budget(64 * 1024);
    let mut ledger = Ledger::default();
    let journal = open(&disk, options(8192)).unwrap();
    journal.commit("one", 0).unwrap();
    fill(&mut ledger, &journal);
    assert_eq!(journal.status().activity, Activity::Full);
    ledger.check(&journal, "full");
    journal.commit("one", journal.durable_end()).unwrap();
    assert!(journal.trim().unwrap().segments > 0, "commit and trim work on a full disk");
    recovers(&journal);
    ledger.append(&journal, 3, 400).unwrap();
    fill(&mut ledger, &journal);
    disk.set_budget(256 * 1024);
    recovers(&journal);
    ledger.append(&journal, 3, 400).unwrap();
    ledger.check(&journal, "more space");
}

#[test]
fn a_journal_opens_on_a_full_disk_drains_and_recovers() {
    let mut disk = SimDisk::default();
    let own = || Options { reserve_bytes: 24 * 1024, ..options(16 * 1024) };
    disk.set_budget(128 * 1024);
    let mut ledger = Ledger::default();
    let journal = open(&disk, own()).unwrap();
    journal.commit("one", 0).unwrap();
    fill(&mut ledger, &journal);
    for kill in [true, false] {
        if kill {
            disk = disk.crash(Loss::Kill);
        }
        // Not a byte more than it takes now.
        disk.set_budget(disk.used());
        let copy = disk.copy();
        copy.set_budget(disk.used());
        let journal = open(&copy, own()).unwrap();
        ledger.check(&journal, "opened on a full disk");
        journal.commit("one", journal.durable_end()).unwrap();
        journal.trim().unwrap();
        recovers_or_append(&journal);
    }
}

fn recovers_or_append(journal: &Journal) {
    let mut later = Ledger { sent: 1_000_000, ..Ledger::default() };
    let since = Instant::now();
    while later.append(journal, 3, 400).is_err() {
        assert!(since.elapsed() < PATIENCE, "space is back and was not found");
        std::thread::yield_now();
    }
    later.check(journal, "after");
}

#[test]
fn a_real_small_file_system_runs_full_and_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(dir.path(), 3).unwrap() else { return };
    let own = Options { dir: disk.dir().join("journal"), reserve_bytes: 64 * 1024, ..options(256 * 1024) };
    let journal = Journal::open(own.clone(), opening).unwrap();
    let mut ledger = Ledger::default();
    journal.commit("one", 0).unwrap();
    ledger.append(&journal, 3, 400).unwrap();
    disk.fill().unwrap();
    fill(&mut ledger, &journal);
    ledger.check(&journal, "full");
    let committed = journal.durable_end();
    journal.commit("one", committed).unwrap();
    journal.close();
    let journal = Journal::open(own, opening).unwrap();
    ledger.check(&journal, "opened on a full file system");
    assert_eq!(journal.committed("one"), committed);
    disk.make_room().unwrap();
    recovers_or_append(&journal);
    block_on(async { journal.wait_past(committed).await.unwrap() });
    ledger.check(&journal, "space again");
}
