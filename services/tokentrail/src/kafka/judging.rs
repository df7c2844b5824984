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
            let error = match Handle::current().block_on(topics.check(topic)) {
                // A right that is missing or a password that is wrong can be mended without a start, like a broker that is down.
                Err(error @ (TopicsError::Unreachable(_) | TopicsError::Missing(_) | TopicsError::Forbidden(_))) => {
                    error.to_string()
                }
                found => match refusal(found).filter(|_| !self.allow_loss) {
                    Some(why) => bail!("topic {topic} {why}"),
                    None => return Ok(true),
                },
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
        let wrong = move |found: Result<Vec<Finding>, TopicsError>| match found {
            Err(error) if error.is_unreachable() => Some(error.to_string()),
            found => refusal(found).filter(|_| !allow_loss),
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
                // Brokers that do not answer tell nothing of a topic that is in use, and take nothing for it either.
                if closed.is_none() && matches!(found, Err(TopicsError::Unreachable(_))) {
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

/// Why a topic must not be used, unless the config says so aloud.
fn refusal(found: Result<Vec<Finding>, TopicsError>) -> Option<String> {
    let refused = match found {
        Err(error) => error.to_string(),
        Ok(findings) => {
            let loss = findings.iter().filter(|finding| finding.risk == Risk::Loss).map(ToString::to_string);
            loss.collect::<Vec<_>>().join("; ")
        }
    };
    (!refused.is_empty()).then(|| format!("could lose what it acknowledged: {refused}; or set kafka.allow_loss"))
}
