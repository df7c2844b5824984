//! Errors that a real broker gives seldom, injected by librdkafka's mock cluster: it proves how errors are handled and nothing
//! about a broker.

use crate::broker::{OnKafka, connection, fresh, until};
use crate::contract::{World, entries, held};
use durable_log::kafka::ForwardStatus;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::time::Duration;

type Mock = MockCluster<'static, DefaultProducerContext>;

const PRODUCE: RDKafkaApiKey = RDKafkaApiKey::Produce;

/// A journal that is forwarded to a mock cluster; `settings` are the producer's.
fn world(settings: &[(&str, &str)]) -> (Mock, OnKafka) {
    let cluster = Mock::new(1).unwrap();
    let topic = fresh("injected");
    cluster.create_topic(&topic, 1, 1).unwrap();
    let mut connection = connection(&cluster.bootstrap_servers());
    connection.producer.extend(settings.iter().map(|(name, value)| ((*name).into(), (*value).into())));
    (cluster, OnKafka::on(connection, topic))
}

fn append(world: &OnKafka, numbers: std::ops::Range<u64>, size: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(world.journal.append(entries(numbers, size))).unwrap();
}

fn status(world: &OnKafka) -> ForwardStatus {
    world.forwarding.as_ref().unwrap().status()
}

/// How often each number of the stream is on the topic.
fn counted(world: &OnKafka) -> BTreeMap<u64, u32> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &world.connection.brokers)
        .set("group.id", "count")
        .create()
        .unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&world.topic, 0, Offset::Beginning).unwrap();
    consumer.assign(&list).unwrap();
    let (_, end) = consumer.fetch_watermarks(&world.topic, 0, Duration::from_secs(10)).unwrap();
    let (mut seen, mut counts) = (0, BTreeMap::new());
    until("every record of the topic", || {
        while let Some(Ok(message)) = consumer.poll(Duration::from_millis(200)) {
            let headers = message.headers().unwrap();
            let seq = headers.iter().find(|header| header.key == "tokentrail.seq").unwrap().value.unwrap();
            *counts.entry(std::str::from_utf8(seq).unwrap().parse().unwrap()).or_default() += 1;
            seen = message.offset() + 1;
        }
        (seen == end).then_some(())
    });
    counts
}

/// Everything of the journal is on the topic, and the cursor says so.
fn all_arrived(world: &OnKafka) -> BTreeMap<u64, u32> {
    world.forwarded();
    let counts = counted(world);
    assert_eq!(counts.len(), held(world.journal()).len());
    counts
}

#[test]
fn errors_that_pass_cost_nothing() {
    use RDKafkaRespErr as Code;
    let errors = [
        Code::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
        Code::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        Code::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
        Code::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        Code::RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR,
        Code::RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID,
    ];
    let (cluster, world) = world(&[]);
    for (round, error) in errors.into_iter().enumerate() {
        cluster.request_errors(PRODUCE, &[error]);
        let from = round as u64 * 100;
        append(&world, from..from + 100, 50);
        world.forwarded();
    }
    all_arrived(&world);
}

#[test]
fn errors_that_end_a_record_or_a_producer_are_overcome() {
    use RDKafkaRespErr as Code;
    let errors = [
        Code::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
        Code::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE,
        Code::RD_KAFKA_RESP_ERR_INVALID_MSG,
        Code::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER,
        Code::RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH,
        Code::RD_KAFKA_RESP_ERR_UNKNOWN,
    ];
    let (cluster, world) = world(&[]);
    append(&world, 0..100, 50);
    world.forwarded();
    for (round, error) in errors.into_iter().enumerate() {
        cluster.request_errors(PRODUCE, &[error]);
        let from = 100 + round as u64 * 100;
        append(&world, from..from + 100, 50);
        world.forwarded();
        println!("{error:?}: {:?}", status(&world));
    }
    all_arrived(&world);
    let status = status(&world);
    assert!(status.resent > 0, "{status:?}");
    assert_eq!(status.trouble, None, "what is over is not told any more");
}

#[test]
fn a_full_queue_stops_the_reading_and_loses_nothing() {
    let (cluster, world) = world(&[("queue.buffering.max.messages", "100")]);
    append(&world, 0..10, 200);
    world.forwarded();
    cluster.broker_down(1).unwrap();
    append(&world, 10..5_000, 200);
    until("the queue is full", || (status(&world).in_flight >= 100).then_some(()));
    assert!(status(&world).in_flight <= 101, "{:?}", status(&world));
    cluster.broker_up(1).unwrap();
    let counts = all_arrived(&world);
    assert!(counts.values().all(|count| *count == 1), "an outage that a message outlives repeats nothing");
}

#[test]
fn a_record_that_is_refused_at_once_is_told_and_sent_when_it_is_taken() {
    use RDKafkaRespErr as Code;
    let (cluster, world) = world(&[("topic.metadata.refresh.interval.ms", "100")]);
    world.forwarded();
    cluster.topic_error(&world.topic, Code::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED).unwrap();
    // The producer learns of it by and by, and takes records until then.
    let mut next = 0;
    until("it is said", || {
        if status(&world).cursor == world.journal.durable_end() {
            append(&world, next..next + 1, 50);
            next += 1;
        }
        status(&world).trouble
    });
    cluster.topic_error(&world.topic, Code::RD_KAFKA_RESP_ERR_NO_ERROR).unwrap();
    all_arrived(&world);
}

#[test]
fn records_that_are_freed_while_they_are_sent_again_by_order_do_not_end_the_forwarder() {
    let (cluster, world) = world(&[("message.timeout.ms", "1000")]);
    append(&world, 0..3_000, 1_000);
    world.forwarded();
    until("the cursor is kept", || (world.journal.committed("kafka") == world.journal.durable_end()).then_some(()));
    cluster.broker_down(1).unwrap();
    world.forwarding.as_ref().unwrap().again(0);
    until("it is given up", || status(&world).trouble);
    world.journal.trim().unwrap();
    assert!(world.journal.status().first > 0, "segments are freed");
    cluster.broker_up(1).unwrap();
    world.forwarded();
    assert!(!*world.forwarding.as_ref().unwrap().ended().borrow());
    append(&world, 3_000..3_001, 10);
    world.forwarded();
}
