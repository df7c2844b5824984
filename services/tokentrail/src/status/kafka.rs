//! What a status tells of Kafka.

use super::moment;
use durable_log::Journal;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Reads the state of Kafka; blocks on the network. The journal is the one that is forwarded, if there is one.
pub type ObserveKafka = Arc<dyn Fn(Option<&Journal>) -> KafkaReport + Send + Sync>;

/// Reads the state of the topics that are a source; blocks on nothing.
pub type ObserveTopics = Arc<dyn Fn() -> Vec<TopicReport> + Send + Sync>;

/// A Kafka topic that is a source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicReport {
    /// Source id.
    pub source: String,
    /// Topic.
    pub topic: String,
    /// Records that the group has not taken in, when it was measured last.
    pub lag: u64,
    /// Of this collector's partitions in which records wait: since when they do, or when the last one taken in was written if that is
    /// later; the least of all, UTC milliseconds.
    pub behind_since: Option<i64>,
    /// Partitions that this collector has.
    pub partitions: Vec<i32>,
    /// What is wrong with the brokers.
    pub trouble: Option<String>,
}

impl TopicReport {
    /// A line for people.
    pub fn render(&self) -> String {
        let (source, topic, lag) = (&self.source, &self.topic, self.lag);
        let since = self.behind_since.map_or_else(String::new, |at| format!(", behind since {}", moment(at)));
        let trouble = self.trouble.as_ref().map_or_else(String::new, |wrong| format!("; NOT READ: {wrong}"));
        let partitions = self.partitions.len();
        format!("  {source}: topic {topic}, {lag} records not taken in{since}, {partitions} partitions here{trouble}\n")
    }
}

/// Kafka between journal and ClickHouse.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KafkaReport {
    /// Topic of the receipts.
    pub topic: String,
    /// Records of the topic that the group has not settled, over all processors; none if the brokers do not answer.
    pub lag: Option<u64>,
    /// Announcements of stored blocks that the processor that correlates has not answered; none if none does, or if the brokers
    /// do not answer.
    #[serde(default)]
    pub uncorrelated: Option<u64>,
    /// Why they do not.
    pub trouble: Option<String>,
    /// In a process that takes receipts in.
    pub forwarder: Option<ForwardReport>,
    /// In a process that stores them.
    pub member: Option<MemberReport>,
}

/// From the journal to the topic.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForwardReport {
    /// Records that no broker has confirmed.
    pub waiting: u64,
    /// When the oldest of them was taken in, UTC milliseconds.
    pub oldest_at: Option<i64>,
    /// Confirmations since the start.
    pub confirmed: u64,
    /// Records that were sent again after a failure.
    pub resent: u64,
    /// What is wrong with the brokers.
    pub trouble: Option<String>,
    /// Why nothing is forwarded to this topic.
    pub refused: Option<String>,
    /// Milliseconds that the brokers' clock is ahead of ours, below zero if it is behind; none before their first answer.
    #[serde(default)]
    pub clock_ahead: Option<i64>,
}

/// From the topic to ClickHouse.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberReport {
    /// Partitions that this process has.
    pub partitions: Vec<i32>,
    /// What is wrong with the brokers.
    pub trouble: Option<String>,
}

impl KafkaReport {
    /// Lines for people.
    pub fn render(&self) -> String {
        let mut out = String::new();
        if let Some(forwarder) = &self.forwarder {
            let since = forwarder.oldest_at.map_or_else(String::new, |at| format!(", the oldest of {}", moment(at)));
            out.push_str(&format!("  kafka: {} receipts not yet on {}{since}\n", forwarder.waiting, self.topic));
            for wrong in forwarder.refused.iter().chain(&forwarder.trouble) {
                out.push_str(&format!("  kafka: NOTHING IS FORWARDED: {wrong}\n"));
            }
        }
        match (self.lag, &self.trouble) {
            (Some(lag), _) => {
                out.push_str(&format!("  kafka: {lag} records of {} not yet in ClickHouse\n", self.topic))
            }
            (None, trouble) => {
                let why = trouble.as_deref().unwrap_or("no answer");
                out.push_str(&format!("  kafka: the brokers do not tell the lag: {why}\n"));
            }
        }
        if let Some(member) = &self.member {
            out.push_str(&format!("  kafka: this processor has {} partitions\n", member.partitions.len()));
            if let Some(wrong) = &member.trouble {
                out.push_str(&format!("  kafka: THE TOPIC IS NOT READ: {wrong}\n"));
            }
        }
        out
    }
}
