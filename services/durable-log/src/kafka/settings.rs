//! How to reach a cluster, and the settings of librdkafka that the promises rest on: pinned here, overridable by their
//! librdkafka name unless a promise would break. Secrets are redacted in every print.

use super::trial;
use rdkafka::ClientConfig;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// Most bytes of one record with its headers, for producer, consumer and topic: a record of the journal and some room.
pub(super) const MAX_MESSAGE_BYTES: usize = 10 * 1024 * 1024;

/// Of every client.
const CLIENT: &[(&str, &str)] = &[
    ("socket.keepalive.enable", "true"),
    ("reconnect.backoff.ms", "100"),
    // The default of ten seconds is added to every outage.
    ("reconnect.backoff.max.ms", "2000"),
    // New partitions are seen within this time.
    ("topic.metadata.refresh.interval.ms", "30000"),
    ("ssl.endpoint.identification.algorithm", "https"),
];

/// Of the forwarder's producer. The journal is the queue: what librdkafka gives up is sent again from there.
const PRODUCER: &[(&str, &str)] = &[
    ("enable.idempotence", "true"),
    ("acks", "all"),
    ("message.timeout.ms", "30000"),
    ("request.timeout.ms", "10000"),
    // A batch costs the same whatever is in it, here and at the brokers.
    ("linger.ms", "50"),
    ("compression.type", "lz4"),
    ("queue.buffering.max.messages", "20000"),
    ("queue.buffering.max.kbytes", "65536"),
    ("partitioner", "murmur2_random"),
    // What a broker made by itself could lose what it acknowledges, and nobody has judged it.
    ("allow.auto.create.topics", "false"),
];

/// Of a producer that somebody waits for, record by record: above the others.
const TELLING: &[(&str, &str)] = &[("linger.ms", "1")];

/// Of a processor's consumer.
const CONSUMER: &[(&str, &str)] = &[
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    // A position that is gone is judged, never jumped over.
    ("auto.offset.reset", "error"),
    ("isolation.level", "read_committed"),
    ("check.crcs", "true"),
    ("partition.assignment.strategy", "cooperative-sticky"),
    ("session.timeout.ms", "30000"),
    ("max.poll.interval.ms", "300000"),
    ("allow.auto.create.topics", "false"),
    // Fetched and not yet taken, of all partitions together. Headers and what librdkafka notes of a record are not counted, and an answer is
    // unpacked whole before it counts: it is several times as much in memory.
    ("queued.max.messages.kbytes", "4096"),
    ("queued.min.messages", "10000"),
    // How long a partition is not asked for once so much waits. The default of a second is more than that lasts.
    ("fetch.queue.backoff.ms", "50"),
    ("fetch.message.max.bytes", "262144"),
    ("fetch.max.bytes", "16777216"),
];

/// Names that no override may touch: without them an acknowledged record could be lost or skipped, or a secret would stand
/// in the config.
const FIXED: &[&str] = &[
    "enable.idempotence",
    "acks",
    "request.required.acks",
    "message.max.bytes",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "auto.offset.reset",
    "partition.assignment.strategy",
    "allow.auto.create.topics",
    "enable.ssl.certificate.verification",
    "ssl.endpoint.identification.algorithm",
    // Without every answer nothing would ever count as confirmed.
    "delivery.report.only.error",
    // Nobody would commit the transaction, and no reader would see a record.
    "transactional.id",
    "bootstrap.servers",
    "metadata.broker.list",
    "group.id",
    "client.id",
    "client.rack",
    "security.protocol",
];

/// Parts of names of which a value is a secret or names one.
const SECRET: &[&str] = &["password", "secret", "sasl.", ".pem"];
/// Settings of TLS that can make it no weaker than librdkafka lets anybody have it. Whom we trust and who we are is in
/// `[kafka.tls]`.
const TLS: &[&str] = &["ssl.cipher.suites", "ssl.curves.list", "ssl.sigalgs.list", "ssl.crl.location"];

/// How to reach a cluster.
#[derive(Clone)]
pub struct Connection {
    /// `host:port`, one or more with commas between.
    pub brokers: String,
    /// Names this program in the broker's logs and quotas.
    pub client_id: String,
    /// Where this program runs, so that it may read from a replica nearby; empty: not said.
    pub rack: String,
    /// TLS.
    pub tls: Option<Tls>,
    /// How this program proves itself.
    pub sasl: Option<Sasl>,
    /// Further settings of the producer, by librdkafka's name.
    pub producer: BTreeMap<String, String>,
    /// Further settings of the consumer, by librdkafka's name.
    pub consumer: BTreeMap<String, String>,
}

