//! What librdkafka tells us, apart from records: its log, its errors, and its wish for a token.

use super::settings::TokenSource;
use super::words::{self, Role};
use rdkafka::ClientContext;
use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use std::error::Error;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::segment::locked;

/// What every client has in common.
pub(super) struct Common {
    tokens: Option<TokenSource>,
    role: Role,
    trouble: Mutex<Trouble>,
    fatal: AtomicBool,
}

/// What went wrong, in words; none since the last success.
#[derive(Default)]
struct Trouble {
    last: Option<String>,
    /// The right to the topic itself. Of a reader librdkafka says this once, however long it stays so.
    refused: Option<String>,
}

impl Common {
    pub(super) fn new(tokens: Option<TokenSource>, role: Role) -> Self {
        Self { tokens, role, trouble: Mutex::default(), fatal: AtomicBool::new(false) }
    }

    /// Notes an error; it is logged once until [`Common::fine`].
    pub(super) fn note(&self, error: &KafkaError) {
        let text = words::meaning(error, self.role);
        let mut trouble = locked(&self.trouble);
        let known = if words::is_refused_topic(error) { &mut trouble.refused } else { &mut trouble.last };
        if known.is_none() {
            tracing::warn!(error = text, "Kafka cannot be used as it should; it is tried again.");
        }
        *known = Some(text);
    }

    /// All is well: records were sent, or read.
    pub(super) fn fine(&self) {
        let before = std::mem::take(&mut *locked(&self.trouble));
        if before.last.is_some() || before.refused.is_some() {
            tracing::info!("Kafka can be used again.");
        }
    }

    /// The brokers answer; whether they let us read their answers do not tell.
    pub(super) fn answered(&self) {
        if locked(&self.trouble).last.take().is_some() {
            tracing::info!("Kafka answers again.");
        }
    }

    /// What is wrong now.
    pub(super) fn trouble(&self) -> Option<String> {
        let trouble = locked(&self.trouble);
        trouble.refused.clone().or_else(|| trouble.last.clone())
    }

    /// The same of a reader for which nothing waits: a refused topic does it no harm, and nobody knows whether it still is.
    pub(super) fn trouble_of_idle(&self) -> Option<String> {
        locked(&self.trouble).last.clone()
    }

    /// The brokers refuse our user the topic.
    pub(super) fn is_refused(&self) -> bool {
        locked(&self.trouble).refused.is_some()
    }

    /// True if this client can do nothing more.
    pub(super) fn is_fatal(&self) -> bool {
        self.fatal.load(Ordering::Relaxed)
    }

    pub(super) fn set_fatal(&self) {
        self.fatal.store(true, Ordering::Relaxed);
    }

    pub(super) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
        // What matters arrives as an error, too; these lines repeat it per broker and connection.
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                tracing::warn!(target: "librdkafka", facility, "{message}");
            }
            _ => tracing::debug!(target: "librdkafka", facility, "{message}"),
        }
    }

    pub(super) fn error(&self, error: &KafkaError) {
        if error.rdkafka_error_code() == Some(rdkafka::types::RDKafkaErrorCode::Fatal) {
            self.set_fatal();
        }
        self.note(error);
    }

    pub(super) fn token(&self) -> Result<OAuthToken, Box<dyn Error>> {
        let source = self.tokens.as_ref().ok_or("no token source")?;
        let token = source()?;
        Ok(OAuthToken { token: token.token, principal_name: token.principal, lifetime_ms: token.expires_at })
    }
}

/// A client that only asks.
pub(super) struct Asking(pub(super) Common);

impl ClientContext for Asking {
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

impl rdkafka::consumer::ConsumerContext for Asking {}
