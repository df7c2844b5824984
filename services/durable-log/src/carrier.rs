//! The contract of what carries records from the journal that took them in to a processor: the journal itself on one
//! machine, Kafka between several. One test-suite runs over both (tests/carrier).
//!
//! - A record that a journal acknowledged comes out in some load, whole and as it was appended, at least once; never before
//!   it is durable.
//! - Numbers are dense per stream over everything that comes out. A single consumer may see only a part of a stream, and in
//!   another order: whoever judges completeness does it over what was stored, not here.
//! - What was settled does not come out again; what was not comes out again, here or at another consumer, after a restart.
//! - What cannot be brought is told as a [`Loss`], never skipped in silence, and told again until it is settled.

mod journal;

pub use journal::JournalCarrier;

use crate::log::Record;
use std::future::Future;
use std::time::Duration;
use tokio::sync::watch;

/// How much one load may hold, and how long a small one waits for company.
#[derive(Clone, Copy, Debug)]
pub struct Appetite {
    /// Most records.
    pub records: usize,
    /// Most bytes of headers and bodies, but for one record that alone is larger.
    pub bytes: usize,
    /// With this many records a load waits no longer.
    pub enough: u64,
    /// Longest wait of a smaller one.
    pub linger: Duration,
}

/// Records in the order in which they came, and what could not be brought between them.
#[derive(Debug)]
pub struct Load<M> {
    /// May be empty if there are losses.
    pub records: Vec<Record>,
    /// Up to where this load reaches.
    pub mark: M,
    /// What is missing.
    pub losses: Vec<Loss>,
}

/// Why something could not be brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// Bytes of the journal are damaged.
    Damaged,
    /// Deleted by the log's retention before this consumer had read it.
    Expired,
    /// The log ends before what was settled: it was cut back.
    WentBack,
    /// The topic was deleted and made anew.
    Recreated,
    /// There is a record, and it is none of ours or was altered.
    Unreadable,
    /// The log holds something between two records, and it did not come.
    Passed,
}

impl Cause {
    /// The name in metrics, gaps and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Damaged => "journal_damaged",
            Self::Expired => "log_expired",
            Self::WentBack => "log_went_back",
            Self::Recreated => "log_recreated",
            Self::Unreadable => "record_unreadable",
            Self::Passed => "log_passed",
        }
    }
}

/// Something that was carried and does not come out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Why.
    pub cause: Cause,
    /// Where: file and bytes, or topic, partition and offsets. No content.
    pub place: String,
    /// How many records, if that is known.
    pub missing: Option<u64>,
    /// The time of the last record known before it, UTC milliseconds; none if there is none.
    pub since_ms: Option<i64>,
}

/// A record that came whole and that nobody understands.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// As it came.
    pub record: Record,
    /// Why, by name.
    pub reason: &'static str,
    /// Version of what did not understand it.
    pub normaliser: u32,
}

/// Why nothing comes any more. The process must stop.
#[derive(Debug, thiserror::Error)]
pub enum CarryError {
    /// The log was closed or its writer died.
    #[error("the log has stopped")]
    Closed,
    /// The medium cannot be read, or the position cannot be kept.
    #[error("the log failed: {0}")]
    Failed(String),
}

/// One consumer's end of a log. A handle is cheap to clone; clones share the position.
pub trait Carrier: Clone + Send + Sync + 'static {
    /// Up to where a load reaches.
    type Mark: Send + 'static;

    /// The next load: waits until there is something. Dropping the future loses nothing.
    fn next(&self) -> impl Future<Output = Result<Load<Self::Mark>, CarryError>> + Send;

    /// Notes that everything up to a mark has been dealt with, durably. Marks are settled in the order of their loads. One
    /// of a load that meanwhile belongs to another consumer changes nothing.
    fn settle(&self, mark: Self::Mark) -> Result<(), CarryError>;

    /// Hands on copies of dead letters of loads that are settled after it, where somebody may look for them; the store keeps
    /// what counts. Waits for nobody.
    fn set_aside(&self, _: &[DeadLetter]) {}

    /// Records that wait to be settled, as far as known without asking anybody.
    fn backlog(&self) -> u64;

    /// True while this consumer is the one of its group that does what only one may do.
    fn leads(&self) -> watch::Receiver<bool>;

    /// Up to when, UTC milliseconds, everything that the log held is settled, by whichever consumer. Where it has several ways, a record
    /// may wait on one while those behind it came by another, and nobody can say of its number that it is missing. The end of time
    /// where records come in the order of their numbers, and where nobody is allowed to know.
    fn settled_until(&self) -> watch::Receiver<i64> {
        watch::channel(i64::MAX).1
    }
}
