//! The receipt: what arrived, unparsed after redaction, with the header that says where from.
//!
//! The header is carried as canonical JSON (this struct's field order, no spaces, empty fields left out); the
//! journal's chain and commitment run over exactly these bytes, so another consumer can check them without our code.

use crate::ids::Position;
use serde::{Deserialize, Serialize};

/// Version of the header's format.
pub const HEADER_VERSION: u8 = 1;

/// A product that speaks to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SourceKind {
    /// A Keycloak server.
    Keycloak,
    /// A Backstage installation.
    Backstage,
    /// This program itself: stream openings, operators.
    Tokentrail,
}

/// The way a receipt came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// Pushed by a Keycloak event listener.
    Webhook,
    /// Records of a Kafka topic that a Keycloak event listener writes.
    Kafka,
    /// Read from the Keycloak Admin REST API.
    Pull,
    /// Lines of a Backstage backend's standard output.
    Lines,
    /// State read from an API or from a recording of it.
    Snapshot,
    /// A backfill from files.
    Import,
    /// A heartbeat of the collector.
    Heartbeat,
    /// An act of an operator.
    Operator,
    /// The collector about itself: opening of a stream, closing of an input, counts of lines that are no receipts.
    Collector,
}

macro_rules! names {
    ($type:ty: $($variant:ident = $text:literal),+ $(,)?) => {
        impl $type {
            /// Every value.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
            /// The name used in JSON, ClickHouse and metric labels.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }
        impl std::str::FromStr for $type {
            type Err = ();
            fn from_str(text: &str) -> Result<Self, ()> {
                match text { $($text => Ok(Self::$variant),)+ _ => Err(()) }
            }
        }
    };
}
pub(crate) use names;

names!(SourceKind: Keycloak = "keycloak", Backstage = "backstage", Tokentrail = "tokentrail");
names!(Input: Webhook = "webhook", Kafka = "kafka", Pull = "pull", Lines = "lines", Snapshot = "snapshot", Import = "import",
    Heartbeat = "heartbeat", Operator = "operator", Collector = "collector");

/// The class of a body: which parser reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Payload {
    /// A keycloak-events delivery (`ExtendedAdminEvent`, type `access.*`, `admin.*`, `system.*`).
    KeycloakWebhook,
    /// A Keycloak user event as the Admin REST API or a plain listener writes it.
    KeycloakEvent,
    /// A Keycloak admin event, likewise.
    KeycloakAdminEvent,
    /// One line of a Backstage backend.
    BackstageLine,
    /// One state of Backstage catalog entities as read at one instant: `{"read_at", "entities": [...]}`.
    BackstageCatalogSnapshot,
    /// A snapshot of state begins ([`crate::snapshot::Begin`]).
    SnapshotBegin,
    /// One entity of a snapshot ([`crate::snapshot::Entity`]).
    SnapshotEntity,
    /// One page of a list of a snapshot ([`crate::snapshot::List`]).
    SnapshotList,
    /// A snapshot ended ([`crate::snapshot::End`]).
    SnapshotEnd,
    /// First receipt of a stream: names the stream before it and so seals it.
    StreamOpening,
    /// An input that is complete: `{"input", "watermark"}` (UTC milliseconds).
    InputClosed,
    /// Lines of one delivery that are no receipts: `{"<kind>": count, ...}` ([`crate::lines::LineCounts`]).
    LineCounts,
    /// A heartbeat that the collector sent ([`crate::record::Heartbeat`]); `native_id` is what it is known by again.
    Heartbeat,
    /// Lines that a sender had to drop: `{"source", "instance", "since", "until", "dropped_lines"}`, times in UTC
    /// milliseconds, the count null if the sender died before it could say ([`crate::lines::SenderGap`]).
    SenderGap,
    /// An act of an operator about persons ([`crate::act::PersonAct`]); `native_id` is its own id.
    PersonAct,
    /// An act of an operator on findings ([`crate::finding_act::FindingAct`]); `native_id` is its own id.
    FindingAct,
    /// Authentic and JSON, but of no known class: the redacted body is kept and can be retried.
    Unknown,
    /// Authentic but not parsable: `{"length", "mark", "reason"}`; the bytes are not kept.
    Unparsable,
}

