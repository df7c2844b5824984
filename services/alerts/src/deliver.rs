//! One receiver's loop: what it is to be told becomes a message in the store, and the message is tried until it is taken.

use crate::{
    board::Board,
    outbox::Outbox,
    plan::{Told, What, due, fires, waited},
    probe::{Backoff, RETRY},
    receiver::{Kind, Naming, Receiver, Refused},
    render::{Notice, Words, fitting},
};
use drift::Severity;
use std::{collections::HashSet, time::Duration};
use store::{
    Store, StoreError,
    correlation::Id,
    findings::{AlertMessage, Finding},
};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};
use uuid::Uuid;

/// What was over before it was told is told if it was opened at most so long ago, milliseconds: a receiver that is new hears of no old
/// history.
const PASSED_WITHIN: i64 = 7 * 86_400_000;
/// Between two looks at the register without a hint: changes by people give none.
pub(crate) const LOOK: Duration = Duration::from_secs(5);
/// Most findings that are due and kept of one look; the worst are told first, and the others looked at again.
const DUE_MAX: usize = 10_000;

/// Waits of a receiver.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// What comes within this time after the first is one message.
    pub group: Duration,
    /// An Alertmanager is told this often of what still fires.
    pub repeat: Duration,
}

/// Brings one receiver what it is to be told.
pub struct Deliverer {
    /// Where findings and messages are.
    pub store: Store,
    /// To whom.
    pub receiver: Receiver,
    /// Tenant and link.
    pub words: Words,
    /// Waits.
    pub timing: Timing,
    /// UTC milliseconds.
    pub clock: fn() -> i64,
    /// For status and metrics.
    pub board: Board,
    /// Changes when findings may have changed.
    pub hint: watch::Receiver<u64>,
}

/// What became of a message.
enum Brought {
    Taken,
    Refused(String),
    /// It is answered with errors, again and again.
    Suspect(String),
}

