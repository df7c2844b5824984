//! What happens when partitions come and go: where to begin in a new one, and what is finished before one is given up.

use super::client::Common;
use super::owned::Claim;
use super::shared::Shared;
use crate::carrier::{Cause, Loss};
use crate::segment::locked;
use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// One question to a broker.
const ASK: Duration = Duration::from_secs(10);
/// Tries of such a question while partitions are assigned.
const ASKED: u32 = 6;

/// Context of a member's consumer.
pub(super) struct Rebalancing {
    pub(super) common: Common,
    shared: Arc<Shared>,
}

impl ClientContext for Rebalancing {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        Common::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, _: &str) {
        self.common.error(&error);
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        self.common.token()
    }
}

impl ConsumerContext for Rebalancing {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, what: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let partitions: Vec<i32> = list.elements().iter().map(|element| element.partition()).collect();
        let done = match what {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.assigned(consumer, list),
            _ => self.revoked(consumer, list),
        };
        if let Err(error) = done {
            tracing::error!(%error, ?partitions, "A change of partitions failed; the consumer begins anew.");
            // The change must be answered, or the consumer cannot even be closed.
            let _ = consumer.incremental_assign(&TopicPartitionList::new());
            self.common.set_fatal();
        }
        self.shared.tell_lead();
    }
}

impl Rebalancing {
    pub(super) fn new(common: Common, shared: Arc<Shared>) -> Self {
        Self { common, shared }
    }

    /// Begins every new partition where the group stands, or, if that place is gone, at the first record kept, with a loss.
    fn assigned(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) -> KafkaResult<()> {
        let topic = &self.shared.topic;
        let committed = asked(|| consumer.committed_offsets(list.clone(), ASK))?;
        let mut starts = TopicPartitionList::new();
        for element in committed.elements() {
            element.error()?;
            let partition = element.partition();
            let (first, end) = asked(|| consumer.fetch_watermarks(topic, partition, ASK))?;
            let stood = match element.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            };
            let since_ms = element.metadata().parse().ok().filter(|ms: &i64| *ms > 0);
            let reached = locked(&self.shared.reached).get(&partition).copied();
            let reached = if self.shared.foreign { reached.or(Some(0)) } else { reached };
            let (start, loss) = begin((first, end), stood, reached);
            starts.add_partition_offset(topic, partition, Offset::Offset(start))?;
            let assignment = {
                let mut owned = locked(&self.shared.owned);
                let assignment = owned.assign(partition, start);
                if stood.is_some() {
                    owned.stands(partition);
                }
                assignment
            };
            if let Some((cause, from, to)) = loss {
                let place = format!("{topic}/{partition}@{from}-{}", to - 1);
                let missing = Some(u64::try_from(to - from).unwrap_or_default());
                let claim = Claim { partition, assignment, next: start, at_ms: 0 };
                let loss = Loss { cause, place, missing, since_ms };
                locked(&self.shared.losses).push((claim, loss));
            }
        }
        tracing::info!(partitions = ?list.elements().iter().map(|e| e.partition()).collect::<Vec<_>>(), "Partitions are ours.");
        consumer.incremental_assign(&starts)
    }

    fn revoked(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) -> KafkaResult<()> {
        let partitions: Vec<i32> = list.elements().iter().map(|element| element.partition()).collect();
        if !consumer.assignment_lost() {
            self.shared.commit(consumer);
            if !self.shared.stop.load(Ordering::Relaxed) {
                // What is under way is finished first, so that the next owner need not do it again.
                self.shared.wait_settled(&partitions);
                self.shared.commit(consumer);
            }
        }
        let mut owned = locked(&self.shared.owned);
        partitions.iter().for_each(|partition| owned.revoke(*partition));
        drop(owned);
        // librdkafka keeps a pause of ours with the partition: one that was given up while paused and comes back would never be
        // read again. What this fetches meanwhile is of no assignment and passed.
        let _ = consumer.resume(list);
        tracing::info!(?partitions, "Partitions are given up.");
        consumer.incremental_unassign(list)
    }
}

fn asked<T>(question: impl Fn() -> KafkaResult<T>) -> KafkaResult<T> {
    let mut answer = question();
    for _ in 1..ASKED {
        if answer.is_ok() {
            break;
        }
        answer = question();
    }
    answer
}

/// Where to begin in a partition that keeps `first..end`, if the group stood at `stood` and this member had come to `reached`
/// before; and which offsets are missing, and why.
fn begin((first, end): (i64, i64), stood: Option<i64>, reached: Option<i64>) -> (i64, Option<(Cause, i64, i64)>) {
    match stood {
        Some(stood) if stood < first => (first, Some((Cause::Expired, stood, first))),
        Some(stood) if stood > end => (first, Some((Cause::WentBack, end, stood))),
        Some(stood) => (stood, None),
        // The group's position went with the topic.
        None if reached.is_some_and(|reached| reached > 0) => {
            (first, Some((Cause::Recreated, 0, reached.unwrap_or_default())))
        }
        // Of a foreign topic nothing before our first read is missing: `reached` is then 0.
        None if first > 0 && reached.is_none() => (first, Some((Cause::Expired, 0, first))),
        None => (first, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_that_is_gone_is_a_loss_and_never_a_jump() {
        assert_eq!(begin((0, 10), None, None), (0, None));
        assert_eq!(begin((0, 10), Some(0), None), (0, None));
        assert_eq!(begin((5, 10), Some(10), Some(10)), (10, None));
        assert_eq!(begin((5, 10), Some(3), None), (5, Some((Cause::Expired, 3, 5))));
        assert_eq!(begin((5, 10), None, None), (5, Some((Cause::Expired, 0, 5))));
        assert_eq!(begin((0, 10), Some(12), None), (0, Some((Cause::WentBack, 10, 12))));
        assert_eq!(begin((5, 10), None, Some(0)), (5, None));
        assert_eq!(begin((0, 4), None, Some(12)), (0, Some((Cause::Recreated, 0, 12))));
    }
}
