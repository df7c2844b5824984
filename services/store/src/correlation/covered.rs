//! Which positions of which streams: ranges, because positions need not come in their order. Pure.

use events::ids::StreamId;
use std::collections::BTreeMap;

/// Positions of one stream: ordered ranges `[first, end)` that neither touch nor overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(Vec<(u64, u64)>);

impl Ranges {
    /// Adds the positions from `first` to before `end`.
    pub fn add(&mut self, (first, end): (u64, u64)) {
        if first >= end {
            return;
        }
        // Those that touch what is added become one with it.
        let from = self.0.partition_point(|range| range.1 < first);
        let to = self.0.partition_point(|range| range.0 <= end);
        let joined = self.0[from..to].iter().fold((first, end), |all, one| (all.0.min(one.0), all.1.max(one.1)));
        self.0.splice(from..to, [joined]);
    }

    /// The ranges in order.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> {
        self.0.iter().copied()
    }

    /// Behind the positions from `first` on that are all there; `first` if it is not.
    pub fn reach(&self, first: u64) -> u64 {
        let found = self.0.iter().find(|range| range.0 <= first && first < range.1);
        found.map_or(first, |range| range.1)
    }

    /// How many positions.
    pub fn count(&self) -> u64 {
        self.iter().map(|(first, end)| end - first).sum()
    }

    /// Ranges that begin at `first` or behind it, in order; of more than `most` the last, which grows, and the largest.
    pub fn largest_from(&self, first: u64, most: usize) -> Vec<(u64, u64)> {
        let mut behind: Vec<_> = self.iter().filter(|range| first <= range.0).collect();
        if behind.len() > most {
            let last = behind.pop();
            behind.sort_unstable_by_key(|(first, end)| (std::cmp::Reverse(end - first), *first));
            behind.truncate(most.saturating_sub(1));
            behind.extend(last);
            behind.sort_unstable();
        }
        behind
    }

    /// Behind the last.
    pub fn end(&self) -> u64 {
        self.0.last().map_or(0, |range| range.1)
    }

    /// What is here and not there.
    pub fn without(&self, other: &Self) -> Self {
        let mut left = Self::default();
        for (first, end) in self.iter() {
            let mut at = first;
            for (start, stop) in other.iter().filter(|range| range.0 < end && first < range.1) {
                left.add((at, start));
                at = stop;
            }
            left.add((at, end));
        }
        left
    }
}

/// Positions of several streams.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Covered(BTreeMap<StreamId, Ranges>);

impl Covered {
    /// Adds positions of a stream.
    pub fn add(&mut self, stream: StreamId, range: (u64, u64)) {
        self.0.entry(stream).or_default().add(range);
    }

    /// Adds all of another.
    pub fn and(&mut self, other: &Self) {
        for (stream, range) in other.iter() {
            self.add(stream, range);
        }
    }

    /// Of one stream.
    pub fn of(&self, stream: StreamId) -> Option<&Ranges> {
        self.0.get(&stream)
    }

    /// Every range of every stream.
    pub fn iter(&self) -> impl Iterator<Item = (StreamId, (u64, u64))> {
        self.0.iter().flat_map(|(stream, ranges)| ranges.iter().map(|range| (*stream, range)))
    }

    /// Every stream.
    pub fn streams(&self) -> impl Iterator<Item = (StreamId, &Ranges)> {
        self.0.iter().map(|(stream, ranges)| (*stream, ranges))
    }

    /// What is here and not there.
    pub fn without(&self, other: &Self) -> Self {
        let none = Ranges::default();
        let left = self.streams().map(|(stream, ranges)| (stream, ranges.without(other.of(stream).unwrap_or(&none))));
        Self(left.filter(|(_, ranges)| ranges.end() > 0).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn positions(ranges: &Ranges) -> BTreeSet<u64> {
        ranges.iter().flat_map(|(first, end)| first..end).collect()
    }

    #[test]
    fn they_are_sets() {
        // A fixed walk over many small sets: every position below 40 in ranges of up to 7.
        let mut state = 1_u64;
        let mut next = move |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        for round in 0..2_000 {
            let (mut one, mut other) = (Ranges::default(), Ranges::default());
            let (mut all, mut rest) = (BTreeSet::new(), BTreeSet::new());
            for _ in 0..next(12) {
                let first = next(40);
                let range = (first, first + next(7));
                one.add(range);
                all.extend(range.0..range.1);
                let range = (next(40), next(40));
                other.add(range);
                rest.extend(range.0..range.1.max(range.0));
            }
            assert_eq!(positions(&one), all, "round {round}");
            let apart = one.iter().zip(one.iter().skip(1)).all(|(left, right)| left.1 < right.0);
            assert!(apart, "round {round}: {one:?}");
            assert_eq!(positions(&one.without(&other)), &all - &rest, "round {round}");
            let first = next(40);
            let reach = (first..).find(|position| !all.contains(position));
            assert_eq!(Some(one.reach(first)), reach, "round {round}");
            assert_eq!(one.end(), all.last().map_or(0, |last| last + 1), "round {round}");
            assert_eq!(one.count(), all.len() as u64, "round {round}");
        }
        let mut few = Ranges::default();
        [(0, 3), (5, 6), (8, 12), (20, 22)].into_iter().for_each(|range| few.add(range));
        assert_eq!(few.largest_from(few.reach(0), 3), [(5, 6), (8, 12), (20, 22)]);
        assert_eq!(few.largest_from(few.reach(0), 2), [(8, 12), (20, 22)], "the largest, in order");
        few.add((3, 5));
        assert_eq!(few.largest_from(few.reach(0), 3), [(8, 12), (20, 22)]);
        let (mut one, mut other) = (Covered::default(), Covered::default());
        let (a, b) = (StreamId([1; 16]), StreamId([2; 16]));
        one.add(a, (0, 5));
        one.add(b, (0, 5));
        other.add(a, (0, 9));
        let left: Vec<_> = one.without(&other).iter().collect();
        assert_eq!(left, [(b, (0, 5))]);
        other.and(&one);
        assert_eq!(other.iter().collect::<Vec<_>>(), [(a, (0, 9)), (b, (0, 5))]);
    }
}
