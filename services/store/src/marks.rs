//! Marks: before receipts change a cell, a durable mark says that its rolled up row may be old; it is settled only after
//! the cell was rolled up again with nothing under way. A crash at any moment therefore leaves a mark too many, never one
//! too few, and a cell with a mark is counted from its receipts.
//!
//! Marks are kept open while a cell is in use, so that a steady flow costs a mark per source and minute and not per block.

use crate::{
    Store, StoreError,
    cell::{Cell, DELIVERIES, stream_cell},
    native::columns,
    query,
    rows::ReceiptRow,
};
use clickhouse::Row;
use serde::Deserialize;
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use uuid::Uuid;

/// An open mark in use is written again after this time, so that it is never taken for a dead writer's.
const RENEW: Duration = Duration::from_secs(5 * 60);
/// A mark of another writer that is older than this is a dead one's: no statement of a writer runs nearly as long.
pub(crate) const EXPIRED_SECONDS: i64 = 30 * 60;
/// After a failed insert its rows may still land; no statement runs as long.
const UNSURE: Duration = Duration::from_secs(5 * 60);
/// Most seqs that one question names: ClickHouse takes 128 KiB of text.
const SEQS_PER_QUESTION: usize = 5_000;

/// Not in use any more.
pub(crate) const SETTLED: u8 = 0;
const OPEN: u8 = 1;
/// No insert of its writer is under way.
pub(crate) const CLOSED: u8 = 2;

/// A row of `mark_rows`.
#[derive(Clone, Debug, Row, Deserialize)]
pub(crate) struct MarkRow {
    pub(crate) tenant: String,
    pub(crate) stream: [u8; 16],
    pub(crate) source_id: String,
    pub(crate) cell: u32,
    pub(crate) writer: u64,
    pub(crate) version: u64,
    pub(crate) state: u8,
    /// UTC seconds.
    pub(crate) marked_at: u32,
}

columns!(MarkRow: tenant, stream, source_id, cell, writer, version, state, marked_at);

impl MarkRow {
    pub(crate) fn key(&self) -> Cell {
        Cell { tenant: self.tenant.clone(), stream: self.stream, source_id: self.source_id.clone(), cell: self.cell }
    }
}

/// One cell in use by this writer.
#[derive(Clone, Copy)]
struct Use {
    inserts: u32,
    marked: Option<Instant>,
    touched: Instant,
    /// A failed insert may still land until then.
    unsure: Option<Instant>,
    /// Handed to the roller: the next use marks anew.
    released: bool,
}

#[derive(Default)]
struct InUse {
    cells: HashMap<Cell, Use>,
    /// By tenant and stream: the greatest seq that was in the store or was written since.
    reached: HashMap<(String, [u8; 16]), Option<u64>>,
    version: u64,
}

/// The marks of one program: shared by all handles of its store.
pub(crate) struct Marks {
    pub(crate) writer: u64,
    /// Held for reading while receipts are written, for writing while all counts are taken at one instant.
    pub(crate) gate: tokio::sync::RwLock<()>,
    in_use: Mutex<InUse>,
}

