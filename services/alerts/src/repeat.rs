//! An Alertmanager forgets what it is not told: what fires is told again, in rounds. A part of a round that is not taken is told in halves,
//! so that one finding over which it stumbles holds up none beside it.

use crate::{
    deliver::Deliverer,
    outbox::{MOST, Outbox},
    receiver::{Kind, Refused},
    render::{Notice, body},
};
use std::{collections::VecDeque, ops::Range, time::Duration};
use store::{StoreError, findings::Finding};
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

/// Requests of a round beyond one for each part: to halve what is not taken.
const EXTRA: usize = 20;
/// What is told again stands at least so long after it (longer than what is refused once waits to be told again) ...
const LASTS: Duration = Duration::from_secs(900);
/// ... and until so many rounds have been missed.
const MISSED: u32 = 4;

/// How long what is told again stands if nothing more is heard of it.
pub(crate) fn lasting(repeat: Duration) -> Duration {
    LASTS.max(repeat.saturating_mul(MISSED))
}

impl Deliverer {
    /// When it is told again of what it was told; none: it remembers.
    pub(crate) fn repeats_at(&self, outbox: &Outbox) -> Option<Instant> {
        (self.receiver.kind == Kind::Alertmanager).then(|| outbox.repeated + self.timing.repeat)
    }

    /// True if it is to be told again now.
    pub(crate) fn repeats_now(&self, outbox: &Outbox) -> bool {
        self.repeats_at(outbox).is_some_and(|due| due <= Instant::now())
    }

    /// Waits. What is told again does not wait with it.
    pub(crate) async fn rest(&self, outbox: &mut Outbox, wait: Duration) -> Result<(), StoreError> {
        let end = Instant::now() + wait;
        while let Some(due) = self.repeats_at(outbox).filter(|due| *due < end) {
            sleep_until(due).await;
            let findings = self.look(outbox).await?;
            self.repeat(outbox, &findings).await?;
        }
        sleep_until(end).await;
        Ok(())
    }

    /// Tells again what fires. True if any of it was taken.
    pub(crate) async fn repeat(&self, outbox: &mut Outbox, findings: &[Finding]) -> Result<bool, StoreError> {
        let name = &self.receiver.name;
        let notices = outbox.again(findings, Instant::now());
        let (mut round, mut why) = (Round::of(notices.len()), None);
        while let Some(part) = round.next() {
            let some = &notices[part.clone()];
            let answer = self.tell_again(some).await?;
            if answer.is_ok() {
                self.board.took_part(name, (self.clock)());
                outbox.taken_again(some);
            }
            round.answered(part, answer.as_ref().err());
            why = answer.err().map(|why| why.to_string()).or(why);
        }
        outbox.repeated = Instant::now();
        let why = why.unwrap_or_default();
        for place in round.left_out() {
            let (finding, what) = (notices[place].0.finding_id, notices[place].1);
            outbox.leave_out((finding, what), Instant::now());
            self.board.refused(name, &why);
            tracing::error!(receiver = name, %finding, why, "An Alertmanager does not take a finding again, and will show it as resolved.");
        }
        // Of a message that is not taken its own attempts tell.
        if round.whole() {
            if round.taken > 0 && outbox.pending.is_empty() {
                self.board.works(name);
            }
        } else if self.board.failed(name, ((self.clock)(), &why)) {
            tracing::warn!(
                receiver = name,
                why,
                "An Alertmanager does not take all that stands; it is told in the next round."
            );
        }
        Ok(round.taken > 0)
    }

    async fn tell_again(&self, some: &[Notice<'_>]) -> Result<Result<(), Refused>, StoreError> {
        let mut words = self.words_for(some.iter().map(|(finding, _)| *finding)).await?;
        words.lasting = i64::try_from(lasting(self.timing.repeat).as_millis()).ok();
        let now = (self.clock)();
        let body = body(&self.receiver, &words, some, now);
        Ok(self.receiver.attempt((Uuid::new_v4(), now.div_euclid(1000)), &body).await)
    }
}

/// One round over so many findings, by their places. Pure.
pub(crate) struct Round {
    waiting: VecDeque<Range<usize>>,
    extra: usize,
    /// Parts that were taken.
    pub(crate) taken: usize,
    /// What was not taken alone, and whether for what it says.
    alone: Vec<(usize, bool)>,
    /// Something was not told, or not alone.
    missed: bool,
}

impl Round {
    /// Of so many findings.
    pub(crate) fn of(findings: usize) -> Self {
        let parts = (0..findings).step_by(MOST).map(|from| from..findings.min(from + MOST));
        Self { waiting: parts.collect(), extra: EXTRA, taken: 0, alone: Vec::new(), missed: false }
    }

