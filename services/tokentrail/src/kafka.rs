//! Receipts over Kafka: makes forwarder, consumer and their numbers from the config. What they do is in `durable_log::kafka`.

mod judging;
mod metrics;
mod sources;
mod token;

pub use sources::TopicSources;

use crate::{
    config::{Config, KafkaConfig, SaslMechanism},
    gauges, secrets,
    status::{ForwardReport, KafkaReport, MemberReport},
    trusting,
};
use anyhow::Context;
use durable_log::{
    Journal,
    kafka::{
        self, Connection, ForwardError, ForwardStatus, Forwarder, Forwarding, KafkaBulletin, KafkaCarrier, Label,
        Labeller, LagMeter, Mechanism, MemberStatus, Reading, Sasl, Subscription, Tls,
    },
};
use pipeline::flow::{self, APPETITE};
use prometheus::Registry;
use std::sync::{Arc, OnceLock};
use tokio::{runtime::Handle, sync::watch};

type Told<T> = Arc<OnceLock<Box<dyn Fn() -> T + Send + Sync>>>;

/// What leads to the cluster of one config.
#[derive(Clone)]
pub struct Link {
    connection: Connection,
    topic: String,
    deadletters: String,
    events: String,
    tenant: String,
    group: String,
    correlators: String,
    allow_loss: bool,
    registry: Registry,
    forwarder: Told<ForwardStatus>,
    member: Told<MemberStatus>,
}

/// A running forwarder, as the rest of the program knows it.
pub struct Forward(Forwarding);

/// Every name that the journal's consumer can have, one at a time, and that of the forwarder where it reads again by order.
pub const CONSUMERS: [&str; 3] = [flow::CONSUMER, kafka::CONSUMER, kafka::AGAIN];

/// Name of the journal's consumer: the forwarder if receipts go over Kafka, else the pipeline.
pub fn journal_consumer(config: &Config) -> &'static str {
    if config.kafka.is_set() { kafka::CONSUMER } else { flow::CONSUMER }
}

/// The connection that the config names, if it names brokers.
pub fn connection(config: &Config) -> anyhow::Result<Option<Connection>> {
    connect(config, "kafka", &config.kafka)
}

/// The connection to the brokers of `kafka`, which stands in the table `table`; its files are relative to the data folder.
fn connect(config: &Config, table: &str, kafka: &KafkaConfig) -> anyhow::Result<Option<Connection>> {
    let KafkaConfig { tls, sasl, .. } = kafka;
    if !kafka.is_set() {
        return Ok(None);
    }
    let file = |file: &Option<std::path::PathBuf>| file.as_ref().map(|file| config.data_dir.join(file));
    let tls = tls.as_ref().map(|tls| Tls {
        ca_file: file(&tls.ca_file),
        certificate_file: file(&tls.certificate_file),
        key_file: file(&tls.key_file),
    });
    let sasl = match sasl {
        None => None,
        Some(sasl) => {
            let password = secrets::read(&config.data_dir, &sasl.password_file)
                .with_context(|| format!("{table}.sasl.password_file"))?;
            let of = |mechanism| Sasl::Password { mechanism, user: sasl.user.clone(), password: password.clone() };
            Some(match sasl.mechanism {
                SaslMechanism::Plain => of(Mechanism::Plain),
                SaslMechanism::ScramSha256 => of(Mechanism::ScramSha256),
                SaslMechanism::ScramSha512 => of(Mechanism::ScramSha512),
                SaslMechanism::OauthBearer => {
                    let trust = trusting::at_tokens(config, table, Some(sasl))?;
                    Sasl::Token(token::source(sasl, &password, &trust)?)
                }
            })
        }
    };
    let connection = Connection { tls, sasl, ..bare(kafka) };
    connection.check().with_context(|| table.to_owned())?;
    Ok(Some(connection))
}

/// The connection without what proves either side.
fn bare(kafka: &KafkaConfig) -> Connection {
    Connection {
        brokers: kafka.brokers.join(","),
        client_id: kafka.client_id.clone(),
        rack: kafka.rack.clone(),
        tls: None,
        sasl: None,
        producer: kafka.producer.clone(),
        consumer: kafka.consumer.clone(),
    }
}

/// Refuses settings that librdkafka would refuse later. Reads no file and asks nobody.
pub fn check(config: &Config) -> anyhow::Result<()> {
    if config.kafka.is_set() {
        bare(&config.kafka).check().context("kafka")?;
    }
    for (id, source) in &config.sources {
        if let Some(topics) = &source.kafka {
            bare(&topics.reached(&config.kafka)).check().with_context(|| format!("sources.{id}.kafka"))?;
        }
    }
    Ok(())
}

