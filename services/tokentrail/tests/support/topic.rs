//! Reads a topic as another consumer would, and holds its records to their published schema.

use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    message::{BorrowedMessage, Headers, Message},
};
use serde_json::{Map, Value, json};
use std::path::Path;
use std::time::Duration;

/// Headers of bytes.
const BYTES: [&str; 3] = ["tokentrail.salt", "tokentrail.commitment", "tokentrail.chain"];

/// Every record of a topic that is there now, as the schema describes one.
pub fn records(brokers: &str, topic: &str) -> Vec<Value> {
    let consumer: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", brokers).set("group.id", "schema").create().unwrap();
    let patience = Duration::from_secs(30);
    let metadata = consumer.fetch_metadata(Some(topic), patience).unwrap();
    let (mut list, mut count) = (TopicPartitionList::new(), 0);
    for partition in metadata.topics()[0].partitions() {
        let (first, end) = consumer.fetch_watermarks(topic, partition.id(), patience).unwrap();
        count += usize::try_from(end - first).unwrap();
        list.add_partition_offset(topic, partition.id(), Offset::Offset(first)).unwrap();
    }
    consumer.assign(&list).unwrap();
    let mut found = Vec::new();
    while found.len() < count {
        let message = consumer.poll(patience).expect("a record").unwrap();
        found.push(written(&message));
    }
    found
}

fn written(message: &BorrowedMessage<'_>) -> Value {
    let mut headers = Map::new();
    for header in message.headers().iter().flat_map(|headers| headers.iter()) {
        let value = header.value.unwrap();
        let value = match header.key {
            "tokentrail.header" => serde_json::from_slice(value).unwrap(),
            name if BYTES.contains(&name) => hex::encode(value).into(),
            _ => std::str::from_utf8(value).unwrap().into(),
        };
        assert!(headers.insert(header.key.to_owned(), value).is_none(), "header {} twice", header.key);
    }
    json!({"key": std::str::from_utf8(message.key().unwrap()).unwrap(), "headers": headers})
}

/// The published schema of a record.
pub fn schema() -> jsonschema::Validator {
    let read = |name: &str| -> Value {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas").join(name);
        serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
    };
    let header = jsonschema::Resource::from_contents(read("events/receipt-header.schema.json"));
    let registry = jsonschema::Registry::new()
        .add("https://tokentrail.invalid/schemas/events/receipt-header.schema.json", header)
        .unwrap()
        .prepare()
        .unwrap();
    jsonschema::options().with_registry(&registry).build(&read("kafka/receipt-record.schema.json")).unwrap()
}

/// Makes more partitions.
pub fn add_partitions(brokers: &str, topic: &str, count: usize) {
    use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
    let admin: AdminClient<_> = ClientConfig::new().set("bootstrap.servers", brokers).create().unwrap();
    let made = super::block_on(async {
        admin.create_partitions(&[NewPartitions::new(topic, count)], &AdminOptions::new()).await.unwrap()
    });
    made.into_iter().for_each(|made| assert!(made.is_ok(), "{made:?}"));
}
