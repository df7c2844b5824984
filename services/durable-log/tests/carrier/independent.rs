//! A reader that knows docs/kafka.md and none of our code checks commitment and chain: HMAC, SHA-256 and Kafka's own client.

use crate::broker::OnKafka;
use crate::contract::entries;
use hmac::{Hmac, KeyInit, Mac};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::time::Duration;
use testbed::until;

type Proven = (Vec<u8>, Vec<u8>, Vec<u8>);

#[tokio::test(flavor = "multi_thread")]
async fn commitment_and_chain_can_be_verified_without_our_code() {
    let world = tokio::task::spawn_blocking(|| OnKafka::new(3)).await.unwrap();
    world.journal.append(entries(0..199, 500)).await.unwrap();
    tokio::task::block_in_place(|| {
        world.forwarded();
        let by_seq = read(&world);
        assert_eq!(by_seq.len(), 200);
        verify(&by_seq);
        drop(world);
    });
}

/// Header, commitment and chain by (stream, seq); each commitment is checked against salt and value on the way.
fn read(world: &OnKafka) -> BTreeMap<(Vec<u8>, u64), Proven> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &world.connection.brokers)
        .set("group.id", "reader")
        .set("auto.offset.reset", "earliest")
        .create()
        .unwrap();
    consumer.subscribe(&[&world.topic]).unwrap();
    let mut found = BTreeMap::new();
    until("200 records", || {
        let message = consumer.poll(Duration::from_millis(500))?.ok()?;
        let headers = message.headers().unwrap();
        let get = |name: &str| headers.iter().find(|h| h.key == name).unwrap().value.unwrap().to_vec();
        let text = |name: &str| String::from_utf8(get(name)).unwrap();
        assert_eq!((text("tokentrail.format"), text("tokentrail.enc")), ("1".into(), "0:0".into()));
        assert_eq!(text("tenant"), "default");
        let mut mac = Hmac::<Sha256>::new_from_slice(&get("tokentrail.salt")).unwrap();
        mac.update(message.payload().unwrap());
        assert_eq!(mac.finalize().into_bytes().to_vec(), get("tokentrail.commitment"));
        let stream = hex::decode(text("tokentrail.stream")).unwrap();
        let seq: u64 = text("tokentrail.seq").parse().unwrap();
        assert_eq!(message.key().unwrap(), format!("{}/{seq}", text("tokentrail.stream")).as_bytes());
        found.insert((stream, seq), (get("tokentrail.header"), get("tokentrail.commitment"), get("tokentrail.chain")));
        (found.len() == 200).then_some(())
    });
    found
}

/// SHA-256(previous || stream || seq || length of header || header || commitment), from 32 zero bytes on.
fn verify(records: &BTreeMap<(Vec<u8>, u64), Proven>) {
    let mut previous = vec![0; 32];
    for (expected, ((stream, seq), (header, commitment, chain))) in records.iter().enumerate() {
        assert_eq!(*seq, expected as u64, "dense from 0");
        let mut hash = Sha256::new();
        hash.update(&previous);
        hash.update(stream);
        hash.update(seq.to_be_bytes());
        hash.update((header.len() as u32).to_be_bytes());
        hash.update(header);
        hash.update(commitment);
        assert_eq!(hash.finalize().to_vec(), *chain, "seq {seq}");
        previous.clone_from(chain);
    }
}
