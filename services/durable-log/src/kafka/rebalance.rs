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
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// One question to a broker.
const ASK: Duration = Duration::from_secs(10);
/// Tries of such a question while partitions are assigned.
const ASKED: u32 = 6;
/// Between two of them.
const BETWEEN: Duration = Duration::from_millis(200);
/// How long all partitions of one assignment wait for leaders that do not answer.
const LEADERS: Duration = Duration::from_secs(3);

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

    /// Begins every new partition where the group stands, or, if that place is gone, at the first record kept, with a loss. One that no
    /// broker leads now holds up none of the others.
    fn assigned(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) -> KafkaResult<()> {
        let topic = &self.shared.topic;
        let committed = asked(|| consumer.committed_offsets(list.clone(), ASK))?;
        let (mut starts, until) = (TopicPartitionList::new(), Instant::now() + LEADERS);
        for element in committed.elements() {
            element.error()?;
            let partition = element.partition();
            let stood = match element.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            };
            let since_ms = element.metadata().parse().ok().filter(|ms: &i64| *ms > 0);
            let kept = kept(consumer, (topic, partition), until)?;
            let (start, gone) = match (kept, stood) {
                (Some(kept), _) => begin(kept, stood, self.shared.reached(partition)),
                // The brokers say later if that place is gone.
                (None, Some(stood)) => (stood, None),
                (None, None) => (0, None),
            };
            let assignment = {
                let mut owned = locked(&self.shared.owned);
                let assignment = owned.assign(partition, start, since_ms.unwrap_or_default());
                if stood.is_some() {
                    owned.stands(partition);
                }
                assignment
            };
            let told = (kept.is_some() || stood.is_some()).then_some(start);
            locked(&self.shared.coming).begins((partition, assignment), told, since_ms.unwrap_or_default());
            let place = match (kept, stood) {
                (None, None) => {
                    locked(&self.shared.owned).is_judged_later(partition);
                    Offset::Beginning
                }
                _ => Offset::Offset(start),
            };
            starts.add_partition_offset(topic, partition, place)?;
            if let Some(gone) = gone {
                self.shared.is_gone((partition, assignment), (start, since_ms), gone);
            }
        }
        tracing::info!(partitions = ?list.elements().iter().map(|e| e.partition()).collect::<Vec<_>>(), "Partitions are ours.");
        consumer.incremental_assign(&starts)
    }

    fn revoked(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) -> KafkaResult<()> {
        let partitions: Vec<i32> = list.elements().iter().map(|element| element.partition()).collect();
        let gone = self.shared.gone.load(Ordering::Relaxed);
        if !consumer.assignment_lost() && !gone {
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

impl Shared {
    /// How far the group had come in a partition, as far as this process knows that it stood there.
    fn reached(&self, partition: i32) -> Option<i64> {
        let been = locked(&self.owned).been(partition);
        let reached = been.stood.then_some(been.reached);
        if self.foreign { reached.or(Some(0)) } else { reached }
    }

    /// Notes a loss before the first offset of a partition, and when the last record before it was written.
    fn is_gone(&self, (partition, assignment): (i32, u64), (start, since_ms): (i64, Option<i64>), gone: Gone) {
        let mut owned = locked(&self.owned);
        // The group's position may have gone with its note of the time.
        let known = Some(owned.been(partition).at_ms).filter(|at_ms| *at_ms > 0);
        let since_ms = since_ms.or(known);
        owned.owes(partition);
        if gone.cause != Cause::Expired {
            owned.anew(partition);
        }
        drop(owned);
        let claim = Claim { partition, assignment, next: start, at_ms: since_ms.unwrap_or_default() };
        locked(&self.losses).push((claim, gone.loss((&self.topic, partition), since_ms)));
    }

    /// What is gone before the first record of a partition that no broker led when it was assigned.
    pub(super) fn judge_first(&self, (partition, assignment): (i32, u64), offset: i64) {
        if let (_, Some(gone)) = begin((offset, i64::MAX), None, self.reached(partition)) {
            self.is_gone((partition, assignment), (offset, None), gone);
        }
    }
}

/// The first offset that a partition keeps and the one after its last; none while no broker leads it, or its leader does not answer.
fn kept(
    consumer: &BaseConsumer<Rebalancing>,
    (topic, partition): (&str, i32),
    until: Instant,
) -> KafkaResult<Option<(i64, i64)>> {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        match consumer.fetch_watermarks(topic, partition, left.max(BETWEEN)) {
            Ok(kept) => return Ok(Some(kept)),
            Err(error) if left.is_zero() => {
                tracing::warn!(%error, partition, "Nobody tells what this partition keeps; it is read when its leader answers.");
                return if is_leaderless(&error) { Ok(None) } else { Err(error) };
            }
            Err(_) => std::thread::sleep(BETWEEN),
        }
    }
}

/// True if an error passes with a leader that comes.
fn is_leaderless(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::UnknownPartition
                | Code::LeaderNotAvailable
                | Code::NotLeaderForPartition
                | Code::ReplicaNotAvailable
                | Code::OffsetNotAvailable
                | Code::KafkaStorageError
                | Code::OperationTimedOut
                | Code::RequestTimedOut
                | Code::BrokerTransportFailure
                | Code::AllBrokersDown
        )
    )
}

