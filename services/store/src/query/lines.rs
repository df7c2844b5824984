//! Lines that are no receipts.

use super::rows;
use crate::{Store, StoreError};
use clickhouse::Row;
use serde::Deserialize;

/// Lines of one kind that a source sent and that are no receipts.
#[derive(Clone, Debug, PartialEq, Eq, Row, Deserialize)]
pub struct OtherLines {
    /// Source.
    pub source_id: String,
    /// Kind, a name of `events::lines::LineKind`.
    pub kind: String,
    /// Lines; those of a delivery that was repeated count once, where the repeat can be told.
    pub lines: u64,
    /// Newest delivery that held some, UTC milliseconds.
    pub last_received_at: i64,
}

impl Store {
    /// Lines that are no receipts, per source and kind.
    pub async fn other_lines(&self, tenant: &str) -> Result<Vec<OtherLines>, StoreError> {
        let sql = "SELECT ?fields FROM line_counts WHERE tenant = {tenant:String} ORDER BY source_id, kind";
        rows(self.ask(sql).param("tenant", tenant)).await
    }
}
