//! One real broker for all tests of this binary, and worlds on topics of their own.

use crate::contract::{LARGE, World, gather, held, journal, same};
use durable_log::Journal;
use durable_log::carrier::Appetite;
use durable_log::kafka::{
    Connection, Forwarder, Forwarding, KafkaCarrier, Label, Labeller, Lag, LagMeter, Subscription, TopicPlan, Topics,
    TopicsError,
};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};
use testbed::{Kafka, KafkaOptions, until};

pub static BROKER: LazyLock<Kafka> = LazyLock::new(|| Kafka::start(&KafkaOptions::default()).unwrap());

/// Where forwarders wait for their journals; outlives every test.
static RUNTIME: LazyLock<tokio::runtime::Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap());

pub fn connection(brokers: &str) -> Connection {
    // One that a busy machine holds up for some seconds is no member that vanished: what it has would be brought again.
    let consumer = [("session.timeout.ms", "20000"), ("heartbeat.interval.ms", "500"), ("fetch.wait.max.ms", "50")];
    Connection {
        brokers: brokers.to_owned(),
        client_id: "test".into(),
        rack: String::new(),
        tls: None,
        sasl: None,
        producer: BTreeMap::new(),
        consumer: consumer.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
    }
}

pub fn now_ms() -> i64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as i64
}

/// A name that no other test uses.
pub fn fresh(what: &str) -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    format!("{what}-{}", NUMBER.fetch_add(1, Ordering::Relaxed))
}

pub fn label() -> Labeller {
    Arc::new(|record| Label {
        key: format!("{}/{}", hex::encode(record.stream), record.seq).into_bytes(),
        headers: vec![("tenant", "default".into())],
    })
}

/// Makes a topic, however often a busy cluster must be asked. Blocks, so it may be called from a runtime's thread.
pub fn make_topic(connection: &Connection, name: &str, partitions: i32) {
    until("the topic is made", || try_topic(connection, name, (partitions, 1)).ok());
}

/// Makes a topic of the name of one that was deleted, as soon as that is gone. Blocks.
pub fn make_topic_anew(connection: &Connection, name: &str, partitions: i32) {
    // One that was made though its answer did not come counts as well.
    let mut failed = false;
    until("the topic is made anew", || {
        let made = try_topic(connection, name, (partitions, 1));
        failed |= made.is_err();
        made.is_ok_and(|made| made || failed).then_some(())
    });
}

/// Makes a topic of so many partitions and replicas if it is not there and the cluster is ready for it; true if it was made now.
pub fn try_topic(
    connection: &Connection,
    name: &str,
    (partitions, replication): (i32, i32),
) -> Result<bool, TopicsError> {
    let plan = TopicPlan { name: name.to_owned(), partitions, replication, retention: Duration::from_secs(7 * 86_400) };
    let connection = connection.clone();
    let made = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(Topics::new(connection).create(&plan))
    });
    made.join().unwrap()
}

pub struct OnKafka {
    pub journal: Journal,
    pub connection: Connection,
    pub topic: String,
    pub forwarding: Option<Forwarding>,
    _dir: tempfile::TempDir,
}

impl OnKafka {
    /// A journal that is forwarded to a topic of its own.
    pub fn new(partitions: i32) -> Self {
        let connection = connection(&BROKER.bootstrap());
        let topic = fresh("receipts");
        make_topic(&connection, &topic, partitions);
        Self::on(connection, topic)
    }

    pub fn on(connection: Connection, topic: String) -> Self {
        Self::with(connection, topic, journal)
    }

    pub fn with(connection: Connection, topic: String, journal: impl FnOnce(&Path) -> Journal) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut world = Self { journal: journal(dir.path()), connection, topic, forwarding: None, _dir: dir };
        world.forward();
        world
    }

    /// Starts a forwarder.
    pub fn forward(&mut self) {
        let forwarder = Forwarder {
            journal: self.journal.clone(),
            connection: self.connection.clone(),
            topic: self.topic.clone(),
            label: label(),
            allow_loss: true,
        };
        self.forwarding = Some(forwarder.start(RUNTIME.handle().clone()).unwrap());
    }

    pub fn stop_forwarding(&mut self) {
        self.forwarding.take().unwrap().stop().unwrap();
    }

    /// A consumer gets everything that the journal holds, and leaves.
    pub async fn all_comes(&self) {
        let (carrier, all) = (self.open(LARGE), held(&self.journal));
        let mut found = BTreeMap::new();
        gather(&carrier, &mut found, all.len()).await;
        same(&found.into_values().collect::<Vec<_>>(), &all);
        tokio::task::block_in_place(|| self.close(carrier));
    }

    /// Waits until all is confirmed.
    pub fn forwarded(&self) {
        let forwarding = self.forwarding.as_ref().unwrap();
        until("everything is forwarded", || (forwarding.status().cursor == self.journal.durable_end()).then_some(()));
    }
}

impl World for OnKafka {
    type Carrier = KafkaCarrier;

    fn journal(&self) -> &Journal {
        &self.journal
    }

    fn open(&self, appetite: Appetite) -> KafkaCarrier {
        KafkaCarrier::join(&self.connection, Subscription::receipts(&self.topic, &self.topic), appetite).unwrap()
    }

    fn close(&self, carrier: KafkaCarrier) {
        carrier.leave();
    }
}

impl Drop for OnKafka {
    fn drop(&mut self) {
        self.forwarding = None;
    }
}

/// How far a group is; a broker that has just begun, or woken, may not know at once. Blocks.
pub fn measured(meter: &LagMeter) -> Lag {
    tokio::task::block_in_place(|| until("the lag is known", || meter.measure().ok()))
}
