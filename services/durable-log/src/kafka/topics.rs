//! Topics: makes those that are missing, and judges whether what is there keeps what it acknowledges. Never alters one.

use super::client::{Asking, Common};
use super::settings::{Connection, MAX_MESSAGE_BYTES};
use super::token;
use super::words::Role;
use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use std::fmt;
use std::time::Duration;

/// One question to the cluster.
const ASK: Duration = Duration::from_secs(5);
/// How long what waits in librdkafka's queue is served before a question.
const SERVE: Duration = Duration::from_millis(20);
/// Least time for which records must be kept, milliseconds: an outage over a night and the morning after.
const LEAST_RETENTION_MS: i64 = 24 * 3_600_000;
/// Longest time, milliseconds: receipts hold personal data, of which only ClickHouse can forget.
const MOST_RETENTION_MS: i64 = 30 * 24 * 3_600_000;
/// Replicas that must have a record before it is confirmed.
const LEAST_IN_SYNC: i64 = 2;

/// How a topic is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPlan {
    /// Name.
    pub name: String,
    /// As many processors can share the work.
    pub partitions: i32,
    /// Copies of every record.
    pub replication: i32,
    /// How long records are kept.
    pub retention: Duration,
}

impl TopicPlan {
    /// Settings by Kafka's name.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        let in_sync = i64::from(self.replication).min(LEAST_IN_SYNC);
        vec![
            ("cleanup.policy", "delete".into()),
            ("min.insync.replicas", in_sync.to_string()),
            ("unclean.leader.election.enable", "false".into()),
            ("retention.ms", self.retention.as_millis().to_string()),
            ("retention.bytes", "-1".into()),
            ("max.message.bytes", MAX_MESSAGE_BYTES.to_string()),
            // By the producers' clocks a record could be old, and so deleted, when it arrives.
            ("message.timestamp.type", "LogAppendTime".into()),
        ]
    }

    /// What a topic that is made like this risks.
    pub fn findings(&self) -> Vec<Finding> {
        let settings = self.settings();
        let value = |name: &str| settings.iter().find(|(own, _)| *own == name).map(|(_, value)| value.clone());
        judge(&value, usize::try_from(self.replication).unwrap_or_default())
    }
}

/// What a finding costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Risk {
    /// What the broker acknowledged can be lost.
    Loss,
    /// Something would stand still for good; nothing is lost.
    Stall,
    /// Nothing is taken while one broker is away: each restart stops forwarding.
    Pauses,
    /// Personal data stays longer than it may.
    Keeps,
    /// Fewer processors than planned can share the work.
    Few,
}

/// A setting that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Kafka's name, or `replication.factor`.
    pub setting: String,
    /// What is.
    pub found: String,
    /// What should be.
    pub wanted: String,
    /// What it costs.
    pub risk: Risk,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}, must be {}", self.setting, self.found, self.wanted)
    }
}

/// Why a topic cannot be judged or made.
#[derive(Debug, thiserror::Error)]
pub enum TopicsError {
    /// It does not exist.
    #[error("topic {0} does not exist: `tokentrail topics apply` makes it")]
    Missing(String),
    /// The cluster refuses: a right is missing.
    #[error(
        "the cluster refuses ({0}): the user needs DescribeConfigs and Describe on the topic, and Create to make it"
    )]
    Forbidden(String),
    /// The cluster does not answer.
    #[error("the cluster does not answer ({0})")]
    Unreachable(String),
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

/// Asks a cluster about topics.
pub struct Topics {
    connection: Connection,
}

impl Topics {
    /// Nothing is sent yet.
    pub fn new(connection: Connection) -> Self {
        Self { connection }
    }

    /// Everything about a topic that is not as it should be.
    pub async fn check(&self, topic: &str) -> Result<Vec<Finding>, TopicsError> {
        Ok(self.look(topic).await?.0)
    }

