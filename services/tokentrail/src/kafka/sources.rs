//! Kafka topics as a source: takes their records in like webhooks, and commits a position only when the journal has synced what
//! lies below it. Never ends because of what a record holds: what cannot be read is a dead letter.

use crate::{
    app::now_ms,
    config::Config,
    gauges,
    status::{ObserveTopics, TopicReport},
};
use anyhow::{Context, bail};
use collector::{
    journal::Entry,
    topic::{DELIVERY, TopicReceiver},
};
use durable_log::{
    AppendError, Journal, MAX_APPEND_BYTES, MAX_APPEND_ENTRIES, ReadLimits,
    carrier::{Appetite, Cause, Loss},
    kafka::{ForeignTopic, MemberStatus},
};
use events::{lines::SenderGap, person::DeploymentKey, receipt::ReceiptHeader};
use prometheus::Registry;
use sha2::{Digest, Sha256};
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// What one read may hold. The position moves once for it, after one sync.
const APPETITE: Appetite =
    Appetite { records: 4_000, bytes: 8 << 20, enough: 1_000, linger: Duration::from_millis(50) };
/// Records at the journal's end among which a record may be that was taken in and whose position was not committed.
const TAIL: u64 = 100_000;
/// How long after the first load such a record may still come.
const TAIL_TIME: Duration = Duration::from_secs(600);
/// Wait while the journal is full.
const FULL: Duration = Duration::from_secs(1);

/// Every topic of every source, joined.
pub struct TopicSources {
    readers: Vec<Reader>,
    journal: Journal,
}

struct Reader {
    source: String,
    topic: String,
    foreign: ForeignTopic,
    receiver: TopicReceiver,
    journal: Journal,
}

/// Receipts that the journal's end holds: by delivery and index, the mark of the body.
type Taken = HashMap<(String, u32), [u8; 32]>;

impl TopicSources {
    /// Joins the groups. Nothing is asked of the brokers yet.
    pub fn new(config: &Config, (journal, key): (Journal, DeploymentKey), registry: &Registry) -> anyhow::Result<Self> {
        let mut readers = Vec::new();
        for (id, topics) in config.sources.iter().filter_map(|(id, source)| Some((id, source.kafka.as_ref()?))) {
            let table = format!("sources.{id}.kafka");
            let connection = super::connect(config, &table, &topics.reached(&config.kafka))?;
            let connection = connection.with_context(|| format!("{table} names no brokers"))?;
            for topic in &topics.topics {
                let foreign =
                    ForeignTopic::join(&connection, (topic, &topics.group(id)), APPETITE).context(table.clone())?;
                readers.push(Reader {
                    source: id.clone(),
                    topic: topic.clone(),
                    foreign,
                    receiver: TopicReceiver::new((&config.tenant, id), key.clone()),
                    journal: journal.clone(),
                });
            }
        }
        let sources = Self { readers, journal };
        if let Some(observe) = sources.observe() {
            gauges::topics(registry, observe)?;
        }
        Ok(sources)
    }

    /// Tells how each topic stands; none if there is none.
    pub fn observe(&self) -> Option<ObserveTopics> {
        type Watched = (String, String, Box<dyn Fn() -> MemberStatus + Send + Sync>);
        let watch =
            |one: &Reader| -> Watched { (one.source.clone(), one.topic.clone(), Box::new(one.foreign.watch())) };
        let watched: Vec<Watched> = self.readers.iter().map(watch).collect();
        let report = |(source, topic, status): &Watched| {
            let status = status();
            TopicReport {
                source: source.clone(),
                topic: topic.clone(),
                lag: status.backlog,
                behind_since: status.behind_since,
                partitions: status.partitions,
                trouble: status.trouble,
            }
        };
        (!watched.is_empty()).then(|| Arc::new(move || watched.iter().map(report).collect()) as ObserveTopics)
    }

    /// Reads until `stop` turns true.
    pub async fn run(self, mut stop: watch::Receiver<bool>) -> anyhow::Result<()> {
        if !self.readers.is_empty() {
            let journal = self.journal.clone();
            let taken = tokio::task::spawn_blocking(move || taken(&journal)).await.context("a read died")??;
            let taken = Arc::new(taken);
            let mut reading = tokio::task::JoinSet::new();
            for reader in self.readers {
                reading.spawn(reader.read(taken.clone(), stop.clone()));
            }
            while let Some(ended) = reading.join_next().await {
                ended.context("the reader of a topic died")??;
            }
        }
        let _ = stop.wait_for(|stop| *stop).await;
        Ok(())
    }
}

/// What one reader may meet again.
struct Tail {
    /// None when it is over.
    taken: Option<Arc<Taken>>,
    /// When its first load came: brokers that are away at the start hold up what comes again, too.
    since: Option<Instant>,
}

impl Tail {
    /// A load has come.
    fn comes(&mut self, now: Instant) {
        let since = *self.since.get_or_insert(now);
        self.taken.take_if(|_| now.duration_since(since) >= TAIL_TIME);
    }
}

