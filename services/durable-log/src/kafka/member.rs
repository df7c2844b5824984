//! The thread of one member of a consumer group: polls, builds loads, commits.
//!
//! A load that finds nobody ready waits with its partitions paused, so memory is bounded by one load here and librdkafka's own
//! queue. Positions are committed by this thread only, and only those that were settled.

use super::carrier::KafkaMark;
use super::client::Common;
use super::files::Files;
use super::foreign;
use super::owned::Claim;
use super::rebalance::Rebalancing;
use super::settings::Connection;
use super::shared::{Newer, Shared};
use super::wire::{self, Unreadable};
use super::words::Role;
use crate::carrier::{Appetite, CarryError, Cause, Load, Loss};
use crate::log::Record;
use crate::segment::locked;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::types::RDKafkaErrorCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// One wait for a record.
const POLL: Duration = Duration::from_millis(50);
/// How often settled positions are committed.
const COMMIT: Duration = Duration::from_secs(1);
/// How long a load waits for a taker before its partitions are paused: a pause throws away what was fetched ahead.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a partition in which librdkafka lost its way is left alone, while the others are read and committed: another broker may lead by
/// then.
const ASTRAY: Duration = Duration::from_secs(30);
/// Wait before a consumer is made anew.
const ANEW: Duration = Duration::from_secs(1);

type Loads = mpsc::Sender<Result<Load<KafkaMark>, CarryError>>;

/// What a load is made of.
#[derive(Default)]
pub(super) struct Building {
    pub(super) records: Vec<(Claim, Record)>,
    pub(super) losses: Vec<(Claim, Loss)>,
    pub(super) bytes: usize,
    pub(super) since: Option<Instant>,
}

impl Building {
    /// Losses linger like records: of many strange records not each is a load of its own.
    fn lose(&mut self, losses: &mut Vec<(Claim, Loss)>) {
        if !losses.is_empty() {
            self.losses.append(losses);
            self.since.get_or_insert_with(Instant::now);
        }
    }
}

pub(super) struct Member {
    connection: Connection,
    group: String,
    appetite: Appetite,
    shared: Arc<Shared>,
    building: Building,
    committed: Instant,
    /// Since when this consumer does not read some partition.
    astray: Option<Instant>,
    loads: Loads,
}

/// Why one consumer ended and another one is needed.
enum End {
    /// Told to stop, or nobody takes loads any more.
    Stopped,
    /// Another consumer may go on.
    Anew,
}

impl Member {
    pub(super) fn new(
        (connection, group): (Connection, String),
        appetite: Appetite,
        (shared, loads): (Arc<Shared>, Loads),
    ) -> Self {
        let (building, committed) = (Building::default(), Instant::now());
        Self { connection, group, appetite, shared, building, committed, astray: None, loads }
    }

    pub(super) fn run(mut self) {
        let mut told = None;
        loop {
            // Looked at before they are read: what is exchanged in between is seen as a change.
            let files = Files::of(&self.connection);
            let context = Rebalancing::new(Common::new(self.connection.tokens(), Role::Reads), self.shared.clone());
            let made = self.connection.consumer_config(&self.group).create_with_context(context);
            let subscribed = made.and_then(|consumer: Consuming| {
                consumer.subscribe(&[&self.shared.topic])?;
                Ok(consumer)
            });
            match subscribed {
                Ok(consumer) => {
                    told = None;
                    let end = self.consume(&consumer, files);
                    // Leaves the group: its partitions are revoked, which commits what is settled.
                    drop(consumer);
                    self.shared.give_up_all();
                    self.shared.gone.store(false, Ordering::Relaxed);
                    self.building = Building::default();
                    self.astray = None;
                    if matches!(end, End::Stopped) {
                        return;
                    }
                }
                Err(error) => self.is_without_consumer(&error, &mut told),
            }
            std::thread::sleep(ANEW);
            if self.shared.stop.load(Ordering::Relaxed) {
                return;
            }
        }
    }

    /// Says why there is no consumer, in the log once for each reason.
    fn is_without_consumer(&self, error: &KafkaError, told: &mut Option<String>) {
        let why = format!("no consumer can be made: {error}");
        if told.as_ref() != Some(&why) {
            tracing::error!(%error, "No consumer can be made; it is tried again.");
        }
        *locked(&self.shared.trouble) = Some(why.clone());
        *told = Some(why);
    }

