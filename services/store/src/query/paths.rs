//! What the two ways out of one Keycloak say of each other: what only pull saw is the loss of the webhook path, what only
//! the webhook saw is not saved at the source.

use super::rows;
use crate::{Store, StoreError};
use clickhouse::Row;
use serde::Deserialize;

/// Events of one source by the ways that brought them. Only for sources that have both ways.
#[derive(Clone, Debug, PartialEq, Eq, Row, Deserialize)]
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

impl Store {
    /// Counts events older than `before` (UTC milliseconds: now minus the lateness allowance).
    pub async fn paths(&self, tenant: &str, before: i64) -> Result<Vec<PathCounts>, StoreError> {
        let sql = "SELECT source_id, countIf(w AND p) AS both, countIf(p AND NOT w AND at >= first_w) AS pull_only, \
              countIf(w AND NOT p AND at >= first_p) AS webhook_only \
            FROM (\
              SELECT source_id, event_id, max(input = 'webhook') AS w, max(input = 'pull') AS p, min(time) AS at \
              FROM event_inputs WHERE tenant = {tenant:String} AND source_kind = 'keycloak' \
              AND input IN ('webhook', 'pull') AND time < fromUnixTimestamp64Milli({before:Int64}, 'UTC') \
              GROUP BY source_id, event_id\
            ) AS e INNER JOIN (\
              SELECT source_id, minIf(time, input = 'webhook') AS first_w, minIf(time, input = 'pull') AS first_p \
              FROM event_inputs WHERE tenant = {tenant:String} AND source_kind = 'keycloak' \
              GROUP BY source_id HAVING countIf(input = 'webhook') > 0 AND countIf(input = 'pull') > 0\
            ) AS f USING source_id GROUP BY source_id ORDER BY source_id";
        rows(self.ask(sql).param("tenant", tenant).param("before", before)).await
    }
}
