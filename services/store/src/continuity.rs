//! Keeping, per source and hour, what came in and which heartbeats came back, so that no panel has to count minutes and join heartbeats.
//! Decides nothing: what is complete is the gaps' word.

use crate::{Store, StoreError, cell::HOUR_MS, query};

impl Store {
    /// Counts the hours that a span (UTC milliseconds, [from, to)) touches, and writes those whose counts differ from what is kept. May be
    /// repeated at any time, by several programs at once.
    pub async fn keep_continuity(&self, tenant: &str, (from, to): (i64, i64)) -> Result<(), StoreError> {
        let sql = "INSERT INTO continuity_hour_rows (tenant, source_id, hour, version, stored, heartbeats, heartbeats_seen) \
            SELECT {tenant:String}, c.source_id, c.hour, greatest(toUInt64(toUnixTimestamp64Micro(now64(6))), max(c.version) + 1), \
              sum(c.stored) AS came, sum(c.sent) AS beats, sum(c.back) AS seen \
            FROM (\
              SELECT toString(source_id) AS source_id, toUInt32(intDiv(cell, 60)) AS hour, toUInt64(0) AS version, stored, toUInt64(0) AS sent, \
                toUInt64(0) AS back, tuple(toUInt64(0), toUInt64(0), toUInt64(0)) AS was \
              FROM rollup_rows FINAL \
              WHERE tenant = {tenant:String} AND cell >= {first:Int64} * 60 AND cell < least({end:Int64} * 60, 2147483648) \
              UNION ALL \
              SELECT toString(s.source_id), toUInt32(intDiv(toUnixTimestamp64Milli(s.sent_at), 3600000)), toUInt64(0), toUInt64(0), toUInt64(1), \
                toUInt64(b.id != ''), tuple(toUInt64(0), toUInt64(0), toUInt64(0)) \
              FROM (\
                SELECT DISTINCT source_id, scope, id, sent_at FROM heartbeat_rows WHERE tenant = {tenant:String} \
                  AND sent_at >= fromUnixTimestamp64Milli({first:Int64} * 3600000, 'UTC') AND sent_at < fromUnixTimestamp64Milli({end:Int64} * 3600000, 'UTC')\
              ) AS s \
              LEFT ANY JOIN (\
                SELECT source_id, id FROM heartbeat_seen_rows WHERE tenant = {tenant:String} AND id != '' \
                  AND time >= fromUnixTimestamp64Milli(({first:Int64} - 24) * 3600000, 'UTC') AND time < fromUnixTimestamp64Milli(({end:Int64} + 24) * 3600000, 'UTC')\
              ) AS b ON b.source_id = s.source_id AND b.id = s.id \
              UNION ALL \
              SELECT toString(source_id), hour, version, toUInt64(0), toUInt64(0), toUInt64(0), tuple(stored, heartbeats, heartbeats_seen) \
              FROM continuity_hour_rows WHERE tenant = {tenant:String} AND hour >= {first:Int64} AND hour < {end:Int64}\
            ) AS c GROUP BY c.source_id, c.hour \
            HAVING tuple(came, beats, seen) != argMax(c.was, c.version)";
        let hours =
            (from.max(0).div_euclid(HOUR_MS), to.max(0).saturating_add(HOUR_MS - 1).div_euclid(HOUR_MS).min(LAST_HOUR));
        let statement = self.run(sql).param("tenant", tenant);
        query::done(statement.param("first", hours.0).param("end", hours.1)).await
    }
}

/// In the year 2261: as far as the engine's times reach.
const LAST_HOUR: i64 = 2_556_000;
