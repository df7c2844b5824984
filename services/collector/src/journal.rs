//! The one thing the intake needs of a journal: append many, durable when it answers. Knows no event types.

use events::ids::StreamId;
use std::{future::Future, pin::Pin};

/// A boxed future, so that the journal can be a trait object.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One record to be: canonical header bytes and redacted body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// [`events::receipt::ReceiptHeader::to_bytes`].
    pub header: Vec<u8>,
    /// Redacted bytes.
    pub body: Vec<u8>,
}

/// Where entries went: seqs `first_seq .. first_seq + count` of `stream`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The stream of this run.
    pub stream: StreamId,
    /// Seq of the first entry.
    pub first_seq: u64,
    /// Number of entries.
    pub count: u32,
}

/// Why nothing was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// No room now: try again later.
    #[error("the journal is full")]
    Full,
    /// These entries are larger than the journal takes at once.
    #[error("the entries are too large for the journal")]
    TooLarge,
    /// The writer has stopped after a failed sync: the state of the last write is unknown and the process must end.
    #[error("the journal has stopped")]
    Stopped,
}

impl Append for durable_log::Journal {
    fn append(&self, entries: Vec<Entry>) -> Later<'_, Result<Appended, AppendError>> {
        let entries = entries.into_iter().map(|entry| durable_log::Entry { header: entry.header, body: entry.body });
        let entries = entries.collect();
        Box::pin(async move {
            let appended = durable_log::Journal::append(self, entries).await.map_err(|error| match error {
                durable_log::AppendError::Full => AppendError::Full,
                durable_log::AppendError::TooLarge => AppendError::TooLarge,
                durable_log::AppendError::Stopped => AppendError::Stopped,
            })?;
            Ok(Appended { stream: StreamId(appended.stream), first_seq: appended.first_seq, count: appended.count })
        })
    }

    fn can_append(&self) -> bool {
        self.status().can_append
    }
}

/// A durable log.
pub trait Append: Send + Sync + 'static {
    /// Appends all entries or none; when it answers `Ok`, they are on disk.
    fn append(&self, entries: Vec<Entry>) -> Later<'_, Result<Appended, AppendError>>;

    /// Whether an append would be taken now.
    fn can_append(&self) -> bool;
}
