//! Writing: a block of receipts and what they became, in an order that a crash cannot turn into a lie.

use crate::{
    Store, StoreError,
    error::within,
    rows::{BadPersonKey, BodyRow, EventRow, ReceiptRow, month},
    settings::{self, INSERT_WAIT, SEND_WAIT},
};
use clickhouse::{Row, RowWrite};
use events::{
    event::Event,
    normalise::{Dead, Ignored},
    receipt::{Input, Receipt},
};
use serde::Serialize;
use std::collections::BTreeMap;
use uuid::Uuid;

/// Rows of one insert. Below ClickHouse's block size, so that each insert is one part of one partition: all or nothing.
const ROWS_PER_INSERT: usize = 50_000;

/// The one fate of a receipt as normalising decides it; stored or duplicate is decided by the view over all receipts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fate {
    /// It says something: the event of ordinal 0.
    Event {
        /// Id of that event.
        event_id: Uuid,
    },
    /// Understood, and no event.
    Ignored(Ignored),
    /// Not understood.
    Dead(Dead),
}

/// A receipt with all that the store keeps of it.
#[derive(Clone, Debug)]
pub struct StoredReceipt {
    /// What arrived.
    pub receipt: Receipt,
    /// What became of it.
    pub fate: Fate,
    /// Salt of the commitment; kept with the body and erased with it.
    pub salt: [u8; 16],
    /// HMAC-SHA-256(salt, body).
    pub commitment: [u8; 32],
    /// The stream's chain after this receipt: every 4,096 seqs, at a stream's opening and at its seal.
    pub chain: Option<[u8; 32]>,
    /// Key id of the body's encryption; 0 = none.
    pub enc: u32,
}

/// What one step of the pipeline writes.
#[derive(Clone, Debug, Default)]
pub struct Block {
    /// Receipts, each with its fate.
    pub receipts: Vec<StoredReceipt>,
    /// The events of those receipts.
    pub events: Vec<Event>,
    /// Lines that are no receipts, as receipts among them say.
    pub line_counts: Vec<LineCount>,
}

/// Lines of one kind in one delivery that are no receipts.
#[derive(Clone, Debug, PartialEq, Eq, Row, Serialize)]
pub struct LineCount {
    /// Tenant.
    pub tenant: String,
    /// Source.
    pub source_id: String,
    /// Kind, a name of `events::lines::LineKind`.
    pub kind: String,
    /// Equal for repeats of one delivery (`events::lines::LineCounts::delivery`).
    pub delivery: String,
    /// How many.
    pub lines: u64,
    /// When the delivery was taken in, UTC milliseconds.
    pub received_at: i64,
}

/// How far an input is complete. The greatest watermark wins, whatever the order of writing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watermark {
    /// Tenant.
    pub tenant: String,
    /// Source.
    pub source_id: String,
    /// Way in.
    pub input: Input,
    /// UTC milliseconds.
    pub watermark: i64,
    /// When it was found, UTC milliseconds.
    pub recorded_at: i64,
}

/// What is known of one minute of a source. The row recorded last wins.
#[derive(Clone, Debug, PartialEq, Eq, Row, Serialize)]
pub struct CoverageMinute {
    /// Tenant.
    pub tenant: String,
    /// Source.
    pub source_id: String,
    /// Start of the minute, UTC seconds.
    pub minute: u32,
    /// When this was found, UTC milliseconds.
    pub recorded_at: i64,
    /// 1 if a heartbeat of this minute came through.
    pub heartbeat: u8,
    /// Its lag, milliseconds.
    pub lag_ms: Option<i64>,
    /// Events that the source counts, where it can be asked.
    pub at_source: Option<u64>,
    /// Events that are stored.
    pub stored: u64,
}

