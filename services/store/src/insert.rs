//! Writing: a block of receipts and what they became, in an order that a crash cannot turn into a lie.

use crate::{
    Store, StoreError,
    cell::Counted,
    error::within,
    laying::{Insert, Laid, LaidEvents, LaidReceipts, Laying, LayingEvents, LayingReceipts},
    native::{self, Encoded, Line},
    query,
    rows::{BadPersonKey, EventRow, ReceiptRow},
    settings::{self, INSERT_WAIT, SEND_WAIT},
};
use clickhouse::RowWrite;
use events::{
    event::Event,
    normalise::{Dead, Ignored},
    receipt::{Receipt, ReceiptHeader},
};
use std::sync::{Arc, PoisonError};
use uuid::Uuid;

/// Rows of one insert. Below ClickHouse's block size, so that each insert is one part of one partition: all or nothing.
pub(crate) const ROWS_PER_INSERT: usize = 50_000;

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

    /// `event`, `ignored` or `dead`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Event { .. } => "event",
            Self::Ignored(_) => "ignored",
            Self::Dead(_) => "dead",
        }
    }

    /// Why it is ignored or dead; empty for an event.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Event { .. } => "",
            Self::Ignored(reason) => reason.as_str(),
            Self::Dead(reason) => reason.as_str(),
        }
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
        let mut laying = Laying::new(&self.layout().await?, block.receipts.len());
        laying.add(block)?;
        self.send(&laying.finish()?).await
    }

    /// The same of a block that is laid out already.
    pub async fn send(&self, block: &Laid) -> Result<(), StoreError> {
        self.send_events(&block.events).await?;
        self.send_all(&block.bodies).await?;
        // All that the receipts vouch for is acknowledged and on disk from here on.
        self.send_receipts(&block.receipts).await
    }
}

pub(crate) fn bad_key(BadPersonKey: BadPersonKey) -> StoreError {
    StoreError::Rejected("a person key is 32 hex digits".into())
}

/// What stands in `event_rows`.
pub(crate) trait EventLine: Sync {
    /// Tenant and time, UTC milliseconds.
    fn place(&self) -> (&str, i64);
    /// The row, if its person keys are such.
    fn row(&self) -> Result<EventRow<'_>, StoreError>;
    /// The event; none where a row deletes another, which names nobody.
    fn told(&self) -> Option<&Event>;
}

impl EventLine for Event {
    fn place(&self) -> (&str, i64) {
        (&self.tenant, self.time)
    }

    fn row(&self) -> Result<EventRow<'_>, StoreError> {
        EventRow::new(self).map_err(bad_key)
    }

    fn told(&self) -> Option<&Event> {
        Some(self)
    }
}

// Rows are made one at a time and go into their columns at once: blocks of them, each ten times as large as a cache
// line is long, would be written to memory only to be read again.
impl Store {
    pub(crate) async fn write_events(&self, items: &[impl EventLine]) -> Result<(), StoreError> {
        let mut laying = LayingEvents::new(&self.layout().await?, items.len());
        items.iter().try_for_each(|one| laying.add(one))?;
        self.send_events(&laying.finish()?).await
    }

    pub(crate) async fn write_receipts<'a>(
        &self,
        rows: impl ExactSizeIterator<Item = ReceiptRow<'a>> + Send,
    ) -> Result<(), StoreError> {
        let mut laying = LayingReceipts::new(&self.layout().await?, rows.len());
        for row in rows {
            laying.add(&row)?;
        }
        self.send_receipts(&laying.finish()?).await
    }

    /// The only way to write an event: says first whose it is, so that nobody's story ever lacks it, and marks its hour, so that no kept
    /// count is ever old.
    async fn send_events(&self, events: &LaidEvents) -> Result<(), StoreError> {
        self.send_all(&events.hints).await?;
        let touch = self.mark_cells(events.hours.cells.clone()).await?;
        self.send_all(&events.rows).await?;
        touch.acknowledged();
        Ok(())
    }

    /// The only way to write a receipt: marks what it changes, so that no count is ever old.
    async fn send_receipts(&self, receipts: &LaidReceipts) -> Result<(), StoreError> {
        let _writing = self.marks.gate.read().await;
        let touch = self.mark(&receipts.entering).await?;
        self.send_all(&receipts.rows).await?;
        touch.acknowledged();
        Ok(())
    }

    async fn send_all(&self, inserts: &[Insert]) -> Result<(), StoreError> {
        for Insert { table, rows } in inserts {
            self.send_one(table, rows).await?;
        }
        Ok(())
    }

    /// One insert: whole or not at all.
    async fn send_one(&self, table: &str, rows: &Encoded) -> Result<(), StoreError> {
        let sql = format!("INSERT INTO {table} (`{}`) FORMAT Native", rows.names.join("`, `"));
        let client = settings::pin(self.on_database(), settings::INSERT);
        let mut insert = client.insert_formatted_with(sql).with_timeouts(Some(SEND_WAIT), Some(INSERT_WAIT));
        for piece in &rows.pieces {
            insert.send(piece.clone()).await?;
        }
        insert.end().await?;
        Ok(())
    }

    /// One insert per chunk.
    pub(crate) async fn write<R: Line>(
        &self,
        table: &'static str,
        mut rows: impl ExactSizeIterator<Item = Result<R, StoreError>> + Send,
    ) -> Result<(), StoreError> {
        while rows.len() > 0 {
            let columns = self.columns(table).await?;
            let block = native::encode(columns, rows.by_ref().take(ROWS_PER_INSERT))?;
            self.send_one(table, &block).await?;
        }
        Ok(())
    }

    /// The same for rows with lists of tuples, which the encoder of [`native`] does not know: in RowBinary, by the client.
    pub(crate) async fn write_typed<R: RowWrite>(&self, table: &str, rows: &[R::Value<'_>]) -> Result<(), StoreError> {
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

    /// The columns of a table, asked for once.
    pub(crate) async fn columns(&self, table: &'static str) -> Result<Arc<native::Columns>, StoreError> {
        if let Some(columns) = self.tables.lock().unwrap_or_else(PoisonError::into_inner).get(table) {
            return Ok(columns.clone());
        }
        let sql = "SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = {table:String}";
        let columns: Arc<native::Columns> = Arc::new(query::rows(self.ask(sql).param("table", table)).await?);
        if columns.is_empty() {
            return Err(StoreError::incompatible(format!("there is no table {table}")));
        }
        self.tables.lock().unwrap_or_else(PoisonError::into_inner).insert(table, columns.clone());
        Ok(columns)
    }
}
