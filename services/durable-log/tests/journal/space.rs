//! Full disks: appends are refused as a whole, everything else goes on, and space that comes back is found.

use crate::ledger::{Ledger, block_on, open, opening, options};
use crate::sim::{Loss, SimDisk};
use durable_log::{Activity, AppendError, Journal, Options};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Space is looked for again within this time.
const PATIENCE: Duration = Duration::from_secs(10);

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

struct Tmpfs(PathBuf);

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH);
    }
}

/// `None` if this machine does not permit a mount, which CI must say expressly.
fn tmpfs(dir: &Path) -> Option<Tmpfs> {
    let flags = rustix::mount::MountFlags::empty();
    let Err(error) = rustix::mount::mount(c"tokentrail", dir, c"tmpfs", flags, Some(c"size=3m")) else {
        return Some(Tmpfs(dir.into()));
    };
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|set| set == value);
    assert!(!is("CI", "true") || is("TOKENTRAIL_NO_MOUNT", "1"), "cannot mount a small file system: {error}");
    eprintln!("no mount here ({error}): the real small file system was not tested");
    None
}

#[test]
fn a_real_small_file_system_runs_full_and_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mounted) = tmpfs(dir.path()) else { return };
    let own = Options { dir: mounted.0.join("journal"), reserve_bytes: 64 * 1024, ..options(256 * 1024) };
    let journal = Journal::open(own.clone(), opening).unwrap();
    let mut ledger = Ledger::default();
    journal.commit("one", 0).unwrap();
    ledger.append(&journal, 3, 400).unwrap();
    // Somebody else takes what is left.
    let other = mounted.0.join("other");
    let mut left = vec![0; 64 * 1024];
    let mut file = std::fs::File::create(&other).unwrap();
    while std::io::Write::write_all(&mut file, &left).is_ok() {}
    fill(&mut ledger, &journal);
    ledger.check(&journal, "full");
    let committed = journal.durable_end();
    journal.commit("one", committed).unwrap();
    journal.close();
    let journal = Journal::open(own, opening).unwrap();
    ledger.check(&journal, "opened on a full file system");
    assert_eq!(journal.committed("one"), committed);
    drop(file);
    left.clear();
    std::fs::remove_file(&other).unwrap();
    recovers_or_append(&journal);
    block_on(async { journal.wait_past(committed).await.unwrap() });
    ledger.check(&journal, "space again");
}
