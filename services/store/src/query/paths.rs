//! What the two ways out of one Keycloak say of each other: what only pull saw is the loss of what pushes (webhook or topic), what
//! only that saw is not saved at the source.
//!
//! Whole minutes come from the cells; the three minutes that are cut by a moment (the first of each way, and the last) are
//! counted from their events.

use super::rows;
use crate::{
    Store, StoreError,
    cell::{CELL_MS, DELIVERIES},
};

/// Events of one source by the ways that brought them. Only for sources that have both ways.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathCounts {
    /// Source.
    pub source_id: String,
    /// Events that both brought.
    pub both: u64,
    /// Events that only pull brought, after the first one that was pushed: lost by webhook or topic.
    pub pull_only: u64,
    /// Events that were only pushed, after the first event that pull brought: not saved at the source.
    pub push_only: u64,
}

/// The whole minutes of one source.
pub(super) struct WholeMinutes {
    pub(super) source_id: String,
    pub(super) both: u64,
    pub(super) pull_only: u64,
    pub(super) push_only: u64,
    /// The first minute of what pushes and of pull.
    pub(super) first: [u32; 2],
}

/// The last minute, which `before` (UTC milliseconds) cuts.
pub(super) fn last_minute(before: i64) -> u32 {
    u32::try_from(before.div_euclid(CELL_MS).clamp(0, i64::from(DELIVERIES))).unwrap_or(DELIVERIES)
}

impl Store {
    /// Counts events older than `before` (UTC milliseconds: now minus the lateness allowance).
    pub async fn paths(&self, tenant: &str, before: i64) -> Result<Vec<PathCounts>, StoreError> {
        let (_, whole) = self.counted(tenant, last_minute(before)).await?;
        self.with_cut_minutes(tenant, whole, before).await
    }

    /// Adds the minutes that are cut.
    pub(super) async fn with_cut_minutes(
        &self,
        tenant: &str,
        whole: Vec<WholeMinutes>,
        before: i64,
    ) -> Result<Vec<PathCounts>, StoreError> {
        let mut paths = Vec::new();
        for whole in whole {
            let minutes = [whole.first[0], whole.first[1], last_minute(before)];
            let (both, pull_only, push_only) = self.cut_minutes((tenant, &whole.source_id), minutes, before).await?;
            paths.push(PathCounts {
                source_id: whole.source_id,
                both: whole.both + both,
                pull_only: whole.pull_only + pull_only,
                push_only: whole.push_only + push_only,
            });
        }
        Ok(paths)
    }

    /// What the minutes that are cut add: (both, pull only, pushed only).
    async fn cut_minutes(
        &self,
        (tenant, source_id): (&str, &str),
        [first_pushed, first_pull, last]: [u32; 3],
        before: i64,
    ) -> Result<(u64, u64, u64), StoreError> {
        let sql = "WITH arrayMap(m -> fromUnixTimestamp64Milli(toInt64(m) * 60000, 'UTC'), [{w:UInt32}, {p:UInt32}, {last:UInt32}]) AS starts, \
              in_minute AS (SELECT event_id, input, time FROM event_rows FINAL \
                WHERE tenant = {tenant:String} AND source_id = {source:String} AND input IN ('webhook', 'kafka', 'pull') AND ordinal = 0 AND (\
                  (time >= starts[1] AND time < starts[1] + INTERVAL 1 MINUTE) OR \
                  (time >= starts[2] AND time < starts[2] + INTERVAL 1 MINUTE) OR \
                  (time >= starts[3] AND time < starts[3] + INTERVAL 1 MINUTE))), \
              (SELECT minIf(time, input != 'pull') FROM in_minute) AS first_pushed, \
              (SELECT minIf(time, input = 'pull') FROM in_minute WHERE time >= starts[2]) AS first_pull \
            SELECT countIf(w AND p), countIf(p AND NOT w AND at >= first_pushed), countIf(w AND NOT p AND at >= first_pull) FROM (\
              SELECT event_id, max(input != 'pull') AS w, max(input = 'pull') AS p, min(time) AS at FROM in_minute \
              WHERE time < fromUnixTimestamp64Milli({before:Int64}, 'UTC') GROUP BY event_id, toStartOfMinute(time))";
        let asked = self
            .ask(sql)
            .param("tenant", tenant)
            .param("source", source_id)
            .param("w", first_pushed)
            .param("p", first_pull)
            .param("last", last)
            .param("before", before);
        Ok(rows::<(u64, u64, u64)>(asked).await?.pop().unwrap_or_default())
    }
}
