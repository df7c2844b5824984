//! The contract of a carrier as a test-suite.

use durable_log::carrier::{Appetite, Carrier, Load};
use durable_log::{Entry, Journal, MAX_RECORD_BYTES, Options, ReadLimits, Record, Sealed};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// Longest wait for something that must come.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How long nothing has to come before it is taken for nothing.
const SILENCE: Duration = Duration::from_millis(1500);

pub const LARGE: Appetite =
    Appetite { records: 50_000, bytes: 32 << 20, enough: 10_000, linger: Duration::from_millis(20) };

/// A journal and what carries its records to consumers of one group.
pub trait World {
    type Carrier: Carrier;
    fn journal(&self) -> &Journal;
    /// A consumer that goes on where the group stands.
    fn open(&self, appetite: Appetite) -> Self::Carrier;
    /// Ends a consumer in good order.
    fn close(&self, carrier: Self::Carrier);
}

pub fn opening(_: &[u8; 16], _: Option<&Sealed>) -> Entry {
    Entry { header: b"opening".to_vec(), body: Vec::new() }
}

pub fn journal(dir: &Path) -> Journal {
    Journal::open(options(dir), opening).unwrap()
}

pub fn options(dir: &Path) -> Options {
    Options { keep: Duration::ZERO, segment_bytes: 1 << 20, ..Options::new(dir.join("journal")) }
}

pub fn entries(numbers: std::ops::Range<u64>, size: usize) -> Vec<Entry> {
    let one = |number: u64| Entry {
        header: format!("entry {number}").into_bytes(),
        body: (0..size).map(|at| (number as usize * 31 + at * 7) as u8).collect(),
    };
    numbers.map(one).collect()
}

pub type Place = ([u8; 16], u64);

pub fn place(record: &Record) -> Place {
    (record.stream, record.seq)
}

/// Everything that the journal holds.
pub fn held(journal: &Journal) -> BTreeMap<Place, Record> {
    let (mut from, mut held) = (journal.status().first, BTreeMap::new());
    while from < journal.durable_end() {
        let batch = journal.read(from, ReadLimits::default()).unwrap();
        assert!(batch.damage.is_empty());
        from = batch.next;
        held.extend(batch.records.into_iter().map(|record| (place(&record), record)));
    }
    held
}

/// Takes loads until `wanted` records have come; settles each.
pub async fn take<C: Carrier>(carrier: &C, wanted: usize) -> Vec<Record> {
    let mut records = Vec::new();
    while records.len() < wanted {
        let Load { records: some, mark, losses } = next(carrier).await;
        assert!(losses.is_empty(), "{losses:?}");
        records.extend(some);
        carrier.settle(mark).unwrap();
    }
    records
}

/// The same where records may come twice: until as many different ones have been found.
pub async fn gather<C: Carrier>(carrier: &C, found: &mut BTreeMap<Place, Record>, wanted: usize) {
    while found.len() < wanted {
        let Load { records, mark, losses } = next(carrier).await;
        assert!(losses.is_empty(), "{losses:?}");
        found.extend(records.into_iter().map(|record| (place(&record), record)));
        carrier.settle(mark).unwrap();
    }
}

pub async fn next<C: Carrier>(carrier: &C) -> Load<C::Mark> {
    tokio::time::timeout(PATIENCE, carrier.next()).await.expect("a load comes in time").unwrap()
}

async fn nothing_comes<C: Carrier>(carrier: &C) {
    if let Ok(load) = tokio::time::timeout(SILENCE, carrier.next()).await {
        panic!("nothing must come, and {:?} came", load.unwrap().records.iter().map(place).collect::<Vec<_>>());
    }
}

/// Every record as the journal has it; the place in a carrier is its own.
pub fn same(found: &[Record], held: &BTreeMap<Place, Record>) {
    assert_eq!(found.len(), held.len());
    for record in found {
        let known = &held[&place(record)];
        assert_eq!(Record { offset: known.offset, ..record.clone() }, *known);
    }
}

