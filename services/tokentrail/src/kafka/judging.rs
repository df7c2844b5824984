//! Whether topics may be used. Receipts wait for a topic that is missing, and a processor does not start on one that could lose them.
//! Of the topic on which processors tell what they stored nothing waits: while it is missing, refused or could lose what is put there,
//! it is not used, and ClickHouse tells the correlation.

use super::Link;
use anyhow::bail;
use durable_log::kafka::{Finding, Gate, Risk, Topics, TopicsError};
use std::time::Duration;
use tokio::{runtime::Handle, sync::watch};

/// Between two looks at a topic that cannot be judged yet.
const JUDGE: Duration = Duration::from_millis(500);
/// Between two looks at a topic for which nothing waits.
const JUDGE_ASIDE: Duration = Duration::from_secs(2);
/// The same at one that is in use.
const JUDGE_AGAIN: Duration = Duration::from_secs(60);

impl Link {
    /// Waits until the topic of the receipts can be judged; false if told to stop before that.
    pub(super) fn is_good(&self, stop: &watch::Receiver<bool>) -> anyhow::Result<bool> {
        let (topics, topic) = (Topics::new(self.connection.clone()), &self.topic);
        let mut told = String::new();
        loop {
            let error = match verdict(Handle::current().block_on(topics.check(topic)), self.allow_loss) {
                Verdict::Good => return Ok(true),
                Verdict::Refused(why) => bail!("topic {topic} {why}"),
                Verdict::Unknown(error) => error.to_string(),
            };
            if *stop.borrow() {
                return Ok(false);
            }
            if told != error {
                tracing::warn!(topic, error, "The topic cannot be judged yet; it is tried again.");
                told = error;
            }
            std::thread::sleep(JUDGE);
        }
    }

    /// Keeps `gate` closed while the topic of what is stored may not be used. Asks once and blocks meanwhile; then, again and again,
    /// beside everything else: a topic can be made anew by somebody else, or altered.
    pub(super) fn guard(&self, gate: Gate, stop: &watch::Receiver<bool>) {
        let (topics, topic) = (Topics::new(self.connection.clone()), self.events.clone());
        let (allow_loss, mut stop) = (self.allow_loss, stop.clone());
        let wrong = move |found| match verdict(found, allow_loss) {
            Verdict::Good => None,
            // Of this topic nothing that it could lose is risked for the sake of a right to ask.
            Verdict::Unknown(TopicsError::Forbidden(_)) if allow_loss => None,
            Verdict::Unknown(error) => Some(error.to_string()),
            Verdict::Refused(why) => Some(why),
        };
        let mut closed = wrong(Handle::current().block_on(topics.check(&topic)));
        if let Some(why) = &closed {
            tell(&topic, why);
            gate.close(why.clone());
        }
        tokio::spawn(async move {
            loop {
                let wait = if closed.is_some() { JUDGE_ASIDE } else { JUDGE_AGAIN };
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    _ = stop.wait_for(|stop| *stop) => return,
                }
                let found = topics.check(&topic).await;
                // Who is not answered knows nothing of a topic that is in use, and nothing is taken for it either.
                if closed.is_none() && matches!(found, Err(TopicsError::Unreachable(_) | TopicsError::Failed(_))) {
                    continue;
                }
                match (wrong(found), &closed) {
                    (None, None) => {}
                    (None, Some(_)) => {
                        gate.open();
                        tracing::info!(topic, "The topic of what is stored can be used now.");
                        closed = None;
                    }
                    (Some(why), told) if told.as_ref() == Some(&why) => {}
                    (Some(why), _) => {
                        tell(&topic, &why);
                        gate.close(why.clone());
                        closed = Some(why);
                    }
                }
            }
        });
    }
}

fn tell(topic: &str, why: &str) {
    tracing::error!(
        topic,
        why,
        "The topic of what is stored is not used: ClickHouse tells the correlation, later. It is looked at again."
    );
}

/// What one look at a topic says of its use.
#[derive(Debug)]
enum Verdict {
    /// It may be used.
    Good,
    /// It must not be used, unless the config says so aloud.
    Refused(String),
    /// Nobody knows yet.
    Unknown(TopicsError),
}

/// Only what was found on a topic speaks against it. Whatever keeps us from looking can be mended without a start: a broker that is down, a
/// right that is missing, a password that is wrong, files of TLS that are half exchanged.
fn verdict(found: Result<Vec<Finding>, TopicsError>, allow_loss: bool) -> Verdict {
    let findings = match found {
        Ok(_) if allow_loss => return Verdict::Good,
        Ok(findings) => findings,
        // A cluster that does not tell what a topic is set to: what it could lose is allowed.
        Err(TopicsError::Failed(_)) if allow_loss => return Verdict::Good,
        Err(error) => return Verdict::Unknown(error),
    };
    let loss: Vec<String> =
        findings.iter().filter(|finding| finding.risk == Risk::Loss).map(ToString::to_string).collect();
    if loss.is_empty() {
        return Verdict::Good;
    }
    Verdict::Refused(format!("could lose what it acknowledged: {}; or set kafka.allow_loss", loss.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(risk: Risk) -> Finding {
        Finding { setting: "retention.ms".into(), found: "1".into(), wanted: "more".into(), risk }
    }

    #[test]
    fn only_what_was_found_ends_a_processor_and_whatever_hides_it_is_waited_for() {
        let errors: [fn(String) -> TopicsError; 4] =
            [TopicsError::Failed, TopicsError::Unreachable, TopicsError::Missing, TopicsError::Forbidden];
        for error in errors {
            let Verdict::Unknown(said) = verdict(Err(error("no client".into())), false) else {
                panic!("it is not known")
            };
            assert!(!said.to_string().contains("could lose"), "{said}");
        }
        let Verdict::Refused(why) = verdict(Ok(vec![finding(Risk::Loss)]), false) else { panic!("it is refused") };
        assert!(why.starts_with("could lose what it acknowledged: retention.ms is 1"), "{why}");
        for risk in [Risk::Stall, Risk::Pauses, Risk::Keeps, Risk::Few] {
            assert!(matches!(verdict(Ok(vec![finding(risk)]), false), Verdict::Good), "a reader loses nothing by it");
        }
    }

    #[test]
    fn what_is_allowed_is_not_asked_for() {
        assert!(matches!(verdict(Ok(vec![finding(Risk::Loss)]), true), Verdict::Good));
        assert!(matches!(verdict(Err(TopicsError::Failed("no answer".into())), true), Verdict::Good));
        assert!(matches!(verdict(Err(TopicsError::Forbidden("no".into())), true), Verdict::Unknown(_)));
    }
}
