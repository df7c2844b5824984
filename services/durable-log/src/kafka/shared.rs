//! What handle, thread and rebalance of one member share: what it owns, what is settled, what is lost.

use super::aside::Aside;
use super::carrier::KafkaMark;
use super::member::{Building, Consuming};
use super::missed::Coming;
use super::owned::{Claim, Owned, Position};
use super::settings::Connection;
use super::subscription::{Offsets, Reading};
use crate::carrier::{Load, Loss};
use crate::log::Record;
use crate::segment::locked;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// Longest wait of a revocation for loads under way; a quarter of `max.poll.interval.ms` if that is less.
const REVOKE: Duration = Duration::from_secs(15);
/// The part of that interval.
const OF_POLL: u32 = 4;
/// The partition whose owner does what only one member may do.
const LEADING: i32 = 0;

/// A member of a group at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberStatus {
    /// Partitions that it has.
    pub partitions: Vec<i32>,
    /// Records that the whole group has not settled, when it was measured last.
    pub backlog: u64,
    /// Of its partitions in which records wait: since when they do, or when the last settled record was written if that is later; the
    /// least of all, UTC milliseconds.
    pub behind_since: Option<i64>,
    /// Nobody takes what was read: nothing more is fetched until somebody does.
    pub paused: bool,
    /// What is wrong with the brokers now.
    pub trouble: Option<String>,
    /// Copies of dead letters that are on their topic, since the start.
    pub set_aside: u64,
    /// Copies that could not be made.
    pub not_set_aside: u64,
}

pub(super) struct Shared {
    pub(super) topic: String,
    /// Its records are taken as they are.
    pub(super) foreign: bool,
    pub(super) offsets: Offsets,
    /// Where dead letters are copied to.
    pub(super) aside: Option<Aside>,
    /// How long a revocation waits.
    revoke: Duration,
    pub(super) owned: Mutex<Owned>,
    pub(super) coming: Mutex<Coming>,
    /// Told whenever something is settled.
    pub(super) progress: Condvar,
    pub(super) losses: Mutex<Vec<(Claim, Loss)>>,
    pub(super) stop: AtomicBool,
    /// The group's position has gone, and maybe the topic with it: the consumer must look where to begin, and nothing is
    /// committed before that, or a position in the old topic would count for the new one.
    pub(super) gone: AtomicBool,
    /// By partition: the first record that this program is too old for. Nothing behind it is read.
    pub(super) newer: Mutex<BTreeMap<i32, Newer>>,
    pub(super) paused: AtomicBool,
    pub(super) backlog: AtomicU64,
    pub(super) behind_since: Mutex<Option<i64>>,
    /// The brokers have answered a question since this was looked at last.
    pub(super) answered: AtomicBool,
    pub(super) leads: watch::Sender<bool>,
    pub(super) settled_until: watch::Sender<i64>,
    pub(super) trouble: Mutex<Option<String>>,
    /// Rights that were missing when the lag was measured last.
    pub(super) refused: Mutex<Option<String>>,
}

/// A record that this program is too old for.
#[derive(Debug)]
pub(super) struct Newer {
    /// The assignment under which it was met.
    pub(super) assignment: u64,
    /// Where it stands.
    pub(super) place: String,
}

impl Shared {
    pub(super) fn new(topic: String, (connection, reading): (&Connection, Reading)) -> KafkaResult<Self> {
        let foreign = matches!(reading, Reading::Foreign | Reading::Messages);
        let offsets = reading.offsets();
        let aside = match reading {
            Reading::Receipts(Some(aside)) => Some(Aside::new(connection, aside)?),
            Reading::Receipts(None) | Reading::Foreign | Reading::Messages => None,
        };
        let poll = connection.consumer_config("").get("max.poll.interval.ms").and_then(|ms| ms.parse().ok());
        let poll = poll.map_or(REVOKE, |ms| Duration::from_millis(ms) / OF_POLL);
        Ok(Self {
            topic,
            foreign,
            offsets,
            aside,
            revoke: REVOKE.min(poll),
            owned: Mutex::default(),
            coming: Mutex::default(),
            progress: Condvar::new(),
            losses: Mutex::default(),
            stop: AtomicBool::new(false),
            gone: AtomicBool::new(false),
            newer: Mutex::default(),
            paused: AtomicBool::new(false),
            backlog: AtomicU64::new(0),
            behind_since: Mutex::default(),
            answered: AtomicBool::new(false),
            leads: watch::Sender::new(false),
            settled_until: watch::Sender::new(0),
            trouble: Mutex::default(),
            refused: Mutex::default(),
        })
    }

