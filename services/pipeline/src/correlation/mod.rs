//! Who could do what, on which grounds: follows what ClickHouse has acknowledged and keeps the answers beside it.
//!
//! One owner per tenant: the program that alone stores, or one of several processors (`owner.rs`). At its start it goes on from the newest checkpoint and reads what came after it; without one, every
//! stored event (`reading.rs`). It writes only rows that differ from those that stand. From
//! then on, block by block: reads the events that were acknowledged, settles once, writes the changes, and then moves its cursor;
//! forgets what is over where its memory is full (`memory.rs`), and now and then keeps all that it knows as a checkpoint. It is told of a block in passing and never waited for: storing goes
//! on however far this lags. Where the past was changed (a replay, or a second copy of an event that says something else), all
//! is read anew.

mod acknowledged;
mod announcement;
mod aside;
mod begin;
mod behind;
mod check;
mod checkpoint;
mod floor;
mod fold;
pub(crate) mod hand_over;
mod memory;
mod metrics;
mod news;
mod owner;
mod pen;
mod places;
mod reading;
mod records;
mod rows;
mod set_aside;
mod step;
mod suspects;

pub use acknowledged::{Acknowledged, Phase, Standing, Touched};
pub use announcement::Announcement;
pub(crate) use announcement::Announcing;
pub use behind::Late;
pub use check::{Compared, Differing, compare};
pub use fold::Fold;
pub use hand_over::Correlating;
pub use memory::{Memory, Remembered};
pub use metrics::CorrelationMetrics;
pub use owner::Owner;
pub use suspects::{Doing, Probe, Suspects};

use crate::faults::{AGAIN, Faults, Part, on_a_thread};
use aside::Untold;
use begin::{Begun, TakeOver, Trust};
use checkpoint::Saving;
use correlate::rows::Change;
use memory::Olds;
use pen::{Halt, Pen};
use std::time::{Duration, Instant};
use step::Hand;
use store::{Store, StoreError};
use tokio::sync::watch;

/// Most positions of one read: with their events in memory a few tens of MiB.
const WINDOW_POSITIONS: u64 = 20_000;
/// Most changes that are written at once.
const CHANGES_AT_ONCE: usize = 20_000;
/// First and longest wait between two tries.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));
/// Between two looks whether the past was changed.
const PAST_LOOK: Duration = Duration::from_secs(5);
/// A change of the past is taken in when it has been over for this long, milliseconds.
const PAST_QUIET_MS: i64 = 3_000;
/// A step is followed by a rest of so many times its length, but no longer than this: of few receipts a step costs ClickHouse as
/// much as of many. Where many wait already there is no rest.
const REST: (u32, Duration) = (2, Duration::from_millis(500));
/// After reading everything anew, or writing a checkpoint, the next time comes no sooner than this many times as long.
const PACE: u32 = 20;
/// Longest that a stop waits for a checkpoint.
const STOP_WAIT: Duration = Duration::from_secs(10);
/// Who ran for so long died of something new.
const HEALTHY: Duration = Duration::from_secs(3_600);
/// So many failed beginnings in a row are blamed on the checkpoint.
const FAILED_BEGINNINGS: u32 = 5;

/// The stage.
pub struct Stage {
    /// Events in, answers out.
    pub store: Store,
    /// What an operator declares.
    pub config: correlate::Config,
    /// Told what is stored.
    pub acknowledged: Acknowledged,
    /// Under which name people find this program, as its owner.
    pub name: String,
    /// Counters.
    pub metrics: CorrelationMetrics,
    /// How often a checkpoint is written at most, and at a stop; none: never, and none is gone on from.
    pub checkpoints: Option<Duration>,
    /// How much may be kept in memory.
    pub memory: Memory,
    /// Told when it dies by a fault of its own; it begins again.
    pub faults: Faults,
    /// Which event is to blame, if one is.
    pub suspects: Suspects,
}

/// Why following ended without an error.
enum End {
    Stopped,
    PastChanged,
    /// Something came that is older than what is kept.
    TooOld,
    /// A later owner has taken over.
    Superseded,
}

impl Stage {
    /// Runs until `stop` turns true. Nothing that happens here reaches the flow.
    pub async fn run(&self, stop: watch::Receiver<bool>) {
        self.run_with(&Pen::default(), stop).await;
    }