    /// The same, and whether it has the partitions that are planned.
    pub async fn compare(&self, plan: &TopicPlan) -> Result<Vec<Finding>, TopicsError> {
        let (mut findings, Shape { partitions, .. }) = self.look(&plan.name).await?;
        let planned = usize::try_from(plan.partitions).unwrap_or_default();
        if partitions < planned {
            let (found, wanted) =
                (partitions.to_string(), format!("{planned} (docs/operations.md says how to add some)"));
            findings.push(Finding { setting: "partitions".into(), found, wanted, risk: Risk::Few });
        }
        Ok(findings)
    }

    async fn look(&self, topic: &str) -> Result<(Vec<Finding>, Shape), TopicsError> {
        let connection = self.connection.clone();
        let name = topic.to_owned();
        let asked = tokio::task::spawn_blocking(move || shape(&connection, &name)).await;
        let shape = asked.map_err(|_| TopicsError::Failed("the question died".into()))??;
        let admin = self.admin().await?;
        let options = AdminOptions::new().request_timeout(Some(ASK));
        let described = admin.describe_configs(&[ResourceSpecifier::Topic(topic)], &options).await;
        let described = described.map_err(|error| refused(&error, topic))?;
        let config = described.into_iter().next().ok_or_else(|| TopicsError::Failed("no answer".into()))?;
        let config = config.map_err(|code| refused(&KafkaError::AdminOp(code), topic))?;
        Ok((judge(&|name| value(&config, name), shape.replication), shape))
    }

    /// Makes a topic that is not there; true if it was made now.
    pub async fn create(&self, plan: &TopicPlan) -> Result<bool, TopicsError> {
        let settings = plan.settings();
        let mut topic = NewTopic::new(&plan.name, plan.partitions, TopicReplication::Fixed(plan.replication));
        for (name, value) in &settings {
            topic = topic.set(name, value);
        }
        let options = AdminOptions::new().request_timeout(Some(ASK)).operation_timeout(Some(ASK));
        let made = self.admin().await?.create_topics([&topic], &options).await;
        let made = made.map_err(|error| refused(&error, &plan.name))?;
        match made.into_iter().next() {
            Some(Ok(_)) => Ok(true),
            Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(false),
            Some(Err((_, code))) => Err(refused(&KafkaError::AdminOp(code), &plan.name)),
            None => Err(TopicsError::Failed("no answer".into())),
        }
    }

    async fn admin(&self) -> Result<AdminClient<Asking>, TopicsError> {
        let connection = self.connection.clone();
        // Getting a token blocks.
        let made = tokio::task::spawn_blocking(move || admin(&connection)).await;
        made.map_err(|_| TopicsError::Failed("the question died".into()))?
    }
}

fn admin(connection: &Connection) -> Result<AdminClient<Asking>, TopicsError> {
    let failed = |error: KafkaError| TopicsError::Failed(error.to_string());
    let asking = Asking(Common::new(connection.tokens(), Role::Reads));
    let admin: AdminClient<Asking> = connection.client_config().create_with_context(asking).map_err(failed)?;
    if connection.tokens().is_some() {
        let token = admin.inner().context().0.token();
        let token = token.map_err(|error| TopicsError::Unreachable(format!("no token: {error}")))?;
        token::give(admin.inner(), token)
            .map_err(|why| TopicsError::Failed(format!("the token cannot be used: {why}")))?;
    }
    Ok(admin)
}

/// What brokers tell of a topic besides its settings.
#[derive(Clone, Copy)]
struct Shape {
    partitions: usize,
    /// Least number of replicas of a partition.
    replication: usize,
}

