//! What carries records to processors: one contract over the journal and over a real Kafka; what only Kafka can do wrong.
#![allow(clippy::unwrap_used)]

mod aside;
mod broker;
mod contract;
mod damaged;
mod embedded;
mod independent;
mod injected;
mod kafka;
mod losses;
mod racks;
mod secured;
mod sizes;
mod topics;
