//! Up to when everything that the topic held is settled, by whichever member of the group. Pure.

use super::lag::{Lag, PartitionLag};
use std::collections::BTreeMap;

/// Memory of one look, however long the group is behind: it waits for the partitions' ends as they were at one time, and only then looks
/// at their ends anew.
#[derive(Debug, Default)]
pub(super) struct Reached {
    /// When it was asked, UTC milliseconds, and where each partition ended.
    awaited: Option<(i64, BTreeMap<i32, i64>)>,
    until: i64,
}

impl Reached {
    /// Notes a measurement that began at `now`; returns up to when all is settled, UTC milliseconds: 0 if that is not known yet.
    pub(super) fn measured(&mut self, lag: &Lag, now: i64) -> i64 {
        let was =
            |found: &PartitionLag, ends: &BTreeMap<i32, i64>| ends.get(&found.partition).copied().unwrap_or_default();
        if let Some((at, ends)) = &self.awaited {
            // A log that was cut back or made anew: what it held then is not there to be settled.
            let is_same = lag.partitions.iter().all(|found| found.end >= was(found, ends));
            // What retention took meanwhile nobody has to settle.
            if is_same && !lag.partitions.iter().all(|found| found.settled() >= was(found, ends)) {
                return self.until;
            }
            self.until = if is_same { *at } else { self.until };
        }
        if lag.records() == 0 {
            self.until = now;
        }
        let ends = lag.partitions.iter().map(|found| (found.partition, found.end)).collect();
        self.awaited = Some((now, ends));
        self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A measurement: by partition the first offset, the end and what is committed.
    fn lag(partitions: &[(i64, i64, Option<i64>)]) -> Lag {
        let found = |(number, (first, end, committed)): (usize, &(i64, i64, Option<i64>))| PartitionLag {
            partition: number as i32,
            first: *first,
            end: *end,
            committed: *committed,
        };
        Lag { partitions: partitions.iter().enumerate().map(found).collect() }
    }

    #[test]
    fn it_is_as_far_as_the_partition_that_is_furthest_behind() {
        let mut reached = Reached::default();
        assert_eq!(reached.measured(&lag(&[(0, 100, Some(100)), (0, 900, Some(10))]), 1_000), 0);
        assert_eq!(reached.measured(&lag(&[(0, 200, Some(200)), (0, 950, Some(899))]), 2_000), 0);
        assert_eq!(reached.measured(&lag(&[(0, 300, Some(250)), (0, 990, Some(900))]), 3_000), 1_000);
        // From then on it waits for what was there at 3,000.
        assert_eq!(reached.measured(&lag(&[(0, 400, Some(300)), (0, 999, Some(989))]), 4_000), 1_000);
        assert_eq!(reached.measured(&lag(&[(0, 400, Some(300)), (0, 999, Some(999))]), 5_000), 3_000);
        assert_eq!(reached.measured(&lag(&[(0, 400, Some(400)), (0, 999, Some(999))]), 6_000), 6_000);
    }

    #[test]
    fn a_log_that_was_cut_back_or_made_anew_is_waited_for_anew() {
        let mut reached = Reached::default();
        assert_eq!(reached.measured(&lag(&[(0, 9_000, Some(8_000))]), 1_000), 0);
        assert_eq!(
            reached.measured(&lag(&[(0, 50, Some(10))]), 2_000),
            0,
            "what it held at 1,000 is gone, and not settled"
        );
        assert_eq!(reached.measured(&lag(&[(0, 80, Some(60))]), 3_000), 2_000);
        assert_eq!(reached.measured(&lag(&[(0, 10, Some(10))]), 4_000), 4_000);
    }

    #[test]
    fn what_nobody_has_to_settle_holds_up_nothing() {
        let mut reached = Reached::default();
        // An empty partition where nothing was ever committed.
        assert_eq!(reached.measured(&lag(&[(0, 0, None), (0, 5, Some(5))]), 1_000), 1_000);
        assert_eq!(reached.measured(&lag(&[(0, 10, None), (0, 5, Some(5))]), 2_000), 1_000);
        // Retention passes the group, and another partition is added.
        assert_eq!(reached.measured(&lag(&[(0, 12, None), (0, 5, Some(5))]), 3_000), 1_000);
        assert_eq!(reached.measured(&lag(&[(10, 12, None), (0, 5, Some(5)), (0, 3, None)]), 4_000), 2_000);
    }
}
