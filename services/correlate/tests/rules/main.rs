//! Each rule of `docs/correlation.md` in a case of its own; every case is told in order, backwards, twice, and settled after each fact.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

mod accounts;
mod case;
mod catalog;
mod expiry;
mod federated;
mod forgetting;
mod hostile;
mod identity;
mod late_lines;
mod names;
mod pending;
mod persons;
mod reads;
mod repeats;
mod rights;
mod roles;
mod sessions;
mod snapshots;
mod unknown_policy;
mod unnamed;
