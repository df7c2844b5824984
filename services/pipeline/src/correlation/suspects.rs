//! Which event the correlation dies of by a fault of its own. Whoever takes events in says so before each, and before it answers what
//! they touched; where it dies there, what was said last tells who is to blame. Of many, the next beginning answers some by
//! themselves, until it is one. No I/O; what is done about it: `set_aside.rs`.

use events::event::Event;
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use store::correlation::Told;
use uuid::Uuid;

/// Into so many groups suspects are split: few settlings in a beginning, and few beginnings until it is one event.
const GROUPS: usize = 64;

/// What is about to be done.
#[derive(Clone, Copy, Debug)]
pub enum Doing<'a> {
    /// An event is taken in.
    Taking(&'a Told),
    /// What these events touched is answered.
    Answering(&'a [Uuid]),
}

/// Sees everything before it is done, where a test lets it die.
pub type Probe = Arc<dyn Fn(Doing<'_>) + Send + Sync>;

/// What is known of a death.
#[derive(Debug, PartialEq)]
pub(super) enum Found {
    /// The event.
    One(Box<Event>),
    /// It is one of several, which are answered apart the next time.
    Fewer,
}

/// A cheap handle, which outlives whoever dies.
#[derive(Clone, Default)]
pub struct Suspects {
    state: Arc<Mutex<State>>,
    probe: Option<Probe>,
}

#[derive(Default)]
struct State {
    /// Left out.
    aside: HashSet<Uuid>,
    /// One of each group, if any, is to blame: each is answered by itself.
    groups: HashMap<Uuid, u64>,
    last_group: u64,
    /// Taken in, and what they touched was not answered yet.
    open: Vec<Uuid>,
    found: Option<Found>,
}

impl Suspects {
    /// Where a test looks on.
    pub fn probed(probe: Probe) -> Self {
        Self { probe: Some(probe), ..Self::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins with nothing, and leaves these out.
    pub(super) fn begin(&self, aside: impl IntoIterator<Item = Uuid>) {
        let mut state = self.lock();
        state.aside = aside.into_iter().collect();
        state.open.clear();
        state.found = None;
    }

    /// Everything that is stored was answered: nobody is under suspicion.
    pub(super) fn clear(&self) {
        self.lock().groups = HashMap::new();
    }

    /// How many are left out.
    pub(super) fn count_aside(&self) -> usize {
        self.lock().aside.len()
    }

    /// True if an event is left out.
    pub(super) fn leaves_out(&self, event: &Uuid) -> bool {
        self.lock().aside.contains(event)
    }

    /// The group with which an event is to be answered; none: it is under no suspicion.
    pub(super) fn group(&self, event: &Uuid) -> Option<u64> {
        self.lock().groups.get(event).copied()
    }

    /// What a death came to; none: no event is to blame.
    pub(super) fn found(&self) -> Option<Found> {
        self.lock().found.take()
    }

    /// Looks at an event, which is to blame if that is the end.
    pub(super) fn looking<T>(&self, told: &Told, look: impl FnOnce() -> T) -> T {
        let _guard = Guard { suspects: self, alone: Some(told) };
        look()
    }

    /// Takes an event in, likewise.
    pub(super) fn taking<T>(&self, told: &Told, take: impl FnOnce() -> T) -> T {
        self.lock().open.push(told.event.event_id);
        self.looking(told, || {
            if let Some(probe) = &self.probe {
                probe(Doing::Taking(told));
            }
            take()
        })
    }

    /// Answers what was touched by all that was taken in since the last time. `alone`: by that event.
    pub(super) fn answering<T>(&self, alone: Option<&Told>, answer: impl FnOnce() -> T) -> T {
        let guard = Guard { suspects: self, alone };
        if let Some(probe) = &self.probe {
            let open = self.lock().open.clone();
            probe(Doing::Answering(&open));
        }
        let answered = answer();
        drop(guard);
        self.lock().open.clear();
        answered
    }
}

impl State {
    /// One of those that are open is to blame. A group of several becomes smaller ones, so that this comes to an end.
    fn split(&mut self) -> Option<Found> {
        let mut open = std::mem::take(&mut self.open);
        open.sort_unstable();
        open.dedup();
        for group in open.chunks(open.len().div_ceil(GROUPS).max(1)) {
            self.last_group += 1;
            self.groups.extend(group.iter().map(|event| (*event, self.last_group)));
        }
        (!open.is_empty()).then_some(Found::Fewer)
    }
}

/// Lies there while something is done that may be the end.
struct Guard<'a> {
    suspects: &'a Suspects,
    alone: Option<&'a Told>,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let mut state = self.suspects.lock();
        state.found = match self.alone {
            Some(told) => Some(Found::One(Box::new(told.event.clone()))),
            None => state.split(),
        };
    }
}
