//! What the collector says of itself: bodies of its own receipts, and what a heartbeat is known by.

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
    /// The realm, or empty for a Backstage.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub scope: String,
    /// [`SENT`], or in a word why it could not be sent.
    pub state: String,
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
