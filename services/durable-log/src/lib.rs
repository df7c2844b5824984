//! The log contract and the embedded journal: append many, read from an offset, commit a consumer's offset, trim.
//!
//! [`log::Log`] is the contract; [`journal::Journal`] keeps it in files of one folder, one writer thread, one sync per
//! group of appends. Knows no event types: a record is a header and a body of bytes. The bytes on disk are described
//! in docs/journal-format.md, which changes together with `format.rs`.
#![deny(unsafe_code)]

pub mod bulletin;
pub mod carrier;
pub mod chain;
mod cursors;
mod damage;
pub mod disk;
pub mod format;
pub mod journal;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod log;
mod options;
mod prepare;
mod quarantine;
mod queue;
mod reader;
mod recover;
mod scan;
pub mod scrub;
mod segment;
mod shared;
mod slot;
mod status;
mod trim;
mod writer;

pub use damage::{Damage, DamageKind, SeqRange};
pub use journal::{Journal, OpenError};
pub use log::{
    AppendError, Appended, Batch, Closed, CommitError, Enc, Entry, Log, MAX_APPEND_BYTES, MAX_APPEND_ENTRIES,
    MAX_RECORD_BYTES, ReadError, ReadLimits, Record, Sealed,
};
pub use options::Options;
pub use quarantine::QuarantineStatus;
pub use scrub::{ScrubError, ScrubReport, StreamReport, inspect};
pub use status::{Activity, Status, Syncs};
pub use trim::{TrimError, Trimmed};
