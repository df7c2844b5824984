//! What the tests know: journals as they open them, entries with a number each, and what was acknowledged.

use crate::sim::SimDisk;
use durable_log::disk::Disk;
use durable_log::{AppendError, Appended, Entry, Journal, OpenError, Options, ReadLimits, Record, Sealed};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub const DIR: &str = "/journal";

pub fn options(segment_bytes: u64) -> Options {
    Options {
        segment_bytes,
        keep: Duration::ZERO,
        max_bytes: 1 << 30,
        reserve_bytes: 4096,
        queue_bytes: 1 << 20,
        ..Options::new(DIR)
    }
}

pub fn opening(_: &[u8; 16], sealed: Option<&Sealed>) -> Entry {
    let body = sealed.map(|sealed| [&sealed.stream[..], &sealed.last_seq.to_be_bytes(), &sealed.last_chain].concat());
    Entry { header: b"opening".to_vec(), body: body.unwrap_or_default() }
}

pub fn open(disk: &SimDisk, options: Options) -> Result<Journal, OpenError> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    Journal::open_on(disk, options, opening)
}

pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// An entry that is told from all others by its number.
pub fn entry(number: u64, size: usize) -> Entry {
    let body = (0..size).map(|at| (number as usize * 31 + at * 7) as u8).collect();
    Entry { header: format!("entry {number}").into_bytes(), body }
}

pub fn number(record: &Record) -> Option<u64> {
    std::str::from_utf8(&record.header).ok()?.strip_prefix("entry ")?.parse().ok()
}

/// Everything that can be read from an offset on, and the offset ranges that are named as damage.
pub fn read_all(journal: &Journal, mut from: u64) -> (Vec<Record>, Vec<durable_log::Damage>) {
    let (mut records, mut damage) = (Vec::new(), Vec::new());
    while from < journal.durable_end() {
        let batch = journal.read(from, ReadLimits { records: 7, bytes: 1 << 16 }).unwrap();
        assert!(batch.next > from, "reading must advance past {from}");
        let mut covered: Vec<_> = batch.records.iter().map(|record| record.offset..record.offset + 1).collect();
        covered.extend(batch.damage.iter().map(|damage| damage.offsets.clone()));
        for offset in from..batch.next {
            assert!(covered.iter().any(|range| range.contains(&offset)), "offset {offset} is neither read nor named");
        }
        from = batch.next;
        records.extend(batch.records);
        damage.extend(batch.damage);
    }
    (records, damage)
}

/// What a frame takes beside its header and body, as docs/journal-format.md has it.
pub const FRAME: usize = 160;

/// Where the last frame of a segment ends, whatever its last byte is: a checksum may end in a zero.
pub fn frames_end(segment: &[u8]) -> usize {
    let length = |at: usize| u32::from_be_bytes(segment[at..at + 4].try_into().unwrap()) as usize;
    let mut at = 128;
    while segment[at..].starts_with(b"TTRF") {
        at += FRAME + length(at + 20) + length(at + 24);
    }
    at
}

/// What was sent and answered, kept outside the journal.
#[derive(Default)]
pub struct Ledger {
    pub acknowledged: BTreeMap<u64, (Entry, Appended)>,
    pub sent: u64,
}

impl Ledger {
    /// Appends `count` entries as one and notes the answer.
    pub fn append(&mut self, journal: &Journal, count: u64, size: usize) -> Result<Appended, AppendError> {
        let numbers: Vec<u64> = (self.sent..self.sent + count).collect();
        self.sent += count;
        let entries: Vec<Entry> = numbers.iter().map(|number| entry(*number, size)).collect();
        let appended = block_on(journal.append(entries.clone()))?;
        assert_eq!(u64::from(appended.count), count);
        for (at, (number, entry)) in numbers.iter().zip(entries).enumerate() {
            let own = Appended {
                first_seq: appended.first_seq + at as u64,
                first_offset: appended.first_offset + at as u64,
                count: 1,
                ..appended
            };
            self.acknowledged.insert(*number, (entry, own));
        }
        Ok(appended)
    }

    /// So many appends of two entries.
    pub fn fill(&mut self, journal: &Journal, appends: usize) {
        for _ in 0..appends {
            self.append(journal, 2, 300).unwrap();
        }
    }

    /// Every acknowledged record is there once, where it was acknowledged; nothing else is there twice; appends are
    /// whole; the journal checks out.
    pub fn check(&self, journal: &Journal, context: &str) {
        let (records, damage) = read_all(journal, journal.status().first);
        assert!(damage.is_empty(), "{context}: {damage:?}");
        self.check_records(&records, context);
        let report = journal.scrub().unwrap();
        assert!(report.is_intact() && report.damage.is_empty(), "{context}: {report:?}");
    }

    pub fn check_records(&self, records: &[Record], context: &str) {
        let mut found = BTreeMap::new();
        let mut places = BTreeMap::new();
        for record in records {
            assert!(places.insert((record.stream, record.seq), record.offset).is_none(), "{context}: place used twice");
            if let Some(number) = number(record) {
                assert!(found.insert(number, record).is_none(), "{context}: entry {number} is there twice");
            }
        }
        let first = records.first().map_or(0, |record| record.offset);
        for (number, (entry, at)) in &self.acknowledged {
            if at.first_offset < first {
                continue;
            }
            let Some(record) = found.get(number) else { panic!("{context}: acknowledged entry {number} is lost") };
            assert_eq!((&record.header[..], &record.body[..]), (&entry.header[..], &entry.body[..]), "{context}");
            let place = (record.stream, record.seq, record.offset);
            assert_eq!(place, (at.stream, at.first_seq, at.first_offset), "{context}: entry {number} moved");
        }
    }
}
