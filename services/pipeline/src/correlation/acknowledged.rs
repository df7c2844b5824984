//! What the flow has stored and the correlation has not taken in yet: positions only, so that any lag fits into memory.

use events::ids::StreamId;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
};
use store::{
    Block,
    correlation::{Ranges, Window, storable},
};
use tokio::sync::Notify;

/// Most persons that are remembered as touched.
const TOUCHED_MAX: usize = 20_000;

/// How far the correlation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It reads what is stored.
    Loading,
    /// It follows block by block.
    Following,
}

impl Phase {
    /// In a word.
    pub fn as_str(self) -> &'static str {
        match self {
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
    /// Receipts that are stored and not correlated.
    pub lag: u64,
}

/// Receipts of one stream.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub window: Window,
    /// The positions themselves: between them there may be some that are not stored yet.
    pub ranges: Ranges,
    pub receipts: u64,
}

/// What changed since it was last asked: from when on, and whose answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// The earliest time of an event or row that changed; none: nothing did.
    pub since: Option<i64>,
    /// The latest such time.
    pub until: Option<i64>,
    /// Persons of whom a decision that a rule may ask about changed.
    pub persons: BTreeSet<String>,
    /// More persons than are kept, or everything was read anew: look at everybody.
    pub everybody: bool,
}

impl Touched {
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
    }
}

struct State {
    phase: Phase,
    lag: u64,
    pending: BTreeMap<StreamId, Pending>,
    touched: Touched,
}

/// A cheap handle: the flow notes, the stage takes, the status looks.
#[derive(Clone)]
pub struct Acknowledged {
    state: Arc<Mutex<State>>,
    bell: Arc<Notify>,
}

impl Default for Acknowledged {
    fn default() -> Self {
        let state = State { phase: Phase::Loading, lag: 0, pending: BTreeMap::new(), touched: Touched::default() };
        Self { state: Arc::new(Mutex::new(state)), bell: Arc::default() }
    }
}

impl Acknowledged {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// ClickHouse has acknowledged a block. Never waits.
    pub fn note(&self, block: &Block) {
        let mut state = self.lock();
        for stored in &block.receipts {
            let position = stored.receipt.position;
            let empty = Window {
                stream: position.stream,
                first: position.seq,
                end: position.seq,
                earliest: i64::MAX,
                latest: i64::MIN,
            };
            let one = state.pending.entry(position.stream).or_insert_with(|| Pending {
                window: empty,
                ranges: Ranges::default(),
                receipts: 0,
            });
            one.window.first = position.seq.min(one.window.first);
            one.window.end = position.seq.saturating_add(1).max(one.window.end);
            one.ranges.add((position.seq, position.seq.saturating_add(1)));
            one.receipts += 1;
        }
        for event in &block.events {
            if let Some(one) = state.pending.get_mut(&event.receipt.stream) {
                let time = storable(event.time);
                one.window.earliest = time.min(one.window.earliest);
                one.window.latest = time.max(one.window.latest);
            }
        }
        state.lag += block.receipts.len() as u64;
        drop(state);
        self.bell.notify_one();
    }

    /// How the correlation stands.
    pub fn standing(&self) -> Standing {
        let state = self.lock();
        Standing { phase: state.phase, lag: state.lag }
    }

    /// Returns when there may be something to take.
    pub(super) async fn more(&self) {
        self.bell.notified().await;
    }

    pub(super) fn take(&self) -> Vec<Pending> {
        std::mem::take(&mut self.lock().pending).into_values().collect()
    }

    /// What is pending is read with everything that is stored; returns how much that was.
    pub(super) fn begin(&self) -> u64 {
        let mut state = self.lock();
        state.phase = Phase::Loading;
        state.pending.clear();
        state.lag
    }

    pub(super) fn loaded(&self, receipts: u64) {
        self.lock().phase = Phase::Following;
        self.done(receipts);
        self.bell.notify_one();
    }

    pub(super) fn touch(&self, touched: Touched) {
        self.lock().touched.and(touched);
    }

    /// What changed since the last call.
    pub fn take_touched(&self) -> Touched {
        std::mem::take(&mut self.lock().touched)
    }

    pub(super) fn done(&self, receipts: u64) {
        let mut state = self.lock();
        state.lag = state.lag.saturating_sub(receipts);
    }
}