fn shape(connection: &Connection, topic: &str) -> Result<Shape, TopicsError> {
    use rdkafka::consumer::{BaseConsumer, Consumer};
    let asking = Asking(Common::new(connection.tokens(), Role::Reads));
    let consumer: BaseConsumer<Asking> = connection
        .client_config()
        .create_with_context(asking)
        .map_err(|error| TopicsError::Failed(error.to_string()))?;
    // Serves the wish for a token, if there is one.
    let _ = consumer.poll(SERVE);
    let metadata = consumer.fetch_metadata(Some(topic), ASK).map_err(|error| refused(&error, topic))?;
    let found = metadata.topics().iter().find(|found| found.name() == topic);
    let found = found.ok_or_else(|| TopicsError::Missing(topic.to_owned()))?;
    if let Some(error) = found.error() {
        return Err(refused(&KafkaError::MetadataFetch(error.into()), topic));
    }
    let replicas = found.partitions().iter().map(|partition| partition.replicas().len());
    Ok(Shape { partitions: found.partitions().len(), replication: replicas.min().unwrap_or_default() })
}

fn refused(error: &KafkaError, topic: &str) -> TopicsError {
    use RDKafkaErrorCode as Code;
    let text = error.rdkafka_error_code().map_or_else(|| error.to_string(), |code| code.to_string());
    match error.rdkafka_error_code() {
        Some(Code::UnknownTopic | Code::UnknownTopicOrPartition) => TopicsError::Missing(topic.to_owned()),
        Some(
            Code::TopicAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::Authentication
            | Code::SaslAuthenticationFailed,
        ) => TopicsError::Forbidden(text),
        Some(
            Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::OperationTimedOut
            | Code::RequestTimedOut
            | Code::Resolve
            | Code::LeaderNotAvailable
            | Code::NotController,
        ) => TopicsError::Unreachable(text),
        _ => TopicsError::Failed(text),
    }
}

fn value(config: &ConfigResource, name: &str) -> Option<String> {
    config.get(name).and_then(|entry| entry.value.clone())
}

/// Judges what a topic says of itself.
fn judge(value: &dyn Fn(&str) -> Option<String>, replication: usize) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut look = |setting: &str, wanted: &str, risk: Risk, good: &dyn Fn(&str) -> bool| {
        let found = value(setting).unwrap_or_else(|| "not told".into());
        if !good(&found) {
            findings.push(Finding { setting: setting.into(), found, wanted: wanted.into(), risk });
        }
    };
    let number = |text: &str| text.parse::<i64>().ok();
    look("min.insync.replicas", "2 or more", Risk::Loss, &|found| number(found).is_some_and(|n| n >= LEAST_IN_SYNC));
    look("unclean.leader.election.enable", "false", Risk::Loss, &|found| found == "false");
    // By key, a repeated event would replace its first receipt.
    look("cleanup.policy", "delete", Risk::Loss, &|found| found == "delete");
    let keeps = value("retention.ms").and_then(|found| number(&found));
    look("retention.ms", "at least 86400000 (a day)", Risk::Loss, &|_| {
        keeps.is_some_and(|ms| ms == -1 || ms >= LEAST_RETENTION_MS)
    });
    look("retention.ms", "at most 2592000000 (30 days)", Risk::Keeps, &|_| {
        keeps.is_none_or(|ms| (0..=MOST_RETENTION_MS).contains(&ms))
    });
    look("retention.bytes", "-1 (no bound by size)", Risk::Loss, &|found| found == "-1");
    look("message.timestamp.type", "LogAppendTime", Risk::Loss, &|found| found == "LogAppendTime");
    // Who takes the risk of what a cluster does not tell may; what is told and small holds up everything, some day.
    let size = value("max.message.bytes").and_then(|found| number(&found));
    let risk = if size.is_some() { Risk::Stall } else { Risk::Loss };
    look("max.message.bytes", &format!("at least {MAX_MESSAGE_BYTES}"), risk, &|_| {
        size.is_some_and(|bytes| bytes >= MAX_MESSAGE_BYTES as i64)
    });
    if (replication as i64) < LEAST_IN_SYNC {
        let found = replication.to_string();
        let wanted = "3 (at least 2)".into();
        findings.insert(0, Finding { setting: "replication.factor".into(), found, wanted, risk: Risk::Loss });
    } else {
        let in_sync = value("min.insync.replicas").and_then(|found| number(&found));
        findings.extend(in_sync.and_then(|in_sync| pauses(in_sync, replication as i64)));
    }
    findings
}

