//! What the two ways out of one Keycloak say of each other: what only pull saw is the loss of the webhook path, what only
//! the webhook saw is not saved at the source.
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
    /// Events that only pull brought, after the first delivery of the webhook: lost by the webhook path.
    pub pull_only: u64,
    /// Events that only the webhook brought, after the first event that pull brought: not saved at the source.
    pub webhook_only: u64,
}

/// Source, both, pull only, webhook only, the first minute of the webhook and of pull.
type Whole = (String, u64, u64, u64, u32, u32);

impl Store {
    /// Counts events older than `before` (UTC milliseconds: now minus the lateness allowance), as their first event says.
    pub async fn paths(&self, tenant: &str, before: i64) -> Result<Vec<PathCounts>, StoreError> {
        let sql = "WITH {before:UInt32} AS last, cells_of AS (\
              SELECT source_id, input, cell, events, alone, both FROM cells \
              WHERE tenant = {tenant:String} AND input IN ('webhook', 'pull') AND cell < {deliveries:UInt32}\
            ) SELECT source_id, sumIf(both, whole), sumIf(alone, whole AND input = 'pull' AND cell > first_webhook), \
              sumIf(alone, whole AND input = 'webhook' AND cell > first_pull), any(first_webhook), any(first_pull) \
            FROM (SELECT *, cell < last AND cell != first_webhook AND cell != first_pull AS whole FROM cells_of INNER JOIN (\
                SELECT source_id, minIf(cell, input = 'webhook') AS first_webhook, minIf(cell, input = 'pull') AS first_pull \
                FROM cells_of WHERE events > 0 GROUP BY source_id HAVING countIf(input = 'webhook') > 0 AND countIf(input = 'pull') > 0\
              ) AS f USING source_id) GROUP BY source_id ORDER BY source_id";
        let last = u32::try_from(before.div_euclid(CELL_MS).clamp(0, i64::from(DELIVERIES))).unwrap_or(DELIVERIES);
        let asked = self.ask(sql).param("tenant", tenant).param("before", last).param("deliveries", DELIVERIES);
        let mut paths = Vec::new();
        for (source_id, both, pull_only, webhook_only, first_webhook, first_pull) in rows::<Whole>(asked).await? {
            let minutes = [first_webhook, first_pull, last];
            let cut = self.cut_minutes((tenant, &source_id), minutes, before).await?;
            paths.push(PathCounts {
                source_id,
                both: both + cut.0,
                pull_only: pull_only + cut.1,
                webhook_only: webhook_only + cut.2,
            });
        }
        Ok(paths)
    }

    /// The same for the minutes that are cut: (both, pull only, webhook only).
    async fn cut_minutes(
        &self,
        (tenant, source_id): (&str, &str),
        [first_webhook, first_pull, last]: [u32; 3],
        before: i64,
    ) -> Result<(u64, u64, u64), StoreError> {
        let sql = "WITH arrayMap(m -> fromUnixTimestamp64Milli(toInt64(m) * 60000, 'UTC'), [{w:UInt32}, {p:UInt32}, {last:UInt32}]) AS starts, \
              in_minute AS (SELECT event_id, input, time FROM event_rows FINAL \
                WHERE tenant = {tenant:String} AND source_id = {source:String} AND input IN ('webhook', 'pull') AND ordinal = 0 AND (\
                  (time >= starts[1] AND time < starts[1] + INTERVAL 1 MINUTE) OR \
                  (time >= starts[2] AND time < starts[2] + INTERVAL 1 MINUTE) OR \
                  (time >= starts[3] AND time < starts[3] + INTERVAL 1 MINUTE))), \
              (SELECT minIf(time, input = 'webhook') FROM in_minute) AS first_webhook, \
              (SELECT minIf(time, input = 'pull') FROM in_minute WHERE time >= starts[2]) AS first_pull \
            SELECT countIf(w AND p), countIf(p AND NOT w AND at >= first_webhook), countIf(w AND NOT p AND at >= first_pull) FROM (\
              SELECT event_id, max(input = 'webhook') AS w, max(input = 'pull') AS p, min(time) AS at FROM in_minute \
              WHERE time < fromUnixTimestamp64Milli({before:Int64}, 'UTC') GROUP BY event_id, toStartOfMinute(time))";
        let asked = self
            .ask(sql)
            .param("tenant", tenant)
            .param("source", source_id)
            .param("w", first_webhook)
            .param("p", first_pull)
            .param("last", last)
            .param("before", before);
        Ok(rows::<(u64, u64, u64)>(asked).await?.pop().unwrap_or_default())
    }
}
