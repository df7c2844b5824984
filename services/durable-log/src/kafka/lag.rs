//! How far the whole group is behind, asked of the brokers: exact at the moment of the answer.

use super::client::{Asking, Common};
use super::files::Files;
use super::settings::Connection;
use super::words::{self, Role};
use crate::segment::locked;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// One question to a broker.
const ASK: Duration = Duration::from_secs(5);

/// How long what waits in librdkafka's queue is served before a question: a poll that does not wait serves one thing of many.
const SERVE: Duration = Duration::from_millis(20);

/// One partition of the topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionLag {
    /// Its number.
    pub partition: i32,
    /// First offset kept.
    pub first: i64,
    /// Offset after the last record.
    pub end: i64,
    /// What the group has committed; none if nothing.
    pub committed: Option<i64>,
}

impl PartitionLag {
    /// Up to where nothing waits: what the group has committed, or the first record kept where that is none of this log.
    pub fn settled(&self) -> i64 {
        self.committed.filter(|committed| (self.first..=self.end).contains(committed)).unwrap_or(self.first)
    }

    /// Records that the group has not settled.
    pub fn records(&self) -> u64 {
        u64::try_from(self.end - self.settled()).unwrap_or_default()
    }
}

/// Every partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// By number.
    pub partitions: Vec<PartitionLag>,
}

impl Lag {
    /// Records that the group has not settled.
    pub fn records(&self) -> u64 {
        self.partitions.iter().map(PartitionLag::records).sum()
    }
}

/// Why the lag is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{meaning}")]
pub struct LagError {
    meaning: String,
    /// Our user has not the rights to ask for it.
    pub refused: bool,
}

/// A client that several may ask at once.
type Shared = Arc<BaseConsumer<Asking>>;

/// Asks; joins no group. Clones share one connection.
#[derive(Clone)]
pub struct LagMeter {
    asking: Arc<Mutex<(Option<Shared>, Files)>>,
    connection: Connection,
    topic: String,
    group: String,
}

impl LagMeter {
    /// Nothing is sent and no file read yet.
    pub fn new(connection: &Connection, topic: &str, group: &str) -> Self {
        let asking = Arc::new(Mutex::new((None, Files::of(connection))));
        Self { asking, connection: connection.clone(), topic: topic.to_owned(), group: group.to_owned() }
    }

    fn consumer(&self) -> Result<Shared, KafkaError> {
        let mut asking = locked(&self.asking);
        // Looked at before they are read: what is exchanged in between is seen as a change.
        let changed = asking.1.changed();
        let known = asking.0.take().filter(|_| !changed);
        let consumer = match known {
            Some(consumer) => consumer,
            None => Arc::new(client(&self.connection, &self.group)?),
        };
        asking.0 = Some(consumer.clone());
        Ok(consumer)
    }

    /// Asks all partitions. Blocks on the network, seconds at worst.
    pub fn measure(&self) -> Result<Lag, LagError> {
        self.asked().map_err(|error| LagError {
            meaning: words::meaning(&error, Role::Reads),
            refused: words::is_refused_topic(&error) || words::is_refused_group(&error),
        })
    }

    fn asked(&self) -> Result<Lag, KafkaError> {
        let consumer = self.consumer()?;
        // Serves librdkafka's log and its wish for tokens; it is in no group, so no record can come.
        let _ = consumer.poll(SERVE);
        let metadata = consumer.fetch_metadata(Some(&self.topic), ASK)?;
        let topic = metadata.topics().iter().find(|topic| topic.name() == self.topic);
        let topic = topic.ok_or(KafkaError::MetadataFetch(rdkafka::types::RDKafkaErrorCode::UnknownTopic))?;
        if let Some(error) = topic.error() {
            return Err(KafkaError::MetadataFetch(error.into()));
        }
        let mut list = TopicPartitionList::new();
        for partition in topic.partitions() {
            list.add_partition(&self.topic, partition.id());
        }
        let committed = consumer.committed_offsets(list, ASK)?;
        let mut partitions = Vec::new();
        for element in committed.elements() {
            element.error()?;
            let partition = element.partition();
            let committed = match element.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            };
            let (first, end) = consumer.fetch_watermarks(&self.topic, partition, ASK)?;
            partitions.push(PartitionLag { partition, first, end, committed });
        }
        Ok(Lag { partitions })
    }
}

fn client(connection: &Connection, group: &str) -> Result<BaseConsumer<Asking>, KafkaError> {
    let asking = Asking(Common::new(connection.tokens(), Role::Reads));
    connection.consumer_config(group).create_with_context(asking)
}
