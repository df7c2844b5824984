//! The whole chain on one screen: read what is durable, normalise, store, and only then commit the position.
//!
//! At least once, and that is enough: every row is idempotent by its deterministic key, so a block that is written
//! twice changes nothing. Never commits a position that ClickHouse has not acknowledged (invariant 2).

use crate::{
    block::{Work, work},
    metrics::Metrics,
};
use durable_log::{Batch, Journal, ReadLimits};
use events::normalise::Context;
use std::time::{Duration, Instant};
use store::{Fate, Store, StoreError};
use tokio::sync::{mpsc, watch};

/// Name of the pipeline's cursor in the journal.
pub const CONSUMER: &str = "clickhouse";
/// Most records in one block.
const BLOCK_RECORDS: usize = 50_000;
/// Most bytes in one block.
const BLOCK_BYTES: usize = 32 << 20;
/// How long a small block waits for company: a block costs ClickHouse three parts, whatever is in it, and their merges.
const LINGER: Duration = Duration::from_millis(500);
/// A block of this many records waits no longer.
const ENOUGH_RECORDS: u64 = 10_000;
/// First and longest wait between two tries of an insert.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// What the chain runs on.
pub struct Flow {
    /// Log in.
    pub journal: Journal,
    /// ClickHouse out.
    pub store: Store,
    /// For normalising.
    pub context: Context,
    /// Counters.
    pub metrics: Metrics,
}

/// Why the chain ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum FlowError {
    /// The log cannot be read or the position cannot be committed.
    #[error("the journal failed: {0}")]
    Journal(String),
    /// The log's writer stopped: its state is unknown and the process must stop too.
    #[error("the journal has stopped")]
    Closed,
    /// A worker thread died.
    #[error("a worker of the pipeline died")]
    Worker,
}

impl Flow {
    /// Runs until `stop` turns true; what was read and not yet acknowledged is read again after the next start.
    pub async fn run(self, stop: watch::Receiver<bool>) -> Result<(), FlowError> {
        // One block is normalised while the one before it is on its way to ClickHouse.
        let (blocks, mut ready) = mpsc::channel::<(Work, u64, Instant)>(1);
        let reader = tokio::spawn(read_and_normalise(
            self.journal.clone(),
            self.context.clone(),
            self.metrics.clone(),
            (blocks, stop.clone()),
        ));
        while let Some((work, next, since)) = ready.recv().await {
            if !self.store_work(&work, stop.clone()).await {
                break;
            }
            // Commit point: ClickHouse has acknowledged every row up to `next`. A crash before this line stores the
            // block again, to the same rows; a crash after it goes on behind it.
            self.journal.commit(CONSUMER, next).map_err(|e| FlowError::Journal(e.to_string()))?;
            if let Err(error) = self.journal.trim() {
                tracing::warn!(%error, "Old segments could not be freed; it is tried again after the next block.");
            }
            self.metrics.insert.observe(since.elapsed().as_secs_f64());
            self.count(&work);
        }
        drop(ready);
        reader.await.map_err(|_| FlowError::Worker)?
    }

    /// Tries until ClickHouse acknowledges; false when told to stop before that.
    async fn store_work(&self, work: &Work, mut stop: watch::Receiver<bool>) -> bool {
        let mut wait = RETRY.0;
        loop {
            let stored = match self.store.insert(&work.block).await {
                // A watermark is claimed only after everything below it is stored.
                Ok(()) => self.store.put_records(&work.records).await,
                Err(error) => Err(error),
            };
            let error = match stored {
                Ok(()) => {
                    self.metrics.store_up.set(1);
                    return true;
                }
                Err(error) => error,
            };
            self.metrics.retries.inc();
            if self.metrics.store_up.get() == 1 || wait == RETRY.0 {
                report(&error);
            }
            self.metrics.store_up.set(0);
            tokio::select! {
                () = tokio::time::sleep(wait) => wait = (wait * 2).min(RETRY.1),
                _ = stop.wait_for(|stop| *stop) => return false,
            }
        }
    }

    fn count(&self, work: &Work) {
        for receipt in &work.block.receipts {
            let fate = match receipt.fate {
                Fate::Event { .. } => "event",
                Fate::Ignored(_) => "ignored",
                Fate::Dead(_) => "dead",
            };
            self.metrics.receipts.with_label_values(&[fate]).inc();
        }
        self.metrics.events.inc_by(work.block.events.len() as u64);
    }
}

fn report(error: &StoreError) {
    if error.is_unavailable() {
        tracing::warn!(%error, "ClickHouse does not answer; intake goes on and the journal grows until it does.");
    } else {
        tracing::error!(%error, "ClickHouse refuses a block; it is kept in the journal and tried again.");
    }
}

type Handover = (mpsc::Sender<(Work, u64, Instant)>, watch::Receiver<bool>);

async fn read_and_normalise(
    journal: Journal,
    context: Context,
    metrics: Metrics,
    (blocks, mut stop): Handover,
) -> Result<(), FlowError> {
    let mut next = journal.committed(CONSUMER);
    loop {
        tokio::select! {
            more = journal.wait_past(next) => more.map_err(|_| FlowError::Closed)?,
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
        }
        if journal.durable_end() - next < ENOUGH_RECORDS && !*stop.borrow() {
            tokio::time::sleep(LINGER).await;
        }
        let (log, context, from) = (journal.clone(), context.clone(), next);
        let step = move || {
            let batch = log
                .read(from, ReadLimits { records: BLOCK_RECORDS, bytes: BLOCK_BYTES })
                .map_err(|e| FlowError::Journal(e.to_string()))?;
            let Batch { records, next, damage } = batch;
            Ok::<_, FlowError>((work(records, &context), next, damage))
        };
        let since = Instant::now();
        let (work, after, damage) = tokio::task::spawn_blocking(step).await.map_err(|_| FlowError::Worker)??;
        for damage in &damage {
            metrics.damaged.inc();
            tracing::error!(%damage, "bytes of the journal are damaged; they are quarantined and the records in them are lost here.");
        }
        if blocks.send((work, after, since)).await.is_err() {
            return Ok(());
        }
        next = after;
    }
}
