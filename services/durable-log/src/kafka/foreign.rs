//! A topic that somebody else writes, as a source of ours: its records as they are, each with its place. A position is committed
//! only when the reader says that it needs nothing below it.

use super::carrier::{KafkaCarrier, KafkaMark};
use super::settings::Connection;
use super::shared::MemberStatus;
use super::subscription::{Reading, Subscription};
use crate::carrier::{Appetite, Carrier, CarryError, Load, Loss};
use crate::chain;
use crate::log::{Enc, Record};
use bytes::Bytes;
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use tokio::sync::watch;

/// A record of a foreign topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignRecord {
    /// `TOPIC/PARTITION/OFFSET`: of no other record while the topic lives.
    pub place: String,
    /// Its value; empty if it has none.
    pub body: Bytes,
    /// This member has settled it before, and its partition was taken away before that was committed.
    pub again: bool,
}

/// What one read brings.
#[derive(Debug)]
pub struct ForeignLoad {
    /// In order by partition. May be empty if there are losses.
    pub records: Vec<ForeignRecord>,
    /// Up to where it reaches.
    pub mark: KafkaMark,
    /// What was gone before it could be read.
    pub losses: Vec<Loss>,
}

/// One member of a group that reads a foreign topic. Clones share it; when the last one goes, it leaves the group.
#[derive(Clone)]
pub struct ForeignTopic(KafkaCarrier);

impl ForeignTopic {
    /// Joins the group. Nothing is asked of the brokers yet.
    pub fn join(connection: &Connection, (topic, group): (&str, &str), appetite: Appetite) -> Result<Self, KafkaError> {
        let (topic, group) = (topic.to_owned(), group.to_owned());
        Self::subscribe(connection, Subscription { topic, group, reading: Reading::Foreign }, appetite)
    }

    /// The same of a topic of ours whose records are none that prove themselves.
    pub(super) fn subscribe(
        connection: &Connection,
        subscription: Subscription,
        appetite: Appetite,
    ) -> Result<Self, KafkaError> {
        Ok(Self(KafkaCarrier::join(connection, subscription, appetite)?))
    }

    /// The next load: waits until there is something. Dropping the future loses nothing.
    pub async fn next(&self) -> Result<ForeignLoad, CarryError> {
        let Load { records, mark, losses } = self.0.next().await?;
        // Only now: whoever asks for a load has settled those before it, or never will.
        let record = |record: Record| ForeignRecord {
            again: self.0.was_dealt(partition(&record), record.offset),
            place: String::from_utf8_lossy(&record.header).into_owned(),
            body: record.body,
        };
        Ok(ForeignLoad { records: records.into_iter().map(record).collect(), mark, losses })
    }

    /// Nothing up to a mark is needed any more.
    pub fn settle(&self, mark: KafkaMark) -> Result<(), CarryError> {
        self.0.settle(mark)
    }

    /// True while this member has the first partition.
    pub fn leads(&self) -> watch::Receiver<bool> {
        self.0.leads()
    }

    /// Tells the status without keeping the member in its group.
    pub fn watch(&self) -> impl Fn() -> MemberStatus + Send + Sync + 'static {
        self.0.watch()
    }

    /// Commits what is settled and leaves the group. Blocks, seconds at worst.
    pub fn leave(&self) {
        self.0.leave();
    }
}

/// The partition that [`record`] noted.
fn partition(record: &Record) -> i32 {
    let [a, b, c, d, ..] = record.stream;
    i32::from_be_bytes([a, b, c, d])
}

/// A foreign record on its way through a member: its place stands where a receipt has its header, its partition where that has
/// its stream.
pub(super) fn record(message: &BorrowedMessage<'_>) -> Record {
    let offset = u64::try_from(message.offset()).unwrap_or_default();
    let place = format!("{}/{}/{offset}", message.topic(), message.partition());
    let mut stream = [0; 16];
    stream[..4].copy_from_slice(&message.partition().to_be_bytes());
    Record {
        offset,
        stream,
        seq: offset,
        header: place.into_bytes().into(),
        body: Bytes::copy_from_slice(message.payload().unwrap_or_default()),
        salt: [0; 16],
        commitment: [0; 32],
        chain: chain::START,
        enc: Enc::NONE,
    }
}
