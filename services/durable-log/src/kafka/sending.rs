//! The thread of a forwarder: reads the journal in order, sends, and notes what the brokers confirm.

mod keeping;
mod ready;

use super::again::Again;
use super::apart::{Apart, is_size};
use super::files::Files;
use super::forwarder::{ForwardError, ForwardStatus, Forwarder, Orders};
use super::judging::{Judge, Loss};
use super::reports::{Became, Sending};
use super::topics::Topics;
use super::window::Window;
use super::wire;
use crate::log::{Batch, ReadError, ReadLimits, Record};
use crate::segment::locked;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseRecord, Producer, PurgeConfig};
use rdkafka::types::RDKafkaErrorCode;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// One read of the journal.
const READ: ReadLimits = ReadLimits { records: 1024, bytes: 4 << 20 };
/// Least time between two reads that find less than one read holds: a record for itself costs as much as a hundred together.
const PACE: Duration = Duration::from_millis(20);
/// Most records between the cursor and the last one sent: memory is bounded, however long one record is refused.
const WINDOW: usize = 1_000_000;
/// How often the cursor is kept.
const KEEP: Duration = Duration::from_millis(200);
/// How often segments are freed.
const TRIM: Duration = Duration::from_secs(10);
/// How long a stop waits for confirmations; the rest is sent again after the next start.
const FLUSH: Duration = Duration::from_secs(3);
/// How long a producer that failed is given to hand back what it holds.
const HAND_BACK: Duration = Duration::from_secs(5);
/// A producer that was refused so often is replaced: with each refusal its epoch grows, and behind the last one brokers refuse all or
/// take one batch for another.
const REFUSALS: u32 = 10_000;
/// How long to wait for a record or an answer.
const IDLE: Duration = Duration::from_millis(5);
/// The same when nothing is under way.
const QUIET: Duration = Duration::from_millis(100);

/// What librdkafka did with a record.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sent {
    Taken,
    /// It has no room for another one.
    Full,
    /// It does not take this one.
    Refused,
}

/// The thread of a forwarder.
pub(super) struct Run {
    forwarder: Forwarder,
    handle: Handle,
    window: Window,
    /// Read and not taken by librdkafka's queue.
    held: VecDeque<Record>,
    read: Instant,
    again: Again,
    /// How often this producer was refused.
    refusals: u32,
    apart: Apart,
    judge: Judge,
    /// When a cursor was kept last, and where that of the records is on disk.
    kept: (Instant, u64),
    /// What is sent was ordered to be sent again, until it has reached the cursor on disk.
    repeats: bool,
    trimmed: Instant,
    status: Arc<Mutex<ForwardStatus>>,
    orders: Arc<Mutex<Orders>>,
}

impl Run {
    pub(super) fn new(
        forwarder: Forwarder,
        handle: Handle,
        (status, orders): (Arc<Mutex<ForwardStatus>>, Arc<Mutex<Orders>>),
        (from, again): (u64, Option<u64>),
    ) -> Self {
        let now = Instant::now();
        let loss = if forwarder.allow_loss { Loss::Allowed } else { Loss::Refused };
        let topics = (Topics::new(forwarder.connection.clone()), forwarder.topic.as_str());
        let judge = Judge::new(topics, loss, handle.clone());
        Self {
            forwarder,
            handle,
            window: Window::new(again.unwrap_or(from)),
            held: VecDeque::new(),
            read: now,
            again: Again::new(now),
            refusals: 0,
            apart: Apart::default(),
            judge,
            kept: (now, from),
            repeats: again.is_some(),
            trimmed: now,
            status,
            orders,
        }
    }

