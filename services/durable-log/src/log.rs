//! The contract of a log: what an append promises, what a read may return, what a commit means.
//!
//! This is the side of whoever takes records in and of whoever reads them by offset in the same process: the embedded
//! journal. What several carriers have in common is [`crate::carrier`]. Nothing here touches a disk or a network.

use crate::damage::Damage;
use bytes::Bytes;
use std::future::Future;

/// Greatest size of one record, header and body together, in bytes.
pub const MAX_RECORD_BYTES: usize = 8 * 1024 * 1024;
/// Greatest size of one append, all headers and bodies together, in bytes.
pub const MAX_APPEND_BYTES: usize = 32 * 1024 * 1024;
/// Greatest number of entries in one append.
pub const MAX_APPEND_ENTRIES: usize = 65_536;

/// What a caller wants kept: opaque bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Goes into the chain as it is.
    pub header: Vec<u8>,
    /// Goes into the chain only through its commitment.
    pub body: Vec<u8>,
}

/// How a body is encrypted. Reserved: this version writes [`Enc::NONE`] only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Enc {
    /// Algorithm, 0 = none.
    pub algorithm: u8,
    /// Id of the key, 0 = none.
    pub key: u32,
}

impl Enc {
    /// Not encrypted.
    pub const NONE: Self = Self { algorithm: 0, key: 0 };
}

/// A record as read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Number of the record in this log over all streams: dense, never used twice for acknowledged records.
    pub offset: u64,
    /// The run of a writer that took it in.
    pub stream: [u8; 16],
    /// Number within the stream, dense from 0.
    pub seq: u64,
    /// Header as appended.
    pub header: Bytes,
    /// Body as appended.
    pub body: Bytes,
    /// Random key of the commitment.
    pub salt: [u8; 16],
    /// HMAC-SHA-256(salt, body).
    pub commitment: [u8; 32],
    /// See [`crate::chain::link`].
    pub chain: [u8; 32],
    /// How the body is encrypted.
    pub enc: Enc,
}

/// Where an append went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Stream that took it.
    pub stream: [u8; 16],
    /// Sequence number of the first entry; the others follow without holes.
    pub first_seq: u64,
    /// Offset of the first entry; the others follow without holes.
    pub first_offset: u64,
    /// Number of entries.
    pub count: u32,
}

/// The stream before the present one, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Its id.
    pub stream: [u8; 16],
    /// Its last sequence number.
    pub last_seq: u64,
    /// Chain value of that record.
    pub last_chain: [u8; 32],
}

/// How much one read may return. At least one record is returned if there is one, whatever its size.
#[derive(Clone, Copy, Debug)]
pub struct ReadLimits {
    /// Most records.
    pub records: usize,
    /// Most bytes of headers and bodies.
    pub bytes: usize,
}

impl Default for ReadLimits {
    fn default() -> Self {
        Self { records: 4096, bytes: 8 * 1024 * 1024 }
    }
}

/// What a read found.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Records in order of offset.
    pub records: Vec<Record>,
    /// Where to read on. Every offset between `from` and `next` is in `records` or in a range of `damage`.
    pub next: u64,
    /// What could not be read on the way, by offset range. Reading again reports it again.
    pub damage: Vec<Damage>,
}

/// Why an append was not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Try again later: queue, disk or quota is full. None of the entries will be acknowledged.
    #[error("the log is full")]
    Full,
    /// Bad input: over [`MAX_RECORD_BYTES`], [`MAX_APPEND_BYTES`] or [`MAX_APPEND_ENTRIES`].
    #[error("the entries exceed the size limit")]
    TooLarge,
    /// State unknown: the writer died or was closed. The process must stop; the entries may or may not be there after it
    /// starts again.
    #[error("the log has stopped")]
    Stopped,
}

/// Why a read failed. Damage is no reason: it is reported in the batch and read past.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The offset was freed after every consumer had committed it.
    #[error("offset is below {first}, the first one kept")]
    Trimmed {
        /// First offset kept.
        first: u64,
    },
    /// The offset is past the durable end: the reader knows more than this log holds.
    #[error("offset is past {end}, the end of the log")]
    Beyond {
        /// Offset after the last durable record.
        end: u64,
    },
    /// The medium could not be read. A stop, never a skip: try again.
    #[error("cannot read {file}")]
    Io {
        /// File or topic.
        file: String,
        /// Cause.
        #[source]
        source: std::io::Error,
    },
}

/// Why a commit failed. The consumer's cursor is then the old or the new one.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// A consumer's name is 1 to 64 of `a-z`, `0-9`, `-` and `_`.
    #[error("a consumer's name must be 1 to 64 of a-z, 0-9, - and _")]
    Name,
    /// More consumers than `MAX_CONSUMERS`.
    #[error("too many consumers")]
    TooMany,
    /// Nothing past the durable end can have been processed.
    #[error("offset is past {end}, the end of the log")]
    Beyond {
        /// Offset after the last durable record.
        end: u64,
    },
    /// The cursor could not be made durable: try again.
    #[error("cannot write the cursor")]
    Io(#[source] std::io::Error),
}

/// The log was closed or its writer stopped: no record will come any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the log is closed")]
pub struct Closed;

/// A durable log with one writer and several consumers. A handle is cheap to clone.
pub trait Log: Clone + Send + Sync + 'static {
    /// Keeps the entries, in order and without a hole between them, and answers once they are durable: all or none.
    fn append(&self, entries: Vec<Entry>) -> impl Future<Output = Result<Appended, AppendError>> + Send;
    /// Durable records from an offset on. Blocks on the medium, never on a record to come.
    fn read(&self, from: u64, limits: ReadLimits) -> Result<Batch, ReadError>;
    /// Returns once `durable_end() > offset`.
    fn wait_past(&self, offset: u64) -> impl Future<Output = Result<(), Closed>> + Send;
    /// Offset after the last durable record.
    fn durable_end(&self) -> u64;
    /// Durably notes that a consumer needs nothing below `offset`. A lower offset than committed changes nothing. For a consumer whose
    /// name ends in `-again`, which reads a second time, nothing is kept that room is needed for.
    fn commit(&self, consumer: &str, offset: u64) -> Result<(), CommitError>;
    /// What the consumer committed last; for an unknown consumer the first offset kept.
    fn committed(&self, consumer: &str) -> u64;
}
