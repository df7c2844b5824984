//! A topic as a carrier: the handle of one member of a consumer group.
//!
//! `member.rs` is the thread that polls, builds loads and commits; `rebalance.rs` is what happens when partitions come and go;
//! `shared.rs` is what they have in common with this handle.

use super::behind::Behind;
use super::lag::LagMeter;
use super::member::Member;
use super::owned::Claim;
use super::reached::Reached;
use super::settings::Connection;
use super::shared::{MemberStatus, Shared};
use super::subscription::Subscription;
use crate::carrier::{Appetite, Carrier, CarryError, DeadLetter, Load};
use crate::segment::locked;
use crate::shared::now_ms;
use rdkafka::error::KafkaError;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

/// Between two measurements of the lag.
const MEASURE: Duration = Duration::from_secs(2);
/// How long the end waits for brokers that do not answer.
const LEAVE: Duration = Duration::from_secs(5);
/// Between two looks whether it is over.
const SOON: Duration = Duration::from_millis(5);
/// Between two looks whether to stop.
const LOOK: Duration = Duration::from_millis(50);

/// Up to where a load reaches.
#[derive(Debug)]
pub struct KafkaMark(pub(super) Vec<Claim>);

/// One member of a consumer group. Clones share it; when the last one goes, it leaves the group.
#[derive(Clone)]
pub struct KafkaCarrier {
    inner: Arc<Inner>,
}

struct Inner {
    loads: tokio::sync::Mutex<mpsc::Receiver<Result<Load<KafkaMark>, CarryError>>>,
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl KafkaCarrier {
    /// Joins the group. Nothing is asked of the brokers yet.
    pub fn join(connection: &Connection, subscription: Subscription, appetite: Appetite) -> Result<Self, KafkaError> {
        let Subscription { topic, group, reading } = subscription;
        let (sender, loads) = mpsc::channel(1);
        let meter = LagMeter::new(connection, &topic, &group);
        // Refuses settings that cannot work here, and not in a thread.
        connection.consumer_config(&group).create_native_config()?;
        let shared = Arc::new(Shared::new(topic, (connection, reading))?);
        let member = Member::new((connection.clone(), group), appetite, (shared.clone(), sender));
        let measured = shared.clone();
        let threads = [
            std::thread::Builder::new().name("consumer".into()).spawn(move || member.run()),
            std::thread::Builder::new().name("lag".into()).spawn(move || measure(&meter, &measured)),
        ];
        let threads = threads.into_iter().collect::<Result<Vec<_>, _>>();
        let threads = threads.map_err(|error| KafkaError::ClientCreation(error.to_string()))?;
        let (loads, threads) = (tokio::sync::Mutex::new(loads), Mutex::new(threads));
        Ok(Self { inner: Arc::new(Inner { loads, shared, threads }) })
    }

    /// How it stands.
    pub fn status(&self) -> MemberStatus {
        self.inner.shared.status()
    }

    /// Tells the status without keeping the member in its group, for metrics and health.
    pub fn watch(&self) -> impl Fn() -> MemberStatus + Send + Sync + 'static {
        let shared = self.inner.shared.clone();
        move || shared.status()
    }

    /// True if this member has settled a record before, under whatever assignment of its partition.
    pub(super) fn was_dealt(&self, partition: i32, offset: u64) -> bool {
        i64::try_from(offset).is_ok_and(|offset| locked(&self.inner.shared.owned).was_dealt(partition, offset))
    }

    /// Commits what is settled and leaves the group. Blocks, seconds at worst.
    pub fn leave(&self) {
        self.inner.leave();
    }
}

impl Inner {
    fn leave(&self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        let until = Instant::now() + LEAVE;
        for thread in std::mem::take(&mut *locked(&self.threads)) {
            while !thread.is_finished() && Instant::now() < until {
                std::thread::sleep(SOON);
            }
            if !thread.is_finished() {
                tracing::warn!("The brokers hold up the end of a consumer: what it had not committed comes again.");
            } else if thread.join().is_err() {
                tracing::error!("A thread of the consumer panicked; what it had not committed comes again.");
            }
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Carrier for KafkaCarrier {
    type Mark = KafkaMark;

    async fn next(&self) -> Result<Load<KafkaMark>, CarryError> {
        self.inner.loads.lock().await.recv().await.unwrap_or(Err(CarryError::Closed))
    }

    fn settle(&self, mark: KafkaMark) -> Result<(), CarryError> {
        locked(&self.inner.shared.owned).settled(&mark.0);
        self.inner.shared.progress.notify_all();
        Ok(())
    }

    fn set_aside(&self, letters: &[DeadLetter]) {
        if let Some(aside) = &self.inner.shared.aside {
            letters.iter().for_each(|letter| aside.letter(letter));
        }
    }

    fn backlog(&self) -> u64 {
        self.inner.shared.backlog.load(Ordering::Relaxed)
    }

    fn leads(&self) -> watch::Receiver<bool> {
        self.inner.shared.leads.subscribe()
    }

    fn settled_until(&self) -> watch::Receiver<i64> {
        self.inner.shared.settled_until.subscribe()
    }
}

fn measure(meter: &LagMeter, shared: &Shared) {
    let (mut behind, mut reached) = (Behind::default(), Reached::default());
    while !shared.stop.load(Ordering::Relaxed) {
        let standing = locked(&shared.owned).standing();
        let asked = i64::try_from(now_ms()).unwrap_or_default();
        match meter.measure() {
            Ok(lag) => {
                shared.backlog.store(lag.records(), Ordering::Relaxed);
                shared.answered.store(true, Ordering::Relaxed);
                locked(&shared.refused).take();
                let reads = !shared.paused.load(Ordering::Relaxed);
                locked(&shared.coming).measured(lag.partitions.iter().map(|found| (found.partition, found.end)), reads);
                shared.settled_until.send_replace(reached.measured(&lag, asked));
                behind.measured(&lag, i64::try_from(now_ms()).unwrap_or_default());
                *locked(&shared.behind_since) = behind.since(&locked(&shared.owned));
                // Offsets alone do not tell a topic that was made anew and has grown as long as it was.
                let without = lag.partitions.iter().filter(|found| found.committed.is_none());
                let owned = locked(&shared.owned);
                // Those that stood before the question, and are held as they were: a first position may have been committed since.
                let still =
                    |partition| owned.assignment(partition).is_some_and(|now| standing.get(&partition) == Some(&now));
                if without.map(|found| found.partition).any(still) {
                    shared.gone.store(true, Ordering::Relaxed);
                }
            }
            Err(error) => {
                tracing::debug!(%error, "The lag cannot be measured now.");
                *locked(&shared.refused) = error.refused.then(|| error.to_string());
                if error.refused {
                    // Nobody may ever know: better a loss that is told and comes after all than one that is not told.
                    shared.settled_until.send_replace(i64::MAX);
                }
            }
        }
        let until = Instant::now() + MEASURE;
        while Instant::now() < until && !shared.stop.load(Ordering::Relaxed) {
            std::thread::sleep(LOOK);
        }
    }
}
