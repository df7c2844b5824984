//! A consumer that says where it runs reads from the replica beside it, on two real brokers in two racks.

use crate::broker::{OnKafka, connection, fresh, try_topic};
use crate::contract::entries;
use durable_log::kafka::Connection;
use rdkafka::consumer::{BaseConsumer, Consumer};
use serde_json::Value;
use std::time::Duration;
use testbed::{Kafka, KafkaOptions, until};

/// Bytes of records in a broker's answers to fetches of the carrier's consumer, and the replicas that they sent it to. A fetch that goes on an
/// earlier one names no topic; all of these answers are of one partition.
fn told(kafka: &Kafka, (node, client): (usize, &str)) -> (u64, Vec<i64>, Vec<Value>) {
    let fetches = kafka.answered(node, "FETCH").into_iter();
    let own: Vec<Value> = fetches.filter(|one| one["requestHeader"]["clientId"] == client).collect();
    let topics = own.iter().filter_map(|one| one["response"]["responses"].as_array()).flatten();
    let partitions: Vec<&Value> = topics.filter_map(|topic| topic["partitions"].as_array()).flatten().collect();
    let bytes = partitions.iter().filter_map(|one| one["recordsSizeInBytes"].as_u64()).sum();
    let elsewhere = partitions.iter().filter_map(|one| one["preferredReadReplica"].as_i64()).filter(|id| *id >= 0);
    (bytes, elsewhere.collect(), own.into_iter().map(|mut one| one["request"]["rackId"].take()).collect())
}

/// Who leads partition 0, from 0. Blocks.
fn leader(connection: &Connection, topic: &str) -> usize {
    let consumer: BaseConsumer =
        rdkafka::ClientConfig::new().set("bootstrap.servers", &connection.brokers).create().unwrap();
    let id = until("the topic has a leader", || {
        let metadata = consumer.fetch_metadata(Some(topic), Duration::from_secs(10)).ok()?;
        let partition = metadata.topics().first()?.partitions().first()?;
        Some(partition.leader()).filter(|id| *id > 0 && partition.isr().len() == 2)
    });
    usize::try_from(id).unwrap() - 1
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_read_from_the_replica_in_the_same_rack() {
    let options = KafkaOptions { brokers: 2, tell_requests: true, ..KafkaOptions::default() };
    let kafka = tokio::task::block_in_place(|| Kafka::start(&options)).unwrap();
    let mut connection = connection(&kafka.bootstrap());
    connection.client_id = "elsewhere".into();
    let topic = fresh("racks");
    let leader = tokio::task::block_in_place(|| {
        until("the topic is made", || try_topic(&connection, &topic, (1, 2)).ok());
        leader(&connection, &topic)
    });
    let follower = 1 - leader;
    let (beside, rack) = (follower as i64 + 1, format!("rack-{}", follower + 1));
    connection.rack.clone_from(&rack);
    let world = tokio::task::block_in_place(|| OnKafka::on(connection.clone(), topic));
    world.journal.append(entries(0..200, 100)).await.unwrap();
    tokio::task::block_in_place(|| world.forwarded());
    world.all_comes().await;

    // A broker's line comes after its answer. Salts and hashes of a record, 80 bytes, do not compress.
    let client = connection.client_id.as_str();
    let all = |(bytes, _, racks): (u64, Vec<i64>, Vec<Value>)| (bytes > 200 * 80).then_some((bytes, racks));
    let (_, racks) = tokio::task::block_in_place(|| {
        until("the broker beside it says that it gave them all", || all(told(&kafka, (follower, client))))
    });
    assert!(racks.iter().all(|asked| *asked == rack), "{racks:?}");
    let (bytes, sent_to) = tokio::task::block_in_place(|| {
        let told = || told(&kafka, (leader, client));
        until("the leader says where it sent it", || {
            Some(told()).filter(|(_, to, _)| !to.is_empty()).map(|(b, to, _)| (b, to))
        })
    });
    assert_eq!(bytes, 0, "the leader gave nothing away");
    assert!(sent_to.iter().all(|id| *id == beside), "{sent_to:?}");
    tokio::task::block_in_place(|| drop(world));
}
