//! The scrub of an open journal: what it finds is told as what a read finds, it can be slowed and stopped, and is alone.

use crate::ledger::{DIR, FRAME, Ledger, open, options, read_all};
use crate::sim::SimDisk;
use durable_log::disk::Disk;
use durable_log::{DamageKind, Journal, ScrubError, SeqRange};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

fn path(first: u64) -> PathBuf {
    Path::new(DIR).join(format!("{first:020}.seg"))
}

/// Two runs of several segments each; the second is open.
fn two_runs() -> (SimDisk, Journal, [u8; 16], u64) {
    let disk = SimDisk::default();
    let mut ledger = Ledger::default();
    let journal = open(&disk, options(2048)).unwrap();
    let (stream, end) = (journal.stream(), 11);
    ledger.fill(&journal, 5);
    assert_eq!(journal.durable_end(), end);
    journal.close();
    let journal = open(&disk, options(2048)).unwrap();
    ledger.fill(&journal, 5);
    (disk, journal, stream, end)
}

fn seqs(stream: [u8; 16], first_seq: u64, last_seq: u64) -> Option<SeqRange> {
    Some(SeqRange { stream, first_seq, last_seq })
}

#[test]
fn damage_found_by_a_scrub_is_named_with_stream_numbers_time_and_copy() {
    let (disk, journal, first, end) = two_runs();
    let before = journal.status();
    assert!(journal.scrub().unwrap().is_intact() && journal.status().damage_total == 0);
    let names: Vec<u64> = disk.files().iter().filter_map(|path| path.file_stem()?.to_str()?.parse().ok()).collect();
    let inner = *names.iter().rfind(|offset| **offset > end).unwrap();
    disk.change(&path(0), |bytes| bytes[400] ^= 1);
    disk.remove(&path(inner)).unwrap();
    let report = journal.scrub().unwrap();
    let after = names[names.iter().position(|offset| *offset == inner).unwrap()..].get(1).copied();
    let gone = inner..after.unwrap_or(journal.durable_end());
    assert_eq!(report.losses, 2);
    let status = journal.status();
    assert_eq!((status.damage_total, status.damage.len()), (2, 2), "{:?}", status.damage);
    let [rotten, missing] = &status.damage[..] else { panic!("{:?}", status.damage) };
    assert_eq!((rotten.kind, rotten.offsets.clone(), rotten.seqs), (DamageKind::Damaged, 1..2, seqs(first, 1, 1)));
    assert!(disk.files().contains(&Path::new(DIR).join(rotten.quarantine.as_ref().unwrap())));
    assert_eq!((missing.kind, missing.offsets.clone()), (DamageKind::Missing, gone.clone()));
    assert_eq!(missing.seqs, seqs(journal.stream(), gone.start - end, gone.end - 1 - end));
    assert!(status.damage.iter().all(|damage| damage.found_ms > 0));
    // A second scrub and a read find the same: nothing is counted again, the time stays that of the first.
    assert_eq!(journal.scrub().unwrap().losses, 2);
    let (_, read) = read_all(&journal, 0);
    assert_eq!(read, status.damage);
    assert_eq!(journal.status().damage_total, 2);
    assert_eq!(before.stream, status.stream);
    // Without the program: the same streams and numbers.
    let offline = durable_log::scrub::inspect_on(&disk, Path::new(DIR)).unwrap();
    let told = |damage: &[durable_log::Damage]| -> Vec<_> {
        damage.iter().map(|damage| (damage.kind, damage.offsets.clone(), damage.seqs)).collect()
    };
    assert_eq!(told(&offline.damage), told(&status.damage));
}

#[test]
fn what_is_gone_where_one_stream_ends_and_the_next_begins_is_told_by_stream() {
    let (disk, journal, ..) = two_runs();
    let names: Vec<u64> = disk.files().iter().filter_map(|path| path.file_stem()?.to_str()?.parse().ok()).collect();
    let (last, first) = (*names.iter().rfind(|offset| **offset < 11).unwrap(), 11);
    let after = *names.iter().find(|offset| **offset > 11).unwrap();
    let stream = journal.stream();
    journal.close();
    [last, first].iter().for_each(|offset| disk.remove(&path(*offset)).unwrap());
    let journal = open(&disk, options(2048)).unwrap();
    let told: Vec<_> = read_all(&journal, 0).1.iter().map(|damage| (damage.offsets.clone(), damage.seqs)).collect();
    // Nothing that is left says whether one stream or more lay before the second: its opening tells downstream.
    assert_eq!(told, [(last..11, None), (11..after, seqs(stream, 0, after - 12))]);
    assert_eq!(journal.status().damage.len(), 2, "by recovery and by the read: the same");
}

#[test]
fn a_scrub_is_told_of_every_byte_and_can_be_stopped_and_is_alone() {
    let (_disk, journal, ..) = two_runs();
    let (mut bytes, mut records) = (0, 0);
    let report = journal
        .scrub_paced(|more| {
            assert!(matches!(journal.scrub(), Err(ScrubError::Running)), "never two at once");
            (bytes, records) = (bytes + more, records + 1);
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(records, report.records);
    let frames =
        read_all(&journal, 0).0.iter().map(|record| FRAME + record.header.len() + record.body.len()).sum::<usize>();
    assert_eq!(bytes, frames as u64, "frames, and nothing else");
    let mut left = 3;
    let stopped = journal.scrub_paced(|_| {
        left -= 1;
        if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(matches!(stopped, Err(ScrubError::Stopped)));
    assert!(journal.scrub().unwrap().is_intact(), "it can be done again");
}
