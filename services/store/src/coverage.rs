//! How complete each source is: watermarks, claims, gaps. Counts per minute are a view over the cells.

use crate::{
    SeenHeartbeat, SentHeartbeat, Store, StoreError,
    findings::FindingChange,
    native::columns,
    query::{rows, unknown},
    suppressions::SuppressionChange,
};
use clickhouse::Row;
use events::{ids::StreamId, receipt::Input};
use serde::Deserialize;

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

/// What tells gaps apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GapKey {
    /// Source; empty = any source.
    pub source_id: String,
    /// Realm, instance or stream; empty = all of the source.
    pub scope: String,
    /// Way in, by its name; empty = any.
    pub input: String,
    /// Start, UTC milliseconds.
    pub since: i64,
    /// Why, in a word.
    pub cause: String,
}

/// A time for which an input of a source is not known to be complete. The row recorded last wins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Row, Deserialize)]
pub struct Gap {
    /// Tenant.
    pub tenant: String,
    /// Source; empty = any source.
    pub source_id: String,
    /// Realm, instance or stream; empty = all of the source.
    pub scope: String,
    /// Way in, by its name; empty = any.
    pub input: String,
    /// Start, UTC milliseconds.
    pub since: i64,
    /// Why, in a word.
    pub cause: String,
    /// End, UTC milliseconds; none while open.
    pub until: Option<i64>,
    /// How much is known to be missing: lines or records; none = not known.
    pub missing: Option<u64>,
    /// When it was found that nothing is missing after all, UTC milliseconds.
    pub repaired_at: Option<i64>,
    /// The input that brought what was missing; empty while not repaired.
    pub repaired_by: String,
    /// When this was found, UTC milliseconds.
    pub recorded_at: i64,
}

columns!(Gap: tenant, source_id, scope, input, since, cause, until, missing, repaired_at, repaired_by, recorded_at);

impl Gap {
    /// What tells it from others.
    pub fn key(&self) -> GapKey {
        GapKey {
            source_id: self.source_id.clone(),
            scope: self.scope.clone(),
            input: self.input.clone(),
            since: self.since,
            cause: self.cause.clone(),
        }
    }

    /// Whether it tells that these numbers of a stream are missing: its scope is `STREAM:FIRST-LAST` then.
    pub fn tells_missing(&self, stream: StreamId, (first, last): (u64, u64)) -> bool {
        let numbers = || {
            let (of, range) = self.scope.split_once(':')?;
            let (from, to) = range.split_once('-')?;
            Some(from.parse::<u64>().ok()? <= first && last <= to.parse().ok()? && of == stream.to_string())
        };
        self.cause == "records_missing" && numbers() == Some(true)
    }
}

/// In place of a source id: records of our own, of which no source knows anything.
pub const OWN_RECORDS: &str = "(tokentrail)";

/// A time for which an operator says that an import holds everything of a kind that happened.
#[derive(Clone, Debug, PartialEq, Eq, Row, Deserialize)]
pub struct ClaimedSpan {
    /// Tenant.
    pub tenant: String,
    /// Source.
    pub source_id: String,
    /// Realm of a Keycloak or instance of a Backstage; empty = all of the source.
    pub scope: String,
    /// Kind, a name of `events::record::Held`.
    pub held: String,
    /// Start, UTC milliseconds.
    pub since: i64,
    /// End, UTC milliseconds.
    pub until: i64,
    /// When it was said, UTC milliseconds.
    pub recorded_at: i64,
}

columns!(ClaimedSpan: tenant, source_id, scope, held, since, until, recorded_at);

/// Lines of one kind in one delivery that are no receipts.
#[derive(Clone, Debug, PartialEq, Eq)]
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

columns!(LineCount: tenant, source_id, kind, delivery, lines, received_at);

/// What receipts say of completeness, and what operators did with findings; to be written after the receipts themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Records {
    /// Inputs that are complete up to somewhere.
    pub watermarks: Vec<Watermark>,
    /// Heartbeats sent.
    pub sent: Vec<SentHeartbeat>,
    /// Heartbeats that came back.
    pub seen: Vec<SeenHeartbeat>,
    /// Gaps that senders admit.
    pub gaps: Vec<Gap>,
    /// What imports are said to hold.
    pub claims: Vec<ClaimedSpan>,
    /// Lines that are no receipts.
    pub line_counts: Vec<LineCount>,
    /// Changes of findings.
    pub handled: Vec<FindingChange>,
    /// Changes of suppressions of more than one finding.
    pub suppressions: Vec<SuppressionChange>,
}

impl Records {
    /// Adds what others say.
    pub fn append(&mut self, others: Self) {
        let Self { watermarks, sent, seen, gaps, claims, line_counts, handled, suppressions } = others;
        self.watermarks.extend(watermarks);
        self.sent.extend(sent);
        self.seen.extend(seen);
        self.gaps.extend(gaps);
        self.claims.extend(claims);
        self.line_counts.extend(line_counts);
        self.handled.extend(handled);
        self.suppressions.extend(suppressions);
    }
}

/// What the first receipt of a stream says of the one before it in the same journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seal {
    /// The stream before.
    pub previous: StreamId,
    /// Its last seq.
    pub previous_seq: u64,
    /// Its chain after that one; none if the opening names none.
    pub previous_chain: Option<[u8; 32]>,
    /// When the opening was taken in, UTC milliseconds.
    pub received_at: i64,
}

struct WatermarkRow<'a> {
    tenant: &'a str,
    source_id: &'a str,
    input: &'a str,
    watermark: i64,
    recorded_at: i64,
}

