//! Writing: a block of receipts and what they became, in an order that a crash cannot turn into a lie.

use crate::{
    Store, StoreError,
    cell::Counted,
    error::within,
    event_hours::touched,
    native::{self, Line},
    query,
    rows::{BadPersonKey, BodyRow, EventRow, ReceiptRow, month},
    settings::{self, INSERT_WAIT, SEND_WAIT},
};
use clickhouse::RowWrite;
use events::{
    event::Event,
    normalise::{Dead, Ignored},
    receipt::{Receipt, ReceiptHeader},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError},
};
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
        self.write_events(&block.events).await?;
        for some in months(&block.receipts, |stored| stored.receipt.header.received_at).values() {
            self.write("raw_bodies", some.iter().map(|stored| Ok(BodyRow::new(stored)))).await?;
        }
        // All that the receipts vouch for is acknowledged and on disk from here on.
        self.write_receipts(&block.receipts, |stored| ReceiptRow::new(stored)).await
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

/// By partition: an insert goes into one, so that it is one part.
pub(crate) fn months<T>(items: &[T], time: impl Fn(&T) -> i64) -> BTreeMap<i64, Vec<&T>> {
    let mut months = BTreeMap::<i64, Vec<&T>>::new();
    for item in items {
        months.entry(month(time(item))).or_default().push(item);
    }
    months
}

// Rows are made one at a time and go into their columns at once: blocks of them, each ten times as large as a cache
// line is long, would be written to memory only to be read again.
impl Store {
    /// The only way to write an event: says first whose it is, so that nobody's story ever lacks it, and marks its hour, so that no kept
    /// count is ever old.
    pub(crate) async fn write_events<T: EventLine>(&self, items: &[T]) -> Result<(), StoreError> {
        self.write_person_events(items.iter().filter_map(EventLine::told)).await?;
        let touch = self.mark_cells(touched(items.iter().map(EventLine::place))).await?;
        for some in months(items, |one| one.place().1).values() {
            self.write("event_rows", some.iter().map(|one| one.row())).await?;
        }
        touch.acknowledged();
        Ok(())
    }

    /// The only way to write a receipt: marks what it changes, so that no count is ever old.
    pub(crate) async fn write_receipts<T: Sync>(
        &self,
        items: &[T],
        row: impl Fn(&T) -> ReceiptRow<'_> + Send + Sync,
    ) -> Result<(), StoreError> {
        let months = months(items, |one| row(one).received_at);
        let _writing = self.marks.gate.read().await;
        let touch = self.mark(items.iter().map(&row)).await?;
        for some in months.values() {
            self.write("receipt_rows", some.iter().map(|one| Ok(row(one)))).await?;
        }
        touch.acknowledged();
        Ok(())
    }

    /// One insert per chunk; each chunk is whole or not at all.
    pub(crate) async fn write<R: Line>(
        &self,
        table: &'static str,
        mut rows: impl ExactSizeIterator<Item = Result<R, StoreError>> + Send,
    ) -> Result<(), StoreError> {
        while rows.len() > 0 {
            let columns = self.columns(table).await?;
            let block = native::encode(&columns, rows.by_ref().take(ROWS_PER_INSERT))?;
            let sql = format!("INSERT INTO {table} (`{}`) FORMAT Native", block.names.join("`, `"));
            let client = settings::pin(self.on_database(), settings::INSERT);
            let mut insert = client.insert_formatted_with(sql).with_timeouts(Some(SEND_WAIT), Some(INSERT_WAIT));
            for piece in block.pieces {
                insert.send(piece.into()).await?;
            }
            insert.end().await?;
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
    async fn columns(&self, table: &'static str) -> Result<Arc<native::Columns>, StoreError> {
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
