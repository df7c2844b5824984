//! What the forwarder is compared with: a loop around librdkafka's producer that sends the same records, headers and keys
//! included, under the same settings, and reads them from memory.

use crate::measure::cpu_seconds;
use rdkafka::{
    ClientConfig, ClientContext, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
    message::{DeliveryResult, Header, Headers, Message, OwnedHeaders},
    producer::{BaseProducer, BaseRecord, Producer, ProducerContext},
    types::RDKafkaErrorCode,
};
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// The forwarder's settings (docs/kafka.md).
const SETTINGS: &[(&str, &str)] = &[
    ("enable.idempotence", "true"),
    ("acks", "all"),
    ("message.timeout.ms", "30000"),
    ("request.timeout.ms", "10000"),
    ("linger.ms", "50"),
    ("compression.type", "lz4"),
    ("queue.buffering.max.messages", "20000"),
    ("queue.buffering.max.kbytes", "65536"),
    ("partitioner", "murmur2_random"),
    ("message.max.bytes", "10485760"),
];
/// Records that are kept in memory and sent again and again.
const KEPT: usize = 20_000;
const PATIENCE: Duration = Duration::from_secs(60);

struct Kept {
    key: Vec<u8>,
    headers: Vec<(String, Vec<u8>)>,
    value: Vec<u8>,
}

#[derive(Default)]
struct Confirmed(AtomicU64);

impl ClientContext for Confirmed {}

impl ProducerContext for Confirmed {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        assert!(result.is_ok(), "a record of the bare loop was not taken");
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Microseconds of processor time a record: sends `count` records like those of `topic`.
pub fn produce(brokers: &str, topic: &str, count: usize) -> f64 {
    let kept = read(brokers, topic);
    make(brokers);
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers);
    for (name, value) in SETTINGS {
        config.set(*name, *value);
    }
    let producer: BaseProducer<Confirmed> = config.create_with_context(Confirmed::default()).unwrap();
    let before = cpu_seconds(std::process::id());
    for record in kept.iter().cycle().take(count) {
        let mut headers = OwnedHeaders::new_with_capacity(record.headers.len());
        for (key, value) in &record.headers {
            headers = headers.insert(Header { key, value: Some(value) });
        }
        let mut message = BaseRecord::to("bare").key(&record.key).payload(&record.value).headers(headers);
        while let Err((error, back)) = producer.send(message) {
            assert_eq!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::QueueFull));
            producer.poll(Duration::from_millis(5));
            message = back;
        }
    }
    producer.flush(PATIENCE).unwrap();
    let seconds = cpu_seconds(std::process::id()) - before;
    assert_eq!(producer.context().0.load(Ordering::Relaxed), count as u64);
    seconds / count as f64 * 1e6
}

fn make(brokers: &str) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", brokers).create().unwrap();
    let topic = NewTopic::new("bare", 6, TopicReplication::Fixed(1)).set("max.message.bytes", "10485760");
    let made = crate::support::block_on(async { admin.create_topics([&topic], &AdminOptions::new()).await.unwrap() });
    made.into_iter().for_each(|made| drop(made.unwrap()));
}

/// The first records of a topic.
fn read(brokers: &str, topic: &str) -> Vec<Kept> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("group.id", "bare");
    let consumer: BaseConsumer = config.create().unwrap();
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).unwrap();
    let mut list = TopicPartitionList::new();
    for partition in metadata.topics()[0].partitions() {
        list.add_partition_offset(topic, partition.id(), Offset::Beginning).unwrap();
    }
    consumer.assign(&list).unwrap();
    let mut kept = Vec::new();
    while kept.len() < KEPT {
        // None: fewer are there, and all were read.
        let Some(message) = consumer.poll(Duration::from_secs(5)) else { break };
        let message = message.unwrap();
        let headers = message.headers().unwrap().iter();
        kept.push(Kept {
            key: message.key().unwrap().to_vec(),
            headers: headers.map(|header| (header.key.to_owned(), header.value.unwrap().to_vec())).collect(),
            value: message.payload().unwrap().to_vec(),
        });
    }
    assert!(!kept.is_empty(), "nothing is on {topic}");
    kept
}