/// TLS to the brokers. Their certificates are always checked, names included.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// PEM file of the CAs that are trusted; none: the system's.
    pub ca_file: Option<PathBuf>,
    /// PEM file of this program's certificate.
    pub certificate_file: Option<PathBuf>,
    /// PEM file of its key.
    pub key_file: Option<PathBuf>,
}

/// A SASL mechanism with user and password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// The password goes over the wire: with TLS only.
    Plain,
    /// SCRAM-SHA-256.
    ScramSha256,
    /// SCRAM-SHA-512.
    ScramSha512,
}

impl Mechanism {
    fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

/// Proof towards the brokers.
#[derive(Clone)]
pub enum Sasl {
    /// User and password.
    Password {
        /// Mechanism.
        mechanism: Mechanism,
        /// User.
        user: String,
        /// Password.
        password: String,
    },
    /// OAUTHBEARER, with tokens from the source.
    Token(TokenSource),
}

/// A bearer token for OAUTHBEARER.
#[derive(Clone)]
pub struct Token {
    /// The token.
    pub token: String,
    /// Whom it is for.
    pub principal: String,
    /// When it ends, UTC milliseconds.
    pub expires_at: i64,
}

/// Gets a new token; blocks. The error says why, without any secret.
pub type TokenSource = Arc<dyn Fn() -> Result<Token, String> + Send + Sync>;

/// A setting that cannot be.
#[derive(Debug, thiserror::Error)]
pub enum SettingError {
    /// An override that would break a promise.
    #[error("{0} cannot be set: nothing acknowledged could be promised with another value")]
    Fixed(String),
    /// A secret in the config.
    #[error("{0} cannot be set here: connection and secrets have keys of their own, which name files")]
    Secret(String),
    /// librdkafka does not know it, or refuses the value.
    #[error("{0}")]
    Refused(String),
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("brokers", &self.brokers).finish_non_exhaustive()
    }
}

impl Connection {
    /// Refuses overrides that librdkafka does not know, that contradict each other or that would break a promise.
    pub fn check(&self) -> Result<(), SettingError> {
        for name in self.producer.keys().chain(self.consumer.keys()) {
            if FIXED.contains(&name.as_str()) {
                return Err(SettingError::Fixed(name.clone()));
            }
            let of_tls = name.starts_with("ssl.") && !TLS.contains(&name.as_str());
            if of_tls || SECRET.iter().any(|part| name.contains(part)) {
                return Err(SettingError::Secret(name.clone()));
            }
        }
        trial::clients(self).map_err(|error| SettingError::Refused(error.to_string()))
    }