    async fn run_with(&self, pen: &Pen, mut stop: watch::Receiver<bool>) {
        let (mut wait, mut failed) = (RETRY.0, 0);
        let (mut again, mut anew) = (AGAIN.0, false);
        loop {
            let trust = if self.checkpoints.is_some() && failed < FAILED_BEGINNINGS && !std::mem::take(&mut anew) {
                Trust::Checkpoints
            } else {
                Trust::Events
            };
            let began = Instant::now();
            // On the heap: with a whole fold in hand it is too large for a thread's stack.
            let following = Box::pin(self.follow(trust, pen, &mut stop));
            let Some(followed) = self.faults.caught(Part::Correlation, following).await else {
                // What it knew went with it: the next beginning takes over from itself, and reads what it needs.
                self.acknowledged.broke_off();
                let ran = began.elapsed();
                let learned = self.learn(&mut stop).await;
                if learned || ran > HEALTHY {
                    (again, failed) = (AGAIN.0, 0);
                }
                // What it ran may all have been reading: that must not be all that ClickHouse does.
                let mut rest = ran.min(HEALTHY) / 4;
                if !learned {
                    failed += 1;
                    rest = rest.max(again);
                    again = (again * 2).min(AGAIN.1);
                }
                tokio::select! {
                    () = tokio::time::sleep(rest) => continue,
                    _ = stop.wait_for(|stop| *stop) => return,
                }
            };
            match followed {
                Ok(End::Stopped) => return,
                Ok(End::Superseded) => {
                    tracing::warn!(
                        "Another program has taken the correlation over. Where this one is to do it nevertheless, it takes it back."
                    );
                    self.own_up(pen, &mut stop).await;
                    tokio::select! {
                        () = tokio::time::sleep(wait) => wait = (wait * 2).min(RETRY.1),
                        _ = stop.wait_for(|stop| *stop) => return,
                    }
                }
                Ok(End::PastChanged) => {
                    (wait, failed) = (RETRY.0, 0);
                    tracing::info!("Events of the past were changed: the correlation reads everything again.");
                }
                Ok(End::TooOld) => {
                    (wait, failed, anew) = (RETRY.0, 0, true);
                    self.metrics.old_loads.inc();
                    tracing::info!(
                        "Events came that are older than what the correlation keeps in memory: it reads everything again."
                    );
                }
                Err(error) => {
                    failed += 1;
                    tracing::warn!(%error, "The correlation cannot go on now; storing does, and this is tried again.");
                    tokio::select! {
                        () = tokio::time::sleep(wait) => wait = (wait * 2).min(RETRY.1),
                        _ = stop.wait_for(|stop| *stop) => return,
                    }
                }
            }
        }
    }

    /// Reads what is needed, then follows block by block until the past changes.
    async fn follow(&self, trust: Trust, pen: &Pen, stop: &mut watch::Receiver<bool>) -> Result<End, StoreError> {
        let tenant = &self.config.tenant;
        let began = Instant::now();
        let Some(past) = self.quiet_past(stop).await? else { return Ok(End::Stopped) };
        // What was acknowledged before these lines is read at the beginning; what comes from here on is pending, or noted.
        let noted = self.store.unannounced(tenant).await?;
        let again = self.leave_out().await?;
        // A checkpoint may be of a time when they were left out: where they are tried again, it is no ground.
        let trust = if again.is_empty() { trust } else { Trust::Events };
        let before = self.acknowledged.begin();
        let epoch = self.store.take_over_correlation(tenant, &self.name).await?;
        let begun = tokio::select! {
            begun = self.begin(TakeOver { epoch, past, pen }, trust) => begun,
            _ = stop.wait_for(|stop| *stop) => return Ok(End::Stopped),
        };
        let Begun { mut fold, mut reached, events: loaded } = match begun {
            Ok(begun) => begun,
            Err(Halt::Superseded) => return Ok(End::Superseded),
            Err(Halt::Store(error)) => return Err(error),
        };
        // Commit point: every row of what was read is acknowledged. A crash before this line reads all again, to the same rows.
        self.store.put_correlated(tenant, (epoch, &reached.covered)).await?;
        self.answered(noted).await?;
        self.taken_in_again(&again).await?;
        self.metrics.events.inc_by(loaded);
        self.acknowledged.touch(Touched {
            since: Some(i64::MIN),
            until: Some(i64::MAX),
            everybody: true,
            ..Touched::default()
        });
        self.acknowledged.loaded(&before);
        self.faults.well(Part::Correlation);
        // A start from a checkpoint is no measure of reading everything.
        let took = began.elapsed().max(reached.whole);
        tracing::info!(
            events = loaded,
            seconds = began.elapsed().as_secs(),
            "The correlation has read what is stored and follows from here."
        );

        let mut hand = Hand::new((epoch, pen), stop);
        fold = self.make_room(fold, &mut hand.pacing).await?;
        let mut olds = None;
        let mut looked = Instant::now();
        let mut saving = Saving::after(loaded, began.elapsed());
        loop {
            self.metrics.lag.set(i64::try_from(self.acknowledged.standing().lag).unwrap_or(i64::MAX));
            let stopped = tokio::select! {
                () = self.acknowledged.more() => false,
                () = tokio::time::sleep(PAST_LOOK) => false,
                _ = hand.stop.wait_for(|stop| *stop) => true,
            };
            if stopped {
                if saving.news && self.checkpoints.is_some() {
                    let _ = tokio::time::timeout(STOP_WAIT, self.keep(fold, &reached)).await;
                }
                return Ok(End::Stopped);
            }
            if self.checkpoints.is_some_and(|every| saving.is_due(every)) {
                let (kept, cost) = self.keep(fold, &reached).await?;
                fold = kept;
                saving = Saving::done(cost);
            }
            let mut taken = self.acknowledged.take();
            if !taken.pending.is_empty() {
                let Some(news) = self.news(taken.pending, &reached.covered, hand.stop).await else {
                    return Ok(End::Stopped);
                };
                taken.pending = news;
                let step = Instant::now();
                let (followed, end) = self.step(fold, &taken.pending, &mut hand).await?;
                if let Some(end) = end {
                    return Ok(end);
                }
                fold = followed;
                hand.note_waiting(&reached.covered);
                for one in &taken.pending {
                    one.ranges.iter().for_each(|range| reached.covered.add(one.window.stream, range));
                }
                // Commit point, as above, for these blocks; but for what waits until everything is read anew.
                let answered = reached.covered.without(&hand.waiting);
                let put = || self.store.put_correlated(tenant, (epoch, &answered));
                let Some(()) = self.patiently(hand.stop, put).await else { return Ok(End::Stopped) };
                fold = self.make_room(fold, &mut hand.pacing).await?;
                self.acknowledged.done(&taken);
                saving.news = true;
                if self.acknowledged.standing().lag < WINDOW_POSITIONS {
                    let rest = (step.elapsed() * REST.0).min(REST.1);
                    let _ = tokio::time::timeout(rest, hand.stop.wait_for(|stop| *stop)).await;
                }
            }
            let rested = began.elapsed() > took * PACE;
            if (fold.contradicted() || self.acknowledged.missed()) && rested {
                return Ok(End::PastChanged);
            }
            let now = Instant::now();
            olds = Olds::after(olds, (fold.old(), fold.olds()), now);
            if rested && olds.as_ref().is_some_and(|olds| olds.are_over(took, now)) && self.may_read_anew(&fold, now) {
                return Ok(End::TooOld);
            }
            if looked.elapsed() >= PAST_LOOK {
                looked = Instant::now();
                if self.store.past_change(tenant).await.is_ok_and(|note| note.map(|(at, _)| at) != past) {
                    return Ok(End::PastChanged);
                }
                if self.owns(epoch).await.is_ok_and(|owns| !owns) {
                    return Ok(End::Superseded);
                }
                let taken = self.take_untold((fold, &mut reached), &mut hand).await?;
                match taken {
                    Untold::None(same) => fold = same,
                    Untold::Taken(followed) => {
                        fold = self.make_room(followed, &mut hand.pacing).await?;
                        saving.news = true;
                    }
                    Untold::Ended(end) => return Ok(end),
                }
            }
        }
    }

