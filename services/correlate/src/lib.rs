//! Who could do what, when, on the strength of which login and which group, and is anything missing?
//!
//! Pure: no I/O, no clock, no randomness. In go [`facts::Fact`]s, taken from events by [`facts::facts`]; out come [`rows::Change`]s: rows that are new, changed or gone, each with a version and
//! the event that made the difference.
//!
//! ```text
//! event ─ facts ─> take ─> histories (state/) <─ asked as of an instant ─ answer/ ─> rows ─> settle ─> changes
//! ```
//!
//! A row is a function of the facts alone, never of the order in which they came: a fact is put where it belongs in its history,
//! and whatever it touches is answered anew. So a late event costs the answers from its time on, of those whom it concerns.
//! `docs/correlation.md` says the rules in plain words.
//!
//! A caller makes one [`Correlator`] per tenant, takes every event of a block and settles once; each change is one row to write,
//! keyed by [`rows::Key`]. Any instant can be asked at any time, so a late fact needs no replay. What it needs is the evidence in
//! memory, which grows with the facts. So a caller has it forget from time to time what lies far enough back ([`Correlator::forget`]),
//! and reads everything anew where something comes that would have needed it ([`Correlator::too_old`]). [`checkpoint`] makes a
//! start cheap.
//!
//! Where to begin: [`Correlator`], then `intake.rs` (fact -> history), `state/ledger.rs` and `state/history.rs` (what a history is) and
//! `answer/judge.rs` (what a decision is measured against).

#![forbid(unsafe_code)]

mod answer;
pub mod checkpoint;
mod config;
mod correlator;
mod dirt;
pub mod facts;
mod forget;
mod intake;
mod keys;
mod known;
mod log;
mod moment;
mod names;
pub mod persons;
mod reading;
pub mod rows;
mod settle;
mod snapshots;
mod state;
pub mod table;

pub use answer::grants::Effective;
pub use config::{Budgets, Config, Join};
pub use correlator::Correlator;
pub use moment::{Millis, Moment, Rank, Span};
