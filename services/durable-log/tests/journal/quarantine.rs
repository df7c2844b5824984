//! The quarantine is bounded, keeps the oldest evidence, and takes nothing from what intake needs.

use crate::ledger::{DIR, FRAME, Ledger, frames_end, number, open, options, read_all};
use crate::sim::{Loss, SimDisk};
use durable_log::{Damage, DamageKind, Journal, Options};
use std::path::{Path, PathBuf};

const BLOCK: u64 = 4096;

fn own(quarantine_bytes: u64) -> Options {
    Options { quarantine_bytes, ..options(64 * 1024) }
}

fn segment() -> PathBuf {
    Path::new(DIR).join("00000000000000000000.seg")
}

fn copies(disk: &SimDisk) -> Vec<PathBuf> {
    disk.files().into_iter().filter(|path| path.parent() == Some(&Path::new(DIR).join("quarantine"))).collect()
}

/// Ten appends of one record, then killed.
fn killed() -> (SimDisk, Ledger) {
    let disk = SimDisk::default();
    let journal = open(&disk, own(0)).unwrap();
    let mut ledger = Ledger::default();
    (0..10).for_each(|_| assert!(ledger.append(&journal, 1, 300).is_ok()));
    (disk.crash(Loss::Kill).copy(), ledger)
}

fn content(disk: &SimDisk) -> usize {
    frames_end(&disk.bytes(&segment()))
}

/// Bytes in the bodies of so many different records.
fn flip(disk: &SimDisk, records: usize) {
    let frame = FRAME + "entry 0".len() + 300;
    disk.change(&segment(), |bytes| (1..=records).for_each(|nth| bytes[content_of_opening() + nth * frame - 50] ^= 1));
}

fn content_of_opening() -> usize {
    128 + FRAME + "opening".len()
}

fn losses(journal: &Journal) -> Vec<Damage> {
    let all = read_all(journal, 0).1;
    all.into_iter().filter(|damage| damage.kind.loses_records()).collect()
}

#[test]
fn the_oldest_copies_stay_and_what_does_not_fit_is_counted() {
    let (disk, _) = killed();
    flip(&disk, 5);
    let journal = open(&disk, own(3 * BLOCK)).unwrap();
    let damage = losses(&journal);
    let copied: Vec<bool> = damage.iter().map(|damage| damage.quarantine.is_some()).collect();
    assert_eq!(copied, [true, true, true, false, false], "all five are named, the first three are copied");
    let status = journal.status().quarantine;
    assert_eq!((status.files, status.bytes, status.limit, status.refused), (3, 3 * BLOCK, 3 * BLOCK, 2));
    let before = copies(&disk);
    read_all(&journal, 0);
    assert_eq!((journal.status().quarantine, copies(&disk)), (status, before.clone()), "reading again copies nothing");
    journal.close();
    let journal = open(&disk, own(3 * BLOCK)).unwrap();
    assert_eq!((journal.status().quarantine.files, losses(&journal).len()), (3, 5));
    assert_eq!(copies(&disk), before, "the oldest stay");
    journal.close();
    // Someone takes one copy away: there is room for the next.
    durable_log::disk::Disk::remove(&disk, &before[0]).unwrap();
    let journal = open(&disk, own(3 * BLOCK)).unwrap();
    assert_eq!(losses(&journal).iter().filter(|damage| damage.quarantine.is_some()).count(), 3);
    assert_eq!(journal.status().quarantine.refused, 2);
}

#[test]
fn a_torn_tail_without_room_for_a_copy_is_cut_and_told() {
    let (disk, ledger) = killed();
    let end = content(&disk);
    disk.change(&segment(), |bytes| bytes[end..end + 100].fill(7));
    let journal = open(&disk, own(BLOCK - 1)).unwrap();
    ledger.check(&journal, "cut");
    let status = journal.status();
    assert_eq!((status.damage[0].kind, &status.damage[0].quarantine), (DamageKind::TornTail, &None));
    assert_eq!((status.quarantine.files, status.quarantine.refused), (0, 1));
    journal.close();
    assert!(open(&disk, own(0)).unwrap().status().damage.is_empty(), "told once");
}

