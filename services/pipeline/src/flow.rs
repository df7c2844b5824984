//! The whole chain on one screen: read what is durable, normalise, lay out, store, and only then commit the position.
//!
//! At least once, and that is enough: every row is idempotent by its deterministic key, so a block that is written
//! twice changes nothing. Never commits a position that ClickHouse has not acknowledged (invariant 2).

use crate::{
    block::{Ready, Task, normaliser},
    correlation::{Correlating, hand_over::HandOver},
    coverage,
    metrics::Metrics,
};
use durable_log::{
    Record,
    bulletin::Bulletin,
    carrier::{Appetite, Carrier, CarryError, Load},
};
use events::normalise::Context;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use store::{Layout, Store, StoreError};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
};

/// Name of the pipeline's cursor in the journal, and part of the name of its group on Kafka.
pub const CONSUMER: &str = "clickhouse";
/// What one block may hold. A small one waits for company: a block costs ClickHouse three parts, whatever is in it, and
/// their merges. Two are on their way, as columns, and as much again is fetched ahead.
pub const APPETITE: Appetite =
    Appetite { records: 20_000, bytes: 16 << 20, enough: 10_000, linger: Duration::from_millis(500) };
/// First and longest wait between two tries of an insert.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// What the chain runs on.
pub struct Flow<C, B> {
    /// Log in.
    pub carrier: C,
    /// Whose gaps are written when the log has lost something.
    pub tenant: String,
    /// ClickHouse out.
    pub store: Store,
    /// For normalising.
    pub context: Context,
    /// Counters.
    pub metrics: Metrics,
    /// Told what it can read; how far it lags is nothing to the flow.
    pub correlation: Correlating<B>,
}

/// Why the chain ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum FlowError {
    /// The log cannot be read, or the position cannot be kept.
    #[error(transparent)]
    Log(#[from] CarryError),
    /// A worker thread died.
    #[error("a worker of the pipeline died")]
    Worker,
}

impl<C: Carrier, B: Bulletin> Flow<C, B> {
    /// Runs until `stop` turns true; what was read and not yet acknowledged is read again after the next start.
    pub async fn run(self, stop: watch::Receiver<bool>) -> Result<(), FlowError> {
        let Self { carrier, tenant, store, context, metrics, correlation } = self;
        let noting = (store.clone(), tenant.clone());
        let storing = Storing { store, metrics };
        // One block is normalised while the one before it is on its way to ClickHouse.
        let (blocks, mut ready) = mpsc::channel::<(Ready, C::Mark, Instant)>(1);
        // The reader ends with the flow, however that ends: it holds the store, and an engine waits for everybody who does.
        let mut reader = JoinSet::new();
        let handover = (blocks, stop.clone());
        reader.spawn(read_and_normalise((carrier.clone(), tenant), context, storing.clone(), handover));
        let mut handing = HandOver::new(carrier.clone(), correlation, noting, stop.clone());
        while let Some((block, mark, since)) = ready.recv().await {
            if !storing.store(&block, stop.clone()).await {
                break;
            }
            carrier.set_aside(&block.dead);
            // Commit point: ClickHouse has acknowledged every row up to `mark`. A crash before this line stores the
            // block again, to the same rows; a crash after it goes on behind it.
            if !handing.stored(&block.told, mark).await? {
                break;
            }
            storing.metrics.insert.observe(since.elapsed().as_secs_f64());
            storing.count(&block);
        }
        drop(ready);
        handing.end().await;
        reader.join_next().await.and_then(Result::ok).unwrap_or(Err(FlowError::Worker))
    }
}

/// Blocks into ClickHouse.
#[derive(Clone)]
struct Storing {
    store: Store,
    metrics: Metrics,
}

impl Storing {
    /// Tries until ClickHouse acknowledges; false when told to stop before that.
    async fn store(&self, ready: &Ready, stop: watch::Receiver<bool>) -> bool {
        let stored = self.tried(|| self.send(ready), stop).await.is_some();
        if stored {
            self.metrics.store_up.set(1);
        }
        stored
    }

