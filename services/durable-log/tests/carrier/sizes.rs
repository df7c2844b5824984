//! Topics that take small records only, on a real broker: what is too large is told and waits, nothing is lost, and it comes once the topic
//! takes it.

use crate::broker::{BROKER, OnKafka, connection, fresh};
use crate::contract::{LARGE, World, entries, gather, held, same};
use durable_log::Entry;
use durable_log::kafka::{Connection, Mechanism, Sasl, Tls};
use std::collections::BTreeMap;
use testbed::kafka::{PASSWORD, Security, USER};
use testbed::{Kafka, KafkaOptions, until};

/// What the topic takes: many small records, and no large one.
const SMALL: usize = 100_000;
/// What a topic must take (docs/kafka.md).
const ENOUGH: usize = 10_485_760;

/// A record that no compression makes small enough.
fn large(number: u64) -> Entry {
    let mut state = number + 1;
    let body = std::iter::repeat_with(|| {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    });
    Entry { header: format!("large {number}").into_bytes(), body: body.take(3 * SMALL).collect() }
}

/// Says how large a record of a topic may be.
fn set_size(kafka: &Kafka, topic: &str, bytes: usize) {
    let setting = format!("max.message.bytes={bytes}");
    let alter = ["--alter", "--entity-type", "topics", "--entity-name", topic, "--add-config", &setting];
    kafka.tool("kafka.admin.ConfigCommand", &alter).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_topic_does_not_take_for_its_size_is_told_and_comes_once_it_does() {
    let world = tokio::task::spawn_blocking(|| OnKafka::new(2)).await.unwrap();
    world.journal.append(entries(0..20, 100)).await.unwrap();
    tokio::task::block_in_place(|| {
        world.forwarded();
        set_size(&BROKER, &world.topic, SMALL);
    });
    let status = || world.forwarding.as_ref().unwrap().status();
    let before = status().cursor;
    // Among others that the topic would take.
    world.journal.append([entries(20..40, 100), vec![large(0)], entries(40..60, 100)].concat()).await.unwrap();
    tokio::task::block_in_place(|| {
        let refused = until("it is said", || status().refused);
        assert_eq!(refused, format!("max.message.bytes is {SMALL}, must be at least {ENOUGH}"));
        assert!((before..=before + 20).contains(&status().cursor), "the large one is not taken for confirmed");
        let resent = status().resent;
        set_size(&BROKER, &world.topic, ENOUGH);
        world.forwarded();
        assert!(status().resent > resent, "what was refused was sent again");
        until("nothing is wrong any more", || {
            let status = status();
            (status.refused.is_none() && status.trouble.is_none()).then_some(())
        });
    });
    let carrier = world.open(LARGE);
    let all = held(&world.journal);
    assert_eq!(all.len(), 62);
    let mut found = BTreeMap::new();
    gather(&carrier, &mut found, all.len()).await;
    same(&found.into_values().collect::<Vec<_>>(), &all);
    tokio::task::block_in_place(|| {
        world.close(carrier);
        drop(world);
    });
}

/// No right to ask how large a record may be, and whoever allows loss sends all the same: the brokers' refusal tells it.
#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_tells_the_size_one_that_is_too_large_holds_up_none_beside_it() {
    let options = KafkaOptions { security: Security::Guarded, ..KafkaOptions::default() };
    let kafka = tokio::task::block_in_place(|| Kafka::start(&options)).unwrap();
    let (topic, size) = (fresh("untold"), format!("max.message.bytes={SMALL}"));
    let world = tokio::task::block_in_place(|| {
        let make = ["--create", "--topic", &topic, "--partitions", "1", "--config", &size];
        kafka.tool("org.apache.kafka.tools.TopicCommand", &make).unwrap();
        let user = format!("User:{USER}");
        for rights in [
            ["--operation", "Write", "--operation", "Read", "--topic", &topic],
            ["--operation", "Read", "--operation", "Describe", "--group", &topic],
        ] {
            let give = [&["--add", "--allow-principal", &user][..], &rights].concat();
            kafka.tool("org.apache.kafka.tools.AclCommand", &give).unwrap();
        }
        OnKafka::on(guarded(&kafka), topic.clone())
    });
    let status = || world.forwarding.as_ref().unwrap().status();
    // On one partition, and so in one batch.
    world.journal.append([entries(0..40, 100), vec![large(0)], entries(40..200, 100)].concat()).await.unwrap();
    let carrier = world.open(LARGE);
    let mut found = BTreeMap::new();
    gather(&carrier, &mut found, 201).await;
    assert!(found.values().all(|record| record.body.len() < SMALL));
    tokio::task::block_in_place(|| {
        let said = until("it is said", || status().trouble);
        assert!(said.contains("raise max.message.bytes of the topic to 10485760"), "{said}");
        assert_eq!((status().refused, status().cursor), (None, 41), "the position stands before it");
        set_size(&kafka, &topic, ENOUGH);
        world.forwarded();
        until("nothing is wrong any more", || status().trouble.is_none().then_some(()));
    });
    gather(&carrier, &mut found, 202).await;
    same(&found.into_values().collect::<Vec<_>>(), &held(&world.journal));
    tokio::task::block_in_place(|| {
        world.close(carrier);
        drop(world);
    });
}

fn guarded(kafka: &Kafka) -> Connection {
    let tls = Some(Tls { ca_file: Some(kafka.ca_file()), ..Tls::default() });
    let (mechanism, user, password) = (Mechanism::ScramSha512, USER.into(), PASSWORD.into());
    Connection { tls, sasl: Some(Sasl::Password { mechanism, user, password }), ..connection(&kafka.bootstrap()) }
}