    pub(super) fn run(mut self) -> Result<(), ForwardError> {
        if !self.judge_topic() {
            return Ok(());
        }
        let mut files = Files::of(&self.forwarder.connection);
        let Some(mut producer) = self.made() else { return Ok(()) };
        loop {
            let (stop, again) = {
                let mut orders = locked(&self.orders);
                // One that a stop overtakes is not taken up: the next start does that.
                let again = if orders.stop { None } else { orders.again.take() };
                (orders.stop, again)
            };
            if stop {
                return self.finish(&producer);
            }
            if let Some(from) = again {
                self.step_back(&producer, from);
            }
            self.take_answers(&producer);
            let mut anew = false;
            if self.is_fatal(&producer) {
                let reason = producer.client().fatal_error().map(|(code, _)| code.to_string());
                tracing::warn!(reason, "The producer failed for good; a new one goes on from the cursor.");
                anew = true;
            }
            anew |= files.changed() || self.refusals > REFUSALS;
            if self.judge.look() {
                let refused = self.judge.refused().cloned();
                if refused.is_none() {
                    // The topic may be another one of the same name, of which the old producer knows nothing; it takes what it did not.
                    anew = true;
                    self.apart = Apart::default();
                }
                locked(&self.status).refused = refused;
            }
            if self.judge.refused().is_none() && self.apart.turns(Instant::now()) {
                match self.apart.is_on() {
                    true => {
                        tracing::warn!("Brokers refuse records for their size: each goes in a batch of its own now.")
                    }
                    false => tracing::info!("Records go in batches again."),
                }
                anew = true;
            }
            if anew {
                let Some(next) = self.made() else { return self.finish(&producer) };
                producer = self.renew(producer, next);
            }
            let sent = self.send_some(&producer)?;
            self.keep_cursor();
            if sent > 0 {
                producer.poll(Duration::ZERO);
            } else if self.judge.refused().is_some() {
                producer.poll(QUIET);
            } else if producer.in_flight_count() == 0 && self.again.is_empty() && self.held.is_empty() {
                self.wait_for_records()?;
                producer.poll(IDLE);
            } else {
                producer.poll(IDLE);
            }
        }
    }

    /// Reads on and sends; returns how many records librdkafka took.
    fn send_some(&mut self, producer: &Sending) -> Result<usize, ForwardError> {
        let now = Instant::now();
        if self.judge.refused().is_some() || !self.again.lets_send(now) {
            return Ok(0);
        }
        let mut sent = self.send_again(producer)?;
        if self.held.is_empty() && self.window.len() < WINDOW && self.are_worth_reading(now) {
            self.read = now;
            self.read_on()?;
        }
        while let Some(record) = self.held.front() {
            let offset = record.offset;
            match self.send(producer, record) {
                Sent::Full => break,
                Sent::Taken => sent += 1,
                // It holds up nothing behind it.
                Sent::Refused => {
                    self.again.refused(offset, now);
                    self.judge.suspect();
                }
            }
            self.window.sent();
            self.held.pop_front();
        }
        Ok(sent)
    }

    /// Many wait, or they have waited.
    fn are_worth_reading(&self, now: Instant) -> bool {
        let waiting = self.forwarder.journal.durable_end().saturating_sub(self.window.next());
        waiting >= READ.records as u64 || waiting > 0 && now.duration_since(self.read) >= PACE
    }

    fn read_on(&mut self) -> Result<(), ForwardError> {
        let from = self.window.next();
        let Batch { records, next, damage } = match self.forwarder.journal.read(from, READ) {
            Ok(batch) => batch,
            Err(ReadError::Trimmed { first }) => {
                tracing::error!(from, first, "Records of the journal were freed before they were forwarded.");
                self.window.lost(first);
                return Ok(());
            }
            Err(error) => return Err(ForwardError::Journal(error.to_string())),
        };
        for damage in &damage {
            tracing::error!(%damage, "Damaged records of the journal cannot be forwarded.");
        }
        // Stops in front of a damage, so that offsets stay dense in the window.
        let mut expected = from;
        let whole =
            records.iter().take_while(|record| std::mem::replace(&mut expected, record.offset + 1) == record.offset);
        let whole = whole.count();
        let first_bad = records.get(whole).map_or(next, |record| record.offset);
        self.held = records.into_iter().take(whole).collect();
        if self.held.is_empty() {
            self.window.lost(first_bad);
        }
        Ok(())
    }

    fn send_again(&mut self, producer: &Sending) -> Result<usize, ForwardError> {
        let (now, mut sent) = (Instant::now(), 0);
        while let Some(offset) = self.again.due(now) {
            let batch = match self.forwarder.journal.read(offset, ReadLimits { records: 1, bytes: 1 }) {
                Ok(batch) => batch,
                Err(ReadError::Trimmed { first }) => {
                    // On disk all of them are confirmed: they were sent again by order, for a broker that had lost them.
                    tracing::error!(offset, first, "Records of the journal were freed before they were sent again.");
                    self.again.take_below(first).for_each(|offset| self.window.confirmed(offset));
                    continue;
                }
                Err(error) => return Err(ForwardError::Journal(error.to_string())),
            };
            match batch.records.first().filter(|record| record.offset == offset) {
                Some(record) => match self.send(producer, record) {
                    Sent::Full => break,
                    Sent::Taken => sent += 1,
                    Sent::Refused => {
                        self.again.refused(offset, now);
                        continue;
                    }
                },
                // Damaged since it was sent first: the journal names it.
                None => {
                    self.window.confirmed(offset);
                    self.again.confirmed(offset);
                }
            }
            self.again.remove(offset);
        }
        locked(&self.status).resent += sent as u64;
        Ok(sent)
    }

