//! What librdkafka tells us, apart from records: its log, its errors, and its wish for a token.

use super::settings::TokenSource;
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
    /// The last thing that went wrong, in librdkafka's words; none since the last success.
    trouble: Mutex<Option<String>>,
    fatal: AtomicBool,
}

impl Common {
    pub(super) fn new(tokens: Option<TokenSource>) -> Self {
        Self { tokens, trouble: Mutex::default(), fatal: AtomicBool::new(false) }
    }

    /// Notes an error; it is logged once until [`Common::fine`].
    pub(super) fn note(&self, error: &KafkaError) {
        let text = error.rdkafka_error_code().map_or_else(|| error.to_string(), |code| code.to_string());
        let mut trouble = locked(&self.trouble);
        if trouble.is_none() {
            tracing::warn!(error = text, "Kafka cannot be used as it should; it is tried again.");
        }
        *trouble = Some(text);
    }

    /// All is well.
    pub(super) fn fine(&self) {
        if locked(&self.trouble).take().is_some() {
            tracing::info!("Kafka can be used again.");
        }
    }

    /// What is wrong now.
    pub(super) fn trouble(&self) -> Option<String> {
        locked(&self.trouble).clone()
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