impl Marks {
    pub(crate) fn new() -> Self {
        Self { writer: Uuid::new_v4().as_u64_pair().0, gate: tokio::sync::RwLock::default(), in_use: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, InUse> {
        self.in_use.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A version above each one before, for a row of this writer. Two apart, so that the row that settles fits between.
    fn version(&self) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        let mut in_use = self.lock();
        in_use.version = u64::try_from(now).unwrap_or(u64::MAX).max(in_use.version + 2);
        in_use.version
    }

    /// Takes cells into use; returns those that must be marked first.
    fn begin(&self, cells: &HashSet<Cell>, now: Instant) -> Vec<Cell> {
        let mut in_use = self.lock();
        let mut unmarked = Vec::new();
        for cell in cells {
            let fresh = Use { inserts: 0, marked: None, touched: now, unsure: None, released: false };
            let one = in_use.cells.entry(cell.clone()).or_insert(fresh);
            one.inserts += 1;
            let marked = !one.released && one.marked.is_some_and(|at| now.duration_since(at) < RENEW);
            if !marked {
                (one.marked, one.released) = (None, false);
                unmarked.push(cell.clone());
            }
        }
        unmarked
    }

    fn marked(&self, cells: &[Cell], at: Instant) {
        let mut in_use = self.lock();
        for cell in cells {
            if let Some(one) = in_use.cells.get_mut(cell) {
                one.marked = Some(at);
            }
        }
    }

    fn end(&self, cells: &HashSet<Cell>, acknowledged: bool) {
        let now = Instant::now();
        let mut in_use = self.lock();
        for cell in cells {
            if let Some(one) = in_use.cells.get_mut(cell) {
                one.inserts = one.inserts.saturating_sub(1);
                one.touched = now;
                if !acknowledged {
                    one.unsure = Some(now + UNSURE);
                }
            }
        }
    }

    /// Gives up what was not used for a while; returns all that was given up and is not settled yet.
    pub(crate) fn release(&self, quiet: Duration) -> Vec<Cell> {
        let now = Instant::now();
        let mut in_use = self.lock();
        let mut released = Vec::new();
        for (cell, one) in &mut in_use.cells {
            let unsure = one.unsure.is_some_and(|until| now < until);
            one.released |= one.inserts == 0 && now.duration_since(one.touched) >= quiet && !unsure;
            if one.released {
                released.push(cell.clone());
            }
        }
        released
    }

    /// True if a mark of this writer that was read before this call announces no insert that is still to come: a use
    /// begins here before its mark is written.
    pub(crate) fn is_idle(&self, cell: &Cell) -> bool {
        self.lock().cells.get(cell).is_none_or(|one| one.released)
    }

    /// Forgets settled cells, unless they are in use again.
    pub(crate) fn settled(&self, cells: impl IntoIterator<Item = Cell>) {
        let mut in_use = self.lock();
        for cell in cells {
            if in_use.cells.get(&cell).is_some_and(|one| one.released) {
                in_use.cells.remove(&cell);
            }
        }
    }
}

/// Cells in use by one insert. Dropped without an acknowledgement, its rows may or may not land.
pub(crate) struct Touch {
    marks: Arc<Marks>,
    cells: HashSet<Cell>,
    acknowledged: bool,
}

impl Touch {
    /// Every row of the insert is on disk.
    pub(crate) fn acknowledged(mut self) {
        self.acknowledged = true;
    }
}

impl Drop for Touch {
    fn drop(&mut self) {
        self.marks.end(&self.cells, self.acknowledged);
    }
}

impl Store {
    /// Marks every cell that these receipts come into, and every cell that they leave because an earlier verdict on them
    /// lies there.
    pub(crate) async fn mark(&self, entering: &Entering) -> Result<Touch, StoreError> {
        let mut cells = entering.cells.clone();
        self.left(&entering.streams, &mut cells).await?;
        self.mark_cells(cells).await
    }

    /// Takes cells into use and marks those that are not.
    pub(crate) async fn mark_cells(&self, cells: HashSet<Cell>) -> Result<Touch, StoreError> {
        let now = Instant::now();
        let unmarked = self.marks.begin(&cells, now);
        let touch = Touch { marks: self.marks.clone(), cells, acknowledged: false };
        if !unmarked.is_empty() {
            self.put_marks(&unmarked, OPEN).await?;
            // From here on the cells are counted from their receipts, also after a crash.
            self.marks.marked(&unmarked, now);
        }
        Ok(touch)
    }

    /// For a program that writes and ends, such as a replay: tells the roller of another program that nothing is under
    /// way any more. Without it that roller waits half an hour.
    pub async fn close_marks(&self) -> Result<(), StoreError> {
        self.close_quiet_marks(Duration::ZERO).await
    }

    /// The same for cells that were not in use for a while, of a program that goes on and does not roll up itself.
    pub async fn close_quiet_marks(&self, quiet: Duration) -> Result<(), StoreError> {
        let released = self.marks.release(quiet);
        if released.is_empty() {
            return Ok(());
        }
        self.put_marks(&released, CLOSED).await?;
        self.marks.settled(released);
        Ok(())
    }

    /// For the one program of an engine that has just been started: whoever wrote before is dead and its statements with
    /// it, so its marks need no waiting.
    pub async fn close_marks_of_the_dead(&self) -> Result<(), StoreError> {
        let sql = "INSERT INTO mark_rows SELECT tenant, stream, source_id, cell, writer, version + 1, {closed:UInt8}, now() \
            FROM mark_rows FINAL WHERE state = {open:UInt8} AND writer != {writer:UInt64}";
        let statement = self.run(sql).param("closed", CLOSED).param("open", OPEN).param("writer", self.marks.writer);
        query::done(statement).await
    }

    async fn put_marks(&self, cells: &[Cell], state: u8) -> Result<(), StoreError> {
        let version = self.marks.version();
        let row = |cell: &Cell| MarkRow {
            tenant: cell.tenant.clone(),
            stream: cell.stream,
            source_id: cell.source_id.clone(),
            cell: cell.cell,
            writer: self.marks.writer,
            version,
            state,
            marked_at: now_seconds(),
        };
        let rows: Vec<MarkRow> = cells.iter().map(row).collect();
        self.write("mark_rows", rows.iter().map(Ok)).await
    }

    /// Finds where earlier verdicts on the same positions lie. Positions that are new, as nearly all are, cost nothing:
    /// a stream is asked for once, and what lies above is known to be new as long as nobody else writes this stream.
    async fn left(&self, streams: &[Seqs], cells: &mut HashSet<Cell>) -> Result<(), StoreError> {
        for Seqs { tenant, stream, seqs } in streams {
            let reached = self.reached(tenant, *stream).await?;
            let most = seqs.iter().copied().max();
            self.marks.lock().reached.insert((tenant.clone(), *stream), reached.max(most));
            let known = seqs.iter().copied().filter(|seq| reached.is_some_and(|reached| *seq <= reached));
            for some in known.collect::<Vec<_>>().chunks(SEQS_PER_QUESTION) {
                cells.extend(self.cells_of(tenant, *stream, some).await?);
            }
        }
        Ok(())
    }

    async fn reached(&self, tenant: &str, stream: [u8; 16]) -> Result<Option<u64>, StoreError> {
        if let Some(reached) = self.marks.lock().reached.get(&(tenant.to_owned(), stream)) {
            return Ok(*reached);
        }
        let sql = "SELECT seq FROM receipt_rows WHERE tenant = {tenant:String} AND stream = unhex({stream:String}) \
            ORDER BY tenant DESC, stream DESC, seq DESC LIMIT 1";
        let asked = self.ask(sql).param("tenant", tenant).param("stream", hex::encode(stream));
        Ok(query::rows::<u64>(asked).await?.pop())
    }

    async fn cells_of(&self, tenant: &str, stream: [u8; 16], seqs: &[u64]) -> Result<Vec<Cell>, StoreError> {
        let sql = format!(
            "SELECT DISTINCT source_id, if(delivery_cell = 0, minute, delivery_cell) FROM receipt_rows \
             WHERE tenant = {{tenant:String}} AND stream = unhex({{stream:String}}) AND seq IN ({})",
            query::numbers(seqs)
        );
        let asked = self.ask(&sql).param("tenant", tenant).param("stream", hex::encode(stream));
        let found = query::rows::<(String, u32)>(asked).await?;
        Ok(found.into_iter().map(|(source_id, cell)| Cell::of_source(tenant, &source_id, cell)).collect())
    }
}

/// Now, UTC seconds.
pub(crate) fn now_seconds() -> u32 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u32::try_from(now.as_secs()).unwrap_or(u32::MAX)
}

/// Receipts on their way: the cells that they come into, and where they stand.
#[derive(Default)]
pub(crate) struct Entering {
    cells: HashSet<Cell>,
    streams: Vec<Seqs>,
    /// Of the one before: cell of its source, its stream's place in `streams`, cell of its stream.
    last: Option<(Cell, usize, u32)>,
}

/// Positions of one stream.
struct Seqs {
    tenant: String,
    stream: [u8; 16],
    seqs: Vec<u64>,
}

impl Entering {
    pub(crate) fn take(&mut self, row: &ReceiptRow<'_>) {
        let cell = if row.delivery_cell >= DELIVERIES { row.delivery_cell } else { row.minute };
        let (of_stream, place) = (self.stream(row), stream_cell(row.seq));
        self.streams[of_stream].seqs.push(row.seq);
        // Most are in the cells of the one before.
        let same = |(source, stream, last): &(Cell, usize, u32)| {
            (*stream, *last, source.cell) == (of_stream, place, cell) && source.source_id == row.source_id
        };
        if !self.last.as_ref().is_some_and(same) {
            let source = Cell::of_source(row.tenant, row.source_id, cell);
            self.cells.insert(source.clone());
            self.cells.insert(Cell::of_stream(row.tenant, row.stream, place));
            self.last = Some((source, of_stream, place));
        }
    }

