//! Copies of what nobody understood, on a topic of their own, so that others may look at it and it outlives its place on the
//! topic of the receipts. What the store holds counts; these are copies, each there at least once.

use super::client::Common;
use super::files::Files;
use super::reports::Became;
use super::settings::Connection;
use super::wire::{self, Labeller};
use super::words::{self, Role};
use crate::carrier::DeadLetter;
use crate::segment::locked;
use rdkafka::ClientContext;
use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, DeliveryResult, Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use std::error::Error;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Why nobody understood it.
const REASON: &str = "tokentrail.reason";
/// Version of the normaliser that did not.
const NORMALISER: &str = "tokentrail.normaliser";
/// Where a record stood that is none of ours: `TOPIC/PARTITION@OFFSET`.
const PLACE: &str = "tokentrail.place";
/// How long a position waits for the copies below it. Far below `max.poll.interval.ms`.
const WAIT: Duration = Duration::from_secs(10);
/// The same for room in a full queue.
const ROOM: Duration = Duration::from_secs(1);

/// The topic of dead letters.
pub(super) struct Aside {
    connection: Connection,
    sending: Mutex<(Arc<Sending>, Files)>,
    copies: Arc<Counts>,
    topic: String,
    label: Labeller,
}

type Sending = ThreadedProducer<Copies>;

/// What librdkafka tells.
struct Copies {
    common: Common,
    counts: Arc<Counts>,
}

/// How copies fare.
#[derive(Default)]
struct Counts {
    confirmed: AtomicU64,
    failed: AtomicU64,
    /// The last copy failed: nothing waits for the next ones until one arrives.
    failing: AtomicBool,
}

impl Aside {
    pub(super) fn new(connection: &Connection, (topic, label): (String, Labeller)) -> KafkaResult<Self> {
        let copies = Arc::<Counts>::default();
        // Looked at before they are read: what is exchanged in between is seen as a change.
        let files = Files::of(connection);
        let sending = Mutex::new((Arc::new(producer(connection, &copies)?), files));
        Ok(Self { connection: connection.clone(), sending, copies, topic, label })
    }

    fn sending(&self) -> Arc<Sending> {
        let mut sending = locked(&self.sending);
        // One that failed for good takes nothing any more.
        if sending.1.changed() || sending.0.client().fatal_error().is_some() {
            match producer(&self.connection, &self.copies) {
                Ok(made) => {
                    // What it still holds after that is counted as not taken.
                    let _ = sending.0.flush(ROOM);
                    sending.0 = Arc::new(made);
                }
                Err(error) => tracing::warn!(%error, "No new producer of dead letters can be made."),
            }
        }
        sending.0.clone()
    }

    /// Sends the receipt as it is on the topic of the receipts, with the reason.
    pub(super) fn letter(&self, letter: &DeadLetter) {
        let label = (self.label)(&letter.record);
        let headers = wire::headers(&letter.record, &label);
        let headers = headers.insert(Header { key: REASON, value: Some(letter.reason) });
        let normaliser = letter.normaliser.to_string();
        let headers = headers.insert(Header { key: NORMALISER, value: Some(&normaliser) });
        let record = BaseRecord::to(&self.topic).key(&label.key).payload(letter.record.body.as_ref());
        self.send(record.headers(headers));
    }

    /// Sends a record that is none of ours: key, headers and value as they are.
    pub(super) fn stranger(&self, message: &BorrowedMessage<'_>, (place, reason): (&str, &str)) {
        let mut headers = OwnedHeaders::new();
        for header in message.headers().iter().flat_map(|headers| headers.iter()) {
            headers = headers.insert(Header { key: header.key, value: header.value });
        }
        let headers = headers.insert(Header { key: REASON, value: Some(reason) });
        let headers = headers.insert(Header { key: PLACE, value: Some(place) });
        let mut record = BaseRecord::<[u8], [u8]>::to(&self.topic).headers(headers);
        record.key = message.key();
        record.payload = message.payload();
        self.send(record);
    }