columns!(WatermarkRow<'_>: tenant, source_id, input, watermark, recorded_at);

impl Store {
    /// Writes all of them. Every row is idempotent: writing them again, in any order, changes nothing.
    pub async fn put_records(&self, records: &Records) -> Result<(), StoreError> {
        self.write("heartbeat_rows", records.sent.iter().map(Ok)).await?;
        self.write("heartbeat_seen_rows", records.seen.iter().map(Ok)).await?;
        self.write("line_count_rows", records.line_counts.iter().map(Ok)).await?;
        self.write("claim_rows", records.claims.iter().map(Ok)).await?;
        self.put_finding_changes(&records.handled).await?;
        self.put_suppression_changes(&records.suppressions).await?;
        self.put_watermarks(&records.watermarks).await?;
        self.put_gaps(&records.gaps).await
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
        self.write("watermark_rows", rows.iter().map(Ok)).await
    }

    /// The watermark of every input.
    pub async fn watermarks(&self, tenant: &str) -> Result<Vec<Watermark>, StoreError> {
        let sql = "SELECT source_id, toString(input), watermark, recorded_at FROM watermarks \
            WHERE tenant = {tenant:String} ORDER BY source_id, input";
        let mut marks = Vec::new();
        for (source_id, input, watermark, recorded_at) in
            rows::<(String, String, i64, i64)>(self.ask(sql).param("tenant", tenant)).await?
        {
            let input = input.parse().map_err(|()| unknown("input"))?;
            marks.push(Watermark { tenant: tenant.to_owned(), source_id, input, watermark, recorded_at });
        }
        Ok(marks)
    }

    /// What imports of every source are said to hold.
    pub async fn claims(&self, tenant: &str) -> Result<Vec<ClaimedSpan>, StoreError> {
        let sql =
            "SELECT ?fields FROM claims WHERE tenant = {tenant:String} ORDER BY source_id, since, until, scope, held";
        rows(self.ask(sql).param("tenant", tenant)).await
    }

    /// When the receipts before and behind a range of seqs of a stream were taken in, UTC milliseconds.
    pub async fn around(
        &self,
        tenant: &str,
        stream: StreamId,
        (first, last): (u64, u64),
    ) -> Result<(Option<i64>, Option<i64>), StoreError> {
        let sql = "SELECT maxOrNull(if(seq < {first:UInt64}, received_at, NULL)), minOrNull(if(seq > {last:UInt64}, received_at, NULL)) \
            FROM receipt_rows WHERE tenant = {tenant:String} AND stream = unhex({stream:String}) \
            AND (seq + 1 = {first:UInt64} OR seq = {last:UInt64} + 1)";
        let asked = self
            .ask(sql)
            .param("tenant", tenant)
            .param("stream", stream.to_string())
            .param("first", first)
            .param("last", last);
        Ok(rows(asked).await?.pop().unwrap_or_default())
    }

    /// When the first and the last receipt came in that share their position in a stream with another one.
    pub async fn contested(&self, tenant: &str, stream: StreamId) -> Result<Option<(i64, i64)>, StoreError> {
        let sql = "SELECT toUnixTimestamp64Milli(min(received_at)), toUnixTimestamp64Milli(max(received_at)) FROM receipts \
            WHERE tenant = {tenant:String} AND stream = unhex({stream:String}) AND seq IN (SELECT seq FROM contested_receipts \
              WHERE tenant = {tenant:String} AND stream = unhex({stream:String})) HAVING count() > 0";
        let asked = self.ask(sql).param("tenant", tenant).param("stream", stream.to_string());
        Ok(rows(asked).await?.pop())
    }

    /// What the openings of streams say of the streams before them, as far as their bodies are kept.
    pub async fn seals(&self, tenant: &str) -> Result<Vec<Seal>, StoreError> {
        let sql = "SELECT JSONExtractString(body, 'previous_stream') AS previous, JSONExtractUInt(body, 'previous_seq'), received_at, \
            JSONExtractString(body, 'previous_chain') \
            FROM raw_bodies FINAL WHERE tenant = {tenant:String} AND (stream, seq) IN (\
              SELECT stream, seq FROM receipt_rows WHERE tenant = {tenant:String} AND seq = 0 AND payload = 'stream_opening'\
            ) AND previous != '' ORDER BY received_at";
        let mut seals = Vec::new();
        for (previous, previous_seq, received_at, chain) in
            rows::<(String, u64, i64, String)>(self.ask(sql).param("tenant", tenant)).await?
        {
            let previous = previous.parse().map_err(|_| unknown("stream"))?;
            let previous_chain = hex::decode(chain).ok().and_then(|chain| chain.try_into().ok());
            seals.push(Seal { previous, previous_seq, previous_chain, received_at });
        }
        Ok(seals)
    }

    /// Opens, closes, repairs or corrects gaps.
    pub async fn put_gaps(&self, gaps: &[Gap]) -> Result<(), StoreError> {
        self.write("gap_rows", gaps.iter().map(Ok)).await
    }

    /// Gaps that are not repaired and those that began at or after `since` (UTC milliseconds), oldest first.
    pub async fn gaps(&self, tenant: &str, since: i64) -> Result<Vec<Gap>, StoreError> {
        let sql = "SELECT ?fields FROM gaps WHERE tenant = {tenant:String} \
            AND (repaired_at IS NULL OR since >= fromUnixTimestamp64Milli({since:Int64}, 'UTC')) \
            ORDER BY since, source_id, scope, input, cause";
        rows(self.ask(sql).param("tenant", tenant).param("since", since)).await
    }
}
