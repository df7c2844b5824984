//! Identifiers: streams, positions, event ids. Never parses an id of Keycloak or Backstage: those are strings.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use uuid::Uuid;

/// One run of one collector: 16 random bytes, written as 32 lowercase hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub [u8; 16]);

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamId({self})")
    }
}

/// A stream id that is not 32 hex digits.
#[derive(Debug, thiserror::Error)]
#[error("a stream id is 32 hex digits")]
pub struct BadStreamId;

impl FromStr for StreamId {
    type Err = BadStreamId;
    fn from_str(text: &str) -> Result<Self, BadStreamId> {
        let mut bytes = [0; 16];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| BadStreamId)?;
        Ok(Self(bytes))
    }
}

impl Serialize for StreamId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for StreamId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The identity of a receipt: dense sequence number `seq` (from 0, without holes) in `stream`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// The run of the collector that took the receipt in.
    pub stream: StreamId,
    /// Its number in that run.
    pub seq: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.stream, self.seq)
    }
}

/// Namespace of every event id (UUIDv5, RFC 9562 section 5.5); itself a UUIDv5 of the DNS namespace and "tokentrail".
const NAMESPACE: Uuid = Uuid::from_u128(0x7688_d2f5_f0bf_54c8_8bec_baab_31f5_d267);

/// The deterministic id of an event: UUIDv5 over tenant, source, the source's own key of it, and its ordinal in the receipt.
///
/// Parts are length-prefixed, so that no two different lists of parts give one name.
pub fn event_id(tenant: &str, source_id: &str, native_key: &str, ordinal: u32) -> Uuid {
    let mut name = Vec::with_capacity(tenant.len() + source_id.len() + native_key.len() + 28);
    for part in [tenant, source_id, native_key] {
        name.extend_from_slice(&(part.len() as u64).to_be_bytes());
        name.extend_from_slice(part.as_bytes());
    }
    name.extend_from_slice(&ordinal.to_be_bytes());
    Uuid::new_v5(&NAMESPACE, &name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_namespace_is_what_it_says() {
        assert_eq!(NAMESPACE, Uuid::new_v5(&Uuid::NAMESPACE_DNS, b"tokentrail"));
    }

    #[test]
    fn event_ids_tell_parts_apart() {
        assert_eq!(event_id("t", "s", "k", 0), event_id("t", "s", "k", 0));
        assert_ne!(event_id("t", "s", "k", 0), event_id("t", "s", "k", 1));
        assert_ne!(event_id("ts", "", "k", 0), event_id("t", "s", "k", 0));
        assert_ne!(event_id("t", "sk", "", 0), event_id("t", "s", "k", 0));
    }

    #[test]
    fn stream_ids_round_trip_and_refuse_other_text() {
        let id = StreamId([7; 16]);
        assert_eq!(id.to_string().parse::<StreamId>().unwrap(), id);
        assert!("07".parse::<StreamId>().is_err());
    }
}
