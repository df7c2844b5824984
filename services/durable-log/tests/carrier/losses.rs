//! What Kafka loses, or what nobody of ours wrote there: named, told until it is settled, and never a silent jump.

use crate::broker::{OnKafka, make_topic_anew, measured};
use crate::contract::{LARGE, World, entries, held, next, same, take};
use durable_log::carrier::{Appetite, Carrier, Cause};
use durable_log::kafka::{KafkaCarrier, LagMeter, Subscription};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use std::collections::BTreeSet;
use std::time::Duration;
use testbed::until;

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

/// Somebody writes what is none of ours, and much of it: receipts behind it do not wait for a load of each.
#[tokio::test(flavor = "multi_thread")]
async fn many_strange_records_come_in_few_loads() {
    let world = tokio::task::spawn_blocking(|| OnKafka::new(1)).await.unwrap();
    let producer: BaseProducer =
        rdkafka::ClientConfig::new().set("bootstrap.servers", &world.connection.brokers).create().unwrap();
    (0..2_000).for_each(|_| producer.send(BaseRecord::<str, str>::to(&world.topic).payload("strange")).unwrap());
    tokio::task::block_in_place(|| producer.flush(Duration::from_secs(30))).unwrap();
    tokio::task::block_in_place(|| world.forwarded());
    let carrier = world.open(Appetite { linger: Duration::from_millis(500), ..LARGE });
    let (mut loads, mut losses, mut records) = (0, 0, 0);
    while losses < 2_000 || records < 1 {
        let load = next(&carrier).await;
        (loads, losses, records) = (loads + 1, losses + load.losses.len(), records + load.records.len());
        carrier.settle(load.mark).unwrap();
    }
    assert!(loads < 50, "{loads} loads");
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
async fn an_altered_record_is_a_loss_and_a_newer_one_holds_its_partition() {
    let world = tokio::task::spawn_blocking(|| OnKafka::new(2)).await.unwrap();
    world.journal.append(entries(0..20, 10)).await.unwrap();
    tokio::task::block_in_place(|| {
        world.forwarded();
        forge(&world, "altered");
    });
    let carrier = world.open(LARGE);
    let (mut records, mut losses) = (Vec::new(), Vec::new());
    while losses.is_empty() || records.len() < 21 {
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
    let newer = BaseRecord::<str, str>::to(&world.topic).partition(0).payload("x").headers(headers);
    producer.send(newer).unwrap();
    tokio::task::block_in_place(|| producer.flush(Duration::from_secs(30))).unwrap();
    let meter = LagMeter::new(&world.connection, &world.topic, &world.topic);
    let ends = || measured(&meter).partitions.iter().map(|found| found.end).collect::<Vec<_>>();
    let [newer, before] = ends()[..] else { panic!("two partitions") };
    world.journal.append(entries(20..60, 10)).await.unwrap();
    tokio::task::block_in_place(|| world.forwarded());
    let [behind, after] = ends()[..] else { panic!("two partitions") };
    assert!(behind > newer && after > before, "both partitions have new records");
    // The other partition is read on, and this one waits, with its position in front of the record.
    let others = take(&carrier, usize::try_from(after - before).unwrap()).await;
    assert_eq!(others.len() as i64, after - before);
    tokio::task::block_in_place(|| {
        let said = until("it is said", || carrier.status().trouble);
        assert!(said.contains(&format!("{}/0@{}", world.topic, newer - 1)) && said.contains("newer format"), "{said}");
        world.close(carrier);
        let lag = measured(&meter);
        let committed: Vec<Option<i64>> = lag.partitions.iter().map(|found| found.committed).collect();
        assert_eq!(committed, [Some(newer - 1), Some(after)]);
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
    // A group that never stood anywhere need not have missed anything: it is told without a number.
    let other = KafkaCarrier::join(&world.connection, Subscription::receipts(&world.topic, "new"), LARGE).unwrap();
    let load = next(&other).await;
    let [loss] = load.losses.as_slice() else { panic!("one loss, not {:?}", load.losses) };
    assert_eq!((loss.cause, loss.missing), (Cause::Expired, None));
    tokio::task::block_in_place(|| world.close(other));
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
    let meter = LagMeter::new(&world.connection, &world.topic, &world.topic);
    let settled = || meter.measure().is_ok_and(|lag| lag.partitions[0].committed == Some(100)).then_some(());
    tokio::task::block_in_place(|| until("the position is committed", settled));
    let admin: rdkafka::admin::AdminClient<_> =
        rdkafka::ClientConfig::new().set("bootstrap.servers", &world.connection.brokers).create().unwrap();
    let options = rdkafka::admin::AdminOptions::new();
    admin.delete_topics(&[&world.topic], &options).await.unwrap().pop().unwrap().unwrap();
    tokio::task::block_in_place(|| make_topic_anew(&world.connection, &world.topic, 1));
    world.forwarding.as_ref().unwrap().again(0).unwrap();
    let (mut seqs, mut causes) = (BTreeSet::new(), Vec::new());
    while seqs.len() < 100 {
        let load = next(&carrier).await;
        seqs.extend(load.records.iter().map(|record| record.seq));
        assert!(
            load.losses.iter().all(|loss| loss.since_ms.is_some()),
            "since when it may be is known: {:?}",
            load.losses
        );
        causes.extend(load.losses.iter().map(|loss| loss.cause));
        carrier.settle(load.mark).unwrap();
    }
    assert_eq!(causes, [Cause::Recreated]);
    tokio::task::block_in_place(|| world.close(carrier));

    // A loss with no record behind it is settled like any other, and told once.
    world.journal.append(entries(99..109, 100)).await.unwrap();
    tokio::task::block_in_place(|| world.forwarded());
    let end = measured(&meter).partitions[0].end;
    delete_below(&world, end).await;
    let carrier = world.open(LARGE);
    let load = next(&carrier).await;
    assert_eq!((load.records.len(), load.losses.len(), load.losses[0].missing), (0, 1, Some(10)), "{:?}", load.losses);
    carrier.settle(load.mark).unwrap();
    tokio::task::block_in_place(|| world.close(carrier));
    let carrier = world.open(LARGE);
    world.journal.append(entries(109..110, 100)).await.unwrap();
    assert_eq!(take(&carrier, 1).await.len(), 1, "and no loss with it");
    tokio::task::block_in_place(|| {
        world.close(carrier);
        drop(world);
    });
}

/// Deletes the records of the first partition below an offset.
pub async fn delete_below(world: &OnKafka, offset: i64) {
    let admin: rdkafka::admin::AdminClient<_> =
        rdkafka::ClientConfig::new().set("bootstrap.servers", &world.connection.brokers).create().unwrap();
    let mut list = rdkafka::TopicPartitionList::new();
    list.add_partition_offset(&world.topic, 0, rdkafka::Offset::Offset(offset)).unwrap();
    admin.delete_records(&list, &rdkafka::admin::AdminOptions::new()).await.unwrap();
}
