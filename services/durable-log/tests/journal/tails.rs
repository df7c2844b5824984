//! The end of the last segment, cut at every byte: a torn tail is harmless, a lost acknowledged tail is an alarm.

use crate::ledger::{DIR, Ledger, frames_end, open, opening, options, read_all};
use crate::sim::{Fault, Landed, Loss, Op, SimDisk};
use durable_log::{DamageKind, Journal};
use std::path::{Path, PathBuf};

const SEGMENT: u64 = 64 * 1024;

/// A journal as it stood before and after its last append of three entries, and where the bytes of that are.
struct Cut {
    before: SimDisk,
    after: SimDisk,
    path: PathBuf,
    bytes: std::ops::Range<usize>,
    ledger: Ledger,
    end: u64,
}

fn cut() -> Cut {
    let disk = SimDisk::default();
    let mut ledger = Ledger::default();
    let journal = open(&disk, options(SEGMENT)).unwrap();
    ledger.append(&journal, 2, 90).unwrap();
    ledger.append(&journal, 1, 90).unwrap();
    let (before, end) = (disk.copy(), journal.durable_end());
    journal_append(&journal);
    let after = disk.crash(Loss::Kill);
    let path = Path::new(DIR).join("00000000000000000000.seg");
    let content = |disk: &SimDisk| frames_end(&disk.bytes(&path));
    let bytes = content(&before)..content(&after);
    Cut { before, after, path: path.clone(), bytes, ledger, end }
}

fn journal_append(journal: &Journal) {
    let mut other = Ledger { sent: 1000, ..Ledger::default() };
    other.append(journal, 3, 60).unwrap();
}

#[test]
fn a_torn_tail_is_kept_aside_and_reported_at_every_byte() {
    let cut = cut();
    let written = cut.after.bytes(&cut.path);
    for at in cut.bytes.clone() {
        let disk = cut.before.copy();
        disk.change(&cut.path, |bytes| bytes[..at].copy_from_slice(&written[..at]));
        let journal = open(&disk, options(SEGMENT)).unwrap();
        cut.ledger.check(&journal, &format!("cut at {at}"));
        let (records, _) = read_all(&journal, 0);
        assert_eq!(records.len() as u64, cut.end + 1, "cut at {at}: an append comes back whole or not at all");
        let content = written[cut.bytes.start..at].iter().rposition(|byte| *byte != 0);
        let damage = journal.status().damage;
        let Some(content) = content else { continue };
        assert_eq!((damage.len(), damage[0].kind), (1, DamageKind::TornTail), "cut at {at}");
        let kept = disk.bytes(&Path::new(DIR).join(damage[0].quarantine.as_ref().unwrap()));
        assert_eq!(kept, &written[cut.bytes.start..=cut.bytes.start + content]);
        journal.close();
        let journal = open(&disk, options(SEGMENT)).unwrap();
        assert!(journal.status().damage.is_empty(), "reported once");
    }
}

#[test]
fn a_lost_acknowledged_tail_is_an_alarm_at_every_byte() {
    let cut = cut();
    let end = cut.end + 3;
    let written = cut.after.bytes(&cut.path);
    for at in cut.bytes.clone().filter(|at| written[*at..cut.bytes.end].iter().any(|byte| *byte != 0)) {
        let disk = cut.after.copy();
        disk.change(&cut.path, |bytes| bytes[at..].fill(0));
        let mut sealed = None;
        let shared: std::sync::Arc<dyn durable_log::disk::Disk> = std::sync::Arc::new(disk.clone());
        let journal = Journal::open_on(shared, options(SEGMENT), |stream, before| {
            sealed = before.copied();
            opening(stream, before)
        })
        .unwrap();
        let (records, damage) = read_all(&journal, 0);
        cut.ledger.check_records(&records, "cut");
        assert_eq!((damage.len(), damage[0].kind), (1, DamageKind::Missing), "cut at {at}: {damage:?}");
        assert_eq!(damage[0].offsets.end, end, "cut at {at}: the offset of a lost record is never used again");
        assert_eq!(sealed.unwrap().last_seq, end - 1, "the seal names what was acknowledged");
        assert!(journal.status().damage.iter().any(|known| known.kind.loses_records()));
        assert!(!journal.scrub().unwrap().is_intact());
        journal_append(&journal);
        let copy = disk.crash(Loss::Kill);
        let journal = open(&copy, options(SEGMENT)).unwrap();
        assert!(read_all(&journal, 0).1.iter().any(|known| known.offsets.end == end), "still named in the next run");
    }
}

