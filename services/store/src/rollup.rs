//! Rolling up: counts the cells that are not in use any more and keeps the counts, a bounded number per round, off the path
//! of the intake. One roller per database.
//!
//! Order of a round: choose cells whose marks are all given up; count and keep; settle exactly the marks that were read. A
//! crash between any two steps leaves marks, and a later round does it again.

use crate::{
    Store, StoreError,
    cell::{Cell, DECISIONS, EVENTS},
    marks::{CLOSED, EXPIRED_SECONDS, MarkRow, SETTLED, now_seconds},
    query,
};
use clickhouse::Row;
use serde::Deserialize;
use std::{collections::BTreeMap, time::Duration};

/// Most marks that one round looks at.
const MARKS_MAX: u32 = 200_000;
/// Most cells that one statement counts and names twice: ClickHouse takes 128 KiB of text.
const CELLS_PER_STATEMENT: usize = 5_000;
/// Most hours in use that are counted at once: of now and the one before, of both kinds, and of what a backlog is at.
const HOURS_IN_USE: usize = 8;

/// Bounds of one round.
#[derive(Clone, Copy, Debug)]
pub struct Rolling {
    /// A cell is rolled up when it was not in use for this long.
    pub quiet: Duration,
    /// Most cells.
    pub cells: usize,
}

/// What a round did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rolled {
    /// Cells that are rolled up now.
    pub cells: usize,
    /// Cells that could be as well, in the next round.
    pub left: usize,
}

/// Cells, each with whether it is given up, and its marks.
type Marked = BTreeMap<(u32, Cell), (bool, Vec<MarkRow>)>;

#[derive(Row, Deserialize)]
struct MarkRead {
    tenant: String,
    stream: [u8; 16],
    source_id: String,
    cell: u32,
    writer: u64,
    version: u64,
    state: u8,
    age: i64,
}

impl Store {
    /// One round. May be repeated and interrupted at any point.
    pub async fn roll(&self, rolling: &Rolling) -> Result<Rolled, StoreError> {
        self.marks.release(rolling.quiet);
        let mut ripe = self.ripe().await?;
        let left = ripe.len().saturating_sub(rolling.cells);
        // The newest first: they hold the most, and are asked for at each status.
        let ripe: Vec<(Cell, Vec<MarkRow>)> = ripe.drain(left..).collect();
        self.count(&ripe.iter().map(|(cell, _)| cell).collect::<Vec<_>>()).await?;
        // The counts are on disk, and include every receipt that these marks announced. Marks made since have greater
        // versions and stay.
        let settled: Vec<MarkRow> = ripe.iter().flat_map(|(_, marks)| marks).map(settling).collect();
        self.write("mark_rows", settled.iter().map(Ok)).await?;
        let rolled = Rolled { cells: ripe.len(), left };
        self.marks.settled(ripe.into_iter().map(|(cell, _)| cell));
        Ok(rolled)
    }

    /// Counts hours of decisions and events that are in use, the latest ones, and settles nothing: who reads what is kept alone is behind
    /// by the time between two of these. How many.
    pub async fn roll_hours_in_use(&self) -> Result<usize, StoreError> {
        let marked = self.marked_cells().await?.into_iter().rev();
        let hours = marked.filter(|((_, cell), (ripe, _))| !ripe && matches!(cell.stream, DECISIONS | EVENTS));
        let mut hours: Vec<Cell> = hours.map(|((_, cell), _)| cell).take(HOURS_IN_USE).collect();
        hours.sort();
        self.count(&hours.iter().collect::<Vec<_>>()).await?;
        Ok(hours.len())
    }

    /// Counts cells, of one stream in order, and keeps the counts.
    async fn count(&self, cells: &[&Cell]) -> Result<(), StoreError> {
        let mut groups = BTreeMap::<(&str, [u8; 16], &str), Vec<u32>>::new();
        for cell in cells {
            groups.entry((&cell.tenant, cell.stream, &cell.source_id)).or_default().push(cell.cell);
        }
        for ((tenant, stream, source_id), cells) in groups {
            if stream == DECISIONS {
                self.roll_hours(tenant, &cells).await?;
                continue;
            }
            if stream == EVENTS {
                self.roll_event_hours(tenant, &cells).await?;
                continue;
            }
            for some in cells.chunks(CELLS_PER_STATEMENT) {
                if stream == [0; 16] {
                    self.roll_source(tenant, source_id, some).await?;
                } else {
                    self.roll_stream(tenant, stream, some).await?;
                }
            }
        }
        Ok(())
    }

