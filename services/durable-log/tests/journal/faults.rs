//! Every operation of a scripted run fails twice: not done, and done but reported as failed.

use crate::ledger::{Ledger, open, options};
use crate::sim::{Fault, Landed, Loss, Op, SimDisk};
use durable_log::{AppendError, Journal, ReadLimits};
use std::collections::BTreeMap;
use std::io::ErrorKind;

#[derive(Default)]
struct Told {
    ledger: Ledger,
    /// What each consumer was told to be committed, and what it tried last.
    committed: BTreeMap<&'static str, (u64, u64)>,
}

impl Told {
    /// False if the process has to stop.
    fn append(&mut self, journal: &Journal, count: u64) -> bool {
        self.ledger.append(journal, count, 250) != Err(AppendError::Stopped)
    }

    fn commit(&mut self, journal: &Journal, consumer: &'static str, offset: u64) {
        let told = self.committed.entry(consumer).or_default();
        told.1 = told.1.max(offset);
        if journal.commit(consumer, offset).is_ok() {
            told.0 = told.0.max(offset);
        }
    }

    /// One run of a process, up to where it would stop.
    fn run(&mut self, disk: &SimDisk) -> Option<()> {
        let journal = open(disk, options(4096)).ok()?;
        for round in 0..6 {
            for count in [1, 4, 2] {
                if !self.append(&journal, count) {
                    return None;
                }
            }
            let end = journal.durable_end();
            self.commit(&journal, "fast", end);
            self.commit(&journal, "slow", end.saturating_sub(15));
            if round % 2 == 1 {
                let _ = journal.trim();
            }
            let _ = journal.read(journal.status().first, ReadLimits::default());
        }
        journal.close();
        Some(())
    }

    fn check(&self, journal: &Journal, context: &str) {
        self.ledger.check(journal, context);
        for (consumer, (told, tried)) in &self.committed {
            let committed = journal.committed(consumer);
            assert!(*told <= committed && committed <= *tried.max(&journal.status().first), "{context}: {consumer}");
        }
        let status = journal.status();
        let slowest = status.committed.iter().map(|(_, offset)| *offset).min().unwrap_or(0);
        assert!(status.first <= slowest, "{context}: freed what was not committed");
    }
}

#[test]
fn every_operation_fails_twice_and_nothing_acknowledged_is_lost() {
    let disk = SimDisk::default();
    let mut told = Told::default();
    told.run(&disk).unwrap();
    told.run(&disk).unwrap();
    let ops = disk.ops();
    assert!(ops.len() > 200, "{}", ops.len());
    for site in [
        "write segment",
        "sync segment",
        "truncate segment",
        "rename spare",
        "sync_dir folder",
        "remove segment",
        "allocate spare",
        "write cursor",
        "sync cursor",
        "write trimmed",
        "write mark",
        "rename cursor",
    ] {
        assert!(ops.iter().any(|op| op.what == site), "the script never does {site}");
    }
    let mut fired = 0;
    for op in &ops {
        for landed in [Landed::No, Landed::Yes] {
            for error in [ErrorKind::StorageFull, ErrorKind::Other] {
                let fault = Fault { op: op.clone(), landed, error };
                let context = format!("{fault:?}");
                let disk = SimDisk::with_fault(fault);
                let mut told = Told::default();
                let _ = told.run(&disk).and_then(|()| told.run(&disk));
                fired += disk.fired();
                for loss in [Loss::Kill, Loss::All, Loss::Some(fired as u64)] {
                    let left = disk.crash(loss);
                    let journal = open(&left, options(4096)).unwrap_or_else(|error| panic!("{context}: {error:?}"));
                    told.check(&journal, &format!("{context} {loss:?}"));
                    let mut after = Ledger { sent: 1_000_000, ..Ledger::default() };
                    after.append(&journal, 3, 100).unwrap();
                    journal.close();
                    let journal = open(&left, options(4096)).unwrap();
                    told.check(&journal, &context);
                    after.check(&journal, &context);
                }
            }
        }
    }
    assert!(fired >= ops.len() * 4 * 9 / 10, "only {fired} faults of {} were met", ops.len() * 4);
}

/// After a failed sync nobody knows what is on disk, whatever the error is called: the writer must not go on.
#[test]
fn a_failed_sync_stops_the_writer_also_when_the_disk_is_full() {
    for landed in [Landed::No, Landed::Yes] {
        let op = Op { what: "sync segment".into(), nth: 1 };
        let disk = SimDisk::with_fault(Fault { op, landed, error: ErrorKind::StorageFull });
        let journal = open(&disk, options(4096)).unwrap();
        let mut ledger = Ledger::default();
        for _ in 0..3 {
            assert_eq!(ledger.append(&journal, 1, 100), Err(AppendError::Stopped));
        }
        assert!(!journal.status().can_append);
    }
}

/// A segment that got its name, but whose first append was refused and whose next one needs a larger file.
#[test]
fn a_segment_that_never_held_a_record_goes() {
    let whole = SimDisk::default();
    let roll = |disk: &SimDisk, ledger: &mut Ledger| -> Journal {
        let journal = open(disk, options(4096)).unwrap();
        ledger.append(&journal, 1, 3000).unwrap();
        let _ = ledger.append(&journal, 1, 3000);
        journal
    };
    drop(roll(&whole, &mut Ledger::default()));
    let op = Op { what: "write segment".into(), nth: 3 };
    assert!(whole.ops().contains(&op));
    let disk = SimDisk::with_fault(Fault { op, landed: Landed::Yes, error: ErrorKind::StorageFull });
    let mut ledger = Ledger::default();
    let journal = roll(&disk, &mut ledger);
    assert_eq!(ledger.acknowledged.len(), 1, "the second is refused");
    ledger.append(&journal, 1, 9000).unwrap();
    let files = disk.files().into_iter().filter(|path| path.extension().is_some_and(|is| is == "seg")).count();
    assert_eq!(journal.status().segments, files);
    ledger.check(&journal, "with the larger one");
    let left = disk.crash(Loss::All);
    ledger.check(&open(&left, options(4096)).unwrap(), "after a power cut");
}

/// Offsets of a refused group go to other records at other places: whoever reads from one of them must not look for it where the
/// refused one would have been.
#[test]
fn places_of_a_refused_group_are_forgotten() {
    for landed in [Landed::No, Landed::Yes] {
        // The first one is the opening's.
        let op = Op { what: "write segment".into(), nth: 1 };
        let disk = SimDisk::with_fault(Fault { op, landed, error: ErrorKind::StorageFull });
        let journal = open(&disk, options(4 << 20)).unwrap();
        let mut ledger = Ledger::default();
        // Larger than what lies between two places that are noted.
        assert_eq!(ledger.append(&journal, 3, 300 << 10), Err(AppendError::Full));
        for _ in 0..40 {
            ledger.append(&journal, 20, 1 << 10).unwrap();
        }
        // From the end on: no earlier read has left a hint.
        for from in (0..journal.durable_end()).rev() {
            let batch = journal.read(from, ReadLimits { records: 1, bytes: 1 }).unwrap();
            assert!(batch.damage.is_empty() && batch.records[0].offset == from, "{from}: {:?}", batch.damage);
        }
    }
}
