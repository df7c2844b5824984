//! Receipts by position: the header as it was journaled, the body for evidence and replay, the dead letters.

use super::{ROWS_MAX, rows, unknown};
use crate::{Store, StoreError, rows::commitment_head};
use clickhouse::{Row, query::Query};
use events::{
    ids::{Position, StreamId},
    receipt::{LinePlace, ReceiptHeader},
};
use serde::Deserialize;
use uuid::Uuid;

/// A page of a list in order of position.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Only what comes after this position.
    pub after: Option<Position>,
    /// Most rows to return.
    pub limit: u32,
}

/// A receipt without its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredHeader {
    /// Identity.
    pub position: Position,
    /// The header; its `to_bytes` are the journaled bytes.
    pub header: ReceiptHeader,
    /// HMAC-SHA-256(salt, body).
    pub commitment: [u8; 32],
    /// The chain, where it is kept.
    pub chain: Option<[u8; 32]>,
    /// Key id of the body's encryption; 0 = none.
    pub enc: u32,
    /// `event`, `ignored` or `dead`.
    pub fate: String,
    /// Why it is ignored or dead.
    pub reason: String,
    /// The event of ordinal 0; none unless the fate is `event`.
    pub event_id: Option<Uuid>,
    /// Version of the normaliser that decided the fate.
    pub normaliser: u32,
}

/// A body with what proves it.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredBody {
    /// Redacted body.
    pub body: Vec<u8>,
    /// Salt of the commitment.
    pub salt: [u8; 16],
    /// Key id of the body's encryption; 0 = none.
    pub enc: u32,
}

impl std::fmt::Debug for StoredBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredBody").field("bytes", &self.body.len()).finish_non_exhaustive()
    }
}

#[derive(Row, Deserialize)]
pub(crate) struct ReceiptRead {
    stream: [u8; 16],
    seq: u64,
    commitment: [u8; 32],
    chain: [u8; 32],
    enc: u32,
    header_version: u8,
    tenant: String,
    source_id: String,
    source_kind: String,
    input: String,
    payload: String,
    received_at: i64,
    native_id: String,
    delivery_id: String,
    delivery_keyed: u8,
    delivery_index: u32,
    line: u8,
    line_instance: String,
    line_number: u32,
    line_time_ns: Option<i64>,
    line_basis: String,
    line_mark: String,
    line_backlog: u8,
    fate: String,
    reason: String,
    #[serde(with = "clickhouse::serde::uuid")]
    event_id: Uuid,
    normaliser: u32,
}

impl TryFrom<ReceiptRead> for StoredHeader {
    type Error = StoreError;

    fn try_from(row: ReceiptRead) -> Result<Self, StoreError> {
        let line = match row.line {
            0 => None,
            _ => Some(LinePlace {
                instance: row.line_instance,
                number: row.line_number,
                time_ns: row.line_time_ns,
                basis: row.line_basis.parse().map_err(|()| unknown("time basis"))?,
                mark: row.line_mark,
                backlog: row.line_backlog != 0,
            }),
        };
        let header = ReceiptHeader {
            v: row.header_version,
            tenant: row.tenant,
            source_id: row.source_id,
            source_kind: row.source_kind.parse().map_err(|()| unknown("source kind"))?,
            input: row.input.parse().map_err(|()| unknown("input"))?,
            payload: row.payload.parse().map_err(|()| unknown("payload"))?,
            received_at: row.received_at,
            native_id: row.native_id,
            delivery_id: row.delivery_id,
            delivery_keyed: row.delivery_keyed != 0,
            delivery_index: row.delivery_index,
            line,
        };
        Ok(Self {
            position: Position { stream: StreamId(row.stream), seq: row.seq },
            header,
            commitment: row.commitment,
            chain: (row.chain != [0; 32]).then_some(row.chain),
            enc: row.enc,
            event_id: (row.fate == "event").then_some(row.event_id),
            fate: row.fate,
            reason: row.reason,
            normaliser: row.normaliser,
        })
    }
}

/// Bytes that ClickHouse keeps as a String.
pub(crate) struct Blob(pub(crate) Vec<u8>);

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl serde::de::Visitor<'_> for Bytes {
            type Value = Blob;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Blob, E> {
                Ok(Blob(bytes.to_vec()))
            }
            fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Blob, E> {
                Ok(Blob(bytes))
            }
        }
        deserializer.deserialize_byte_buf(Bytes)
    }
}

#[derive(Row, Deserialize)]
struct BodyRead {
    stream: [u8; 16],
    seq: u64,
    commitment_head: u64,
    body: Blob,
    salt: [u8; 16],
    enc: u32,
}

