//! What the collector says of itself: bodies of its own receipts, and what a heartbeat is known by.

use crate::receipt::{Input, SourceKind};
use serde::{Deserialize, Serialize};

/// Path below which a heartbeat asks a Backstage for a page that no plugin has; the rest is its nonce, a UUID. The request needs no
/// credentials and is seen again as an access line.
pub const HEARTBEAT_PATH: &str = "/api/tokentrail/heartbeat/";

/// State of a heartbeat that the source took.
pub const SENT: &str = "sent";

/// Body of a receipt of class `heartbeat`, as JSON. The receipt's `native_id` is the id of the token that Keycloak gave, or
/// the nonce; its `received_at` is when the heartbeat was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The realm of a Keycloak; the instance of a Backstage, empty if it counts as one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub scope: String,
    /// [`SENT`], or in a word why it could not be sent.
    pub state: String,
}

/// Body of a receipt of class `input_closed`, as JSON: an input of the source is complete up to somewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputClosed {
    /// The input.
    pub input: Input,
    /// Up to where it brought what it had, UTC milliseconds.
    pub watermark: i64,
    /// What an import holds completely, as its operator says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<Claim>,
}

/// An operator's word that an import holds everything of a kind that happened within a time. A file cannot show what is
/// not in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// Everything from here on, UTC milliseconds.
    pub from: i64,
    /// And before here.
    pub to: i64,
    /// Realms of a Keycloak, instances of a Backstage; none: all of the source.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// Of these kinds.
    pub holds: Vec<Held>,
}

/// Kinds of what a source says that come by different exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Held {
    /// A Keycloak's user events (`/events`).
    UserEvents,
    /// A Keycloak's admin events (`/admin-events`).
    AdminEvents,
    /// A Backstage's lines.
    Lines,
}

impl Held {
    /// Everything that a source of this product says.
    pub fn all_of(kind: SourceKind) -> &'static [Self] {
        match kind {
            SourceKind::Keycloak => &[Self::UserEvents, Self::AdminEvents],
            SourceKind::Backstage => &[Self::Lines],
            _ => &[],
        }
    }

    /// The name in tables and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UserEvents => "user_events",
            Self::AdminEvents => "admin_events",
            Self::Lines => "lines",
        }
    }
}

impl std::str::FromStr for Held {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::UserEvents, Self::AdminEvents, Self::Lines].into_iter().find(|held| held.as_str() == text).ok_or(())
    }
}

/// Most scopes of one claim.
const SCOPES: usize = 64;
/// Longest name of a scope, bytes.
const SCOPE_BYTES: usize = 256;

impl Claim {
    /// Whether a source of this product can make it.
    pub fn is_of(&self, kind: SourceKind) -> bool {
        let named = |scope: &String| !scope.is_empty() && scope.len() <= SCOPE_BYTES;
        self.from < self.to
            && !self.holds.is_empty()
            && self.holds.iter().all(|held| Held::all_of(kind).contains(held))
            && self.scopes.len() <= SCOPES
            && self.scopes.iter().all(named)
    }
}

/// The nonce of a heartbeat's path, if it is one; a query is not looked at.
pub fn heartbeat_id(url: &str) -> Option<&str> {
    let rest = url.strip_prefix(HEARTBEAT_PATH)?;
    let nonce = rest.split('?').next().unwrap_or_default();
    // In this form redaction knows it for an id and keeps it.
    uuid::Uuid::try_parse(nonce).ok().filter(|id| id.hyphenated().to_string() == nonce).map(|_| nonce)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_of_one_product_and_of_some_time() {
        let claim = |from, to, holds: &[Held]| Claim { from, to, scopes: Vec::new(), holds: holds.into() };
        let both = Held::all_of(SourceKind::Keycloak);
        assert!(claim(1, 2, both).is_of(SourceKind::Keycloak));
        assert!(!claim(1, 2, both).is_of(SourceKind::Backstage));
        assert!(!claim(2, 2, both).is_of(SourceKind::Keycloak));
        assert!(!claim(1, 2, &[]).is_of(SourceKind::Keycloak));
        let scopes = vec![String::new()];
        assert!(!Claim { scopes, ..claim(1, 2, both) }.is_of(SourceKind::Keycloak));
    }

    #[test]
    fn only_our_own_nonces_are_heartbeats() {
        let nonce = "01234567-89ab-4def-8123-456789abcdef";
        assert_eq!(heartbeat_id(&format!("{HEARTBEAT_PATH}{nonce}")), Some(nonce));
        assert_eq!(heartbeat_id(&format!("{HEARTBEAT_PATH}{nonce}?x=1")), Some(nonce));
        for other in [
            "",
            "x",
            "0123456789ab4def8123456789abcdef",
            "01234567-89AB-4def-8123-456789abcdef",
            "01234567-89ab-4def-8123-456789abcdef/x",
        ] {
            assert_eq!(heartbeat_id(&format!("{HEARTBEAT_PATH}{other}")), None, "{other}");
        }
        assert_eq!(heartbeat_id(&format!("/x{HEARTBEAT_PATH}{nonce}")), None);
    }
}
