//! What doctor says of Kafka: whether it is reached, how far behind it is, and whether the topic keeps what it acknowledges.

use super::Check;
use crate::{
    config::Config,
    status::{ForwardReport, KafkaReport, TopicReport},
};

/// A clock of the brokers that is off by more is worth a look, milliseconds.
const CLOCK: i64 = 5_000;
/// A receipt that waits so long for the brokers, or a group so far behind, is worth a look: milliseconds and records.
const LATE: (i64, u64) = (5 * 60 * 1000, 1_000_000);

/// What the running program tells.
pub fn checks(kafka: &KafkaReport, now: i64) -> Vec<Check> {
    let mut checks = Vec::new();
    let reached = Check::new("kafka", "the Kafka brokers answer");
    checks.push(match &kafka.trouble {
        Some(trouble) => {
            let waits = if kafka.forwarder.is_some() { "in the journal, which grows" } else { "on the topic" };
            reached
                .look(format!("{trouble}: check kafka.brokers, TLS, user and rights"))
                .losing(format!("receipts wait {waits}"))
        }
        None => reached,
    });
    if let Some(forwarder) = &kafka.forwarder {
        let check = Check::new("kafka_forward", "receipts reach Kafka");
        let late = forwarder.oldest_at.is_some_and(|oldest| now - oldest > LATE.0);
        checks.push(match forwarder.refused.as_ref().or(forwarder.trouble.as_ref()) {
            Some(wrong) => {
                check.look(wrong.clone()).losing(format!("{} receipts wait in the journal", forwarder.waiting))
            }
            None if late => check.look(format!("{} receipts wait, some for more than 5 minutes", forwarder.waiting)),
            None => check,
        });
        checks.push(clock(forwarder));
    }
    if let Some(member) = &kafka.member {
        let check = Check::new("kafka_read", format!("{} is read", kafka.topic));
        checks.push(match &member.trouble {
            Some(wrong) => {
                check.look(wrong.clone()).losing("receipts wait on the topic, as long as its retention lasts")
            }
            None => check,
        });
    }
    let lag = Check::new("kafka_lag", "processors keep up");
    checks.push(match kafka.lag.filter(|lag| *lag > LATE.1) {
        Some(behind) => {
            lag.look(format!("{behind} records are behind: start another `tokentrail process`, up to one a partition"))
        }
        None => lag,
    });
    checks
}

/// Retention and the age of what waits are reckoned by the brokers' clock.
fn clock(forwarder: &ForwardReport) -> Check {
    let check = Check::new("kafka_clock", "the brokers' clock is ours");
    match forwarder.clock_ahead.filter(|ahead| ahead.abs() > CLOCK) {
        Some(ahead) => {
            let (seconds, where_to) = (ahead.abs() / 1000, if ahead > 0 { "ahead of" } else { "behind" });
            check
                .look(format!("it is {seconds} s {where_to} this machine's: let NTP set both"))
                .losing("how old what waits is, and what retention deletes, is reckoned by it")
        }
        None => check,
    }
}

/// What the running program tells of topics that are a source.
pub fn sources(topics: &[TopicReport], now: i64) -> Vec<Check> {
    let check = |one: &TopicReport| {
        let check = Check::new("source_topic", format!("topic {} is read", one.topic)).of_source(&one.source);
        let late = one.behind_since.is_some_and(|since| now - since > LATE.0);
        match &one.trouble {
            Some(trouble) => check
                .look(format!(
                    "{trouble}: check sources.{}.kafka, its user and its rights on topic and group",
                    one.source
                ))
                .losing("its events are not taken in; what the topic's retention deletes meanwhile is lost"),
            None if late => check.look(format!("{} records wait, some for more than 5 minutes", one.lag)),
            None => check,
        }
    };
    topics.iter().map(check).collect()
}

/// What the cluster says of the topics on which nothing may be lost.
#[cfg(feature = "kafka")]
pub async fn topic(config: &Config) -> Vec<Check> {
    use durable_log::kafka::Topics;
    let connection = match crate::kafka::connection(config) {
        Ok(Some(connection)) => connection,
        Ok(None) => return Vec::new(),
        Err(error) => {
            return vec![Check::new("kafka_config", "Kafka's settings can be used").look(format!("{error:#}"))];
        }
    };
    let topics = Topics::new(connection);
    let mut checks = Vec::new();
    // What the dead letters' topic loses, the store has.
    for name in config.kafka.names().filter(|name| *name != config.kafka.deadletters) {
        let check = || Check::new("kafka_topic", format!("topic {name} keeps what it acknowledges"));
        match topics.check(name).await {
            Ok(findings) if findings.is_empty() => checks.push(check()),
            Ok(findings) => checks.extend(findings.iter().map(|finding| check().look(finding.to_string()))),
            Err(error) => checks.push(check().look(error.to_string())),
        }
    }
    checks
}

/// There is none.
#[cfg(not(feature = "kafka"))]
pub async fn topic(_: &Config) -> Vec<Check> {
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_off_is_named_with_its_side() {
        let said = |clock_ahead| {
            let report = KafkaReport {
                forwarder: Some(ForwardReport { clock_ahead, ..ForwardReport::default() }),
                ..KafkaReport::default()
            };
            let checks = checks(&report, 0);
            checks.into_iter().find(|check| check.id == "kafka_clock").unwrap()
        };
        for fine in [None, Some(0), Some(-4_999), Some(5_000)] {
            assert_eq!(said(fine).remedy, None, "{fine:?}");
        }
        for (off, word) in [(61_000, "61 s ahead of"), (-61_000, "61 s behind")] {
            let remedy = said(Some(off)).remedy.unwrap();
            assert!(remedy.contains(word), "{remedy}");
        }
    }
}
