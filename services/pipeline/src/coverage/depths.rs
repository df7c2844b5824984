//! Which round looks how far back. What failed is owed: it is tried again soon, each time a little later, and meanwhile the rounds in
//! between look at less. Pure.

/// Longest wait for the next try of what failed, rounds.
const PATIENCE: u64 = 6;

/// One depth of looking.
#[derive(Debug)]
pub(super) struct Depth {
    /// Rounds from one look to the next.
    every: u64,
    /// Not before this round.
    due: u64,
    /// Tries in a row that failed.
    failed: u32,
}

impl Depth {
    /// Due at once, and then in one of `every` rounds.
    pub(super) fn every(every: u64) -> Self {
        Self { every, due: 0, failed: 0 }
    }

    pub(super) fn is_due(&self, round: u64) -> bool {
        round >= self.due
    }

    /// It was looked that far in this round.
    pub(super) fn done(&mut self, round: u64) {
        self.due = (round / self.every + 1) * self.every;
        self.failed = 0;
    }

    /// That failed in this round. Rounds until it is tried again.
    pub(super) fn failed(&mut self, round: u64) -> u64 {
        let wait = 1_u64.checked_shl(self.failed).unwrap_or(PATIENCE).min(PATIENCE).min(self.every);
        self.failed = self.failed.saturating_add(1);
        self.due = round + wait;
        wait
    }

    /// True if the last try failed.
    pub(super) fn is_owed(&self) -> bool {
        self.failed > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rounds, up to `last`, in which it was looked that far; those in `fails` fail.
    fn tries(depth: &mut Depth, last: u64, fails: impl Fn(u64) -> bool) -> Vec<u64> {
        let mut tried = Vec::new();
        for round in 0..=last {
            if !depth.is_due(round) {
                continue;
            }
            tried.push(round);
            if fails(round) {
                depth.failed(round);
            } else {
                depth.done(round);
            }
        }
        tried
    }

    #[test]
    fn what_failed_is_tried_again_soon_and_not_when_its_turn_comes() {
        assert_eq!(tries(&mut Depth::every(30), 90, |_| false), [0, 30, 60, 90]);
        // It fails at a turn and works at the next try: no turn is lost, and none is shifted.
        assert_eq!(tries(&mut Depth::every(30), 90, |round| round == 30), [0, 30, 31, 60, 90]);
        let mut depth = Depth::every(30);
        assert_eq!(tries(&mut depth, 40, |round| round < 20), [0, 1, 3, 7, 13, 19, 25, 30]);
        assert!(!depth.is_owed());
    }

    #[test]
    fn what_is_looked_at_in_every_round_is_tried_in_every_round() {
        let mut depth = Depth::every(1);
        assert_eq!(tries(&mut depth, 4, |_| true), [0, 1, 2, 3, 4]);
        assert!(depth.is_owed());
        for round in 5..200 {
            assert_eq!(depth.failed(round), 1);
        }
        assert_eq!(Depth { failed: 200, ..Depth::every(90) }.failed(3), PATIENCE);
    }
}
