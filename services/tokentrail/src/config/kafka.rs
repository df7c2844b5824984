//! Settings of Kafka. No broker named: the journal itself carries receipts to ClickHouse, in one process.

use super::check::{LOG_HOURS, address, within};
use anyhow::bail;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

/// Most partitions, and copies, of a topic: as many processors, or brokers, nobody has.
const MOST_PARTITIONS: u16 = 10_000;
const MOST_REPLICAS: u16 = 100;

/// Kafka between collectors and processors.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct KafkaConfig {
    /// `host:port` of some brokers; empty: no Kafka.
    pub brokers: Vec<String>,
    /// Topic of the receipts.
    pub topic: String,
    /// Topic of dead letters: processors copy there what nobody understood; empty: they do not.
    pub deadletters: String,
    /// Topic on which processors tell what they stored, so that one of them correlates it; empty: nothing is correlated. The same in
    /// all of them.
    pub events: String,
    /// Consumer group of the processors of one ClickHouse.
    pub group: String,
    /// Names this program in the brokers' logs and quotas.
    pub client_id: String,
    /// Where this program runs (the brokers' `broker.rack`), so that it may read from a replica nearby.
    pub rack: String,
    /// Work also with a topic whose settings can lose receipts that it acknowledged: for demos with one broker.
    pub allow_loss: bool,
    /// TLS to the brokers; absent: without.
    pub tls: Option<KafkaTls>,
    /// How this program proves itself to the brokers; absent: not.
    pub sasl: Option<KafkaSasl>,
    /// What `tokentrail topics apply` makes.
    pub topics: TopicSettings,
    /// Further settings of the producer, by librdkafka's name.
    pub producer: BTreeMap<String, String>,
    /// Further settings of the consumer, by librdkafka's name.
    pub consumer: BTreeMap<String, String>,
}

/// TLS to the brokers. Certificates and names are always checked.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct KafkaTls {
    /// PEM file of the CAs that are trusted; absent: the system's.
    pub ca_file: Option<PathBuf>,
    /// PEM file of this program's certificate.
    pub certificate_file: Option<PathBuf>,
    /// PEM file of its key.
    pub key_file: Option<PathBuf>,
}

/// A SASL mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum SaslMechanism {
    /// User and password over the wire: with TLS only.
    #[serde(rename = "PLAIN")]
    Plain,
    /// SCRAM-SHA-256.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// SCRAM-SHA-512.
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
    /// Tokens by client credentials, e.g. of a Keycloak: with TLS only, they go over the wire.
    #[serde(rename = "OAUTHBEARER")]
    OauthBearer,
}

/// How this program proves itself to the brokers.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KafkaSasl {
    /// Mechanism.
    pub mechanism: SaslMechanism,
    /// User, or with OAUTHBEARER the client's id.
    pub user: String,
    /// File with the password, or with OAUTHBEARER the client's secret.
    pub password_file: PathBuf,
    /// OAUTHBEARER: address of the token endpoint, `https://` unless it is on this machine.
    #[serde(default)]
    pub token_url: Option<String>,
    /// OAUTHBEARER: scope to ask for.
    #[serde(default)]
    pub scope: Option<String>,
    /// OAUTHBEARER: PEM file of CAs that are trusted at the token endpoint, beside the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
}

/// How topics are made.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TopicSettings {
    /// As many processors can share the work.
    pub partitions: u16,
    /// Copies of every record; 3, so that one broker may be lost and another be restarted.
    pub replication: u16,
    /// How long receipts stay on the topic, hours.
    pub retention_hours: u32,
}

impl Default for KafkaConfig {
    fn default() -> Self {
        Self {
            brokers: Vec::new(),
            topic: "tokentrail.receipts.v1".into(),
            deadletters: "tokentrail.deadletters.v1".into(),
            events: "tokentrail.events.v1".into(),
            group: "tokentrail".into(),
            client_id: "tokentrail".into(),
            rack: String::new(),
            allow_loss: false,
            tls: None,
            sasl: None,
            topics: TopicSettings::default(),
            producer: BTreeMap::new(),
            consumer: BTreeMap::new(),
        }
    }
}

impl Default for TopicSettings {
    fn default() -> Self {
        Self { partitions: 6, replication: 3, retention_hours: 168 }
    }
}

