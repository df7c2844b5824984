//! Puts a journal's records on a topic, in order, and keeps the cursor at the last record below which the broker has
//! confirmed all. The journal is the queue: when librdkafka's is full, reading stops; what was not confirmed is read and sent
//! again, so a processor may see a record twice and never misses one.

use super::sending::Run;
use super::settings::Connection;
use super::wire::Labeller;
use crate::journal::Journal;
use crate::segment::locked;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use tokio::runtime::Handle;
use tokio::sync::watch;

/// Name of the forwarder's cursor in the journal.
pub const CONSUMER: &str = "kafka";
/// Up to where it has sent what it was ordered to send again; there only while it has not sent all.
pub const AGAIN: &str = "kafka-again";

/// A forwarder that stands still for good.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    /// The journal stopped: its state is unknown and the process must stop too.
    #[error("the journal has stopped")]
    Closed,
    /// The journal cannot be read.
    #[error("the journal failed: {0}")]
    Journal(String),
    /// Its thread died.
    #[error("the forwarder died")]
    Died,
}

/// What to forward.
pub struct Forwarder {
    /// From here.
    pub journal: Journal,
    /// To there.
    pub connection: Connection,
    /// On this topic.
    pub topic: String,
    /// Key and labels of a record.
    pub label: Labeller,
    /// True: forward also to a topic whose settings could lose what it acknowledged.
    pub allow_loss: bool,
}

/// A forwarder at one moment.
#[derive(Clone, Debug, Default)]
pub struct ForwardStatus {
    /// Every record below is confirmed.
    pub cursor: u64,
    /// Confirmations.
    pub confirmed: u64,
    /// Records that were sent again after a failure.
    pub resent: u64,
    /// Producers made anew: after a fatal error, for exchanged files, for a topic that can be used again, or for records to go one by one.
    pub renewed: u64,
    /// Records that were sent and are not confirmed.
    pub in_flight: u64,
    /// What is wrong with the brokers now.
    pub trouble: Option<String>,
    /// Why nothing is forwarded to this topic.
    pub refused: Option<String>,
    /// Milliseconds that the brokers' clock is ahead of ours, below zero if it is behind; none before their first answer.
    pub clock_ahead: Option<i64>,
}

/// A running forwarder.
pub struct Forwarding {
    status: Arc<Mutex<ForwardStatus>>,
    journal: Journal,
    orders: Arc<Mutex<Orders>>,
    ended: watch::Receiver<bool>,
    thread: Option<JoinHandle<Result<(), ForwardError>>>,
}

/// What the thread is told.
#[derive(Default)]
pub(super) struct Orders {
    pub(super) stop: bool,
    /// Send again from this offset on.
    pub(super) again: Option<u64>,
}

impl Orders {
    /// Of several orders the one that reaches back furthest holds all. Blocks on the disk: from here on no kill ends it.
    fn again_from(&mut self, journal: &Journal, from: u64) -> Result<(), ForwardError> {
        let from = standing(journal).map_or(from, |known| known.min(from));
        journal.set_back(AGAIN, from).map_err(journal_failed)?;
        self.again = Some(from);
        Ok(())
    }
}

/// Where an order to send again stands, if there is one.
fn standing(journal: &Journal) -> Option<u64> {
    journal.status().committed.into_iter().find(|(name, _)| name == AGAIN).map(|(_, offset)| offset)
}

fn journal_failed(error: impl std::fmt::Display) -> ForwardError {
    ForwardError::Journal(error.to_string())
}

impl Forwarder {
    /// Starts a thread of its own; `handle` is where the journal's progress is waited for. From here on the journal keeps
    /// what is not forwarded.
    pub fn start(self, handle: Handle) -> Result<Forwarding, ForwardError> {
        let from = self.journal.committed(CONSUMER);
        self.journal.commit(CONSUMER, from).map_err(journal_failed)?;
        let journal = self.journal.clone();
        let again = standing(&journal).map(|again| again.min(from));
        let status = ForwardStatus { cursor: again.unwrap_or(from), ..ForwardStatus::default() };
        let status = Arc::new(Mutex::new(status));
        let orders = Arc::<Mutex<Orders>>::default();
        let (over, ended) = watch::channel(false);
        let run = Run::new(self, handle, (status.clone(), orders.clone()), (from, again));
        let body = move || {
            let outcome = run.run();
            over.send_replace(true);
            outcome
        };
        let thread =
            std::thread::Builder::new().name("forwarder".into()).spawn(body).map_err(|_| ForwardError::Died)?;
        Ok(Forwarding { status, journal, orders, ended, thread: Some(thread) })
    }
}

impl Forwarding {
    /// How it stands.
    pub fn status(&self) -> ForwardStatus {
        locked(&self.status).clone()
    }

    /// Tells the status without the handle, for metrics and health.
    pub fn watch(&self) -> impl Fn() -> ForwardStatus + Send + Sync + 'static {
        let status = self.status.clone();
        move || locked(&status).clone()
    }

    /// Sends everything from an offset on again: for brokers that lost what they had confirmed. It goes on after a kill. Blocks on the
    /// disk.
    pub fn again(&self, from: u64) -> Result<(), ForwardError> {
        locked(&self.orders).again_from(&self.journal, from)
    }

    /// Gives orders without the handle.
    pub fn remote(&self) -> impl Fn(u64) -> Result<(), ForwardError> + Send + Sync + 'static {
        let (orders, journal) = (self.orders.clone(), self.journal.clone());
        move |from| locked(&orders).again_from(&journal, from)
    }

    /// Returns when it has ended by itself, which it must not.
    pub fn ended(&self) -> watch::Receiver<bool> {
        self.ended.clone()
    }

    /// Waits for confirmations, within a bound, and ends. Blocks.
    pub fn stop(mut self) -> Result<(), ForwardError> {
        self.order_stop()
    }

    fn order_stop(&mut self) -> Result<(), ForwardError> {
        locked(&self.orders).stop = true;
        let Some(thread) = self.thread.take() else { return Ok(()) };
        thread.join().unwrap_or(Err(ForwardError::Died))
    }
}

impl Drop for Forwarding {
    fn drop(&mut self) {
        if let Err(error) = self.order_stop() {
            tracing::debug!(%error, "The forwarder had ended before.");
        }
    }
}
