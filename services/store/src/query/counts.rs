//! Counts: fates, sources, streams; what the reconciler and the status page compare.

use super::{rows, unknown};
use crate::{Store, StoreError};
use clickhouse::Row;
use events::ids::StreamId;
use serde::Deserialize;

/// Most missing ranges that one stream's status names.
pub const MISSING_MAX: usize = 1_000;

/// What became of the receipts of one input: received = stored + duplicate + ignored + dead.
#[derive(Clone, Debug, PartialEq, Eq, Row, Deserialize)]
pub struct FateCounts {
    /// Source.
    pub source_id: String,
    /// Way in, by its name.
    pub input: String,
    /// All receipts.
    pub received: u64,
    /// The first receipt of an event.
    pub stored: u64,
    /// Another receipt of an event, through this or another input.
    pub duplicate: u64,
    /// Understood, and no event.
    pub ignored: u64,
    /// Not understood.
    pub dead: u64,
    /// Not a fate: stored ones that nothing could tell from a repeat.
    pub possible_duplicate: u64,
    /// Of ignored and dead, by reason.
    pub reasons: Vec<(String, u64)>,
    /// Newest receipt, UTC milliseconds.
    pub last_received_at: i64,
}

/// How complete a stream is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamStatus {
    /// Stream.
    pub stream: StreamId,
    /// Greatest seq stored.
    pub last_seq: u64,
    /// Distinct seqs stored; `last_seq + 1` when nothing is missing.
    pub seqs: u64,
    /// Rows beyond one per seq: the same position with another commitment.
    pub contested: u64,
    /// Newest receipt, UTC milliseconds.
    pub last_received_at: i64,
    /// Inclusive ranges of missing seqs below `last_seq`, the first thousand.
    pub missing: Vec<(u64, u64)>,
}

/// A range of a stream as the log knows it against what the store holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RangeCount {
    /// Distinct seqs stored within the range.
    pub seqs: u64,
    /// Rows beyond one per seq.
    pub contested: u64,
}

#[derive(Row, Deserialize)]
struct StreamRead {
    stream: String,
    last_seq: u64,
    seqs: u64,
    contested: u64,
    last_received_at: i64,
}

impl Store {
    /// Fates per source and input.
    pub async fn fates(&self, tenant: &str) -> Result<Vec<FateCounts>, StoreError> {
        let sql = "SELECT ?fields FROM fates WHERE tenant = {tenant:String} ORDER BY source_id, input";
        rows(self.ask(sql).param("tenant", tenant)).await
    }

    /// Completeness of every stream, newest first.
    pub async fn streams(&self, tenant: &str) -> Result<Vec<StreamStatus>, StoreError> {
        let sql = "SELECT ?fields FROM streams WHERE tenant = {tenant:String} ORDER BY last_received_at DESC, stream";
        let mut streams = Vec::new();
        for row in rows::<StreamRead>(self.ask(sql).param("tenant", tenant)).await? {
            let stream: StreamId = row.stream.parse().map_err(|_| unknown("stream"))?;
            let complete = row.last_seq.checked_add(1) == Some(row.seqs);
            let missing = if complete { Vec::new() } else { self.missing(tenant, stream).await? };
            streams.push(StreamStatus {
                stream,
                last_seq: row.last_seq,
                seqs: row.seqs,
                contested: row.contested,
                last_received_at: row.last_received_at,
                missing,
            });
        }
        Ok(streams)
    }

    /// What the store holds of `first..=last` of a stream, against what the log has there.
    pub async fn count_range(
        &self,
        tenant: &str,
        stream: StreamId,
        range: (u64, u64),
    ) -> Result<RangeCount, StoreError> {
        let sql = "SELECT uniqExact(seq), toUInt64(count() - uniqExact(seq)) FROM receipts WHERE tenant = {tenant:String} \
            AND stream = unhex({stream:String}) AND seq BETWEEN {first:UInt64} AND {last:UInt64}";
        let asked = self
            .ask(sql)
            .param("tenant", tenant)
            .param("stream", stream.to_string())
            .param("first", range.0)
            .param("last", range.1);
        let counted = rows::<(u64, u64)>(asked).await?.pop().unwrap_or_default();
        Ok(RangeCount { seqs: counted.0, contested: counted.1 })
    }

    /// Missing ranges: between cells by their ends, within a cell from its receipts.
    async fn missing(&self, tenant: &str, stream: StreamId) -> Result<Vec<(u64, u64)>, StoreError> {
        let sql = "SELECT first_seq, last_seq, seqs FROM stream_cells WHERE tenant = {tenant:String} \
            AND stream = unhex({stream:String}) ORDER BY first_seq";
        let asked = self.ask(sql).param("tenant", tenant).param("stream", stream.to_string());
        let (mut missing, mut next) = (Vec::new(), 0);
        for (first, last, seqs) in rows::<(u64, u64, u64)>(asked).await? {
            if missing.len() >= MISSING_MAX {
                break;
            }
            if first > next {
                missing.push((next, first - 1));
            }
            if last - first >= seqs {
                missing.extend(self.missing_within(tenant, stream, (first, last)).await?);
            }
            next = last.saturating_add(1);
        }
        missing.truncate(MISSING_MAX);
        Ok(missing)
    }

    async fn missing_within(
        &self,
        tenant: &str,
        stream: StreamId,
        range: (u64, u64),
    ) -> Result<Vec<(u64, u64)>, StoreError> {
        let sql = "SELECT toUInt64(before + 1), toUInt64(seq - 1) FROM (\
              SELECT seq, toInt128(seq) AS at, lagInFrame(at, 1, at - 1) OVER (ORDER BY seq ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS before \
              FROM (SELECT DISTINCT seq FROM receipt_rows WHERE tenant = {tenant:String} AND stream = unhex({stream:String}) \
                AND seq BETWEEN {first:UInt64} AND {last:UInt64})\
            ) WHERE at > before + 1 ORDER BY seq LIMIT {limit:UInt32}";
        let asked = self
            .ask(sql)
            .param("tenant", tenant)
            .param("stream", stream.to_string())
            .param("first", range.0)
            .param("last", range.1)
            .param("limit", MISSING_MAX);
        rows(asked).await
    }
}
