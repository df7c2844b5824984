//! Topics that are not there, or no longer, and brokers that stand still, under a forwarder.

use crate::broker::{OnKafka, connection, fresh, make_topic, make_topic_anew, measured};
use crate::contract::{LARGE, World, entries, place, take};
use durable_log::kafka::{KafkaCarrier, LagMeter};
use rdkafka::consumer::{BaseConsumer, Consumer};
use std::collections::BTreeSet;
use std::time::Duration;
use testbed::{Kafka, KafkaOptions, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_silence_that_hides_a_success_is_sent_again_and_every_record_comes() {
    // A broker of its own: it stands still with requests in its buffers, which it carries out when it wakes.
    // It would make a topic for whoever asks for one that is not there.
    let properties = vec!["auto.create.topics.enable=true".into()];
    let options = KafkaOptions { properties, ..KafkaOptions::default() };
    let kafka = tokio::task::block_in_place(|| Kafka::start(&options)).unwrap();
    let mut connection = connection(&kafka.bootstrap());
    for (name, value) in [("message.timeout.ms", "1000"), ("topic.metadata.refresh.interval.ms", "500")] {
        connection.producer.insert(name.into(), value.into());
    }
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
    let meter = LagMeter::new(&world.connection, &world.topic, &world.topic);
    assert!(measured(&meter).partitions[0].end > 200, "what the silence hid is there a second time");
    world.all_comes().await;

    // The topic is deleted under the producer: it is not made by the way, nothing is freed, and all goes on in another one.
    delete(&world).await;
    world.journal.append(entries(199..209, 100)).await.unwrap();
    tokio::task::block_in_place(|| {
        until("it is said", || status().refused.filter(|refused| refused.contains("does not exist")));
        assert!(!exists(&world), "nobody has made the topic");
        assert_eq!(status().cursor, 200, "nothing is taken for confirmed");
        make_topic_anew(&world.connection, &world.topic, 1);
        world.forwarded();
        // What the producer still held goes out before the topic is looked at again.
        until("the topic is found good", || {
            let status = status();
            (status.refused.is_none() && status.trouble.is_none()).then_some(())
        });
        assert!(measured(&meter).partitions[0].end >= 10);
    });
    tokio::task::block_in_place(|| drop(world));
}

async fn delete(world: &OnKafka) {
    let admin: rdkafka::admin::AdminClient<_> =
        rdkafka::ClientConfig::new().set("bootstrap.servers", &world.connection.brokers).create().unwrap();
    let options = rdkafka::admin::AdminOptions::new();
    admin.delete_topics(&[&world.topic], &options).await.unwrap().pop().unwrap().unwrap();
}

fn exists(world: &OnKafka) -> bool {
    let consumer: BaseConsumer =
        rdkafka::ClientConfig::new().set("bootstrap.servers", &world.connection.brokers).create().unwrap();
    let metadata = consumer.fetch_metadata(None, Duration::from_secs(30)).unwrap();
    metadata.topics().iter().any(|topic| topic.name() == world.topic)
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
