//! What one receiver was told, is being told, and does not take. Pure: the clock is an argument.
//!
//! A message that a receiver refuses for what it says (too large, malformed) must not keep it from hearing the rest: it is let go, and what
//! it told is due again, in smaller messages, until the one finding is alone that it does not take. That one waits apart.

use crate::plan::{Told, What, told};
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
        Self { told, pending, most: MOST, refused: HashMap::new() }
    }

    /// What of this is told now, the worst first; what the receiver does not take waits.
    pub(crate) fn next<'a>(&self, mut due: Vec<(&'a Finding, What)>, now: Instant) -> Vec<(&'a Finding, What)> {
        due.retain(|(finding, what)| {
            self.refused.get(&finding.finding_id).is_none_or(|known| known.what != *what || known.again <= now)
        });
        // Stable: of equal ones the order of the register.
        due.sort_by_key(|(_, what)| match what {
            What::Firing(severity) => std::cmp::Reverse(Some(*severity)),
            What::Resolved | What::Passed => std::cmp::Reverse(None),
        });
        due.truncate(self.most);
        due
    }

    /// The first message was taken.
    pub(crate) fn taken(&mut self) {
        let Some(message) = self.pending.pop_front() else { return };
        let items = told([&message]);
        self.refused.retain(|finding, _| !items.contains_key(finding));
        self.told.extend(items);
        self.most = (self.most * 2).min(MOST);
    }

    /// The first message was refused for what it says; the finding, if it was alone in it.
    pub(crate) fn refused(&mut self, now: Instant) -> Option<Uuid> {
        let message = self.pending.pop_front()?;
        if message.items.len() > 1 {
            self.most = (message.items.len() / 2).clamp(1, MOST);
            return None;
        }
        let (finding, what) = told([&message]).into_iter().next()?;
        let wait = self.refused.get(&finding).map_or(AGAIN.0, |known| (known.wait * 2).min(AGAIN.1));
        self.refused.insert(finding, Refusal { what, again: now + wait, wait });
        Some(finding)
    }

    /// How many findings the receiver does not take; what is over of them counts no more.
    pub(crate) fn left_out(&mut self, stands: impl Fn(&Uuid) -> bool) -> usize {
        self.refused.retain(|finding, _| stands(finding));
        self.refused.len()
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
                outbox.refused(now);
            } else {
                outbox.taken();
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
        assert_eq!(outbox.left_out(|_| true), 1);
        // Later it is tried again by itself, and later still the second time.
        let later = now + AGAIN.0;
        assert_eq!(bring(&mut outbox, &all, bad, later), 1);
        assert_eq!(bring(&mut outbox, &all, bad, later + AGAIN.0), 0);
        assert_eq!(bring(&mut outbox, &all, Uuid::nil(), later + 2 * AGAIN.0), 1, "it is taken at last");
        assert_eq!((outbox.told.len(), outbox.left_out(|_| true)), (1_000, 0));
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
        assert_eq!(outbox.refused(now), Some(Uuid::from_u128(1)));
        assert_eq!(due(&outbox, whats), [2, 0]);
        let worse = [whats[0], What::Firing(Severity::High), whats[2]];
        assert_eq!(due(&outbox, worse), [2, 1, 0]);
        assert_eq!(outbox.left_out(|_| false), 0, "what is over is not missed");
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
