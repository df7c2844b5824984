//! The thread of a forwarder: reads the journal in order, sends, and notes what the brokers confirm.

use super::client::Common;
use super::files::Files;
use super::forwarder::{CONSUMER, ForwardError, ForwardStatus, Forwarder, Orders};
use super::reports::{Reports, Sending};
use super::topics::{Risk, Topics};
use super::window::Window;
use super::wire;
use super::words::Role;
use crate::log::{Batch, ReadError, ReadLimits, Record};
use crate::segment::locked;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseRecord, Producer, PurgeConfig};
use rdkafka::types::RDKafkaErrorCode;
use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// One read of the journal.
const READ: ReadLimits = ReadLimits { records: 1024, bytes: 4 << 20 };
/// Most records between the cursor and the last one sent: memory is bounded, however long one record is refused.
const WINDOW: usize = 1_000_000;
/// Wait after a failure before anything is sent again.
const PAUSE: Duration = Duration::from_secs(1);
/// How often the cursor is kept.
const KEEP: Duration = Duration::from_millis(200);
/// How often segments are freed.
const TRIM: Duration = Duration::from_secs(10);
/// How long a stop waits for confirmations; the rest is sent again after the next start.
const FLUSH: Duration = Duration::from_secs(3);
/// How long a producer that failed is given to hand back what it holds.
const HAND_BACK: Duration = Duration::from_secs(5);
/// How long to wait for a record or an answer.
const IDLE: Duration = Duration::from_millis(5);
/// The same when nothing is under way.
const QUIET: Duration = Duration::from_millis(100);
/// Between two looks at a topic that is refused.
const REFUSED: Duration = Duration::from_secs(10);

/// The thread of a forwarder.
pub(super) struct Run {
    forwarder: Forwarder,
    handle: Handle,
    window: Window,
    /// Read and not taken by librdkafka's queue.
    held: VecDeque<Record>,
    /// Offsets to send again.
    again: BTreeSet<u64>,
    not_before: Instant,
    kept: (Instant, u64),
    trimmed: Instant,
    status: Arc<Mutex<ForwardStatus>>,
    orders: Arc<Mutex<Orders>>,
}