/// A name that a topic can have.
pub(super) fn is_topic(name: &str) -> bool {
    (1..=249).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

impl KafkaConfig {
    /// Whether receipts go over Kafka.
    pub fn is_set(&self) -> bool {
        !self.brokers.is_empty()
    }

    /// The topics that it names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        [&self.topic, &self.events, &self.deadletters].into_iter().map(String::as_str).filter(|name| !name.is_empty())
    }

    /// The group that reads what processors stored: one of them at a time.
    pub fn correlators(&self) -> String {
        format!("{}.correlation", self.group)
    }

    /// Whether decisions are correlated.
    pub fn correlates(&self) -> bool {
        !self.is_set() || !self.events.is_empty()
    }

    /// Refuses settings that cannot work.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        if !self.is_set() {
            return Ok(());
        }
        if cfg!(not(feature = "kafka")) {
            bail!("this build of tokentrail has no Kafka: build it with the feature `kafka`");
        }
        let names = [&self.topic, &self.deadletters, &self.events];
        let given: Vec<&&String> = names.iter().filter(|name| !name.is_empty()).collect();
        let apart: BTreeSet<&&String> = given.iter().copied().collect();
        if self.topic.is_empty() || !given.iter().all(|name| is_topic(name)) || apart.len() < given.len() {
            bail!(
                "topic, deadletters and events are three names of 1 to 249 letters, digits, '.', '_' or '-'; \
                 deadletters and events may be empty"
            );
        }
        if self.group.is_empty() {
            bail!("group must be named");
        }
        within("topics.partitions", self.topics.partitions, (1, MOST_PARTITIONS))?;
        within("topics.replication", self.topics.replication, (1, MOST_REPLICAS))?;
        within("topics.retention_hours", u64::from(self.topics.retention_hours), (24, LOG_HOURS))?;
        if let Some(tls) = &self.tls
            && tls.certificate_file.is_some() != tls.key_file.is_some()
        {
            bail!("tls.certificate_file and tls.key_file belong together: set both or none");
        }
        self.sasl.as_ref().map_or(Ok(()), |sasl| sasl.check(self.tls.as_ref()))
    }
}

impl KafkaSasl {
    /// Refuses what cannot work, and what would show a secret to whoever listens on the wire.
    fn check(&self, tls: Option<&KafkaTls>) -> anyhow::Result<()> {
        match self.mechanism {
            SaslMechanism::Plain if tls.is_none() => {
                bail!("sasl.mechanism PLAIN sends the password as it is: it needs TLS ([kafka.tls])")
            }
            SaslMechanism::OauthBearer if tls.is_none() => {
                bail!("sasl.mechanism OAUTHBEARER sends the token as it is: it needs TLS ([kafka.tls])")
            }
            SaslMechanism::OauthBearer => self.check_token(),
            SaslMechanism::Plain | SaslMechanism::ScramSha256 | SaslMechanism::ScramSha512 => {
                let keys = [
                    ("token_url", self.token_url.is_some()),
                    ("scope", self.scope.is_some()),
                    ("ca_file", self.ca_file.is_some()),
                ];
                match keys.iter().find(|(_, given)| *given) {
                    Some((key, _)) => {
                        bail!("sasl.{key} belongs to the mechanism OAUTHBEARER (ca_file of the brokers: [kafka.tls])")
                    }
                    None => Ok(()),
                }
            }
        }
    }

    /// The token endpoint: the client's secret goes there.
    fn check_token(&self) -> anyhow::Result<()> {
        let Some(url) = &self.token_url else { bail!("sasl.mechanism OAUTHBEARER needs sasl.token_url") };
        address("sasl", Some(url), self.ca_file.as_ref())?;
        if !is_private(url) {
            bail!("sasl.token_url: the client's secret goes there as it is, so its address must begin with https://");
        }
        Ok(())
    }
}

/// True if what goes to an address goes over TLS, or does not leave this machine.
fn is_private(url: &str) -> bool {
    reqwest::Url::parse(url).is_ok_and(|url| {
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let loopback = host.parse().map_or(host == "localhost", |ip: std::net::IpAddr| ip.is_loopback());
        url.scheme() == "https" || loopback
    })
}
