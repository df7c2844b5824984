//! What is stored and the correlation has not taken in yet: positions only, so that any lag fits into memory.

use super::{Announcement, Remembered, behind::Late};
use correlate::rows::{Change, DecisionRow, Reason, Row, Verdict};
use events::ids::StreamId;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
    time::Instant,
};
use store::correlation::{Covered, Ranges, Window};
use tokio::sync::{Notify, watch};

/// Most persons that are remembered as touched.
const TOUCHED_MAX: usize = 20_000;

/// How far the correlation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Another processor correlates.
    StandingBy,
    /// It reads what is stored.
    Loading,
    /// It follows block by block.
    Following,
}

impl Phase {
    /// In a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StandingBy => "standing_by",
            Self::Loading => "loading",
            Self::Following => "following",
        }
    }
}

/// How the correlation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Phase.
    pub phase: Phase,
    /// Receipts that are known to be stored and not correlated.
    pub lag: u64,
}

/// Receipts of one stream.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub window: Window,
    /// The positions themselves: between them there may be some that are not stored yet.
    pub ranges: Ranges,
}

impl Pending {
    /// Leaves only what is not covered, or was taken by a second receipt; false: nothing is left.
    pub(super) fn is_news(&mut self, covered: &Covered, twice: &Covered) -> bool {
        let stream = self.window.stream;
        if let Some(known) = covered.of(stream) {
            let again = twice.of(stream).map(|twice| known.without(twice));
            self.ranges = self.ranges.without(again.as_ref().unwrap_or(known));
        }
        let first = self.ranges.iter().next().map(|range| range.0);
        (self.window.first, self.window.end) = (first.unwrap_or_default(), self.ranges.end());
        first.is_some()
    }
}

/// What was taken at once: when it is done, all up to `ticket` is.
pub(super) struct Taken {
    pub pending: Vec<Pending>,
    pub receipts: u64,
    pub ticket: u64,
}

/// What changed since it was last asked: from when on, and whose answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// The earliest time of an event or row that changed; none: nothing did.
    pub since: Option<i64>,
    /// The latest such time.
    pub until: Option<i64>,
    /// Persons of whom a decision that a rule may ask about is new, or says something else.
    pub persons: BTreeSet<String>,
    /// Persons of whom a decision is said otherwise than before, or no more: what rests on it may be none.
    pub retold: BTreeSet<String>,
    /// More of these than are kept: anybody may be meant.
    pub anybody_retold: bool,
    /// More persons than are kept, or everything was read anew: look at everybody.
    pub everybody: bool,
}

impl Touched {
    /// Whose answers blocks changed; `retold`: see there. Of decisions the rules read all that a person has, of events those of a time,
    /// which were touched when they were noted: a session that began yesterday must not have them read a day.
    pub(super) fn of((pending, retold): (&[Pending], BTreeSet<String>), changes: &[Change]) -> Self {
        let dated = |one: &&Pending| one.window.earliest <= one.window.latest;
        // What nobody announced was not noted.
        let untold = pending.iter().filter(dated).filter(|one| one.ranges.iter().next().is_none());
        let notable = changes.iter().filter_map(|change| match &change.row {
            Some(Row::Decision(decision)) if notable(decision) => Some(decision),
            _ => None,
        });
        let persons = notable.filter_map(|decision| decision.person.as_ref()).map(|person| person.0.clone());
        Self {
            since: untold.map(|one| one.window.earliest).min(),
            until: pending.iter().filter(dated).map(|one| one.window.latest).max(),
            persons: persons.collect(),
            retold,
            ..Self::default()
        }
    }

    /// Adds what changed later.
    pub fn and(&mut self, other: Self) {
        self.since = [self.since, other.since].into_iter().flatten().min();
        self.until = self.until.max(other.until);
        self.everybody |= other.everybody;
        self.persons.extend(other.persons);
        if self.persons.len() > TOUCHED_MAX {
            self.persons.clear();
            self.everybody = true;
        }
        self.anybody_retold |= other.anybody_retold;
        self.retold.extend(other.retold);
        if self.retold.len() > TOUCHED_MAX {
            self.retold.clear();
            self.anybody_retold = true;
        }
    }
}

/// A decision that a rule may ask about, as the store's `drift_decisions` has it.
fn notable(decision: &DecisionRow) -> bool {
    let has = |reason| decision.reasons.contains(&reason);
    // Plugins and static tokens call all day, and no rule is about them.
    !has(Reason::NoPerson)
        && (matches!(decision.verdict, Verdict::Exposure | Verdict::Violation | Verdict::NameCollision)
            || decision.candidates == 0
            || has(Reason::CredentialOfAnother)
            || has(Reason::Disabled))
}

struct State {
    phase: Phase,
    lag: u64,
    /// Receipts in `pending`; those that are being answered are in `lag` alone.
    waiting: u64,
    pending: BTreeMap<StreamId, Pending>,
    touched: Touched,
    /// Announcements that were noted.
    noted: u64,
    /// Something was stored of which nobody knows what: all must be read anew.
    missed: bool,
    /// Why this processor cannot announce what it stores, so that ClickHouse tells it.
    by_store: Option<String>,
    remembered: Option<Remembered>,
    late: Late,
    /// When everything was read for sources that are behind alone.
    read_for_late: Option<Instant>,
}

/// A cheap handle: whoever stores notes, the stage takes, the status looks.
#[derive(Clone)]
pub struct Acknowledged {
    state: Arc<Mutex<State>>,
    bell: Arc<Notify>,
    finished: Arc<watch::Sender<u64>>,
}

