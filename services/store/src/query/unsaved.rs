//! What was only pushed, by type: the types that a Keycloak sends to its listeners and does not save, so that nothing can bring them
//! again.

use super::rows;
use crate::{Store, StoreError, cell::DELIVERIES};
use clickhouse::Row;
use serde::Deserialize;

/// How far back is looked, milliseconds: what was mended longer ago is not told any more.
const SPAN: i64 = 86_400_000;
/// Newest minutes that are looked at, and about how many events of them: a type that is not saved comes often.
const MINUTES: u32 = 500;
const EVENTS: u64 = 200_000;
/// Most types that are told.
const TYPES: u32 = 100;

/// A type of events of one realm that only webhook or topic brought.
#[derive(Clone, Debug, PartialEq, Eq, Row, Deserialize)]
pub struct UnsavedType {
    /// Type in the source's words: `LOGIN`, or of admin events `USER-CREATE`.
    pub native_type: String,
    /// Name of the realm; its id where no name came.
    pub realm: String,
    /// How many in what was looked at.
    pub events: u64,
    /// The last of them, UTC milliseconds.
    pub last: i64,
}

impl Store {
    /// The types that were only pushed in the day before `before` (UTC milliseconds: now minus the lateness allowance), the most
    /// frequent first. Of a pull that stands still nothing is said: what happened after the newest event that it brought it may bring yet.
    pub async fn pushed_alone(
        &self,
        (tenant, source_id): (&str, &str),
        before: i64,
    ) -> Result<Vec<UnsavedType>, StoreError> {
        let from = before - SPAN;
        let (Some(last_pulled), lone) = self.lone_minutes((tenant, source_id), (from, before)).await? else {
            return Ok(Vec::new());
        };
        let (mut minutes, mut seen) = (vec![last_pulled], 0);
        for (minute, events) in lone {
            if seen > 0 && seen + events > EVENTS {
                break;
            }
            seen += events;
            minutes.push(minute);
        }
        if seen == 0 {
            return Ok(Vec::new());
        }
        let ends = (minutes.iter().min().copied().unwrap_or(0), minutes.iter().max().copied().unwrap_or(0));
        let sql = "WITH looked AS (SELECT event_id, input, time, native_type, realm, realm_id FROM event_rows FINAL \
                WHERE tenant = {tenant:String} AND source_id = {source:String} AND input IN ('webhook', 'kafka', 'pull') AND ordinal = 0 \
                AND time >= fromUnixTimestamp64Milli({first:Int64}, 'UTC') AND time < fromUnixTimestamp64Milli({last:Int64}, 'UTC') \
                AND has({minutes:Array(UInt32)}, toUInt32(intDiv(toUnixTimestamp64Milli(time), 60000)))), \
              (SELECT toUnixTimestamp64Milli(maxIf(time, input = 'pull')) FROM looked) AS pulled \
            SELECT said AS native_type, place AS realm, count() AS events, max(at) AS last FROM (\
              SELECT event_id, any(toString(native_type)) AS said, max(toString(looked.realm)) AS name, max(toString(realm_id)) AS id, \
                if(name = '', id, name) AS place, max(input != 'pull') AS pushed, max(input = 'pull') AS brought, \
                toUnixTimestamp64Milli(min(time)) AS at \
              FROM looked GROUP BY event_id, toStartOfMinute(time)\
            ) WHERE pushed AND NOT brought AND at >= {from:Int64} AND at < {before:Int64} AND at < pulled \
            GROUP BY said, place ORDER BY events DESC, native_type, realm LIMIT {most:UInt32}";
        let asked = self.ask(sql).param("tenant", tenant).param("source", source_id).param("minutes", &minutes);
        let asked = asked.param("first", i64::from(ends.0) * 60_000).param("last", i64::from(ends.1) * 60_000 + 60_000);
        rows(asked.param("from", from).param("before", before).param("most", TYPES)).await
    }

    /// The last minute in which pull brought something, and the newest minutes with events that were only pushed, with how many events
    /// each holds.
    async fn lone_minutes(
        &self,
        (tenant, source_id): (&str, &str),
        (from, before): (i64, i64),
    ) -> Result<(Option<u32>, Vec<(u32, u64)>), StoreError> {
        let of_source = |sql: &str| self.ask(sql).param("tenant", tenant).param("source", source_id);
        let sql = "SELECT maxOrNull(cell) FROM cells WHERE tenant = {tenant:String} AND source_id = {source:String} \
            AND input = 'pull' AND events > 0 AND cell < {deliveries:UInt32}";
        let pulled = rows::<Option<u32>>(of_source(sql).param("deliveries", DELIVERIES)).await?.pop().flatten();
        let sql = "SELECT cell, sum(events) FROM cells WHERE tenant = {tenant:String} AND source_id = {source:String} \
            AND input IN ('webhook', 'kafka') AND alone > 0 AND cell < {deliveries:UInt32} \
            AND cell >= intDiv({from:Int64}, 60000) AND cell <= intDiv({before:Int64}, 60000) \
            GROUP BY cell ORDER BY cell DESC LIMIT {most:UInt32}";
        let asked = of_source(sql).param("deliveries", DELIVERIES).param("from", from).param("before", before);
        Ok((pulled, rows(asked.param("most", MINUTES)).await?))
    }
}