    /// Hands one record to librdkafka.
    fn send(&self, producer: &Sending, record: &Record) -> Sent {
        let label = (self.forwarder.label)(record);
        let message = BaseRecord::with_opaque_to(&self.forwarder.topic, record.offset as usize)
            .key(label.key.as_slice())
            .payload(&record.body[..])
            .headers(wire::headers(record, &label));
        let Err((error, _)) = producer.send(message) else { return Sent::Taken };
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull) {
            return Sent::Full;
        }
        producer.context().common.error(&error);
        Sent::Refused
    }

    fn take_answers(&mut self, producer: &Sending) {
        let (answers, now) = (producer.context().take(), Instant::now());
        let common = &producer.context().common;
        let mut confirmed = 0;
        for (offset, answer) in answers {
            match answer {
                Became::Kept => {
                    confirmed += 1;
                    self.window.confirmed(offset);
                    self.again.confirmed(offset);
                }
                // Whether it was kept is not known: it is sent again, and stored once.
                Became::Concluded if offset >= self.window.cursor() => self.again.handed_back(offset, now),
                Became::Concluded => {}
                Became::Refused(code) => {
                    let purged = matches!(code, RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight);
                    if !purged {
                        common.note(&KafkaError::MessageProduction(code));
                        self.judge.hear(code);
                        self.refusals += 1;
                        if is_size(code) {
                            self.apart.refused(now);
                        }
                    }
                    if offset < self.window.cursor() {
                        continue;
                    }
                    match purged {
                        true => self.again.handed_back(offset, now),
                        false if is_size(code) => self.again.too_large(offset, now),
                        false => self.again.refused(offset, now),
                    }
                }
            }
        }
        if confirmed > 0 && self.again.is_settled() {
            common.fine();
        }
        let mut status = locked(&self.status);
        status.confirmed += confirmed;
        status.cursor = self.window.cursor();
        status.in_flight = self.window.len() as u64;
        status.clock_ahead = producer.context().clock_ahead().or(status.clock_ahead);
        // With nothing to send nobody knows, and nothing is harmed.
        status.trouble = common.trouble().filter(|_| self.window.len() > 0);
    }

    fn is_fatal(&self, producer: &Sending) -> bool {
        producer.context().common.is_fatal() || producer.client().fatal_error().is_some()
    }

    /// A new producer. Nothing that is under way at the old one can be believed: everything open is sent again.
    fn renew(&mut self, producer: Sending, next: Sending) -> Sending {
        self.hand_back(&producer, HAND_BACK);
        self.take_answers(&producer);
        self.again.only(self.window.open(), Instant::now());
        self.refusals = 0;
        locked(&self.status).renewed += 1;
        next
    }

    /// Takes everything back that librdkafka holds.
    fn hand_back(&self, producer: &Sending, within: Duration) {
        producer.purge(PurgeConfig::default().queue().inflight());
        let until = Instant::now() + within;
        while producer.in_flight_count() > 0 && Instant::now() < until {
            producer.poll(IDLE);
        }
    }

    /// Begins again at an offset below; on disk the cursor stays where it is until all is confirmed again.
    fn step_back(&mut self, producer: &Sending, from: u64) {
        self.hand_back(producer, HAND_BACK);
        self.take_answers(producer);
        let from = from.max(self.forwarder.journal.status().first).min(self.window.cursor());
        tracing::warn!(from, "Records are forwarded again from here on.");
        self.repeats = true;
        self.window = Window::new(from);
        self.held.clear();
        self.again.clear();
    }

    fn wait_for_records(&self) -> Result<(), ForwardError> {
        let past = self.forwarder.journal.wait_past(self.window.next());
        match self.handle.block_on(async { tokio::time::timeout(QUIET, past).await }) {
            Ok(Err(_)) => Err(ForwardError::Closed),
            Ok(Ok(())) | Err(_) => Ok(()),
        }
    }

    fn finish(mut self, producer: &Sending) -> Result<(), ForwardError> {
        if let Err(error) = producer.flush(FLUSH) {
            tracing::debug!(%error, "Not everything was confirmed when the time to stop was over.");
        }
        self.take_answers(producer);
        if self.window.cursor() < self.kept.1 {
            let from = self.window.cursor();
            tracing::warn!(
                from,
                "The records that were ordered again were not all confirmed: the next start goes on from here."
            );
        }
        self.kept.0 = Instant::now() - KEEP;
        self.keep_cursor();
        Ok(())
    }
}