    async fn send(&self, ready: &Ready) -> Result<(), StoreError> {
        self.store.send(&ready.block).await?;
        // A watermark is claimed only after everything below it is stored.
        self.store.put_records(&ready.records).await
    }

    /// Tries until it can be done; none when told to stop before that.
    async fn tried<T, F: Future<Output = Result<T, StoreError>>>(
        &self,
        what: impl Fn() -> F,
        mut stop: watch::Receiver<bool>,
    ) -> Option<T> {
        let mut wait = RETRY.0;
        loop {
            let error = match what().await {
                Ok(done) => return Some(done),
                Err(error) => error,
            };
            self.metrics.retries.inc();
            if self.metrics.store_up.get() == 1 || wait == RETRY.0 {
                report(&error);
            }
            self.metrics.store_up.set(0);
            tokio::select! {
                () = tokio::time::sleep(wait) => wait = (wait * 2).min(RETRY.1),
                _ = stop.wait_for(|stop| *stop) => return None,
            }
        }
    }

    fn count(&self, ready: &Ready) {
        for (fate, count) in &ready.fates {
            self.metrics.receipts.with_label_values(&[fate]).inc_by(*count);
        }
        self.metrics.events.inc_by(ready.events);
    }
}

fn report(error: &StoreError) {
    if error.is_unavailable() {
        tracing::warn!(%error, "ClickHouse does not answer; intake goes on and the journal grows until it does.");
    } else {
        tracing::error!(%error, "ClickHouse refuses a block; it is kept in the log and tried again.");
    }
}

type Handover<M> = (mpsc::Sender<(Ready, M, Instant)>, watch::Receiver<bool>);

async fn read_and_normalise<C: Carrier>(
    (carrier, tenant): (C, String),
    context: Context,
    storing: Storing,
    (blocks, mut stop): Handover<C::Mark>,
) -> Result<(), FlowError> {
    let normaliser = normaliser(context);
    let layout = tokio::select! {
        layout = storing.tried(|| storing.store.layout(), stop.clone()) => layout,
        _ = stop.wait_for(|stop| *stop) => None,
    };
    let Some(layout) = layout else { return Ok(()) };
    loop {
        // Nothing is read before there is room for what becomes of it: a block waits as columns, which are larger than its records.
        let Ok(room) = blocks.reserve().await else { return Ok(()) };
        let load = tokio::select! {
            load = carrier.next() => load?,
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
        };
        let since = Instant::now();
        let Load { records, mark, losses } = load;
        for loss in &losses {
            let missing = loss.missing.unwrap_or(1);
            storing.metrics.lost.with_label_values(&[loss.cause.as_str()]).inc_by(missing);
            tracing::error!(
                cause = loss.cause.as_str(),
                place = loss.place,
                missing,
                "Records were carried and are lost here."
            );
        }
        let records = Arc::new(records);
        let laid = storing.tried(|| laid_out(&normaliser, (records.clone(), layout.clone())), stop.clone()).await;
        let Some(laid) = laid else { return Ok(()) };
        let mut ready = laid?;
        drop(records);
        ready.records.gaps.extend(losses.iter().filter_map(|loss| coverage::lost(loss, &tenant, now_ms())));
        room.send((ready, mark, since));
    }
}

/// Refused: what the tables do not take.
async fn laid_out(
    normaliser: &mpsc::Sender<Task>,
    (records, layout): (Arc<Vec<Record>>, Layout),
) -> Result<Result<Ready, FlowError>, StoreError> {
    let (answer, normalised) = oneshot::channel();
    if normaliser.send((records, layout, answer)).await.is_err() {
        return Ok(Err(FlowError::Worker));
    }
    match normalised.await {
        Ok(ready) => ready.map(Ok),
        Err(_) => Ok(Err(FlowError::Worker)),
    }
}

fn now_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}