    fn consume(&mut self, consumer: &Consuming, mut files: Files) -> End {
        loop {
            if self.shared.stop.load(Ordering::Relaxed) || self.loads.is_closed() {
                return End::Stopped;
            }
            self.polled(consumer, consumer.poll(POLL));
            if self.astray.is_some_and(|since| since.elapsed() >= ASTRAY) {
                self.shared.gone.store(true, Ordering::Relaxed);
            }
            if self.shared.gone.load(Ordering::Relaxed) || consumer.context().common.is_fatal() {
                tracing::warn!("The consumer begins anew, at the group's position or where the log begins.");
                return End::Anew;
            }
            if files.changed() {
                return End::Anew;
            }
            let common = &consumer.context().common;
            if self.shared.answered.swap(false, Ordering::Relaxed) {
                common.answered();
            }
            let waits = self.shared.backlog.load(Ordering::Relaxed) > 0;
            *locked(&self.shared.trouble) = if waits { common.trouble() } else { common.trouble_of_idle() };
            self.building.lose(&mut locked(&self.shared.losses));
            if self.is_ready() && !self.hand_over(consumer) {
                return End::Stopped;
            }
            self.commit(consumer);
        }
    }

    /// Deals with what a poll brought.
    fn polled(&mut self, consumer: &Consuming, found: Option<KafkaResult<BorrowedMessage<'_>>>) {
        match found {
            None => {}
            Some(Ok(message)) => {
                if consumer.context().common.is_refused() {
                    consumer.context().common.fine();
                }
                self.take(&message);
            }
            Some(Err(error)) => self.trouble(consumer, &error),
        }
    }

    /// Whatever an error means, it is not forgotten: a position that is gone needs another consumer.
    fn trouble(&mut self, consumer: &Consuming, error: &KafkaError) {
        consumer.context().common.note(error);
        let mut coming = locked(&self.shared.coming);
        // At damaged bytes it goes on at an offset that is none. The group's position is as good as it was, and that partition is not
        // read any more by this consumer.
        if is_without_offset(error) && coming.is_suspect(&locked(&self.shared.owned)) {
            coming.is_bad();
            self.astray.get_or_insert_with(Instant::now);
            return;
        }
        if is_damage(error) {
            coming.is_bad();
        }
        drop(coming);
        if must_begin_anew(error) {
            self.shared.gone.store(true, Ordering::Relaxed);
        }
    }

    /// Adds a record to the load.
    fn take(&mut self, message: &BorrowedMessage<'_>) {
        let partition = message.partition();
        // Of a partition that was given up since it was fetched.
        let Some(assignment) = locked(&self.shared.owned).assignment(partition) else { return };
        if locked(&self.shared.owned).judges_now(partition) {
            self.shared.judge_first((partition, assignment), message.offset());
        }
        // Behind one that this program is too old for: the position stays in front of that one.
        if locked(&self.shared.newer).get(&partition).is_some_and(|met| met.assignment == assignment) {
            return;
        }
        let at_ms = message.timestamp().to_millis().unwrap_or(0);
        self.look_for_a_hole((partition, assignment), (message.offset(), at_ms));
        let claim = Claim { partition, assignment, next: message.offset() + 1, at_ms };
        let place = || format!("{}/{partition}@{}", self.shared.topic, message.offset());
        let read = if self.shared.foreign { Ok(foreign::record(message)) } else { wire::record(message) };
        match read {
            Ok(record) => {
                self.building.bytes += record.header.len() + record.body.len();
                self.building.records.push((claim, record));
            }
            Err(Unreadable::Newer) => {
                // Not at fault: skipping it would lose it. Its partition stands still until a program that reads it has the
                // partition; the others go on.
                let place = place();
                tracing::error!(
                    place,
                    "A record has a newer format than this program reads: upgrade it. Its partition waits."
                );
                locked(&self.shared.newer).insert(partition, Newer { assignment, place });
                return;
            }
            Err(error) => {
                if let Some(aside) = &self.shared.aside {
                    aside.stranger(message, (&place(), &error.to_string()));
                }
                let place = format!("{}: {error}", place());
                let loss = Loss { cause: Cause::Unreadable, place, missing: Some(1), since_ms: Some(at_ms) };
                self.building.losses.push((claim, loss));
            }
        }
        self.building.since.get_or_insert_with(Instant::now);
    }

