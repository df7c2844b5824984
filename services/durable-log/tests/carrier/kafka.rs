//! Kafka as a carrier, on a real broker.

use crate::broker::{BROKER, OnKafka, connection, fresh, make_topic, measured};
use crate::contract::{LARGE, PATIENCE, World, entries, gather, held, holds, next, place, same, take};
use durable_log::carrier::{Appetite, Carrier};
use durable_log::kafka::{ForeignTopic, LagMeter};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use testbed::until;

#[test]
fn kafka_holds_the_contract() {
    holds(|| OnKafka::new(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forwarder_that_is_started_again_sends_nothing_twice_and_leaves_nothing_out() {
    let mut world = tokio::task::spawn_blocking(|| OnKafka::new(2)).await.unwrap();
    for round in 0..3 {
        world.journal.append(entries(round * 500..round * 500 + 500, 200)).await.unwrap();
        tokio::task::block_in_place(|| {
            if round == 1 {
                world.forwarded();
            }
            world.stop_forwarding();
            world.forward();
        });
    }
    tokio::task::block_in_place(|| world.forwarded());
    let meter = LagMeter::new(&world.connection, &world.topic, "nobody");
    let lag = measured(&meter);
    assert_eq!((lag.records(), lag.partitions.len()), (1501, 2));
    let carrier = world.open(LARGE);
    same(&take(&carrier, 1501).await, &held(&world.journal));
    tokio::task::block_in_place(|| {
        world.close(carrier);
        drop(world);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_broker_lost_can_be_sent_again() {
    let world = tokio::task::spawn_blocking(|| OnKafka::new(1)).await.unwrap();
    world.journal.append(entries(0..99, 100)).await.unwrap();
    tokio::task::block_in_place(|| world.forwarded());
    let carrier = world.open(LARGE);
    take(&carrier, 100).await;
    world.forwarding.as_ref().unwrap().again(40).unwrap();
    let again = take(&carrier, 60).await;
    let seqs: BTreeSet<u64> = again.iter().map(|record| record.seq).collect();
    assert_eq!(seqs, (40..100).collect());
    tokio::task::block_in_place(|| {
        world.forwarded();
        assert_eq!(world.journal.committed("kafka"), 100, "the cursor never goes back on disk");
        world.close(carrier);
        drop(world);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_to_send_again_goes_on_after_a_kill() {
    let mut world = tokio::task::spawn_blocking(|| OnKafka::new(1)).await.unwrap();
    world.journal.append(entries(0..99, 100)).await.unwrap();
    tokio::task::block_in_place(|| world.forwarded());
    let carrier = world.open(LARGE);
    take(&carrier, 100).await;
    let standing = |world: &OnKafka| {
        let known = world.journal.status().committed;
        known.into_iter().find(|(name, _)| name == "kafka-again").map(|(_, offset)| offset)
    };
    // What a kill leaves on disk: an order that was answered, and of which nothing was confirmed.
    tokio::task::block_in_place(|| world.stop_forwarding());
    world.journal.commit("kafka-again", 60).unwrap();
    tokio::task::block_in_place(|| {
        world.forward();
        world.forwarded();
    });
    let seqs: BTreeSet<u64> = take(&carrier, 40).await.iter().map(|record| record.seq).collect();
    assert_eq!(seqs, (60..100).collect());
    until_async(|| standing(&world).is_none()).await;
    // Orders that come one upon another: the one that reaches back furthest holds all, on disk as well, and none is lost by a kill
    // before it is taken up.
    let topic = std::mem::replace(&mut world.topic, "not there".into());
    tokio::task::block_in_place(|| {
        world.stop_forwarding();
        world.forward();
    });
    for (from, stands) in [(70, 70), (50, 50), (90, 50)] {
        world.forwarding.as_ref().unwrap().again(from).unwrap();
        assert_eq!(standing(&world), Some(stands), "before it is answered");
    }
    world.topic = topic;
    tokio::task::block_in_place(|| {
        world.stop_forwarding();
        assert_eq!(standing(&world), Some(50), "a stop leaves it open");
        world.forward();
        world.forwarded();
    });
    let seqs: BTreeSet<u64> = take(&carrier, 50).await.iter().map(|record| record.seq).collect();
    assert_eq!(seqs, (50..100).collect());
    until_async(|| standing(&world).is_none()).await;
    tokio::task::block_in_place(|| {
        world.close(carrier);
        drop(world);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn members_share_the_work_and_one_that_leaves_hands_it_over() {
    let world = tokio::task::spawn_blocking(|| OnKafka::new(4)).await.unwrap();
    let one = world.open(LARGE);
    until_async(|| one.status().partitions.len() == 4).await;
    let two = world.open(LARGE);
    until_async(|| one.status().partitions.len() == 2 && two.status().partitions.len() == 2).await;
    let leads = [&one, &two].map(|member| *member.leads().borrow());
    assert_eq!(leads.iter().filter(|leads| **leads).count(), 1, "one of them leads");
    world.journal.append(entries(0..999, 100)).await.unwrap();
    // What one of them read of a partition ahead, before the other was given it, comes from both.
    let mut found = BTreeMap::new();
    let mut by = [0, 0];
    while found.len() < 1000 {
        let (load, at) = tokio::select! { load = next(&one) => (load, 0), load = next(&two) => (load, 1) };
        assert!(load.losses.is_empty(), "{:?}", load.losses);
        by[at] += load.records.len();
        found.extend(load.records.into_iter().map(|record| (place(&record), record)));
        [&one, &two][at].settle(load.mark).unwrap();
    }
    assert!(by.iter().all(|count| *count > 100), "{by:?}");
    tokio::task::block_in_place(|| world.close(two));
    until_async(|| one.status().partitions.len() == 4).await;
    world.journal.append(entries(0..100, 100)).await.unwrap();
    gather(&one, &mut found, 1100).await;
    same(&found.into_values().collect::<Vec<_>>(), &held(&world.journal));
    tokio::task::block_in_place(|| {
        world.close(one);
        drop(world);
    });
}

/// A reader that nobody takes loads of pauses its partitions. One that it gives up meanwhile is not paused for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_was_given_up_while_it_was_paused_is_read_when_it_comes_back() {
    let connection = connection(&BROKER.bootstrap());
    let (topic, group) = (fresh("paused"), fresh("paused-group"));
    tokio::task::block_in_place(|| make_topic(&connection, &topic, 2));
    let one_by_one = Appetite { records: 1, enough: 1, linger: Duration::ZERO, ..LARGE };
    let join = || ForeignTopic::join(&connection, (&topic, &group), one_by_one).unwrap();
    let producer: BaseProducer =
        rdkafka::ClientConfig::new().set("bootstrap.servers", &connection.brokers).create().unwrap();
    let put = |partition: i32, bodies: &[&str]| {
        for body in bodies {
            producer.send(BaseRecord::<str, str>::to(&topic).partition(partition).payload(body)).unwrap();
        }
        tokio::task::block_in_place(|| producer.flush(Duration::from_secs(30))).unwrap();
    };
    let one = join();
    let status = one.watch();
    until_async(|| status().partitions.len() == 2).await;
    put(STAYS, &["a", "b", "c"]);
    until_async(|| status().paused).await;
    let two = join();
    until_async(|| status().partitions == [STAYS]).await;
    taken(&one, &["a", "b", "c"]).await;
    until_async(|| !status().paused).await;
    tokio::task::block_in_place(|| two.leave());
    until_async(|| status().partitions.len() == 2).await;
    put(1 - STAYS, &["d", "e"]);
    taken(&one, &["d", "e"]).await;
    tokio::task::block_in_place(|| one.leave());
}

/// The partition that a member keeps when a second one comes.
const STAYS: i32 = 1;

/// Takes records until these have come, in whatever order, and settles them.
async fn taken(reader: &ForeignTopic, wanted: &[&str]) {
    let mut left: BTreeSet<&str> = wanted.iter().copied().collect();
    while !left.is_empty() {
        let load = tokio::time::timeout(PATIENCE, reader.next()).await.expect("a load comes in time").unwrap();
        for record in &load.records {
            left.remove(std::str::from_utf8(&record.body).unwrap());
        }
        reader.settle(load.mark).unwrap();
    }
}

/// A member that had two partitions loses one to another while it holds a load of both, and settles that load then.
#[tokio::test(flavor = "multi_thread")]
async fn a_load_of_a_lost_partition_settles_nothing_in_it() {
    let mut world = tokio::task::spawn_blocking(|| OnKafka::new(2)).await.unwrap();
    // So that a revocation does not wait long for the load.
    for interval in ["max.poll.interval.ms", "session.timeout.ms"] {
        world.connection.consumer.insert(interval.into(), "6000".into());
    }
    world.journal.append(entries(0..99, 10)).await.unwrap();
    tokio::task::block_in_place(|| world.forwarded());
    let old = world.open(LARGE);
    let mut held_back = Vec::new();
    let mut seqs = BTreeSet::new();
    while seqs.len() < 100 {
        let load = next(&old).await;
        seqs.extend(load.records.iter().map(|record| record.seq));
        held_back.push(load.mark);
    }
    let new = world.open(LARGE);
    until_async(|| old.status().partitions == [STAYS] && new.status().partitions == [1 - STAYS]).await;
    held_back.into_iter().for_each(|mark| old.settle(mark).unwrap());
    let meter = LagMeter::new(&world.connection, &world.topic, &world.topic);
    let ends = measured(&meter);
    let wanted = ends.partitions.iter().find(|found| found.partition == 1 - STAYS).unwrap().end;
    let mut lost = Vec::new();
    while (lost.len() as i64) < wanted {
        lost.extend(next(&new).await.records);
    }
    // Both leave, and what they settled is committed: of the partition that was lost, nothing.
    tokio::task::block_in_place(|| {
        world.close(old);
        world.close(new);
    });
    let third = world.open(LARGE);
    let again = take(&third, lost.len()).await;
    let seqs = |records: &[durable_log::Record]| records.iter().map(|record| record.seq).collect::<BTreeSet<_>>();
    assert_eq!(seqs(&again), seqs(&lost));
    tokio::task::block_in_place(|| {
        until("all is settled", || (meter.measure().ok()?.records() == 0).then_some(()));
        world.close(third);
        drop(world);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_takes_for_long_and_nothing_is_lost_or_piled_up() {
    let world = tokio::task::spawn_blocking(|| OnKafka::new(2)).await.unwrap();
    let carrier = world.open(Appetite { records: 50, enough: 50, ..LARGE });
    world.journal.append(entries(0..1999, 5000)).await.unwrap();
    // Before its segments are freed.
    let all = held(&world.journal);
    tokio::task::block_in_place(|| world.forwarded());
    // Longer than its patience: the partitions are paused, and the member stays one.
    until_async(|| carrier.status().paused).await;
    assert_eq!(carrier.status().partitions.len(), 2);
    let found = take(&carrier, 2000).await;
    same(&found, &all);
    until_async(|| !carrier.status().paused).await;
    tokio::task::block_in_place(|| {
        world.close(carrier);
        drop(world);
    });
}

async fn until_async(mut look: impl FnMut() -> bool) {
    let end = tokio::time::Instant::now() + crate::contract::PATIENCE;
    while !look() {
        assert!(tokio::time::Instant::now() < end, "waited in vain");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
