//! The task that keeps watermarks and gaps, round by round.

use super::{
    SENDER_DROPPED, copies,
    depths::Depth,
    held,
    holes::Awaited,
    lost,
    pushed::Push,
    reconcile::reconcile,
    repair::{claimed, time_of},
    spans::Spans,
};
use events::receipt::{Input, SourceKind};
use prometheus::{GaugeVec, IntGaugeVec, Opts, Registry};
use std::{collections::BTreeMap, time::Duration};
use store::{ClaimedSpan, Gap, Store, StoreError, correlation::EVENT_SET_ASIDE};
use tokio::sync::{Mutex, watch};

/// Longest time between two rounds; heartbeats that are faster make it shorter.
const ROUND: Duration = Duration::from_secs(10);
/// Streams and the whole time of unrepaired gaps are looked at in one of so many rounds.
const THOROUGH: u64 = 30;
/// Kept counts of all times are compared in one of so many, those of a month in each thorough one, those of the last hours in every one.
const WHOLE: u64 = 12 * THOROUGH;
/// What is compared in every round, milliseconds: before now, and after, for clocks that are ahead.
const LAST: (i64, i64) = (2 * 3_600_000, 3_600_000);
/// In one of so many rounds kept counts are compared so far back, milliseconds (none: all), the deepest look first.
const COUNTED: [(u64, Option<i64>); 3] = [(WHOLE, None), (THOROUGH, Some(OLDEST)), (1, Some(LAST.0))];
/// Gaps older than this are left as they are unless a claim is about them, milliseconds.
const OLDEST: i64 = 32 * 86_400_000;
/// Most that a source's clock and ours may differ for a heartbeat to be found, milliseconds.
pub(super) const CLOCK: i64 = 600_000;

/// What is expected of one source.
#[derive(Clone, Debug)]
pub struct Expected {
    /// Source.
    pub source_id: String,
    /// Product.
    pub kind: SourceKind,
    /// The input by which it pushes, with the scopes that send heartbeats (realms; instances of a Backstage, or one empty
    /// name) and the milliseconds between two of them; none if it does not push or no heartbeats are sent.
    pub push: Option<(Input, Vec<String>, i64)>,
    /// The greatest age that the watermark of its pull may reach, milliseconds; none if it is not pulled.
    pub pull: Option<i64>,
}

/// Keeps watermarks and gaps of one tenant.
pub struct Keeper {
    pub(super) store: Store,
    pub(super) tenant: String,
    pub(super) lateness: i64,
    pub(super) expected: Vec<Expected>,
    clock: fn() -> i64,
    open: IntGaugeVec,
    complete: IntGaugeVec,
    pub(super) offset: GaugeVec,
    pub(super) differing: IntGaugeVec,
    /// What was read of events that the webhook lost.
    pub(super) read: Mutex<lost::Read>,
    /// Which cells of streams had their turn.
    pub(super) turn: Mutex<held::Turn>,
    /// Numbers that are not there.
    pub(super) awaited: Mutex<Awaited>,
    pub(super) settled_until: watch::Receiver<i64>,
}

impl Keeper {
    /// `lateness`: how late an event may come, milliseconds; `clock`: UTC milliseconds.
    pub fn new(
        (store, tenant): (Store, String),
        lateness: i64,
        expected: Vec<Expected>,
        (clock, registry): (fn() -> i64, &Registry),
    ) -> Result<Self, prometheus::Error> {
        let open = IntGaugeVec::new(
            Opts::new("tokentrail_gaps_unrepaired", "Gaps that are open, or closed and not repaired"),
            &["source", "cause", "state"],
        )?;
        let complete = IntGaugeVec::new(
            Opts::new("tokentrail_complete_until_seconds", "Up to where an input is complete, Unix time"),
            &["source", "input"],
        )?;
        let offset = GaugeVec::new(
            Opts::new(
                "tokentrail_clock_offset_seconds",
                "How far a source's clock is ahead of ours at the least (negative: behind) by the newest heartbeat of an input; 0: no more than 10 s",
            ),
            &["source", "input"],
        )?;
        let differing = copies::gauge(registry)?;
        registry.register(Box::new(offset.clone()))?;
        registry.register(Box::new(open.clone()))?;
        registry.register(Box::new(complete.clone()))?;
        let (read, turn, awaited) = (Mutex::default(), Mutex::default(), Mutex::default());
        let settled_until = watch::channel(i64::MAX).1;
        Ok(Self {
            store,
            tenant,
            lateness,
            expected,
            clock,
            open,
            complete,
            offset,
            differing,
            read,
            turn,
            awaited,
            settled_until,
        })
    }

    /// No number is told as missing while it may wait in the log: up to when (UTC milliseconds) everything in it is settled.
    #[must_use]
    pub fn behind(self, settled_until: watch::Receiver<i64>) -> Self {
        Self { settled_until, ..self }
    }

