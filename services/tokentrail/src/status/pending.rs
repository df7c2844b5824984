//! What waits in the journal, by source and input. Behind a long lag that is many millions of records: each is read once and counted
//! by pieces, and of these only the first ones are read again, in which some records may be in ClickHouse by now.

use anyhow::Context;
use durable_log::{Journal, ReadLimits};
use events::{
    ids::StreamId,
    receipt::{Input, ReceiptHeader},
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};
use store::StreamStatus;

/// Records of a piece. More than can be in ClickHouse behind one that is not.
const PIECE: u64 = 65_536;
/// Most records that one status reads for the first time; the sum of those behind is told, and the next one goes on.
const FIRST_READ: u64 = 500_000;
/// Source and input under which those are told that were not read yet.
const UNCOUNTED: &str = "not counted";

/// By source and input: how many, and when the newest was received, UTC milliseconds.
pub(super) type Counts = BTreeMap<(String, String), (u64, i64)>;

/// Counts of the journal's records since a consumer's position.
#[derive(Clone, Debug)]
pub struct Waiting {
    pieces: Arc<Mutex<VecDeque<Piece>>>,
    /// See [`PIECE`] and [`FIRST_READ`].
    piece: u64,
    first_read: u64,
}

/// Records from one multiple of a piece's size on, dense up to `next`.
#[derive(Debug)]
struct Piece {
    first: u64,
    next: u64,
    counts: Counts,
}

impl Default for Waiting {
    fn default() -> Self {
        Self { pieces: Arc::default(), piece: PIECE, first_read: FIRST_READ }
    }
}

impl Waiting {
    /// Counts the records between two offsets that the store does not hold yet. Blocks: it reads the journal.
    pub(super) fn count(
        &self,
        journal: &Journal,
        (from, end): (u64, u64),
        stored: &BTreeMap<StreamId, StreamStatus>,
    ) -> anyhow::Result<Counts> {
        let mut pieces = self.pieces.lock().unwrap_or_else(PoisonError::into_inner);
        while pieces.front().is_some_and(|piece| piece.first + self.piece <= from) {
            pieces.pop_front();
        }
        let read = self.grow(&mut pieces, journal, (from, end))?;
        let mut counts = Counts::new();
        if read < end {
            counts.insert((UNCOUNTED.into(), Input::Collector.as_str().into()), (end - read, 0));
        }
        let mut is_front = true;
        for piece in pieces.iter() {
            if is_front {
                let (found, held) = look(journal, (from.max(piece.first), piece.next), stored)?;
                add(&mut counts, &found);
                is_front = held > 0 || piece.first < from;
            } else {
                add(&mut counts, &piece.counts);
            }
        }
        Ok(counts)
    }

    /// Reads on from where the pieces end; returns up to where they reach.
    fn grow(&self, pieces: &mut VecDeque<Piece>, journal: &Journal, (from, end): (u64, u64)) -> anyhow::Result<u64> {
        let nothing = BTreeMap::new();
        let mut next = pieces.back().map_or(from, |piece| piece.next).max(from);
        let most = next.saturating_add(self.first_read).min(end);
        while next < most {
            let first = next - next % self.piece;
            let until = (first + self.piece).min(most);
            let (found, _) = look(journal, (next, until), &nothing)?;
            match pieces.back_mut().filter(|piece| piece.first == first) {
                Some(piece) => {
                    add(&mut piece.counts, &found);
                    piece.next = until;
                }
                None => pieces.push_back(Piece { first, next: until, counts: found }),
            }
            next = until;
        }
        Ok(next)
    }
}

fn add(sum: &mut Counts, more: &Counts) {
    for (key, (count, last)) in more {
        let entry = sum.entry(key.clone()).or_insert((0, *last));
        *entry = (entry.0 + count, entry.1.max(*last));
    }
}

/// Reads the records between two offsets: counts of those that the store does not hold, and how many it holds.
fn look(
    journal: &Journal,
    (from, end): (u64, u64),
    stored: &BTreeMap<StreamId, StreamStatus>,
) -> anyhow::Result<(Counts, u64)> {
    let (mut counts, mut held, mut next) = (Counts::new(), 0, from);
    while next < end {
        let batch = journal.read(next, ReadLimits::default()).context("cannot read the journal")?;
        for record in batch.records.iter().filter(|record| record.offset < end) {
            if holds(stored, StreamId(record.stream), record.seq) {
                held += 1;
                continue;
            }
            let (key, at) = match ReceiptHeader::from_bytes(&record.header) {
                Ok(header) => ((header.source_id, header.input.as_str().to_owned()), header.received_at),
                Err(_) => ((String::new(), Input::Collector.as_str().to_owned()), 0),
            };
            let entry = counts.entry(key).or_insert((0, at));
            *entry = (entry.0 + 1, entry.1.max(at));
        }
        next = batch.next.max(next + 1);
    }
    Ok((counts, held))
}

