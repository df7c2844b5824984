//! Offsets that a partition holds and that never come. At a batch whose checksum is wrong librdkafka loses its way: it asks for the batch
//! again and again, or for an offset that is none, with errors that name no partition. What it passes is a hole between two records.
//! Pure.

use super::subscription::Offsets;
use crate::carrier::{Cause, Loss};
use std::collections::BTreeMap;

/// As many errors, with no record of the partition between them, and it counts as held up.
const HELD: u32 = 3;

/// How far each partition has come, under the assignment that it has.
#[derive(Debug, Default)]
pub(super) struct Coming(BTreeMap<i32, Part>);

#[derive(Debug)]
struct Part {
    assignment: u64,
    /// Offset of the next record; none if the first one tells it.
    next: Option<i64>,
    /// When the record before it was written, UTC milliseconds; 0 = not known.
    at_ms: i64,
    /// Errors since the last record.
    errors: u32,
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
        Loss { cause: Cause::Unreadable, place, missing: self.records, since_ms }
    }
}

impl Coming {
    /// A partition is taken over. Where it stood before it is none the better for it.
    pub(super) fn begins(&mut self, (partition, assignment): (i32, u64), next: Option<i64>, at_ms: i64) {
        let before = self.0.get(&partition).filter(|part| part.next == next);
        let (errors, end) = before.map_or((0, 0), |part| (part.errors, part.end));
        self.0.insert(partition, Part { assignment, next, at_ms, errors, end });
    }

    /// Something cannot be read; of which partition it is nobody says.
    pub(super) fn is_bad(&mut self) {
        self.0.values_mut().for_each(|part| part.errors = part.errors.saturating_add(1));
    }

    /// True if something could not be read since the last record of some partition.
    pub(super) fn is_suspect(&self) -> bool {
        self.0.values().any(|part| part.errors > 0)
    }

    /// The brokers tell where a partition ends.
    pub(super) fn ends(&mut self, partition: i32, end: i64) {
        if let Some(part) = self.0.get_mut(&partition) {
            part.end = end;
        }
    }

    /// A record has come: what was passed before it. Where offsets need not follow each other only an error says that anything was.
    pub(super) fn came(
        &mut self,
        (partition, assignment): (i32, u64),
        (offset, at_ms): (i64, i64),
        offsets: Offsets,
    ) -> Option<Missed> {
        let part = self.0.get_mut(&partition).filter(|part| part.assignment == assignment)?;
        let (from, before, errors) = (part.next.replace(offset + 1), part.at_ms, part.errors);
        (part.at_ms, part.errors) = (at_ms, 0);
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
        let held = |part: &Part| part.errors >= HELD && part.next.unwrap_or_default() < part.end;
        let held = self.0.iter().filter(move |(_, part)| held(part));
        held.map(|(partition, part)| (*partition, part.assignment, part.next.unwrap_or_default()))
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
        assert_eq!((loss.cause, loss.missing, loss.since_ms), (Cause::Unreadable, Some(3), Some(50)));
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
        coming.ends(0, 9);
        coming.ends(1, 3);
        (1..HELD).for_each(|_| coming.is_bad());
        assert_eq!(coming.held().count(), 0, "not yet");
        coming.is_bad();
        assert_eq!(coming.held().collect::<Vec<_>>(), [(0, 1, 5)], "nothing waits in the other one");
        coming.begins((0, 2), Some(5), 0);
        assert_eq!(coming.held().collect::<Vec<_>>(), [(0, 2, 5)], "a consumer that begins anew there changes nothing");
        coming.begins((0, 3), Some(8), 0);
        assert_eq!(coming.held().count(), 0, "what held it was deleted");
    }

    #[test]
    fn a_record_ends_what_held_its_partition() {
        let mut coming = coming();
        assert!(!coming.is_suspect());
        coming.ends(0, 9);
        (0..HELD).for_each(|_| coming.is_bad());
        assert!(coming.is_suspect() && coming.held().count() == 1);
        coming.came((0, 1), (5, 0), Offsets::Dense);
        assert!(!coming.is_suspect() && coming.held().count() == 0);
    }
}
