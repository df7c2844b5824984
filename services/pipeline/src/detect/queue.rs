//! What changed and waits to be ripe: judged once the sources are complete up to it, or the allowance for late events is over.

use crate::correlation::Touched;
use std::collections::VecDeque;

/// What reaches over more time than this, milliseconds, is judged twice: what an import brings of the past does not wait for
/// what was noted with it.
const APART: i64 = 60_000;
/// What reaches over less is judged as it becomes ripe, this much of it (milliseconds) or more at once.
const PART: i64 = 1_000;

/// Changes in the order in which they were noted.
#[derive(Default)]
pub(super) struct Queue {
    waiting: VecDeque<Waiting>,
}

/// A change that is not ripe to its end.
struct Waiting {
    /// Judged up to here; before that, the beginning. UTC milliseconds.
    judged: i64,
    /// Ripe at this time.
    last: i64,
    touched: Touched,
}

impl Queue {
    /// Everything is judged at once, and again when what is young now is ripe.
    pub(super) fn everything(&mut self, now: i64) {
        let all = Touched { since: Some(i64::MIN), until: Some(i64::MAX), everybody: true, ..Touched::default() };
        self.at(i64::MIN, all.clone());
        self.at(now, all);
    }

    /// Judged when `last` is ripe.
    pub(super) fn at(&mut self, last: i64, touched: Touched) {
        self.waiting.push_back(Waiting { judged: last, last, touched });
    }

    /// Notes a change at `now`. What is dated later than now is ripe as what happens now.
    pub(super) fn push(&mut self, touched: Touched, now: i64) {
        if touched == Touched::default() {
            return;
        }
        if touched.everybody {
            return self.everything(now);
        }
        let until = touched.until.or(touched.since).unwrap_or(now);
        let (first, last) = (touched.since.unwrap_or(until).min(now), until.min(now));
        if last.saturating_sub(first) > APART {
            self.at(first, touched.clone());
            self.at(last, touched);
        } else {
            self.waiting.push_back(Waiting { judged: first.min(last), last, touched });
        }
    }

    /// True if nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Everything that is ripe, as one; none if there is nothing.
    pub(super) fn take(&mut self, ripe: i64) -> Option<Touched> {
        let mut taken: Option<Touched> = None;
        self.waiting.retain_mut(|one| {
            let over = one.last <= ripe;
            if over || ripe.saturating_sub(one.judged) >= PART {
                one.judged = ripe;
                taken.get_or_insert_default().and(one.touched.clone());
            }
            !over
        });
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(since: i64, until: i64, person: &str) -> Touched {
        let persons = [person.to_owned()].into_iter().collect();
        Touched { since: Some(since), until: Some(until), persons, ..Touched::default() }
    }

    #[test]
    fn what_is_ripe_is_judged_once_and_together() {
        let mut queue = Queue::default();
        queue.push(change(10, 20, "a"), 1_000);
        queue.push(change(900, 990, "b"), 1_000);
        queue.push(change(5, 30, "c"), 1_000);
        let taken = queue.take(500).unwrap();
        assert_eq!((taken.since, taken.until), (Some(5), Some(30)));
        assert_eq!(taken.persons.into_iter().collect::<Vec<_>>(), ["a", "c"]);
        assert_eq!(queue.take(500), None);
        assert_eq!(queue.take(990).unwrap().since, Some(900));
        // A clock that runs ahead holds nothing back for ever.
        queue.push(change(9_000, 9_000, "d"), 1_000);
        assert!(!queue.is_empty() && queue.take(1_000).is_some() && queue.is_empty());
    }

    #[test]
    fn what_is_old_does_not_wait_for_what_was_noted_with_it() {
        let mut queue = Queue::default();
        let (old, now) = (1_000, 1_000 + APART + 1);
        queue.push(change(old, now, "a"), now);
        assert_eq!(queue.take(old - 1), None);
        assert_eq!(queue.take(old).map(|touched| (touched.since, touched.persons.len())), Some((Some(old), 1)));
        assert_eq!(queue.take(now - 1), None);
        assert!(queue.take(now).is_some_and(|touched| touched.persons.contains("a")));
        assert!(queue.take(i64::MAX).is_none());
    }

    #[test]
    fn a_block_is_judged_as_it_becomes_ripe_and_to_its_end() {
        let mut queue = Queue::default();
        queue.push(change(10_000, 13_000, "a"), 13_500);
        let mut ripe_at = Vec::new();
        for ripe in (9_000..20_000).step_by(250) {
            if queue.take(ripe).is_some() {
                ripe_at.push(ripe);
            }
        }
        assert_eq!(ripe_at, [11_000, 12_000, 13_000]);
        // One that is ripe at once is judged once.
        queue.push(change(10_000, 10_400, "b"), 13_500);
        assert_eq!((queue.take(10_399), queue.take(10_400).is_some(), queue.take(i64::MAX)), (None, true, None));
    }

    #[test]
    fn answers_that_changed_are_judged_whatever_their_blocks_held() {
        let mut queue = Queue::default();
        queue.push(Touched::default(), 1_000);
        assert!(queue.is_empty());
        queue.push(Touched { anybody_retold: true, ..Touched::default() }, 1_000);
        assert!(queue.take(999).is_none() && queue.take(1_000).is_some_and(|touched| touched.anybody_retold));
    }
}