fn asked<T>(question: impl Fn() -> KafkaResult<T>) -> KafkaResult<T> {
    let mut answer = question();
    for _ in 1..ASKED {
        if answer.is_ok() {
            break;
        }
        std::thread::sleep(BETWEEN);
        answer = question();
    }
    answer
}

/// Offsets `from..to` that cannot be read any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Gone {
    cause: Cause,
    from: i64,
    to: i64,
    /// How many of them this group had not read; none if nobody knows.
    missing: Option<u64>,
}

impl Gone {
    fn known(cause: Cause, from: i64, to: i64) -> Self {
        Self { cause, from, to, missing: u64::try_from(to - from).ok() }
    }

    fn loss(&self, (topic, partition): (&str, i32), since_ms: Option<i64>) -> Loss {
        let place = format!("{topic}/{partition}@{}-{}", self.from, self.to - 1);
        Loss { cause: self.cause, place, missing: self.missing, since_ms }
    }
}

/// Where to begin in a partition that keeps `first..end`, if the group stood at `stood` and this member had come to `reached`
/// before; and what is gone.
fn begin((first, end): (i64, i64), stood: Option<i64>, reached: Option<i64>) -> (i64, Option<Gone>) {
    match stood {
        Some(stood) if stood < first => (first, Some(Gone::known(Cause::Expired, stood, first))),
        Some(stood) if stood > end => (first, Some(Gone::known(Cause::WentBack, end, stood))),
        Some(stood) => (stood, None),
        // The group's position went with the topic.
        None if reached.is_some_and(|reached| reached > 0) => {
            (first, Some(Gone::known(Cause::Recreated, 0, reached.unwrap_or_default())))
        }
        // A group that stood nowhere need not have missed them: another one may have read them, or nobody was to.
        // Of a foreign topic nothing before our first read is missing: `reached` is then 0.
        None if first > 0 && reached.is_none() => {
            (first, Some(Gone { cause: Cause::Expired, from: 0, to: first, missing: None }))
        }
        None => (first, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_that_is_gone_is_a_loss_and_never_a_jump() {
        let known = |cause, from, to| Some(Gone::known(cause, from, to));
        assert_eq!(begin((0, 10), None, None), (0, None));
        assert_eq!(begin((0, 10), Some(0), None), (0, None));
        assert_eq!(begin((5, 10), Some(10), Some(10)), (10, None));
        assert_eq!(begin((5, 10), Some(3), None), (5, known(Cause::Expired, 3, 5)));
        assert_eq!(begin((0, 10), Some(12), None), (0, known(Cause::WentBack, 10, 12)));
        assert_eq!(begin((5, 10), None, Some(0)), (5, None));
        assert_eq!(begin((0, 4), None, Some(12)), (0, known(Cause::Recreated, 0, 12)));
    }

    #[test]
    fn what_a_new_group_did_not_find_is_told_without_a_number() {
        let (start, gone) = begin((5, 10), None, None);
        let loss = gone.unwrap().loss(("t", 3), None);
        assert_eq!((start, loss.cause, loss.missing, loss.place.as_str()), (5, Cause::Expired, None, "t/3@0-4"));
        let (_, gone) = begin((5, 10), Some(3), None);
        assert_eq!(gone.unwrap().loss(("t", 3), None).missing, Some(2));
    }
}
