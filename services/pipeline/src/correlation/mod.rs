//! Who could do what, on which grounds: follows what ClickHouse has acknowledged and keeps the answers beside it.
//!
//! One owner per tenant: the program that alone stores, or one of several processors (`owner.rs`). At its start it reads every stored event (streamed; docs/operations.md says what that costs), answers
//! all, and writes only rows that differ from those that stand. From then on, block by block: reads the events that were
//! acknowledged, settles once, writes the changes, and then moves its cursor. It is told of a block in passing and never waited
//! for: storing goes on however far this lags. Where the past was changed (a replay, or a second copy of an event that says
//! something else), all is read anew.

mod acknowledged;
mod announcement;
mod fold;
pub(crate) mod hand_over;
mod metrics;
mod owner;
mod ranges;
mod records;

pub use acknowledged::{Acknowledged, Phase, Standing, Touched};
pub use announcement::Announcement;
pub use fold::Fold;
pub use hand_over::Correlating;
pub use metrics::CorrelationMetrics;
pub use owner::Owner;

use acknowledged::Pending;
use correlate::rows::{Change, DecisionRow, Reason, Row, Verdict};
use events::ids::StreamId;
use ranges::Ranges;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use store::{
    Store, StoreError,
    correlation::{Correlated, Told, Window},
};
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
/// After reading everything anew, the next time comes no sooner than this many times as long.
const PACE: u32 = 20;

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
}

/// Why following ended without an error.
enum End {
    Stopped,
    PastChanged,
    /// A later owner has taken over.
    Superseded,
}

/// Up to where a stream's receipts are answered without a hole, and what is answered above.
type Reached = BTreeMap<StreamId, (u64, Ranges)>;

impl Stage {
    /// Runs until `stop` turns true. Nothing that happens here reaches the flow.
    pub async fn run(&self, mut stop: watch::Receiver<bool>) {
        let mut wait = RETRY.0;
        loop {
            match self.follow(&mut stop).await {
                Ok(End::Stopped) => return,
                Ok(End::Superseded) => {
                    tracing::warn!(
                        "Another program has taken the correlation over. Where this one is to do it nevertheless, it takes it back."
                    );
                    tokio::select! {
                        () = tokio::time::sleep(wait) => wait = (wait * 2).min(RETRY.1),
                        _ = stop.wait_for(|stop| *stop) => return,
                    }
                }
                Ok(End::PastChanged) => {
                    wait = RETRY.0;
                    tracing::info!("Events of the past were changed: the correlation reads everything again.");
                }
                Err(error) => {
                    tracing::warn!(%error, "The correlation cannot go on now; storing does, and this is tried again.");
                    tokio::select! {
                        () = tokio::time::sleep(wait) => wait = (wait * 2).min(RETRY.1),
                        _ = stop.wait_for(|stop| *stop) => return,
                    }
                }
            }
        }
    }

