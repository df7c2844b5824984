//! What a delivery of lines says beside its receipts: how many lines were none, and how many the sender had to drop.
//!
//! Both are receipts of the collector's own, of payload `line_counts` and `sender_gap`; these are their bodies.

use crate::receipt::{ReceiptHeader, TimeBasis, names};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a line that is no receipt was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LineKind {
    /// A JSON line that says nothing about access.
    Json,
    /// No JSON.
    Text,
    /// Coloured text as Backstage writes it in development: nothing is read from it.
    DevText,
    /// An access line of a route that says nothing about access.
    Access,
    /// Backstage says at its start that it found secrets in its config and redacts them in its lines.
    RedactionOn,
    /// Backstage says at its start that it found none, so it redacts nothing.
    RedactionOff,
}

names!(LineKind: Json = "json", Text = "text", DevText = "dev_text", Access = "access",
    RedactionOn = "redaction_on", RedactionOff = "redaction_off");

/// Body of a `line_counts` receipt: `{"<kind>": count, ...}`, kinds without lines left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LineCounts(pub BTreeMap<LineKind, u64>);

impl LineCounts {
    /// Adds one line.
    pub fn add(&mut self, kind: LineKind) {
        *self.0.entry(kind).or_default() += 1;
    }

    /// Canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a map of names and numbers always serialises")
    }

    /// Reads a body.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    /// What is equal for repeats of one delivery and for nothing else: the mark of the counted lines and of the times at
    /// which a shipper read them, where each has one; else the sender's key; else the id that intake gave, and then a
    /// repeat cannot be told.
    pub fn delivery(header: &ReceiptHeader) -> String {
        match &header.line {
            Some(place) if place.basis == TimeBasis::Shipper => format!("lines:{}", place.mark),
            _ => format!("delivery:{}", header.delivery_id),
        }
    }
}

/// Body of a `sender_gap` receipt: lines of `instance` that `tokentrail send` read and could not keep.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SenderGap {
    /// Source.
    pub source: String,
    /// Instance, as the sender names it.
    pub instance: String,
    /// When the first of them was read, UTC milliseconds.
    pub since: i64,
    /// When the last of them was read, UTC milliseconds.
    pub until: i64,
    /// How many; none if the sender died before it could say.
    pub dropped_lines: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_an_object_of_names_and_unknown_names_are_no_counts() {
        let mut counts = LineCounts::default();
        for kind in [LineKind::Text, LineKind::Json, LineKind::Json] {
            counts.add(kind);
        }
        assert_eq!(counts.to_bytes(), br#"{"json":2,"text":1}"#);
        assert_eq!(LineCounts::from_bytes(br#"{"json":2,"text":1}"#).unwrap(), counts);
        assert!(LineCounts::from_bytes(br#"{"yaml":2}"#).is_err());
        for kind in LineKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }
}
