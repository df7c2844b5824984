//! Offsets that a partition holds and that never come. At a batch whose checksum is wrong librdkafka loses its way: it asks for the batch
//! again and again, or for an offset that is none, with errors that name no partition. What it passes is a hole between two records.
//! Pure.

use super::{owned::Owned, subscription::Offsets};
use crate::carrier::{Cause, Loss};
use std::collections::BTreeMap;

/// Errors without a record of a partition between them after which it may be held up. They name no partition.
const HELD: u32 = 3;
/// Measurements in a row that must find it at the same place then: errors come in bursts.
const LOOKS: u32 = 3;
/// As many measurements without any error, and those before are forgotten: longer than a consumer goes on after one.
const FORGOTTEN: u32 = 45;

/// How far each partition has come, under the assignment that it has.
#[derive(Debug, Default)]
pub(super) struct Coming {
    parts: BTreeMap<i32, Part>,
    /// Measurements since the last error.
    quiet: u32,
}

#[derive(Debug)]
struct Part {
    assignment: u64,
    /// Offset of the next record; none if the first one tells it.
    next: Option<i64>,
    /// When the record before it was written, UTC milliseconds; 0 = not known.
    at_ms: i64,
    /// Errors since the last record.
    errors: u32,
    /// Measurements in a row that found it held up.
    still: u32,
    /// Offset after the last record that the brokers had when they were asked last.
    end: i64,
}

/// Offsets `from..to` that were passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Missed {
    pub(super) from: i64,
    pub(super) to: i64,
    /// When the record before them was written, UTC milliseconds; 0 = not known.
    pub(super) at_ms: i64,
    /// How many records they were; none if nobody knows.
    pub(super) records: Option<u64>,
}

impl Missed {
    pub(super) fn loss(&self, (topic, partition): (&str, i32)) -> Loss {
        let place =
            format!("{topic}/{partition}@{}-{}: the brokers hold something that does not come", self.from, self.to - 1);
        let since_ms = Some(self.at_ms).filter(|at_ms| *at_ms > 0);
        Loss { cause: Cause::Passed, place, missing: self.records, since_ms }
    }
}

impl Coming {
    /// A partition is taken over. Where it stood before it is none the better for it.
    pub(super) fn begins(&mut self, (partition, assignment): (i32, u64), next: Option<i64>, at_ms: i64) {
        let before = self.parts.get(&partition);
        let end = before.map_or(0, |part| part.end);
        let there = before.filter(|part| part.next == next);
        let (errors, still) = there.map_or((0, 0), |part| (part.errors, part.still));
        self.parts.insert(partition, Part { assignment, next, at_ms, errors, still, end });
    }

    /// Something cannot be read; of which partition it is nobody says.
    pub(super) fn is_bad(&mut self) {
        self.quiet = 0;
        self.parts.values_mut().for_each(|part| part.errors = part.errors.saturating_add(1));
    }

    /// True if something could not be read lately, and a partition that `owned` has stands since then before something.
    pub(super) fn is_suspect(&self, owned: &Owned) -> bool {
        let here = |(partition, part): (&i32, &Part)| owned.assignment(*partition) == Some(part.assignment);
        self.parts.iter().any(|(partition, part)| part.errors > 0 && part.stands() && here((partition, part)))
    }

    /// The brokers tell where partitions end; `reads`: nothing keeps us from reading them.
    pub(super) fn measured(&mut self, ends: impl Iterator<Item = (i32, i64)>, reads: bool) {
        self.quiet = self.quiet.saturating_add(1);
        if self.quiet > FORGOTTEN {
            self.parts.values_mut().for_each(|part| part.errors = 0);
        }
        for (partition, end) in ends {
            let Some(part) = self.parts.get_mut(&partition) else { continue };
            part.end = end;
            part.still = if part.is_held() && reads { part.still.saturating_add(1) } else { 0 };
        }
    }

    /// A record has come: what was passed before it. Where offsets need not follow each other only an error says that anything was.
    pub(super) fn came(
        &mut self,
        (partition, assignment): (i32, u64),
        (offset, at_ms): (i64, i64),
        offsets: Offsets,
    ) -> Option<Missed> {
        let part = self.parts.get_mut(&partition).filter(|part| part.assignment == assignment)?;
        let (from, before, errors) = (part.next.replace(offset + 1), part.at_ms, part.errors);
        (part.at_ms, part.errors, part.still) = (at_ms, 0, 0);
        let from = from.filter(|from| *from < offset)?;
        let records = match offsets {
            Offsets::Dense => u64::try_from(offset - from).ok(),
            Offsets::Sparse if errors > 0 => None,
            Offsets::Sparse => return None,
        };
        Some(Missed { from, to: offset, at_ms: before, records })
    }

    /// Partitions that stand before something that cannot be read, with assignment and offset.
    pub(super) fn held(&self) -> impl Iterator<Item = (i32, u64, i64)> + '_ {
        let held = self.parts.iter().filter(|(_, part)| part.is_held() && part.still >= LOOKS);
        held.filter_map(|(partition, part)| Some((*partition, part.assignment, part.next?)))
    }
}

impl Part {
    /// The brokers have more, as far as is known.
    fn stands(&self) -> bool {
        self.next.is_some_and(|next| next < self.end)
    }

