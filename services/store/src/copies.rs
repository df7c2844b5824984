//! Copies of one event that contradict each other: the roller compares the hours that were touched (rollup.rs) and keeps how many events
//! of each differ, so that whoever alarms reads a small table and no event.

use crate::{
    Store, StoreError,
    cell::HOUR_MS,
    query::{self, rows},
};
use clickhouse::Row;
use serde::Deserialize;

/// Hours of one statement: it holds a word on each of their events.
const HOURS_TOGETHER: u32 = 4;
/// Copies that are dated so far apart (milliseconds) are still found to be copies, whichever hour is looked at.
const APART: i64 = HOUR_MS;
/// What two copies that say the same have in common: the canonical columns as they are stored.
const SAID: &str = "reinterpretAsUInt128(sipHash128(kind, native_type, time, outcome, realm_id, person, person_id, same, actor, actor_id, \
    client, session_id, code_id, token_id, refresh_token_id, new_refresh_token_id, ip, right_kind, right_id, right_name, right_change, \
    holder_kind, holder_id, resource_kind, resource, action, error))";

/// An hour of a source in which copies of events differ.
#[derive(Clone, Debug, PartialEq, Eq, Row, Deserialize)]
pub struct DifferingHour {
    /// Source.
    pub source_id: String,
    /// Its beginning, UTC milliseconds.
    pub since: i64,
    /// How many events.
    pub events: u64,
}

impl Store {
    /// Hours in which copies of events differ, as the roller found them last, the oldest first.
    pub async fn differing_hours(&self, tenant: &str) -> Result<Vec<DifferingHour>, StoreError> {
        let sql = "SELECT ?fields FROM (SELECT tenant, toString(source_id) AS source_id, hour, toInt64(hour) * 3600000 AS since, events FROM differing_hour_rows FINAL) \
            WHERE tenant = {tenant:String} AND events > 0 ORDER BY hour, source_id";
        rows(self.ask(sql).param("tenant", tenant)).await
    }

    /// Compares the copies of hours of events, in order.
    pub(crate) async fn compare_copies(&self, tenant: &str, hours: &[u32]) -> Result<(), StoreError> {
        for some in hours.chunk_by(|one, next| one / HOURS_TOGETHER == next / HOURS_TOGETHER) {
            let (Some(first), Some(last)) = (some.first(), some.last()) else { continue };
            let sql = differing(&query::numbers(some));
            let (from, to) = (i64::from(*first) * HOUR_MS - APART, (i64::from(*last) + 1) * HOUR_MS + APART);
            let statement = self.run(&sql).param("tenant", tenant);
            query::done(statement.param("from", from).param("to", to)).await?;
        }
        Ok(())
    }
}

/// First, of sources with several inputs, events whose copies are not the same to the byte: a number per copy says it. Only of these is it
/// asked what differs, and whether more than what one of them cannot carry. An hour that no event is left in gets a row that says so.
fn differing(within: &str) -> String {
    let span = "tenant = {tenant:String} AND time >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') \
        AND time < fromUnixTimestamp64Milli({to:Int64}, 'UTC')";
    let unlike = format!(
        "SELECT source_id, event_id, groupUniqArrayIf(at, at IN ({within})) AS hours FROM (\
           SELECT toString(source_id) AS source_id, event_id, toString(input) AS way, toInt64(intDiv(toUnixTimestamp64Milli(time), 3600000)) AS at, {SAID} AS said \
           FROM event_rows WHERE {span} AND source_id IN (\
             SELECT source_id FROM event_rows WHERE {span} GROUP BY source_id HAVING uniqExact(input) > 1)\
         ) GROUP BY source_id, event_id HAVING min(way) != max(way) AND min(said) != max(said) AND notEmpty(hours)"
    );
    format!(
        "INSERT INTO differing_hour_rows \
         SELECT {{tenant:String}}, source_id, hour, greatest(toUInt64(toUnixTimestamp64Micro(now64(6))), max(version) + 1), \
           uniqExactIf(event_id, n = 1), arraySort(groupUniqArrayArray(fields)) FROM (\
           SELECT u.source_id AS source_id, toUInt32(arrayJoin(u.hours)) AS hour, toUInt64(0) AS version, toUInt8(1) AS n, u.event_id AS event_id, \
             e.conflicts AS fields \
           FROM ({unlike}) AS u INNER JOIN (\
             SELECT toString(source_id) AS source_id, event_id, conflicts FROM events_in(from = {{from:Int64}} - 86400000, to = {{to:Int64}} + 86400000) \
             WHERE tenant = {{tenant:String}} AND event_id IN (SELECT event_id FROM ({unlike})) AND notEmpty(conflicts)\
           ) AS e ON e.source_id = u.source_id AND e.event_id = u.event_id \
           UNION ALL \
           SELECT toString(source_id), hour, version, 0, toUUID('00000000-0000-0000-0000-000000000000'), [] \
           FROM differing_hour_rows WHERE tenant = {{tenant:String}} AND hour IN ({within})\
         ) GROUP BY source_id, hour"
    )
}