names!(Payload: KeycloakWebhook = "keycloak_webhook", KeycloakEvent = "keycloak_event",
    KeycloakAdminEvent = "keycloak_admin_event", BackstageLine = "backstage_line",
    BackstageCatalogSnapshot = "backstage_catalog_snapshot", SnapshotBegin = "snapshot_begin",
    SnapshotEntity = "snapshot_entity", SnapshotList = "snapshot_list", SnapshotEnd = "snapshot_end", StreamOpening = "stream_opening",
    InputClosed = "input_closed", LineCounts = "line_counts", Heartbeat = "heartbeat", SenderGap = "sender_gap",
    PersonAct = "person_act", FindingAct = "finding_act", Unknown = "unknown", Unparsable = "unparsable");

/// Where a time was read, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TimeBasis {
    /// The source's own time of the event.
    Event,
    /// A time written in the line.
    Line,
    /// The time at which a shipper or container runtime read the line.
    Shipper,
    /// The time of the neighbour line that belongs to it.
    NeighbourLine,
    /// Nothing better than our own receipt.
    Receipt,
}

names!(TimeBasis: Event = "event", Line = "line", Shipper = "shipper", NeighbourLine = "neighbour_line", Receipt = "receipt");

/// What only the splitter can see of a line: where it stood and when it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct LinePlace {
    /// Pod, file or host label of the shipper; empty when it names none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub instance: String,
    /// Position of the line in its delivery, from 0, counting every line.
    pub number: u32,
    /// Best known time of the line, UTC nanoseconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_ns: Option<i64>,
    /// Where `time_ns` was read.
    pub basis: TimeBasis,
    /// Keyed mark of the original line's bytes (`DeploymentKey::mark`, purpose `line`).
    pub mark: String,
    /// True when the shipper said that it reads a backlog, so that its time is no time of the event.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub backlog: bool,
}

/// Header of a receipt: all that is known of it beside its body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ReceiptHeader {
    /// [`HEADER_VERSION`].
    pub v: u8,
    /// Tenant.
    pub tenant: String,
    /// Immutable id of the source, from config.
    pub source_id: String,
    /// Product of the source.
    pub source_kind: SourceKind,
    /// Way in.
    pub input: Input,
    /// Class of the body.
    pub payload: Payload,
    /// When it was taken in, UTC milliseconds.
    pub received_at: i64,
    /// The source's own id of the event, if it has one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub native_id: String,
    /// The delivery it came with: the sender's idempotency key if there is one, else, for an event without `native_id`, the
    /// key in its body, else an id given at intake.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub delivery_id: String,
    /// True if `delivery_id` is the sender's own key (equal on a retry), false if intake made it up.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub delivery_keyed: bool,
    /// Place in the delivery, from 0.
    pub delivery_index: u32,
    /// Only for lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<LinePlace>,
}

impl ReceiptHeader {
    /// Of a record of Tokentrail's own: no source says it, and nobody delivers it.
    pub fn own(tenant: &str, (input, payload): (Input, Payload), received_at: i64) -> Self {
        Self {
            v: HEADER_VERSION,
            tenant: tenant.to_owned(),
            source_id: String::new(),
            source_kind: SourceKind::Tokentrail,
            input,
            payload,
            received_at,
            native_id: String::new(),
            delivery_id: String::new(),
            delivery_keyed: false,
            delivery_index: 0,
            line: None,
        }
    }

    /// Canonical bytes, as journaled.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a header of strings and numbers always serialises")
    }

    /// Reads canonical bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }
}

/// A receipt as read back from the log.
#[derive(Clone, Debug)]
pub struct Receipt {
    /// Identity.
    pub position: Position,
    /// Header.
    pub header: ReceiptHeader,
    /// Redacted body.
    pub body: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_round_trips_and_leaves_out_what_is_empty() {
        let header = ReceiptHeader {
            v: HEADER_VERSION,
            tenant: "default".into(),
            source_id: "kc".into(),
            source_kind: SourceKind::Keycloak,
            input: Input::Webhook,
            payload: Payload::KeycloakWebhook,
            received_at: 1_795_467_054_537,
            native_id: "b2c0".into(),
            delivery_id: String::new(),
            delivery_keyed: false,
            delivery_index: 0,
            line: None,
        };
        let bytes = header.to_bytes();
        assert_eq!(ReceiptHeader::from_bytes(&bytes).unwrap(), header);
        let text = String::from_utf8(bytes).unwrap();
        assert!(!text.contains("delivery_id\"") && !text.contains("line"), "{text}");
    }
}
