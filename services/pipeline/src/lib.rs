//! Log in, ClickHouse out. [`flow`] shows the whole chain on one screen; nothing here knows HTTP or a file format.

#![forbid(unsafe_code)]

pub mod block;
pub mod correlation;
pub mod coverage;
pub mod detect;
pub mod duty;
pub mod faults;
pub mod flow;
pub mod label;
pub mod metrics;
pub mod privileged;
mod register;
pub mod replay;
pub mod rollup;
