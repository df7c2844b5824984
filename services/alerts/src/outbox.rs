//! What one receiver was told, is being told, and does not take. Pure: the clock is an argument.
//!
//! A message that a receiver refuses for what it says (too large, malformed, or its reader stumbles over it) must not keep it from hearing
//! the rest: it is let go, and what it told is due again, in smaller messages, until the one finding is alone that it does not take. That
//! one waits apart.

use crate::plan::{Told, What, fires, told};
use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};
use store::findings::{AlertMessage, Finding};
use tokio::time::Instant;
use uuid::Uuid;

/// Most findings of one message.
pub(crate) const MOST: usize = 100;
/// First and longest wait before a finding that was refused by itself is told again, as it is then.
const AGAIN: (Duration, Duration) = (Duration::from_secs(300), Duration::from_secs(6 * 3_600));

/// What a receiver was told, and what is on its way.
pub(crate) struct Outbox {
    /// Of what it has taken.
    pub told: Told,
    /// Messages that it has not taken, in their order.
    pub pending: VecDeque<AlertMessage>,
    /// When an Alertmanager was told again of what it was told.
    pub repeated: Instant,
    /// Where in what it was told the next such round begins.
    turn: usize,
    /// Most findings of the next message.
    most: usize,
    refused: HashMap<Uuid, Refusal>,
}

/// A finding that a receiver does not take.
struct Refusal {
    what: What,
    again: Instant,
    wait: Duration,
}

impl Outbox {
    /// As the store has kept it.
    pub(crate) fn of(messages: Vec<AlertMessage>) -> Self {
        let taken = messages.iter().filter(|message| message.delivered_at.is_some());
        let told = told(taken);
        let pending = messages.into_iter().filter(|message| message.version == 1).collect();
        Self { told, pending, repeated: Instant::now(), turn: 0, most: MOST, refused: HashMap::new() }
    }