    /// Runs until `stop` turns true. What fails is tried again: the recent past in the next round, what reaches further back soon.
    pub async fn run(&self, mut stop: watch::Receiver<bool>) {
        let fastest = self.expected.iter().filter_map(|expected| Some(expected.push.as_ref()?.2)).min();
        let pause = fastest.map_or(ROUND, |ms| ROUND.min(Duration::from_millis(ms.unsigned_abs())));
        let (mut recent, mut past) = (Looking::at(1), Looking::at(THOROUGH));
        let mut counts = COUNTED.map(|(every, _)| Looking::at(every));
        for round in 0.. {
            let thorough = past.depth.is_due(round);
            let judged = self.round((self.clock)(), thorough).await;
            let (looking, of) = if thorough { (&mut past, PAST) } else { (&mut recent, RECENT) };
            looking.tell(of, (round, pause), judged);
            if let Some(deepest) = counts.iter().position(|one| one.depth.is_due(round)) {
                let kept = self.keep_counts((self.clock)(), COUNTED[deepest].1).await;
                // Whoever looked far back has looked at what is nearer.
                let nearer = if kept.is_ok() { counts.len() } else { deepest + 1 };
                let mut told = Some(kept);
                for one in &mut counts[deepest..nearer] {
                    one.tell(COUNTS, (round, pause), told.take().unwrap_or(Ok(())));
                }
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    /// Judges everything once at `now` (UTC milliseconds).
    pub async fn round(&self, now: i64, thorough: bool) -> Result<(), StoreError> {
        let mut oldest = now - OLDEST;
        let mut written = self.store.gaps(&self.tenant, oldest).await?;
        let mut complete = self.watermarks().await?;
        let claims = self.store.claims(&self.tenant).await?;
        if let Some(since) = claimed_since(&written, &claims).filter(|since| thorough && since - CLOCK < oldest) {
            oldest = since - CLOCK;
            written = self.store.gaps(&self.tenant, oldest).await?;
        }
        let look = Look { now, thorough, oldest, written: &written, claims: &claims };
        let mut rows = Vec::new();
        for expected in &self.expected {
            if let Some((input, scopes, interval)) = &expected.push {
                let push = Push { expected, input: *input, scopes, interval: *interval };
                rows.extend(self.pushed(&push, &look, &mut complete).await?);
            }
            if let Some(stale) = expected.pull {
                rows.extend(self.pulled(expected, (now, stale), &written, &complete));
            }
            let lost = self.lost(expected, &look, &rows).await?;
            rows.extend(lost);
        }
        rows.extend(self.no_longer_expected(&written, now));
        rows.extend(sent_again(&written, &claims, now));
        rows.extend(self.differing(&look).await?);
        if thorough {
            rows.extend(self.missing_records(&look).await?);
            rows.extend(self.held(&look).await?);
        }
        self.store.put_gaps(&rows).await?;
        self.tell(&complete, written, rows);
        Ok(())
    }

    /// For panels, at `now` (UTC milliseconds): so far back; none: all.
    async fn keep_counts(&self, now: i64, back: Option<i64>) -> Result<(), StoreError> {
        let since = back.map_or(0, |back| now - back);
        self.store.keep_continuity(&self.tenant, (since, now + LAST.1)).await
    }

    async fn watermarks(&self) -> Result<BTreeMap<(String, Input), i64>, StoreError> {
        let marks = self.store.watermarks(&self.tenant).await?;
        Ok(marks.into_iter().map(|mark| ((mark.source_id, mark.input), mark.watermark)).collect())
    }

    /// A pull reads everything from where it stood, so what it did not reach for long is a gap only until it does.
    fn pulled(
        &self,
        expected: &Expected,
        (now, stale): (i64, i64),
        written: &[Gap],
        complete: &BTreeMap<(String, Input), i64>,
    ) -> Vec<Gap> {
        let (source, input) = (&expected.source_id, Input::Pull.as_str());
        let own: Vec<Gap> =
            written.iter().filter(|gap| gap.source_id == *source && gap.input == input).cloned().collect();
        let mark = complete.get(&(source.clone(), Input::Pull));
        let found = mark
            .filter(|mark| now - **mark > stale)
            .map(|mark| Gap { input: input.to_owned(), ..self.gap(source, *mark, "silent") });
        reconcile(&own, found.into_iter().collect(), now, None)
    }

    /// Ends open gaps of sources and realms that the config does not name any more.
    fn no_longer_expected(&self, written: &[Gap], now: i64) -> Vec<Gap> {
        let expected = |gap: &Gap| {
            gap.source_id.is_empty()
                || gap.cause == EVENT_SET_ASIDE
                || self.expected.iter().any(|expected| {
                    let pushes = expected
                        .push
                        .as_ref()
                        .is_some_and(|(input, scopes, _)| input.as_str() == gap.input && scopes.contains(&gap.scope));
                    expected.source_id == gap.source_id
                        && (pushes || (expected.pull.is_some() && gap.input == Input::Pull.as_str()))
                })
        };
        let open = written.iter().filter(|gap| gap.until.is_none() && !expected(gap));
        open.map(|gap| Gap { until: Some(now), recorded_at: now, ..gap.clone() }).collect()
    }

    pub(super) fn gap(&self, source: &str, since: i64, cause: &str) -> Gap {
        Gap {
            tenant: self.tenant.clone(),
            source_id: source.to_owned(),
            scope: String::new(),
            input: String::new(),
            since,
            cause: cause.to_owned(),
            until: None,
            missing: None,
            repaired_at: None,
            repaired_by: String::new(),
            recorded_at: 0,
        }
    }

    /// Metrics and the log: a gap is told once when it opens and once when it ends.
    fn tell(&self, complete: &BTreeMap<(String, Input), i64>, written: Vec<Gap>, rows: Vec<Gap>) {
        for ((source, input), mark) in complete {
            self.complete.with_label_values(&[source.as_str(), input.as_str()]).set(mark.div_euclid(1000));
        }
        let mut gaps: BTreeMap<_, Gap> = written.into_iter().map(|gap| (gap.key(), gap)).collect();
        for gap in rows {
            let (source, realm, cause) = (&gap.source_id, &gap.scope, &gap.cause);
            match (gap.repaired_at, gap.until) {
                (Some(_), _) => {
                    tracing::info!(source, realm, cause, by = gap.repaired_by, since = gap.since, "A gap is repaired.");
                }
                (None, None) => tracing::warn!(source, realm, cause, since = gap.since, "A gap is open."),
                (None, Some(until)) => {
                    tracing::warn!(source, realm, cause, since = gap.since, until, "A gap is not repaired.");
                }
            }
            gaps.insert(gap.key(), gap);
        }
        self.open.reset();
        for gap in gaps.into_values().filter(|gap| gap.repaired_at.is_none()) {
            let state = if gap.until.is_none() { "open" } else { "closed" };
            self.open.with_label_values(&[gap.source_id.as_str(), gap.cause.as_str(), state]).inc();
        }
    }
}

/// What is looked at, in words.
const RECENT: &str = "completeness";
const PAST: &str = "completeness of all of the past";
const COUNTS: &str = "the counts of panels";

/// A depth of looking, told about.
struct Looking {
    depth: Depth,
}

impl Looking {
    fn at(every: u64) -> Self {
        Self { depth: Depth::every(every) }
    }

    /// Notes how a look in a round ended; that it fails is told once, with when it is tried again.
    fn tell(&mut self, of: &str, (round, pause): (u64, Duration), done: Result<(), StoreError>) {
        let failing = self.depth.is_owed();
        match done {
            Ok(()) => {
                self.depth.done(round);
                if failing {
                    tracing::info!(of, "What could not be looked at is looked at again.");
                }
            }
            Err(error) => {
                let rounds = self.depth.failed(round);
                let seconds = pause.as_secs_f64() * rounds as f64;
                if !failing {
                    tracing::warn!(of, %error, seconds, "This cannot be looked at now; it is tried again soon, and until it can be.");
                }
            }
        }
    }
}

/// What one round starts from.
pub(super) struct Look<'a> {
    /// UTC milliseconds.
    pub now: i64,
    /// Whether more than the recent past is looked at.
    pub thorough: bool,
    /// Gaps that begin before this are left as they are, UTC milliseconds.
    pub oldest: i64,
    /// Gaps that are not repaired, and all since `oldest`.
    pub written: &'a [Gap],
    /// What imports are said to hold.
    pub claims: &'a [ClaimedSpan],
}

/// The beginning of the oldest gap that is not repaired and that a claim is about.
fn claimed_since(written: &[Gap], claims: &[ClaimedSpan]) -> Option<i64> {
    let about = |gap: &Gap, claim: &ClaimedSpan| {
        claim.source_id == gap.source_id && Spans::of([time_of(gap)]).touch((claim.since, claim.until))
    };
    let open = written.iter().filter(|gap| gap.repaired_at.is_none());
    open.filter(|gap| claims.iter().any(|claim| about(gap, claim))).map(|gap| gap.since).min()
}

/// Lines that a sender dropped and that a whole log of that time has brought.
fn sent_again(written: &[Gap], claims: &[ClaimedSpan], now: i64) -> Vec<Gap> {
    let dropped = written.iter().filter(|gap| gap.cause == SENDER_DROPPED && gap.repaired_at.is_none());
    let there = |gap: &&Gap| {
        let whole = Spans::of([time_of(gap)]);
        whole.without(&claimed(claims, (SourceKind::Backstage, &gap.source_id, &gap.scope))) == Spans::default()
    };
    let repaired_by = Input::Import.as_str();
    let row =
        |gap: &Gap| Gap { repaired_at: Some(now), repaired_by: repaired_by.into(), recorded_at: now, ..gap.clone() };
    dropped.filter(there).map(row).collect()
}
