//! Bodies by class: what recorded states of a source say, for readers that need the state itself.

use super::{receipt::Blob, rows};
use crate::{Store, StoreError};
use clickhouse::Row;
use events::receipt::Payload;
use serde::Deserialize;

#[derive(Row, Deserialize)]
struct OnlyBody {
    body: Blob,
}

impl Store {
    /// Redacted bodies of one class of one source, the newest first, at most `limit`.
    pub async fn bodies_of(
        &self,
        tenant: &str,
        (source_id, payload): (&str, Payload),
        limit: u32,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        let sql = "SELECT body FROM raw_bodies FINAL WHERE tenant = {tenant:String} AND (stream, seq) IN (\
              SELECT stream, seq FROM receipt_rows WHERE tenant = {tenant:String} AND source_id = {source:String} \
              AND payload = {payload:String}\
            ) ORDER BY received_at DESC, seq DESC LIMIT {limit:UInt32}";
        let asked = self
            .ask(sql)
            .param("tenant", tenant)
            .param("source", source_id)
            .param("payload", payload.as_str())
            .param("limit", limit);
        Ok(rows::<OnlyBody>(asked).await?.into_iter().map(|row| row.body.0).collect())
    }
}
