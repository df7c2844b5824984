//! The one config struct: TOML, environment overrides, secrets from files. Unknown keys are refused with the nearest
//! known one. Holds no secret itself: only the paths of the files that do.

mod alerts;
mod check;
mod correlation;
mod heartbeat;
mod kafka;
mod privileged;
mod snapshot;
mod topic;

pub use alerts::{Alerts, ReceiverConfig};
pub use correlation::{Correlation, SignIn};
pub use heartbeat::Heartbeat;
#[cfg(feature = "kafka")]
pub use kafka::SaslMechanism;
pub use kafka::{KafkaConfig, KafkaSasl};
pub use privileged::Privileged;
pub use snapshot::Snapshot;
pub use topic::TopicSource;

use anyhow::{Context, bail};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
};

/// Environment variables that begin so override the file: `TOKENTRAIL__LISTEN__INTAKE=127.0.0.1:9000`.
const ENV_PREFIX: &str = "TOKENTRAIL__";

/// Settings of Tokentrail. Every key has a default; an empty file is a working config on one machine.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Name of the organisation in every row. Choose it once.
    pub tenant: String,
    /// Folder of the journal, the embedded store, keys and cursors.
    pub data_dir: PathBuf,
    /// File of the key that all processes of a deployment share, 64 hex digits; back it up.
    pub deployment_key_file: PathBuf,
    /// How late an event may come by another way before it counts as missed there, seconds.
    pub lateness_seconds: u32,
    /// Where we listen.
    pub listen: Listen,
    /// The journal.
    pub journal: JournalConfig,
    /// ClickHouse.
    pub store: StoreConfig,
    /// Kafka between collectors and processors.
    pub kafka: KafkaConfig,
    /// Who could do what, on which grounds.
    pub correlation: Correlation,
    /// Drift rules, and who is told what they find.
    pub alerts: Alerts,
    /// Which rights are privileged.
    pub privileged: Privileged,
    /// Keycloak servers and Backstage installations by their immutable source id.
    pub sources: BTreeMap<String, SourceConfig>,
}

/// Addresses. Loopback by default.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Listen {
    /// Webhooks and lines come in here.
    pub intake: SocketAddr,
    /// /healthz, /readyz, /metrics and status; keep it private.
    pub admin: SocketAddr,
    /// PEM file of the certificate chain; with `tls_key` the intake speaks TLS. Read again when the file changes.
    pub tls_certificate: Option<PathBuf>,
    /// PEM file of the private key.
    pub tls_key: Option<PathBuf>,
    /// PEM file of the CAs of client certificates (`client_certificates` of a source); needs TLS. Read again when it changes.
    pub tls_client_ca: Option<PathBuf>,
    /// PEM file of the lists of revoked client certificates (CRL), one of every CA of `tls_client_ca` and between. Read again
    /// when it changes.
    pub tls_client_crl: Option<PathBuf>,
    /// Most connections to the intake at once; further ones are answered 503.
    pub connections: usize,
    /// Most of them from one address. Behind a proxy all come from the proxy's.
    pub connections_per_address: usize,
}

/// Settings of the journal.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct JournalConfig {
    /// Size of one segment file, MiB.
    pub segment_mib: u64,
    /// How long segments are kept after ClickHouse acknowledged them, hours, at most 720: bodies are in them.
    pub keep_hours: u64,
    /// Most disk the journal may take, MiB; at this size intake answers 503 until ClickHouse has caught up.
    pub max_mib: u64,
    /// Most disk that copies of damaged bytes may take, MiB, on top of `max_mib`. The oldest stay; 0 = no copies.
    pub quarantine_mib: u64,
    /// Hours from the end of one check of everything kept to the next; 0 = never.
    pub scrub_hours: u64,
}

/// Settings of the store.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StoreConfig {
    /// HTTP(S) address of a ClickHouse >= 26.3; absent: the embedded engine.
    pub url: Option<String>,
    /// Database.
    pub database: String,
    /// User, with `url`.
    pub user: String,
    /// File with the user's password, with `url`.
    pub password_file: Option<PathBuf>,
    /// PEM file of CAs that are trusted beside the system's, with an `https://` `url`.
    pub ca_file: Option<PathBuf>,
    /// Path of libchdb.so for the embedded engine; absent: `TOKENTRAIL_ENGINE`.
    pub engine: Option<PathBuf>,
}

