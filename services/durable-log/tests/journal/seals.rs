//! What the seal of a segment says of the chain: a sealed segment that was cut, or of which something was taken, is named from its own bytes
//! and the names in the folder, though nothing behind it can be read.

use crate::ledger::{DIR, Ledger, open, options};
use crate::sim::SimDisk;
use durable_log::format::{FOOTER_LEN, Footer, FrameHead, SEGMENT_HEADER_LEN};
use durable_log::scrub::inspect_on;
use durable_log::{Damage, DamageKind};
use std::ops::Range;
use std::path::{Path, PathBuf};

const FOOTER: usize = FOOTER_LEN as usize;

fn segments(disk: &SimDisk) -> Vec<PathBuf> {
    disk.files().into_iter().filter(|path| path.extension().is_some_and(|is| is == "seg")).collect()
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

/// Place and offset of each record.
fn frames(bytes: &[u8]) -> Vec<(Range<usize>, u64)> {
    let mut found = Vec::new();
    let mut at = SEGMENT_HEADER_LEN as usize;
    while let Ok(head) = FrameHead::decode(&bytes[at..]) {
        let end = at + head.frame_len() as usize;
        found.push((at..end, head.offset));
        at = end;
    }
    found
}

fn of_file<'a>(damage: &'a [Damage], file: &str) -> Vec<&'a Damage> {
    damage.iter().filter(|one| one.file == file).collect()
}

/// Several sealed segments.
fn written() -> SimDisk {
    let disk = SimDisk::default();
    let journal = open(&disk, options(2048)).unwrap();
    Ledger::default().fill(&journal, 8);
    journal.close();
    assert!(segments(&disk).len() >= 3);
    disk
}

#[test]
fn a_sealed_segment_that_is_cut_anywhere_is_named_though_nothing_behind_it_can_be_read() {
    let original = written();
    let all = segments(&original);
    for (nth, path) in all.iter().enumerate().take(all.len() - 1) {
        let bytes = original.bytes(path);
        let places = frames(&bytes);
        let end = places.last().unwrap().0.end;
        assert_eq!((end + FOOTER, Footer::decode(&bytes[end..]).is_ok()), (bytes.len(), true), "it is sealed");
        for at in SEGMENT_HEADER_LEN as usize..bytes.len() {
            let disk = original.copy();
            all[nth + 1..].iter().for_each(|behind| disk.change(behind, |bytes| bytes.fill(0xff)));
            disk.change(path, |bytes| bytes.truncate(at));
            let report = inspect_on(&disk, Path::new(DIR)).unwrap();
            let named = of_file(&report.damage, &name(path));
            let lost = places.iter().filter(|(place, _)| place.end > at).map(|(_, offset)| *offset);
            for offset in lost {
                let by = |one: &&&Damage| one.kind.loses_records() && one.offsets.contains(&offset);
                assert!(
                    named.iter().any(|one| by(&one)),
                    "{path:?} cut at {at}: {offset} is lost in silence: {named:?}"
                );
            }
            let whole = places.iter().filter(|(place, _)| place.end <= at);
            for (_, offset) in whole {
                let said = named.iter().any(|one| one.offsets.contains(offset));
                assert!(!said, "{path:?} cut at {at}: {offset} is there: {named:?}");
            }
        }
    }
}

/// Only the last segment is left of the folder: not its mark, and no other name.
fn alone(original: &SimDisk) -> (SimDisk, PathBuf) {
    let disk = original.copy();
    let last = segments(&disk).pop().unwrap();
    for path in disk.files().into_iter().filter(|path| *path != last) {
        durable_log::disk::Disk::remove(&disk, &path).unwrap();
    }
    (disk, last)
}

fn long_one() -> SimDisk {
    let disk = SimDisk::default();
    let journal = open(&disk, options(64 * 1024)).unwrap();
    Ledger::default().fill(&journal, 4);
    journal.close();
    disk
}

#[test]
fn what_was_taken_out_of_a_sealed_segment_is_told_by_its_footer_alone() {
    let original = long_one();
    let (whole, path) = alone(&original);
    assert!(inspect_on(&whole, Path::new(DIR)).unwrap().damage.is_empty());
    let places = frames(&whole.bytes(&path));
    for first in 1..places.len() {
        for last in first..places.len() {
            let disk = whole.copy();
            disk.change(&path, |bytes| drop(bytes.drain(places[first].0.start..places[last].0.end)));
            let report = inspect_on(&disk, Path::new(DIR)).unwrap();
            let gone = places[first].1..places[last].1 + 1;
            let named =
                |offset: u64| report.damage.iter().any(|one| one.kind.loses_records() && one.offsets.contains(&offset));
            assert!(gone.clone().all(named), "{gone:?}: {:?}", report.damage);
        }
    }
}

/// Whoever shortens a segment and writes the numbers of its footer anew, but keeps the chain value, is found out by that.
#[test]
fn a_footer_whose_chain_is_not_that_of_the_last_record_is_named() {
    let (disk, path) = alone(&long_one());
    let places = frames(&disk.bytes(&path));
    disk.change(&path, |bytes| {
        let footer = bytes.split_off(bytes.len() - FOOTER);
        let mut footer = Footer::decode(&footer).unwrap();
        let (cut, offset) = places.last().unwrap();
        bytes.truncate(cut.start);
        (footer.next_offset, footer.last_seq, footer.count) = (*offset, footer.last_seq - 1, footer.count - 1);
        bytes.extend_from_slice(&footer.encode());
    });
    let report = inspect_on(&disk, Path::new(DIR)).unwrap();
    let kinds: Vec<DamageKind> = of_file(&report.damage, &name(&path)).iter().map(|one| one.kind).collect();
    assert_eq!(kinds, [DamageKind::ChainBroken]);
    assert!(!report.is_intact());
}

/// A journal with so many appends, closed.
fn closed(appends: usize) -> SimDisk {
    let disk = SimDisk::default();
    let journal = open(&disk, options(2048)).unwrap();
    Ledger::default().fill(&journal, appends);
    journal.close();
    disk
}

/// Reads of segments that a start does.
fn reads_at_start(disk: &SimDisk) -> usize {
    let count = || disk.ops().iter().filter(|op| op.what == "read segment").count();
    let before = count();
    let journal = open(disk, options(2048)).unwrap();
    let reads = count() - before;
    journal.close();
    reads
}

#[test]
fn at_a_start_of_a_sealed_segment_header_and_footer_are_read_and_nothing_else() {
    let (few, many) = (closed(6), closed(60));
    let more = segments(&many).len() - segments(&few).len();
    assert!(more > 15, "{more}");
    let reads = reads_at_start(&many) - reads_at_start(&few);
    assert_eq!(reads, 2 * more);
    // So what is damaged in one is found when it is read, or by a scrub.
    let path = segments(&many).remove(1);
    many.change(&path, |bytes| bytes[SEGMENT_HEADER_LEN as usize + 200] ^= 1);
    let journal = open(&many, options(2048)).unwrap();
    assert!(journal.status().damage.is_empty());
    assert_eq!(journal.scrub().unwrap().losses, 1);
}
