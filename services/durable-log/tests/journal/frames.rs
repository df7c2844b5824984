//! Bytes that check out by themselves but stand where they do not belong: none of them may pass for a record.

use crate::ledger::{DIR, Ledger, number, open, options, read_all};
use crate::sim::{Fault, Landed, Loss, Op, SimDisk};
use durable_log::format::{FOOTER_LEN, FRAME_HEAD_LEN, Footer, FrameHead, SEGMENT_HEADER_LEN};
use durable_log::scrub::inspect_on;
use durable_log::{AppendError, DamageKind, OpenError};
use std::io::ErrorKind;
use std::ops::Range;
use std::path::{Path, PathBuf};

const SEGMENT: u64 = 64 * 1024;

fn path() -> PathBuf {
    Path::new(DIR).join("00000000000000000000.seg")
}

/// Places and heads of all frames.
fn frames(bytes: &[u8]) -> Vec<(Range<usize>, FrameHead)> {
    let mut found = Vec::new();
    let mut at = SEGMENT_HEADER_LEN as usize;
    while let Ok(head) = FrameHead::decode(&bytes[at..]) {
        let end = at + head.frame_len() as usize;
        found.push((at..end, head));
        at = end;
    }
    found
}

/// A journal with eight records of one size, closed or killed.
fn written(loss: Option<Loss>) -> SimDisk {
    let disk = SimDisk::default();
    let journal = open(&disk, options(SEGMENT)).unwrap();
    Ledger::default().append(&journal, 8, 100).unwrap();
    match loss {
        Some(loss) => disk.crash(loss),
        None => {
            journal.close();
            disk
        }
    }
}

#[test]
fn two_payloads_that_changed_places_with_their_checksums_are_named() {
    for loss in [None, Some(Loss::Kill)] {
        let disk = written(loss);
        disk.change(&path(), |bytes| {
            let places = frames(bytes);
            let payload = |nth: usize| places[nth].0.start + FRAME_HEAD_LEN..places[nth].0.end;
            let (one, other) = (bytes[payload(3)].to_vec(), bytes[payload(5)].to_vec());
            bytes[payload(3)].copy_from_slice(&other);
            bytes[payload(5)].copy_from_slice(&one);
        });
        let report = inspect_on(&disk, Path::new(DIR)).unwrap();
        assert_eq!(report.losses, 2, "{report:?}");
        let journal = open(&disk, options(SEGMENT)).unwrap();
        let (records, damage) = read_all(&journal, 0);
        let named: Vec<_> = damage.iter().map(|damage| (damage.kind, damage.offsets.clone())).collect();
        assert_eq!(named, [(DamageKind::Damaged, 3..4), (DamageKind::Damaged, 5..6)]);
        assert!(records.iter().all(|record| ![3, 5].contains(&record.offset)), "a record with another's payload");
    }
}

#[test]
fn an_intact_frame_of_elsewhere_is_no_record_here() {
    type Change = fn(&mut FrameHead);
    let foreign: [(&str, Change); 6] = [
        ("another segment", |head| head.mark[0] ^= 1),
        ("another stream", |head| head.stream[0] ^= 1),
        ("a later number", |head| head.seq += 1),
        ("a later place", |head| (head.offset, head.seq) = (head.offset + 1, head.seq + 1)),
        ("an earlier place", |head| (head.offset, head.seq) = (head.offset - 1, head.seq - 1)),
        ("past the end", |head| (head.offset, head.seq) = (head.offset + 50, head.seq + 50)),
    ];
    for loss in [None, Some(Loss::Kill)] {
        for (from, change) in foreign {
            let disk = written(loss);
            disk.change(&path(), |bytes| {
                let (place, mut head) = frames(bytes)[4].clone();
                let (header, body) =
                    bytes[place.start + FRAME_HEAD_LEN..place.end - 4].split_at(head.header_len as usize);
                change(&mut head);
                let mut frame = Vec::new();
                head.encode(header, body, &mut frame);
                bytes[place].copy_from_slice(&frame);
            });
            let context = format!("{from}, {loss:?}");
            let report = inspect_on(&disk, Path::new(DIR)).unwrap();
            assert!(!report.is_intact(), "{context}: {report:?}");
            let journal = open(&disk, options(SEGMENT)).unwrap();
            let (records, damage) = read_all(&journal, 0);
            assert!(records.iter().all(|record| record.offset != 4), "{context}: a foreign frame was read");
            assert!(damage.iter().any(|damage| damage.offsets.contains(&4)), "{context}: {damage:?}");
            assert!(
                records.iter().all(|record| Some(record.stream) == records.first().map(|r| r.stream)
                    || record.stream == journal.stream()),
                "{context}: a stream that nobody wrote"
            );
        }
    }
}