/// Product of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Keycloak with an event listener, its Admin REST API, or both.
    Keycloak,
    /// Backstage lines.
    Backstage,
}

/// One source.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceConfig {
    /// Product.
    pub kind: Kind,
    /// Files with a webhook's HMAC secret: one, or two while rotating.
    #[serde(default)]
    pub webhook_secret_files: Vec<PathBuf>,
    /// Files with a bearer token for lines, plain events, imports and snapshots.
    #[serde(default)]
    pub token_files: Vec<PathBuf>,
    /// HTTP Basic, for listeners that can do nothing else.
    #[serde(default)]
    pub basic: Option<Basic>,
    /// Names of client certificates that prove the source: `dns:NAME` or `uri:URI`, as in their subject alternative names.
    #[serde(default)]
    pub client_certificates: Vec<String>,
    /// Signed bearer tokens of newer keycloak-events versions.
    #[serde(default)]
    pub jwt: Option<Jwt>,
    /// Reads the events through the Admin REST API too, and so repairs what the webhook lost.
    #[serde(default)]
    pub pull: Option<Pull>,
    /// Reads the events from Kafka topics that an event listener of the Keycloak writes to.
    #[serde(default)]
    pub kafka: Option<TopicSource>,
    /// Acts of our own at the source whose traces must come back: tells "nothing happened" from "nothing arrives".
    #[serde(default)]
    pub heartbeat: Option<Heartbeat>,
    /// A Backstage: the Keycloak that its people sign in through. Of exactly one of each, those two.
    #[serde(default)]
    pub sign_in: Option<SignIn>,
    /// Reads the state itself through the source's API, on a schedule and on demand.
    #[serde(default)]
    pub snapshot: Option<Snapshot>,
    /// IANA zone of times that name none (Backstage's own audit logger).
    #[serde(default = "utc")]
    pub zone: String,
}

impl SourceConfig {
    /// Whether webhooks of the keycloak-events plugin are meant to come: it signs with a secret, or the realm's key.
    pub fn expects_webhook(&self) -> bool {
        self.kind == Kind::Keycloak && (!self.webhook_secret_files.is_empty() || self.jwt.is_some())
    }
}

/// HTTP Basic.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Basic {
    /// User.
    pub user: String,
    /// File with the password.
    pub password_file: PathBuf,
}

/// JWT of a webhook, signed with the realm's key.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Jwt {
    /// Expected `iss`: the realm's address.
    pub issuer: String,
    /// Expected `aud`.
    pub audience: String,
    /// JWKS address; absent: `<issuer>/protocol/openid-connect/certs`.
    pub jwks_url: Option<String>,
    /// PEM file of CAs that are trusted beside the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
}

impl Jwt {
    /// Where the realm's keys are.
    pub fn keys_url(&self) -> String {
        let usual = || format!("{}/protocol/openid-connect/certs", self.issuer.trim_end_matches('/'));
        self.jwks_url.clone().unwrap_or_else(usual)
    }
}

/// Admin REST pull of one Keycloak server.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pull {
    /// Base address of the server, e.g. `https://sso.example.org`.
    pub url: String,
    /// Realms to read.
    pub realms: Vec<String>,
    /// Client with a service account that has `view-events` (and `view-realm` for doctor) in each realm.
    pub client_id: String,
    /// File with the client's secret.
    pub client_secret_file: PathBuf,
    /// Realm of the client; absent: each realm has its own client of that name.
    #[serde(default)]
    pub login_realm: Option<String>,
    /// PEM file of CAs that are trusted beside the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Seconds between two reads.
    #[serde(default = "pull_interval")]
    pub interval_seconds: u64,
}

fn utc() -> String {
    "UTC".into()
}

fn pull_interval() -> u64 {
    15
}

impl Default for Config {
    fn default() -> Self {
        Self {
            tenant: "default".into(),
            data_dir: "tokentrail-data".into(),
            deployment_key_file: "keys/deployment.key".into(),
            lateness_seconds: 120,
            listen: Listen::default(),
            journal: JournalConfig::default(),
            store: StoreConfig::default(),
            kafka: KafkaConfig::default(),
            correlation: Correlation::default(),
            alerts: Alerts::default(),
            privileged: Privileged::default(),
            sources: BTreeMap::new(),
        }
    }
}