    /// Reads everything, then follows block by block until the past changes.
    async fn follow(&self, stop: &mut watch::Receiver<bool>) -> Result<End, StoreError> {
        let tenant = &self.config.tenant;
        let began = Instant::now();
        let Some(past) = self.quiet_past(stop).await? else { return Ok(End::Stopped) };
        // What was acknowledged before this line is read with everything else; what comes from here on is pending.
        let before = self.acknowledged.begin();
        let epoch = self.store.take_over_correlation(tenant, &self.name).await?;
        let mut reached = self.reached().await?;
        let mut fold = Fold::new(self.config.clone(), epoch, self.store.correlated_places(tenant).await?);
        let loaded = tokio::select! {
            loaded = self.load(&mut fold) => loaded?,
            _ = stop.wait_for(|stop| *stop) => return Ok(End::Stopped),
        };
        let (settled, changes) = settle(fold).await?;
        fold = settled;
        if let Some(end) = self.write(&mut fold, &changes, (epoch, stop)).await? {
            return Ok(end);
        }
        let rest = fold.unsaid();
        if let Some(end) = self.write_rows(&rest, (epoch, stop)).await? {
            return Ok(end);
        }
        // Commit point: every row of what was read is acknowledged. A crash before this line reads all again, to the same rows.
        self.put_reached(epoch, &reached).await?;
        self.metrics.loads.inc();
        self.metrics.events.inc_by(loaded);
        self.acknowledged.touch(Touched {
            since: Some(i64::MIN),
            until: Some(i64::MAX),
            everybody: true,
            ..Touched::default()
        });
        self.acknowledged.loaded(&before);
        let took = began.elapsed();
        tracing::info!(
            events = loaded,
            seconds = took.as_secs(),
            "The correlation has read what is stored and follows from here."
        );

        let mut looked = Instant::now();
        loop {
            self.metrics.lag.set(i64::try_from(self.acknowledged.standing().lag).unwrap_or(i64::MAX));
            tokio::select! {
                () = self.acknowledged.more() => {}
                () = tokio::time::sleep(PAST_LOOK) => {}
                _ = stop.wait_for(|stop| *stop) => return Ok(End::Stopped),
            }
            let taken = self.acknowledged.take();
            if !taken.pending.is_empty() {
                let (followed, end) = self.step(fold, &taken.pending, (epoch, stop)).await?;
                if let Some(end) = end {
                    return Ok(end);
                }
                fold = followed;
                for one in &taken.pending {
                    let (next, above) = reached.entry(one.window.stream).or_default();
                    above.add_all(&one.ranges);
                    *next = above.joined(*next);
                }
                // Commit point, as above, for these blocks.
                let Some(()) = self.patiently(stop, || self.put_reached(epoch, &reached)).await else {
                    return Ok(End::Stopped);
                };
                self.acknowledged.done(&taken);
            }
            let rested = began.elapsed() > took * PACE;
            if (fold.contradicted() || self.acknowledged.missed()) && rested {
                return Ok(End::PastChanged);
            }
            if looked.elapsed() >= PAST_LOOK {
                looked = Instant::now();
                if self.store.past_change(tenant).await.is_ok_and(|note| note.map(|(at, _)| at) != past) {
                    return Ok(End::PastChanged);
                }
                if self
                    .store
                    .correlation_owner(tenant)
                    .await
                    .is_ok_and(|owner| owner.is_some_and(|one| one.epoch != epoch))
                {
                    return Ok(End::Superseded);
                }
            }
        }
    }

    /// Up to where each stream is stored without a hole: all below is read with everything.
    async fn reached(&self) -> Result<Reached, StoreError> {
        let streams = self.store.streams(&self.config.tenant).await?;
        let first = |stream: &store::StreamStatus| stream.missing.first().map(|(first, _)| *first);
        let end = |stream: &store::StreamStatus| first(stream).unwrap_or_else(|| stream.last_seq.saturating_add(1));
        Ok(streams.iter().map(|stream| (stream.stream, (end(stream), Ranges::default()))).collect())
    }

