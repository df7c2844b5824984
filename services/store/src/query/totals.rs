//! All counts of one instant.

use super::{FateCounts, PathCounts, StreamStatus, rows};
use crate::{Store, StoreError};
use std::time::Duration;

/// How long the block that is being written is waited for.
const GATE_WAIT: Duration = Duration::from_secs(10);
/// How often the counts are taken until no other program came in between.
const TRIES: usize = 20;

/// Counts of one instant: streams and fates are of the same receipts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Totals {
    /// Per source and input.
    pub fates: Vec<FateCounts>,
    /// Per stream, newest first.
    pub streams: Vec<StreamStatus>,
    /// Per source with a webhook and a pull.
    pub paths: Vec<PathCounts>,
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
            let fates = self.fates(tenant).await?;
            let paths = self.paths(tenant, before).await?;
            if self.marked().await? == marked && (gate.is_ok() || self.streams(tenant).await? == streams) {
                return Ok(Totals { fates, streams, paths });
            }
        }
        Err(StoreError::Unavailable("receipts are written so fast that no counts of one instant can be taken".into()))
    }

    /// Changes whenever a mark is made, renewed, closed or settled.
    async fn marked(&self) -> Result<(u64, u64), StoreError> {
        let sql = "SELECT count(), sum(cityHash64(tenant, stream, source_id, cell, writer, version)) FROM mark_rows FINAL WHERE state != 0";
        Ok(rows::<(u64, u64)>(self.ask(sql)).await?.pop().unwrap_or_default())
    }
}
