//! The journal's scrub on a schedule: reads everything that is kept, slowly enough not to be in the way of intake, and
//! tells what it found. One at a time; the next is due so many hours after the last one ended, restarts included.

use crate::{config::Config, secrets::write_private};
use durable_log::{Journal, ScrubError, ScrubReport};
use prometheus::{IntCounterVec, IntGauge, Opts, Registry};
use serde::{Deserialize, Serialize};
use std::{
    ops::ControlFlow,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// Most bytes a second that a scrub reads: some per cent of a slow disk and of a core.
const BYTES_PER_SECOND: u64 = 16 << 20;
/// After so many bytes it waits for its time, and looks whether it shall stop.
const PIECE: u64 = 1 << 20;
/// A scrub that could not come to its end is tried again after this time.
const RETRY: Duration = Duration::from_secs(600);
/// Where the outcome is kept, below the data folder.
const FILE: &str = "scrub.json";

/// What a scrub found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// When it ended, UTC milliseconds.
    pub ended_at: i64,
    /// How long it took.
    pub seconds: u64,
    /// Segments looked at.
    pub segments: u64,
    /// Records that check out.
    pub records: u64,
    /// Bytes of their headers and bodies.
    pub bytes: u64,
    /// Damaged places.
    pub damage: u64,
    /// Those that lose records or trust in them.
    pub losses: u64,
}

/// The outcome of the last scrub, for a status.
pub type Last = watch::Receiver<Option<Outcome>>;

struct Metrics {
    runs: IntCounterVec,
    running: IntGauge,
    ended: IntGauge,
    seconds: IntGauge,
    records: IntGauge,
    bytes: IntGauge,
    damage: IntGauge,
    losses: IntGauge,
}

/// The schedule.
pub struct Scrubs {
    journal: Journal,
    /// None: never.
    every: Option<Duration>,
    file: PathBuf,
    metrics: Metrics,
    last: watch::Sender<Option<Outcome>>,
}

impl Scrubs {
    /// Reads when the last one ended; an unreadable note of it only makes the next one due.
    pub fn new(config: &Config, journal: Journal, registry: &Registry) -> anyhow::Result<(Self, Last)> {
        let file = config.path(FILE);
        let noted = std::fs::read(&file).ok().and_then(|text| serde_json::from_slice::<Outcome>(&text).ok());
        let every = (config.journal.scrub_hours > 0).then(|| Duration::from_secs(config.journal.scrub_hours * 3600));
        let metrics = Metrics::register(registry)?;
        if let Some(noted) = &noted {
            metrics.show(noted);
        }
        let (last, receiver) = watch::channel(noted);
        Ok((Self { journal, every, file, metrics, last }, receiver))
    }

    /// Runs until `stop` turns true.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let Some(every) = self.every else { return };
        let mut wait = due(self.last.borrow().as_ref(), super::now_ms(), every);
        loop {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
            let Some(scrubbed) = self.scrub(&mut stop).await else { return };
            wait = self.tell(scrubbed, every);
        }
    }

    /// One scrub; none if it was to stop.
    async fn scrub(&self, stop: &mut watch::Receiver<bool>) -> Option<(Result<ScrubReport, ScrubError>, Duration)> {
        let (journal, told) = (self.journal.clone(), Arc::new(AtomicBool::new(false)));
        let stopped = told.clone();
        let began = Instant::now();
        self.metrics.running.set(1);
        let mut work = tokio::task::spawn_blocking(move || journal.scrub_paced(pace(stopped)));
        let ended = tokio::select! {
            ended = &mut work => Some(ended),
            _ = stop.wait_for(|stop| *stop) => None,
        };
        self.metrics.running.set(0);
        let Some(ended) = ended else {
            told.store(true, Ordering::Relaxed);
            let _ = work.await;
            return None;
        };
        match ended {
            Ok(scrubbed) => Some((scrubbed, began.elapsed())),
            Err(_) => {
                tracing::error!("The scrub of the journal died; there is none until the next start.");
                None
            }
        }
    }

    /// Notes an outcome; how long to wait for the next scrub.
    fn tell(&self, (scrubbed, took): (Result<ScrubReport, ScrubError>, Duration), every: Duration) -> Duration {
        let report = match scrubbed {
            Ok(report) => report,
            Err(error) => {
                self.metrics.runs.with_label_values(&["failed"]).inc();
                tracing::warn!(%error, "The journal could not be scrubbed; this is tried again.");
                return RETRY.min(every);
            }
        };
        let outcome = Outcome {
            ended_at: super::now_ms(),
            seconds: took.as_secs(),
            segments: report.segments as u64,
            records: report.records,
            bytes: report.bytes,
            damage: report.damage_total,
            losses: report.losses,
        };
        if report.is_intact() {
            tracing::info!(records = outcome.records, seconds = outcome.seconds, "The journal was scrubbed: intact.");
        } else {
            tracing::error!(
                losses = outcome.losses,
                "The scrub found lost or altered records; see `tokentrail doctor`."
            );
        }
        let result = if report.is_intact() { "intact" } else { "damaged" };
        self.metrics.runs.with_label_values(&[result]).inc();
        self.metrics.show(&outcome);
        let kept = serde_json::to_vec(&outcome).map_err(Into::into).and_then(|text| write_private(&self.file, &text));
        if let Err(error) = kept {
            tracing::warn!(
                error = format!("{error:#}"),
                "The time of the scrub cannot be kept; a restart scrubs again."
            );
        }
        self.last.send_replace(Some(outcome));
        every
    }
}