impl Store {
    /// All receipts at some positions, in their order: of each none, one, or, where history was written twice, several.
    pub async fn receipts_at(&self, tenant: &str, positions: &[Position]) -> Result<Vec<StoredHeader>, StoreError> {
        let sql = format!(
            "SELECT ?fields FROM receipts WHERE tenant = {{tenant:String}} AND {AT} ORDER BY stream, seq, commitment"
        );
        if positions.is_empty() {
            return Ok(Vec::new());
        }
        headers(rows(at(self.ask(&sql).param("tenant", tenant), positions)).await?)
    }

    /// The receipts of a stream from `first` on, in order of seq: leaves and chain, without bodies.
    pub async fn receipts_from(
        &self,
        tenant: &str,
        first: Position,
        limit: u32,
    ) -> Result<Vec<StoredHeader>, StoreError> {
        let sql = "SELECT ?fields FROM receipts WHERE tenant = {tenant:String} AND stream = unhex({stream:String}) \
            AND seq >= {seq:UInt64} ORDER BY seq, commitment LIMIT {limit:UInt32}";
        let asked = self
            .ask(sql)
            .param("tenant", tenant)
            .param("stream", first.stream.to_string())
            .param("seq", first.seq)
            .param("limit", limit.min(ROWS_MAX));
        headers(rows(asked).await?)
    }

    /// Receipts that could not be understood, in order of position.
    pub async fn dead_letters(&self, tenant: &str, page: &Page) -> Result<Vec<StoredHeader>, StoreError> {
        let (stream, seq, first) = match page.after {
            Some(after) => (after.stream.to_string(), after.seq, 0),
            None => (StreamId([0; 16]).to_string(), 0, 1),
        };
        let sql = "SELECT ?fields FROM receipts WHERE tenant = {tenant:String} AND fate = 'dead' \
            AND ({first:UInt8} = 1 OR (stream, seq) > (toFixedString(unhex({stream:String}), 16), {seq:UInt64})) \
            ORDER BY stream, seq, commitment LIMIT {limit:UInt32}";
        let asked = self
            .ask(sql)
            .param("tenant", tenant)
            .param("first", first)
            .param("stream", stream)
            .param("seq", seq)
            .param("limit", page.limit.min(ROWS_MAX));
        headers(rows(asked).await?)
    }

    /// How many receipts of a source that were received from a time on (UTC milliseconds) could not be understood.
    pub async fn dead_since(&self, (tenant, source_id): (&str, &str), since: i64) -> Result<u64, StoreError> {
        let sql = "SELECT count() FROM receipts WHERE tenant = {tenant:String} AND source_id = {source:String} AND fate = 'dead' \
            AND received_at >= fromUnixTimestamp64Milli({since:Int64}, 'UTC')";
        let asked = self.ask(sql).param("tenant", tenant).param("source", source_id).param("since", since);
        Ok(rows::<u64>(asked).await?.pop().unwrap_or_default())
    }

    /// The bodies of some receipts, in their order; none where it was erased or its time is over. All are held in memory: ask for few.
    pub async fn bodies(
        &self,
        tenant: &str,
        receipts: &[&StoredHeader],
    ) -> Result<Vec<Option<StoredBody>>, StoreError> {
        let sql = format!("SELECT ?fields FROM raw_bodies FINAL WHERE tenant = {{tenant:String}} AND {AT}");
        let positions: Vec<Position> = receipts.iter().map(|one| one.position).collect();
        if positions.is_empty() {
            return Ok(Vec::new());
        }
        let found = rows::<BodyRead>(at(self.ask(&sql).param("tenant", tenant), &positions)).await?;
        let of = |one: &&StoredHeader| {
            let place = (one.position.stream.0, one.position.seq, commitment_head(&one.commitment));
            let row = found.iter().find(|row| (row.stream, row.seq, row.commitment_head) == place)?;
            Some(StoredBody { body: row.body.0.clone(), salt: row.salt, enc: row.enc })
        };
        Ok(receipts.iter().map(of).collect())
    }
}

/// True of what stands at one of some positions: [`at`] says which.
const AT: &str = "(stream, seq) IN (arrayMap((stream, seq) -> (toFixedString(unhex(stream), 16), seq), \
    {streams:Array(String)}, {seqs:Array(UInt64)}))";

fn at(asked: Query, positions: &[Position]) -> Query {
    let streams: Vec<String> = positions.iter().map(|at| at.stream.to_string()).collect();
    let seqs: Vec<u64> = positions.iter().map(|at| at.seq).collect();
    asked.param("streams", streams).param("seqs", seqs)
}

pub(crate) fn headers(found: Vec<ReceiptRead>) -> Result<Vec<StoredHeader>, StoreError> {
    found.into_iter().map(StoredHeader::try_from).collect()
}
