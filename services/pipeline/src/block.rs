//! Turns records of the log into one block for the store: pure, so that a replay gives the same block.

use durable_log::Record;
use events::{
    ids::{Position, StreamId},
    lines::{LineCounts, LineKind},
    normalise::{Context, Dead, Normalised, normalise},
    receipt::{HEADER_VERSION, Input, Payload, Receipt, ReceiptHeader, SourceKind},
};
use serde::Deserialize;
use store::{Block, Fate, LineCount, StoredReceipt, Watermark};

/// The chain value is stored with every receipt whose seq is a multiple of this; between, it is recomputed.
pub const CHAIN_EVERY: u64 = 4096;

/// What one read of the log becomes.
pub struct Work {
    /// Receipts and events.
    pub block: Block,
    /// How far inputs are complete, as records among the receipts say. To be written after them.
    pub watermarks: Vec<Watermark>,
}

/// Normalises every record: each receives exactly one fate, also one whose header cannot be read.
pub fn work(records: Vec<Record>, context: &Context) -> Work {
    let mut watermarks = Vec::new();
    let mut block = Block {
        receipts: Vec::with_capacity(records.len()),
        events: Vec::with_capacity(records.len()),
        line_counts: Vec::new(),
    };
    for record in records {
        let position = Position { stream: StreamId(record.stream), seq: record.seq };
        let (receipt, fate) = match ReceiptHeader::from_bytes(&record.header) {
            Ok(header) => {
                let receipt = Receipt { position, header, body: record.body.to_vec() };
                watermarks.extend(watermark(&receipt));
                block.line_counts.extend(line_counts(&receipt));
                let fate = match normalise(&receipt, context) {
                    Normalised::Events(events) => match events.first() {
                        Some(first) => {
                            let fate = Fate::Event { event_id: first.event_id };
                            block.events.extend(events);
                            fate
                        }
                        None => Fate::Dead(Dead::UnknownShape),
                    },
                    Normalised::Ignored(reason) => Fate::Ignored(reason),
                    Normalised::Dead(reason) => Fate::Dead(reason),
                };
                (receipt, fate)
            }
            Err(_) => (headless(position, &record), Fate::Dead(Dead::BadHeader)),
        };
        let chain = record.seq.is_multiple_of(CHAIN_EVERY).then_some(record.chain);
        block.receipts.push(StoredReceipt {
            receipt,
            fate,
            salt: record.salt,
            commitment: record.commitment,
            chain,
            enc: record.enc.key,
        });
    }
    Work { block, watermarks }
}

/// The watermark that a closing record tells.
fn watermark(receipt: &Receipt) -> Option<Watermark> {
    #[derive(Deserialize)]
    struct Closed {
        input: Input,
        watermark: i64,
    }
    if receipt.header.payload != Payload::InputClosed {
        return None;
    }
    let closed: Closed = serde_json::from_slice(&receipt.body).ok()?;
    Some(Watermark {
        tenant: receipt.header.tenant.clone(),
        source_id: receipt.header.source_id.clone(),
        input: closed.input,
        watermark: closed.watermark,
        recorded_at: receipt.header.received_at,
    })
}

/// The lines of a delivery that are no receipts; none of a body that a newer program wrote.
fn line_counts(receipt: &Receipt) -> Vec<LineCount> {
    if receipt.header.payload != Payload::LineCounts {
        return Vec::new();
    }
    let header = &receipt.header;
    let delivery = LineCounts::delivery(header);
    let counts = LineCounts::from_bytes(&receipt.body).unwrap_or_default();
    let row = |(kind, lines): (LineKind, u64)| LineCount {
        tenant: header.tenant.clone(),
        source_id: header.source_id.clone(),
        kind: kind.as_str().to_owned(),
        delivery: delivery.clone(),
        lines,
        received_at: header.received_at,
    };
    counts.0.into_iter().map(row).collect()
}

/// Stands in for a header that cannot be read, so that the receipt is still counted and can be looked at.
fn headless(position: Position, record: &Record) -> Receipt {
    let header = ReceiptHeader {
        v: HEADER_VERSION,
        tenant: String::new(),
        source_id: String::new(),
        source_kind: SourceKind::Tokentrail,
        input: Input::Collector,
        payload: Payload::Unparsable,
        received_at: 0,
        native_id: String::new(),
        delivery_id: String::new(),
        delivery_keyed: false,
        delivery_index: 0,
        line: None,
    };
    Receipt { position, header, body: record.body.to_vec() }
}
