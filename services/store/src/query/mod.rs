//! Reading: typed answers, server-side parameters only, always through what sees one row per key.

mod bodies;
mod counts;
mod event;
mod lines;
mod lost;
mod paths;
pub(crate) mod receipt;
mod report;
mod snapshots;
mod survey;
mod totals;
mod trace;

pub use counts::{FateCounts, RangeCount, StreamStatus};
pub use event::StoredEvent;
pub use lines::OtherLines;
pub use lost::{GapTime, LostInMinute};
pub use paths::PathCounts;
pub use receipt::{Page, StoredBody, StoredHeader};
pub use report::{ReportParams, Taking};
pub use snapshots::{ComparedArea, SnapshotSide, TakenSnapshot};
pub use survey::{LineSurvey, SurveyedEvents, SurveyedReceipts};
pub use totals::Totals;
pub use trace::{EventPage, PersonQuery, Term, TraceQuery};

use crate::{Store, StoreError, error::within, settings};
use clickhouse::{RowOwned, RowRead, query::Query};
use std::fmt::Display;

/// Most rows that one call returns, whatever the caller asks for.
const ROWS_MAX: u32 = 50_000;

impl Store {
    /// A read on this database with the pinned settings.
    pub(crate) fn ask(&self, sql: &str) -> Query {
        settings::pin(self.on_database(), settings::READ).query(sql)
    }

    /// A statement that reads and writes within the server.
    pub(crate) fn run(&self, sql: &str) -> Query {
        settings::pin(settings::pin(self.on_database(), settings::INSERT), settings::READ).query(sql)
    }
}

/// Runs a statement that answers nothing.
pub(crate) async fn done(query: Query) -> Result<(), StoreError> {
    within(settings::QUERY_WAIT, query.execute()).await
}

/// Numbers for a list within a statement.
pub(crate) fn numbers<T: Display>(numbers: &[T]) -> String {
    numbers.iter().map(T::to_string).collect::<Vec<_>>().join(",")
}

pub(crate) async fn rows<R: RowOwned + RowRead>(query: Query) -> Result<Vec<R>, StoreError> {
    within(settings::QUERY_WAIT, query.fetch_all::<R>()).await
}

/// All rows of an answer, or the error that there are more than `most`. The statement names the parameter `beyond` as its limit.
pub(crate) async fn all<R: RowOwned + RowRead>(
    query: Query,
    (what, most): (&'static str, u32),
) -> Result<Vec<R>, StoreError> {
    let found = rows::<R>(query.param("beyond", most.saturating_add(1))).await?;
    if found.len() > most as usize { Err(StoreError::TooMany { what, most }) } else { Ok(found) }
}

/// A name that the store holds and this program does not know: the store is newer, or damaged.
pub(crate) fn unknown(column: &str) -> StoreError {
    StoreError::incompatible(format!("a stored {column} is not known to this program"))
}
