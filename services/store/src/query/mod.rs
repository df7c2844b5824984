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
mod story;
mod survey;
mod totals;
mod trace;
mod unsaved;

pub use counts::{FateCounts, MISSING_MAX, RangeCount, StreamStatus};
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
pub use unsaved::UnsavedType;

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

/// Most bytes of a list that is one parameter.
const PART_BYTES: usize = 100_000;

pub(crate) async fn rows<R: RowOwned + RowRead>(query: Query) -> Result<Vec<R>, StoreError> {
    within(settings::QUERY_WAIT, query.fetch_all::<R>()).await
}

/// All rows of an answer, or the error that there are more than `most`. The statement names the parameter `beyond` as its limit.
pub(crate) async fn all<R: RowOwned + RowRead>(
    query: Query,
    (what, most): (&'static str, u32),
) -> Result<Vec<R>, StoreError> {
    few(rows::<R>(query.param("beyond", most.saturating_add(1))).await?, (what, most))
}

/// All of what was found, or the error that it is more than `most`.
pub(crate) fn few<R>(found: Vec<R>, (what, most): (&'static str, u32)) -> Result<Vec<R>, StoreError> {
    if found.len() > most as usize { Err(StoreError::TooMany { what, most }) } else { Ok(found) }
}

/// A list of texts in parts that each fit into a parameter: ClickHouse takes 128 KiB of one, as it stands in an address.
pub(crate) fn parts(texts: &[String]) -> Vec<&[String]> {
    let (mut parts, mut first, mut bytes) = (Vec::new(), 0, 0);
    for (place, text) in texts.iter().enumerate() {
        // Each byte may be written as three, and so are two quotes and a comma.
        let more = 3 * text.len() + 9;
        if bytes + more > PART_BYTES && place > first {
            parts.push(&texts[first..place]);
            (first, bytes) = (place, 0);
        }
        bytes += more;
    }
    parts.extend(Some(&texts[first..]).filter(|rest| !rest.is_empty()));
    parts
}

/// A name that the store holds and this program does not know: the store is newer, or damaged.
pub(crate) fn unknown(column: &str) -> StoreError {
    StoreError::incompatible(format!("a stored {column} is not known to this program"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_hold_every_text_once_and_fit() {
        let texts: Vec<String> = (0..9_000).map(|number| "x".repeat(number % 97)).collect();
        let found = parts(&texts);
        assert!(found.len() > 5 && found.concat() == texts);
        let bytes = |part: &[String]| part.iter().map(|text| 3 * text.len() + 9).sum::<usize>();
        assert!(found.iter().all(|part| bytes(part) <= PART_BYTES));
        assert!(parts(&[]).is_empty());
        let long = ["y".repeat(PART_BYTES), "z".to_owned()];
        assert_eq!(parts(&long).len(), 2, "what fits nowhere stands alone");
    }
}