/// Runs every clause, each in a world of its own.
pub fn holds<W: World>(make: impl Fn() -> W) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        everything_comes_out_whole(make()).await;
        appetite_bounds_a_load_but_never_stops_it(make()).await;
        what_is_not_settled_comes_again(make()).await;
        waiting_loses_nothing(make()).await;
    });
}

async fn everything_comes_out_whole<W: World>(world: W) {
    let carrier = world.open(LARGE);
    for (count, size) in [(1, 0), (300, 40), (1, MAX_RECORD_BYTES - 16), (20, 100_000), (5, 1)] {
        world.journal().append(entries(0..count, size)).await.unwrap();
    }
    let all = held(world.journal());
    assert_eq!(all.len(), 328);
    let found = take(&carrier, all.len()).await;
    same(&found, &all);
    let streams: std::collections::BTreeSet<_> = found.iter().map(|record| record.stream).collect();
    assert_eq!(streams.len(), 1);
    nothing_comes(&carrier).await;
    world.close(carrier);
}

async fn appetite_bounds_a_load_but_never_stops_it<W: World>(world: W) {
    world.journal().append(entries(0..40, 1000)).await.unwrap();
    let few = world.open(Appetite { records: 7, enough: 7, ..LARGE });
    let mut taken = 0;
    while taken < 20 {
        let load = next(&few).await;
        assert!((1..=7).contains(&load.records.len()), "{}", load.records.len());
        taken += load.records.len();
        few.settle(load.mark).unwrap();
    }
    world.close(few);
    let small = world.open(Appetite { bytes: 1, ..LARGE });
    while taken < 41 {
        let load = next(&small).await;
        assert_eq!(load.records.len(), 1, "one comes, whatever its size");
        taken += 1;
        small.settle(load.mark).unwrap();
    }
    nothing_comes(&small).await;
    world.close(small);
}

async fn what_is_not_settled_comes_again<W: World>(world: W) {
    world.journal().append(entries(0..29, 100)).await.unwrap();
    let all = held(world.journal());
    let carrier = world.open(Appetite { records: 10, enough: 10, ..LARGE });
    let first = next(&carrier).await;
    let second = next(&carrier).await;
    let settled: Vec<Place> = first.records.iter().map(place).collect();
    carrier.settle(first.mark).unwrap();
    let unsettled: Vec<Place> = second.records.iter().map(place).collect();
    drop(second.mark);
    world.close(carrier);

    let carrier = world.open(LARGE);
    let again = take(&carrier, all.len() - settled.len()).await;
    let again: Vec<Place> = again.iter().map(place).collect();
    assert!(unsettled.iter().all(|place| again.contains(place)), "what was not settled comes again");
    assert!(settled.iter().all(|place| !again.contains(place)), "what was settled does not");
    assert_eq!(again.len() + settled.len(), all.len());
    world.close(carrier);
    let carrier = world.open(LARGE);
    nothing_comes(&carrier).await;
    world.close(carrier);
}

async fn waiting_loses_nothing<W: World>(world: W) {
    let carrier = world.open(LARGE);
    take(&carrier, 1).await;
    for round in 0..20_u64 {
        // Waits that are given up, before and while something comes.
        let _ = tokio::time::timeout(Duration::from_millis(round), carrier.next()).await.map(|load| {
            let load = load.unwrap();
            assert!(!load.records.is_empty());
            panic!("nothing was appended");
        });
        world.journal().append(entries(round..round + 1, 10)).await.unwrap();
        let mut found = Vec::new();
        while found.is_empty() {
            if let Ok(load) = tokio::time::timeout(Duration::from_millis(30), carrier.next()).await {
                let load = load.unwrap();
                found = load.records;
                carrier.settle(load.mark).unwrap();
            }
        }
        assert_eq!((found.len(), &found[0].header[..]), (1, format!("entry {round}").as_bytes()));
    }
    world.close(carrier);
}
