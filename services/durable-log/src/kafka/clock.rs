//! How far the brokers' clock is from ours, as far as their answers tell: topics of ours take the broker's time, and an answer names it.
//! Retention and the age of what waits are reckoned by that clock. Pure.

/// What is told is the best of so long, milliseconds.
const WINDOW: i64 = 60_000;

/// A clock that is looked at through answers. An answer comes some time after its record was written, so of two clocks that agree one
/// seems to be late by that; the answer that came soonest tells most.
#[derive(Debug, Default)]
pub(super) struct Clock {
    /// When the window began, by our clock, and the best of it.
    now: Option<(i64, i64)>,
    /// The best of the one before.
    before: Option<i64>,
}

impl Clock {
    /// An answer came at `now` for a record that was written at `written` by the broker's clock; UTC milliseconds.
    pub(super) fn heard(&mut self, written: i64, now: i64) {
        let ahead = written - now;
        self.now = match self.now {
            Some((began, best)) if (began..began + WINDOW).contains(&now) => Some((began, best.max(ahead))),
            Some((_, best)) => {
                self.before = Some(best);
                Some((now, ahead))
            }
            None => Some((now, ahead)),
        };
    }

    /// Milliseconds that the brokers' clock is ahead of ours, below zero if it is behind; none before the first answer.
    pub(super) fn ahead(&self) -> Option<i64> {
        let now = self.now.map(|(_, best)| best);
        now.max(self.before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_that_came_soonest_tells_and_an_old_one_is_forgotten() {
        let mut clock = Clock::default();
        assert_eq!(clock.ahead(), None);
        for (written, now) in [(1_000, 9_000), (9_990, 10_000), (9_000, 20_000)] {
            clock.heard(written, now);
        }
        assert_eq!(clock.ahead(), Some(-10), "clocks that agree");
        // The broker's clock is set back by a minute.
        for now in [70_000, 80_000] {
            clock.heard(now - 60_010, now);
        }
        assert_eq!(clock.ahead(), Some(-10), "it may be slow answers yet");
        clock.heard(70_000, 130_050);
        assert_eq!(clock.ahead(), Some(-60_010));
        clock.heard(131_000, 130_900);
        assert_eq!(clock.ahead(), Some(100), "a clock that is ahead is seen at once");
    }
}
