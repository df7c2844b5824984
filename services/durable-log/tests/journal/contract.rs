//! The contract of a log as a test-suite. A second implementation calls [`holds`] with a way to make an empty log.

use crate::ledger::{block_on, entry, opening, options};
use durable_log::{
    AppendError, Closed, CommitError, Entry, Journal, Log, MAX_APPEND_ENTRIES, MAX_RECORD_BYTES, ReadError, ReadLimits,
};

/// Runs every clause, each on a log of its own.
pub fn holds<L: Log>(make: impl Fn() -> L) {
    appends_are_dense_and_read_back(make());
    appends_from_many_callers_do_not_mix(make());
    limits_bound_a_read_but_never_stop_it(make());
    too_large_is_refused_and_changes_nothing(make());
    commits_are_kept_and_never_go_back(make());
    waiting_ends_with_the_next_record(make());
    ends_are_told(make());
}

fn appends_are_dense_and_read_back<L: Log>(log: L) {
    let start = log.durable_end();
    let mut expected = Vec::new();
    for count in [1_u64, 3, 64] {
        let entries: Vec<Entry> = (0..count).map(|at| entry(expected.len() as u64 + at, (at * 13) as usize)).collect();
        let appended = block_on(log.append(entries.clone())).unwrap();
        assert_eq!(appended.first_offset, start + expected.len() as u64);
        assert_eq!(u64::from(appended.count), count);
        for (at, entry) in entries.into_iter().enumerate() {
            expected.push((appended.first_offset + at as u64, appended.first_seq + at as u64, entry));
        }
        assert_eq!(log.durable_end(), start + expected.len() as u64, "durable at the answer");
    }
    let mut from = start;
    let mut found = Vec::new();
    while from < log.durable_end() {
        let batch = log.read(from, ReadLimits { records: 10, bytes: usize::MAX }).unwrap();
        assert!(batch.damage.is_empty() && batch.next > from);
        from = batch.next;
        found.extend(batch.records);
    }
    assert_eq!(found.len(), expected.len());
    let mut previous = None;
    for (record, (offset, seq, entry)) in found.iter().zip(&expected) {
        assert_eq!((record.offset, record.seq), (*offset, *seq));
        assert_eq!((&record.header[..], &record.body[..]), (&entry.header[..], &entry.body[..]));
        assert_eq!(record.commitment, durable_log::chain::commitment(&record.salt, &record.body));
        let link = durable_log::chain::Link {
            stream: &record.stream,
            seq: record.seq,
            header: &record.header,
            commitment: &record.commitment,
        };
        if let Some(previous) = previous {
            assert_eq!(record.chain, durable_log::chain::link(&previous, link));
        }
        previous = Some(record.chain);
    }
}

fn appends_from_many_callers_do_not_mix<L: Log>(log: L) {
    let start = log.durable_end();
    let threads: Vec<_> = (0..4_u64)
        .map(|thread| {
            let log = log.clone();
            std::thread::spawn(move || {
                block_on(async {
                    for round in 0..20 {
                        let entries = (0..5).map(|at| entry(thread * 1000 + round * 5 + at, 40)).collect();
                        log.append(entries).await.unwrap();
                    }
                });
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let batch = log.read(start, ReadLimits { records: 1000, bytes: usize::MAX }).unwrap();
    assert_eq!(batch.records.len(), 400);
    for append in batch.records.chunks(5) {
        let numbers: Vec<u64> = append.iter().map(|record| crate::ledger::number(record).unwrap()).collect();
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "an append stays together: {numbers:?}");
    }
}

fn limits_bound_a_read_but_never_stop_it<L: Log>(log: L) {
    let start = log.durable_end();
    block_on(log.append((0..10).map(|at| entry(at, 1000)).collect())).unwrap();
    assert_eq!(log.read(start, ReadLimits { records: 3, bytes: usize::MAX }).unwrap().records.len(), 3);
    assert_eq!(log.read(start, ReadLimits { records: 100, bytes: 2500 }).unwrap().records.len(), 3);
    assert_eq!(log.read(start, ReadLimits { records: 100, bytes: 1 }).unwrap().records.len(), 1);
}

fn too_large_is_refused_and_changes_nothing<L: Log>(log: L) {
    let end = log.durable_end();
    let huge = Entry { header: Vec::new(), body: vec![0; MAX_RECORD_BYTES + 1] };
    assert_eq!(block_on(log.append(vec![entry(0, 1), huge])), Err(AppendError::TooLarge));
    let many = vec![entry(0, 0); MAX_APPEND_ENTRIES + 1];
    assert_eq!(block_on(log.append(many)), Err(AppendError::TooLarge));
    assert_eq!(log.durable_end(), end);
    let largest = Entry { header: Vec::new(), body: vec![7; MAX_RECORD_BYTES] };
    block_on(log.append(vec![largest.clone()])).unwrap();
    assert_eq!(log.read(end, ReadLimits::default()).unwrap().records[0].body, largest.body);
}

fn commits_are_kept_and_never_go_back<L: Log>(log: L) {
    block_on(log.append((0..10).map(|at| entry(at, 10)).collect())).unwrap();
    let end = log.durable_end();
    log.commit("one", end - 3).unwrap();
    log.commit("two", end).unwrap();
    log.commit("one", end - 5).unwrap();
    assert_eq!((log.committed("one"), log.committed("two")), (end - 3, end));
    assert!(matches!(log.commit("one", end + 1), Err(CommitError::Beyond { .. })));
    for name in ["", "../one", "One", "a b", &"x".repeat(65)] {
        assert!(matches!(log.commit(name, end), Err(CommitError::Name)), "{name:?}");
    }
}

fn waiting_ends_with_the_next_record<L: Log>(log: L) {
    let end = log.durable_end();
    block_on(async {
        log.wait_past(end - 1).await.unwrap();
        let waiting = tokio::spawn({
            let log = log.clone();
            async move { log.wait_past(end).await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        log.append(vec![entry(0, 1)]).await.unwrap();
        waiting.await.unwrap().unwrap();
    });
}

fn ends_are_told<L: Log>(log: L) {
    let end = log.durable_end();
    let batch = log.read(end, ReadLimits::default()).unwrap();
    assert!(batch.records.is_empty() && batch.damage.is_empty() && batch.next == end);
    assert!(matches!(log.read(end + 1, ReadLimits::default()), Err(ReadError::Beyond { end: told }) if told == end));
}

#[test]
fn the_embedded_journal_holds_the_contract() {
    let dirs = std::sync::Mutex::new(Vec::new());
    holds(|| {
        let dir = tempfile::tempdir().unwrap();
        let own = durable_log::Options { dir: dir.path().join("journal"), ..options(64 * 1024) };
        let own = durable_log::Options { queue_bytes: 64 << 20, ..own };
        dirs.lock().unwrap().push(dir);
        Journal::open(own, opening).unwrap()
    });
}

#[test]
fn a_closed_journal_answers_everybody() {
    let dir = tempfile::tempdir().unwrap();
    let own = durable_log::Options { dir: dir.path().into(), ..options(64 * 1024) };
    let journal = Journal::open(own, opening).unwrap();
    let other = journal.clone();
    journal.close();
    block_on(async {
        assert_eq!(other.wait_past(other.durable_end()).await, Err(Closed));
        assert_eq!(other.append(vec![entry(0, 1)]).await, Err(AppendError::Stopped));
    });
}