    /// Adds what librdkafka passed before a record.
    fn look_for_a_hole(&mut self, (partition, assignment): (i32, u64), (offset, at_ms): (i64, i64)) {
        let coming = &self.shared.coming;
        let missed = locked(coming).came((partition, assignment), (offset, at_ms), self.shared.offsets);
        let Some(missed) = missed else { return };
        let claim = Claim { partition, assignment, next: offset, at_ms: missed.at_ms };
        self.building.lose(&mut vec![(claim, missed.loss((&self.shared.topic, partition)))]);
    }

    fn is_ready(&self) -> bool {
        let building = &self.building;
        let many = building.records.len().max(building.losses.len());
        let full = many >= self.appetite.records || building.bytes >= self.appetite.bytes;
        let enough = building.records.len() as u64 >= self.appetite.enough;
        let waited = building.since.is_some_and(|since| since.elapsed() >= self.appetite.linger);
        full || enough || waited
    }

    /// Gives the load away; false if nobody takes loads any more.
    fn hand_over(&mut self, consumer: &Consuming) -> bool {
        let since = Instant::now();
        let mut paused = TopicPartitionList::new();
        loop {
            match self.loads.try_reserve() {
                Ok(permit) => {
                    let building = std::mem::take(&mut self.building);
                    if let Some(load) = self.shared.load(building) {
                        permit.send(Ok(load));
                    }
                    break;
                }
                Err(mpsc::error::TrySendError::Closed(())) => return false,
                Err(mpsc::error::TrySendError::Full(())) => {}
            }
            if self.shared.stop.load(Ordering::Relaxed) {
                return false;
            }
            if self.shared.gone.load(Ordering::Relaxed) {
                // What waits was read under a position that is gone: it is read again.
                break;
            }
            self.commit(consumer);
            if since.elapsed() < PATIENCE {
                std::thread::sleep(Duration::from_millis(5));
                continue;
            }
            // Nobody takes it for long. Polling goes on, or the group would take this member for dead; nothing more may come.
            if let Ok(assignment) = consumer.assignment()
                && let Ok(()) = consumer.pause(&assignment)
            {
                paused = assignment;
                self.shared.paused.store(true, Ordering::Relaxed);
            }
            self.polled(consumer, consumer.poll(POLL));
        }
        if paused.count() > 0 {
            // Partitions that were given up meanwhile are none of ours: an error says so and harms nothing.
            if let Ok(assignment) = consumer.assignment() {
                let _ = consumer.resume(&assignment);
            }
            self.shared.paused.store(false, Ordering::Relaxed);
        }
        true
    }

    fn commit(&mut self, consumer: &Consuming) {
        if self.committed.elapsed() < COMMIT {
            return;
        }
        self.committed = Instant::now();
        self.shared.commit(consumer);
    }
}

pub(super) type Consuming = BaseConsumer<Rebalancing>;

/// True if a partition is asked for an offset that it does not have.
fn is_without_offset(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(error.rdkafka_error_code(), Some(Code::AutoOffsetReset | Code::OffsetOutOfRange))
}

/// True if what a partition holds cannot be read.
fn is_damage(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        error.rdkafka_error_code(),
        Some(
            // The last is a broker's own word, of a batch whose head it cannot read.
            Code::BadMessage
                | Code::BadCompression
                | Code::NotImplemented
                | Code::MessageSizeTooLarge
                | Code::InvalidMessage
        )
    )
}

fn must_begin_anew(error: &KafkaError) -> bool {
    matches!(error, KafkaError::MessageConsumptionFatal(_))
        || matches!(
            error.rdkafka_error_code(),
            Some(
                RDKafkaErrorCode::AutoOffsetReset
                    | RDKafkaErrorCode::OffsetOutOfRange
                    | RDKafkaErrorCode::NoOffset
                    | RDKafkaErrorCode::Fatal
                    | RDKafkaErrorCode::PollExceeded
            )
        )
}
