//! Which partitions this consumer has, how far they were given out and how far they are settled. Pure.
//!
//! Every assignment of a partition has a number of its own: what was given out under an earlier one can settle nothing, so a
//! consumer that lost a partition and got it back never moves it by old work.

use std::collections::BTreeMap;

/// Up to where a load reaches in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) partition: i32,
    pub(super) assignment: u64,
    /// Offset after the last record.
    pub(super) next: i64,
    /// When that record was taken in or written, UTC milliseconds; 0 = not known.
    pub(super) at_ms: i64,
}

/// Before every offset.
const NOWHERE: i64 = -1;

#[derive(Clone, Copy, Debug)]
struct Part {
    assignment: u64,
    given: i64,
    settled: i64,
    at_ms: i64,
    committed: i64,
    /// The group is known to have a position here.
    stands: bool,
    /// Nobody knew what the log keeps here when it was assigned: its first record tells.
    unjudged: bool,
}

/// A position to commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) partition: i32,
    pub(super) next: i64,
    pub(super) at_ms: i64,
}

/// Partitions of one consumer.
#[derive(Debug, Default)]
pub(super) struct Owned {
    parts: BTreeMap<i32, Part>,
    assignments: u64,
    /// By partition, held or not: what was settled here since the log began anew.
    dealt: BTreeMap<i32, Dealt>,
    /// By partition, held or not.
    been: BTreeMap<i32, Been>,
}

/// How far this consumer has come in a partition since the log began anew, whoever has it now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Been {
    /// Offset after the last record that was given out.
    pub(super) reached: i64,
    /// When the last settled record was taken in or written, UTC milliseconds; 0 = not known.
    pub(super) at_ms: i64,
    /// The group was known to have a position there.
    pub(super) stood: bool,
}

/// What this consumer has dealt with in a partition, whoever has it now.
#[derive(Clone, Copy, Debug, Default)]
struct Dealt {
    /// Claims of earlier assignments are of records that the log does not have any more.
    since: u64,
    /// Offset after the last record.
    next: i64,
}

impl Owned {
    /// Takes a partition from an offset on; the record before it is of `at_ms`, 0 = not known.
    pub(super) fn assign(&mut self, partition: i32, from: i64, at_ms: i64) -> u64 {
        self.assignments += 1;
        let (assignment, stands, unjudged) = (self.assignments, false, false);
        let part = Part { assignment, given: from, settled: from, at_ms, committed: from, stands, unjudged };
        self.parts.insert(partition, part);
        assignment
    }

    /// What the log keeps of a partition is told by its first record.
    pub(super) fn is_judged_later(&mut self, partition: i32) {
        if let Some(part) = self.parts.get_mut(&partition) {
            part.unjudged = true;
        }
    }

    /// True once: at the first record of a partition that is judged later.
    pub(super) fn judges_now(&mut self, partition: i32) -> bool {
        self.parts.get_mut(&partition).is_some_and(|part| std::mem::take(&mut part.unjudged))
    }

    /// How far this consumer has come in a partition, whoever has it now.
    pub(super) fn been(&self, partition: i32) -> Been {
        self.been.get(&partition).copied().unwrap_or_default()
    }

    /// It begins behind a loss: its first offset is to be settled and committed like the end of a record, or the loss would
    /// be told at every assignment until a record comes.
    pub(super) fn owes(&mut self, partition: i32) {
        if let Some(part) = self.parts.get_mut(&partition) {
            (part.given, part.settled, part.committed) = (NOWHERE, NOWHERE, NOWHERE);
        }
    }

    /// Gives a partition up.
    pub(super) fn revoke(&mut self, partition: i32) {
        self.parts.remove(&partition);
    }

    /// Gives all of them up.
    pub(super) fn revoke_all(&mut self) {
        self.parts.clear();
    }

    /// The number under which a partition is held.
    pub(super) fn assignment(&self, partition: i32) -> Option<u64> {
        self.parts.get(&partition).map(|part| part.assignment)
    }

