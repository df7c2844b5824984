//! Full disks: appends are refused as a whole, everything else goes on, and space that comes back is found.

use crate::ledger::{Ledger, block_on, open, opening, options};
use crate::sim::{Fault, Landed, Loss, Op, SimDisk};
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
    recovers(&journal);
    ledger.append(&journal, 3, 400).unwrap();
    fill(&mut ledger, &journal);
    disk.set_budget(256 * 1024);
    recovers(&journal);
    ledger.append(&journal, 3, 400).unwrap();
    ledger.check(&journal, "more space");
}

#[test]
fn on_a_full_disk_only_what_somebody_needs_keeps_its_time() {
    let disk = SimDisk::default();
    disk.set_budget(512 * 1024);
    let mut ledger = Ledger::default();
    let own = Options { keep: Duration::from_secs(3600), ..options(8192) };
    let journal = open(&disk, own).unwrap();
    journal.commit("one", 0).unwrap();
    // Who is to read a second time has begun, and holds up no intake.
    journal.commit("one-again", 0).unwrap();
    fill(&mut ledger, &journal);
    let kept = journal.status().bytes;
    assert_eq!(journal.status().first, 0, "what is not committed stays");

    // Of the half that is committed, a segment goes for the next one, and another where that was shorter.
    let half = journal.durable_end() / 2;
    journal.commit("one", half).unwrap();
    recovers(&journal);
    ledger.append(&journal, 3, 400).unwrap();
    let floor = journal.status().first;
    assert!(0 < floor && floor < half / 2, "{floor} of {half}");
    assert!(journal.status().bytes + 8192 >= kept, "{} of {kept}", journal.status().bytes);
    assert_eq!(journal.trim().unwrap().segments, 0, "what is left has its time");
    fill(&mut ledger, &journal);
    assert!(journal.status().first <= half, "what is not committed stays");
}

#[test]
fn a_disk_that_fails_frees_nothing() {
    let disk = SimDisk::default();
    let mut ledger = Ledger::default();
    let journal = open(&disk, Options { keep: Duration::from_secs(3600), ..options(8192) }).unwrap();
    ledger.fill(&journal, 40);
    journal.commit("one", journal.durable_end()).unwrap();
    let allocations = disk.ops().iter().filter(|op| op.what == "allocate spare").count();
    for nth in allocations..allocations + 50 {
        let op = Op { what: "allocate spare".into(), nth };
        disk.add_fault(Fault { op, landed: Landed::No, error: std::io::ErrorKind::Other });
    }
    fill(&mut ledger, &journal);
    assert_eq!(journal.status().first, 0);
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