/// What was taken in from topics last. A position is committed a moment after its records are synced: after a kill they come
/// again, and are known by place and content. A topic that was made anew has other content at the same place.
fn taken(journal: &Journal) -> anyhow::Result<Taken> {
    let (mut next, end) = (journal.status().first, journal.durable_end());
    next = next.max(end.saturating_sub(TAIL));
    let mut taken = Taken::new();
    while next < end {
        let batch = journal.read(next, ReadLimits::default()).context("cannot read the journal")?;
        for record in &batch.records {
            let Ok(header) = ReceiptHeader::from_bytes(&record.header) else { continue };
            if header.delivery_id.starts_with(DELIVERY) {
                let key = (place(&header.source_id, &header.delivery_id), header.delivery_index);
                taken.insert(key, mark(&record.body));
            }
        }
        next = batch.next.max(next + 1);
    }
    Ok(taken)
}

fn place(source: &str, delivery: &str) -> String {
    format!("{source} {delivery}")
}

fn mark(body: &[u8]) -> [u8; 32] {
    Sha256::digest(body).into()
}

impl Reader {
    async fn read(self, taken: Arc<Taken>, mut stop: watch::Receiver<bool>) -> anyhow::Result<()> {
        let mut tail = Tail { taken: Some(taken), since: None };
        loop {
            let load = tokio::select! {
                load = self.foreign.next() => load.with_context(|| format!("topic {} cannot be read", self.topic))?,
                _ = stop.wait_for(|stop| *stop) => break,
            };
            tail.comes(Instant::now());
            let now = now_ms();
            let mut entries: Vec<Entry> = load.losses.iter().map(|loss| self.lost(loss, now)).collect();
            // What comes again was synced here, in this run: the partition was lost before its position could be committed.
            for record in load.records.iter().filter(|record| !record.again) {
                let received = self.receiver.receive(&record.place, &record.body, now);
                if !tail.taken.as_ref().is_some_and(|taken| self.was_taken(taken, &received)) {
                    entries.extend(received);
                }
            }
            if !self.append(entries, &mut stop).await? {
                break;
            }
            // Commit point: every record of the load is synced, as a receipt of its own. A crash before this line brings it again,
            // and it is known by its place.
            self.foreign.settle(load.mark)?;
        }
        // Leaves its group: that asks brokers.
        tokio::task::spawn_blocking(move || self.foreign.leave()).await.context("a topic was not left")
    }

    fn was_taken(&self, taken: &Taken, received: &[Entry]) -> bool {
        let known = |entry: &Entry| {
            let header = ReceiptHeader::from_bytes(&entry.header).ok()?;
            let key = (place(&self.source, &header.delivery_id), header.delivery_index);
            taken.get(&key).filter(|known| **known == mark(&entry.body))
        };
        !taken.is_empty() && received.iter().all(|entry| known(entry).is_some())
    }

    fn lost(&self, loss: &Loss, now: i64) -> Entry {
        // Of a topic that went back or was made anew nobody knows what it held.
        let missing = loss.missing.filter(|_| loss.cause == Cause::Expired);
        let (source, topic, cause) = (&self.source, &self.topic, loss.cause.as_str());
        tracing::error!(
            source,
            topic,
            cause,
            place = loss.place,
            missing,
            "Records of a topic were gone before they were read."
        );
        let (source, instance) = (self.source.clone(), loss.place.clone());
        let since = loss.since_ms.unwrap_or(now);
        self.receiver.lost(&SenderGap { source, instance, since, until: now, dropped_lines: missing }, now)
    }

    /// Appends in parts that the journal takes; false if told to stop before all of them were.
    async fn append(&self, entries: Vec<Entry>, stop: &mut watch::Receiver<bool>) -> anyhow::Result<bool> {
        let size = |entry: &Entry| entry.header.len() + entry.body.len();
        let (mut part, mut bytes) = (Vec::new(), 0);
        for entry in entries {
            if part.len() == MAX_APPEND_ENTRIES || bytes + size(&entry) > MAX_APPEND_BYTES {
                if !self.append_part(std::mem::take(&mut part), stop).await? {
                    return Ok(false);
                }
                bytes = 0;
            }
            bytes += size(&entry);
            part.push(durable_log::Entry { header: entry.header, body: entry.body });
        }
        self.append_part(part, stop).await
    }

    async fn append_part(
        &self,
        part: Vec<durable_log::Entry>,
        stop: &mut watch::Receiver<bool>,
    ) -> anyhow::Result<bool> {
        let mut told = false;
        while !part.is_empty() {
            match self.journal.append(part.clone()).await {
                Ok(_) => break,
                Err(AppendError::Full) if !told => {
                    tracing::warn!(topic = self.topic, "The journal is full; the topic is read on when it is not.");
                    told = true;
                }
                Err(AppendError::Full) => {}
                Err(error @ (AppendError::TooLarge | AppendError::Stopped)) => {
                    bail!("records of topic {} cannot be kept: {error}", self.topic)
                }
            }
            tokio::select! {
                () = tokio::time::sleep(FULL) => {}
                _ = stop.wait_for(|stop| *stop) => return Ok(false),
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_again_is_known_for_a_while_after_the_first_load_however_late_that_is() {
        let start = Instant::now();
        let mut tail = Tail { taken: Some(Arc::default()), since: None };
        let first = start + 3 * TAIL_TIME;
        tail.comes(first);
        assert!(tail.taken.is_some(), "the brokers were away at the start");
        tail.comes(first + TAIL_TIME / 2);
        assert!(tail.taken.is_some());
        tail.comes(first + TAIL_TIME);
        assert!(tail.taken.is_none(), "it is not kept for ever");
    }
}
