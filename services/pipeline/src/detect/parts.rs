//! What is too much to be looked at at once, in parts that fit: each is judged by itself, one in turn with what changes meanwhile. Pure.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Most decisions of the persons of a part: less than one answer holds, for some are made meanwhile.
const TOGETHER: u64 = 100_000;
/// Most persons of a part.
const PERSONS: usize = 20_000;

/// A part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Decisions and tokens of these.
    Persons(BTreeSet<String>),
    /// Events of a time, UTC milliseconds, [from, to).
    Time(i64, i64),
}

/// Parts that wait.
#[derive(Default)]
pub(super) struct Parts {
    waiting: VecDeque<Part>,
    /// The last one to be judged was none of these.
    turn: bool,
}

impl Parts {
    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Everything is looked at anew.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }

    /// The next part, if it is its turn.
    pub(super) fn next(&mut self) -> Option<Part> {
        let part = if self.turn { self.waiting.pop_front() } else { None };
        self.turn = part.is_none();
        part
    }

    /// Everybody, with how many decisions they have.
    pub(super) fn everybody(&mut self, counts: BTreeMap<String, u64>) {
        self.waiting.retain(|part| !matches!(part, Part::Persons(_)));
        let (mut group, mut sum) = (BTreeSet::new(), 0);
        for (person, count) in counts {
            if !group.is_empty() && (sum + count > TOGETHER || group.len() >= PERSONS) {
                self.waiting.push_back(Part::Persons(std::mem::take(&mut group)));
                sum = 0;
            }
            sum += count;
            group.insert(person);
        }
        if !group.is_empty() {
            self.waiting.push_back(Part::Persons(group));
        }
    }

    /// Two or more persons who have too much together.
    pub(super) fn halves(&mut self, persons: &BTreeSet<String>) {
        let half = persons.len() / 2;
        let (first, second) = (persons.iter().take(half), persons.iter().skip(half));
        self.waiting.push_front(Part::Persons(second.cloned().collect()));
        self.waiting.push_front(Part::Persons(first.cloned().collect()));
    }

    /// A time that has too much, of which most lies between the first event and now; false: it cannot be parted. The latest is judged
    /// first. It stands for what waits of it already: an import has all since its first event read anew with each block.
    pub(super) fn time(&mut self, (from, to): (i64, i64), (first, now): (i64, i64)) -> bool {
        let middle = match () {
            () if from < first && first < to => first,
            () if from < now && now < to => now,
            () => from.midpoint(to),
        };
        if middle <= from || middle >= to {
            return false;
        }
        self.waiting.retain(|part| !matches!(part, Part::Time(since, until) if from <= *since && *until <= to));
        self.waiting.push_front(Part::Time(from, middle));
        self.waiting.push_front(Part::Time(middle, to));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn persons(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn everybody_is_in_one_part_and_each_part_fits() {
        let mut parts = Parts::default();
        let counts = [("a", 60_000), ("b", 50_000), ("c", 0), ("d", 300_000), ("e", 1)];
        let counts = || counts.into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
        parts.everybody(counts());
        // Once more instead of the first time.
        parts.everybody(counts());
        parts.turn = true;
        let mut found = Vec::new();
        while parts.len() > 0 {
            found.extend(parts.next());
        }
        let said = [&["a"][..], &["b", "c"], &["d"], &["e"]].map(|names| Part::Persons(persons(names)));
        assert_eq!(found, said);
        parts.halves(&persons(&["a", "b", "c"]));
        assert_eq!(parts.waiting, [Part::Persons(persons(&["a"])), Part::Persons(persons(&["b", "c"]))]);
    }

    #[test]
    fn a_time_is_parted_until_it_fits_the_latest_first() {
        let (mut parts, known) = (Parts::default(), (1_000, 9_000));
        let mut judged = Vec::new();
        assert!(parts.time((i64::MIN, i64::MAX), known));
        while let Some(Part::Time(from, to)) = parts.waiting.pop_front() {
            // As if each millisecond that is known held one event, and one look no more than 3,000.
            if (to.min(known.1) - from.max(known.0)).max(0) > 3_000 {
                assert!(parts.time((from, to), known));
            } else {
                judged.push((from, to));
            }
        }
        assert!(judged.is_sorted_by(|later, earlier| later.0 == earlier.1), "{judged:?}");
        assert_eq!((judged.first().unwrap().1, judged.last().unwrap().0), (i64::MAX, i64::MIN));
        assert!(judged.len() < 8, "{judged:?}");
        assert!(!parts.time((5_000, 5_001), known), "one instant is one part");
        assert!(parts.time((1_000, 9_000), known) && parts.time((2_000, 9_000), known));
        assert_eq!(
            parts.waiting,
            [(5_500, 9_000), (2_000, 5_500), (1_000, 5_000)].map(|(from, to)| Part::Time(from, to))
        );
    }

    #[test]
    fn parts_take_turns_with_what_changes() {
        let mut parts = Parts::default();
        parts.time((0, 10), (0, 5));
        let turns: Vec<bool> = (0..5).map(|_| parts.next().is_some()).collect();
        assert_eq!(turns, [false, true, false, true, false]);
    }
}
