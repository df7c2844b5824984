//! A topic as a bulletin: its first partition alone is used, so that the group has one reader of it and the others stand by.

use super::carrier::KafkaMark;
use super::client::Common;
use super::files::Files;
use super::foreign::{ForeignLoad, ForeignTopic};
use super::reports::Became;
use super::settings::Connection;
use super::shared::MemberStatus;
use super::subscription::{Reading, Subscription};
use super::words::{self, Role};
use crate::bulletin::{Bulletin, Messages, NotPut};
use crate::carrier::{Appetite, CarryError};
use crate::segment::locked;
use rdkafka::ClientContext;
use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{oneshot, watch};

/// The partition that is used.
const PARTITION: i32 = 0;
/// Messages are few and waited for: each is handed over at once.
const APPETITE: Appetite = Appetite { records: 1_000, bytes: 16 << 20, enough: 1, linger: Duration::ZERO };

/// One member of the group that reads a bulletin. When the last handle goes, it leaves the group.
#[derive(Clone)]
pub struct KafkaBulletin {
    reading: ForeignTopic,
    putting: Arc<Putting>,
}

/// Whether anything is put: not on a topic that nobody has judged, or that could lose it.
#[derive(Clone, Default)]
pub struct Gate(Arc<Mutex<Option<String>>>);

impl Gate {
    /// Messages are put from now on.
    pub fn open(&self) {
        *locked(&self.0) = None;
    }

    /// None is put from now on, and this is told as the reason.
    pub fn close(&self, why: String) {
        *locked(&self.0) = Some(why);
    }
}

struct Putting {
    connection: Connection,
    topic: String,
    key: String,
    gate: Gate,
    /// None until the first message, and after a fatal error.
    producer: Mutex<Option<Arc<ThreadedProducer<Answers>>>>,
    files: Mutex<Files>,
}

impl KafkaBulletin {
    /// Joins the group. Nothing is asked of the brokers yet. `key` is every message's: no personal value.
    pub fn join(connection: &Connection, (topic, group): (&str, &str), key: &str) -> KafkaResult<Self> {
        connection.telling_config().create_native_config()?;
        let (name, group) = (topic.to_owned(), group.to_owned());
        let subscription = Subscription { topic: name, group, reading: Reading::Messages };
        let reading = ForeignTopic::subscribe(connection, subscription, APPETITE)?;
        let putting = Putting {
            connection: connection.clone(),
            topic: topic.to_owned(),
            key: key.to_owned(),
            gate: Gate::default(),
            producer: Mutex::default(),
            files: Mutex::new(Files::of(connection)),
        };
        Ok(Self { reading, putting: Arc::new(putting) })
    }

    /// Whether anything is put; open at first.
    pub fn gate(&self) -> Gate {
        self.putting.gate.clone()
    }

    /// Tells how reading stands, without keeping the member in its group.
    pub fn watch(&self) -> impl Fn() -> MemberStatus + Send + Sync + 'static {
        self.reading.watch()
    }
}

impl Putting {
    fn producer(&self) -> KafkaResult<Arc<ThreadedProducer<Answers>>> {
        let mut producer = locked(&self.producer);
        if locked(&self.files).changed() {
            producer.take();
        }
        if let Some(producer) = producer.as_ref() {
            return Ok(producer.clone());
        }
        let context = Answers(Common::new(self.connection.tokens(), Role::Sends));
        let made = Arc::new(self.connection.telling_config().create_with_context(context)?);
        Ok(producer.insert(made).clone())
    }

    async fn put(&self, body: &[u8]) -> KafkaResult<()> {
        let producer = self.producer()?;
        let (answer, answered) = oneshot::channel();
        let record = BaseRecord::with_opaque_to(&self.topic, Box::new(answer)).partition(PARTITION);
        let sent = producer.send(record.key(&self.key).payload(body)).map_err(|(error, _)| error);
        let done = match sent {
            // Commit point: with Ok every in-sync replica has it. An answer that never comes is an error: it is put again.
            Ok(()) => answered.await.unwrap_or(Err(KafkaError::Canceled)),
            Err(error) => Err(error),
        };
        if producer.context().0.is_fatal() || producer.client().fatal_error().is_some() {
            // This one will never send again; the next message has a new one.
            locked(&self.producer).take_if(|known| Arc::ptr_eq(known, &producer));
        }
        done
    }
}

impl Bulletin for KafkaBulletin {
    type Mark = KafkaMark;

    async fn put(&self, body: Vec<u8>) -> Result<(), NotPut> {
        if let Some(why) = locked(&self.putting.gate.0).clone() {
            return Err(NotPut(why));
        }
        self.putting.put(&body).await.map_err(|error| NotPut(words::meaning(&error, Role::Sends)))
    }

    async fn next(&self) -> Result<Messages<KafkaMark>, CarryError> {
        let ForeignLoad { records, mark, losses } = self.reading.next().await?;
        Ok(Messages { bodies: records.into_iter().map(|record| record.body).collect(), mark, losses })
    }

    fn settle(&self, mark: KafkaMark) -> Result<(), CarryError> {
        self.reading.settle(mark)
    }

    fn reads(&self) -> watch::Receiver<bool> {
        self.reading.leads()
    }
}

/// Brings each message's answer to whoever waits for it.
struct Answers(Common);

impl ClientContext for Answers {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        Common::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, _: &str) {
        self.0.error(&error);
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        self.0.token()
    }
}

impl ProducerContext for Answers {
    type DeliveryOpaque = Box<oneshot::Sender<KafkaResult<()>>>;

    fn delivery(&self, result: &DeliveryResult<'_>, waiting: Self::DeliveryOpaque) {
        let answer = match result {
            Err((error, _)) => Err(error.clone()),
            // Not certain: it is put again.
            Ok(_) if Became::of(result) == Became::Concluded => Err(KafkaError::Canceled),
            Ok(_) => {
                self.0.fine();
                Ok(())
            }
        };
        // Nobody waits any more: the program is stopping.
        let _ = waiting.send(answer);
    }
}