    /// Neighbours are nearly always of one stream, and a block is of few.
    fn stream(&mut self, row: &ReceiptRow<'_>) -> usize {
        let is_of = |one: &Seqs| one.stream == row.stream && one.tenant == row.tenant;
        if let Some((_, last, _)) = &self.last
            && is_of(&self.streams[*last])
        {
            return *last;
        }
        self.streams.iter().position(is_of).unwrap_or_else(|| {
            self.streams.push(Seqs { tenant: row.tenant.to_owned(), stream: row.stream, seqs: Vec::new() });
            self.streams.len() - 1
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one() -> HashSet<Cell> {
        HashSet::from([Cell::of_source("t", "s", 7)])
    }

    #[test]
    fn a_cell_is_marked_before_its_first_use_and_after_each_release() {
        let (marks, now) = (Marks::new(), Instant::now());
        assert_eq!(marks.begin(&one(), now).len(), 1);
        assert_eq!(marks.begin(&one(), now).len(), 1, "the first mark is not acknowledged yet");
        marks.marked(&[Cell::of_source("t", "s", 7)], now);
        assert!(marks.begin(&one(), now).is_empty());
        for _ in 0..2 {
            marks.end(&one(), true);
        }
        assert!(marks.release(Duration::ZERO).is_empty(), "an insert is under way");
        marks.end(&one(), true);
        assert_eq!(marks.release(Duration::ZERO).len(), 1);
        assert_eq!(marks.begin(&one(), now).len(), 1, "used again after it was released");
        marks.settled(one());
        marks.end(&one(), true);
        assert_eq!(marks.release(Duration::ZERO).len(), 1, "settling does not forget a cell that is used again");
    }

    #[test]
    fn a_failed_insert_keeps_its_cells_and_an_old_mark_is_renewed() {
        let (marks, now) = (Marks::new(), Instant::now());
        marks.begin(&one(), now);
        marks.marked(&[Cell::of_source("t", "s", 7)], now);
        assert_eq!(marks.begin(&one(), now + RENEW).len(), 1);
        marks.end(&one(), true);
        marks.end(&one(), false);
        assert!(marks.release(Duration::ZERO).is_empty(), "its rows may still land");
        assert!(marks.version() + 1 < marks.version());
    }
}
