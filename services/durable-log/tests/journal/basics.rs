//! Streams, seals, the lock, trimming, quotas.

use crate::ledger::{DIR, Ledger, block_on, entry, open, opening, options, read_all};
use crate::sim::SimDisk;
use durable_log::{
    AppendError, DamageKind, Journal, OpenError, Options, ReadError, ReadLimits, inspect, scrub::inspect_on,
};
use std::path::Path;
use std::time::Duration;

#[test]
fn each_run_is_a_stream_that_seals_the_one_before() {
    let disk = SimDisk::default();
    let mut ledger = Ledger::default();
    let mut before: Option<durable_log::Record> = None;
    for run in 0..4 {
        let journal = open(&disk, options(8192)).unwrap();
        let (records, damage) = read_all(&journal, 0);
        assert!(damage.is_empty());
        let first = records.iter().find(|record| record.stream == journal.stream()).unwrap();
        assert_eq!((first.seq, &first.header[..]), (0, &b"opening"[..]));
        if let Some(before) = &before {
            let expected = [&before.stream[..], &before.seq.to_be_bytes(), &before.chain].concat();
            assert_eq!(first.body, expected, "run {run}");
        }
        ledger.append(&journal, 30, 200).unwrap();
        ledger.check(&journal, "while open");
        before = read_all(&journal, 0).0.pop();
        if run % 2 == 0 { journal.close() } else { drop(journal) }
    }
    let report = inspect_on(&disk, Path::new(DIR)).unwrap();
    assert!(report.is_intact() && report.damage.is_empty(), "{report:?}");
    assert_eq!((report.streams.len(), report.records), (4, 4 * 31));
}

#[test]
fn one_folder_has_one_writer() {
    let dir = tempfile::tempdir().unwrap();
    let own = Options { dir: dir.path().into(), ..options(8192) };
    let journal = Journal::open(own.clone(), opening).unwrap();
    let refused = Journal::open(own.clone(), opening).map(drop).unwrap_err();
    assert!(matches!(&refused, OpenError::Locked { dir: told } if told == dir.path()));
    assert!(refused.to_string().contains(&*dir.path().to_string_lossy()));
    assert!(inspect(dir.path()).unwrap().is_intact(), "reading needs no lock");
    journal.close();
    Journal::open(own, opening).unwrap();
}

#[test]
fn only_what_every_consumer_committed_is_freed() {
    let disk = SimDisk::default();
    let journal = open(&disk, options(4096)).unwrap();
    let mut ledger = Ledger::default();
    ledger.fill(&journal, 40);
    let segments = journal.status().segments;
    assert!(segments > 5);
    assert_eq!(journal.trim().unwrap().segments, 0, "no consumer: nothing is committed");
    journal.commit("fast", journal.durable_end()).unwrap();
    journal.commit("slow", 20).unwrap();
    assert!(journal.trim().unwrap().segments > 0);
    let status = journal.status();
    assert!(status.first > 0 && status.first <= 20, "{}", status.first);
    assert!(
        matches!(journal.read(0, ReadLimits::default()), Err(ReadError::Trimmed { first }) if first == status.first)
    );
    ledger.check(&journal, "after trim");
    journal.commit("slow", journal.durable_end()).unwrap();
    journal.trim().unwrap();
    assert_eq!(journal.status().segments, 1, "the open segment stays");
    journal.close();
    let journal = open(&disk, options(4096)).unwrap();
    ledger.check(&journal, "reopened");
    assert_eq!(journal.committed("slow"), journal.durable_end() - 1);
    assert_eq!(journal.committed("new"), journal.status().first);
    journal.forget("slow").unwrap();
    assert_eq!(journal.status().committed.len(), 1);
}

#[test]
fn segments_are_kept_for_their_time() {
    let disk = SimDisk::default();
    let own = Options { keep: Duration::from_secs(3600), ..options(4096) };
    let journal = open(&disk, own).unwrap();
    let mut ledger = Ledger::default();
    ledger.fill(&journal, 20);
    journal.commit("one", journal.durable_end()).unwrap();
    assert_eq!(journal.trim().unwrap().segments, 0);
    // Nor one that has lost the time of its sealing with its footer.
    journal.close();
    let first = Path::new(DIR).join("00000000000000000000.seg");
    disk.change(&first, |bytes| bytes.iter_mut().rev().take(20).for_each(|byte| *byte ^= 1));
    let own = Options { keep: Duration::from_secs(3600), ..options(4096) };
    let journal = open(&disk, own).unwrap();
    journal.commit("one", journal.durable_end()).unwrap();
    assert_eq!(journal.trim().unwrap().segments, 0);
}

