//! Kafka as a carrier, on a real broker.

use crate::broker::{BROKER, OnKafka, connection, fresh, make_topic, try_topic, until};
use crate::contract::{LARGE, PATIENCE, World, entries, held, holds, next, place, same, take};
use durable_log::carrier::{Appetite, Carrier, CarryError, Cause};
use durable_log::kafka::{ForeignTopic, KafkaCarrier, LagMeter};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use std::collections::BTreeSet;
use std::time::Duration;
use testbed::{Kafka, KafkaOptions};

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
    let meter = LagMeter::new(&world.connection, &world.topic, "nobody").unwrap();
    let lag = tokio::task::block_in_place(|| meter.measure()).unwrap();
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
    world.forwarding.as_ref().unwrap().again(40);
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
async fn members_share_the_work_and_one_that_leaves_hands_it_over() {
    let world = tokio::task::spawn_blocking(|| OnKafka::new(4)).await.unwrap();
    let one = world.open(LARGE);
    until_async(|| one.status().partitions.len() == 4).await;
    let two = world.open(LARGE);
    until_async(|| one.status().partitions.len() == 2 && two.status().partitions.len() == 2).await;
    let leads = [&one, &two].map(|member| *member.leads().borrow());
    assert_eq!(leads.iter().filter(|leads| **leads).count(), 1, "one of them leads");
    world.journal.append(entries(0..999, 100)).await.unwrap();
    let mut found = Vec::new();
    let mut by = [0, 0];
    while found.len() < 1000 {
        let (load, at) = tokio::select! { load = next(&one) => (load, 0), load = next(&two) => (load, 1) };
        by[at] += load.records.len();
        found.extend(load.records);
        [&one, &two][at].settle(load.mark).unwrap();
    }
    assert!(by.iter().all(|count| *count > 100), "{by:?}");
    same(&found, &held(&world.journal));
    tokio::task::block_in_place(|| world.close(two));
    until_async(|| one.status().partitions.len() == 4).await;
    world.journal.append(entries(0..100, 100)).await.unwrap();
    assert_eq!(take(&one, 100).await.len(), 100);
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

#[tokio::test(flavor = "multi_thread")]
async fn a_load_of_a_lost_partition_settles_nothing() {
    let world = tokio::task::spawn_blocking(|| OnKafka::new(1)).await.unwrap();
    world.journal.append(entries(0..9, 10)).await.unwrap();
    let old = world.open(LARGE);
    let held_back = next(&old).await;
    assert!(!held_back.records.is_empty());
    // The old member dies for the group; its work is done by another one.
    tokio::task::block_in_place(|| world.close(old.clone()));
    let new = world.open(LARGE);
    let again = take(&new, 10).await;
    assert_eq!(again.len(), 10);
    old.settle(held_back.mark).unwrap();
    tokio::task::block_in_place(|| {
        world.close(new);
        drop(world);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_are_none_of_ours_are_named_and_passed() {
    let world = tokio::task::spawn_blocking(|| OnKafka::new(1)).await.unwrap();
    world.journal.append(entries(0..4, 10)).await.unwrap();
    tokio::task::block_in_place(|| world.forwarded());
    let producer: BaseProducer =
        rdkafka::ClientConfig::new().set("bootstrap.servers", &world.connection.brokers).create().unwrap();
    producer.send(BaseRecord::<str, str>::to(&world.topic).payload("{\"who\":\"a stranger\"}")).unwrap();
    tokio::task::block_in_place(|| producer.flush(Duration::from_secs(30))).unwrap();
    world.journal.append(entries(4..6, 10)).await.unwrap();
    let carrier = world.open(LARGE);
    let (mut records, mut losses) = (Vec::new(), Vec::new());
    while records.len() < 7 {
        let load = next(&carrier).await;
        records.extend(load.records);
        losses.extend(load.losses);
        carrier.settle(load.mark).unwrap();
    }
    same(&records, &held(&world.journal));
    assert_eq!((losses.len(), losses[0].cause, losses[0].missing), (1, Cause::Unreadable, Some(1)), "{losses:?}");
    assert!(losses[0].place.starts_with(&format!("{}/0@5: it names no format", world.topic)), "{losses:?}");
    assert!(!losses[0].place.contains("stranger"));
    tokio::task::block_in_place(|| world.close(carrier));
    let carrier = world.open(LARGE);
    world.journal.append(entries(6..7, 10)).await.unwrap();
    let load = next(&carrier).await;
    assert!(load.losses.is_empty() && load.records.len() == 1, "it is told until it is settled, and then no more");
    tokio::task::block_in_place(|| {
        world.close(carrier);
        drop(world);
    });
}

/// The first record of a topic with another value.
fn forge(world: &OnKafka, value: &str) {
    let mut config = rdkafka::ClientConfig::new();
    config.set("bootstrap.servers", &world.connection.brokers).set("group.id", "forger");
    let consumer: BaseConsumer = config.create().unwrap();
    let mut list = rdkafka::TopicPartitionList::new();
    list.add_partition_offset(&world.topic, 0, rdkafka::Offset::Beginning).unwrap();
    consumer.assign(&list).unwrap();
    let headers = until("the first record", || {
        let message = consumer.poll(Duration::from_millis(500))?.ok()?;
        message.headers().map(|headers| headers.detach())
    });
    let producer: BaseProducer = config.create().unwrap();
    producer.send(BaseRecord::<str, str>::to(&world.topic).payload(value).headers(headers)).unwrap();
    producer.flush(Duration::from_secs(30)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_altered_record_is_a_loss_and_a_newer_one_stops_the_processor() {
    let world = tokio::task::spawn_blocking(|| OnKafka::new(1)).await.unwrap();
    tokio::task::block_in_place(|| {
        world.forwarded();
        forge(&world, "altered");
    });
    let carrier = world.open(LARGE);
    let (mut records, mut losses) = (Vec::new(), Vec::new());
    while losses.is_empty() {
        let load = next(&carrier).await;
        records.extend(load.records);
        losses.extend(load.losses);
        carrier.settle(load.mark).unwrap();
    }
    same(&records, &held(&world.journal));
    assert!(losses[0].place.ends_with("the body does not agree with its commitment"), "{losses:?}");
    let producer: BaseProducer =
        rdkafka::ClientConfig::new().set("bootstrap.servers", &world.connection.brokers).create().unwrap();
    let version = rdkafka::message::Header { key: "tokentrail.format", value: Some("2") };
    let headers = rdkafka::message::OwnedHeaders::new().insert(version);
    producer.send(BaseRecord::<str, str>::to(&world.topic).payload("x").headers(headers)).unwrap();
    tokio::task::block_in_place(|| producer.flush(Duration::from_secs(30))).unwrap();
    let ended = tokio::time::timeout(crate::contract::PATIENCE, carrier.next()).await.unwrap();
    assert!(matches!(ended, Err(CarryError::Newer(_))));
    tokio::task::block_in_place(|| {
        world.close(carrier);
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

#[tokio::test(flavor = "multi_thread")]
async fn retention_that_passes_the_consumer_and_a_topic_made_anew_are_losses() {
    let world = tokio::task::spawn_blocking(|| OnKafka::new(1)).await.unwrap();
    world.journal.append(entries(0..99, 100)).await.unwrap();
    tokio::task::block_in_place(|| world.forwarded());
    let carrier = world.open(Appetite { records: 10, enough: 10, ..LARGE });
    take(&carrier, 10).await;
    tokio::task::block_in_place(|| world.close(carrier));
    delete_below(&world, 60).await;
    let carrier = world.open(LARGE);
    let load = next(&carrier).await;
    let [loss] = load.losses.as_slice() else { panic!("one loss, not {:?}", load.losses) };
    assert_eq!((loss.cause, loss.missing), (Cause::Expired, Some(50)));
    assert!(loss.place.ends_with("/0@10-59"), "{loss:?}");
    assert!(loss.since_ms.is_some(), "the time of the last record before it is known");
    carrier.settle(load.mark).unwrap();
    let rest = take(&carrier, 40 - load.records.len()).await;
    assert_eq!(rest.last().or(load.records.last()).unwrap().seq, 99);

    // Deleted and made anew beneath a running consumer, with as much in it as before.
    let meter = LagMeter::new(&world.connection, &world.topic, &world.topic).unwrap();
    let settled = || meter.measure().is_ok_and(|lag| lag.partitions[0].committed == Some(100)).then_some(());
    tokio::task::block_in_place(|| until("the position is committed", settled));
    let admin: rdkafka::admin::AdminClient<_> =
        rdkafka::ClientConfig::new().set("bootstrap.servers", &world.connection.brokers).create().unwrap();
    let options = rdkafka::admin::AdminOptions::new();
    admin.delete_topics(&[&world.topic], &options).await.unwrap().pop().unwrap().unwrap();
    let made = || matches!(try_topic(&world.connection, &world.topic, 1), Ok(true));
    tokio::task::block_in_place(|| until("the topic is made anew", || made().then_some(())));
    world.forwarding.as_ref().unwrap().again(0);
    let (mut seqs, mut causes) = (BTreeSet::new(), Vec::new());
    while seqs.len() < 100 {
        let load = next(&carrier).await;
        seqs.extend(load.records.iter().map(|record| record.seq));
        causes.extend(load.losses.iter().map(|loss| loss.cause));
        carrier.settle(load.mark).unwrap();
    }
    assert_eq!(causes, [Cause::Recreated]);
    tokio::task::block_in_place(|| {
        world.close(carrier);
        drop(world);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silence_that_hides_a_success_is_sent_again_and_every_record_comes() {
    // A broker of its own: it stands still with requests in its buffers, which it carries out when it wakes.
    let kafka = tokio::task::block_in_place(|| Kafka::start(&KafkaOptions::default())).unwrap();
    let mut connection = connection(&kafka.bootstrap());
    connection.producer.insert("message.timeout.ms".into(), "1000".into());
    let topic = fresh("silence");
    let world = tokio::task::block_in_place(|| {
        make_topic(&connection, &topic, 1);
        OnKafka::on(connection, topic)
    });
    world.journal.append(entries(0..99, 100)).await.unwrap();
    tokio::task::block_in_place(|| world.forwarded());
    kafka.freeze(0);
    world.journal.append(entries(99..199, 100)).await.unwrap();
    let status = || world.forwarding.as_ref().unwrap().status();
    tokio::task::block_in_place(|| until("what was sent is given up", || status().trouble));
    assert!(status().cursor < world.journal.durable_end(), "nothing is taken for confirmed");
    kafka.thaw(0);
    tokio::task::block_in_place(|| world.forwarded());
    assert!(status().resent > 0);
    let carrier = world.open(LARGE);
    let all = held(&world.journal);
    let mut found = std::collections::BTreeMap::new();
    while found.len() < all.len() {
        let load = next(&carrier).await;
        assert!(load.losses.is_empty());
        found.extend(load.records.into_iter().map(|record| (place(&record), record)));
        carrier.settle(load.mark).unwrap();
    }
    same(&found.into_values().collect::<Vec<_>>(), &all);
    tokio::task::block_in_place(|| {
        world.close(carrier);
        drop(world);
    });
}

async fn delete_below(world: &OnKafka, offset: i64) {
    let admin: rdkafka::admin::AdminClient<_> =
        rdkafka::ClientConfig::new().set("bootstrap.servers", &world.connection.brokers).create().unwrap();
    let mut list = rdkafka::TopicPartitionList::new();
    list.add_partition_offset(&world.topic, 0, rdkafka::Offset::Offset(offset)).unwrap();
    admin.delete_records(&list, &rdkafka::admin::AdminOptions::new()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_comes_late_is_waited_for() {
    let (world, topic) = tokio::task::spawn_blocking(|| {
        let topic = fresh("late");
        (OnKafka::on(connection(&crate::broker::BROKER.bootstrap()), topic.clone()), topic)
    })
    .await
    .unwrap();
    let carrier: KafkaCarrier = world.open(LARGE);
    world.journal.append(entries(0..9, 10)).await.unwrap();
    tokio::task::block_in_place(|| {
        until("the forwarder says what is missing", || {
            world.forwarding.as_ref().unwrap().status().refused.filter(|refused| refused.contains("does not exist"))
        });
        make_topic(&world.connection, &topic, 1);
    });
    let found = take(&carrier, 10).await;
    assert_eq!(found.iter().map(place).collect::<BTreeSet<_>>().len(), 10);
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
