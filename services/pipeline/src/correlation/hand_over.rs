//! From the flow to the correlation: what ClickHouse has acknowledged is told before the log's position moves, so that no crash
//! between the two hides a block from whoever correlates.
//!
//! While the bulletin takes nothing, ClickHouse itself tells: a note there says that something was stored which nobody announced,
//! and whoever correlates looks for it (`aside.rs`). So storing never waits for the bulletin.

use super::{Acknowledged, Announcement, CorrelationMetrics};
use durable_log::{
    bulletin::Bulletin,
    carrier::{Carrier, CarryError},
};
use std::time::Duration;
use store::Store;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{Instant, timeout, timeout_at},
};

/// Blocks that may wait to be told: far more than come while one try of the bulletin takes its longest.
const WAITING: usize = 64;
/// Longest that a bulletin may take for one message.
const PUT: Duration = Duration::from_secs(5);
/// First and longest wait before a bulletin that took nothing is tried again.
const AWAY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));
/// One note stands for what is stored within this time.
const TOGETHER: Duration = Duration::from_millis(500);
/// First and longest wait between two tries of a note.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How long a stop waits for what is on its way; the rest is stored and told again after the next start.
const STOP: Duration = Duration::from_secs(2);

/// Where the correlation of what is stored here runs.
pub enum Correlating<B> {
    /// Nowhere.
    Nowhere,
    /// In this process, which alone stores.
    Here(Acknowledged),
    /// In one of several, told by a bulletin. The handle is of the correlation that may run here.
    By(B, Acknowledged, CorrelationMetrics),
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
    /// `noting`: where, and for whom, ClickHouse is told.
    pub(crate) fn new<B: Bulletin>(
        carrier: C,
        to: Correlating<B>,
        noting: (Store, String),
        stop: watch::Receiver<bool>,
    ) -> Self {
        let way = match to {
            Correlating::Nowhere => Way::Here(None),
            Correlating::Here(acknowledged) => Way::Here(Some(acknowledged)),
            Correlating::By(bulletin, acknowledged, metrics) => {
                let (queue, waiting) = mpsc::channel(WAITING);
                let telling = Telling { carrier: carrier.clone(), bulletin, noting, acknowledged, metrics };
                Way::Bulletin(queue, tokio::spawn(telling.run(waiting, stop)))
            }
        };
        Self { carrier, way }
    }

    /// ClickHouse has acknowledged a block: tells so, and the position moves. False if the program is stopping.
    pub(crate) async fn stored(&mut self, told: &Announcement, mark: C::Mark) -> Result<bool, CarryError> {
        match &mut self.way {
            Way::Here(acknowledged) => {
                // First: whoever sees that nothing lags must see what is to be correlated. After a crash here everything is read anyway.
                if let Some(acknowledged) = acknowledged {
                    acknowledged.note(told);
                }
                self.carrier.settle(mark)?;
                Ok(true)
            }
            Way::Bulletin(queue, announcing) => {
                if queue.send((told.clone(), mark)).await.is_ok() {
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

/// What is stored, told to whoever correlates.
struct Telling<C, B> {
    carrier: C,
    bulletin: B,
    noting: (Store, String),
    acknowledged: Acknowledged,
    metrics: CorrelationMetrics,
}

/// When a bulletin that took nothing is tried again.
struct Away {
    until: Instant,
    wait: Duration,
}

impl<C: Carrier, B: Bulletin> Telling<C, B> {
    async fn run(
        self,
        mut waiting: mpsc::Receiver<(Announcement, C::Mark)>,
        mut stop: watch::Receiver<bool>,
    ) -> Result<(), CarryError> {
        let mut away: Option<Away> = None;
        while let Some((announcement, mark)) = waiting.recv().await {
            self.metrics.unannounced.set(count(waiting.len() + 1));
            if away.as_ref().is_none_or(|away| Instant::now() >= away.until) {
                match self.put(&announcement).await {
                    Ok(()) => {
                        if away.take().is_some() {
                            tracing::info!("What is stored can be announced to the correlation again.");
                        }
                        self.acknowledged.announced_by_store(None);
                        self.metrics.unannounced.set(count(waiting.len()));
                        // Commit point: the owner will hear of the block whatever happens to this process. A crash before this
                        // line stores and announces it again, which changes nothing.
                        self.carrier.settle(mark)?;
                        continue;
                    }
                    Err(why) => {
                        if away.is_none() {
                            tracing::error!(
                                why,
                                "What is stored cannot be announced to the correlation: ClickHouse tells it, later, and this is tried again."
                            );
                        }
                        let wait = away.as_ref().map_or(AWAY.0, |away| (away.wait * 2).min(AWAY.1));
                        away = Some(Away { until: Instant::now() + wait, wait });
                        self.acknowledged.announced_by_store(Some(why));
                    }
                }
            }
            let mut marks = vec![mark];
            let end = Instant::now() + TOGETHER;
            while marks.len() < WAITING
                && let Ok(Some((_, mark))) = timeout_at(end, waiting.recv()).await
            {
                marks.push(mark);
            }
            if !self.note(&mut stop).await {
                return Ok(());
            }
            self.metrics.aside.inc_by(marks.len() as u64);
            self.metrics.unannounced.set(count(waiting.len()));
            // Commit point: every row of these blocks, and then the note that there is something to look for, are acknowledged. A
            // crash before this line stores and notes it again, which costs the owner one more look.
            marks.into_iter().try_for_each(|mark| self.carrier.settle(mark))?;
        }
        Ok(())
    }

    /// Announces; if it may not have arrived, why.
    async fn put(&self, announcement: &Announcement) -> Result<(), String> {
        match timeout(PUT, self.bulletin.put(announcement.to_bytes())).await {
            Ok(put) => put.map_err(|error| error.to_string()),
            // It may arrive yet: then it is told twice.
            Err(_) => Err("no answer in time".into()),
        }
    }

    /// Notes in ClickHouse that something was stored and not announced; false if told to stop before that.
    async fn note(&self, stop: &mut watch::Receiver<bool>) -> bool {
        let (store, tenant) = &self.noting;
        let mut wait = RETRY.0;
        loop {
            let noted = tokio::select! {
                noted = store.note_unannounced(tenant) => noted,
                _ = stop.wait_for(|stop| *stop) => return false,
            };
            let Err(error) = noted else { return true };
            tracing::debug!(%error, "ClickHouse does not take the note of what is stored; positions wait for it.");
            tokio::select! {
                () = tokio::time::sleep(wait) => wait = (wait * 2).min(RETRY.1),
                _ = stop.wait_for(|stop| *stop) => return false,
            }
        }
    }
}

fn count(blocks: usize) -> i64 {
    i64::try_from(blocks).unwrap_or(i64::MAX)
}