    /// For requests about topics.
    pub(super) fn client_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        for (name, value) in CLIENT {
            config.set(*name, *value);
        }
        config.set("bootstrap.servers", &self.brokers).set("client.id", &self.client_id);
        config.set("message.max.bytes", MAX_MESSAGE_BYTES.to_string());
        if !self.rack.is_empty() {
            config.set("client.rack", &self.rack);
        }
        self.secure(&mut config);
        config
    }

    pub(super) fn producer_config(&self) -> ClientConfig {
        self.with(PRODUCER, &self.producer)
    }

    /// Of a producer that somebody waits for.
    pub(super) fn telling_config(&self) -> ClientConfig {
        self.with(&[PRODUCER, TELLING].concat(), &self.producer)
    }

    pub(super) fn consumer_config(&self, group: &str) -> ClientConfig {
        let mut config = self.with(CONSUMER, &self.consumer);
        config.set("group.id", group);
        config
    }

    fn with(&self, pinned: &[(&str, &str)], overrides: &BTreeMap<String, String>) -> ClientConfig {
        let mut config = self.client_config();
        for (name, value) in pinned {
            config.set(*name, *value);
        }
        for (name, value) in overrides {
            config.set(name, value);
        }
        config
    }

    fn secure(&self, config: &mut ClientConfig) {
        let protocol = match (&self.tls, &self.sasl) {
            (None, None) => "plaintext",
            (Some(_), None) => "ssl",
            (None, Some(_)) => "sasl_plaintext",
            (Some(_), Some(_)) => "sasl_ssl",
        };
        config.set("security.protocol", protocol);
        if let Some(tls) = &self.tls {
            let files = [
                ("ssl.ca.location", &tls.ca_file),
                ("ssl.certificate.location", &tls.certificate_file),
                ("ssl.key.location", &tls.key_file),
            ];
            for (name, file) in files {
                if let Some(file) = file {
                    config.set(name, file.display().to_string());
                }
            }
        }
        match &self.sasl {
            None => {}
            Some(Sasl::Password { mechanism, user, password }) => {
                config.set("sasl.mechanism", mechanism.name()).set("sasl.username", user);
                config.set("sasl.password", password);
            }
            Some(Sasl::Token(_)) => {
                config.set("sasl.mechanism", "OAUTHBEARER");
            }
        }
    }

    /// Where tokens come from, if they are asked for.
    pub(super) fn tokens(&self) -> Option<TokenSource> {
        match &self.sasl {
            Some(Sasl::Token(source)) => Some(source.clone()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(producer: &[(&str, &str)]) -> Connection {
        Connection {
            brokers: "127.0.0.1:1".into(),
            client_id: "test".into(),
            rack: String::new(),
            tls: None,
            sasl: Some(Sasl::Password {
                mechanism: Mechanism::ScramSha512,
                user: "u".into(),
                password: "hunter2".into(),
            }),
            producer: producer.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
            consumer: BTreeMap::new(),
        }
    }

    #[test]
    fn what_promises_rest_on_cannot_be_overridden() {
        connection(&[]).check().unwrap();
        connection(&[("linger.ms", "5"), ("compression.type", "zstd")]).check().unwrap();
        for (name, value) in [
            ("acks", "0"),
            ("enable.idempotence", "false"),
            ("auto.offset.reset", "latest"),
            ("allow.auto.create.topics", "true"),
            ("enable.ssl.certificate.verification", "false"),
            ("ssl.endpoint.identification.algorithm", "none"),
            ("delivery.report.only.error", "true"),
            ("transactional.id", "x"),
        ] {
            assert!(matches!(connection(&[(name, value)]).check(), Err(SettingError::Fixed(_))), "{name}");
            let mut reading = connection(&[]);
            reading.consumer.insert(name.into(), value.into());
            assert!(matches!(reading.check(), Err(SettingError::Fixed(_))), "{name} of a consumer");
        }
        for name in [
            "sasl.password",
            "ssl.key.password",
            "sasl.oauthbearer.client.secret",
            "ssl.ca.location",
            "ssl.ca.certificate.stores",
            "ssl.ca.pem",
            "ssl.certificate.location",
        ] {
            assert!(matches!(connection(&[(name, "x")]).check(), Err(SettingError::Secret(_))), "{name}");
        }
        assert!(matches!(connection(&[("linger", "5")]).check(), Err(SettingError::Refused(_))));
        assert!(matches!(connection(&[("linger.ms", "soon")]).check(), Err(SettingError::Refused(_))));
    }

    /// The paragraph of docs/kafka.md that lists what is pinned.
    fn documented() -> BTreeMap<&'static str, &'static str> {
        let text = include_str!("../../../../docs/kafka.md");
        let from = text.find("Pinned: ").unwrap();
        let text = &text[from..from + text[from..].find("Others and these").unwrap()];
        text.split('`').filter_map(|part| part.split_once('=')).collect()
    }

    #[test]
    fn every_client_has_what_is_pinned_and_documented() {
        let mut connection = connection(&[]);
        connection.rack = "fra-1a".into();
        connection.tls = Some(Tls { ca_file: Some("/ca.pem".into()), ..Tls::default() });
        let (producer, consumer) = (connection.producer_config(), connection.consumer_config("g"));
        let mut left = documented();
        for (config, pinned) in [(&producer, PRODUCER), (&consumer, CONSUMER)] {
            for (name, value) in pinned.iter().chain(CLIENT) {
                assert_eq!(config.get(name), Some(*value), "{name}");
                if let Some(documented) = left.remove(name) {
                    assert_eq!(documented, *value, "{name} in docs/kafka.md");
                }
            }
            for (name, value) in [
                ("client.id", "test"),
                ("client.rack", "fra-1a"),
                ("bootstrap.servers", "127.0.0.1:1"),
                ("security.protocol", "sasl_ssl"),
                ("ssl.ca.location", "/ca.pem"),
                ("sasl.mechanism", "SCRAM-SHA-512"),
            ] {
                assert_eq!(config.get(name), Some(value), "{name}");
            }
        }
        assert_eq!(left, BTreeMap::new(), "documented, and pinned nowhere");
        assert_eq!(consumer.get("group.id"), Some("g"));
        for (name, value) in [
            ("enable.idempotence", "true"),
            ("acks", "all"),
            ("allow.auto.create.topics", "false"),
            ("ssl.endpoint.identification.algorithm", "https"),
        ] {
            assert_eq!(producer.get(name), Some(value), "{name}");
        }
    }

    #[test]
    fn secrets_are_not_printed() {
        let connection = connection(&[]);
        assert!(!format!("{connection:?} {:?}", connection.producer_config()).contains("hunter2"));
    }
}
