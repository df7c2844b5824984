//! From a proven delivery to journal entries: redact and split, then headers. Everything proven becomes at least one entry.
//!
//! Pure but for the delivery number: time and keys are arguments.

use crate::{
    config::Limits,
    journal::Entry,
    redact::Broken,
    split::{self, Piece, TooMany},
    verify::KnownSource,
};
use events::{
    lines::LineCounts,
    person::DeploymentKey,
    receipt::{HEADER_VERSION, Input, Payload, ReceiptHeader, SourceKind},
    record::InputClosed,
};
use std::sync::atomic::{AtomicU64, Ordering};

/// How keys of deliveries by `tokentrail send` begin, of a file and of standard input. An application writes no headers.
pub const SENDERS: [&str; 2] = ["send-", "spool-"];

/// What a sender says of its delivery, beside the body.
#[derive(Clone, Debug, Default)]
pub struct Labels {
    /// Instance of all lines, or empty.
    pub instance: String,
    /// Whether it reads a backlog.
    pub backlog: bool,
    /// Its own key of this delivery, equal on a retry.
    pub delivery_key: Option<String>,
}

/// A proven and inflated delivery.
#[derive(Debug)]
pub struct Delivery<'a> {
    /// The source.
    pub source: &'a KnownSource,
    /// The way in.
    pub input: Input,
    /// What the sender says of it.
    pub labels: Labels,
    /// When it was taken in, UTC milliseconds.
    pub received_at: i64,
    /// Its bytes, inflated.
    pub body: &'a [u8],
}

/// Entries of one delivery.
#[derive(Debug, Default)]
pub struct Received {
    /// In order.
    pub entries: Vec<Entry>,
    /// How many of them are dead letters.
    pub dead: u64,
    /// Lines that are no receipts.
    pub counts: LineCounts,
}

/// Turns deliveries into entries.
pub struct Receiver {
    tenant: String,
    key: DeploymentKey,
    run: String,
    deliveries: AtomicU64,
    limits: Limits,
}

impl Receiver {
    /// `run` makes the delivery ids of this process unlike those of any other: 8 random bytes.
    pub fn new(tenant: &str, key: DeploymentKey, run: [u8; 8], limits: Limits) -> Self {
        Self { tenant: tenant.to_owned(), key, run: hex::encode(run), deliveries: AtomicU64::new(0), limits }
    }

    /// The bounds in force.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Redacts and splits. Only a body of too many events or lines is sent back; what cannot be read is a dead letter.
    pub fn receive(&self, delivery: &Delivery<'_>) -> Result<Received, TooMany> {
        let pieces = match std::str::from_utf8(delivery.body) {
            Ok(text) => self.split(text, delivery)?,
            Err(_) if delivery.source.kind == SourceKind::Backstage && delivery.input != Input::Snapshot => {
                split::backstage::split_bytes(delivery.body, &self.reading(delivery))?
            }
            Err(_) => vec![Piece::unparsable(&self.key, delivery.body, Broken::NotUtf8)],
        };
        Ok(self.entries(pieces, delivery))
    }

    /// The record that closes an input of a source.
    pub fn close(&self, source: &KnownSource, closed: &InputClosed, received_at: i64) -> Entry {
        let mut header = self.header(source, received_at);
        header.input = Input::Collector;
        header.payload = Payload::InputClosed;
        header.delivery_id = self.delivery_id();
        // Names, numbers and plain text always serialise.
        Entry { header: header.to_bytes(), body: serde_json::to_vec(closed).unwrap_or_default() }
    }

    fn split(&self, text: &str, delivery: &Delivery<'_>) -> Result<Vec<Piece>, TooMany> {
        match (delivery.input, delivery.source.kind) {
            (Input::Snapshot, _) => Ok(split::backstage::split_snapshot(text, &self.key)),
            (_, SourceKind::Backstage) => split::backstage::split(text, &self.reading(delivery)),
            _ => split::keycloak::split(text, &self.key, self.limits.keycloak_events),
        }
    }

    fn reading<'a>(&'a self, delivery: &'a Delivery<'_>) -> split::backstage::Reading<'a> {
        let key = delivery.labels.delivery_key.as_deref().unwrap_or_default();
        split::backstage::Reading {
            source: &delivery.source.id,
            key: &self.key,
            zone: &delivery.source.zone,
            instance: &delivery.labels.instance,
            backlog: delivery.labels.backlog,
            by_send: SENDERS.iter().any(|sender| key.starts_with(sender)),
            line_bytes: self.limits.line_bytes,
            lines: self.limits.backstage_lines,
        }
    }

    pub(crate) fn entries(&self, pieces: Vec<Piece>, delivery: &Delivery<'_>) -> Received {
        let mut header = self.header(delivery.source, delivery.received_at);
        let own_key = delivery.labels.delivery_key.clone();
        let fallback = own_key.clone().unwrap_or_else(|| self.delivery_id());
        let mut received = Received { entries: Vec::with_capacity(pieces.len()), ..Received::default() };
        for (index, piece) in pieces.into_iter().enumerate() {
            let dead = matches!(piece.payload, Payload::Unknown | Payload::Unparsable);
            received.dead += u64::from(dead);
            header.input = match piece.payload {
                Payload::LineCounts => {
                    received.counts = LineCounts::from_bytes(&piece.body).unwrap_or_default();
                    Input::Collector
                }
                Payload::SenderGap => Input::Collector,
                _ => delivery.input,
            };
            header.payload = piece.payload;
            // An event with an id of its own is told by it. The key of its delivery stays in the body: 16 random bytes
            // more in each header would say nothing that is asked of a header.
            let key = piece.delivery_key.filter(|_| piece.native_id.is_empty());
            header.native_id = piece.native_id;
            header.delivery_keyed = own_key.is_some() || key.is_some();
            header.delivery_id = key.unwrap_or_else(|| fallback.clone());
            header.delivery_index = u32::try_from(index).unwrap_or(u32::MAX);
            header.line = piece.line;
            received.entries.push(Entry { header: header.to_bytes(), body: piece.body });
        }
        received
    }

    fn header(&self, source: &KnownSource, received_at: i64) -> ReceiptHeader {
        ReceiptHeader {
            v: HEADER_VERSION,
            tenant: self.tenant.clone(),
            source_id: source.id.clone(),
            source_kind: source.kind,
            input: Input::Collector,
            payload: Payload::Unknown,
            received_at,
            native_id: String::new(),
            delivery_id: String::new(),
            delivery_keyed: false,
            delivery_index: 0,
            line: None,
        }
    }

    fn delivery_id(&self) -> String {
        format!("{}-{}", self.run, self.deliveries.fetch_add(1, Ordering::Relaxed))
    }
}
