//! The journal as a carrier: one consumer of its own, in the same process.

use super::{Appetite, Carrier, CarryError, Cause, Load, Loss};
use crate::damage::Damage;
use crate::journal::Journal;
use crate::log::{Batch, CommitError, ReadLimits};
use std::sync::Arc;
use tokio::sync::{Mutex, watch};

/// A consumer of a journal; segments are freed when every consumer has settled them.
#[derive(Clone)]
pub struct JournalCarrier {
    journal: Journal,
    consumer: &'static str,
    appetite: Appetite,
    next: Arc<Mutex<u64>>,
    leads: watch::Receiver<bool>,
}

impl JournalCarrier {
    /// Goes on where the consumer stood. From here on the journal keeps what the consumer has not settled.
    pub fn open(journal: Journal, consumer: &'static str, appetite: Appetite) -> Result<Self, CommitError> {
        let from = journal.committed(consumer);
        journal.commit(consumer, from)?;
        let leads = watch::Sender::new(true).subscribe();
        Ok(Self { journal, consumer, appetite, next: Arc::new(Mutex::new(from)), leads })
    }
}

impl Carrier for JournalCarrier {
    type Mark = u64;

    async fn next(&self) -> Result<Load<u64>, CarryError> {
        let mut next = self.next.lock().await;
        let from = *next;
        self.journal.wait_past(from).await.map_err(|_| CarryError::Closed)?;
        if self.journal.durable_end() - from < self.appetite.enough {
            tokio::time::sleep(self.appetite.linger).await;
        }
        let limits = ReadLimits { records: self.appetite.records, bytes: self.appetite.bytes };
        let journal = self.journal.clone();
        let read = tokio::task::spawn_blocking(move || journal.read(from, limits)).await;
        let read = read.map_err(|_| CarryError::Failed("the reader died".into()))?;
        let Batch { records, next: after, damage } = read.map_err(|error| CarryError::Failed(error.to_string()))?;
        // Only now, with nothing to wait for: a dropped future has moved nothing.
        *next = after;
        Ok(Load { records, mark: after, losses: damage.iter().map(loss).collect() })
    }

    fn settle(&self, mark: u64) -> Result<(), CarryError> {
        self.journal.commit(self.consumer, mark).map_err(|error| CarryError::Failed(error.to_string()))?;
        if let Err(error) = self.journal.trim() {
            tracing::warn!(%error, "Old segments could not be freed; it is tried again after the next block.");
        }
        Ok(())
    }

    fn backlog(&self) -> u64 {
        self.journal.durable_end().saturating_sub(self.journal.committed(self.consumer))
    }

    fn leads(&self) -> watch::Receiver<bool> {
        self.leads.clone()
    }
}

fn loss(damage: &Damage) -> Loss {
    let missing = damage.offsets.end - damage.offsets.start;
    Loss { cause: Cause::Damaged, place: damage.to_string(), missing: Some(missing), since_ms: None }
}
