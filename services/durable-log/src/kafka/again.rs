//! Which records are sent again, and when. Pure. A record that is refused waits by itself, and the others pass it; when many are
//! refused, it is not they that are at fault, and nothing is sent for a while.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Wait after a failure.
const PAUSE: Duration = Duration::from_secs(1);
/// Wait of one that is too large: nothing but the topic's setting changes that.
const PAUSE_OF_LARGE: Duration = Duration::from_secs(10);
/// With more records than that to send again, all of them wait.
const FEW: usize = 64;

/// Offsets of records whose sending failed.
#[derive(Debug)]
pub(super) struct Again {
    /// Each with the time from which on it may be sent.
    waiting: BTreeMap<u64, Instant>,
    /// Those that were refused and not confirmed since, also while they are on their way again.
    refused: BTreeSet<u64>,
    /// Before that nothing is sent at all.
    not_before: Instant,
}

impl Again {
    pub(super) fn new(now: Instant) -> Self {
        Self { waiting: BTreeMap::new(), refused: BTreeSet::new(), not_before: now }
    }

    /// A record was refused.
    pub(super) fn refused(&mut self, offset: u64, now: Instant) {
        self.waits(offset, now, PAUSE);
    }

    /// A record was refused for its size.
    pub(super) fn too_large(&mut self, offset: u64, now: Instant) {
        self.waits(offset, now, PAUSE_OF_LARGE);
    }

    fn waits(&mut self, offset: u64, now: Instant, pause: Duration) {
        self.waiting.insert(offset, now + pause);
        self.refused.insert(offset);
        if self.waiting.len() > FEW {
            self.not_before = now + PAUSE;
        }
    }

    /// A record is there.
    pub(super) fn confirmed(&mut self, offset: u64) {
        self.waiting.remove(&offset);
        self.refused.remove(&offset);
    }

    /// A record was handed back unsent.
    pub(super) fn handed_back(&mut self, offset: u64, now: Instant) {
        self.waiting.insert(offset, now);
    }

    /// These and no others are to be sent again, after a pause.
    pub(super) fn only(&mut self, offsets: impl Iterator<Item = u64>, now: Instant) {
        self.not_before = now + PAUSE;
        self.waiting = offsets.map(|offset| (offset, self.not_before)).collect();
    }

    /// A record is sent again.
    pub(super) fn remove(&mut self, offset: u64) {
        self.waiting.remove(&offset);
    }

    /// Takes out the records below an offset.
    pub(super) fn take_below(&mut self, offset: u64) -> impl Iterator<Item = u64> + use<> {
        let rest = self.waiting.split_off(&offset);
        self.refused = self.refused.split_off(&offset);
        std::mem::replace(&mut self.waiting, rest).into_keys()
    }

    /// Nothing is to be sent again.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
        self.refused.clear();
    }

    /// Whatever was refused is there by now.
    pub(super) fn is_settled(&self) -> bool {
        self.waiting.is_empty() && self.refused.is_empty()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// True if anything may be sent now.
    pub(super) fn lets_send(&self, now: Instant) -> bool {
        now >= self.not_before
    }

    /// The first record that may be sent again now.
    pub(super) fn due(&self, now: Instant) -> Option<u64> {
        if !self.lets_send(now) {
            return None;
        }
        // Of many the first is taken as it is: looking for one that is due would look at all of them each time.
        let many = self.waiting.len() > FEW;
        self.waiting.iter().find(|(_, at)| many || **at <= now).map(|(offset, _)| *offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_is_refused_waits_alone() {
        let now = Instant::now();
        let mut again = Again::new(now);
        again.refused(3, now);
        assert!(again.lets_send(now), "the others go on");
        assert_eq!(again.due(now), None);
        again.handed_back(7, now);
        assert_eq!(again.due(now), Some(7), "one behind it does not wait for it");
        assert_eq!(again.due(now + PAUSE), Some(3));
        again.remove(3);
        again.remove(7);
        assert!(again.is_empty() && !again.is_settled(), "it is on its way, and nobody has taken it yet");
        again.too_large(3, now);
        assert_eq!((again.due(now + PAUSE), again.due(now + PAUSE_OF_LARGE)), (None, Some(3)));
        again.confirmed(3);
        assert!(again.is_settled());
    }

    #[test]
    fn when_many_are_refused_nothing_is_sent_for_a_while() {
        let now = Instant::now();
        let mut again = Again::new(now);
        (0..FEW as u64).for_each(|offset| again.refused(offset, now));
        assert!(again.lets_send(now));
        again.refused(FEW as u64, now);
        assert!(!again.lets_send(now));
        again.handed_back(1_000, now);
        assert_eq!(again.due(now), None);
        assert_eq!(again.due(now + PAUSE), Some(0));
    }

    #[test]
    fn what_is_open_at_a_failed_producer_is_all_that_is_sent_again() {
        let now = Instant::now();
        let mut again = Again::new(now);
        again.refused(1, now);
        again.only([4, 5, 9].into_iter(), now);
        assert!(!again.lets_send(now));
        assert_eq!(again.due(now + PAUSE), Some(4));
        assert_eq!(again.take_below(6).collect::<Vec<_>>(), [4, 5]);
        assert_eq!(again.due(now + PAUSE), Some(9));
        again.clear();
        assert!(again.is_empty());
    }
}