#[test]
fn over_its_size_committed_segments_go_and_uncommitted_ones_stay() {
    let disk = SimDisk::default();
    let own = Options { keep: Duration::from_secs(3600), max_bytes: 5 * 4096, ..options(4096) };
    let journal = open(&disk, own).unwrap();
    let mut ledger = Ledger::default();
    journal.commit("one", 0).unwrap();
    let full = (0..1000).find(|_| ledger.append(&journal, 1, 500) == Err(AppendError::Full));
    assert!(full.is_some(), "uncommitted segments are never freed");
    assert!(!journal.status().can_append && journal.status().bytes <= 5 * 4096);
    ledger.check(&journal, "full");
    journal.commit("one", journal.durable_end()).unwrap();
    for _ in 0..100 {
        ledger.append(&journal, 1, 500).unwrap();
        journal.commit("one", journal.durable_end()).unwrap();
        assert!(journal.status().bytes <= 5 * 4096);
    }
    assert!(journal.status().can_append);
    ledger.check(&journal, "after");
}

#[test]
fn who_reads_a_second_time_keeps_what_is_old_and_nothing_that_room_is_needed_for() {
    let disk = SimDisk::default();
    let journal = open(&disk, Options { max_bytes: 5 * 4096, ..options(4096) }).unwrap();
    let mut ledger = Ledger::default();
    journal.commit("one-again", 0).unwrap();
    ledger.fill(&journal, 14);
    journal.commit("one", journal.durable_end()).unwrap();
    let kept = journal.status();
    assert!(kept.segments > 2 && kept.bytes < 5 * 4096, "{kept:?}");
    assert_eq!(journal.trim().unwrap().segments, 0, "past its keep time, and to be read");
    for _ in 0..100 {
        ledger.append(&journal, 1, 500).unwrap();
        journal.commit("one", journal.durable_end()).unwrap();
    }
    assert!(journal.status().first > 0, "intake goes on");
    journal.forget("one-again").unwrap();
    assert!(journal.trim().unwrap().segments > 0);
}

#[test]
fn a_missing_segment_is_named_and_read_past() {
    let disk = SimDisk::default();
    let journal = open(&disk, options(4096)).unwrap();
    let mut ledger = Ledger::default();
    ledger.fill(&journal, 20);
    journal.close();
    for gone in [0, 2] {
        let disk = disk.copy();
        let segments: Vec<_> =
            disk.files().into_iter().filter(|path| path.to_string_lossy().ends_with(".seg")).collect();
        durable_log::disk::Disk::remove(&disk, &segments[gone]).unwrap();
        let journal = open(&disk, options(4096)).unwrap();
        let at_start = journal.status().damage;
        let (records, damage) = read_all(&journal, 0);
        assert_eq!(at_start, damage, "told before anybody reads");
        assert_eq!(damage.len(), 1);
        assert_eq!(damage[0].kind, DamageKind::Missing);
        let lost = damage[0].offsets.end - damage[0].offsets.start;
        assert_eq!(records.len() as u64 + lost, journal.durable_end());
        assert!(!inspect_on(&disk, Path::new(DIR)).unwrap().is_intact());
        assert!(journal.status().damage.iter().any(|known| known.kind == DamageKind::Missing));
        block_on(journal.append(vec![entry(0, 1)])).unwrap();
    }
}

#[test]
fn an_append_larger_than_a_segment_gets_a_larger_one() {
    let disk = SimDisk::default();
    let journal = open(&disk, options(4096)).unwrap();
    let mut ledger = Ledger::default();
    for count in [1, 50, 1, 200, 3] {
        ledger.append(&journal, count, 400).unwrap();
    }
    ledger.check(&journal, "large");
}

#[test]
fn bytes_of_a_sender_never_pass_for_a_record() {
    let disk = SimDisk::default();
    let journal = open(&disk, options(64 * 1024)).unwrap();
    block_on(journal.append(vec![entry(0, 100)])).unwrap();
    // A sender who had seen a whole segment puts it, frames and all, into a body of the next journal.
    let stolen = disk.bytes(&Path::new(DIR).join("00000000000000000000.seg"))[..2000].to_vec();
    journal.close();
    let disk = SimDisk::default();
    let journal = open(&disk, options(64 * 1024)).unwrap();
    let evil = durable_log::Entry { header: b"evil".to_vec(), body: stolen };
    block_on(journal.append(vec![evil, entry(1, 10)])).unwrap();
    journal.close();
    let path = Path::new(DIR).join("00000000000000000000.seg");
    let at = disk.bytes(&path).windows(4).position(|four| four == b"evil").unwrap();
    disk.change(&path, |bytes| bytes[at - 100] ^= 1);
    let journal = open(&disk, options(64 * 1024)).unwrap();
    let (records, damage) = read_all(&journal, 0);
    assert_eq!(damage.len(), 1);
    assert_eq!(damage[0].offsets, 1..2);
    assert!(records.iter().all(|record| crate::ledger::number(record) != Some(0)), "a forged record was read");
    assert!(damage[0].quarantine.is_some());
}