#[test]
fn bytes_that_may_be_acknowledged_records_are_not_cut_without_a_copy() {
    let (disk, ledger) = killed();
    let end = content(&disk);
    disk.change(&segment(), |bytes| bytes[end - 1] ^= 1);
    let rest = disk.bytes(&segment())[end - 400..end].to_vec();
    for room in [false, true] {
        let disk = disk.copy();
        let own = || own(if room { 2 * BLOCK } else { 0 });
        let mut later = Ledger { sent: 100, ..Ledger::default() };
        for start in 0..3 {
            let context = format!("room {room}, start {start}");
            let journal = open(&disk, own()).unwrap();
            let damage = losses(&journal);
            assert_eq!((damage.len(), damage[0].offsets.clone()), (1, 10..11), "{context}");
            let numbers: Vec<u64> = read_all(&journal, 0).0.iter().filter_map(number).collect();
            assert_eq!(numbers[..9], [0, 1, 2, 3, 4, 5, 6, 7, 8], "{context}");
            later.append(&journal, 2, 10).unwrap();
            later.check_records(&read_all(&journal, 0).0, &context);
            assert_eq!(copies(&disk).len(), usize::from(room), "{context}");
            let evidence = if room { disk.bytes(&copies(&disk)[0]) } else { disk.bytes(&segment()) };
            assert!(evidence.ends_with(&rest), "{context}: the bytes are gone");
            assert_eq!(journal.status().quarantine.refused, u64::from(!room), "{context}");
            journal.close();
        }
        let journal = open(&disk, own()).unwrap();
        journal.commit("one", journal.durable_end()).unwrap();
        journal.trim().unwrap();
        assert!(!disk.files().contains(&segment()), "a trim frees it");
    }
    drop(ledger);
}

#[test]
fn a_first_group_that_may_be_acknowledged_is_not_removed_without_a_copy() {
    let (disk, _) = killed();
    disk.change(&segment(), |bytes| bytes[140..].iter_mut().for_each(|byte| *byte |= u8::from(*byte > 0)));
    disk.change(&segment(), |bytes| bytes[128..].fill(9));
    let journal = open(&disk, own(0)).unwrap();
    assert_eq!(losses(&journal)[0].offsets, 0..11);
    assert!(disk.files().contains(&segment()));
    journal.close();
    assert_eq!(losses(&open(&disk, own(0)).unwrap())[0].offsets, 0..11, "still named");
}

#[test]
fn a_copy_never_takes_the_room_of_the_next_segment() {
    for spare_blocks in [0, 1] {
        let (disk, _) = killed();
        open(&disk, own(0)).unwrap().close();
        flip(&disk, 1);
        let mut ledger = Ledger { sent: 100, ..Ledger::default() };
        let journal = open(&disk, own(1 << 20)).unwrap();
        ledger.append(&journal, 1, 10).unwrap();
        // The next segment's file is made ahead in the background: room for exactly one more, and perhaps for a copy.
        while !disk.files().iter().any(|path| path.ends_with("spare")) {
            std::thread::yield_now();
        }
        disk.set_budget(disk.used() + 64 * 1024 + spare_blocks * BLOCK);
        let damage = losses(&journal);
        assert_eq!((damage.len(), damage[0].quarantine.is_some()), (1, spare_blocks == 1));
        assert_eq!(journal.status().quarantine.refused, 1 - spare_blocks);
        // Two more segments can be filled, as if there were no damage.
        let whole = 60 * 1024;
        for _ in 0..3 {
            ledger.append(&journal, 1, whole).unwrap();
        }
    }
}

#[test]
fn on_a_full_disk_a_torn_tail_is_copied_into_the_reserve() {
    let (disk, ledger) = killed();
    let end = content(&disk);
    disk.change(&segment(), |bytes| bytes[end..end + 300].fill(7));
    disk.set_budget(disk.used());
    let journal = open(&disk, Options { reserve_bytes: 4096, ..own(1 << 20) }).unwrap();
    ledger.check(&journal, "full");
    assert_eq!(disk.bytes(&copies(&disk)[0]), [7; 300]);
    assert_eq!(journal.status().quarantine.refused, 0);
}

#[test]
fn a_journal_with_a_torn_tail_larger_than_its_reserve_opens_on_a_full_disk() {
    let (disk, ledger) = killed();
    let end = content(&disk);
    disk.change(&segment(), |bytes| bytes[end..end + 20_000].fill(7));
    disk.set_budget(disk.used());
    let journal = open(&disk, own(1 << 20)).unwrap();
    ledger.check(&journal, "full");
    let status = journal.status();
    assert_eq!((status.damage[0].kind, &status.damage[0].quarantine), (DamageKind::TornTail, &None));
    assert_eq!(status.quarantine.refused, 1);
}

#[test]
fn half_a_copy_that_a_crash_left_is_removed() {
    let (disk, _) = killed();
    let half = Path::new(DIR).join("quarantine/00000000000000000000.seg.1-9.new");
    durable_log::disk::Disk::create(&disk, &half).unwrap().write_at(&[1; 8], 0).unwrap();
    let journal = open(&disk, own(1 << 20)).unwrap();
    assert!(copies(&disk).is_empty());
    assert_eq!(journal.status().quarantine.files, 0);
}
