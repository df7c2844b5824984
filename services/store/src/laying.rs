//! A block on its way to ClickHouse: what comes goes into the columns of its tables at once and is not kept. So a block that waits to be
//! sent is less than half as large as its events and receipts, lies in few pieces of memory, and can be sent again as it is.

use crate::{
    Store, StoreError,
    event_hours::Hours,
    insert::{Block, EventLine, ROWS_PER_INSERT},
    marks::Entering,
    native::{Building, Columns, Encoded, Line},
    person_events,
    rows::{BodyRow, ReceiptRow, month},
};
use std::{collections::BTreeMap, sync::Arc};

/// The tables that a block goes into, as the server describes them.
#[derive(Clone)]
pub struct Layout {
    person_events: Arc<Columns>,
    events: Arc<Columns>,
    bodies: Arc<Columns>,
    receipts: Arc<Columns>,
}

/// Rows of one table by partition: an insert goes into one, so that it is one part.
struct Rows {
    table: &'static str,
    columns: Arc<Columns>,
    /// How many are expected.
    room: usize,
    open: BTreeMap<i64, Building>,
    done: Vec<Insert>,
}

/// One insert: whole or not at all.
pub(crate) struct Insert {
    pub(crate) table: &'static str,
    pub(crate) rows: Encoded,
}

impl Rows {
    fn new(table: &'static str, columns: &Arc<Columns>, room: usize) -> Self {
        Self {
            table,
            columns: columns.clone(),
            room: room.min(ROWS_PER_INSERT),
            open: BTreeMap::new(),
            done: Vec::new(),
        }
    }

    /// Adds a row of a time, UTC milliseconds.
    fn add(&mut self, time: i64, row: &impl Line) -> Result<(), StoreError> {
        let month = month(time);
        // Nearly all are of one month.
        let room = if self.open.is_empty() { self.room } else { 0 };
        let open = self.open.entry(month).or_insert_with(|| Building::new(self.columns.clone(), room));
        open.add(row)?;
        if open.rows() == ROWS_PER_INSERT
            && let Some(full) = self.open.remove(&month)
        {
            self.done.push(Insert { table: self.table, rows: full.finish()? });
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<Insert>, StoreError> {
        for (_, open) in self.open {
            self.done.push(Insert { table: self.table, rows: open.finish()? });
        }
        Ok(self.done)
    }
}

/// Events as they come.
pub(crate) struct LayingEvents {
    hints: Rows,
    rows: Rows,
    hours: Hours,
}

impl LayingEvents {
    pub(crate) fn new(layout: &Layout, room: usize) -> Self {
        let (hints, rows) = (("person_event_rows", &layout.person_events), ("event_rows", &layout.events));
        let rows_of = |(table, columns)| Rows::new(table, columns, room);
        Self { hints: rows_of(hints), rows: rows_of(rows), hours: Hours::default() }
    }

    pub(crate) fn add(&mut self, one: &impl EventLine) -> Result<(), StoreError> {
        let (tenant, time) = one.place();
        if let Some(event) = one.told() {
            person_events::named(event, |hint| self.hints.add(hint.time, &hint))?;
        }
        self.hours.take(tenant, time);
        self.rows.add(time, &one.row()?)
    }

    pub(crate) fn finish(self) -> Result<LaidEvents, StoreError> {
        Ok(LaidEvents { hints: self.hints.finish()?, rows: self.rows.finish()?, hours: self.hours })
    }
}

/// Events that can be sent.
pub(crate) struct LaidEvents {
    /// Whose they are.
    pub(crate) hints: Vec<Insert>,
    pub(crate) rows: Vec<Insert>,
    /// Where they are counted.
    pub(crate) hours: Hours,
}

/// Receipts as they come.
pub(crate) struct LayingReceipts {
    rows: Rows,
    entering: Entering,
}

impl LayingReceipts {
    pub(crate) fn new(layout: &Layout, room: usize) -> Self {
        Self { rows: Rows::new("receipt_rows", &layout.receipts, room), entering: Entering::default() }
    }

    pub(crate) fn add(&mut self, row: &ReceiptRow<'_>) -> Result<(), StoreError> {
        self.entering.take(row);
        self.rows.add(row.received_at, row)
    }

    pub(crate) fn finish(self) -> Result<LaidReceipts, StoreError> {
        Ok(LaidReceipts { rows: self.rows.finish()?, entering: self.entering })
    }
}

/// Receipts that can be sent.
pub(crate) struct LaidReceipts {
    pub(crate) rows: Vec<Insert>,
    pub(crate) entering: Entering,
}

/// A block while it comes.
pub struct Laying {
    events: LayingEvents,
    bodies: Rows,
    receipts: LayingReceipts,
}

impl Laying {
    /// Of a block of about so many receipts.
    pub fn new(layout: &Layout, room: usize) -> Self {
        Self {
            events: LayingEvents::new(layout, room),
            bodies: Rows::new("raw_bodies", &layout.bodies, room),
            receipts: LayingReceipts::new(layout, room),
        }
    }

    /// Adds receipts and what they became. Refused: rows that no table of this server takes, whatever else is added; what was laid out
    /// then lacks them, and is of no use.
    pub fn add(&mut self, block: &Block) -> Result<(), StoreError> {
        block.events.iter().try_for_each(|event| self.events.add(event))?;
        for stored in &block.receipts {
            self.bodies.add(stored.receipt.header.received_at, &BodyRow::new(stored))?;
            self.receipts.add(&ReceiptRow::new(stored))?;
        }
        Ok(())
    }

    /// Nothing more comes.
    pub fn finish(self) -> Result<Laid, StoreError> {
        let (events, receipts) = (self.events.finish()?, self.receipts.finish()?);
        Ok(Laid { events, bodies: self.bodies.finish()?, receipts })
    }
}

/// A block that can be sent, as often as it takes.
pub struct Laid {
    pub(crate) events: LaidEvents,
    pub(crate) bodies: Vec<Insert>,
    pub(crate) receipts: LaidReceipts,
}

impl Store {
    /// What blocks are laid out for; asked of the server once.
    pub async fn layout(&self) -> Result<Layout, StoreError> {
        Ok(Layout {
            person_events: self.columns("person_event_rows").await?,
            events: self.columns("event_rows").await?,
            bodies: self.columns("raw_bodies").await?,
            receipts: self.columns("receipt_rows").await?,
        })
    }
}
