//! Tells receivers what the register of findings holds: Standard Webhooks, Alertmanager, Slack-style webhooks.
//!
//! At least once: a message is written to the store before its first attempt and stays there until the receiver has taken it; a
//! restart sends it again under the same id. A receiver that is dead holds nothing up: each has its own loop. Never follows a
//! redirect, speaks to no other host and port than the config names, and tells names only to receivers whose config says so.

#![forbid(unsafe_code)]

mod board;
mod chat;
mod deliver;
mod outbox;
mod plan;
mod probe;
mod receiver;
mod render;
mod repeat;
mod sign;

pub use board::{Board, ReceiverState};
pub use deliver::{Deliverer, Timing};
pub use plan::{Told, What, due};
pub use receiver::{Kind, Naming, Proof, Receiver, Refused, UnusableReceiver};
pub use render::{Notice, Words, body, test_notice};
pub use sign::{Secret, SecretError, signature};
