//! Is it the receiver, or a poison message? One that answers the same message with errors of its own (5xx) again and again is tried with
//! something else: if it takes that, the message is treated as refused, and holds nothing up. If it does not, it is away, and everything is
//! kept as it is.

use crate::{
    deliver::{Deliverer, LOOK},
    outbox::Outbox,
    plan::What,
    receiver::{Kind, Refused},
    render::Notice,
};
use rand::Rng;
use std::time::Duration;
use store::{StoreError, findings::Finding};
use tokio::time::{Instant, sleep};

/// First and longest wait between two attempts; each is a random part of it.
pub(crate) const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));
/// Errors of the receiver's own in a row, after which it may be the message; and while one that was refused is parted.
const ERRORS: (u32, u32) = (5, 2);

/// How the attempts at the first message went.
pub(crate) struct Backoff {
    errors: u32,
    wait: Duration,
    /// How many others were tried meanwhile.
    probes: usize,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { errors: 0, wait: RETRY.0, probes: 0 }
    }
}

impl Backoff {
    /// Notes why an attempt failed; true if it may be what the message says.
    pub(crate) fn suspects(&mut self, why: &Refused, halving: bool) -> bool {
        let own = matches!(why, Refused::Status(500..=599));
        self.errors = if own { self.errors + 1 } else { 0 };
        self.errors >= if halving { ERRORS.1 } else { ERRORS.0 }
    }

    /// How long the next attempt waits: a random part, at least half, of twice as long as the one before.
    pub(crate) fn wait(&mut self) -> Duration {
        let wait = self.wait.mul_f64(rand::rng().random_range(0.5..=1.0));
        self.wait = (self.wait * 2).min(RETRY.1);
        wait
    }
}

/// What became of something else that was tried.
enum Probed {
    /// It was taken, or refused in words: the receiver works.
    Works,
    /// It was not taken.
    Away,
    /// There is nothing else to tell: nothing is held up.
    Nothing,
}

impl Deliverer {
    /// The first message is answered with errors again and again. Tries something else, and the first one once more when that was taken.
    pub(crate) async fn judge_suspect(
        &mut self,
        outbox: &mut Outbox,
        (why, backoff): (&str, &mut Backoff),
    ) -> Result<(), StoreError> {
        match self.probe(outbox, backoff).await? {
            Probed::Works => {}
            Probed::Away => {
                return self.rest(outbox, backoff.wait()).await;
            }
            Probed::Nothing => {
                // What comes to be told now would wait behind it.
                let (began, wait) = (Instant::now(), backoff.wait());
                while began.elapsed() < wait && self.others(&self.look(outbox).await?, outbox).is_empty() {
                    tokio::select! {
                        () = sleep(LOOK.min(wait.saturating_sub(began.elapsed()))) => {}
                        Ok(()) = self.hint.changed() => {}
                    }
                    if self.repeats_now(outbox) {
                        let findings = self.look(outbox).await?;
                        self.repeat(outbox, &findings).await?;
                    }
                }
                return Ok(());
            }
        }
        // It may just have come back.
        match self.attempt(outbox, 0).await? {
            Ok(()) => *backoff = Backoff::default(),
            Err(Refused::Message(_) | Refused::Status(500..=599)) => {
                self.let_go(outbox, (0, &format!("{why} to it again and again, and takes others"))).await?;
                *backoff = Backoff::default();
            }
            Err(_) => self.rest(outbox, backoff.wait()).await?,
        }
        Ok(())
    }

    /// Tries something else, once.
    async fn probe(&self, outbox: &mut Outbox, backoff: &mut Backoff) -> Result<Probed, StoreError> {
        let findings = self.look(outbox).await?;
        if outbox.pending.len() < 2 && !self.compose_probe(outbox, (&findings, backoff.probes)).await? {
            let repeats = self.receiver.kind == Kind::Alertmanager;
            return match repeats && self.repeat(outbox, &findings).await? {
                true => Ok(Probed::Works),
                false => Ok(Probed::Nothing),
            };
        }
        backoff.probes += 1;
        match self.attempt(outbox, 1).await? {
            Ok(()) => Ok(Probed::Works),
            Err(why @ Refused::Message(_)) => {
                self.let_go(outbox, (1, &why.to_string())).await?;
                Ok(Probed::Works)
            }
            Err(_) => {
                // What it told is due again, and the next one tried is another.
                self.drop_message(outbox, 1).await?;
                Ok(Probed::Away)
            }
        }
    }

    /// Makes a message of one finding that the first one does not tell, in turn, or of one that it tells among others; false: there is none.
    async fn compose_probe(
        &self,
        outbox: &mut Outbox,
        (findings, turn): (&[Finding], usize),
    ) -> Result<bool, StoreError> {
        let first = outbox.on_its_way();
        let in_first = |one: &&Finding| first.contains_key(&one.finding_id);
        let rules: Vec<&str> = findings.iter().filter(in_first).map(|one| one.rule.as_str()).collect();
        let mut others = self.others(findings, outbox);
        // What makes a receiver stumble is often in all findings of a rule.
        others.sort_by_key(|(finding, _)| rules.contains(&finding.rule.as_str()));
        if others.is_empty() && first.len() > 1 {
            let told = findings.iter().filter_map(|one| Some((one, *first.get(&one.finding_id)?)));
            others = told.collect::<Vec<(&Finding, What)>>();
        }
        let Some(one) = others.get(turn % others.len().max(1)) else { return Ok(false) };
        self.put(outbox, vec![*one]).await?;
        Ok(true)
    }

    /// What is due and is not on its way; what was refused before says nothing of the receiver.
    fn others<'a>(&self, findings: &'a [Finding], outbox: &Outbox) -> Vec<Notice<'a>> {
        let on_its_way = outbox.on_its_way();
        let mut others = self.all_due(findings, outbox);
        others.retain(|(finding, _)| {
            !on_its_way.contains_key(&finding.finding_id) && !outbox.knows_refused(finding.finding_id)
        });
        others
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_of_its_own_in_a_row_make_a_message_suspect() {
        let mut backoff = Backoff::default();
        let errors =
            |backoff: &mut Backoff, n| (0..n).map(|_| backoff.suspects(&Refused::Status(500), false)).collect();
        let told: Vec<bool> = errors(&mut backoff, 4);
        assert_eq!(told, [false; 4]);
        assert!(!backoff.suspects(&Refused::Unreachable("no connection"), false), "it is away");
        assert!(!backoff.suspects(&Refused::Status(429), false), "not now");
        let told: Vec<bool> = errors(&mut backoff, 5);
        assert_eq!(told, [false, false, false, false, true]);
        assert!(!Backoff::default().suspects(&Refused::Status(502), true));
        assert!(backoff.suspects(&Refused::Status(502), true));
    }

    #[test]
    fn waits_grow_to_an_end() {
        let mut backoff = Backoff::default();
        let waits: Vec<Duration> = (0..12).map(|_| backoff.wait()).collect();
        assert!(waits[0] <= RETRY.0 && waits[11] <= RETRY.1 && waits[11] >= RETRY.1 / 2, "{waits:?}");
    }
}
