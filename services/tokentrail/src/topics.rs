//! `tokentrail topics plan|apply`: what Tokentrail needs of Kafka's topics, against what is there. Makes what is missing; never
//! alters a topic that exists.

use crate::config::{Config, KafkaConfig};
use anyhow::{Context, bail};
use durable_log::kafka::{Finding, Risk, TopicPlan, Topics, TopicsError};
use serde::Serialize;
use std::time::Duration;

/// Looks at a topic that was made now, and the time between two.
const KNOWN: (u32, Duration) = (50, Duration::from_millis(200));

/// One topic as it is.
#[derive(Serialize)]
pub struct TopicReport {
    /// Its name.
    pub topic: String,
    /// Whether it is there.
    pub exists: bool,
    /// How it is made.
    pub plan: Vec<(String, String)>,
    /// What is not as it should be.
    pub findings: Vec<TopicFinding>,
}

/// A setting that is not as it should be.
#[derive(Serialize)]
pub struct TopicFinding {
    /// Kafka's name.
    pub setting: String,
    /// What is.
    pub found: String,
    /// What should be.
    pub wanted: String,
    /// What it costs.
    pub cost: &'static str,
    /// True if nothing is put on such a topic, unless the config allows it.
    pub refused: bool,
}

/// What was found, and whether work may begin on it.
#[derive(Serialize)]
pub struct TopicsReport {
    /// Nothing acknowledged can be lost, or the config allows it.
    pub good: bool,
    /// Every topic.
    pub topics: Vec<TopicReport>,
}

/// What is done about a topic that is missing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    /// It is told.
    Plan,
    /// It is made.
    Apply,
}

fn planned(kafka: &KafkaConfig, name: &str) -> TopicPlan {
    TopicPlan {
        name: name.to_owned(),
        // One reader: more partitions would lie empty.
        partitions: if name == kafka.events { 1 } else { i32::from(kafka.topics.partitions) },
        replication: i32::from(kafka.topics.replication),
        retention: Duration::from_secs(u64::from(kafka.topics.retention_hours) * 3600),
    }
}

/// Looks, and makes what is missing if told to.
pub async fn run(config: &Config, doing: Doing) -> anyhow::Result<TopicsReport> {
    let Some(connection) = crate::kafka::connection(config)? else {
        bail!("the config names no brokers: set kafka.brokers")
    };
    let kafka = &config.kafka;
    let (topics, mut reports) = (Topics::new(connection), Vec::new());
    for name in kafka.names() {
        reports.push(one(&topics, planned(kafka, name), doing).await?);
    }
    let refused = |report: &TopicReport| report.findings.iter().any(|finding| finding.refused);
    let good = reports.iter().all(|report| report.exists && (!refused(report) || kafka.allow_loss));
    Ok(TopicsReport { good, topics: reports })
}

async fn one(topics: &Topics, plan: TopicPlan, doing: Doing) -> anyhow::Result<TopicReport> {
    if doing == Doing::Apply {
        topics.create(&plan).await.with_context(|| format!("topic {} cannot be made", plan.name))?;
    }
    let mut judged = topics.compare(&plan).await;
    // A topic that was made now is not known to every broker at once.
    for _ in 0..KNOWN.0 {
        if doing != Doing::Apply || !matches!(judged, Err(TopicsError::Missing(_))) {
            break;
        }
        tokio::time::sleep(KNOWN.1).await;
        judged = topics.compare(&plan).await;
    }
    let (exists, findings) = match judged {
        Ok(findings) => (true, findings),
        Err(TopicsError::Missing(_)) => (false, Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("topic {} cannot be judged", plan.name)),
    };
    let mut settings = vec![
        ("partitions".to_owned(), plan.partitions.to_string()),
        ("replication.factor".to_owned(), plan.replication.to_string()),
    ];
    settings.extend(plan.settings().into_iter().map(|(name, value)| (name.to_owned(), value)));
    Ok(TopicReport { topic: plan.name, exists, plan: settings, findings: findings.into_iter().map(found).collect() })
}

fn found(finding: Finding) -> TopicFinding {
    let Finding { setting, found, wanted, risk } = finding;
    let cost = match risk {
        Risk::Loss => "acknowledged receipts can be lost",
        Risk::Stall => "a large receipt would hold up all behind it",
        Risk::Keeps => "personal data stays longer than it may",
        Risk::Few => "fewer processors can share the work",
    };
    TopicFinding { setting, found, wanted, cost, refused: matches!(risk, Risk::Loss | Risk::Stall) }
}

/// For people.
pub fn render(report: &TopicsReport) -> String {
    let mut out = String::new();
    for topic in &report.topics {
        if !topic.exists {
            out.push_str(&format!("  {} is missing; `tokentrail topics apply` makes it with\n", topic.topic));
            topic.plan.iter().for_each(|(name, value)| out.push_str(&format!("    {name}={value}\n")));
            continue;
        }
        let fine = if topic.findings.is_empty() { "is as it should be" } else { "is not as it should be" };
        out.push_str(&format!("  {} {fine}\n", topic.topic));
        for finding in &topic.findings {
            let TopicFinding { setting, found, wanted, cost, .. } = finding;
            out.push_str(&format!("    {setting} is {found}, must be {wanted}: {cost}\n"));
        }
    }
    out
}
