//! Short messages between the processors of one deployment: any of them puts, one of them at a time reads. Whoever reads is
//! chosen by the log, and another one takes over when it dies or hangs.
//!
//! - A message whose `put` ended well comes out at the reader, at least once; one that did not may come out as well.
//! - What was settled does not come out again; what was not comes out again, here or at the next reader.
//! - What cannot be brought is told as a [`Loss`], never skipped in silence.
//! - Two may believe for a moment that they read: one that hung does not know yet. Its marks settle nothing any more.

use crate::carrier::{CarryError, Loss};
use bytes::Bytes;
use std::future::Future;
use tokio::sync::watch;

/// What one read brings.
#[derive(Debug)]
pub struct Messages<M> {
    /// In the order in which they were put.
    pub bodies: Vec<Bytes>,
    /// Up to where they reach.
    pub mark: M,
    /// What is missing.
    pub losses: Vec<Loss>,
}

/// A message that nobody may have. Put it again.
#[derive(Debug, thiserror::Error)]
#[error("a message cannot be put: {0}")]
pub struct NotPut(pub String);

/// One processor's end. A handle is cheap to clone; clones share it.
pub trait Bulletin: Clone + Send + Sync + 'static {
    /// Up to where a read reaches.
    type Mark: Send + 'static;

    /// Puts a message; ends well when it is as durable as the log's records.
    fn put(&self, body: Vec<u8>) -> impl Future<Output = Result<(), NotPut>> + Send;

    /// The next messages: waits until there are some and this processor is the one that reads. Dropping the future loses
    /// nothing.
    fn next(&self) -> impl Future<Output = Result<Messages<Self::Mark>, CarryError>> + Send;

    /// Notes that everything up to a mark has been dealt with. Marks are settled in the order of their reads.
    fn settle(&self, mark: Self::Mark) -> Result<(), CarryError>;

    /// True while this processor is the one that reads.
    fn reads(&self) -> watch::Receiver<bool>;
}

/// The end of a program that has nobody to talk to. Never made.
#[derive(Clone, Copy, Debug)]
pub enum Alone {}

impl Bulletin for Alone {
    type Mark = ();

    async fn put(&self, _: Vec<u8>) -> Result<(), NotPut> {
        match *self {}
    }

    async fn next(&self) -> Result<Messages<()>, CarryError> {
        match *self {}
    }

    fn settle(&self, (): ()) -> Result<(), CarryError> {
        match *self {}
    }

    fn reads(&self) -> watch::Receiver<bool> {
        match *self {}
    }
}