    pub(super) fn status(&self) -> MemberStatus {
        // Before the others: what stands in the value below keeps its locks until the value is made.
        let held_up = self.held_up().or_else(|| self.damage());
        let (set_aside, not_set_aside) = self.aside.as_ref().map(Aside::counts).unwrap_or_default();
        MemberStatus {
            set_aside,
            not_set_aside,
            partitions: locked(&self.owned).partitions(),
            backlog: self.backlog.load(Ordering::Relaxed),
            behind_since: *locked(&self.behind_since),
            paused: self.paused.load(Ordering::Relaxed),
            trouble: held_up.or_else(|| locked(&self.refused).clone()).or_else(|| locked(&self.trouble).clone()),
        }
    }

    /// Says which partitions stand still before a record of a newer format.
    fn held_up(&self) -> Option<String> {
        let newer = locked(&self.newer);
        let owned = locked(&self.owned);
        let here = newer.iter().filter(|(partition, met)| owned.assignment(**partition) == Some(met.assignment));
        let places: Vec<&str> = here.map(|(_, met)| met.place.as_str()).collect();
        (!places.is_empty()).then(|| {
            format!("{}: a newer format than this program reads; upgrade it, nothing is lost", places.join(", "))
        })
    }

    /// Says which partitions stand still before bytes that cannot be read.
    fn damage(&self) -> Option<String> {
        let coming = locked(&self.coming);
        let owned = locked(&self.owned);
        let here = coming.held().filter(|(partition, assignment, _)| owned.assignment(*partition) == Some(*assignment));
        let places: Vec<String> = here.map(|(partition, _, at)| format!("{}/{partition}@{at}", self.topic)).collect();
        (!places.is_empty()).then(|| {
            format!(
                "{}: the brokers hold damaged bytes, and nothing behind them is read: let a broker whose copy is whole lead, or \
                 delete the records there (docs/kafka.md)",
                places.join(", ")
            )
        })
    }

    /// A load of what still belongs to this member; none if nothing does.
    pub(super) fn load(&self, building: Building) -> Option<Load<KafkaMark>> {
        let mut owned = locked(&self.owned);
        let mut claims = BTreeMap::<i32, Claim>::new();
        let mut is_ours = |claim: &Claim| {
            let ours = owned.assignment(claim.partition) == Some(claim.assignment);
            if ours {
                let known = claims.entry(claim.partition).or_insert(*claim);
                if known.next < claim.next {
                    *known = *claim;
                }
            }
            ours
        };
        let records: Vec<Record> =
            building.records.into_iter().filter(|(claim, _)| is_ours(claim)).map(|(_, record)| record).collect();
        let losses: Vec<Loss> =
            building.losses.into_iter().filter(|(claim, _)| is_ours(claim)).map(|(_, loss)| loss).collect();
        let claims: Vec<Claim> = claims.into_values().collect();
        owned.given(&claims);
        drop(owned);
        (!claims.is_empty()).then_some(Load { records, mark: KafkaMark(claims), losses })
    }

    /// Commits what was settled since the last time. What fails is part of the next one.
    pub(super) fn commit(&self, consumer: &Consuming) {
        let moved = locked(&self.owned).moved();
        if moved.is_empty() || self.gone.load(Ordering::Relaxed) {
            return;
        }
        let mut list = TopicPartitionList::new();
        for Position { partition, next, at_ms } in &moved {
            let mut element = list.add_partition(&self.topic, *partition);
            if element.set_offset(Offset::Offset(*next)).is_ok() {
                element.set_metadata(at_ms.to_string());
            }
        }
        if let Some(aside) = &self.aside {
            aside.settle();
        }
        // Commit point: every record below was acknowledged by whoever settled it. A crash before brings it again; a broker
        // refuses it from a member that the group has replaced. It waits for the answer: by librdkafka's events no answer
        // to another kind of commit arrives, and what is not known to be kept would be committed for ever.
        match consumer.commit(&list, CommitMode::Sync) {
            Ok(()) => locked(&self.owned).committed(&moved),
            Err(error) => tracing::debug!(%error, "A position cannot be committed; what is behind it comes again."),
        }
    }

    /// Nothing is held any more, whatever a consumer left behind.
    pub(super) fn give_up_all(&self) {
        locked(&self.owned).revoke_all();
        self.tell_lead();
    }

    pub(super) fn tell_lead(&self) {
        let leads = locked(&self.owned).assignment(LEADING).is_some();
        self.leads.send_if_modified(|before| std::mem::replace(before, leads) != leads);
    }

    /// Waits until nothing of these partitions is under way.
    pub(super) fn wait_settled(&self, partitions: &[i32]) {
        let owned = locked(&self.owned);
        let waited = self.progress.wait_timeout_while(owned, self.revoke, |owned| owned.busy(partitions));
        let (owned, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        drop(owned);
        if timeout.timed_out() {
            tracing::info!(?partitions, "Partitions are given up with work under way; their new owner does it again.");
        }
    }
}
