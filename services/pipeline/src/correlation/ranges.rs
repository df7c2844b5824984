//! Positions of a stream as few ranges as possible: several processors store them in any order. Pure.

use std::collections::BTreeMap;

/// Ranges `first..end` that neither meet nor overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    /// Adds `first..end`.
    pub(super) fn add(&mut self, mut first: u64, mut end: u64) {
        if first >= end {
            return;
        }
        // Whatever begins at or before the end and reaches the beginning becomes one with it.
        while let Some((&known, &reaches)) = self.0.range(..=end).next_back() {
            if reaches < first {
                break;
            }
            self.0.remove(&known);
            (first, end) = (first.min(known), end.max(reaches));
        }
        self.0.insert(first, end);
    }

    /// Adds all of another.
    pub(super) fn add_all(&mut self, other: &Self) {
        other.iter().for_each(|(first, end)| self.add(first, end));
    }

    /// In order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.0.iter().map(|(first, end)| (*first, *end))
    }

    /// Takes away what joins on at `next`, or lies below it, and returns where that ends.
    pub(super) fn joined(&mut self, mut next: u64) -> u64 {
        while let Some(entry) = self.0.first_entry().filter(|entry| *entry.key() <= next) {
            next = next.max(entry.remove());
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn ranges_are_the_positions_that_were_added(added in prop::collection::vec((0u64..60, 0u64..8), 0..40), next in 0u64..60) {
            let (mut ranges, mut all) = (Ranges::default(), BTreeSet::new());
            for (first, count) in added {
                ranges.add(first, first + count);
                all.extend(first..first + count);
            }
            let told: Vec<u64> = ranges.iter().flat_map(|(first, end)| first..end).collect();
            prop_assert_eq!(&told, &all.iter().copied().collect::<Vec<_>>());
            let apart = ranges.iter().zip(ranges.iter().skip(1)).all(|(one, other)| one.1 < other.0);
            prop_assert!(apart, "ranges that meet are one");
            let end = ranges.joined(next);
            prop_assert!((next..end).all(|position| all.contains(&position)) && !all.contains(&end));
            prop_assert!(ranges.iter().all(|(first, _)| first > end));
        }
    }
}