/// Sectors of one unsynced group reach the disk in any order: a hole in it, with whole frames behind, is a torn tail.
#[test]
fn a_hole_in_an_unacknowledged_group_is_a_torn_tail() {
    let cut = cut();
    let written = cut.after.bytes(&cut.path);
    let disk = cut.before.copy();
    disk.change(&cut.path, |bytes| {
        bytes[cut.bytes.clone()].copy_from_slice(&written[cut.bytes.clone()]);
        bytes[cut.bytes.start + 10] ^= 0xff;
    });
    let journal = open(&disk, options(SEGMENT)).unwrap();
    cut.ledger.check(&journal, "hole");
    assert_eq!(journal.status().damage[0].kind, DamageKind::TornTail);
    // The same bytes, once the mark says that they were acknowledged, are damage, and what is behind is kept.
    let disk = cut.after.copy();
    disk.change(&cut.path, |bytes| bytes[cut.bytes.start + 10] ^= 0xff);
    let journal = open(&disk, options(SEGMENT)).unwrap();
    let (records, damage) = read_all(&journal, 0);
    assert_eq!((damage[0].kind, damage[0].offsets.clone()), (DamageKind::Damaged, cut.end..cut.end + 1));
    assert_eq!(records.len() as u64, cut.end + 2 + 1);
}

/// The mark is synced with each seal: what was sealed before a power cut and is gone after it is missed.
#[test]
fn sealed_segments_that_vanish_with_the_power_are_missed() {
    let disk = SimDisk::default();
    let journal = open(&disk, options(4096)).unwrap();
    let mut ledger = Ledger::default();
    ledger.fill(&journal, 20);
    let disk = disk.crash(Loss::All);
    let segments: Vec<_> =
        disk.files().into_iter().filter(|path| path.extension().is_some_and(|is| is == "seg")).collect();
    let [.., sealed, open_one] = &segments[..] else { panic!("{segments:?}") };
    let end: u64 = open_one.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    let first: u64 = sealed.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    [sealed, open_one].iter().for_each(|path| durable_log::disk::Disk::remove(&disk, path).unwrap());
    let journal = open(&disk, options(4096)).unwrap();
    let damage = journal.status().damage;
    assert_eq!((damage.len(), damage[0].kind, damage[0].offsets.clone()), (1, DamageKind::Missing, first..end));
    let seqs = damage[0].seqs.unwrap();
    assert_eq!((seqs.first_seq, seqs.last_seq), (first, end - 1));
}

/// Without the mark, a later group proves what was acknowledged before it.
#[test]
fn damage_before_a_later_group_is_told_without_the_mark() {
    let cut = cut();
    let disk = cut.after.copy();
    disk.change(&Path::new(DIR).join("mark"), |bytes| bytes.fill(0));
    disk.change(&cut.path, |bytes| bytes[cut.bytes.start - 20] ^= 1);
    let journal = open(&disk, options(SEGMENT)).unwrap();
    let (records, damage) = read_all(&journal, 0);
    assert_eq!((damage[0].kind, damage[0].offsets.clone()), (DamageKind::Damaged, cut.end - 1..cut.end));
    assert_eq!(records.len() as u64, cut.end - 1 + 3 + 1);
}

/// Between its name and its first group a segment is nothing: a power cut there is no damage.
#[test]
fn a_segment_without_a_group_is_no_damage() {
    for loss in [Loss::Kill, Loss::All] {
        let disk = SimDisk::default();
        let fault = |nth| Fault {
            op: Op { what: "write segment".into(), nth },
            landed: Landed::No,
            error: std::io::ErrorKind::Other,
        };
        disk.add_fault(fault(0));
        assert!(open(&disk, options(4096)).is_err(), "the first group is not written");
        let disk = disk.crash(loss);
        assert!(disk.files().iter().any(|path| path.ends_with("00000000000000000000.seg")));
        let report = durable_log::scrub::inspect_on(&disk, Path::new(DIR)).unwrap();
        assert!(report.damage.is_empty(), "{report:?}");
        let journal = open(&disk, options(4096)).unwrap();
        assert!(journal.status().damage.is_empty(), "{:?}", journal.status().damage);
    }
}

/// What a consumer has committed was acknowledged: without the mark, its cursor tells that a tail is gone.
#[test]
fn a_lost_tail_is_told_by_a_cursor_without_the_mark() {
    let disk = SimDisk::default();
    let journal = open(&disk, options(SEGMENT)).unwrap();
    let mut ledger = Ledger::default();
    ledger.append(&journal, 2, 90).unwrap();
    ledger.append(&journal, 2, 90).unwrap();
    journal.commit("one", 4).unwrap();
    let disk = disk.crash(Loss::Kill);
    disk.change(&Path::new(DIR).join("mark"), |bytes| bytes.fill(0));
    disk.change(&Path::new(DIR).join("00000000000000000000.seg"), |bytes| bytes[300..].fill(0));
    let journal = open(&disk, options(SEGMENT)).unwrap();
    let lost: Vec<_> = journal.status().damage.iter().filter(|known| known.kind.loses_records()).cloned().collect();
    assert_eq!((lost.len(), lost[0].offsets.clone()), (1, 1..4), "{lost:?}");
    assert_eq!(journal.durable_end(), 5, "no committed offset is used again");
}