/// What cannot spare a replica: with as many in sync as there are, nothing is confirmed while one broker is away.
fn pauses(in_sync: i64, replication: i64) -> Option<Finding> {
    let (setting, found, wanted) = match in_sync {
        _ if in_sync < replication => return None,
        // It must not be less, so there must be more replicas.
        LEAST_IN_SYNC => ("replication.factor", replication, "3 or more".to_owned()),
        _ => ("min.insync.replicas", in_sync, format!("less than replication.factor, {replication}")),
    };
    Some(Finding { setting: setting.into(), found: found.to_string(), wanted, risk: Risk::Pauses })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(replication: i32) -> TopicPlan {
        TopicPlan { name: "t".into(), partitions: 6, replication, retention: Duration::from_secs(7 * 86_400) }
    }

    #[test]
    fn a_topic_that_no_broker_may_leave_is_told() {
        let told = |findings: Vec<Finding>| -> Vec<(String, String, Risk)> {
            findings.into_iter().map(|one| (one.setting, one.found, one.risk)).collect()
        };
        let two = [("replication.factor".to_owned(), "2".to_owned(), Risk::Pauses)];
        assert_eq!(told(judged(2, ("", ""))), two);
        assert_eq!(told(plan(2).findings()), two, "said before it is made");
        assert_eq!(plan(3).findings(), []);
        let three = [("min.insync.replicas".to_owned(), "3".to_owned(), Risk::Pauses)];
        assert_eq!(told(judged(3, ("min.insync.replicas", "3"))), three);
        assert_eq!(judged(2, ("min.insync.replicas", "1"))[0].risk, Risk::Loss, "no way out of it");
        assert!(judged(1, ("", "")).iter().all(|finding| finding.risk == Risk::Loss), "that says more");
    }

    fn judged(replication: i32, change: (&str, &str)) -> Vec<Finding> {
        let settings = plan(replication).settings();
        let value = |name: &str| {
            if name == change.0 {
                return Some(change.1.to_owned());
            }
            settings.iter().find(|(own, _)| *own == name).map(|(_, value)| value.clone())
        };
        judge(&value, usize::try_from(replication).unwrap())
    }

    #[test]
    fn our_own_plan_is_good_with_three_brokers_and_tells_what_one_risks() {
        assert_eq!(judged(3, ("", "")), []);
        let settings: Vec<String> = judged(1, ("", "")).into_iter().map(|finding| finding.setting).collect();
        assert_eq!(settings, ["replication.factor", "min.insync.replicas"]);
    }

    #[test]
    fn each_setting_that_can_lose_is_found() {
        for (setting, bad) in [
            ("min.insync.replicas", "1"),
            ("unclean.leader.election.enable", "true"),
            ("cleanup.policy", "compact"),
            ("cleanup.policy", "compact,delete"),
            ("retention.ms", "3600000"),
            ("retention.bytes", "1073741824"),
            ("message.timestamp.type", "CreateTime"),
        ] {
            let found = judged(3, (setting, bad));
            assert_eq!((found.len(), found[0].risk, found[0].setting.as_str()), (1, Risk::Loss, setting), "{bad}");
        }
        assert_eq!(judged(3, ("max.message.bytes", "1048588"))[0].risk, Risk::Stall);
        for long in ["-1", "2592000001"] {
            let found = judged(3, ("retention.ms", long));
            assert_eq!((found.len(), found[0].risk), (1, Risk::Keeps), "what is kept for ever cannot be forgotten");
        }
        assert_eq!(judged(3, ("retention.ms", "2592000000")), []);
    }
}