impl Default for Listen {
    fn default() -> Self {
        let limits = collector::config::Limits::default();
        Self {
            intake: ([127, 0, 0, 1], 8480).into(),
            admin: ([127, 0, 0, 1], 8481).into(),
            tls_certificate: None,
            tls_key: None,
            tls_client_ca: None,
            tls_client_crl: None,
            connections: limits.connections,
            connections_per_address: limits.connections_per_ip,
        }
    }
}

impl Default for JournalConfig {
    fn default() -> Self {
        Self { segment_mib: 64, keep_hours: 24, max_mib: 20 * 1024, quarantine_mib: 256, scrub_hours: 24 }
    }
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            url: None,
            database: "tokentrail".into(),
            user: "tokentrail".into(),
            password_file: None,
            ca_file: None,
            engine: None,
        }
    }
}

impl Config {
    /// Reads the file (absent: defaults), then the environment (`vars`), then checks what types cannot say.
    pub fn load(file: Option<&Path>, vars: impl Iterator<Item = (String, String)>) -> anyhow::Result<Self> {
        let text = match file {
            Some(path) => {
                std::fs::read_to_string(path).with_context(|| format!("cannot read config file {}", path.display()))?
            }
            None => String::new(),
        };
        let name = file.map_or_else(|| "environment".into(), |path| path.display().to_string());
        let mut table: toml::Table = text.parse().with_context(|| format!("{name} is no valid TOML"))?;
        for (key, value) in vars {
            if let Some(path) = key.strip_prefix(ENV_PREFIX) {
                set(&mut table, &path.to_lowercase().split("__").map(str::to_owned).collect::<Vec<_>>(), &value)
                    .with_context(|| format!("cannot apply environment variable {key}"))?;
            }
        }
        let mut config: Self = table
            .try_into()
            .map_err(|error: toml::de::Error| anyhow::anyhow!("{name}: {}", nearest(error.to_string().trim_end())))?;
        config.check()?;
        if config.sources.is_empty() {
            config.sources = default_sources();
        }
        Ok(config)
    }

    /// The file of the deployment key.
    pub fn key_file(&self) -> PathBuf {
        self.data_dir.join(&self.deployment_key_file)
    }

    /// Path below the data folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.data_dir.join(name)
    }
}

/// What a fresh folder gets: one Keycloak and one Backstage, with secrets that `up` makes.
fn default_sources() -> BTreeMap<String, SourceConfig> {
    let source = |kind, id: &str| SourceConfig {
        kind,
        webhook_secret_files: if kind == Kind::Keycloak {
            vec![format!("secrets/{id}.webhook").into()]
        } else {
            Vec::new()
        },
        token_files: vec![format!("secrets/{id}.token").into()],
        basic: None,
        client_certificates: Vec::new(),
        jwt: None,
        pull: None,
        kafka: None,
        heartbeat: None,
        sign_in: None,
        snapshot: None,
        zone: utc(),
    };
    BTreeMap::from([
        ("keycloak".into(), source(Kind::Keycloak, "keycloak")),
        ("backstage".into(), source(Kind::Backstage, "backstage")),
    ])
}

/// Sets a value deep in a table; text that reads as TOML (a number, a list) is taken as such.
fn set(table: &mut toml::Table, path: &[String], value: &str) -> anyhow::Result<()> {
    let [head, rest @ ..] = path else { bail!("it names no key") };
    if rest.is_empty() {
        let parsed = format!("v = {value}").parse::<toml::Table>().ok().and_then(|mut t| t.remove("v"));
        table.insert(head.clone(), parsed.unwrap_or_else(|| toml::Value::String(value.into())));
        return Ok(());
    }
    let inner = table.entry(head.clone()).or_insert_with(|| toml::Value::Table(toml::Table::new()));
    let Some(inner) = inner.as_table_mut() else { bail!("{head} is no table") };
    set(inner, rest, value)
}

/// Adds the nearest known key to serde's message about an unknown one.
fn nearest(message: &str) -> String {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let (true, Some(unknown)) = (message.contains("unknown field"), quoted.next()) else { return message.to_owned() };
    let best = quoted.map(|known| (strsim::damerau_levenshtein(unknown, known), known)).min();
    match best {
        Some((distance, known)) if distance <= 1 + unknown.len() / 3 => {
            format!("unknown key `{unknown}`; did you mean `{known}`?")
        }
        _ => message.replace("unknown field", "unknown key"),
    }
}

#[cfg(test)]
mod tests;
