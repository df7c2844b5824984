//! Notes that something was stored of which nobody has told whoever correlates: by processors that cannot reach it otherwise. A note
//! is open until it was answered; another note is another row, so none is answered unseen.

use crate::{Store, StoreError, lock::now_ms, query::rows};
use clickhouse::Row;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A note.
#[derive(Clone, Debug, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct Note {
    tenant: String,
    /// When, by the clock of who noted, UTC milliseconds.
    pub recorded_at: i64,
    #[serde(with = "clickhouse::serde::uuid")]
    id: Uuid,
    answered: u8,
}

impl Store {
    /// Notes that receipts of a tenant were stored before, and not announced.
    pub async fn note_unannounced(&self, tenant: &str) -> Result<(), StoreError> {
        let note = Note { tenant: tenant.to_owned(), recorded_at: now_ms(), id: Uuid::new_v4(), answered: 0 };
        self.write_typed::<Note>("unannounced_rows", &[note]).await
    }

    /// The notes that are open.
    pub async fn unannounced(&self, tenant: &str) -> Result<Vec<Note>, StoreError> {
        let sql = "SELECT ?fields FROM unannounced_rows FINAL WHERE tenant = {tenant:String} AND answered = 0 \
            ORDER BY recorded_at, id";
        rows::<Note>(self.ask(sql).param("tenant", tenant)).await
    }

    /// Everything that was stored before these notes is answered.
    pub async fn answer_unannounced(&self, notes: Vec<Note>) -> Result<(), StoreError> {
        let answered: Vec<Note> = notes.into_iter().map(|note| Note { answered: 1, ..note }).collect();
        self.write_typed::<Note>("unannounced_rows", &answered).await
    }
}
