//! Checkpoints: everything that the correlation knows and said, kept in ClickHouse, so that a start reads only what came after.
//!
//! ([`super::begin`]). Writing one is never needed for an answer: where that fails, the next start reads more.

use super::{PACE, Stage, ending, fold::Fold};
use crate::faults::on_a_thread;
use correlate::checkpoint::{Kept, Reader, Unreadable, Writer};
use events::ids::StreamId;
use std::time::{Duration, Instant};
use store::{
    StoreError,
    correlation::{Covered, Seal},
};
use tokio::sync::mpsc;

/// How the bytes are laid out.
const FORMAT: u32 = 3;
/// About so many bytes go at once.
const CHUNK_BYTES: usize = 8 << 20;
/// After a beginning that took so long, a checkpoint is written without waiting for its time.
const LONG_BEGINNING: Duration = Duration::from_secs(60);
/// Chunks that wait for ClickHouse, or for being read.
const CHUNKS_AHEAD: usize = 2;

/// How far a fold is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reached {
    /// Positions whose events it took in.
    pub covered: Covered,
    /// The last change of the past that it knows.
    pub past: Option<i64>,
    /// How long it took to read everything, the last time that was done.
    pub whole: Duration,
}

impl Reached {
    fn put(&self, to: &mut Writer<'_>) {
        let ranges: Vec<([u8; 16], (u64, u64))> =
            self.covered.iter().map(|(stream, range)| (stream.0, range)).collect();
        ranges.put(to);
        u64::try_from(self.whole.as_millis()).unwrap_or(u64::MAX).put(to);
    }

    fn get(past: Option<i64>, from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        let mut covered = Covered::default();
        for (stream, range) in Vec::<([u8; 16], (u64, u64))>::get(from)? {
            covered.add(StreamId(stream), range);
        }
        Ok(Self { covered, past, whole: Duration::from_millis(u64::get(from)?) })
    }
}

/// When the next one is due.
pub(super) struct Saving {
    /// Something was taken in since the last.
    pub news: bool,
    /// Whatever the time.
    at_once: bool,
    last: Instant,
    cost: Duration,
}

impl Saving {
    /// After a beginning that read so many events, and took so long: nobody should have to do that again.
    pub(super) fn after(events: u64, took: Duration) -> Self {
        Self { news: events > 0, at_once: took >= LONG_BEGINNING, last: Instant::now(), cost: Duration::ZERO }
    }

    /// One was written, or not, just now.
    pub(super) fn done(cost: Option<Duration>) -> Self {
        Self { news: cost.is_none(), at_once: false, last: Instant::now(), cost: cost.unwrap_or_default() }
    }

    /// At most so often, and at most a small part of the time.
    pub(super) fn is_due(&self, every: Duration) -> bool {
        self.news && (self.at_once || self.last.elapsed() >= every.max(self.cost * PACE))
    }
}

impl Stage {
    /// Writes a checkpoint of all that `fold` took in so far; how long that took, if it was written. Nothing else goes on
    /// meanwhile, because it is the state itself that is written.
    pub(super) async fn keep(&self, fold: Fold, reached: &Reached) -> Result<(Fold, Option<Duration>), StoreError> {
        // What rests on the order of arrival, or lacks what is older than all that it keeps, is not to be gone on from.
        if !fold.is_sound() {
            return Ok((fold, None));
        }
        let began = Instant::now();
        let mut sealing = self.store.begin_checkpoint(&self.config.tenant, fold.version());
        let (sender, mut chunks) = mpsc::channel(CHUNKS_AHEAD);
        let head = reached.clone();
        let writing = on_a_thread(move || {
            let mut full = |chunk| sender.blocking_send(chunk).is_ok();
            let mut to = Writer::new(CHUNK_BYTES, &mut full);
            head.put(&mut to);
            fold.put(&mut to);
            (to.finish(), fold)
        });
        let mut written = Ok(());
        while let Some(chunk) = chunks.recv().await {
            written = sealing.chunk(chunk).await;
            if written.is_err() {
                break;
            }
        }
        // Ends the writing, if it has not.
        drop(chunks);
        let (whole, fold) = writing.await.ok_or_else(ending)?;
        let sealed = match written {
            Ok(()) if whole => sealing.seal(&self.made_by(), reached.past).await.map(Some),
            Ok(()) => Ok(None),
            Err(error) => Err(error),
        };
        match sealed {
            Ok(Some(size)) => {
                self.metrics.checkpoints.inc();
                self.metrics.checkpoint_bytes.set(i64::try_from(size).unwrap_or(i64::MAX));
                Ok((fold, Some(began.elapsed())))
            }
            Ok(None) => Ok((fold, None)),
            Err(error) => {
                tracing::warn!(%error, "A checkpoint of the correlation was not written: the next start reads more.");
                Ok((fold, None))
            }
        }
    }

    /// The state of a checkpoint; none if it is not whole.
    pub(super) async fn read(&self, seal: Seal, epoch: u64) -> Result<Option<(Fold, Reached)>, StoreError> {
        let past = seal.past;
        let mut unsealing = self.store.open_checkpoint(&self.config.tenant, seal);
        let (sender, mut chunks) = mpsc::channel::<Vec<u8>>(CHUNKS_AHEAD);
        let (config, suspects) = (self.config.clone(), self.suspects.clone());
        let reading = on_a_thread(move || {
            let mut next = || chunks.blocking_recv();
            let mut from = Reader::new(&mut next);
            let reached = Reached::get(past, &mut from)?;
            let fold = Fold::get((config, epoch), &mut from)?.told_to(&suspects);
            if from.is_done() { Ok((fold, reached)) } else { Err(Unreadable) }
        });
        loop {
            let chunk = match unsealing.chunk().await {
                // What the server cannot read does not become readable by asking again.
                Err(error) if !error.is_unavailable() => None,
                chunk => chunk?,
            };
            let Some(chunk) = chunk else { break };
            if sender.send(chunk).await.is_err() {
                break;
            }
        }
        drop(sender);
        let read = reading.await.ok_or_else(ending)?;
        let whole = unsealing.is_whole();
        Ok(read.ok().filter(|_| whole))
    }

    /// What must be the same of two programs that go on from each other's checkpoints: layout, rules, configuration.
    pub(super) fn made_by(&self) -> String {
        let mark = self.config.key.mark("correlation checkpoint", &[&format!("{:?}", self.config)]);
        format!("{FORMAT}/{}/{mark}", env!("TOKENTRAIL_RULES"))
    }
}
