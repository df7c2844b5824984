//! What librdkafka hands a producer: the brokers' answers, errors, the wish for a token.

use super::client::Common;
use super::clock::Clock;
use crate::segment::locked;
use rdkafka::ClientContext;
use rdkafka::Timestamp;
use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseProducer, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;
use std::error::Error;
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

/// A record's offset in the journal, and what became of it.
pub(super) type Answer = (u64, Became);

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Became {
    /// The broker says where it lies.
    Kept,
    /// librdkafka concludes that it was kept because a later batch was. That does not follow: a broker that knows nothing of a producer takes
    /// any first batch of it, also where it refused the one before.
    Concluded,
    /// It was refused, or nothing is known of it.
    Refused(RDKafkaErrorCode),
}

impl Became {
    pub(super) fn of(result: &DeliveryResult<'_>) -> Self {
        match result {
            // What is concluded has no offset.
            Ok(message) if message.offset() < 0 => Self::Concluded,
            Ok(_) => Self::Kept,
            Err((error, _)) => Self::Refused(error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail)),
        }
    }
}

/// A producer that tells its answers.
pub(super) type Sending = BaseProducer<Reports>;

/// Answers of the brokers, as librdkafka hands them over.
pub(super) struct Reports {
    pub(super) common: Common,
    answers: Mutex<Vec<Answer>>,
    clock: Mutex<Clock>,
}

impl Reports {
    pub(super) fn new(common: Common) -> Self {
        Self { common, answers: Mutex::default(), clock: Mutex::default() }
    }

    /// Answers since the last call.
    pub(super) fn take(&self) -> Vec<Answer> {
        std::mem::take(&mut *locked(&self.answers))
    }

    /// Milliseconds that the brokers' clock is ahead of ours.
    pub(super) fn clock_ahead(&self) -> Option<i64> {
        locked(&self.clock).ahead()
    }
}

impl ClientContext for Reports {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        Common::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, _: &str) {
        self.common.error(&error);
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        self.common.token()
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, offset: usize) {
        if let Ok(message) = result {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
            if let (Timestamp::LogAppendTime(written), Ok(now)) = (message.timestamp(), i64::try_from(now)) {
                locked(&self.clock).heard(written, now);
            }
        }
        locked(&self.answers).push((offset as u64, Became::of(result)));
    }
}