    /// Waits until nobody changes the past, and returns the last note of such a change; none when told to stop.
    async fn quiet_past(&self, stop: &mut watch::Receiver<bool>) -> Result<Option<Option<i64>>, StoreError> {
        loop {
            let note = self.store.past_change(&self.config.tenant).await?;
            let Some((_, age)) = note.filter(|(_, age)| (0..PAST_QUIET_MS).contains(age)) else {
                return Ok(Some(note.map(|(at, _)| at)));
            };
            let rest = Duration::from_millis(u64::try_from(PAST_QUIET_MS - age).unwrap_or_default());
            tokio::select! {
                () = tokio::time::sleep(rest) => {}
                _ = stop.wait_for(|stop| *stop) => return Ok(None),
            }
        }
    }

    /// Tries until ClickHouse answers; none when told to stop before that.
    async fn patiently<T, F: Future<Output = Result<T, StoreError>>>(
        &self,
        stop: &mut watch::Receiver<bool>,
        work: impl Fn() -> F,
    ) -> Option<T> {
        let mut stopped = stop.clone();
        tokio::select! {
            done = self.wholly(stop, work) => done,
            _ = stopped.wait_for(|stop| *stop) => None,
        }
    }

    /// The same, and no try that began is given up: what became of it is known.
    async fn wholly<T, F: Future<Output = Result<T, StoreError>>>(
        &self,
        stop: &mut watch::Receiver<bool>,
        work: impl Fn() -> F,
    ) -> Option<T> {
        let mut wait = RETRY.0;
        loop {
            match work().await {
                Ok(done) => return Some(done),
                Err(error) => {
                    tracing::warn!(%error, "The correlation waits for ClickHouse; storing does not wait for it.");
                }
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => wait = (wait * 2).min(RETRY.1),
                _ = stop.wait_for(|stop| *stop) => return None,
            }
        }
    }
}

/// Settling can take long: not on a thread that serves requests.
async fn settle(mut fold: Fold) -> Result<(Fold, Vec<Change>), StoreError> {
    let work = move || {
        let changes = fold.settle();
        (fold, changes)
    };
    on_a_thread(work).await.ok_or_else(ending)
}

/// What is waited for never comes, because the program ends.
fn ending() -> StoreError {
    StoreError::Unavailable("the program ends".into())
}
