//! How much the correlation keeps in memory, and what happens when that is too much: what is long over is forgotten.
//!
//! A row that is forgotten stays in ClickHouse as it was said last: nothing deletes it, and nothing says it again. What is at or behind
//! the floor is answered as if everything were known. Whatever comes only now and needs what was forgotten is noted, and once
//! no more of it comes everything is read anew (`reading.rs`), in the order of time.

use super::{PACE, PAST_QUIET_MS, Stage, behind::Late, ending, fold::Fold};
use crate::faults::on_a_thread;
use std::time::{Duration, Instant};
use store::StoreError;

/// Of the budget, in percent: forgetting begins above the first and ends below the second.
const ROOM: (u64, u64) = (90, 65);
/// Events may be late by 72 h, and rest on what was up to a day before them (a token's life, a sync of the catalog, a daily snapshot): so
/// much is never forgotten, whatever the budget.
pub(super) const LEAST_KEPT_MS: i64 = (72 + 24) * 3_600_000;
/// Bytes that an event comes to while it is taken in and answered, with its rows to write.
const EVENT_BYTES: u64 = 4_096;
/// Rows of events that are read in one part, at least and at most.
const PART_EVENTS: (u64, u64) = (200, 500_000);
/// An eighth of the budget for rows that stand and were not said yet, of so many bytes each.
const PART_PLACES: (u64, u64) = (8, 57);

/// How much may be kept in memory.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Bytes.
    pub budget: u64,
    /// UTC milliseconds.
    pub clock: fn() -> i64,
}

impl Memory {
    fn part(&self, percent: u64) -> usize {
        usize::try_from(self.budget / 100 * percent).unwrap_or(usize::MAX)
    }

    /// Above so many bytes something is forgotten.
    pub(super) fn most(&self) -> usize {
        self.part(ROOM.0)
    }

    /// Down to so many.
    pub(super) fn target(&self) -> usize {
        self.part(ROOM.1)
    }

    /// What happened here or later is never forgotten, if what was read ends at `end`.
    pub(super) fn limit(&self, end: i64) -> i64 {
        end.min((self.clock)()).saturating_sub(LEAST_KEPT_MS)
    }

    /// Rows of events of one part when everything is read.
    pub(super) fn part_events(&self) -> u64 {
        (self.budget / EVENT_BYTES).clamp(PART_EVENTS.0, PART_EVENTS.1)
    }

    /// Rows that stand, likewise.
    pub(super) fn part_places(&self) -> u64 {
        (self.budget / PART_PLACES.0 / PART_PLACES.1).max(PART_EVENTS.0)
    }
}

/// What is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Remembered {
    /// Bytes of all that is known, about.
    pub bytes: u64,
    /// How many it may be.
    pub budget: u64,
    /// What was over before this instant is forgotten, UTC milliseconds; none: nothing is.
    pub floor: Option<i64>,
    /// The earliest time of what came and is older than that: everything will be read anew, and until then nothing is answered to it.
    pub waiting: Option<i64>,
}

impl Remembered {
    /// False: even the least that must be kept is more than the budget.
    pub fn fits(&self) -> bool {
        self.bytes <= self.budget
    }
}

/// When to forget again, and what was told.
#[derive(Default)]
pub(super) struct Pacing {
    last: Option<(Instant, Duration)>,
    /// The last time there was room afterwards.
    helped: bool,
    told: bool,
}

impl Pacing {
    fn rested(&self) -> bool {
        self.last.is_none_or(|(last, cost)| last.elapsed() >= cost * PACE)
    }
}

/// What came and was too old: when the first of it did, the last, and how much.
pub(super) struct Olds {
    first: Instant,
    last: Instant,
    count: u64,
}

impl Olds {
    /// After a block: what the fold says of it, and how much there was so far.
    pub(super) fn after(before: Option<Self>, (old, count): (Option<i64>, u64), now: Instant) -> Option<Self> {
        old?;
        Some(match before {
            Some(olds) if olds.count == count => olds,
            Some(olds) => Self { last: now, count, ..olds },
            None => Self { first: now, last: now, count },
        })
    }

    /// True when no more of it comes, or has come for long enough; `took`: how long it takes to read everything.
    pub(super) fn are_over(&self, took: Duration, now: Instant) -> bool {
        let quiet = Duration::from_millis(PAST_QUIET_MS.unsigned_abs()).max(took);
        now.duration_since(self.last) >= quiet || now.duration_since(self.first) >= quiet * PACE
    }
}