    /// What of this is told now, the worst first. What the receiver does not take waits, and is tried alone, when nothing else is due.
    pub(crate) fn next<'a>(&self, mut due: Vec<(&'a Finding, What)>, now: Instant) -> Vec<(&'a Finding, What)> {
        let refusal = |(finding, what): &(&Finding, What)| {
            self.refused.get(&finding.finding_id).filter(|known| known.what == *what)
        };
        due.retain(|one| refusal(one).is_none_or(|known| known.again <= now));
        // Stable: of equal ones the order of the register.
        due.sort_by_key(|one| {
            let severity = match one.1 {
                What::Firing(severity) => Some(severity),
                What::Resolved | What::Passed => None,
            };
            (refusal(one).is_some(), std::cmp::Reverse(severity))
        });
        let fresh = due.iter().take_while(|one| refusal(one).is_none()).count();
        due.truncate(self.most.min(fresh.max(1)));
        due
    }

    /// Messages get smaller: one was refused.
    pub(crate) fn halving(&self) -> bool {
        self.most < MOST
    }

    /// True if a finding was refused by itself before.
    pub(crate) fn knows_refused(&self, finding: Uuid) -> bool {
        self.refused.contains_key(&finding)
    }

    /// True if a message tells one finding, which was refused by itself before.
    pub(crate) fn was_refused(&self, message: &AlertMessage) -> bool {
        message.items.len() == 1 && message.items.iter().all(|(finding, _)| self.knows_refused(finding.0))
    }

    /// True if the receiver has heard all that a message says by another one.
    pub(crate) fn was_told(&self, message: &AlertMessage) -> bool {
        let items = told([message]);
        !items.is_empty() && items.iter().all(|(finding, what)| self.told.get(finding) == Some(what))
    }

    /// What is on its way.
    pub(crate) fn on_its_way(&self) -> Told {
        told(&self.pending)
    }

    /// A message was taken: the first one, or the one that was tried behind it.
    pub(crate) fn taken(&mut self, place: usize) {
        let Some(message) = self.pending.remove(place) else { return };
        let items = told([&message]);
        self.refused.retain(|finding, _| !items.contains_key(finding));
        self.told.extend(items);
        self.most = (self.most * 2).min(MOST);
    }

    /// A message was refused for what it says; the finding, if it was alone in it.
    pub(crate) fn refused(&mut self, place: usize, now: Instant) -> Option<Uuid> {
        let message = self.pending.remove(place)?;
        if message.items.len() > 1 {
            self.most = (message.items.len() / 2).clamp(1, MOST);
            return None;
        }
        let (finding, what) = told([&message]).into_iter().next()?;
        self.leave_out((finding, what), now);
        Some(finding)
    }

    /// A finding that was told alone was not taken: it waits, each time twice as long.
    pub(crate) fn leave_out(&mut self, (finding, what): (Uuid, What), now: Instant) {
        let wait = self.refused.get(&finding).map_or(AGAIN.0, |known| (known.wait * 2).min(AGAIN.1));
        self.refused.insert(finding, Refusal { what, again: now + wait, wait });
    }

    /// What of this fires, as it was told, and is told again now; each round begins elsewhere.
    pub(crate) fn again<'a>(&mut self, findings: &'a [Finding], now: Instant) -> Vec<(&'a Finding, What)> {
        let told = |finding: &Finding| self.told.get(&finding.finding_id).copied();
        let firing = findings.iter().filter(|finding| fires(finding));
        let firing = firing.filter_map(|finding| Some((finding, told(finding)?)));
        let waits = |(finding, what): &(&Finding, What)| {
            self.refused.get(&finding.finding_id).is_some_and(|known| known.what == *what && known.again > now)
        };
        let mut again: Vec<_> = firing.filter(|one| matches!(one.1, What::Firing(_)) && !waits(one)).collect();
        let begin = self.turn % again.len().max(1);
        again.rotate_left(begin);
        self.turn = begin + MOST;
        again
    }

    /// These were taken again.
    pub(crate) fn taken_again(&mut self, notices: &[(&Finding, What)]) {
        self.refused.retain(|id, _| notices.iter().all(|(finding, _)| finding.finding_id != *id));
    }

    /// How many findings that stand the receiver does not take. `stands`: none for what is not to be told any more.
    pub(crate) fn left_out(&mut self, stands: impl Fn(&Uuid) -> Option<bool>) -> usize {
        self.refused.retain(|finding, _| stands(finding).is_some());
        self.refused.keys().filter(|finding| stands(finding) == Some(true)).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::test_notice;
    use drift::Severity;
    use store::correlation::Id;

    fn finding(n: u128) -> Finding {
        Finding { finding_id: Uuid::from_u128(n), ..test_notice(0) }
    }

    fn message(items: &[(&Finding, What)], version: u8) -> AlertMessage {
        AlertMessage {
            tenant: "t".into(),
            receiver: "r".into(),
            message_id: Uuid::new_v4(),
            version,
            created_at: 0,
            delivered_at: None,
            items: items.iter().map(|(finding, what)| (Id(finding.finding_id), what.to_text())).collect(),
            body: String::new(),
        }
    }

    /// What a receiver takes that refuses every message about the finding `bad`, until nothing is left for now.
    fn bring(outbox: &mut Outbox, all: &[Finding], bad: Uuid, now: Instant) -> usize {
        let mut attempts = 0;
        loop {
            let high = What::Firing(Severity::High);
            let due = all.iter().filter(|one| !outbox.told.contains_key(&one.finding_id)).map(|one| (one, high));
            let next = outbox.next(due.collect(), now);
            if next.is_empty() {
                return attempts;
            }
            attempts += 1;
            assert!(attempts < 1_000, "it never ends");
            outbox.pending.push_back(message(&next, 1));
            if next.iter().any(|(finding, _)| finding.finding_id == bad) {
                outbox.refused(0, now);
            } else {
                outbox.taken(0);
            }
        }
    }

    #[test]
    fn what_is_refused_is_alone_in_the_end_and_all_others_are_told() {
        let all: Vec<Finding> = (0..1_000).map(finding).collect();
        let bad = Uuid::from_u128(637);
        let (mut outbox, now) = (Outbox::of(Vec::new()), Instant::now());
        let attempts = bring(&mut outbox, &all, bad, now);
        assert_eq!((outbox.told.len(), outbox.told.contains_key(&bad)), (999, false));
        assert!(attempts < 60, "{attempts} attempts");
        assert_eq!(outbox.left_out(|_| Some(true)), 1);
        // Later it is tried again by itself, and later still the second time.
        let later = now + AGAIN.0;
        assert_eq!(bring(&mut outbox, &all, bad, later), 1);
        assert_eq!(bring(&mut outbox, &all, bad, later + AGAIN.0), 0);
        assert_eq!(bring(&mut outbox, &all, Uuid::nil(), later + 2 * AGAIN.0), 1, "it is taken at last");
        assert_eq!((outbox.told.len(), outbox.left_out(|_| Some(true))), (1_000, 0));
    }

    #[test]
    fn what_is_worse_does_not_wait_and_the_worst_is_told_first() {
        let all: Vec<Finding> = (0..3).map(finding).collect();
        let (mut outbox, now) = (Outbox::of(Vec::new()), Instant::now());
        let due = |outbox: &Outbox, whats: [What; 3]| {
            let next = outbox.next(all.iter().zip(whats).collect(), now);
            next.into_iter().map(|(finding, _)| finding.finding_id.as_u128()).collect::<Vec<_>>()
        };
        let whats = [What::Resolved, What::Firing(Severity::Medium), What::Firing(Severity::Critical)];
        assert_eq!(due(&outbox, whats), [2, 1, 0]);
        outbox.pending.push_back(message(&[(&all[1], whats[1])], 1));
        assert_eq!(outbox.refused(0, now), Some(Uuid::from_u128(1)));
        assert_eq!(due(&outbox, whats), [2, 0]);
        let worse = [whats[0], What::Firing(Severity::High), whats[2]];
        assert_eq!(due(&outbox, worse), [2, 1, 0]);
        assert_eq!(outbox.left_out(|_| Some(false)), 0, "what is over is not missed");
        assert_eq!(due(&outbox, whats), [2, 0], "and its end that is refused waits, too");
        assert_eq!(outbox.left_out(|_| None), 0);
        assert_eq!(due(&outbox, whats), [2, 1, 0]);
    }

    #[test]
    fn what_was_refused_is_tried_alone_and_behind_everything_else() {
        let all: Vec<Finding> = (0..4).map(finding).collect();
        let high = What::Firing(Severity::High);
        let (mut outbox, now) = (Outbox::of(Vec::new()), Instant::now());
        for bad in &all[..2] {
            outbox.pending.push_back(message(&[(bad, high)], 1));
            assert!(!outbox.was_refused(&outbox.pending[0]));
            outbox.refused(0, now);
        }
        let due = |outbox: &Outbox, of: &[Finding], now| {
            let next = outbox.next(of.iter().map(|one| (one, high)).collect(), now);
            next.into_iter().map(|(finding, _)| finding.finding_id.as_u128()).collect::<Vec<_>>()
        };
        assert_eq!(due(&outbox, &all, now), [2, 3]);
        let later = now + AGAIN.0;
        assert_eq!(due(&outbox, &all, later), [2, 3], "what is new goes first");
        assert_eq!(due(&outbox, &all[..2], later), [0]);
        outbox.pending.push_back(message(&[(&all[0], high)], 1));
        assert!(outbox.was_refused(&outbox.pending[0]));
    }

    #[test]
    fn what_was_tried_behind_the_first_message_is_told_by_one_of_them_alone() {
        let all: Vec<Finding> = (0..2).map(finding).collect();
        let high = What::Firing(Severity::High);
        let both = message(&[(&all[0], high), (&all[1], high)], 1);
        let mut outbox = Outbox::of(vec![both.clone(), message(&[(&all[1], high)], 1)]);
        assert_eq!(outbox.on_its_way().len(), 2);
        outbox.taken(1);
        assert_eq!((outbox.pending.len(), outbox.was_told(&both)), (1, false));
        let mut outbox = Outbox::of(vec![both, message(&[(&all[1], high)], 1)]);
        outbox.taken(0);
        assert!(outbox.was_told(&outbox.pending[0]));
    }

    #[test]
    fn what_is_told_again_begins_elsewhere_each_time_and_leaves_out_what_waits() {
        let all: Vec<Finding> = (0..250).map(finding).collect();
        let (mut outbox, now) = (Outbox::of(Vec::new()), Instant::now());
        let high = What::Firing(Severity::High);
        outbox.told = all.iter().map(|one| (one.finding_id, high)).collect();
        outbox.told.insert(all[7].finding_id, What::Resolved);
        outbox.leave_out((all[9].finding_id, high), now);
        let begins: Vec<u128> = (0..4)
            .map(|_| {
                let again = outbox.again(&all, now);
                assert_eq!(again.len(), 248);
                again[0].0.finding_id.as_u128()
            })
            .collect();
        assert_eq!(begins, [0, 102, 202, 54]);
        assert_eq!(outbox.again(&all, now + AGAIN.0).len(), 249, "it is tried again");
        outbox.taken_again(&[(&all[9], high)]);
        assert_eq!(outbox.left_out(|_| Some(true)), 0);
    }

    #[test]
    fn after_a_start_what_was_refused_was_not_told() {
        let all: Vec<Finding> = (0..3).map(finding).collect();
        let high = What::Firing(Severity::High);
        let taken = AlertMessage { delivered_at: Some(1), ..message(&[(&all[0], high)], 2) };
        let let_go = message(&[(&all[1], high)], 2);
        let on_its_way = message(&[(&all[2], high)], 1);
        let outbox = Outbox::of(vec![taken, let_go, on_its_way]);
        assert_eq!(outbox.told.keys().map(Uuid::as_u128).collect::<Vec<_>>(), [0]);
        assert_eq!(outbox.pending.len(), 1);
    }
}
