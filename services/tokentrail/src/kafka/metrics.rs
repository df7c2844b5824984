//! Numbers of forwarder and consumer, read at each scrape.

use durable_log::kafka::{ForwardStatus, MemberStatus};
use prometheus::{
    IntGauge, Registry,
    core::{Collector, Desc},
    proto::MetricFamily,
};

/// One number of a reading.
type Number<T> = fn(&T) -> i64;

/// Gauges that are set from a reading when they are asked for.
struct OnScrape<T> {
    read: Box<dyn Fn() -> T + Send + Sync>,
    gauges: Vec<(IntGauge, Number<T>)>,
}

impl<T> Collector for OnScrape<T> {
    fn desc(&self) -> Vec<&Desc> {
        self.gauges.iter().flat_map(|(gauge, _)| gauge.desc()).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let reading = (self.read)();
        for (gauge, value) in &self.gauges {
            gauge.set(value(&reading));
        }
        self.gauges.iter().flat_map(|(gauge, _)| gauge.collect()).collect()
    }
}

fn register<T: 'static>(
    registry: &Registry,
    read: Box<dyn Fn() -> T + Send + Sync>,
    gauges: &[(&str, &str, Number<T>)],
) -> anyhow::Result<()> {
    let made = gauges.iter().map(|(name, help, value)| Ok((IntGauge::new(*name, *help)?, *value)));
    let gauges = made.collect::<Result<Vec<_>, prometheus::Error>>()?;
    registry.register(Box::new(OnScrape { read, gauges }))?;
    Ok(())
}

fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// How forwarding goes. How far it is behind is the lag of the journal.
pub(super) fn forwarder(
    registry: &Registry,
    status: impl Fn() -> ForwardStatus + Send + Sync + 'static,
) -> anyhow::Result<()> {
    register(
        registry,
        Box::new(status),
        &[
            ("tokentrail_forward_confirmed_records", "Records that the brokers have confirmed since the start", |f| {
                count(f.confirmed)
            }),
            ("tokentrail_kafka_clock_ahead_seconds", "By how much the brokers' clock is ahead of ours", |f| {
                f.clock_ahead.unwrap_or_default() / 1000
            }),
            ("tokentrail_forward_resent_records", "Records that were sent again after a failure", |f| count(f.resent)),
            (
                "tokentrail_forward_renewed_producers",
                "Producers made anew: a fatal error, exchanged files, a topic that can be used again, records that must go one by one",
                |f| count(f.renewed),
            ),
            ("tokentrail_forward_up", "1 when the brokers take what is forwarded", |f: &ForwardStatus| {
                i64::from(f.trouble.is_none() && f.refused.is_none())
            }),
        ],
    )
}

/// How far the group is behind, and what this member has of it.
pub(super) fn member(
    registry: &Registry,
    status: impl Fn() -> MemberStatus + Send + Sync + 'static,
) -> anyhow::Result<()> {
    register(
        registry,
        Box::new(status),
        &[
            (
                "tokentrail_kafka_lag_records",
                "Records of the topic that the group has not settled",
                |m: &MemberStatus| count(m.backlog),
            ),
            (
                "tokentrail_kafka_lag_seconds",
                "How long this processor is behind, in the partition where it is longest; 0 if in none",
                |m| m.behind_since.map_or(0, |since| (crate::app::now_ms() - since).max(0) / 1000),
            ),
            ("tokentrail_kafka_partitions", "Partitions that this processor has", |m| count(m.partitions.len() as u64)),
            ("tokentrail_kafka_paused", "1 while nothing more is read because ClickHouse is slower", |m| {
                i64::from(m.paused)
            }),
            (
                "tokentrail_deadletters_copied_records",
                "Dead letters that this processor copied to their topic since the start",
                |m| count(m.set_aside),
            ),
            (
                "tokentrail_deadletters_failed_records",
                "Dead letters that the brokers did not take since the start; the store has those that are receipts",
                |m| count(m.not_set_aside),
            ),
            ("tokentrail_kafka_up", "1 when the brokers answer this processor", |m| i64::from(m.trouble.is_none())),
        ],
    )
}

/// How far whoever correlates is behind what processors announced.
pub(super) fn correlator(
    registry: &Registry,
    status: impl Fn() -> MemberStatus + Send + Sync + 'static,
) -> anyhow::Result<()> {
    register(
        registry,
        Box::new(status),
        &[(
            "tokentrail_correlation_lag_announcements",
            "Announced blocks that the processor that correlates has not answered",
            |m: &MemberStatus| count(m.backlog),
        )],
    )
}
