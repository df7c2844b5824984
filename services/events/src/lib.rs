//! The words of the field: receipt, event, person, position. Pure: no I/O, no clock, no randomness.
//!
//! A [`receipt::Receipt`] is what arrived; [`normalise::normalise`] turns it into [`event::Event`]s.
//! Nothing here knows of files, sockets or databases.

#![forbid(unsafe_code)]

pub mod act;
pub mod event;
pub mod finding_act;
pub mod ids;
pub mod lines;
pub mod normalise;
pub mod person;
pub mod receipt;
pub mod record;
pub mod snapshot;