impl Metrics {
    fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(format!("tokentrail_journal_scrub_{name}"), help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let runs = IntCounterVec::new(
            Opts::new("tokentrail_journal_scrub_runs_total", "Scrubs of the journal by result"),
            &["result"],
        )?;
        registry.register(Box::new(runs.clone()))?;
        ["intact", "damaged", "failed"].iter().for_each(|result| runs.with_label_values(&[result]).inc_by(0));
        Ok(Self {
            runs,
            running: gauge("running", "1 while the journal is scrubbed")?,
            ended: gauge("end_timestamp_seconds", "When the last scrub ended; 0 if none did")?,
            seconds: gauge("seconds", "How long the last scrub took")?,
            records: gauge("records", "Records that checked out in the last scrub")?,
            bytes: gauge("bytes", "Bytes of these records")?,
            damage: gauge("damage", "Damaged places that the last scrub found")?,
            losses: gauge("losses", "Those of them that lose records or trust in them")?,
        })
    }

    fn show(&self, outcome: &Outcome) {
        let set = |gauge: &IntGauge, value: u64| gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        self.ended.set(outcome.ended_at / 1000);
        set(&self.seconds, outcome.seconds);
        set(&self.records, outcome.records);
        set(&self.bytes, outcome.bytes);
        set(&self.damage, outcome.damage);
        set(&self.losses, outcome.losses);
    }
}

/// How long until the next scrub. A clock that was put back must not put it off for longer than its interval.
fn due(last: Option<&Outcome>, now: i64, every: Duration) -> Duration {
    let Some(last) = last else { return Duration::ZERO };
    let since = u64::try_from(now - last.ended_at).map_or(Duration::ZERO, Duration::from_millis);
    every.saturating_sub(since)
}

/// Waits so that the scrub keeps to its rate, and ends it when told to.
fn pace(stopped: Arc<AtomicBool>) -> impl FnMut(u64) -> ControlFlow<()> {
    let (mut bytes, mut looked_at, began) = (0, 0, Instant::now());
    move |more| {
        bytes += more;
        if bytes - looked_at < PIECE {
            return ControlFlow::Continue(());
        }
        looked_at = bytes;
        std::thread::sleep(ahead(bytes, began.elapsed()));
        if stopped.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// How much too early so many bytes are after such a time.
fn ahead(bytes: u64, elapsed: Duration) -> Duration {
    let due = Duration::from_millis(bytes.saturating_mul(1000) / BYTES_PER_SECOND);
    due.saturating_sub(elapsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(ended_at: i64) -> Outcome {
        Outcome { ended_at, seconds: 0, segments: 0, records: 0, bytes: 0, damage: 0, losses: 0 }
    }

    #[test]
    fn the_next_scrub_is_due_an_interval_after_the_last_ended() {
        let every = Duration::from_secs(3600);
        assert_eq!(due(None, 5, every), Duration::ZERO);
        assert_eq!(due(Some(&ended(1_000_000)), 1_000_000 + 600_000, every), Duration::from_secs(3000));
        assert_eq!(due(Some(&ended(1_000_000)), 1_000_000 + 9_000_000, every), Duration::ZERO);
        assert_eq!(due(Some(&ended(1_000_000)), 0, every), every, "the clock was put back");
    }

    #[test]
    fn a_scrub_keeps_to_its_rate() {
        assert_eq!(ahead(BYTES_PER_SECOND * 2, Duration::from_secs(1)), Duration::from_secs(1));
        assert_eq!(ahead(BYTES_PER_SECOND, Duration::from_secs(5)), Duration::ZERO);
        assert!(ahead(PIECE, Duration::ZERO) < Duration::from_millis(250), "a stop is heard soon");
    }

    #[test]
    fn a_scrub_that_is_told_to_stop_stops() {
        let mut pace = pace(Arc::new(AtomicBool::new(true)));
        assert_eq!(pace(PIECE - 1), ControlFlow::Continue(()));
        assert_eq!(pace(1), ControlFlow::Break(()));
    }
}