    /// A load is on its way.
    pub(super) fn given(&mut self, claims: &[Claim]) {
        for claim in claims {
            if let Some(part) = self.held(claim) {
                part.given = part.given.max(claim.next);
                let been = self.been.entry(claim.partition).or_default();
                been.reached = been.reached.max(claim.next);
            }
        }
    }

    /// A load has been dealt with.
    pub(super) fn settled(&mut self, claims: &[Claim]) {
        for claim in claims {
            let dealt = self.dealt.entry(claim.partition).or_default();
            if claim.assignment >= dealt.since {
                dealt.next = dealt.next.max(claim.next);
            }
            if let Some(part) = self.held(claim)
                && part.settled < claim.next
            {
                (part.settled, part.at_ms) = (claim.next, claim.at_ms);
                self.been.entry(claim.partition).or_default().at_ms = claim.at_ms;
            }
        }
    }

    /// The log of a partition that is held now has begun anew: its offsets are those of other records.
    pub(super) fn anew(&mut self, partition: i32) {
        if let Some(since) = self.assignment(partition) {
            self.dealt.insert(partition, Dealt { since, next: 0 });
            self.been.remove(&partition);
        }
    }

    /// True if this record was settled here before, under whatever assignment.
    pub(super) fn was_dealt(&self, partition: i32, offset: i64) -> bool {
        self.dealt.get(&partition).is_some_and(|dealt| offset < dealt.next)
    }

    fn held(&mut self, claim: &Claim) -> Option<&mut Part> {
        self.parts.get_mut(&claim.partition).filter(|part| part.assignment == claim.assignment)
    }

    /// True if loads of one of these partitions are not settled.
    pub(super) fn busy(&self, partitions: &[i32]) -> bool {
        partitions.iter().filter_map(|partition| self.parts.get(partition)).any(|part| part.settled < part.given)
    }

    /// Positions that moved since they were committed last.
    pub(super) fn moved(&self) -> Vec<Position> {
        let moved = self.parts.iter().filter(|(_, part)| part.committed < part.settled);
        moved
            .map(|(partition, part)| Position { partition: *partition, next: part.settled, at_ms: part.at_ms })
            .collect()
    }

    /// These positions are committed.
    pub(super) fn committed(&mut self, positions: &[Position]) {
        for position in positions {
            if let Some(part) = self.parts.get_mut(&position.partition) {
                part.committed = part.committed.max(position.next);
                part.stands = true;
                self.been.entry(position.partition).or_default().stood = true;
            }
        }
    }

    /// When the last settled record of a partition that is held was taken in or written, UTC milliseconds; 0 = not known.
    pub(super) fn settled_at(&self, partition: i32) -> Option<i64> {
        self.parts.get(&partition).map(|part| part.at_ms)
    }

    /// The group has a position in this partition.
    pub(super) fn stands(&mut self, partition: i32) {
        if let Some(part) = self.parts.get_mut(&partition) {
            part.stands = true;
            self.been.entry(partition).or_default().stood = true;
        }
    }

    /// Partitions in which the group is known to have a position, each with the number under which it is held.
    pub(super) fn standing(&self) -> BTreeMap<i32, u64> {
        let standing = self.parts.iter().filter(|(_, part)| part.stands);
        standing.map(|(partition, part)| (*partition, part.assignment)).collect()
    }