/// A write that was refused as a whole may have landed all the same. A shorter append then goes over its beginning only.
#[test]
fn what_a_refused_append_left_never_comes_back() {
    let op = Op { what: "write segment".into(), nth: 1 };
    let disk = SimDisk::with_fault(Fault { op, landed: Landed::Yes, error: ErrorKind::StorageFull });
    let journal = open(&disk, options(SEGMENT)).unwrap();
    let mut ledger = Ledger::default();
    assert_eq!(ledger.append(&journal, 3, 200), Err(AppendError::Full));
    ledger.append(&journal, 1, 200).unwrap();
    let disk = disk.crash(Loss::Kill);
    let (place, _) = frames(&disk.bytes(&path()))[1].clone();
    assert!(disk.bytes(&path())[place.end..].iter().all(|byte| *byte == 0), "something is left behind the last record");
    let rotten = disk.copy();
    rotten.change(&path(), |bytes| bytes[place.end - 30] ^= 1);
    for (disk, expected) in [(disk, vec![3]), (rotten, vec![])] {
        let journal = open(&disk, options(SEGMENT)).unwrap();
        let (records, _) = read_all(&journal, 0);
        assert_eq!(records.iter().filter_map(number).collect::<Vec<_>>(), expected);
    }
}

/// The folder sync between two removals keeps them in order, also where the file system does not.
#[test]
fn a_power_cut_in_a_trim_leaves_no_hole() {
    for seed in 0..64 {
        let disk = SimDisk::default();
        let journal = open(&disk, options(2048)).unwrap();
        let mut ledger = Ledger::default();
        ledger.fill(&journal, 20);
        assert!(journal.status().segments > 6);
        journal.commit("one", journal.durable_end()).unwrap();
        // The power goes between a removal and its sync.
        let op = Op { what: "remove segment".into(), nth: seed as usize % 5 };
        disk.add_fault(Fault { op, landed: Landed::Yes, error: ErrorKind::Other });
        journal.trim().unwrap_err();
        let left = disk.crash(Loss::Some(seed));
        let journal = open(&left, options(2048)).unwrap();
        ledger.check(&journal, &format!("seed {seed}"));
    }
}

/// Replaces the footer of a sealed segment.
fn change_footer(disk: &SimDisk, path: &Path, change: impl FnOnce(&mut Footer)) {
    disk.change(path, |bytes| {
        let at = bytes.len() - FOOTER_LEN as usize;
        let mut footer = Footer::decode(&bytes[at..]).unwrap();
        change(&mut footer);
        bytes[at..].copy_from_slice(&footer.encode());
    });
}

#[test]
fn a_footer_of_elsewhere_ends_nothing() {
    for change in [|footer: &mut Footer| footer.mark[0] ^= 1, |footer: &mut Footer| footer.first_offset += 1] {
        let disk = written(None);
        change_footer(&disk, &path(), |footer| {
            footer.next_offset -= 3;
            change(footer);
        });
        let journal = open(&disk, options(SEGMENT)).unwrap();
        let (records, damage) = read_all(&journal, 0);
        assert_eq!(records.len(), 9 + 1, "{damage:?}");
        assert_eq!(journal.status().damage[0].kind, DamageKind::TornTail, "the foreign bytes are kept aside");
    }
}

#[test]
fn a_footer_ends_at_most_where_the_next_segment_begins() {
    let disk = SimDisk::default();
    let journal = open(&disk, options(2048)).unwrap();
    let mut ledger = Ledger::default();
    ledger.fill(&journal, 10);
    journal.close();
    change_footer(&disk, &path(), |footer| footer.next_offset += 2);
    let report = inspect_on(&disk, Path::new(DIR)).unwrap();
    assert!(report.is_intact(), "no record is lost: {report:?}");
    let journal = open(&disk, options(2048)).unwrap();
    let (records, damage) = read_all(&journal, 0);
    ledger.check_records(&records, "footer");
    assert!(damage.iter().all(|damage| !damage.kind.loses_records()), "{damage:?}");
}

#[test]
fn segments_under_each_others_names_are_named_and_never_served_as_the_other() {
    let disk = SimDisk::default();
    let journal = open(&disk, options(2048)).unwrap();
    let mut ledger = Ledger::default();
    ledger.fill(&journal, 10);
    journal.close();
    let names: Vec<_> =
        disk.files().into_iter().filter(|path| path.extension().is_some_and(|is| is == "seg")).collect();
    let (one, other) = (disk.bytes(&names[1]), disk.bytes(&names[2]));
    disk.change(&names[1], |bytes| *bytes = other);
    disk.change(&names[2], |bytes| *bytes = one);
    let journal = open(&disk, options(2048)).unwrap();
    let (records, damage) = read_all(&journal, 0);
    for record in &records {
        let Some(number) = number(record) else { continue };
        assert_eq!(ledger.acknowledged[&number].1.first_offset, record.offset, "a record at another's place");
    }
    let lost: u64 = damage.iter().map(|damage| damage.offsets.end - damage.offsets.start).sum();
    assert_eq!(records.len() as u64 + lost, journal.durable_end());
    assert!(lost > 0);
}

#[test]
fn a_later_format_is_refused_and_left_alone() {
    for loss in [None, Some(Loss::Kill)] {
        let disk = written(loss);
        disk.change(&path(), |bytes| {
            bytes[8] = 2;
            let crc = crc32c::crc32c(&bytes[..124]);
            bytes[124..128].copy_from_slice(&crc.to_be_bytes());
        });
        let before = disk.bytes(&path());
        let refused = open(&disk, options(SEGMENT)).map(drop).unwrap_err();
        assert!(matches!(&refused, OpenError::Newer { file } if file.ends_with(".seg")), "{refused:?}");
        assert!(
            disk.bytes(&path()) == before && disk.files().iter().filter(|path| path.extension().is_some()).count() == 1
        );
    }
}