/// A time for which a source is not known to be complete. The row recorded last wins.
#[derive(Clone, Debug, PartialEq, Eq, Row, Serialize)]
pub struct Gap {
    /// Tenant.
    pub tenant: String,
    /// Source.
    pub source_id: String,
    /// Start, UTC milliseconds.
    pub since: i64,
    /// Why, in a word.
    pub cause: String,
    /// End, UTC milliseconds; none while open.
    pub until: Option<i64>,
    /// When this was found, UTC milliseconds.
    pub recorded_at: i64,
}

#[derive(Row, Serialize)]
struct WatermarkRow<'a> {
    tenant: &'a str,
    source_id: &'a str,
    input: &'a str,
    watermark: i64,
    recorded_at: i64,
}

impl Store {
    /// Writes a block. After `Ok` all of it is on disk. After an error any part may be; writing the block again, alone
    /// or as part of others, completes it.
    ///
    /// Receipts go last: a receipt that a reader sees has its events and its body. A crash before that leaves events
    /// whose receipt comes with the replay.
    pub async fn insert(&self, block: &Block) -> Result<(), StoreError> {
        let mut events = BTreeMap::<i64, Vec<EventRow<'_>>>::new();
        for event in &block.events {
            let row = EventRow::new(event)
                .map_err(|BadPersonKey| StoreError::Rejected("a person key is 32 hex digits".into()))?;
            events.entry(month(event.time)).or_default().push(row);
        }
        let mut receipts = BTreeMap::<i64, Vec<&StoredReceipt>>::new();
        for stored in &block.receipts {
            let month = month(stored.receipt.header.received_at);
            receipts.entry(month).or_default().push(stored);
        }
        for rows in events.values() {
            self.write::<EventRow<'static>>("event_rows", rows).await?;
        }
        for stored in receipts.values() {
            let rows: Vec<_> = stored.iter().map(|stored| BodyRow::new(stored)).collect();
            self.write::<BodyRow<'static>>("raw_bodies", &rows).await?;
        }
        self.write::<LineCount>("line_count_rows", &block.line_counts).await?;
        // All that the receipts vouch for is acknowledged and on disk from here on.
        for stored in receipts.values() {
            let rows: Vec<_> = stored.iter().map(|stored| ReceiptRow::new(stored)).collect();
            self.write::<ReceiptRow<'static>>("receipt_rows", &rows).await?;
        }
        Ok(())
    }

    /// Moves watermarks forward; one that would move back changes nothing.
    pub async fn put_watermarks(&self, watermarks: &[Watermark]) -> Result<(), StoreError> {
        let rows: Vec<_> = watermarks
            .iter()
            .map(|one| WatermarkRow {
                tenant: &one.tenant,
                source_id: &one.source_id,
                input: one.input.as_str(),
                watermark: one.watermark,
                recorded_at: one.recorded_at,
            })
            .collect();
        self.write::<WatermarkRow<'static>>("watermark_rows", &rows).await
    }

    /// Writes what is known of minutes.
    pub async fn put_coverage(&self, minutes: &[CoverageMinute]) -> Result<(), StoreError> {
        self.write::<CoverageMinute>("coverage_rows", minutes).await
    }

    /// Opens, closes or corrects gaps.
    pub async fn put_gaps(&self, gaps: &[Gap]) -> Result<(), StoreError> {
        self.write::<Gap>("gap_rows", gaps).await
    }
}

impl Store {
    /// One insert per chunk; each chunk is whole or not at all.
    async fn write<R: RowWrite>(&self, table: &str, rows: &[R::Value<'_>]) -> Result<(), StoreError> {
        let client = settings::pin(self.on_database(), settings::INSERT);
        for chunk in rows.chunks(ROWS_PER_INSERT) {
            // The first call asks the server for the columns, which has no bound of its own.
            let insert = within(INSERT_WAIT, client.insert::<R>(table)).await?;
            let mut insert = insert.with_timeouts(Some(SEND_WAIT), Some(INSERT_WAIT));
            for row in chunk {
                insert.write(row).await?;
            }
            insert.end().await?;
        }
        Ok(())
    }
}