impl Deliverer {
    /// Runs until `stop` turns true. Whatever fails is tried again; nothing else waits for it.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let work = async {
            let mut wait = RETRY.0;
            loop {
                let error = match self.follow().await {
                    Ok(()) => return,
                    Err(error) => error,
                };
                tracing::warn!(receiver = self.receiver.name, %error, "The register of findings cannot be read now; it is tried again.");
                sleep(wait).await;
                wait = (wait * 2).min(RETRY.1);
            }
        };
        tokio::select! {
            () = work => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
    }

    /// Ends only with an error of the store, or when nobody gives hints any more.
    async fn follow(&mut self) -> Result<(), StoreError> {
        let messages = self.store.alert_messages(&self.words.tenant, &self.receiver.name).await?;
        let mut outbox = Outbox::of(messages);
        let mut backoff = Backoff::default();
        loop {
            self.show(&outbox);
            while let Some(message) = outbox.pending.front() {
                if outbox.was_told(message) {
                    self.drop_message(&mut outbox, 0).await?;
                    continue;
                }
                match self.bring(&mut outbox, &mut backoff).await? {
                    Brought::Taken => backoff = Backoff::default(),
                    Brought::Refused(why) => {
                        self.let_go(&mut outbox, (0, &why)).await?;
                        backoff = Backoff::default();
                    }
                    Brought::Suspect(why) => self.judge_suspect(&mut outbox, (&why, &mut backoff)).await?,
                }
                self.show(&outbox);
            }
            let mut findings = self.look(&outbox).await?;
            let left_out = outbox.left_out(|refused| findings.iter().find(|one| one.finding_id == *refused).map(fires));
            self.board.left_out(&self.receiver.name, left_out);
            if self.repeats_now(&outbox) {
                self.repeat(&mut outbox, &findings).await?;
            }
            let due = self.due(&findings, &outbox);
            if !due.is_empty() {
                // A burst is one message. What is due has waited for company since it was found.
                let waited = waited(&due, &outbox.told, (self.clock)());
                sleep(self.timing.group.saturating_sub(waited)).await;
                findings = self.look(&outbox).await?;
                let due = self.due(&findings, &outbox);
                self.put(&mut outbox, due).await?;
                continue;
            }
            let next =
                self.repeats_at(&outbox).map_or(LOOK, |due| LOOK.min(due.saturating_duration_since(Instant::now())));
            tokio::select! {
                () = sleep(next) => {}
                changed = self.hint.changed() => if changed.is_err() { return Ok(()) },
            }
        }
    }

    /// What may have to be told: what stands and was not told so, or ended lately, or was told to stand and does no more, the latest
    /// first; and to an Alertmanager all that it was told to stand. What of it is not due is not held, however much was ever found.
    pub(crate) async fn look(&self, outbox: &Outbox) -> Result<Vec<Finding>, StoreError> {
        let (tenant, told, repeats) = (&self.words.tenant, &outbox.told, self.receiver.kind == Kind::Alertmanager);
        let since = (self.clock)() - PASSED_WITHIN;
        let (mut seen, mut kept, mut fresh) = (HashSet::new(), Vec::new(), Vec::new());
        let mut each = |finding: Finding| {
            seen.insert(finding.finding_id);
            if !due(std::slice::from_ref(&finding), told, self.receiver.least, since).is_empty() {
                fresh.push(finding);
                if fresh.len() >= 2 * DUE_MAX {
                    worst(&mut fresh);
                }
            } else if repeats && told.contains_key(&finding.finding_id) {
                kept.push(finding);
            }
        };
        self.store.findings_to_tell((tenant, since), &mut each).await?;
        let over = told.iter().filter(|(id, what)| matches!(what, What::Firing(_)) && !seen.contains(*id));
        let over: Vec<Uuid> = over.map(|(id, _)| *id).collect();
        worst(&mut fresh);
        kept.extend(fresh);
        kept.extend(self.store.findings_of(tenant, &over).await?);
        kept.sort_by_key(|one| (std::cmp::Reverse(one.first_at), one.finding_id));
        Ok(kept)
    }

    fn due<'a>(&self, findings: &'a [Finding], outbox: &Outbox) -> Vec<Notice<'a>> {
        outbox.next(self.all_due(findings, outbox), Instant::now())
    }

    /// The same, also what is too much for one message, or waits.
    pub(crate) fn all_due<'a>(&self, findings: &'a [Finding], outbox: &Outbox) -> Vec<Notice<'a>> {
        due(findings, &outbox.told, self.receiver.least, (self.clock)() - PASSED_WITHIN)
    }

    /// Makes a message of what is due, or of as much of it as fits, and keeps it.
    pub(crate) async fn put(&self, outbox: &mut Outbox, mut due: Vec<Notice<'_>>) -> Result<(), StoreError> {
        if due.is_empty() {
            return Ok(());
        }
        let mut words = self.words_for(due.iter().map(|(finding, _)| *finding)).await?;
        words.before = due.iter().filter_map(|(finding, _)| severity_told(&outbox.told, finding)).collect();
        let now = (self.clock)();
        let text = fitting(&self.receiver, &words, &mut due, now);
        let message = AlertMessage {
            tenant: self.words.tenant.clone(),
            receiver: self.receiver.name.clone(),
            message_id: Uuid::new_v4(),
            version: 1,
            created_at: now,
            delivered_at: None,
            items: due.iter().map(|(finding, what)| (Id(finding.finding_id), what.to_text())).collect(),
            body: text,
        };
        // Commit point: from here on the message is sent under its id until it is taken, by whichever process. A crash before
        // this line leaves nothing, and the same findings are due again.
        self.store.put_alert_message(&message).await?;
        outbox.pending.push_back(message);
        Ok(())
    }

    /// Tries the first message until the receiver takes it, refuses it for what it says, or may stumble over that.
    async fn bring(&self, outbox: &mut Outbox, backoff: &mut Backoff) -> Result<Brought, StoreError> {
        let known = outbox.pending.front().is_some_and(|message| outbox.was_refused(message));
        loop {
            let why = match self.attempt(outbox, 0).await? {
                Ok(()) => return Ok(Brought::Taken),
                Err(why) => why,
            };
            let suspect = backoff.suspects(&why, outbox.halving());
            match why {
                why @ Refused::Message(_) => return Ok(Brought::Refused(why.to_string())),
                // It was found to be this one before.
                why @ Refused::Status(500..=599) if known => return Ok(Brought::Refused(why.to_string())),
                why if suspect => return Ok(Brought::Suspect(why.to_string())),
                _ => {}
            }
            self.rest(outbox, backoff.wait()).await?;
        }
    }

    /// One attempt at a message that is on its way; what is taken is kept as told.
    pub(crate) async fn attempt(&self, outbox: &mut Outbox, place: usize) -> Result<Result<(), Refused>, StoreError> {
        let Some(message) = outbox.pending.get(place) else { return Ok(Ok(())) };
        let now = (self.clock)();
        let answer = self.receiver.attempt((message.message_id, now.div_euclid(1000)), &message.body).await;
        let why = match answer {
            Ok(()) => {
                let now = (self.clock)();
                // What it said may hold names: nobody needs it any more.
                let taken =
                    AlertMessage { version: 2, delivered_at: Some(now), body: String::new(), ..message.clone() };
                // Commit point: it is not sent again. A crash before this line sends it once more, under the same id.
                self.store.put_alert_message(&taken).await?;
                outbox.taken(place);
                self.board.took(&self.receiver.name, now);
                return Ok(Ok(()));
            }
            Err(why) => why,
        };
        if !matches!(why, Refused::Message(_)) {
            let why = why.to_string();
            if self.board.failed(&self.receiver.name, (now, &why)) {
                tracing::warn!(
                    receiver = self.receiver.name,
                    why,
                    "A receiver of alerts takes no message; it is tried until it does."
                );
            }
        }
        Ok(Err(why))
    }

    /// A message was refused, and would be for ever: what it told is due again, in smaller messages.
    pub(crate) async fn let_go(&self, outbox: &mut Outbox, (place, why): (usize, &str)) -> Result<(), StoreError> {
        self.end_message(outbox, place).await?;
        let alone = outbox.refused(place, Instant::now());
        self.board.refused(&self.receiver.name, why);
        if let Some(finding) = alone {
            tracing::error!(
                receiver = self.receiver.name,
                %finding,
                why,
                "A receiver of alerts does not take a finding: it is told of the others, and tried again with this one later."
            );
        }
        Ok(())
    }

    /// A message is sent no more, and says nothing of what it told: that was told by another one, or is due again.
    pub(crate) async fn drop_message(&self, outbox: &mut Outbox, place: usize) -> Result<(), StoreError> {
        self.end_message(outbox, place).await?;
        outbox.pending.remove(place);
        Ok(())
    }

    async fn end_message(&self, outbox: &Outbox, place: usize) -> Result<(), StoreError> {
        let Some(message) = outbox.pending.get(place) else { return Ok(()) };
        // Commit point: it is not sent again, and what it says was not told by it. A crash before this line has it tried once more.
        let ended = AlertMessage { version: 2, delivered_at: None, body: String::new(), ..message.clone() };
        self.store.put_alert_message(&ended).await
    }

    /// The words with names, where this receiver is told names.
    pub(crate) async fn words_for(&self, findings: impl Iterator<Item = &Finding>) -> Result<Words, StoreError> {
        let mut words = self.words.clone();
        if self.receiver.naming == Naming::Names {
            let persons: Vec<String> =
                findings.map(|finding| finding.person.clone()).filter(|person| !person.is_empty()).collect();
            for bearer in self.store.names_of(&self.words.tenant, &persons).await? {
                let name = bearer.names.iter().rev().find(|name| name.kind == "username").or(bearer.names.last());
                words.names.extend(name.map(|name| (bearer.person.clone(), name.name.clone())));
            }
        }
        Ok(words)
    }

    fn show(&self, outbox: &Outbox) {
        self.board.pending((&self.receiver.name, self.receiver.kind.as_str()), outbox.pending.len());
    }
}

/// How bad a finding was when it was told that it stands, if that is what was told last.
fn severity_told(told: &Told, finding: &Finding) -> Option<(Uuid, Severity)> {
    match told.get(&finding.finding_id)? {
        What::Firing(severity) => Some((finding.finding_id, *severity)),
        What::Resolved | What::Passed => None,
    }
}

/// The worst of what is due, the latest first.
fn worst(due: &mut Vec<Finding>) {
    if due.len() > DUE_MAX {
        let severity = |one: &Finding| Severity::of(&one.severity).unwrap_or_default();
        due.sort_by_key(|one| std::cmp::Reverse((severity(one), one.first_at)));
        due.truncate(DUE_MAX);
    }
}
