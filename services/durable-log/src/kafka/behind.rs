//! Since when records of a partition wait. Pure.

use super::lag::Lag;
use super::owned::Owned;
use std::collections::BTreeMap;

/// By partition that was measured: whether records wait there.
#[derive(Debug, Default)]
pub(super) struct Behind(BTreeMap<i32, Waits>);

/// Times in UTC milliseconds by our clock.
#[derive(Clone, Copy, Debug)]
enum Waits {
    No,
    /// Since a measurement that found some where the one before had found none.
    Since(i64),
    /// Since before this process looked first, which was then.
    Always(i64),
}

impl Behind {
    /// Notes a measurement of `now`.
    pub(super) fn measured(&mut self, lag: &Lag, now: i64) {
        for found in &lag.partitions {
            let waits = match (found.records(), self.0.get(&found.partition)) {
                (0, _) => Waits::No,
                (_, None) => Waits::Always(now),
                (_, Some(Waits::No)) => Waits::Since(now),
                (_, Some(known)) => *known,
            };
            self.0.insert(found.partition, waits);
        }
    }

    /// The least time of the partitions that `owned` has and that are behind: since when records wait there, or, if that is later, when
    /// the last settled record was written. On a partition that was quiet the record before is old, and nothing has waited for as long; where
    /// some waited before this process began, the record before is all that tells since when.
    pub(super) fn since(&self, owned: &Owned) -> Option<i64> {
        let since = |(partition, waits): (&i32, &Waits)| match (waits, owned.settled_at(*partition)?) {
            (Waits::No, _) => None,
            (Waits::Since(at), settled) => Some(settled.max(*at)),
            (Waits::Always(at), 0) => Some(*at),
            (Waits::Always(_), settled) => Some(settled),
        };
        self.0.iter().filter_map(since).min()
    }
}

#[cfg(test)]
mod tests {
    use super::super::lag::PartitionLag;
    use super::super::owned::Claim;
    use super::*;

    /// A measurement: by partition, what waits.
    fn lag(waits: &[(i32, i64)]) -> Lag {
        let found = |(partition, waits): &(i32, i64)| PartitionLag {
            partition: *partition,
            first: 0,
            end: 100,
            committed: Some(100 - waits),
        };
        Lag { partitions: waits.iter().map(found).collect() }
    }

    #[test]
    fn where_nothing_was_ever_settled_the_wait_begins_with_the_first_look() {
        let (mut behind, mut owned) = (Behind::default(), Owned::default());
        owned.assign(0, 0, 0);
        behind.measured(&lag(&[(0, 7)]), 1_000);
        behind.measured(&lag(&[(0, 9)]), 3_000);
        assert_eq!(behind.since(&owned), Some(1_000), "it grows with time and is not 0");
    }

    #[test]
    fn what_waited_before_this_process_began_has_waited_since_the_last_settled_record() {
        let (mut behind, mut owned) = (Behind::default(), Owned::default());
        owned.assign(0, 93, 10);
        behind.measured(&lag(&[(0, 7)]), 900_000);
        assert_eq!(behind.since(&owned), Some(10), "a start does not make it up to date");
    }

    #[test]
    fn a_record_on_a_quiet_partition_has_not_waited_since_the_one_before() {
        let (mut behind, mut owned) = (Behind::default(), Owned::default());
        let assignment = owned.assign(0, 90, 10);
        behind.measured(&lag(&[(0, 0)]), 900_000);
        assert_eq!(behind.since(&owned), None);
        behind.measured(&lag(&[(0, 1)]), 902_000);
        assert_eq!(behind.since(&owned), Some(902_000), "not 10");
        // While it is worked off under load, what was settled last says how far it is.
        owned.settled(&[Claim { partition: 0, assignment, next: 95, at_ms: 903_000 }]);
        behind.measured(&lag(&[(0, 5)]), 990_000);
        assert_eq!(behind.since(&owned), Some(903_000));
        behind.measured(&lag(&[(0, 0)]), 992_000);
        behind.measured(&lag(&[(0, 1)]), 999_000);
        assert_eq!(behind.since(&owned), Some(999_000), "it was up to date in between");
    }

    #[test]
    fn the_partition_that_is_furthest_behind_counts_and_others_have_their_own_owner() {
        let (mut behind, mut owned) = (Behind::default(), Owned::default());
        for partition in [0, 1] {
            owned.assign(partition, 0, 0);
        }
        behind.measured(&lag(&[(0, 0), (1, 3), (2, 3)]), 5_000);
        behind.measured(&lag(&[(0, 1), (1, 3), (2, 3)]), 7_000);
        assert_eq!(behind.since(&owned), Some(5_000));
        owned.revoke(1);
        assert_eq!(behind.since(&owned), Some(7_000));
        owned.revoke(0);
        assert_eq!(behind.since(&owned), None, "partition 2 was never ours");
    }
}