    async fn put_reached(&self, epoch: u64, reached: &Reached) -> Result<(), StoreError> {
        let next = reached.iter().map(|(stream, (next, _))| (*stream, *next)).collect();
        self.store.put_correlated_to(&self.config.tenant, (epoch, &next)).await
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

    /// Everything that is stored, in whatever order: the answers do not depend on it.
    async fn load(&self, fold: &mut Fold) -> Result<u64, StoreError> {
        let tenant = &self.config.tenant;
        self.store.each_event(tenant, &mut |told| fold.take(&told)).await
    }

    /// Some blocks: reads them back, takes them in, settles, writes.
    async fn step(
        &self,
        mut fold: Fold,
        pending: &[Pending],
        (epoch, stop): (u64, &mut watch::Receiver<bool>),
    ) -> Result<(Fold, Option<End>), StoreError> {
        let tenant = &self.config.tenant;
        for one in pending {
            for window in windows(one.window) {
                let read = || async {
                    let mut told: Vec<Told> = Vec::new();
                    if window.earliest <= window.latest {
                        self.store.events_of(tenant, &window, &mut |event| told.push(event)).await?;
                    }
                    Ok(told)
                };
                let Some(told) = self.patiently(stop, read).await else { return Ok((fold, Some(End::Stopped))) };
                self.metrics.events.inc_by(told.len() as u64);
                told.iter().for_each(|told| fold.take_late(told));
            }
        }
        let (mut fold, changes) = settle(fold).await?;
        let end = self.write(&mut fold, &changes, (epoch, stop)).await?;
        self.acknowledged.touch(touched(pending, &changes));
        Ok((fold, end))
    }

    /// Writes changes. Returns an end if not all of them are written, or one who is owner no more wrote them.
    async fn write(
        &self,
        fold: &mut Fold,
        changes: &[Change],
        (epoch, stop): (u64, &mut watch::Receiver<bool>),
    ) -> Result<Option<End>, StoreError> {
        for chunk in changes.chunks(CHANGES_AT_ONCE) {
            let rows = fold.records(chunk);
            if let Some(end) = self.write_rows(&rows, (epoch, stop)).await? {
                return Ok(Some(end));
            }
        }
        Ok(None)
    }

    /// Writes as the owner of an epoch. This process may have hung for any time since it became that: a later owner's rows win over
    /// late ones, but where it had nothing to write, because what stood was right, a late row would stand. So it is told.
    async fn write_rows(
        &self,
        rows: &Correlated,
        (epoch, stop): (u64, &mut watch::Receiver<bool>),
    ) -> Result<Option<End>, StoreError> {
        if rows.is_empty() {
            return Ok(None);
        }
        match self.patiently(stop, || self.owns(epoch)).await {
            None => return Ok(Some(End::Stopped)),
            Some(false) => return Ok(Some(End::Superseded)),
            Some(true) => {}
        }
        let Some(()) = self.wholly(stop, || self.store.write_correlated(rows)).await else {
            return Ok(Some(End::Stopped));
        };
        self.metrics.rows.inc_by(rows.len() as u64);
        match self.wholly(stop, || self.owns(epoch)).await {
            None => return Ok(Some(End::Stopped)),
            Some(true) => return Ok(None),
            Some(false) => {}
        }
        tracing::warn!(
            "Rows of the correlation came after another program had taken it over; it is told to look again."
        );
        let note = || self.store.note_past_change(&self.config.tenant);
        let noted = self.wholly(stop, note).await;
        Ok(Some(if noted.is_some() { End::Superseded } else { End::Stopped }))
    }

    /// Whether nobody has taken over since this epoch began.
    async fn owns(&self, epoch: u64) -> Result<bool, StoreError> {
        Ok(self.store.correlation_owner(&self.config.tenant).await?.is_some_and(|owner| owner.epoch == epoch))
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
                    tracing::warn!(%error, "The correlation waits for ClickHouse; storing does not wait for it.")
                }
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => wait = (wait * 2).min(RETRY.1),
                _ = stop.wait_for(|stop| *stop) => return None,
            }
        }
    }
}

/// What a block changed, for the rules.
fn touched(pending: &[Pending], changes: &[Change]) -> Touched {
    let windows = || pending.iter().map(|one| one.window).filter(|window| window.earliest <= window.latest);
    let rows = changes.iter().filter_map(|change| change.row.as_ref());
    let persons = rows.clone().filter_map(|row| match row {
        Row::Decision(decision) if notable(decision) => decision.person.as_ref().map(|person| person.0.clone()),
        _ => None,
    });
    Touched {
        since: windows().map(|window| window.earliest).chain(rows.clone().map(records::at)).min(),
        until: windows().map(|window| window.latest).chain(rows.map(records::at)).max(),
        persons: persons.collect(),
        everybody: false,
    }
}

/// A decision that a rule may ask about.
fn notable(decision: &DecisionRow) -> bool {
    matches!(decision.verdict, Verdict::Exposure | Verdict::Violation | Verdict::NameCollision)
        || decision.candidates == 0
        || decision.reasons.contains(&Reason::CredentialOfAnother)
}

/// Settling can take long: not on a thread that serves requests.
async fn settle(mut fold: Fold) -> Result<(Fold, Vec<Change>), StoreError> {
    let work = move || {
        let changes = fold.settle();
        (fold, changes)
    };
    tokio::task::spawn_blocking(work).await.map_err(|_| StoreError::Incompatible("the correlation died".into()))
}

/// A window in parts that fit into memory.
fn windows(whole: Window) -> impl Iterator<Item = Window> {
    let step = usize::try_from(WINDOW_POSITIONS).unwrap_or(usize::MAX);
    (whole.first..whole.end).step_by(step).map(move |first| Window {
        first,
        end: whole.end.min(first.saturating_add(WINDOW_POSITIONS)),
        ..whole
    })
}
