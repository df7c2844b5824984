//! Heartbeats: sent, come back by which ways, and found among stored events.

use crate::{
    Store, StoreError,
    error::within,
    native::columns,
    query::rows,
    settings::{self, MIGRATION_WAIT},
};
use clickhouse::Row;
use events::receipt::Input;
use serde::Deserialize;

/// A heartbeat as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentHeartbeat {
    /// Tenant.
    pub tenant: String,
    /// Source.
    pub source_id: String,
    /// When, UTC milliseconds of our clock.
    pub sent_at: i64,
    /// Realm of a Keycloak; instance of a Backstage, empty if it counts as one.
    pub scope: String,
    /// By what it is known again; empty if it was not sent.
    pub id: String,
    /// `sent`, or in a word why not.
    pub state: String,
}

columns!(SentHeartbeat: tenant, source_id, sent_at, scope, id, state);

/// A heartbeat that came back by one input. The first arrival counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenHeartbeat {
    /// Tenant.
    pub tenant: String,
    /// Source.
    pub source_id: String,
    /// When it happened by the source's clock, UTC milliseconds.
    pub time: i64,
    /// By what it is known.
    pub id: String,
    /// Way in, by its name.
    pub input: String,
    /// When it arrived, UTC milliseconds of our clock.
    pub received_at: i64,
}

columns!(SeenHeartbeat: tenant, source_id, time, id, input, received_at);

/// A heartbeat with all the ways by which it came back.
#[derive(Clone, Debug, PartialEq, Eq, Row, Deserialize)]
pub struct HeartbeatStatus {
    /// Realm of a Keycloak; instance of a Backstage, empty if it counts as one.
    pub scope: String,
    /// When it was sent, UTC milliseconds of our clock.
    pub sent_at: i64,
    /// `sent`, or in a word why not.
    pub state: String,
    /// The ways.
    pub seen: Vec<Seen>,
}

/// One way by which a heartbeat came back: input, time by the source's clock and arrival by ours (UTC milliseconds).
pub type Seen = (String, i64, i64);

impl Store {
    /// Heartbeats sent from `since` on (UTC milliseconds) with the ways by which they came back, oldest first.
    pub async fn heartbeats(
        &self,
        tenant: &str,
        source_id: &str,
        since: i64,
    ) -> Result<Vec<HeartbeatStatus>, StoreError> {
        let sql = "SELECT ?fields FROM heartbeats WHERE tenant = {tenant:String} AND source_id = {source:String} \
            AND sent_at >= fromUnixTimestamp64Milli({since:Int64}, 'UTC') ORDER BY scope, sent_at";
        rows(self.ask(sql).param("tenant", tenant).param("source", source_id).param("since", since)).await
    }

    /// Looks among a Keycloak's stored events for heartbeats sent from `since` on (UTC milliseconds) that have not yet come
    /// back by `input`, and notes those that have. Clocks may differ by `clock` milliseconds.
    pub async fn find_heartbeats(
        &self,
        (tenant, source_id): (&str, &str),
        input: Input,
        (since, clock): (i64, i64),
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO heartbeat_seen_rows (tenant, source_id, time, id, input, received_at) \
            WITH (SELECT min(sent_at) FROM heartbeat_rows WHERE tenant = {tenant:String} AND source_id = {source:String} \
                AND sent_at >= fromUnixTimestamp64Milli({since:Int64}, 'UTC') AND id != '' \
                AND id NOT IN (SELECT id FROM heartbeat_seen_rows WHERE tenant = {tenant:String} AND source_id = {source:String} \
                    AND input = {input:String} AND time >= fromUnixTimestamp64Milli({since:Int64} - {clock:Int64}, 'UTC'))) AS oldest \
            SELECT tenant, source_id, time, token_id, toString(input), \
                fromUnixTimestamp64Milli(toInt64(281474976710655 - bitAnd(max(version), 281474976710655)), 'UTC') \
            FROM event_rows WHERE tenant = {tenant:String} AND source_id = {source:String} AND input = {input:String} \
            AND time >= oldest - toIntervalMillisecond({clock:Int64}) AND native_type = 'CLIENT_LOGIN' AND is_deleted = 0 \
            AND token_id IN (SELECT id FROM heartbeat_rows WHERE tenant = {tenant:String} AND source_id = {source:String} \
                AND sent_at >= fromUnixTimestamp64Milli({since:Int64}, 'UTC') AND id != '' \
                AND id NOT IN (SELECT id FROM heartbeat_seen_rows WHERE tenant = {tenant:String} AND source_id = {source:String} \
                    AND input = {input:String} AND time >= fromUnixTimestamp64Milli({since:Int64} - {clock:Int64}, 'UTC'))) \
            GROUP BY tenant, source_id, time, token_id, input";
        let asked = settings::pin_query(self.run(sql), settings::LONG)
            .param("tenant", tenant)
            .param("source", source_id)
            .param("input", input.as_str())
            .param("since", since)
            .param("clock", clock);
        within(MIGRATION_WAIT, asked.execute()).await
    }
}