/// True if the store holds a position: below its stream's end, and not in a hole that an interrupted block left.
fn holds(stored: &BTreeMap<StreamId, StreamStatus>, stream: StreamId, seq: u64) -> bool {
    let missing = |status: &StreamStatus| status.missing.iter().any(|(first, last)| (*first..=*last).contains(&seq));
    stored.get(&stream).is_some_and(|status| seq <= status.last_seq && !missing(status))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test may panic
mod tests {
    use super::*;
    use durable_log::{Entry, Options};
    use events::receipt::Payload;

    /// A journal of an opening and so many receipts, of three sources by turns.
    fn journal(dir: &std::path::Path, receipts: u64) -> Journal {
        let opening = |_: &[u8; 16], _: Option<&durable_log::Sealed>| entry("", 0);
        let journal = Journal::open(Options::new(dir), opening).unwrap();
        let entries = (1..=receipts).map(|number| entry(["a", "b", "c"][number as usize % 3], number)).collect();
        tokio::runtime::Runtime::new().unwrap().block_on(journal.append(entries)).unwrap();
        journal
    }

    fn entry(source: &str, at: u64) -> Entry {
        let header = ReceiptHeader {
            source_id: source.into(),
            ..ReceiptHeader::own("t", (Input::Webhook, Payload::KeycloakWebhook), at.cast_signed())
        };
        Entry { header: header.to_bytes(), body: b"{}".to_vec() }
    }

    /// Of a consumer's position and the last number that the store holds: what waits, told by reading everything.
    fn expected((from, end): (u64, u64), held: Option<u64>) -> Counts {
        let mut counts = Counts::new();
        for offset in (from..end).filter(|offset| held.is_none_or(|held| *offset > held)) {
            let source = if offset == 0 { "" } else { ["a", "b", "c"][offset as usize % 3] };
            let entry = counts.entry((source.into(), "webhook".into())).or_insert((0, 0));
            *entry = (entry.0 + 1, offset.cast_signed());
        }
        counts
    }

    fn stored(journal: &Journal, held: Option<u64>) -> BTreeMap<StreamId, StreamStatus> {
        let stream = StreamId(journal.read(0, ReadLimits { records: 1, bytes: 1 }).unwrap().records[0].stream);
        let status = |last_seq| StreamStatus {
            stream,
            last_seq,
            seqs: last_seq + 1,
            contested: 0,
            last_received_at: 0,
            missing: Vec::new(),
        };
        held.map(|held| (stream, status(held))).into_iter().collect()
    }

    #[test]
    fn counts_are_those_of_reading_everything_wherever_consumer_and_store_are() {
        let dir = tempfile::tempdir().unwrap();
        let journal = journal(dir.path(), 499);
        let waiting = Waiting { piece: 16, first_read: 1_000, ..Waiting::default() };
        let mut end = 40;
        // The store is ahead of the consumer by less than a piece, by nothing, by pieces; the journal grows meanwhile.
        for (from, ahead) in
            [(0, None), (0, Some(3)), (7, Some(0)), (7, Some(39)), (32, Some(40)), (150, Some(16)), (333, None)]
        {
            end = (end + 70).min(500);
            let held = ahead.map(|ahead| from + ahead);
            let found = waiting.count(&journal, (from, end), &stored(&journal, held)).unwrap();
            assert_eq!(found, expected((from, end), held), "from {from} to {end}, {held:?} is stored");
        }
    }

    #[test]
    fn a_lag_too_long_for_one_look_is_told_by_its_sum_and_counted_by_and_by() {
        let dir = tempfile::tempdir().unwrap();
        let journal = journal(dir.path(), 99);
        let waiting = Waiting { piece: 16, first_read: 30, ..Waiting::default() };
        for read in [30, 60, 90, 100, 100] {
            let found = waiting.count(&journal, (0, 100), &BTreeMap::new()).unwrap();
            let mut told = expected((0, read), None);
            if read < 100 {
                told.insert((UNCOUNTED.into(), "collector".into()), (100 - read, 0));
            }
            assert_eq!(found, told);
        }
    }
}
