//! Errors that a real broker gives seldom, injected by librdkafka's mock cluster: it proves how errors are handled and nothing
//! about a broker.

use crate::broker::{OnKafka, connection, fresh, measured, now_ms};
use crate::contract::{LARGE, PATIENCE, World, entries, held, opening, options, take};
use durable_log::carrier::Carrier;
use durable_log::kafka::{ForwardStatus, LagMeter};
use durable_log::{Journal, Options};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use testbed::until;

type Mock = MockCluster<'static, DefaultProducerContext>;

const PRODUCE: RDKafkaApiKey = RDKafkaApiKey::Produce;

/// A journal that is forwarded to a mock cluster; `settings` are the producer's.
fn world(settings: &[(&str, &str)]) -> (Mock, OnKafka) {
    partitioned(1, settings)
}

/// The same with so many partitions.
fn partitioned(partitions: i32, settings: &[(&str, &str)]) -> (Mock, OnKafka) {
    let cluster = Mock::new(1).unwrap();
    let topic = fresh("injected");
    cluster.create_topic(&topic, partitions, 1).unwrap();
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

/// Of several batches under way the first is refused and later ones are taken: librdkafka then concludes that of the first, too.
#[test]
fn what_is_only_concluded_from_a_later_batch_is_sent_again() {
    let (cluster, world) = world(&[("batch.num.messages", "5"), ("linger.ms", "0"), ("retry.backoff.ms", "100")]);
    // The broker takes its time, so that others follow what it refuses.
    cluster.broker_round_trip_time(1, Duration::from_millis(100)).unwrap();
    // On a busy machine it takes more of them.
    let concluded = (0..200).any(|round| {
        cluster.request_errors(PRODUCE, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS]);
        append(&world, round * 100..round * 100 + 100, 50);
        world.forwarded();
        status(&world).resent > 0
    });
    assert!(concluded, "{:?}", status(&world));
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
    let (cluster, world) = world(&[("queue.buffering.max.messages", "100"), ("linger.ms", "5")]);
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
    let OnKafka { connection, topic, .. } = &world;
    // A journal that has no room for more than this and little else.
    let small = |dir: &Path| Journal::open(Options { max_bytes: 5 << 20, ..options(dir) }, opening).unwrap();
    let world = OnKafka::with(connection.clone(), topic.clone(), small);
    append(&world, 0..3_000, 1_000);
    world.forwarded();
    until("the cursor is kept", || (world.journal.committed("kafka") == world.journal.durable_end()).then_some(()));
    cluster.broker_down(1).unwrap();
    world.forwarding.as_ref().unwrap().again(0).unwrap();
    until("it is given up", || status(&world).trouble);
    // Room is needed: intake goes on.
    let mut next = 3_000;
    until("segments are freed", || {
        append(&world, next..next + 100, 1_000);
        next += 100;
        (world.journal.status().first > 0).then_some(())
    });
    cluster.broker_up(1).unwrap();
    world.forwarded();
    assert!(!*world.forwarding.as_ref().unwrap().ended().borrow());
    append(&world, next..next + 1, 10);
    world.forwarded();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_nobody_leads_holds_up_no_other_and_is_read_when_somebody_does() {
    let (cluster, mut world) = tokio::task::block_in_place(|| partitioned(2, &[]));
    world.connection.consumer.insert("topic.metadata.refresh.interval.ms".into(), "200".into());
    let meter = LagMeter::new(&world.connection, &world.topic, &world.topic);
    // A group that never stood in it, and one that does.
    for round in 0..2 {
        world.journal.append(entries(round * 100..round * 100 + 100, 50)).await.unwrap();
        tokio::task::block_in_place(|| world.forwarded());
        let lag = measured(&meter);
        let [led, not_led] = [0, 1].map(|partition: usize| lag.partitions[partition].records() as usize);
        assert!(led > 0 && not_led > 0, "{lag:?}");
        cluster.partition_leader(&world.topic, 1, None).unwrap();
        let carrier = world.open(LARGE);
        let began = now_ms();
        assert_eq!(take(&carrier, led).await.len(), led);
        assert!(*carrier.settled_until().borrow() < began, "what waits there may be what is missed");
        cluster.partition_leader(&world.topic, 1, Some(1)).unwrap();
        assert_eq!(take(&carrier, not_led).await.len(), not_led, "each once, and none is told as lost");
        let mut settled = carrier.settled_until();
        tokio::time::timeout(PATIENCE, settled.wait_for(|until| *until >= began)).await.expect("it is known").unwrap();
        tokio::task::block_in_place(|| world.close(carrier));
    }
    tokio::task::block_in_place(|| drop(world));
}

#[test]
fn a_consumer_that_cannot_be_made_is_told() {
    let (_cluster, mut world) = world(&[]);
    // `config check` refuses it; a file that is half written would do the same while the program runs.
    world.connection.consumer.insert("session.timeout.ms".into(), "300001".into());
    let carrier = world.open(LARGE);
    let said = until("it is said", || carrier.status().trouble);
    assert!(said.contains("no consumer can be made") && said.contains("session.timeout.ms"), "{said}");
    world.close(carrier);
}

#[test]
fn a_producer_that_cannot_be_made_is_told_and_ends_nothing() {
    let (_cluster, mut world) = world(&[]);
    append(&world, 0..10, 50);
    world.forwarded();
    world.stop_forwarding();
    // As a file that is half written: what librdkafka says of its settings.
    world.connection.producer.insert("linger.ms".into(), "soon".into());
    world.forward();
    append(&world, 10..20, 50);
    let said = until("it is said", || status(&world).trouble);
    assert!(said.contains("no producer can be made") && said.contains("linger.ms"), "{said}");
    assert!(!*world.forwarding.as_ref().unwrap().ended().borrow(), "the collector goes on");
    world.stop_forwarding();
    world.connection.producer.clear();
    world.forward();
    all_arrived(&world);
}
