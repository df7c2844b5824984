//! Counting decisions by the hour, for panels: `decision_hour_rows` and `deviation_rows` are made anew from the decisions that
//! stand, hour by hour, as the roller finds them (rollup.rs). What is kept is never asked for while its hour has a mark.

use crate::{Store, StoreError, cell::HOUR_MS, query};

/// Hours of one statement: what it groups must fit into memory, and it reads all that lies between.
const HOURS_TOGETHER: u32 = 24;
/// Verdicts of decisions that did not go as the rights were, as the view `deviations_in` has them.
const DEVIATIONS: &str =
    "'exposure', 'violation', 'pending_grant', 'name_collision', 'allowed_without_right', 'denied_with_right'";
/// Above each version before, whatever the clock does.
const VERSION: &str = "greatest(toUInt64(toUnixTimestamp64Micro(now64(6))), max(version) + 1)";

impl Store {
    /// Counts hours of decisions, in order.
    pub(crate) async fn roll_hours(&self, tenant: &str, hours: &[u32]) -> Result<(), StoreError> {
        for some in hours.chunk_by(|one, next| one / HOURS_TOGETHER == next / HOURS_TOGETHER) {
            self.count_hours(tenant, some).await?;
            self.keep_deviations(tenant, some).await?;
        }
        Ok(())
    }

    /// A group that has left an hour gets a row of zeros over its old one.
    async fn count_hours(&self, tenant: &str, hours: &[u32]) -> Result<(), StoreError> {
        let (judged, within) = (judged(hours), query::numbers(hours));
        let sql = format!(
            "INSERT INTO decision_hour_rows \
             SELECT tenant, hour, verdict, clock, grade, {VERSION}, sum(n), sumMap(reasons) FROM (\
               SELECT tenant, hour, verdict, clock, grade, toUInt64(0) AS version, count() AS n, \
                 sumMap(CAST(arrayMap(reason -> (reason, toUInt64(1)), reasons), 'Map(String, UInt64)')) AS reasons \
               FROM {judged} GROUP BY tenant, hour, verdict, clock, grade \
               UNION ALL \
               SELECT tenant, hour, toString(verdict), toString(clock), toString(grade), version, 0, CAST(map(), 'Map(String, UInt64)') \
               FROM decision_hour_rows WHERE tenant = {{tenant:String}} AND hour IN ({within})\
             ) GROUP BY tenant, hour, verdict, clock, grade"
        );
        self.rolled(&sql, tenant, hours).await
    }

    /// A decision that is none any more is taken away.
    async fn keep_deviations(&self, tenant: &str, hours: &[u32]) -> Result<(), StoreError> {
        let (judged, within) = (judged(hours), query::numbers(hours));
        let sql = format!(
            "INSERT INTO deviation_rows \
             WITH argMin(says, gone) AS said SELECT tenant, hour, person, at, row_id, {VERSION}, min(gone), said.1, said.2, said.3, said.4, said.5, said.6, said.7 FROM (\
               SELECT tenant, hour, person, decided_at AS at, row_id, toUInt64(0) AS version, toUInt8(0) AS gone, \
                 tuple(event_id, permission, outcome, verdict, delay_ms, clock, grade) AS says \
               FROM {judged} AND verdict IN ({DEVIATIONS}) \
               UNION ALL \
               SELECT tenant, hour, person, at, row_id, version, 1, \
                 tuple(event_id, toString(permission), toString(outcome), toString(verdict), delay_ms, toString(clock), toString(grade)) \
               FROM deviation_rows WHERE tenant = {{tenant:String}} AND hour IN ({within})\
             ) GROUP BY tenant, hour, person, at, row_id"
        );
        self.rolled(&sql, tenant, hours).await
    }

    async fn rolled(&self, sql: &str, tenant: &str, hours: &[u32]) -> Result<(), StoreError> {
        let (Some(first), Some(last)) = (hours.first(), hours.last()) else { return Ok(()) };
        let statement = self.run(sql).param("tenant", tenant);
        let (from, to) = (i64::from(*first) * HOUR_MS, (i64::from(*last) + 1) * HOUR_MS);
        query::done(statement.param("from", from).param("to", to)).await
    }
}

/// The decisions of some hours that stand.
fn judged(hours: &[u32]) -> String {
    format!(
        "judged WHERE tenant = {{tenant:String}} AND decided_at >= fromUnixTimestamp64Milli({{from:Int64}}, 'UTC') \
         AND decided_at < fromUnixTimestamp64Milli({{to:Int64}}, 'UTC') AND hour IN ({})",
        query::numbers(hours)
    )
}
