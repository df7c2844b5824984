//! All counts of one instant.

use super::{
    FateCounts, PathCounts, StreamStatus,
    paths::{WholeMinutes, last_minute},
    rows,
};
use crate::{Store, StoreError, cell::DELIVERIES};
use clickhouse::Row;
use serde::Deserialize;
use std::{collections::BTreeMap, time::Duration};

/// How long the block that is being written is waited for.
const GATE_WAIT: Duration = Duration::from_secs(10);
/// How often the counts are taken until no other program came in between.
const TRIES: usize = 20;

/// Counts of one instant: streams and fates are of the same receipts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Per source and input.
    pub fates: Vec<FateCounts>,
    /// Per stream, newest first.
    pub streams: Vec<StreamStatus>,
    /// Per source that pushes, by webhook or topic, and is pulled.
    pub paths: Vec<PathCounts>,
}

#[derive(Row, Deserialize)]
struct CountedRead {
    source_id: String,
    input: String,
    received: u64,
    stored: u64,
    duplicate: u64,
    ignored: u64,
    dead: u64,
    possible_duplicate: u64,
    reasons: Vec<(String, u64)>,
    last_received_at: i64,
    first_pushed: u32,
    first_pull: u32,
    whole_alone: u64,
    whole_both: u64,
}

impl From<CountedRead> for FateCounts {
    fn from(read: CountedRead) -> Self {
        Self {
            source_id: read.source_id,
            input: read.input,
            received: read.received,
            stored: read.stored,
            duplicate: read.duplicate,
            ignored: read.ignored,
            dead: read.dead,
            possible_duplicate: read.possible_duplicate,
            reasons: read.reasons,
            last_received_at: read.last_received_at,
        }
    }
}

impl Store {
    /// Takes all counts at one instant; of paths, those older than `before` (UTC milliseconds).
    ///
    /// While they are taken this program writes no receipts (the log holds them meanwhile), and whatever another program
    /// writes shows in the streams or in the marks: if either has changed, the counts are taken again.
    pub async fn totals(&self, tenant: &str, before: i64) -> Result<Totals, StoreError> {
        let gate = tokio::time::timeout(GATE_WAIT, self.marks.gate.write()).await;
        if gate.is_err() {
            tracing::debug!("A block is on its way for long; counts are taken beside it.");
        }
        for _ in 0..TRIES {
            let marked = self.marked().await?;
            let streams = self.streams(tenant).await?;
            let (fates, whole) = self.counted(tenant, last_minute(before)).await?;
            let paths = self.with_cut_minutes(tenant, whole, before).await?;
            if self.marked().await? == marked && (gate.is_ok() || self.streams(tenant).await? == streams) {
                return Ok(Totals { fates, streams, paths });
            }
        }
        Err(StoreError::Unavailable("receipts are written so fast that no counts of one instant can be taken".into()))
    }

    /// Fates, and the paths' minutes before `last`, in one pass over the cells: those that are not rolled up are counted
    /// by it.
    pub(super) async fn counted(
        &self,
        tenant: &str,
        last: u32,
    ) -> Result<(Vec<FateCounts>, Vec<WholeMinutes>), StoreError> {
        let sql = "SELECT ?fields FROM (\
              SELECT * EXCEPT (alone_at, alone, both_at, both), \
                minIf(first, input IN ('webhook', 'kafka') AND first > 0) OVER (PARTITION BY source_id) AS first_pushed, \
                maxIf(first, input = 'pull') OVER (PARTITION BY source_id) AS first_pull, \
                if(input = 'pull', first_pushed, first_pull) AS first_other, \
                if(input = 'pull', first_pull, first_pushed) AS first_own, \
                arraySum((at, n) -> if(at < {last:UInt32} AND at != first_own AND at > first_other, n, 0), alone_at, alone) AS whole_alone, \
                arraySum((at, n) -> if(at < {last:UInt32} AND at != first_pushed AND at != first_pull, n, 0), both_at, both) AS whole_both \
              FROM (\
                SELECT source_id, input, sum(c.events + c.ignored + c.dead) AS received, sum(c.stored) AS stored, \
                  toUInt64(sum(c.events) - sum(c.stored)) AS duplicate, sum(c.ignored) AS ignored, sum(c.dead) AS dead, \
                  sum(c.possible_duplicate) AS possible_duplicate, sumMapIf(c.reasons, notEmpty(c.reasons)) AS reasons, \
                  max(c.last_received_at) AS last_received_at, \
                  minIf(cell, c.events > 0 AND cell < {deliveries:UInt32}) AS first, \
                  groupArrayIf(cell, c.alone > 0) AS alone_at, groupArrayIf(c.alone, c.alone > 0) AS alone, \
                  groupArrayIf(cell, c.both > 0) AS both_at, groupArrayIf(c.both, c.both > 0) AS both \
                FROM cells AS c WHERE tenant = {tenant:String} GROUP BY source_id, input\
              )\
            ) WHERE received > 0 ORDER BY source_id, input";
        let asked = self.ask(sql).param("tenant", tenant).param("last", last).param("deliveries", DELIVERIES);
        let (mut fates, mut whole) = (Vec::new(), BTreeMap::new());
        for read in rows::<CountedRead>(asked).await? {
            if read.first_pushed > 0 && read.first_pull > 0 {
                let of = whole.entry(read.source_id.clone()).or_insert_with(|| WholeMinutes {
                    source_id: read.source_id.clone(),
                    both: 0,
                    pull_only: 0,
                    push_only: 0,
                    first: [read.first_pushed, read.first_pull],
                });
                of.both += read.whole_both;
                match read.input.as_str() {
                    "pull" => of.pull_only += read.whole_alone,
                    _ => of.push_only += read.whole_alone,
                }
            }
            fates.push(read.into());
        }
        Ok((fates, whole.into_values().collect()))
    }

    /// Changes whenever a mark of receipts is made, renewed, closed or settled.
    async fn marked(&self) -> Result<(u64, u64), StoreError> {
        let sql = "SELECT count(), sum(cityHash64(tenant, stream, source_id, cell, writer, version)) FROM mark_rows FINAL \
            WHERE state != 0 AND stream != toFixedString('decisions by hr.', 16)";
        Ok(rows::<(u64, u64)>(self.ask(sql)).await?.pop().unwrap_or_default())
    }
}
