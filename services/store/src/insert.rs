//! Writing: a block of receipts and what they became, in an order that a crash cannot turn into a lie.

use crate::{
    Store, StoreError,
    cell::Counted,
    error::within,
    rows::{BadPersonKey, BodyRow, EventRow, ReceiptRow, month},
    settings::{self, INSERT_WAIT, SEND_WAIT},
};
use clickhouse::RowWrite;
use events::{
    event::Event,
    normalise::{Dead, Ignored},
    receipt::{Receipt, ReceiptHeader},
};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Rows of one insert. Below ClickHouse's block size, so that each insert is one part of one partition: all or nothing.
const ROWS_PER_INSERT: usize = 50_000;

/// The one fate of a receipt as normalising decides it; stored or duplicate is decided by the view over all receipts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fate {
    /// It says something: the event of ordinal 0. Made by [`Fate::event`].
    Event {
        /// Id of that event.
        event_id: Uuid,
        /// Where it is counted.
        counted: Counted,
    },
    /// Understood, and no event.
    Ignored(Ignored),
    /// Not understood.
    Dead(Dead),
}

impl Fate {
    /// The fate of a receipt whose event of ordinal 0 is `first`.
    pub fn event(header: &ReceiptHeader, first: &Event) -> Self {
        Self::Event { event_id: first.event_id, counted: Counted::of(header, first) }
    }
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
    /// Version of the normaliser that decided the fate.
    pub normaliser: u32,
}

/// What one step of the pipeline writes.
#[derive(Clone, Debug, Default)]
pub struct Block {
    /// Receipts, each with its fate.
    pub receipts: Vec<StoredReceipt>,
    /// The events of those receipts.
    pub events: Vec<Event>,
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
        // All that the receipts vouch for is acknowledged and on disk from here on.
        self.write_receipts(block.receipts.iter().map(ReceiptRow::new)).await
    }
}

impl Store {
    /// The only way to write a receipt: marks what it changes, so that no count is ever old.
    pub(crate) async fn write_receipts(
        &self,
        rows: impl IntoIterator<Item = ReceiptRow<'_>>,
    ) -> Result<(), StoreError> {
        let mut months = BTreeMap::<i64, Vec<ReceiptRow<'_>>>::new();
        for row in rows {
            months.entry(month(row.received_at)).or_default().push(row);
        }
        let _writing = self.marks.gate.read().await;
        let touch = self.mark(months.values().flatten()).await?;
        for rows in months.values() {
            self.write::<ReceiptRow<'static>>("receipt_rows", rows).await?;
        }
        touch.acknowledged();
        Ok(())
    }

    /// One insert per chunk; each chunk is whole or not at all.
    pub(crate) async fn write<R: RowWrite>(&self, table: &str, rows: &[R::Value<'_>]) -> Result<(), StoreError> {
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
