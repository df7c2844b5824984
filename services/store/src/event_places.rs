//! Where events are that evidence names: of which source, and in which receipt.

use crate::{
    Store, StoreError,
    query::{parts, rows},
};
use uuid::Uuid;

/// Some events between two times.
const OF_EVENTS: &str = "FROM event_rows WHERE tenant = {tenant:String} \
    AND time >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND time <= fromUnixTimestamp64Milli({to:Int64}, 'UTC') \
    AND event_id IN (arrayMap(id -> toUUID(id), {events:Array(String)}))";

impl Store {
    /// Of which sources some events are that happened between two times.
    pub async fn sources_of(
        &self,
        tenant: &str,
        events: &[Uuid],
        span: (i64, i64),
    ) -> Result<Vec<(Uuid, String)>, StoreError> {
        let sql = format!("SELECT DISTINCT toString(event_id), toString(source_id) {OF_EVENTS}");
        self.of_events(&sql, (tenant, events), span).await
    }

    /// Where events lie: id and STREAM/SEQ, of those that are stored between two times.
    pub async fn receipts_of(
        &self,
        tenant: &str,
        events: &[Uuid],
        span: (i64, i64),
    ) -> Result<Vec<(Uuid, String)>, StoreError> {
        let sql = format!(
            "SELECT toString(event_id), min(concat(lower(hex(stream)), '/', toString(seq))) {OF_EVENTS} AND is_deleted = 0 GROUP BY event_id"
        );
        self.of_events(&sql, (tenant, events), span).await
    }

    async fn of_events(
        &self,
        sql: &str,
        (tenant, events): (&str, &[Uuid]),
        (from, to): (i64, i64),
    ) -> Result<Vec<(Uuid, String)>, StoreError> {
        let events: Vec<String> = events.iter().map(Uuid::to_string).collect();
        let mut found = Vec::new();
        for some in parts(&events) {
            let asked = self.ask(sql).param("tenant", tenant).param("events", some);
            let asked = asked.param("from", crate::rows::stored_time(from)).param("to", crate::rows::stored_time(to));
            for (id, told) in rows::<(String, String)>(asked).await? {
                found.push((id.parse().map_err(|_| crate::query::unknown("event id"))?, told));
            }
        }
        Ok(found)
    }
}