impl Link {
    /// The link of a config that names brokers. Nothing is asked of them yet. Its numbers go to `registry`.
    pub fn of(config: &Config, registry: &Registry) -> anyhow::Result<Option<Self>> {
        let Some(connection) = connection(config)? else { return Ok(None) };
        Ok(Some(Self {
            connection,
            topic: config.kafka.topic.clone(),
            deadletters: config.kafka.deadletters.clone(),
            events: if config.correlates() { config.kafka.events.clone() } else { String::new() },
            tenant: config.tenant.clone(),
            group: config.kafka.group.clone(),
            correlators: config.kafka.correlators(),
            allow_loss: config.kafka.allow_loss,
            registry: registry.clone(),
            forwarder: Arc::default(),
            member: Arc::default(),
        }))
    }

    /// Starts forwarding a journal.
    pub fn forward(&self, journal: &Journal) -> anyhow::Result<Forward> {
        let forwarder = Forwarder {
            journal: journal.clone(),
            connection: self.connection.clone(),
            topic: self.topic.clone(),
            label: labeller(),
            allow_loss: self.allow_loss,
        };
        let forwarding = forwarder.start(Handle::current())?;
        metrics::forwarder(&self.registry, forwarding.watch())?;
        let _ = self.forwarder.set(Box::new(forwarding.watch()));
        Ok(Forward(forwarding))
    }

    /// Whether processors correlate.
    pub fn correlates(&self) -> bool {
        !self.events.is_empty()
    }

    /// Joins the groups of processors, once the topic of the receipts has been judged; none if told to stop before that. Blocks.
    pub fn join(&self, stop: &watch::Receiver<bool>) -> anyhow::Result<Option<(KafkaCarrier, Option<KafkaBulletin>)>> {
        if !self.is_good(stop)? {
            return Ok(None);
        }
        let dead = (!self.deadletters.is_empty()).then(|| (self.deadletters.clone(), labeller()));
        let (topic, group) = (self.topic.clone(), self.group.clone());
        let subscription = Subscription { topic, group, reading: Reading::Receipts(dead) };
        // First: a processor that stores must be able to tell.
        let bulletin = match self.correlates() {
            true => {
                let names = (self.events.as_str(), self.correlators.as_str());
                let bulletin = KafkaBulletin::join(&self.connection, names, &self.tenant)?;
                self.guard(bulletin.gate(), stop);
                Some(bulletin)
            }
            false => None,
        };
        let carrier = KafkaCarrier::join(&self.connection, subscription, APPETITE)?;
        metrics::member(&self.registry, carrier.watch())?;
        if let Some(bulletin) = &bulletin {
            metrics::correlator(&self.registry, bulletin.watch())?;
        }
        let _ = self.member.set(Box::new(carrier.watch()));
        Ok(Some((carrier, bulletin)))
    }

    /// Tells of Kafka what a status tells. The lag is asked of the brokers each time, so the call blocks.
    pub fn observe(&self) -> crate::status::ObserveKafka {
        let meter = LagMeter::new(&self.connection, &self.topic, &self.group);
        let announced = self.correlates().then(|| LagMeter::new(&self.connection, &self.events, &self.correlators));
        let (topic, forwarder, member) = (self.topic.clone(), self.forwarder.clone(), self.member.clone());
        Arc::new(move |journal: Option<&Journal>| {
            let forwarder = journal.zip(forwarder.get()).map(|(journal, status)| forward_report(journal, status()));
            let member = member.get().map(|status| {
                let status = status();
                MemberReport { partitions: status.partitions, trouble: status.trouble }
            });
            let lag = meter.measure().map(|lag| lag.records());
            let trouble = lag.as_ref().err().map(ToString::to_string);
            // After the receipts: what left that topic meanwhile is on this one.
            let announced = announced.as_ref().filter(|_| member.is_some());
            let uncorrelated = announced.and_then(|meter| Some(meter.measure().ok()?.records()));
            KafkaReport { topic: topic.clone(), lag: lag.ok(), uncorrelated, trouble, forwarder, member }
        })
    }
}

/// Key and labels of a receipt's record.
fn labeller() -> Labeller {
    Arc::new(|record: &durable_log::Record| {
        let labels = pipeline::label::labels(record);
        Label { key: labels.key, headers: labels.headers }
    })
}

fn forward_report(journal: &Journal, status: ForwardStatus) -> ForwardReport {
    ForwardReport {
        waiting: journal.durable_end().saturating_sub(status.cursor),
        oldest_at: gauges::oldest(journal, (status.cursor, journal.durable_end())),
        confirmed: status.confirmed,
        resent: status.resent,
        trouble: status.trouble,
        refused: status.refused,
        clock_ahead: status.clock_ahead,
    }
}

impl Forward {
    /// Sends again from an offset of the journal on.
    pub fn remote(&self) -> impl Fn(u64) -> Result<(), ForwardError> + Send + Sync + 'static {
        self.0.remote()
    }

    /// Returns when it has ended by itself.
    pub async fn ended(&self) {
        let _ = self.0.ended().wait_for(|ended| *ended).await;
    }

    /// Waits for confirmations, within a bound, and ends. Blocks.
    pub fn stop(self) -> anyhow::Result<()> {
        Ok(self.0.stop()?)
    }
}
