//! Does the store still hold what its receipts promise? Asked of one cell of a stream (65,536 numbers) at a time, so that everything can be
//! gone through slowly beside everything else: receipts against the counts that were kept of them, bodies and events against receipts.
//! Reads keys and no content, and decides nothing.

use crate::{
    Store, StoreError,
    query::{self, rows},
};
use clickhouse::Row;
use events::ids::StreamId;
use serde::Deserialize;

/// Numbers of one cell of a stream.
pub const STREAM_CELL: u64 = 65_536;

/// What is there no more.
#[derive(Clone, Debug, PartialEq, Eq, Row, Deserialize)]
pub struct Gone {
    /// Source; empty where it is not known.
    pub source_id: String,
    /// How many: events, bodies or receipts.
    pub count: u64,
    /// From when on: of events their own time, else that of receipt, UTC milliseconds.
    pub since: i64,
    /// Until when.
    pub until: i64,
    /// First number that tells of it.
    pub first: u64,
    /// Last number.
    pub last: u64,
}

const RANGE: &str = "tenant = {tenant:String} AND stream = unhex({stream:String}) AND seq >= {first:UInt64} AND seq < {first:UInt64} + 65536";

impl Store {
    /// Cells of streams of which a count is kept, in order: stream and number of the cell.
    pub async fn kept_stream_cells(&self, tenant: &str) -> Result<Vec<(StreamId, u64)>, StoreError> {
        let sql = "SELECT lower(hex(stream)), toUInt64(cell) FROM stream_rollup_rows WHERE tenant = {tenant:String} \
            GROUP BY stream, cell ORDER BY stream, cell";
        let read = rows::<(String, u64)>(self.ask(sql).param("tenant", tenant)).await?;
        read.into_iter()
            .map(|(stream, cell)| Ok((stream.parse().map_err(|_| query::unknown("stream"))?, cell)))
            .collect()
    }

    /// Events that receipts of a cell tell of and of which no input's row is there, by source. One whose row says that it is taken back is there.
    pub async fn gone_events(&self, tenant: &str, cell: (StreamId, u64)) -> Result<Vec<Gone>, StoreError> {
        let told = format!("FROM receipt_rows FINAL WHERE {RANGE} AND fate = 'event'");
        let sql = format!(
            "WITH (SELECT tuple(min(minute), max(minute)) {told}) AS minutes \
             SELECT ?fields FROM (\
               SELECT toString(source_id) AS source_id, uniqExact(event_id, way) AS count, toInt64(min(minute)) * 60000 AS since, \
                 (toInt64(max(minute)) + 1) * 60000 AS until, min(seq) AS first, max(seq) AS last \
               FROM (SELECT source_id, event_id, toString(input) AS way, minute, seq {told}) \
               WHERE (source_id, event_id, way) NOT IN (\
                 SELECT source_id, event_id, toString(input) FROM event_rows WHERE tenant = {{tenant:String}} \
                   AND (minutes.1 = 0 OR time >= fromUnixTimestamp64Milli((toInt64(minutes.1) - 1) * 60000, 'UTC')) \
                   AND time < fromUnixTimestamp64Milli((toInt64(minutes.2) + 2) * 60000, 'UTC')) \
               GROUP BY source_id) ORDER BY source_id"
        );
        self.gone(&sql, tenant, cell).await
    }

    /// Receipts of a cell whose body is not there, by source.
    pub async fn gone_bodies(&self, tenant: &str, cell: (StreamId, u64)) -> Result<Vec<Gone>, StoreError> {
        let sql = format!(
            "SELECT ?fields FROM (\
               SELECT source, count() AS count, toUnixTimestamp64Milli(min(received_at)) AS since, \
                 toUnixTimestamp64Milli(max(received_at)) + 1 AS until, min(seq) AS first, max(seq) AS last, source AS source_id \
               FROM (SELECT toString(source_id) AS source, received_at, seq, reinterpretAsUInt64(reverse(substring(commitment, 1, 8))) AS head \
                 FROM receipt_rows FINAL WHERE {RANGE}) \
               WHERE (seq, head) NOT IN (SELECT seq, commitment_head FROM raw_bodies WHERE {RANGE}) \
               GROUP BY source) ORDER BY source_id"
        );
        self.gone(&sql, tenant, cell).await
    }

    /// Receipts of a cell at rest that were there when they were counted last. What never came is not among them.
    pub async fn gone_receipts(&self, tenant: &str, cell: (StreamId, u64)) -> Result<Vec<Gone>, StoreError> {
        let here = format!("FROM receipt_rows WHERE {RANGE}");
        let sql = format!(
            "WITH (SELECT tuple(sum(seqs), max(last_seq), toUnixTimestamp64Milli(min(first_received_at)), toUnixTimestamp64Milli(max(last_received_at))) \
                FROM stream_rollup_rows FINAL WHERE tenant = {{tenant:String}} AND stream = unhex({{stream:String}}) \
                AND cell = intDiv({{first:UInt64}}, 65536) \
                AND (tenant, stream, cell) NOT IN (SELECT tenant, stream, cell FROM open_cells)) AS kept, \
              (SELECT uniqExact(seq) {here}) AS there \
             SELECT ?fields FROM (\
               SELECT '' AS source_id, toUInt64(ifNull(if(kept.1 > there, kept.1 - there, 0), 0)) AS count, toInt64(ifNull(kept.3, 0)) AS since, \
                 toInt64(ifNull(kept.4, 0) + 1) AS until, toUInt64(ifNull(min(n), 0)) AS first, toUInt64(ifNull(max(n), 0)) AS last \
               FROM (SELECT arrayJoin(range({{first:UInt64}}, toUInt64(ifNull(kept.2, 0) + 1))) AS n) WHERE n NOT IN (SELECT seq {here})\
             ) WHERE count > 0"
        );
        let mut gone = self.gone(&sql, tenant, cell).await?;
        for one in &mut gone {
            let (before, behind) = self.around(tenant, cell.0, (one.first, one.last)).await?;
            (one.since, one.until) = (before.unwrap_or(one.since), behind.unwrap_or(one.until));
        }
        Ok(gone)
    }

    async fn gone(&self, sql: &str, tenant: &str, (stream, cell): (StreamId, u64)) -> Result<Vec<Gone>, StoreError> {
        let asked = self.ask(sql).param("tenant", tenant).param("stream", stream.to_string());
        rows(asked.param("first", cell * STREAM_CELL)).await
    }
}