    /// Partitions held.
    pub(super) fn partitions(&self) -> Vec<i32> {
        self.parts.keys().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(partition: i32, assignment: u64, next: i64) -> Claim {
        Claim { partition, assignment, next, at_ms: next }
    }

    #[test]
    fn work_of_an_earlier_assignment_settles_nothing() {
        let mut owned = Owned::default();
        let first = owned.assign(0, 10, 0);
        owned.given(&[claim(0, first, 20)]);
        owned.revoke(0);
        owned.settled(&[claim(0, first, 20)]);
        let second = owned.assign(0, 10, 0);
        owned.settled(&[claim(0, first, 20)]);
        assert!(owned.moved().is_empty());
        owned.given(&[claim(0, second, 15)]);
        assert!(owned.busy(&[0, 1]));
        owned.settled(&[claim(0, second, 15)]);
        assert!(!owned.busy(&[0]));
        assert_eq!(owned.moved(), [Position { partition: 0, next: 15, at_ms: 15 }]);
    }

    #[test]
    fn a_loss_with_no_record_behind_it_is_settled_and_committed() {
        for start in [0, 10] {
            let mut owned = Owned::default();
            let assignment = owned.assign(0, start, 0);
            owned.owes(0);
            assert!(owned.moved().is_empty() && !owned.busy(&[0]), "nobody has heard of the loss yet");
            owned.given(&[claim(0, assignment, start)]);
            assert!(owned.busy(&[0]));
            owned.settled(&[claim(0, assignment, start)]);
            let moved = owned.moved();
            assert_eq!(moved, [Position { partition: 0, next: start, at_ms: start }]);
            owned.committed(&moved);
            assert!(owned.moved().is_empty() && !owned.busy(&[0]));
        }
    }

    #[test]
    fn what_was_dealt_with_is_known_when_it_comes_again_until_the_log_begins_anew() {
        let mut owned = Owned::default();
        let first = owned.assign(0, 0, 0);
        owned.settled(&[claim(0, first, 10)]);
        owned.revoke(0);
        // Lost before its position was committed.
        let second = owned.assign(0, 4, 0);
        assert!(owned.was_dealt(0, 9) && !owned.was_dealt(0, 10) && !owned.was_dealt(1, 0));
        owned.revoke(0);
        let third = owned.assign(0, 0, 0);
        owned.anew(0);
        assert!(!owned.was_dealt(0, 0));
        owned.settled(&[claim(0, second, 12)]);
        assert!(!owned.was_dealt(0, 0), "what was in hand is of the log that is gone");
        owned.settled(&[claim(0, third, 2)]);
        assert!(owned.was_dealt(0, 1) && !owned.was_dealt(0, 2));
    }

    #[test]
    fn positions_move_forward_only_and_are_committed_once() {
        let mut owned = Owned::default();
        let (one, two) = (owned.assign(1, 0, 0), owned.assign(2, 5, 3));
        assert_eq!(owned.settled_at(2), Some(3), "how old the last one before it is, is known from the first");
        owned.settled(&[claim(1, one, 7), claim(2, two, 9)]);
        owned.settled(&[claim(1, one, 3)]);
        let moved = owned.moved();
        assert_eq!(moved.iter().map(|position| position.next).collect::<Vec<_>>(), [7, 9]);
        owned.settled(&[claim(1, one, 8)]);
        owned.committed(&moved);
        assert_eq!(owned.moved(), [Position { partition: 1, next: 8, at_ms: 8 }]);
        assert_eq!(owned.partitions(), [1, 2]);
        assert_eq!(owned.standing(), [(1, one), (2, two)].into());
    }

    #[test]
    fn what_was_reached_outlives_a_partition_and_not_its_log() {
        let mut owned = Owned::default();
        let first = owned.assign(0, 0, 0);
        owned.given(&[claim(0, first, 10)]);
        owned.revoke(0);
        assert_eq!(owned.been(0), Been { reached: 10, at_ms: 0, stood: false }, "the group never stood there");
        let second = owned.assign(0, 0, 0);
        owned.given(&[claim(0, second, 10)]);
        owned.settled(&[claim(0, second, 8)]);
        let moved = owned.moved();
        owned.committed(&moved);
        owned.revoke(0);
        assert_eq!(owned.been(0), Been { reached: 10, at_ms: 8, stood: true });
        owned.assign(0, 0, 0);
        owned.anew(0);
        assert_eq!(owned.been(0), Been::default());
    }
}
