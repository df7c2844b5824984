//! What the webhook (or topic) of a Keycloak lost and pull brought: which minutes hold such events, and how many of them lie outside known gaps.

use super::rows;
use crate::{Store, StoreError, cell::DELIVERIES};

/// A time of a gap: realm (empty: all), beginning and end, UTC milliseconds.
pub type GapTime = (String, i64, i64);

/// Events of one minute that pull alone brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LostInMinute {
    /// Minutes since 1970.
    pub minute: u32,
    /// How many.
    pub events: u64,
    /// The last of them, UTC milliseconds.
    pub last: i64,
}

impl Store {
    /// When the first event happened that a webhook or topic brought, UTC milliseconds; none if it never brought one.
    pub async fn first_pushed(&self, tenant: &str, source_id: &str) -> Result<Option<i64>, StoreError> {
        let sql = "WITH (SELECT minOrNull(cell) FROM cells WHERE tenant = {tenant:String} AND source_id = {source:String} \
              AND input IN ('webhook', 'kafka') AND events > 0 AND cell < {deliveries:UInt32}) AS first \
            SELECT toUnixTimestamp64Milli(minOrNull(time)) FROM event_rows WHERE tenant = {tenant:String} \
            AND source_id = {source:String} AND input IN ('webhook', 'kafka') AND is_deleted = 0 \
            AND time >= fromUnixTimestamp64Milli(toInt64(first) * 60000, 'UTC') \
            AND time < fromUnixTimestamp64Milli(toInt64(first) * 60000 + 60000, 'UTC')";
        let asked = self.ask(sql).param("tenant", tenant).param("source", source_id).param("deliveries", DELIVERIES);
        Ok(rows::<Option<i64>>(asked).await?.pop().flatten())
    }

    /// Sources of which receipts of before `until` (UTC milliseconds) are stored, whatever the config says of them now.
    pub async fn sources_until(&self, tenant: &str, until: i64) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT source_id FROM cells WHERE tenant = {tenant:String} AND source_id != '' \
            GROUP BY source_id HAVING min(cell) >= {deliveries:UInt32} OR toInt64(min(cell)) * 60000 <= {until:Int64} ORDER BY source_id";
        rows(self.ask(sql).param("tenant", tenant).param("deliveries", DELIVERIES).param("until", until)).await
    }

    /// Minutes of [from, to) (UTC milliseconds) with events that pull alone brought, and how many.
    pub async fn pulled_alone(
        &self,
        (tenant, source_id): (&str, &str),
        (from, to): (i64, i64),
    ) -> Result<Vec<(u32, u64)>, StoreError> {
        let sql = "SELECT cell, alone FROM cells WHERE tenant = {tenant:String} AND source_id = {source:String} \
            AND input = 'pull' AND alone > 0 AND cell < {deliveries:UInt32} \
            AND cell >= intDiv({from:Int64}, 60000) AND cell < intDiv({to:Int64} + 59999, 60000) ORDER BY cell";
        let asked = self.ask(sql).param("tenant", tenant).param("source", source_id).param("deliveries", DELIVERIES);
        rows(asked.param("from", from).param("to", to)).await
    }

    /// Counts those events of some minutes that happened within [from, to) (UTC milliseconds) and outside all gaps.
    pub async fn lost_in_minutes(
        &self,
        (tenant, source_id): (&str, &str),
        (minutes, gaps): (&[u32], &[GapTime]),
        (from, to): (i64, i64),
    ) -> Result<Vec<LostInMinute>, StoreError> {
        let (Some(first), Some(last)) = (minutes.iter().min(), minutes.iter().max()) else { return Ok(Vec::new()) };
        let sql = "SELECT toUInt32(intDiv(toUnixTimestamp64Milli(at), 60000)) AS minute, count(), toUnixTimestamp64Milli(max(at)) FROM (\
              SELECT event_id, min(time) AS at, any(toString(e.realm)) AS realm, max(input != 'pull') AS pushed \
              FROM event_rows AS e FINAL WHERE tenant = {tenant:String} AND source_id = {source:String} \
              AND input IN ('webhook', 'kafka', 'pull') AND ordinal = 0 \
              AND time >= fromUnixTimestamp64Milli({first:Int64}, 'UTC') AND time < fromUnixTimestamp64Milli({last:Int64}, 'UTC') \
              AND has({minutes:Array(UInt32)}, toUInt32(intDiv(toUnixTimestamp64Milli(time), 60000))) \
              GROUP BY event_id, toStartOfMinute(time)\
            ) AS each WHERE NOT pushed AND toUnixTimestamp64Milli(at) >= {from:Int64} AND toUnixTimestamp64Milli(at) < {to:Int64} \
            AND NOT arrayExists((scope, since, until) -> (scope = '' OR each.realm = '' OR scope = each.realm) \
                AND toUnixTimestamp64Milli(at) >= since AND toUnixTimestamp64Milli(at) < until, \
              {scopes:Array(String)}, {begins:Array(Int64)}, {ends:Array(Int64)}) \
            GROUP BY minute ORDER BY minute";
        let asked = self.ask(sql).param("tenant", tenant).param("source", source_id).param("minutes", minutes);
        let asked = asked.param("first", i64::from(*first) * 60_000).param("last", i64::from(*last) * 60_000 + 60_000);
        let asked = asked.param("scopes", gaps.iter().map(|gap| gap.0.as_str()).collect::<Vec<_>>());
        let asked = asked.param("begins", gaps.iter().map(|gap| gap.1).collect::<Vec<_>>());
        let asked = asked.param("ends", gaps.iter().map(|gap| gap.2).collect::<Vec<_>>());
        let found: Vec<(u32, u64, i64)> = rows(asked.param("from", from).param("to", to)).await?;
        Ok(found.into_iter().map(|(minute, events, last)| LostInMinute { minute, events, last }).collect())
    }
}