    fn send<K: rdkafka::message::ToBytes + ?Sized, P: rdkafka::message::ToBytes + ?Sized>(
        &self,
        record: BaseRecord<'_, K, P>,
    ) {
        let sending = self.sending();
        let Err((error, record)) = sending.send(record) else { return };
        let again = match error.rdkafka_error_code() {
            // While copies fail nobody waits for room.
            Some(RDKafkaErrorCode::QueueFull) if !self.copies.failing.load(Ordering::Relaxed) => {
                // What does not leave the queue in this time is failing anyway, and is counted then.
                let _ = sending.flush(ROOM);
                sending.send(record).map_err(|(error, _)| error)
            }
            _ => Err(error),
        };
        if let Err(error) = again {
            self.copies.failed(&error);
        }
    }

    /// Waits, within a bound, until the copies made so far are confirmed. While they fail, nobody waits.
    pub(super) fn settle(&self) {
        let sending = self.sending();
        let waits = sending.in_flight_count() > 0 && !self.copies.failing.load(Ordering::Relaxed);
        if waits && sending.flush(WAIT).is_err() {
            self.copies.failing.store(true, Ordering::Relaxed);
        }
    }

    /// Copies that the brokers confirmed, and that they did not take.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.copies.confirmed.load(Ordering::Relaxed), self.copies.failed.load(Ordering::Relaxed))
    }
}

fn producer(connection: &Connection, counts: &Arc<Counts>) -> KafkaResult<Sending> {
    let copies = Copies { common: Common::new(connection.tokens(), Role::Sends), counts: counts.clone() };
    connection.producer_config().create_with_context(copies)
}

impl Counts {
    fn failed(&self, error: &KafkaError) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        if !self.failing.swap(true, Ordering::Relaxed) {
            let error = words::meaning(error, Role::Sends);
            tracing::error!(
                error,
                "Dead letters cannot be copied to their topic; the store has those that are receipts."
            );
        }
    }
}

impl ClientContext for Copies {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        Common::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, _: &str) {
        tracing::debug!(%error, "The producer of dead letters has trouble.");
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        self.common.token()
    }
}

impl ProducerContext for Copies {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            // Not certain; a copy is not sent again, and is counted as failed.
            Ok(_) if Became::of(result) == Became::Concluded => self.counts.failed(&KafkaError::Canceled),
            Ok(_) => {
                self.counts.confirmed.fetch_add(1, Ordering::Relaxed);
                self.counts.failing.store(false, Ordering::Relaxed);
            }
            Err((error, _)) => self.counts.failed(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::wire::Label;
    use super::*;
    use crate::chain;
    use crate::log::{Enc, Record};
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::DefaultProducerContext;
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
    use std::collections::BTreeMap;
    use std::time::Instant;

    fn letter() -> DeadLetter {
        let record = Record {
            offset: 0,
            stream: [1; 16],
            seq: 0,
            header: "{}".into(),
            body: "not understood".into(),
            salt: [0; 16],
            commitment: [0; 32],
            chain: chain::START,
            enc: Enc::NONE,
        };
        DeadLetter { record, reason: "not_json", normaliser: 1 }
    }

    #[test]
    fn a_producer_that_failed_for_good_is_replaced() {
        let cluster: MockCluster<'_, DefaultProducerContext> = MockCluster::new(1).unwrap();
        cluster.create_topic("dead", 1, 1).unwrap();
        let connection = Connection {
            brokers: cluster.bootstrap_servers(),
            client_id: "test".into(),
            rack: String::new(),
            tls: None,
            sasl: None,
            producer: BTreeMap::new(),
            consumer: BTreeMap::new(),
        };
        let labeller: Labeller = Arc::new(|_: &Record| Label { key: b"key".to_vec(), headers: Vec::new() });
        let aside = Aside::new(&connection, ("dead".into(), labeller)).unwrap();
        let until = |what: &str, counts: (u64, u64)| {
            let end = Instant::now() + Duration::from_secs(60);
            while aside.counts() != counts {
                assert!(Instant::now() < end, "{what}: waited in vain, {:?}", aside.counts());
                std::thread::sleep(Duration::from_millis(10));
            }
        };
        aside.letter(&letter());
        until("the first copy", (1, 0));
        let error = RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
        cluster.request_errors(RDKafkaApiKey::Produce, &[error]);
        aside.letter(&letter());
        until("a copy fails, and its producer with it", (1, 1));
        aside.letter(&letter());
        until("copies go on", (2, 1));
    }
}