    /// Cells with marks that nobody uses, in order of cell, with those marks.
    async fn ripe(&self) -> Result<Vec<(Cell, Vec<MarkRow>)>, StoreError> {
        let ripe = self.marked_cells().await?.into_iter().filter(|(_, (ripe, _))| *ripe);
        Ok(ripe.map(|((_, cell), (_, marks))| (cell, marks)).collect())
    }

    /// Cells with marks, in order of cell: whether nobody uses them, and those marks.
    async fn marked_cells(&self) -> Result<Marked, StoreError> {
        let sql = "SELECT tenant, stream, source_id, cell, writer, version, state, toInt64(toUnixTimestamp(now())) - toInt64(toUnixTimestamp(marked_at)) AS age \
            FROM mark_rows FINAL WHERE state != 0 \
            ORDER BY cell DESC, tenant, stream, source_id, writer LIMIT {limit:UInt32}";
        let read = query::rows::<MarkRead>(self.ask(sql).param("limit", MARKS_MAX)).await?;
        let cut = read.len() == MARKS_MAX as usize;
        let mut cells = Marked::new();
        for read in read {
            let age = read.age;
            let mark = MarkRow {
                tenant: read.tenant,
                stream: read.stream,
                source_id: read.source_id,
                cell: read.cell,
                writer: read.writer,
                version: read.version,
                state: read.state,
                marked_at: 0,
            };
            let cell = mark.key();
            let given_up = mark.state == CLOSED
                || if mark.writer == self.marks.writer { self.marks.is_idle(&cell) } else { age > EXPIRED_SECONDS };
            let entry = cells.entry((cell.cell, cell)).or_insert((true, Vec::new()));
            entry.0 &= given_up;
            entry.1.push(mark);
        }
        if cut {
            // Other marks of the last cell may not have been read.
            cells.pop_first();
        }
        Ok(cells)
    }

    /// Counts cells of a source. An input that has left a cell gets a row of zeros over its old one; the version is above
    /// each one before, whatever the clock does.
    async fn roll_source(&self, tenant: &str, source_id: &str, cells: &[u32]) -> Result<(), StoreError> {
        let cells = query::numbers(cells);
        let sql = format!(
            "INSERT INTO rollup_rows \
             SELECT tenant, source_id, cell, input, greatest(toUInt64(toUnixTimestamp64Micro(now64(6))), max(version) + 1), \
               sum(events), sum(stored), sum(ignored), sum(dead), sum(possible_duplicate), sum(alone), sum(both), \
               sumMap(reasons), max(last_received_at) \
             FROM (\
               SELECT tenant, source_id, cell, input, toUInt64(0) AS version, events, stored, ignored, dead, \
                 possible_duplicate, alone, both, reasons, last_received_at FROM cells_recounted \
               WHERE tenant = {{tenant:String}} AND source_id = {{source:String}} AND cell IN ({cells}) \
               UNION ALL \
               SELECT tenant, source_id, cell, toString(input), version, 0, 0, 0, 0, 0, 0, 0, \
                 CAST(map(), 'Map(String, UInt64)'), fromUnixTimestamp64Milli(toInt64(0), 'UTC') FROM rollup_rows \
               WHERE tenant = {{tenant:String}} AND source_id = {{source:String}} AND cell IN ({cells})\
             ) GROUP BY tenant, source_id, cell, input"
        );
        query::done(self.run(&sql).param("tenant", tenant).param("source", source_id)).await
    }

    /// Counts cells of a stream; receipts never leave them.
    async fn roll_stream(&self, tenant: &str, stream: [u8; 16], cells: &[u32]) -> Result<(), StoreError> {
        let cells = query::numbers(cells);
        let sql = format!(
            "INSERT INTO stream_rollup_rows \
             SELECT tenant, stream, toUInt32(cell), greatest(toUInt64(toUnixTimestamp64Micro(now64(6))), \
                 1 + ifNull((SELECT max(version) FROM stream_rollup_rows WHERE tenant = {{tenant:String}} AND stream = unhex({{stream:String}})), 0)), \
               first_seq, last_seq, seqs, contested, first_received_at, last_received_at \
             FROM stream_cells_recounted \
             WHERE tenant = {{tenant:String}} AND stream = unhex({{stream:String}}) AND cell IN ({cells})"
        );
        query::done(self.run(&sql).param("tenant", tenant).param("stream", hex::encode(stream))).await
    }
}

/// The row that settles exactly this one: of the same mark, and below each later row of its writer.
fn settling(mark: &MarkRow) -> MarkRow {
    MarkRow { version: mark.version + 1, state: SETTLED, marked_at: now_seconds(), ..mark.clone() }
}
