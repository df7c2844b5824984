//! Pull: reads the user and admin events that Keycloak stores, through its Admin REST API, into the journal.
//!
//! One [`Puller`] per Keycloak, any number of realms. Each realm has two feeds (user events, admin events), each with a
//! cursor on disk ([`cursor`]). A pass ([`pass`]) reads from the cursor less an overlap to the end, page by page, skips what it
//! appended before, and moves the cursor only after the journal acknowledged. So a crash anywhere loses nothing; it can
//! repeat at most one page. Never deletes or changes anything in Keycloak, and keeps bodies as the bytes that came.

pub mod client;
pub mod cursor;
mod page;
pub mod pass;
pub mod realm;
mod run;
pub mod state;

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;

pub use pass::{PassError, PassReport};
pub use realm::{Failed, RealmPull};
pub use run::{Puller, RealmStatus, Stopped};
pub use state::{Severity, State};

use events::receipt::{Payload, ReceiptHeader};
use std::{fmt, future::Future, path::PathBuf, pin::Pin, sync::Arc, time::Duration};
use trust::Trust;

/// A Keycloak to read from.
#[derive(Clone, Debug)]
pub struct Source {
    /// Tenant, for receipts.
    pub tenant: String,
    /// Immutable source id, for receipts.
    pub source_id: String,
    /// Where Keycloak answers, with its relative path if it has one: `https://sso.example/auth`.
    pub base_url: String,
    /// Whom to trust.
    pub trust: Trust,
    /// Realms to read.
    pub realms: Vec<Realm>,
    /// Rates, sizes and times.
    pub limits: Limits,
    /// Folder of the cursors.
    pub cursors: PathBuf,
    /// The event listener by which the same events are also pushed to us, where one is meant to.
    pub listener: Option<&'static str>,
}

/// A realm to read, and the service account that may.
#[derive(Clone, Debug)]
pub struct Realm {
    /// Name of the realm.
    pub name: String,
    /// Realm in which the service account lives, if not in `name` (a client of `master` can read all realms).
    pub login_realm: Option<String>,
    /// Client id; its service account needs `view-events` of `realm-management`.
    pub client_id: String,
    /// Client secret.
    pub client_secret: Secret,
}

/// A secret that no print shows.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Wraps it.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Rates, sizes and times of one source.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Pause between passes.
    pub poll: Duration,
    /// How far behind the newest event a pass begins again. Rows become visible when their transaction commits but carry
    /// an earlier time, and nodes' clocks differ: it must be longer than a pause, a transaction and that difference.
    pub overlap: Duration,
    /// Events per request.
    pub page: u32,
    /// Requests per second to this Keycloak, all realms together.
    pub requests_per_second: u32,
    /// For one request, connecting and reading included.
    pub timeout: Duration,
    /// Largest answer that is read, in bytes.
    pub answer_bytes: usize,
    /// Where a first read begins, UTC milliseconds; nothing = with the oldest event that is stored.
    pub since: Option<i64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            poll: Duration::from_secs(15),
            overlap: Duration::from_secs(120),
            page: 500,
            requests_per_second: 10,
            timeout: Duration::from_secs(30),
            answer_bytes: 32 * 1024 * 1024,
            since: None,
        }
    }
}

/// A receipt ready for the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Header.
    pub header: ReceiptHeader,
    /// Redacted body.
    pub body: Vec<u8>,
}

/// Why receipts are not known to be on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAppended {
    /// Nothing is wrong with them: try again later.
    #[error("the journal cannot take more now")]
    Later,
    /// The journal has stopped and its state is unknown: the process must stop.
    #[error("the journal has stopped")]
    Stopped,
}

/// What an append answers.
pub type Appending<'a> = Pin<Box<dyn Future<Output = Result<(), NotAppended>> + Send + 'a>>;

/// Where receipts go. Resolves when they are on disk, all of them.
pub trait Append: Send + Sync {
    /// Appends all, in order.
    fn append(&self, receipts: Vec<Received>) -> Appending<'_>;
}

/// Removes secrets from one event; may also find that it is of no known class.
pub type Redact = dyn Fn(Payload, &[u8]) -> (Payload, Vec<u8>) + Send + Sync;

/// What stands for an event that is too large to keep: its length and keyed mark.
pub type TooLarge = dyn Fn(&[u8]) -> Vec<u8> + Send + Sync;

/// The world around: everything a pull touches beside Keycloak and its cursors.
#[derive(Clone)]
pub struct Surroundings {
    /// The journal.
    pub append: Arc<dyn Append>,
    /// Redaction.
    pub redact: Arc<Redact>,
    /// Events that are too large.
    pub too_large: Arc<TooLarge>,
    /// The time now, UTC milliseconds.
    pub now: Arc<dyn Fn() -> i64 + Send + Sync>,
}

impl fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Surroundings(..)")
    }
}

/// One of the two lists that a realm stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Feed {
    /// User events: logins, tokens, lockouts.
    User,
    /// Admin events: groups, roles, configuration.
    Admin,
}

impl Feed {
    /// Both.
    pub const ALL: [Self; 2] = [Self::User, Self::Admin];

    /// For file names and metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "events",
            Self::Admin => "admin-events",
        }
    }

    pub(crate) fn payload(self) -> Payload {
        match self {
            Self::User => Payload::KeycloakEvent,
            Self::Admin => Payload::KeycloakAdminEvent,
        }
    }
}