impl Default for Acknowledged {
    fn default() -> Self {
        let state = State {
            phase: Phase::Loading,
            lag: 0,
            waiting: 0,
            pending: BTreeMap::new(),
            touched: Touched::default(),
            noted: 0,
            missed: false,
            by_store: None,
            remembered: None,
            late: Late::default(),
            read_for_late: None,
        };
        Self { state: Arc::new(Mutex::new(state)), bell: Arc::default(), finished: Arc::new(watch::Sender::new(0)) }
    }
}

impl Acknowledged {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// ClickHouse has acknowledged these. Never waits.
    pub fn note(&self, told: &Announcement) {
        let mut state = self.lock();
        for stored in told.stored() {
            let stream = stored.stream;
            let empty = Window { stream, first: u64::MAX, end: 0, earliest: i64::MAX, latest: i64::MIN };
            let one =
                state.pending.entry(stream).or_insert_with(|| Pending { window: empty, ranges: Ranges::default() });
            let mut receipts = 0;
            for (first, end) in stored.ranges.iter() {
                one.window.first = first.min(one.window.first);
                one.window.end = end.max(one.window.end);
                receipts += end - first;
                one.ranges.add((first, end));
            }
            if let Some((earliest, latest)) = stored.times {
                one.window.earliest = earliest.min(one.window.earliest);
                one.window.latest = latest.max(one.window.latest);
            }
            state.lag += receipts;
            state.waiting += receipts;
            // Rules over events alone need not wait for answers.
            let (since, until) = stored.times.unzip();
            state.touched.and(Touched { since, until, ..Touched::default() });
        }
        state.noted += 1;
        drop(state);
        self.bell.notify_one();
    }

    /// What was noted so far is done when [`Acknowledged::finished`] is no less.
    pub(super) fn noted(&self) -> u64 {
        self.lock().noted
    }

    /// Tells up to where all that was noted is answered.
    pub(super) fn finished(&self) -> watch::Receiver<u64> {
        self.finished.subscribe()
    }

    /// Something was stored and nobody knows what.
    pub(super) fn miss(&self) {
        let mut state = self.lock();
        state.missed = true;
        state.noted += 1;
        drop(state);
        self.bell.notify_one();
    }

    /// True if everything must be read anew.
    pub(super) fn missed(&self) -> bool {
        self.lock().missed
    }

    /// How much is known by now.
    pub(super) fn remember(&self, remembered: Remembered) {
        self.lock().remembered = Some(remembered);
    }

    /// How much is known; none where nobody correlates, and before anything was read.
    pub fn remembered(&self) -> Option<Remembered> {
        self.lock().remembered
    }

    /// Whose events come too late for what is kept.
    pub(super) fn told_late(&self, late: Late) {
        self.lock().late = late;
    }

    /// Sources whose events come so long after they happened that everything must be read for them, and how long that is, milliseconds.
    pub fn late(&self) -> Late {
        self.lock().late.clone()
    }

    /// Everything is read for such sources alone.
    pub(super) fn reads_for_late(&self, now: Instant) {
        self.lock().read_for_late = Some(now);
    }

    /// When that was done last.
    pub(super) fn read_for_late(&self) -> Option<Instant> {
        self.lock().read_for_late
    }

    /// Another processor correlates: whatever is known here is known there.
    pub(super) fn stand_by(&self) {
        let mut state = self.lock();
        state.remembered = None;
        state.late.clear();
        (state.phase, state.lag, state.waiting, state.missed) = (Phase::StandingBy, 0, 0, false);
        state.pending.clear();
    }

    /// Whoever took something and did not answer it is gone: it is read with everything that is stored.
    pub(super) fn broke_off(&self) {
        self.lock().phase = Phase::Loading;
    }

    fn finish(&self, ticket: u64) {
        self.finished.send_if_modified(|finished| std::mem::replace(finished, ticket.max(*finished)) < ticket);
    }

    /// How the correlation stands.
    pub fn standing(&self) -> Standing {
        let state = self.lock();
        Standing { phase: state.phase, lag: state.lag }
    }

    /// Whether what is stored here is told by ClickHouse alone, and why.
    pub(super) fn announced_by_store(&self, why: Option<String>) {
        self.lock().by_store = why;
    }

    /// Why this processor cannot announce what it stores, so that the correlation hears of it later; none if it can.
    pub fn unannounced(&self) -> Option<String> {
        self.lock().by_store.clone()
    }

    /// Returns when there may be something to take.
    pub(super) async fn more(&self) {
        self.bell.notified().await;
    }

    pub(super) fn take(&self) -> Taken {
        let mut state = self.lock();
        let pending = std::mem::take(&mut state.pending).into_values().collect();
        Taken { pending, receipts: std::mem::take(&mut state.waiting), ticket: state.noted }
    }

    /// What is pending is read with everything that is stored; returns what that was.
    pub(super) fn begin(&self) -> Taken {
        let mut state = self.lock();
        (state.phase, state.missed, state.waiting) = (Phase::Loading, false, 0);
        state.pending.clear();
        Taken { pending: Vec::new(), receipts: state.lag, ticket: state.noted }
    }

    pub(super) fn loaded(&self, before: &Taken) {
        self.lock().phase = Phase::Following;
        self.done(before);
        self.bell.notify_one();
    }

    pub(super) fn touch(&self, touched: Touched) {
        self.lock().touched.and(touched);
    }

    /// What changed since the last call.
    pub fn take_touched(&self) -> Touched {
        std::mem::take(&mut self.lock().touched)
    }

    pub(super) fn done(&self, taken: &Taken) {
        let mut state = self.lock();
        state.lag = state.lag.saturating_sub(taken.receipts);
        let missed = state.missed;
        drop(state);
        // What was missed may lie anywhere below.
        if !missed {
            self.finish(taken.ticket);
        }
    }
}
