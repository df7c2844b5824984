//! One receiver's loop: what it is to be told becomes a message in the store, and the message is tried until it is taken.

use crate::{
    board::Board,
    outbox::{MOST, Outbox},
    plan::{Told, What, due, fires, waited},
    receiver::{Kind, Naming, Receiver, Refused},
    render::{Notice, Words, body},
};
use drift::Severity;
use rand::Rng;
use std::time::Duration;
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

/// First and longest wait between two attempts; each is a random part of it.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));
/// What was over before it was told is told if it was opened at most so long ago, milliseconds: a receiver that is new hears of no old
/// history.
const PASSED_WITHIN: i64 = 7 * 86_400_000;
/// Between two looks at the register without a hint: changes by people give none.
const LOOK: Duration = Duration::from_secs(5);
/// Most bytes of a message of more than one finding.
const BODY_BYTES: usize = 256 << 10;

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
        let mut repeated = Instant::now();
        loop {
            self.show(&outbox);
            while let Some(message) = outbox.pending.front() {
                match self.bring(message).await? {
                    Brought::Taken => outbox.taken(),
                    Brought::Refused(why) => self.let_go(&mut outbox, &why).await?,
                }
                self.show(&outbox);
            }
            let mut findings = self.store.findings(&self.words.tenant).await?;
            let left_out =
                outbox.left_out(|refused| findings.iter().any(|one| one.finding_id == *refused && fires(one)));
            self.board.left_out(&self.receiver.name, left_out);
            let due = self.due(&findings, &outbox);
            if !due.is_empty() {
                // A burst is one message. What is due has waited for company since it was found.
                let waited = waited(&due, &outbox.told, (self.clock)());
                sleep(self.timing.group.saturating_sub(waited)).await;
                findings = self.store.findings(&self.words.tenant).await?;
                self.compose(&mut outbox, &findings).await?;
                continue;
            }
            if self.receiver.kind == Kind::Alertmanager && repeated.elapsed() >= self.timing.repeat {
                self.repeat(&outbox.told, &findings).await?;
                repeated = Instant::now();
            }
            let next = match self.receiver.kind {
                Kind::Alertmanager => LOOK.min(self.timing.repeat.saturating_sub(repeated.elapsed())),
                _ => LOOK,
            };
            tokio::select! {
                () = sleep(next) => {}
                changed = self.hint.changed() => if changed.is_err() { return Ok(()) },
            }
        }
    }

    fn due<'a>(&self, findings: &'a [Finding], outbox: &Outbox) -> Vec<Notice<'a>> {
        let due = due(findings, &outbox.told, self.receiver.least, (self.clock)() - PASSED_WITHIN);
        outbox.next(due, Instant::now())
    }

    /// Makes a message of what is due and keeps it.
    async fn compose(&self, outbox: &mut Outbox, findings: &[Finding]) -> Result<(), StoreError> {
        let mut due = self.due(findings, outbox);
        if due.is_empty() {
            return Ok(());
        }
        let mut words = self.words_for(due.iter().map(|(finding, _)| *finding)).await?;
        words.before = due.iter().filter_map(|(finding, _)| severity_told(&outbox.told, finding)).collect();
        let now = (self.clock)();
        let mut text = body(&self.receiver, &words, &due, now);
        while text.len() > BODY_BYTES && due.len() > 1 {
            due.truncate(due.len() / 2);
            text = body(&self.receiver, &words, &due, now);
        }
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

    /// Tries until the receiver takes it, or refuses it for what it says.
    async fn bring(&self, message: &AlertMessage) -> Result<Brought, StoreError> {
        let mut wait = RETRY.0;
        loop {
            let now = (self.clock)();
            match self.receiver.attempt((message.message_id, now.div_euclid(1000)), &message.body).await {
                Ok(()) => break,
                Err(why @ Refused::Message(_)) => return Ok(Brought::Refused(why.to_string())),
                Err(why) => {
                    let why = why.to_string();
                    if self.board.failed(&self.receiver.name, (now, &why)) {
                        tracing::warn!(
                            receiver = self.receiver.name,
                            why,
                            "A receiver of alerts takes no message; it is tried until it does."
                        );
                    }
                }
            }
            sleep(jitter(wait)).await;
            wait = (wait * 2).min(RETRY.1);
        }
        let now = (self.clock)();
        // What it said may hold names: nobody needs it any more.
        let taken = AlertMessage { version: 2, delivered_at: Some(now), body: String::new(), ..message.clone() };
        // Commit point: it is not sent again. A crash before this line sends it once more, under the same id.
        self.store.put_alert_message(&taken).await?;
        self.board.took(&self.receiver.name, now);
        Ok(Brought::Taken)
    }

    /// The first message was refused, and would be for ever: what it told is due again, in smaller messages.
    async fn let_go(&self, outbox: &mut Outbox, why: &str) -> Result<(), StoreError> {
        let Some(message) = outbox.pending.front() else { return Ok(()) };
        // Commit point: it is not sent again, and what it says was not told. A crash before this line has it refused once more.
        let let_go = AlertMessage { version: 2, delivered_at: None, body: String::new(), ..message.clone() };
        self.store.put_alert_message(&let_go).await?;
        let alone = outbox.refused(Instant::now());
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

    /// Tells an Alertmanager again what fires: it forgets what it is not told.
    async fn repeat(&self, told: &Told, findings: &[Finding]) -> Result<(), StoreError> {
        let firing =
            |finding: &&Finding| fires(finding) && matches!(told.get(&finding.finding_id), Some(What::Firing(_)));
        let notices: Vec<_> = findings
            .iter()
            .filter(firing)
            .filter_map(|finding| Some((finding, *told.get(&finding.finding_id)?)))
            .collect();
        for some in notices.chunks(MOST) {
            let words = self.words_for(some.iter().map(|(finding, _)| *finding)).await?;
            let now = (self.clock)();
            let body = body(&self.receiver, &words, some, now);
            match self.receiver.attempt((Uuid::new_v4(), now.div_euclid(1000)), &body).await {
                Ok(()) => self.board.took(&self.receiver.name, now),
                Err(why) => {
                    // The next repetition is the next try.
                    self.board.failed(&self.receiver.name, (now, &why.to_string()));
                    if !matches!(why, Refused::Message(_)) {
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    /// The words with names, where this receiver is told names.
    async fn words_for(&self, findings: impl Iterator<Item = &Finding>) -> Result<Words, StoreError> {
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

/// A random part of a wait, at least half of it.
fn jitter(wait: Duration) -> Duration {
    wait.mul_f64(rand::rng().random_range(0.5..=1.0))
}