impl Run {
    pub(super) fn new(
        forwarder: Forwarder,
        handle: Handle,
        (status, orders): (Arc<Mutex<ForwardStatus>>, Arc<Mutex<Orders>>),
        from: u64,
    ) -> Self {
        let now = Instant::now();
        Self {
            forwarder,
            handle,
            window: Window::new(from),
            held: VecDeque::new(),
            again: BTreeSet::new(),
            not_before: now,
            kept: (now, from),
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
        let mut producer = self.producer()?;
        loop {
            let (stop, again) = {
                let mut orders = locked(&self.orders);
                (orders.stop, orders.again.take())
            };
            if stop {
                return self.finish(&producer);
            }
            if let Some(from) = again {
                self.step_back(&producer, from);
            }
            self.take_answers(&producer);
            if self.is_fatal(&producer) {
                let reason = producer.client().fatal_error().map(|(code, _)| code.to_string());
                tracing::warn!(reason, "The producer failed for good; a new one goes on from the cursor.");
                let next = self.producer()?;
                producer = self.renew(producer, next);
            }
            if files.changed() {
                // They may be half exchanged: the old producer goes on, and the next change is the next try.
                match self.producer() {
                    Ok(next) => producer = self.renew(producer, next),
                    Err(error) => tracing::warn!(%error, "No producer can be made with the TLS files as they are now."),
                }
            }
            let sent = self.send_some(&producer)?;
            self.keep_cursor();
            let wait = if sent > 0 { Duration::ZERO } else { IDLE };
            if sent == 0 && producer.in_flight_count() == 0 && self.again.is_empty() && self.held.is_empty() {
                self.wait_for_records()?;
                producer.poll(Duration::ZERO);
            } else {
                producer.poll(wait);
            }
        }
    }

    fn producer(&self) -> Result<Sending, ForwardError> {
        let connection = &self.forwarder.connection;
        let reports = Reports::new(Common::new(connection.tokens(), Role::Sends));
        connection.producer_config().create_with_context(reports).map_err(|e| ForwardError::Producer(e.to_string()))
    }

    /// Waits until the topic is one that keeps what it acknowledges; false when told to stop before that.
    fn judge_topic(&self) -> bool {
        let topics = Topics::new(self.forwarder.connection.clone());
        loop {
            let verdict = match self.handle.block_on(topics.check(&self.forwarder.topic)) {
                Ok(findings) => {
                    let loss = findings.iter().filter(|finding| finding.risk == Risk::Loss);
                    let loss: Vec<String> = loss.map(ToString::to_string).collect();
                    (!loss.is_empty() && !self.forwarder.allow_loss).then(|| loss.join("; "))
                }
                Err(error) if error.is_unreachable() => Some(error.to_string()),
                Err(error) => (!self.forwarder.allow_loss).then(|| error.to_string()),
            };
            let mut status = locked(&self.status);
            if let Some(refused) = &verdict
                && status.refused.as_ref() != Some(refused)
            {
                tracing::error!(
                    topic = self.forwarder.topic,
                    refused,
                    "Nothing is forwarded to this topic yet; receipts stay in the journal."
                );
            }
            let good = verdict.is_none();
            status.refused = verdict;
            drop(status);
            if good {
                return true;
            }
            let until = Instant::now() + REFUSED;
            while Instant::now() < until {
                if locked(&self.orders).stop {
                    return false;
                }
                std::thread::sleep(QUIET);
            }
        }
    }

    /// Reads on and sends; returns how many records librdkafka took.
    fn send_some(&mut self, producer: &Sending) -> Result<usize, ForwardError> {
        if Instant::now() < self.not_before {
            return Ok(0);
        }
        let mut sent = self.send_again(producer)?;
        if self.held.is_empty()
            && self.window.len() < WINDOW
            && self.forwarder.journal.durable_end() > self.window.next()
        {
            self.read_on()?;
        }
        while let Some(record) = self.held.front() {
            if !self.send(producer, record) {
                break;
            }
            self.window.sent();
            self.held.pop_front();
            sent += 1;
        }
        Ok(sent)
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
        let mut sent = 0;
        while let Some(offset) = self.again.first().copied() {
            let batch = self.forwarder.journal.read(offset, ReadLimits { records: 1, bytes: 1 });
            let batch = batch.map_err(|error| ForwardError::Journal(error.to_string()))?;
            match batch.records.first().filter(|record| record.offset == offset) {
                Some(record) if !self.send(producer, record) => break,
                Some(_) => sent += 1,
                // Damaged since it was sent first: the journal names it.
                None => self.window.confirmed(offset),
            }
            self.again.pop_first();
        }
        locked(&self.status).resent += sent as u64;
        Ok(sent)
    }

    /// Hands one record to librdkafka; false if its queue is full.
    fn send(&self, producer: &Sending, record: &Record) -> bool {
        let label = (self.forwarder.label)(record);
        let message = BaseRecord::with_opaque_to(&self.forwarder.topic, record.offset as usize)
            .key(label.key.as_slice())
            .payload(&record.body[..])
            .headers(wire::headers(record, &label));
        match producer.send(message) {
            Ok(()) => true,
            Err((error, _)) => {
                if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                    producer.context().common.error(&error);
                }
                false
            }
        }
    }

    fn take_answers(&mut self, producer: &Sending) {
        let answers = producer.context().take();
        let common = &producer.context().common;
        let mut confirmed = 0;
        for (offset, answer) in answers {
            match answer {
                Ok(()) => {
                    confirmed += 1;
                    self.window.confirmed(offset);
                    self.again.remove(&offset);
                }
                // Whether it was kept is not known: it is sent again, and stored once.
                Err(code) => {
                    if code != RDKafkaErrorCode::PurgeQueue && code != RDKafkaErrorCode::PurgeInflight {
                        common.note(&KafkaError::MessageProduction(code));
                        self.not_before = Instant::now() + PAUSE;
                    }
                    if offset >= self.window.cursor() {
                        self.again.insert(offset);
                    }
                }
            }
        }
        if confirmed > 0 && self.again.is_empty() {
            common.fine();
        }
        let mut status = locked(&self.status);
        status.confirmed += confirmed;
        status.cursor = self.window.cursor();
        status.in_flight = self.window.len() as u64;
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
        self.again = self.window.open().collect();
        self.not_before = Instant::now() + PAUSE;
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
        self.window = Window::new(from);
        self.held.clear();
        self.again.clear();
    }

    fn keep_cursor(&mut self) {
        let cursor = self.window.cursor();
        if self.kept.1 < cursor && self.kept.0.elapsed() >= KEEP {
            // Commit point: the broker has confirmed everything below, and every replica that must has it. A crash before
            // sends it again.
            match self.forwarder.journal.commit(CONSUMER, cursor) {
                Ok(()) => self.kept = (Instant::now(), cursor),
                Err(error) => tracing::warn!(%error, "The forwarder's cursor cannot be kept; it is tried again."),
            }
        }
        if self.trimmed.elapsed() >= TRIM {
            self.trimmed = Instant::now();
            if let Err(error) = self.forwarder.journal.trim() {
                tracing::warn!(%error, "Old segments could not be freed; it is tried again.");
            }
        }
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
        self.kept.0 = Instant::now() - KEEP;
        self.keep_cursor();
        Ok(())
    }
}