    /// What is told next.
    pub(crate) fn next(&mut self) -> Option<Range<usize>> {
        self.waiting.pop_front()
    }

    /// Why a part was not taken; none: it was.
    pub(crate) fn answered(&mut self, part: Range<usize>, refused: Option<&Refused>) {
        let says = match refused {
            None => return self.taken += 1,
            Some(Refused::Message(_)) => true,
            Some(Refused::Status(500..=599)) => false,
            // About the way or the time: it is away for all of them.
            Some(_) => {
                self.waiting.clear();
                self.missed = true;
                return;
            }
        };
        match part.len() {
            0 | 1 => self.alone.push((part.start, says)),
            _ if self.extra < 2 => self.missed = true,
            many => {
                self.extra -= 2;
                let middle = part.start + many / 2;
                // Behind the others: they are to be heard of first.
                self.waiting.extend([part.start..middle, middle..part.end]);
            }
        }
    }

    /// Places of what it does not take, for what it says. Where it takes nothing else, errors of its own say nothing of a finding.
    pub(crate) fn left_out(&self) -> Vec<usize> {
        let alone = self.alone.iter().filter(|(_, says)| *says || self.taken > 0);
        alone.map(|(place, _)| *place).collect()
    }

    /// True if it has heard of all that it takes.
    pub(crate) fn whole(&self) -> bool {
        !self.missed && self.left_out().len() == self.alone.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STUMBLES: Refused = Refused::Status(500);

    /// Tells a round; how often something was told, and which places were taken.
    fn tell(round: &mut Round, answer: impl Fn(&Range<usize>) -> Result<(), Refused>) -> (usize, Vec<usize>) {
        let (mut requests, mut taken) = (0, Vec::new());
        while let Some(part) = round.next() {
            requests += 1;
            let answer = answer(&part);
            if answer.is_ok() {
                taken.extend(part.clone());
            }
            round.answered(part, answer.as_ref().err());
        }
        taken.sort_unstable();
        (requests, taken)
    }

    #[test]
    fn one_that_is_not_taken_is_left_out_and_all_others_are_told() {
        for refused in [STUMBLES, Refused::Message(400)] {
            let mut round = Round::of(250);
            let poison = |part: &Range<usize>| if part.contains(&37) { Err(refused.clone()) } else { Ok(()) };
            let (requests, taken) = tell(&mut round, poison);
            assert_eq!(taken, (0..250).filter(|place| *place != 37).collect::<Vec<_>>());
            assert!(requests <= 3 + EXTRA, "{requests}");
            assert_eq!((round.left_out(), round.whole()), (vec![37], true));
        }
    }

    #[test]
    fn what_there_is_no_time_to_halve_is_missed_and_everything_else_is_told() {
        let mut round = Round::of(400);
        let (requests, taken) = tell(&mut round, |part| if part.start < 100 { Err(STUMBLES) } else { Ok(()) });
        assert_eq!(taken, (100..400).collect::<Vec<_>>());
        assert_eq!((requests, round.whole()), (4 + EXTRA, false));
    }

    #[test]
    fn one_that_answers_everything_with_errors_is_away_and_leaves_nothing_out() {
        let mut round = Round::of(1);
        assert_eq!(tell(&mut round, |_| Err(STUMBLES)), (1, vec![]));
        assert_eq!((round.left_out(), round.whole()), (vec![], false));
        let mut round = Round::of(1);
        tell(&mut round, |_| Err(Refused::Message(422)));
        assert_eq!((round.left_out(), round.whole()), (vec![0], true), "it says that it is the message");
    }

    #[test]
    fn one_that_is_not_there_is_not_asked_for_each_part() {
        for refused in [Refused::Unreachable("no connection"), Refused::Redirects(302), Refused::Status(429)] {
            let mut round = Round::of(1_000);
            assert_eq!(tell(&mut round, |_| Err(refused.clone())).0, 1);
            assert!(!round.whole());
        }
        assert!(Round::of(0).whole(), "nothing stands");
    }

    #[test]
    fn what_is_told_again_outlasts_missed_rounds() {
        assert_eq!(lasting(Duration::from_secs(60)), Duration::from_secs(900));
        assert_eq!(lasting(Duration::from_secs(600)), Duration::from_secs(2_400));
    }
}
