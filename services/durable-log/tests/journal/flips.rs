//! Single flipped bits in every kind of file: detected or harmless, never silent, and the journal opens all the same.

use crate::ledger::{DIR, Ledger, open, options, read_all};
use crate::sim::{Loss, SimDisk};
use durable_log::Record;
use durable_log::scrub::inspect_on;
use rand::rngs::StdRng;
use rand::seq::IteratorRandom;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Flips; and how many of so many are in segments at least, the others in side files.
const FLIPS: u64 = 14_000;
const IN_SEGMENTS: u64 = 10_000;

struct Original {
    disk: SimDisk,
    records: BTreeMap<u64, Record>,
    files: Vec<PathBuf>,
    first: u64,
    committed: u64,
}

/// Sealed segments, one that a kill left open, and every side file.
fn original() -> Original {
    let disk = SimDisk::default();
    let mut ledger = Ledger::default();
    let journal = open(&disk, options(2048)).unwrap();
    for count in [1, 2, 1, 3, 2, 1, 2, 1, 3, 1, 2] {
        ledger.append(&journal, count, 150).unwrap();
    }
    journal.commit("one", 4).unwrap();
    journal.commit("one", 8).unwrap();
    journal.trim().unwrap();
    let (records, _) = read_all(&journal, journal.status().first);
    let (first, committed) = (journal.status().first, journal.committed("one"));
    assert!(first > 0 && journal.status().segments > 2);
    let disk = disk.crash(Loss::Kill);
    let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
    let files = disk.files().into_iter().filter(|path| !["spare", "reserve"].contains(&&*name(path))).collect();
    let records = records.into_iter().map(|record| (record.offset, record)).collect();
    Original { disk, records, files, first, committed }
}

/// How many flips were noticed, and how many hit a segment.
#[derive(Default)]
struct Counts {
    noticed: u64,
    in_segments: u64,
}

fn flip(original: &Original, seed: u64) -> Counts {
    let mut random = StdRng::seed_from_u64(seed);
    let disk = original.disk.copy();
    let is_segment = random.random_bool(0.75);
    let files = original.files.iter().filter(|path| path.extension().is_some() == is_segment);
    let path = files.choose(&mut random).unwrap();
    let mut place = (0, 0);
    disk.change(path, |bytes| {
        // Bytes that mean something: not the zeros behind the last record of an open segment or between two slots.
        let content = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
        let at = if is_segment { random.random_range(0..content) } else { random.random_range(0..256) };
        place = (if is_segment || at < 128 { at } else { 4096 + at - 128 }, random.random_range(0..8));
        bytes[place.0] ^= 1 << place.1;
    });
    let context = format!("seed {seed}: {} byte {} bit {}", path.display(), place.0, place.1);
    let report = inspect_on(&disk, Path::new(DIR)).unwrap();
    let journal = open(&disk, options(2048)).unwrap_or_else(|error| panic!("{context}: {error:?}"));
    let (found, damage) = read_all(&journal, original.first);
    let found: BTreeMap<u64, Record> = found.into_iter().map(|record| (record.offset, record)).collect();
    let mut lost = 0;
    for (offset, record) in &original.records {
        match found.get(offset) {
            Some(found) => assert_eq!(found, record, "{context}: silently altered"),
            None => {
                lost += 1;
                let named = damage.iter().any(|known| known.kind.loses_records() && known.offsets.contains(offset));
                assert!(named, "{context}: record {offset} silently lost");
            }
        }
    }
    assert!(lost <= 1, "{context}: one bit must not cost {lost} records");
    assert!(lost == 0 || !report.is_intact(), "{context}: the inspection missed it");
    assert!(found.range(original.records.len() as u64 + original.first..).count() == 1, "{context}: only the opening");
    assert!(journal.committed("one") <= original.committed, "{context}: a cursor jumped ahead");
    assert!(journal.committed("one") >= original.first, "{context}: a cursor fell below what is kept");
    let noticed = !report.damage.is_empty() || !damage.is_empty() || !journal.status().damage.is_empty();
    Counts { noticed: u64::from(noticed), in_segments: u64::from(is_segment) }
}

#[test]
fn every_flipped_bit_is_detected_or_harmless() {
    let original = original();
    let flips = std::env::var("TOKENTRAIL_FLIPS").ok().map_or(FLIPS, |flips| flips.parse().unwrap());
    let threads = 2;
    let counts = std::thread::scope(|scope| {
        let part = |thread: u64| {
            let original = &original;
            move || (thread..flips).step_by(threads).map(|seed| flip(original, seed)).fold(Counts::default(), sum)
        };
        let workers: Vec<_> = (0..threads as u64).map(|thread| scope.spawn(part(thread))).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).fold(Counts::default(), sum)
    });
    println!("{flips} flips, {} of them in segments, {} detected, 0 silent", counts.in_segments, counts.noticed);
    assert_eq!(counts.noticed, flips, "every flip is named, also one that costs nothing");
    assert!(counts.in_segments * FLIPS >= IN_SEGMENTS * flips, "{} of {flips} in segments", counts.in_segments);
}

fn sum(one: Counts, other: Counts) -> Counts {
    Counts { noticed: one.noticed + other.noticed, in_segments: one.in_segments + other.in_segments }
}