impl Stage {
    /// Forgets what is over if what is known is too much, and tells how much that is. Everything must be settled and written.
    pub(super) async fn make_room(&self, mut fold: Fold, pacing: &mut Pacing) -> Result<Fold, StoreError> {
        let (size, most) = (fold.size(), self.memory.most());
        // What comes faster than it may be forgotten must not fill the machine.
        let pressing = pacing.helped && u64::try_from(size).unwrap_or(u64::MAX) > self.memory.budget;
        if size > most && (pressing || pacing.rested()) {
            let began = Instant::now();
            fold = self.let_go(fold, i64::MAX).await?;
            pacing.last = Some((Instant::now(), began.elapsed()));
            pacing.helped = fold.size() <= most;
        }
        let kept = self.tell_kept(&fold);
        if !kept.fits() && !pacing.told {
            tracing::warn!(
                kept = kept.bytes,
                budget = kept.budget,
                "What the correlation must know of the last days is more than correlation.memory_mib allows; it goes on with what it needs. \
                 Raise that setting."
            );
        }
        pacing.told = !kept.fits();
        Ok(fold)
    }

    /// Forgets down to the target, but nothing of the last days before `end`.
    pub(super) async fn let_go(&self, mut fold: Fold, end: i64) -> Result<Fold, StoreError> {
        let (target, limit) = (self.memory.target(), self.memory.limit(end));
        let before = (fold.floor(), fold.size());
        let work = move || {
            fold.make_room(target, limit);
            fold
        };
        let fold = on_a_thread(work).await.ok_or_else(ending)?;
        if fold.floor() != before.0 {
            self.metrics.forgets.inc();
            tracing::info!(
                floor = fold.floor(),
                before = before.1,
                after = fold.size(),
                "The correlation has forgotten what was over before its floor; what it said of that stands."
            );
        }
        Ok(fold)
    }

    /// Says how much is kept to whoever asks.
    pub(super) fn tell_kept(&self, fold: &Fold) -> Remembered {
        let bytes = u64::try_from(fold.size()).unwrap_or(u64::MAX);
        let kept = Remembered { bytes, budget: self.memory.budget, floor: fold.floor(), waiting: fold.old() };
        let gauge = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        self.metrics.memory.set(gauge(kept.bytes));
        self.metrics.budget.set(gauge(kept.budget));
        self.metrics.floor.set(kept.floor.map_or(0, |floor| floor.div_euclid(1_000)));
        self.acknowledged.remember(kept);
        self.tell_late(fold.behind().late());
        kept
    }

    /// Says of which sources events come too late for what is kept, each once.
    fn tell_late(&self, late: &Late) {
        let before = self.acknowledged.late();
        for (source, by) in late.iter().filter(|(source, _)| !before.contains_key(*source)) {
            tracing::warn!(
                source,
                hours = by.div_euclid(3_600_000),
                "Events of a source come so long after they happened that the correlation does not keep what they concern: its clock is that much \
                 behind, or what it told has waited. It is answered when everything is read anew, which for such sources is done every \
                 few hours at most."
            );
        }
        for source in before.keys().chain(late.keys()) {
            let by = late.get(source).copied().unwrap_or_default();
            self.metrics.late.with_label_values(&[source]).set(by.div_euclid(1_000));
        }
        self.acknowledged.told_late(late.clone());
    }

    /// Whether everything may be read anew for what came and is too old: for sources that are behind alone not again and again.
    pub(super) fn may_read_anew(&self, fold: &Fold, now: Instant) -> bool {
        let behind = fold.behind();
        let may = behind.may_be_read(self.acknowledged.read_for_late(), now);
        if may && behind.is_all() {
            self.acknowledged.reads_for_late(now);
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_import_in_many_blocks_is_waited_for_but_not_for_ever() {
        let begun = Instant::now();
        let at = |second: u64| begun + Duration::from_secs(second);
        let took = Duration::from_secs(10);
        assert!(Olds::after(None, (None, 0), begun).is_none());
        let mut olds = None;
        for second in 0..100 {
            olds = Olds::after(olds, (Some(7), second), at(second));
            assert!(olds.as_ref().is_some_and(|olds| !olds.are_over(took, at(second))), "{second}");
        }
        // Nothing more comes.
        let same = Olds::after(olds, (Some(7), 99), at(105));
        assert!(same.as_ref().is_some_and(|olds| !olds.are_over(took, at(108)) && olds.are_over(took, at(109))));
        // It comes for ever.
        let mut olds = same;
        for second in 108..200 {
            olds = Olds::after(olds, (Some(7), second), at(second));
            assert!(olds.as_ref().is_some_and(|olds| !olds.are_over(took, at(second))), "{second}");
        }
        let olds = Olds::after(olds, (Some(7), 200), at(200));
        assert!(olds.is_some_and(|olds| olds.are_over(took, at(200))));
    }

    #[test]
    fn a_budget_leaves_room_and_the_last_days_are_kept() {
        let memory = Memory { budget: 1_000_000, clock: || LEAST_KEPT_MS + 50 };
        assert_eq!((memory.most(), memory.target()), (900_000, 650_000));
        assert_eq!((memory.limit(i64::MAX), memory.limit(LEAST_KEPT_MS + 20)), (50, 20));
        assert_eq!(memory.part_events(), 244);
    }
}
