//! Sources that tell of what happened days before it was received: their clock is that much behind, or what they told waited for so long.
//!
//! What they tell needs what was forgotten. Everything is read anew for it, as for all that reaches back; but of a source that goes on like
//! that more comes for ever, so for such sources alone that is not done again and again. Pure.

use super::memory::LEAST_KEPT_MS;
use events::receipt::Input;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// For sources that are behind everything is read no more often than this.
pub(super) const AGAIN: Duration = Duration::from_secs(6 * 3_600);

/// Sources by how long after it happened the latest was received of what came too late, milliseconds.
pub type Late = BTreeMap<String, i64>;

/// What came since everything was read, and happened before what is kept.
#[derive(Debug, Default)]
pub(super) struct Behind {
    late: Late,
    /// The earliest of it since rows were settled.
    earliest: Option<i64>,
    /// Something needs what was forgotten that no such source told.
    others: bool,
}

impl Behind {
    /// Something came that happened before what is kept.
    pub(super) fn note(&mut self, (source, input): (&str, Input), (time, received): (i64, i64)) {
        let late = received.saturating_sub(time);
        if !is_told_at_once(input) || late <= LEAST_KEPT_MS {
            self.others = true;
            return;
        }
        self.late.insert(source.to_owned(), late);
        self.earliest = Some(self.earliest.map_or(time, |earliest| earliest.min(time)));
    }

    /// Rows were settled: what was taken in since the last time needs what happened from `old` on, if anything.
    pub(super) fn settled(&mut self, old: Option<i64>) {
        let earliest = self.earliest.take();
        // What such a source told needs nothing from before it.
        self.others |= old.is_some_and(|old| earliest.is_none_or(|earliest| old < earliest));
    }

    /// Whose events come too late.
    pub(super) fn late(&self) -> &Late {
        &self.late
    }

    /// Whether everything may be read for it; `read`: when that was done last for such sources alone.
    pub(super) fn may_be_read(&self, read: Option<Instant>, now: Instant) -> bool {
        self.others || read.is_none_or(|read| now.duration_since(read) >= AGAIN)
    }

    /// Nothing else needs it.
    pub(super) fn is_all(&self) -> bool {
        !self.others && !self.late.is_empty()
    }
}

/// What is imported, read as state or done by hand may be of any time.
fn is_told_at_once(input: Input) -> bool {
    matches!(input, Input::Webhook | Input::Kafka | Input::Pull | Input::Lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_source_that_is_behind_everything_is_read_once_and_not_again_at_once() {
        let (mut behind, now) = (Behind::default(), Instant::now());
        behind.settled(None);
        assert!(!behind.is_all() && behind.late().is_empty());
        let day = 86_400_000;
        behind.note(("kc", Input::Webhook), (5 * day, 10 * day));
        behind.settled(Some(5 * day));
        assert_eq!(behind.late().get("kc"), Some(&(5 * day)));
        assert!(behind.is_all() && behind.may_be_read(None, now));
        let later = now + Duration::from_secs(3_600);
        assert!(!behind.may_be_read(Some(now), later));
        assert!(behind.may_be_read(Some(now), now + AGAIN));
        // Something else reaches back as well.
        let mut other = Behind::default();
        other.note(("kc", Input::Webhook), (5 * day, 10 * day));
        other.settled(Some(2 * day));
        assert!(!other.is_all() && other.may_be_read(Some(now), later));
    }

    #[test]
    fn what_may_be_of_any_time_or_waited_behind_intake_is_read_as_soon_as_it_can_be() {
        let (now, day) = (Instant::now(), 86_400_000);
        for (input, late) in [(Input::Import, 30 * day), (Input::Snapshot, 30 * day), (Input::Webhook, day)] {
            let mut behind = Behind::default();
            behind.note(("kc", input), (40 * day - late, 40 * day));
            behind.settled(Some(40 * day - late));
            assert!(!behind.is_all() && behind.may_be_read(Some(now), now), "{input:?}");
            assert!(behind.late().is_empty());
        }
    }
}
