//! Whether the topic of a forwarder keeps what it acknowledges: judged before the first record, and again and again while
//! records are sent, beside the sending, because a topic can be deleted, made anew by somebody else, or altered.

use super::topics::{Finding, Risk, Topics};
use rdkafka::types::RDKafkaErrorCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// Between two looks at a topic that is good.
const AGAIN: Duration = Duration::from_secs(60);
/// The same at one that is refused, or whose records are.
const SOON: Duration = Duration::from_secs(2);

/// What one look found.
enum Verdict {
    Good,
    /// Nothing may be sent, and why.
    Refused(String),
    /// The cluster did not say.
    Unknown(String),
}

/// Judges one topic.
pub(super) struct Judge {
    topics: Arc<Topics>,
    topic: String,
    loss: Loss,
    handle: Handle,
    /// Why nothing may be sent.
    refused: Option<String>,
    asking: Option<JoinHandle<Verdict>>,
    looked: Instant,
    suspected: bool,
}

impl Judge {
    /// Judges on `handle`; `topics` asks the cluster.
    pub(super) fn new((topics, topic): (Topics, &str), loss: Loss, handle: Handle) -> Self {
        Self {
            topics: Arc::new(topics),
            topic: topic.to_owned(),
            loss,
            handle,
            refused: None,
            asking: None,
            looked: Instant::now(),
            suspected: false,
        }
    }

    /// Why nothing may be sent to the topic.
    pub(super) fn refused(&self) -> Option<&String> {
        self.refused.as_ref()
    }

    /// Asks and waits for the answer. What cannot be judged is not used yet.
    pub(super) fn first(&mut self) {
        let found = match self.handle.block_on(ask(self.topics.clone(), self.topic.clone(), self.loss)) {
            Verdict::Unknown(why) => Verdict::Refused(why),
            found => found,
        };
        self.looked = Instant::now();
        self.take(found);
    }

    /// An answer of the brokers that a topic may give which is not there any more, or another one.
    pub(super) fn hear(&mut self, code: RDKafkaErrorCode) {
        use RDKafkaErrorCode as Code;
        if let Code::UnknownTopicOrPartition
        | Code::UnknownTopic
        | Code::UnknownPartition
        | Code::MessageTimedOut
        | Code::MessageSizeTooLarge = code
        {
            self.suspect();
        }
    }

    /// The topic is looked at soon.
    pub(super) fn suspect(&mut self) {
        self.suspected = true;
    }

    /// Looks from time to time, never waiting for the answer; true if the verdict is another one now. A cluster that does not
    /// answer changes nothing: what it does not take is sent again anyway.
    pub(super) fn look(&mut self) -> bool {
        let Some(asking) = self.asking.take() else {
            let every = if self.suspected || self.refused.is_some() { SOON } else { AGAIN };
            if self.looked.elapsed() >= every {
                let asked = ask(self.topics.clone(), self.topic.clone(), self.loss);
                self.asking = Some(self.handle.spawn(asked));
                self.suspected = false;
            }
            return false;
        };
        if !asking.is_finished() {
            self.asking = Some(asking);
            return false;
        }
        self.looked = Instant::now();
        self.handle.block_on(asking).is_ok_and(|found| self.take(found))
    }

    fn take(&mut self, found: Verdict) -> bool {
        let refused = match found {
            Verdict::Good => None,
            Verdict::Refused(why) => Some(why),
            Verdict::Unknown(_) => return false,
        };
        if refused == self.refused {
            return false;
        }
        match &refused {
            Some(refused) => tracing::error!(
                topic = self.topic,
                refused,
                "Nothing is forwarded to this topic now; receipts stay in the journal."
            ),
            None => tracing::info!(topic = self.topic, "The topic can be used."),
        }
        self.refused = refused;
        true
    }
}

/// Whether a topic may lose what it acknowledged.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    Allowed,
    Refused,
}

async fn ask(topics: Arc<Topics>, topic: String, loss: Loss) -> Verdict {
    let allowed = loss == Loss::Allowed;
    use super::topics::TopicsError as Error;
    match topics.check(&topic).await {
        Ok(findings) => {
            let bad = refusals(&findings, loss);
            if bad.is_empty() { Verdict::Good } else { Verdict::Refused(bad.join("; ")) }
        }
        Err(error @ Error::Missing(_)) => Verdict::Refused(error.to_string()),
        Err(error @ Error::Unreachable(_)) => Verdict::Unknown(error.to_string()),
        Err(_) if allowed => Verdict::Good,
        Err(error @ Error::Forbidden(_)) => Verdict::Refused(error.to_string()),
        Err(error @ Error::Failed(_)) => Verdict::Unknown(error.to_string()),
    }
}

/// Why nothing is sent to a topic. Whoever allows loss has not allowed that all stands still: a record that the topic does not take for
/// its size would hold up everything behind it, some day.
fn refusals(findings: &[Finding], loss: Loss) -> Vec<String> {
    let refused = |finding: &&Finding| match finding.risk {
        Risk::Loss => loss == Loss::Refused,
        Risk::Stall => true,
        Risk::Pauses | Risk::Keeps | Risk::Few => false,
    };
    findings.iter().filter(refused).map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(setting: &str, risk: Risk) -> Finding {
        Finding { setting: setting.into(), found: "that".into(), wanted: "this".into(), risk }
    }

    #[test]
    fn whoever_allows_loss_does_not_allow_a_topic_that_takes_small_records_only() {
        let small = finding("max.message.bytes", Risk::Stall);
        let findings =
            [finding("min.insync.replicas", Risk::Loss), small.clone(), finding("retention.ms", Risk::Keeps)];
        assert_eq!(refusals(&findings, Loss::Allowed), ["max.message.bytes is that, must be this"]);
        let all = ["min.insync.replicas is that, must be this", "max.message.bytes is that, must be this"];
        assert_eq!(refusals(&findings, Loss::Refused), all);
        assert_eq!(refusals(&[small], Loss::Refused).len(), 1);
        let others = [Risk::Pauses, Risk::Keeps, Risk::Few].map(|risk| finding("partitions", risk));
        assert_eq!(refusals(&others, Loss::Refused), [""; 0]);
    }
}