    fn is_held(&self) -> bool {
        self.errors >= HELD && self.stands()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Partition 0 from offset 5 on, under assignment 1.
    fn coming() -> Coming {
        let mut coming = Coming::default();
        coming.begins((0, 1), Some(5), 50);
        coming
    }

    #[test]
    fn a_hole_among_dense_offsets_is_told_with_place_and_number() {
        let mut coming = coming();
        let mut came = |offset| coming.came((0, 1), (offset, offset * 10), Offsets::Dense);
        assert_eq!(came(5), None);
        let missed = came(9).unwrap();
        assert_eq!(missed, Missed { from: 6, to: 9, at_ms: 50, records: Some(3) });
        assert_eq!(came(10), None, "once");
        let loss = missed.loss(("t", 0));
        assert!(loss.place.starts_with("t/0@6-8: "), "{loss:?}");
        assert_eq!((loss.cause, loss.missing, loss.since_ms), (Cause::Passed, Some(3), Some(50)));
    }

    #[test]
    fn the_first_record_after_the_beginning_is_looked_at_too() {
        let missed = coming().came((0, 1), (7, 70), Offsets::Dense).unwrap();
        assert_eq!((missed.from, missed.to, missed.records), (5, 7, Some(2)));
        let mut coming = Coming::default();
        coming.begins((0, 1), None, 0);
        assert_eq!(
            coming.came((0, 1), (7, 70), Offsets::Dense),
            None,
            "where nobody knew the beginning it is told elsewhere"
        );
        assert!(coming.came((0, 1), (9, 90), Offsets::Dense).is_some());
        assert_eq!(coming.came((0, 2), (99, 0), Offsets::Dense), None, "of another assignment");
        coming.begins((0, 2), Some(99), 0);
        assert_eq!(
            coming.came((0, 2), (99, 0), Offsets::Dense),
            None,
            "what was between two assignments is told elsewhere"
        );
    }

    #[test]
    fn where_offsets_have_holes_anyway_only_an_error_tells_one() {
        let mut coming = coming();
        coming.begins((1, 1), Some(0), 0);
        assert_eq!(coming.came((0, 1), (8, 80), Offsets::Sparse), None, "compacted, or the end of a transaction");
        coming.is_bad();
        let missed = coming.came((0, 1), (12, 0), Offsets::Sparse).unwrap();
        assert_eq!((missed.from, missed.to, missed.at_ms, missed.records), (9, 12, 80, None));
        assert_eq!(coming.came((0, 1), (20, 0), Offsets::Sparse), None, "the error is used up");
        assert!(coming.came((1, 1), (3, 0), Offsets::Sparse).is_some(), "it named no partition");
    }

    #[test]
    fn a_partition_that_never_gets_past_an_error_is_held() {
        let mut coming = coming();
        coming.begins((1, 1), Some(3), 0);
        let looks = |coming: &mut Coming, reads| {
            (0..LOOKS).for_each(|_| coming.measured([(0, 9), (1, 3)].into_iter(), reads));
        };
        (1..HELD).for_each(|_| coming.is_bad());
        looks(&mut coming, true);
        assert_eq!(coming.held().count(), 0, "not yet");
        coming.is_bad();
        assert_eq!(coming.held().count(), 0, "a burst of errors is no proof");
        looks(&mut coming, false);
        assert_eq!(coming.held().count(), 0, "nothing is read");
        looks(&mut coming, true);
        assert_eq!(coming.held().collect::<Vec<_>>(), [(0, 1, 5)], "nothing waits in the other one");
        coming.begins((0, 2), Some(5), 0);
        assert_eq!(coming.held().collect::<Vec<_>>(), [(0, 2, 5)], "a consumer that begins anew there changes nothing");
        coming.begins((0, 3), Some(8), 0);
        assert_eq!(coming.held().count(), 0, "what held it was deleted");
    }

    /// Partition 0 is ours, from offset 5 on.
    fn owned() -> (Owned, Coming) {
        let (mut owned, mut coming) = (Owned::default(), Coming::default());
        coming.begins((0, owned.assign(0, 5, 50)), Some(5), 50);
        (owned, coming)
    }

    #[test]
    fn a_record_ends_what_held_its_partition() {
        let (owned, mut coming) = owned();
        let assignment = owned.assignment(0).unwrap();
        assert!(!coming.is_suspect(&owned));
        (0..HELD).for_each(|_| coming.is_bad());
        (0..LOOKS).for_each(|_| coming.measured([(0, 9)].into_iter(), true));
        assert!(coming.is_suspect(&owned) && coming.held().count() == 1);
        coming.came((0, assignment), (5, 0), Offsets::Dense);
        assert!(!coming.is_suspect(&owned) && coming.held().count() == 0);
    }

    #[test]
    fn a_partition_that_waits_for_nothing_or_is_anothers_is_not_suspect_and_old_errors_are_forgotten() {
        let (mut owned, mut coming) = owned();
        coming.is_bad();
        coming.measured([(0, 5)].into_iter(), true);
        assert!(!coming.is_suspect(&owned), "it is read to its end: a position that is gone is another thing");
        coming.measured([(0, 6)].into_iter(), true);
        assert!(coming.is_suspect(&owned));
        (0..FORGOTTEN).for_each(|_| coming.measured([(0, 6)].into_iter(), true));
        assert!(!coming.is_suspect(&owned), "long ago");
        coming.is_bad();
        assert!(coming.is_suspect(&owned));
        owned.revoke(0);
        assert!(!coming.is_suspect(&owned));
    }
}
