//! Dead letters on a topic of their own, on a real broker.

use crate::broker::{OnKafka, fresh, label, make_topic};
use crate::contract::{LARGE, World, entries, held, next};
use durable_log::carrier::{Carrier, DeadLetter};
use durable_log::kafka::{KafkaCarrier, Reading, Subscription};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use std::collections::BTreeMap;
use std::time::Duration;
use testbed::until;

/// Value and headers.
type Copied = (Vec<u8>, BTreeMap<String, Vec<u8>>);

/// Everything on partition 0 of a topic.
fn all(world: &OnKafka, topic: &str, count: usize) -> Vec<Copied> {
    let mut config = rdkafka::ClientConfig::new();
    config.set("bootstrap.servers", &world.connection.brokers).set("group.id", "reader");
    let consumer: BaseConsumer = config.create().unwrap();
    let mut list = rdkafka::TopicPartitionList::new();
    list.add_partition_offset(topic, 0, rdkafka::Offset::Beginning).unwrap();
    consumer.assign(&list).unwrap();
    let mut found = Vec::new();
    while found.len() < count {
        let one = until("a dead letter", || {
            let message = consumer.poll(Duration::from_millis(500))?.ok()?;
            let headers = message.headers().unwrap();
            let headers = headers.iter().map(|one| (one.key.to_owned(), one.value.unwrap_or_default().to_vec()));
            Some((message.payload().unwrap_or_default().to_vec(), headers.collect()))
        });
        found.push(one);
    }
    found
}

fn open(world: &OnKafka, dead: &str, (name, value): (&str, &str)) -> KafkaCarrier {
    let (topic, group) = (world.topic.clone(), world.topic.clone());
    let reading = Reading::Receipts(Some((dead.to_owned(), label())));
    let mut connection = world.connection.clone();
    connection.producer.insert(name.into(), value.into());
    KafkaCarrier::join(&connection, Subscription { topic, group, reading }, LARGE).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_understood_and_what_is_none_of_ours_is_copied_with_the_reason() {
    let world = tokio::task::spawn_blocking(|| OnKafka::new(1)).await.unwrap();
    let dead = fresh("dead");
    make_topic(&world.connection, &dead, 1);
    world.journal.append(entries(0..3, 10)).await.unwrap();
    tokio::task::block_in_place(|| world.forwarded());
    let producer: BaseProducer =
        rdkafka::ClientConfig::new().set("bootstrap.servers", &world.connection.brokers).create().unwrap();
    producer.send(BaseRecord::<str, str>::to(&world.topic).key("k").payload("a stranger")).unwrap();
    tokio::task::block_in_place(|| producer.flush(Duration::from_secs(30))).unwrap();
    // A copy leaves late, unless somebody waits for it.
    let carrier = open(&world, &dead, ("linger.ms", "20000"));
    let (mut records, mut losses) = (Vec::new(), 0);
    while records.len() < 4 || losses == 0 {
        let load = next(&carrier).await;
        if records.is_empty() {
            let letter = DeadLetter { record: load.records[1].clone(), reason: "not_json", normaliser: 7 };
            carrier.set_aside(&[letter]);
        }
        records.extend(load.records);
        losses += load.losses.len();
        carrier.settle(load.mark).unwrap();
    }
    // A position is committed behind the copies: whoever leaves has them there.
    tokio::task::block_in_place(|| carrier.leave());
    let status = carrier.status();
    assert_eq!((status.set_aside, status.not_set_aside), (2, 0));
    let found = tokio::task::block_in_place(|| all(&world, &dead, 2));
    let (stranger, letter): (Vec<_>, Vec<_>) = found.iter().partition(|(value, _)| value == b"a stranger");
    let (value, headers) = letter[0];
    let original = held(&world.journal).into_values().find(|record| record.seq == 1).unwrap();
    assert_eq!(value.as_slice(), original.body.as_ref());
    let header = |headers: &BTreeMap<String, Vec<u8>>, name: &str| {
        String::from_utf8_lossy(headers.get(name).map_or(&[][..], Vec::as_slice)).into_owned()
    };
    assert_eq!(header(headers, "tokentrail.reason"), "not_json");
    assert_eq!(header(headers, "tokentrail.normaliser"), "7");
    assert_eq!((header(headers, "tokentrail.seq"), header(headers, "tenant")), ("1".into(), "default".into()));
    assert_eq!(headers["tokentrail.commitment"], original.commitment);
    let (_, headers) = stranger[0];
    assert_eq!(header(headers, "tokentrail.reason"), "it names no format");
    assert_eq!(header(headers, "tokentrail.place"), format!("{}/0@4", world.topic));
    tokio::task::block_in_place(|| drop((carrier, world)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_of_dead_letters_that_is_missing_holds_up_nothing() {
    let world = tokio::task::spawn_blocking(|| OnKafka::new(1)).await.unwrap();
    world.journal.append(entries(0..3, 10)).await.unwrap();
    let carrier = open(&world, &fresh("nowhere"), ("message.timeout.ms", "2000"));
    let mut records = 0;
    while records < 4 {
        let load = next(&carrier).await;
        records += load.records.len();
        let letter =
            |record: &durable_log::Record| DeadLetter { record: record.clone(), reason: "not_json", normaliser: 1 };
        carrier.set_aside(&load.records.iter().map(letter).collect::<Vec<_>>());
        carrier.settle(load.mark).unwrap();
    }
    tokio::task::block_in_place(|| {
        until("the failures are counted", || (carrier.status().not_set_aside == 4).then_some(()));
        carrier.leave();
    });
    // The position was committed all the same.
    let again = world.open(LARGE);
    world.journal.append(entries(3..4, 10)).await.unwrap();
    assert_eq!(next(&again).await.records.len(), 1);
    tokio::task::block_in_place(|| {
        world.close(again);
        drop((carrier, world));
    });
}
