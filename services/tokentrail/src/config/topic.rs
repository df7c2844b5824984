//! Settings of Kafka topics that are a source: what a Keycloak event listener writes there.

use super::{
    Kind, SourceConfig,
    kafka::{KafkaConfig, KafkaSasl, KafkaTls, is_topic},
};
use anyhow::bail;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Topics that an event listener of this Keycloak writes to (keycloak-kafka: one for user, one for admin events).
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TopicSource {
    /// `host:port` of some brokers; empty: the brokers of `[kafka]`, with its TLS and user.
    #[serde(default)]
    pub brokers: Vec<String>,
    /// The topics. What a record is, is told by its shape.
    pub topics: Vec<String>,
    /// Consumer group; collectors of one group share the partitions. Absent: `tokentrail-` and the source id.
    #[serde(default)]
    pub group: Option<String>,
    /// TLS to `brokers`; absent: without.
    #[serde(default)]
    pub tls: Option<KafkaTls>,
    /// How this program proves itself to `brokers`; absent: not.
    #[serde(default)]
    pub sasl: Option<KafkaSasl>,
    /// Further settings of the consumer, by librdkafka's name.
    #[serde(default)]
    pub consumer: BTreeMap<String, String>,
}

impl TopicSource {
    /// How its brokers are reached, in the form of `[kafka]`.
    pub fn reached(&self, kafka: &KafkaConfig) -> KafkaConfig {
        let mut reached = kafka.clone();
        if !self.brokers.is_empty() {
            reached.brokers.clone_from(&self.brokers);
            (reached.tls, reached.sasl) = (self.tls.clone(), self.sasl.clone());
        }
        reached.consumer.extend(self.consumer.clone());
        reached
    }

    /// The group.
    pub fn group(&self, source: &str) -> String {
        self.group.clone().unwrap_or_else(|| format!("tokentrail-{source}"))
    }

    /// Refuses settings that cannot work.
    pub(super) fn check(&self, (id, source): (&str, &SourceConfig), kafka: &KafkaConfig) -> anyhow::Result<()> {
        if source.kind != Kind::Keycloak {
            bail!("only a Keycloak's events come by a topic");
        }
        if self.topics.is_empty() || !self.topics.iter().all(|name| is_topic(name)) {
            bail!("topics must name at least one topic: 1 to 249 letters, digits, '.', '_' or '-'");
        }
        if let Some(own) = self.topics.iter().find(|name| kafka.names().any(|own| own == *name)) {
            bail!("{own} is a topic of Tokentrail's own: reading it here would take in every receipt again");
        }
        if self.brokers.is_empty() && (self.tls.is_some() || self.sasl.is_some()) {
            bail!("tls and sasl belong to brokers: set both, or neither to use those of [kafka]");
        }
        if !self.reached(kafka).is_set() {
            bail!("brokers is missing, and [kafka] names none");
        }
        let (group, own) = (self.group(id), [kafka.group.clone(), kafka.correlators()]);
        if group.is_empty() || own.contains(&group) {
            bail!("group must be one of its own: {} are those of the processors", own.join(" and "));
        }
        self.reached(kafka).check()
    }

    /// True if each of two sources would get only a part of a topic: they read it in one group.
    fn shares(&self, id: &str, (other_id, other): (&str, &Self), kafka: &KafkaConfig) -> bool {
        let (ours, theirs) = (self.reached(kafka).brokers, other.reached(kafka).brokers);
        self.group(id) == other.group(other_id)
            && ours.iter().any(|broker| theirs.contains(broker))
            && self.topics.iter().any(|topic| other.topics.contains(topic))
    }
}

/// Refuses two sources that take records away from each other.
pub(super) fn check_apart(sources: &BTreeMap<String, SourceConfig>, kafka: &KafkaConfig) -> anyhow::Result<()> {
    let read = || sources.iter().filter_map(|(id, source)| Some((id.as_str(), source.kafka.as_ref()?)));
    for (at, (id, one)) in read().enumerate() {
        if let Some((other, _)) = read().take(at).find(|other| one.shares(id, *other, kafka)) {
            bail!(
                "sources.{id}.kafka: sources.{other}.kafka reads the same topic in the same group: each would get a part of it"
            );
        }
    }
    Ok(())
}
