//! Bytes that rot on a broker's disk hold their partition and no other, which is said with the place; offsets that are missing between
//! two records are a loss where we alone write, and none where they may be missing.

use crate::broker::{BROKER, OnKafka, fresh, measured};
use crate::contract::{LARGE, World, entries, next};
use crate::losses::delete_below;
use durable_log::carrier::{Carrier, Cause, Loss};
use durable_log::kafka::{ForeignTopic, KafkaCarrier, LagMeter};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::Duration;
use testbed::until;

/// A batch in a log segment: its first offset, its length and where the rest begins (Kafka's record batch, version 2).
const HEAD: usize = 12;
/// Where a batch has its offsets, below the head: the last one, counted from the first.
const LAST_DELTA: usize = 23;

/// One batch of the first partition's segment.
#[derive(Debug)]
struct Batch {
    first: i64,
    last: i64,
    /// Offset of its last byte in the file.
    end: u64,
}

fn segment(world: &OnKafka) -> PathBuf {
    BROKER.data(0).join(format!("{}-0", world.topic)).join("00000000000000000000.log")
}

fn batches(world: &OnKafka) -> Vec<Batch> {
    let (bytes, mut at, mut found) = (std::fs::read(segment(world)).unwrap(), 0, Vec::new());
    let number = |at: usize| i32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    while at < bytes.len() {
        let first = i64::from_be_bytes(bytes[at..at + 8].try_into().unwrap());
        let length = usize::try_from(number(at + 8)).unwrap();
        let last = first + i64::from(number(at + LAST_DELTA));
        at += HEAD + length;
        found.push(Batch { first, last, end: at as u64 - 1 });
    }
    found
}

/// Flips the bits of a batch's last byte.
fn damage(world: &OnKafka, batch: &Batch) {
    let file = File::options().read(true).write(true).open(segment(world)).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, batch.end).unwrap();
    file.write_all_at(&[!byte[0]], batch.end).unwrap();
}

/// Appends receipts and waits until they are on the topic, in batches of their own.
async fn forwarded(world: &OnKafka, numbers: std::ops::Range<u64>) {
    world.journal.append(entries(numbers, 100)).await.unwrap();
    tokio::task::block_in_place(|| world.forwarded());
}

/// Settles loads until as many different records came; with the losses among them, each once.
async fn taken(carrier: &KafkaCarrier, wanted: usize) -> Vec<Loss> {
    let (mut offsets, mut losses) = (BTreeSet::new(), Vec::new());
    while offsets.len() < wanted {
        let load = next(carrier).await;
        offsets.extend(load.records.iter().map(|record| record.seq));
        losses.extend(load.losses);
        carrier.settle(load.mark).unwrap();
    }
    assert_eq!(offsets.len(), wanted);
    losses.dedup();
    losses
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_rotted_at_the_broker_hold_their_partition_and_no_other_and_are_named() {
    let world = tokio::task::spawn_blocking(|| OnKafka::new(2)).await.unwrap();
    forwarded(&world, 0..40).await;
    forwarded(&world, 40..80).await;
    let found = batches(&world);
    let rotten = found.last().unwrap();
    assert!(rotten.first > 0, "there is one before it: {found:?}");
    damage(&world, rotten);
    // Whole, and behind it.
    forwarded(&world, 80..120).await;
    let meter = LagMeter::new(&world.connection, &world.topic, &world.topic);
    let all_told = || {
        let ends: Vec<i64> = measured(&meter).partitions.iter().map(|found| found.end).collect();
        (ends.iter().sum::<i64>() >= 120).then_some(ends)
    };
    let ends = tokio::task::block_in_place(|| until("the ends of both partitions", all_told));
    assert!(ends[0] > rotten.last + 1);
    let carrier = world.open(LARGE);
    let readable = usize::try_from(rotten.first + ends[1]).unwrap();
    assert_eq!(taken(&carrier, readable).await, []);
    let place = format!("{}/0@{}: ", world.topic, rotten.first);
    let named = || carrier.status().trouble.filter(|said| said.starts_with(&place));
    tokio::task::block_in_place(|| until("it is said", named));
    // A consumer whose place is gone begins anew where the group stands.
    let stands = || {
        let committed: Vec<Option<i64>> = measured(&meter).partitions.iter().map(|found| found.committed).collect();
        (committed == [Some(rotten.first), Some(ends[1])]).then_some(())
    };
    tokio::task::block_in_place(|| until("what was taken is committed", stands));

    // The remedy where no broker has a whole copy: what goes with it is told with its number, and reading goes on behind it.
    delete_below(&world, rotten.last + 1).await;
    let losses = taken(&carrier, usize::try_from(ends[0] - rotten.last - 1).unwrap()).await;
    let [loss] = losses.as_slice() else { panic!("one loss, not {losses:?}") };
    let count = u64::try_from(rotten.last + 1 - rotten.first).unwrap();
    assert_eq!((loss.cause, loss.missing), (Cause::Expired, Some(count)), "{loss:?}");
    tokio::task::block_in_place(|| {
        until("nothing is wrong any more", || carrier.status().trouble.is_none().then_some(()));
        world.close(carrier);
        drop(world);
    });
}

/// The end of a transaction takes an offset and is no record: the one hole that can be had of a broker at will.
#[tokio::test(flavor = "multi_thread")]
async fn an_offset_that_never_comes_is_told_where_we_alone_write_and_nowhere_else() {
    let world = tokio::task::spawn_blocking(|| OnKafka::new(1)).await.unwrap();
    forwarded(&world, 0..4).await;
    let mut config = rdkafka::ClientConfig::new();
    config.set("bootstrap.servers", &world.connection.brokers).set("transactional.id", &world.topic);
    tokio::task::block_in_place(|| {
        let (producer, patience): (BaseProducer, _) = (config.create().unwrap(), Duration::from_secs(30));
        producer.init_transactions(patience).unwrap();
        producer.begin_transaction().unwrap();
        producer.send(BaseRecord::<str, str>::to(&world.topic).payload("strange")).unwrap();
        producer.commit_transaction(patience).unwrap();
        // The end of it is written after the answer.
        let meter = LagMeter::new(&world.connection, &world.topic, "nobody");
        until("the transaction has its end", || (measured(&meter).partitions[0].end == 7).then_some(()));
    });
    forwarded(&world, 4..5).await;
    let carrier = world.open(LARGE);
    let losses = taken(&carrier, 6).await;
    let [strange, missed] = losses.as_slice() else { panic!("two losses, not {losses:?}") };
    assert!(strange.place.starts_with(&format!("{}/0@5: ", world.topic)), "{losses:?}");
    assert!(missed.place.starts_with(&format!("{}/0@6-6: ", world.topic)), "{losses:?}");
    assert_eq!((missed.cause, missed.missing), (Cause::Passed, Some(1)));
    assert!(missed.since_ms.is_some(), "the time of the record before it");
    tokio::task::block_in_place(|| world.close(carrier));

    let foreign = ForeignTopic::join(&world.connection, (&world.topic, &fresh("foreign")), LARGE).unwrap();
    let mut came = 0;
    while came < 7 {
        let load = foreign.next().await.unwrap();
        came += load.records.len();
        assert_eq!(load.losses, []);
        foreign.settle(load.mark).unwrap();
    }
    tokio::task::block_in_place(|| {
        foreign.leave();
        drop(world);
    });
}
