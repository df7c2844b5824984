//! A proven body is split into pieces: one piece is one event or one line, redacted, of a known payload class.
//!
//! Pure: the key and the zone are arguments; nothing is read from a clock.

pub mod backstage;
mod counts;
mod frame;
pub mod keycloak;
mod kind;
mod mend;
pub mod place;

use crate::redact::{self, Broken};
use events::{
    person::DeploymentKey,
    receipt::{LinePlace, Payload},
};

/// One receipt to be, without what the delivery as a whole says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Class of the body.
    pub payload: Payload,
    /// The source's id of the event, or empty.
    pub native_id: String,
    /// The sender's own key of this delivery, if it gave one.
    pub delivery_key: Option<String>,
    /// Only for lines.
    pub line: Option<LinePlace>,
    /// Redacted bytes.
    pub body: Vec<u8>,
}

/// More events or lines in one request than its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many events or lines in one request")]
pub struct TooMany;

impl Piece {
    pub(crate) fn of(payload: Payload, body: Vec<u8>) -> Self {
        Self { payload, native_id: String::new(), delivery_key: None, line: None, body }
    }

    /// A dead letter of bytes that cannot be kept.
    pub fn unparsable(key: &DeploymentKey, bytes: &[u8], reason: Broken) -> Self {
        Self::of(Payload::Unparsable, redact::unparsable(key, bytes, reason))
    }
}
