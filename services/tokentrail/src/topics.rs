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
    /// True if nothing is put on such a topic, unless the config allows what can be lost.
    pub refused: bool,
    #[serde(skip)]
    risk: Risk,
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
        reports.push(one(&topics, (kafka, name), doing).await?);
    }
    let good = reports.iter().all(|report| report.exists && is_usable(&report.findings, kafka.allow_loss));
    Ok(TopicsReport { good, topics: reports })
}

/// Whether something is put on a topic of which these were found.
fn is_usable(findings: &[TopicFinding], allow_loss: bool) -> bool {
    findings.iter().all(|finding| !finding.refused || (allow_loss && finding.risk == Risk::Loss))
}

fn cannot_be_made(plan: &TopicPlan) -> String {
    format!("topic {} cannot be made with {} replicas (kafka.topics.replication)", plan.name, plan.replication)
}

async fn one(topics: &Topics, (kafka, name): (&KafkaConfig, &str), doing: Doing) -> anyhow::Result<TopicReport> {
    let plan = planned(kafka, name);
    let made = doing == Doing::Apply && topics.create(&plan).await.with_context(|| cannot_be_made(&plan))?;
    let mut judged = topics.compare(&plan).await;
    // A topic that was made now, and then how, is not known to every broker at once.
    for _ in 0..KNOWN.0 {
        let known = match &judged {
            Ok(findings) => !made || *findings == plan.findings(),
            Err(TopicsError::Missing(_)) => doing == Doing::Plan,
            // None leads it yet.
            Err(TopicsError::Unreachable(_)) => !made,
            Err(_) => true,
        };
        if known {
            break;
        }
        tokio::time::sleep(KNOWN.1).await;
        judged = topics.compare(&plan).await;
    }
    let (exists, findings) = match judged {
        Ok(findings) => (true, findings),
        Err(TopicsError::Missing(_)) => (false, plan.findings()),
        Err(error) => return Err(error).with_context(|| format!("topic {} cannot be judged", plan.name)),
    };
    let mut settings = vec![
        ("partitions".to_owned(), plan.partitions.to_string()),
        ("replication.factor".to_owned(), plan.replication.to_string()),
    ];
    settings.extend(plan.settings().into_iter().map(|(name, value)| (name.to_owned(), value)));
    let findings = findings.into_iter().map(|finding| found(finding, stall(kafka, name))).collect();
    Ok(TopicReport { topic: plan.name, exists, plan: settings, findings })
}

/// What it costs that a topic takes small records only, by what is put there, and whether nothing is.
fn stall(kafka: &KafkaConfig, name: &str) -> (&'static str, bool) {
    match name {
        _ if name == kafka.topic => ("a large receipt would hold up all behind it", true),
        _ if name == kafka.deadletters => ("large dead letters are not copied, the store has them", false),
        _ => ("much that is stored at once is told to the correlation late, by ClickHouse", false),
    }
}

fn found(finding: Finding, stall: (&'static str, bool)) -> TopicFinding {
    let Finding { setting, found, wanted, risk } = finding;
    let cost = match risk {
        Risk::Loss => "acknowledged receipts can be lost",
        Risk::Stall => stall.0,
        Risk::Pauses => "each restart of a broker stops forwarding; receipts wait in the journal",
        Risk::Keeps => "personal data stays longer than it may",
        Risk::Few => "fewer processors can share the work",
    };
    let refused = risk == Risk::Loss || (risk == Risk::Stall && stall.1);
    TopicFinding { setting, found, wanted, cost, refused, risk }
}

/// For people.
pub fn render(report: &TopicsReport) -> String {
    let mut out = String::new();
    for topic in &report.topics {
        if !topic.exists {
            out.push_str(&format!("  {} is missing; `tokentrail topics apply` makes it with\n", topic.topic));
            topic.plan.iter().for_each(|(name, value)| out.push_str(&format!("    {name}={value}\n")));
        } else {
            let fine = if topic.findings.is_empty() { "is as it should be" } else { "is not as it should be" };
            out.push_str(&format!("  {} {fine}\n", topic.topic));
        }
        for finding in &topic.findings {
            let TopicFinding { setting, found, wanted, cost, .. } = finding;
            out.push_str(&format!("    {setting} is {found}, must be {wanted}: {cost}\n"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reported(replication: u16, exists: bool) -> TopicReport {
        let mut kafka = KafkaConfig::default();
        kafka.topics.replication = replication;
        let plan = planned(&kafka, "t");
        let findings = plan.findings().into_iter().map(|finding| found(finding, ("", true))).collect();
        TopicReport { topic: plan.name, exists, plan: Vec::new(), findings }
    }

    #[test]
    fn what_a_plan_for_two_brokers_costs_is_said_before_its_topic_is_made() {
        for exists in [false, true] {
            let report = reported(2, exists);
            assert!(is_usable(&report.findings, false), "it is told and not refused");
            let said = render(&TopicsReport { good: false, topics: vec![report] });
            assert!(
                said.contains("replication.factor is 2, must be 3 or more: each restart of a broker stops"),
                "{said}"
            );
        }
        assert!(reported(3, true).findings.is_empty());
    }

    #[test]
    fn what_may_be_lost_may_be_allowed_and_a_standstill_may_not() {
        let mut findings = reported(1, true).findings;
        assert!(!is_usable(&findings, false) && is_usable(&findings, true));
        let small = Finding {
            setting: "max.message.bytes".into(),
            found: "1048588".into(),
            wanted: "at least 10485760".into(),
            risk: Risk::Stall,
        };
        let kafka = KafkaConfig::default();
        // Only receipts wait behind one that is too large.
        for (name, usable) in [(&kafka.topic, false), (&kafka.deadletters, true), (&kafka.events, true)] {
            let small = found(small.clone(), stall(&kafka, name));
            assert_eq!(is_usable(&[small], true), usable, "{name}");
        }
        findings.push(found(small, stall(&kafka, &kafka.topic)));
        assert!(!is_usable(&findings, true));
    }
}
