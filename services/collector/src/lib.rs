//! Sources in: HTTP requests are verified, redacted, split into receipts and appended before they are answered.
//!
//! The order is fixed by types: bytes are [`verify::Unverified`] until [`verify::Verifier`] has seen their proof, and only
//! [`receive`] turns proven bytes into journal entries, through [`redact`] and [`split`]. Nothing here reads a file,
//! binds a port or knows ClickHouse; the program hands in sources, a bound listener, a clock, a key and a journal.

#![forbid(unsafe_code)]

pub mod admin;
pub mod config;
pub mod heartbeat;
pub mod http;
pub mod inflate;
pub mod journal;
pub mod metrics;
pub mod pull;
pub mod receive;
pub mod redact;
pub mod server;
pub mod snapshot;
pub mod split;
pub mod topic;
pub mod verify;
