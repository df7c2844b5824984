//! What changed and waits to be ripe: judged once the sources are complete up to it, or the allowance for late events is over.

use crate::correlation::Touched;
use std::collections::VecDeque;

/// What reaches over more time than this, milliseconds, is judged twice: what an import brings of the past does not wait for
/// what was noted with it.
const APART: i64 = 60_000;

/// Changes in the order in which they were noted.
#[derive(Default)]
pub(super) struct Queue {
    /// Ripe at this time (UTC milliseconds), and what changed.
    waiting: VecDeque<(i64, Touched)>,
}

impl Queue {
    /// Everything is judged at once, and again when what is young now is ripe.
    pub(super) fn everything(&mut self, now: i64) {
        let all = Touched { since: Some(i64::MIN), until: Some(i64::MAX), everybody: true, ..Touched::default() };
        self.waiting.push_back((i64::MIN, all.clone()));
        self.waiting.push_back((now, all));
    }

    /// Notes a change at `now`. What is dated later than now is ripe as what happens now.
    pub(super) fn push(&mut self, touched: Touched, now: i64) {
        let Some(until) = touched.until.or(touched.since) else { return };
        if touched.everybody {
            return self.everything(now);
        }
        let (first, last) = (touched.since.unwrap_or(until).min(now), until.min(now));
        if last.saturating_sub(first) > APART {
            self.waiting.push_back((first, touched.clone()));
        }
        self.waiting.push_back((last, touched));
    }

    /// Everything that is ripe, as one; none if there is nothing.
    pub(super) fn take(&mut self, ripe: i64) -> Option<Touched> {
        let mut taken: Option<Touched> = None;
        self.waiting.retain(|(at, touched)| {
            if *at > ripe {
                return true;
            }
            taken.get_or_insert_default().and(touched.clone());
            false
        });
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(since: i64, until: i64, person: &str) -> Touched {
        let persons = [person.to_owned()].into_iter().collect();
        Touched { since: Some(since), until: Some(until), persons, everybody: false }
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
        assert!(queue.take(1_000).is_some());
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
        // A block as usual is judged once.
        queue.push(change(now - APART, now, "b"), now);
        assert_eq!(queue.take(now - 1), None);
        assert!(queue.take(now).is_some() && queue.take(i64::MAX).is_none());
    }
}
