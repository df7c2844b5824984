//! From the flow to the correlation: what ClickHouse has acknowledged is told before the log's position moves, so that no crash
//! between the two hides a block from whoever correlates.

use super::{Acknowledged, Announcement, CorrelationMetrics};
use durable_log::{
    bulletin::Bulletin,
    carrier::{Carrier, CarryError},
};
use std::time::Duration;
use store::Block;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};

/// Blocks that may wait to be announced. While the bulletin takes nothing, storing goes on for so many, then it waits too: their
/// positions are not committed, and what is not committed must fit into memory.
const WAITING: usize = 64;
/// First and longest wait between two tries.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How long a stop waits for what is on its way; the rest is stored and told again after the next start.
const STOP: Duration = Duration::from_secs(2);

/// Where the correlation of what is stored here runs.
pub enum Correlating<B> {
    /// Nowhere.
    Nowhere,
    /// In this process, which alone stores.
    Here(Acknowledged),
    /// In one of several, told by a bulletin.
    By(B, CorrelationMetrics),
}

/// The flow's end.
pub(crate) struct HandOver<C: Carrier> {
    carrier: C,
    way: Way<C::Mark>,
}

enum Way<M> {
    Here(Option<Acknowledged>),
    Bulletin(mpsc::Sender<(Announcement, M)>, JoinHandle<Result<(), CarryError>>),
}

impl<C: Carrier> HandOver<C> {
    pub(crate) fn new<B: Bulletin>(carrier: C, to: Correlating<B>, stop: watch::Receiver<bool>) -> Self {
        let way = match to {
            Correlating::Nowhere => Way::Here(None),
            Correlating::Here(acknowledged) => Way::Here(Some(acknowledged)),
            Correlating::By(bulletin, metrics) => {
                let (queue, waiting) = mpsc::channel(WAITING);
                let announcing = announce((carrier.clone(), bulletin), waiting, metrics, stop);
                Way::Bulletin(queue, tokio::spawn(announcing))
            }
        };
        Self { carrier, way }
    }

    /// ClickHouse has acknowledged a block: tells so, and the position moves. False if the program is stopping.
    pub(crate) async fn stored(&mut self, block: &Block, mark: C::Mark) -> Result<bool, CarryError> {
        match &mut self.way {
            Way::Here(acknowledged) => {
                self.carrier.settle(mark)?;
                // After a crash here everything is read anyway.
                if let Some(acknowledged) = acknowledged {
                    acknowledged.note(&Announcement::of(block));
                }
                Ok(true)
            }
            Way::Bulletin(queue, announcing) => {
                if queue.send((Announcement::of(block), mark)).await.is_ok() {
                    return Ok(true);
                }
                // It ends before its queue does only at a stop, or if positions cannot be kept.
                announcing.await.unwrap_or(Err(CarryError::Closed)).map(|()| false)
            }
        }
    }

    /// No more blocks come: a bounded wait for what is on its way.
    pub(crate) async fn end(self) {
        if let Way::Bulletin(queue, mut announcing) = self.way {
            drop(queue);
            if tokio::time::timeout(STOP, &mut announcing).await.is_err() {
                announcing.abort();
                let _ = announcing.await;
            }
        }
    }
}

async fn announce<C: Carrier, B: Bulletin>(
    (carrier, bulletin): (C, B),
    mut waiting: mpsc::Receiver<(Announcement, C::Mark)>,
    metrics: CorrelationMetrics,
    mut stop: watch::Receiver<bool>,
) -> Result<(), CarryError> {
    while let Some((announcement, mark)) = waiting.recv().await {
        let (body, mut wait) = (announcement.to_bytes(), RETRY.0);
        while let Err(error) = bulletin.put(body.clone()).await {
            if wait == RETRY.0 {
                tracing::warn!(
                    %error,
                    "What is stored cannot be announced to the correlation now; it is tried again, and positions wait for it."
                );
            }
            metrics.unannounced.set(i64::try_from(waiting.len() + 1).unwrap_or(i64::MAX));
            tokio::select! {
                () = tokio::time::sleep(wait) => wait = (wait * 2).min(RETRY.1),
                _ = stop.wait_for(|stop| *stop) => return Ok(()),
            }
        }
        metrics.unannounced.set(i64::try_from(waiting.len()).unwrap_or(i64::MAX));
        // Commit point: the owner will hear of the block whatever happens to this process. A crash before this line stores and
        // announces it again, which changes nothing.
        carrier.settle(mark)?;
    }
    Ok(())
}
