//! Reports: named questions whose answers come with what they cover, what they cannot see, and how to check them.
//!
//! The life of a report: [`Report::named`] finds it; [`run()`] reads the facts of completeness, streams the rows of its statement
//! through a [`mod@format`] into a file of a passing name, recomputes some rows from raw receipts, judges all that
//! ([`verdict`]), writes the sheet beside the data and only then gives both their names. One report is one file: question,
//! statement, columns. Nothing here speaks ClickHouse (that is `store`), reads a clock or knows a config.
#![forbid(unsafe_code)]

mod access_listing;
mod access_trace;
mod accuracy;
mod authentication;
mod chart;
mod configuration;
mod continuity;
pub mod coverage;
pub mod format;
mod output;
pub mod report;
pub mod run;
mod sample;
pub mod sheet;
pub mod verdict;

pub use format::Format;
pub use output::Target;
pub use report::{Report, UnknownReport};
pub use run::{Order, Outcome, Who, run};
pub use sheet::{JournalFact, JournalStream};

/// Why a report could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] store::StoreError),
    /// A file could not be written.
    #[error("cannot write {what}")]
    Write {
        /// Which.
        what: String,
        /// Why.
        source: std::io::Error,
    },
    /// The store answered what this program does not expect.
    #[error("an answer of the store cannot be read: {0}")]
    Answer(String),
    /// The format cannot hold it.
    #[error("{0}")]
    Unfit(&'static str),
    /// What was read is of two instants.
    #[error(
        "the answers of this period changed while they were read, {0} times in a row: run it again, or end the period earlier"
    )]
    Moving(u32),
}
