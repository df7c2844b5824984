//! Work beside the flow that dies by a fault of its own (a panic): it is caught, counted, told, and begun again. It never takes the
//! flow, or the intake of the same process, with it, and never stays away in silence.

use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};
use std::{
    collections::{BTreeMap, BTreeSet},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
    time::Duration,
};
use tokio::{task::spawn_blocking, time::sleep};

/// First and longest wait before work that died begins again: a fault that comes back at once costs little.
pub const AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// Work that ran for so long after its last fault is well again.
const WELL: Duration = Duration::from_secs(60);

/// What runs beside the flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Decisions and their grounds.
    Correlation,
    /// Watermarks and gaps.
    Completeness,
    /// Kept counts.
    Counts,
    /// Ids of privileged rights.
    Privileged,
    /// Drift rules and the receivers of alerts.
    Alerts,
}

impl Part {
    /// In a word, for metrics and status.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Correlation => "correlation",
            Self::Completeness => "completeness",
            Self::Counts => "counts",
            Self::Privileged => "privileged",
            Self::Alerts => "alerts",
        }
    }
}

/// What became of a part that died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Times that it died since the start.
    pub count: u64,
    /// The last time, UTC milliseconds.
    pub at: i64,
    /// It works again, all of it.
    pub well: bool,
}

/// One of the workers of a part.
type Worker = u64;

/// What is known of a part that died.
struct Record {
    fault: Fault,
    /// Those that died and have not worked again.
    ill: BTreeSet<Worker>,
}

/// A cheap handle: parts note, status and metrics look.
#[derive(Clone)]
pub struct Faults {
    board: Arc<Mutex<BTreeMap<Part, Record>>>,
    workers: Arc<AtomicU64>,
    clock: fn() -> i64,
    total: IntCounterVec,
    up: IntGaugeVec,
}

impl Faults {
    /// `clock`: UTC milliseconds.
    pub fn register(registry: &Registry, clock: fn() -> i64) -> Result<Self, prometheus::Error> {
        let total = Opts::new("tokentrail_part_faults_total", "Times that a part died by a fault of its own");
        let up = Opts::new("tokentrail_part_up", "0 from a fault of a part until it works again");
        let (total, up) = (IntCounterVec::new(total, &["part"])?, IntGaugeVec::new(up, &["part"])?);
        registry.register(Box::new(total.clone()))?;
        registry.register(Box::new(up.clone()))?;
        Ok(Self { board: Arc::default(), workers: Arc::default(), clock, total, up })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Part, Record>> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every part that died since the start.
    pub fn told(&self) -> Vec<(Part, Fault)> {
        self.lock().iter().map(|(part, record)| (*part, record.fault)).collect()
    }

    /// A part that has one worker works: it is up, and well if it ever died.
    pub fn well(&self, part: Part) {
        self.works(part, 0);
    }

    /// A worker works: its part is well once none of its workers is ill.
    fn works(&self, part: Part, worker: Worker) {
        let mut board = self.lock();
        let record = board.get_mut(&part).filter(|record| !record.fault.well);
        if let Some(record) = record {
            record.ill.remove(&worker);
            if !record.ill.is_empty() {
                return;
            }
            record.fault.well = true;
            tracing::info!(part = part.as_str(), "A part that had died works again.");
        }
        self.up.with_label_values(&[part.as_str()]).set(1);
    }

    fn note(&self, part: Part, worker: Worker) {
        let mut board = self.lock();
        let unknown = || Record { fault: Fault { count: 0, at: 0, well: false }, ill: BTreeSet::new() };
        let record = board.entry(part).or_insert_with(unknown);
        record.ill.insert(worker);
        record.fault = Fault { count: record.fault.count + 1, at: (self.clock)(), well: false };
        self.total.with_label_values(&[part.as_str()]).inc();
        self.up.with_label_values(&[part.as_str()]).set(0);
        let count = record.fault.count;
        tracing::error!(part = part.as_str(), count, "A part died by a fault of its own; it begins again.");
    }

    /// Runs the work of a part that has one worker to its end; none if it died, which is noted.
    pub async fn caught<T>(&self, part: Part, work: impl Future<Output = T>) -> Option<T> {
        self.caught_of((part, 0), work).await
    }

    async fn caught_of<T>(&self, (part, worker): (Part, Worker), work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        // What a part shares with others it keeps behind locks and in channels, whose values are whole at any instant; the rest goes
        // with it. A future that panicked is not polled again.
        let polled =
            std::future::poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
                Ok(Poll::Pending) => Poll::Pending,
                Ok(Poll::Ready(done)) => Poll::Ready(Some(done)),
                Err(_) => Poll::Ready(None),
            });
        let done = polled.await;
        if done.is_none() {
            self.note(part, worker);
        }
        done
    }

    /// Runs work until it ends by itself, anew each time that it dies.
    pub async fn kept<T, F: Future<Output = T>>(&self, part: Part, work: impl Fn() -> F) -> T {
        let worker = self.workers.fetch_add(1, Ordering::Relaxed) + 1;
        let _until_it_ends = Employed { faults: self, part, worker };
        let mut wait = AGAIN.0;
        loop {
            let mut running = pin!(self.caught_of((part, worker), Box::pin(work())));
            let ended = tokio::select! {
                ended = &mut running => ended,
                () = sleep(WELL) => {
                    self.works(part, worker);
                    wait = AGAIN.0;
                    running.await
                }
            };
            if let Some(done) = ended {
                return done;
            }
            sleep(wait).await;
            wait = (wait * 2).min(AGAIN.1);
        }
    }
}

/// A worker that is given up is not waited for: whoever takes its place will work or die by itself.
struct Employed<'a> {
    faults: &'a Faults,
    part: Part,
    worker: Worker,
}

impl Drop for Employed<'_> {
    fn drop(&mut self) {
        if let Some(record) = self.faults.lock().get_mut(&self.part) {
            record.ill.remove(&self.worker);
        }
    }
}

/// Begins work on a thread of its own, as a part of whoever waits for it: if it dies, so does the part. None at the end of the
/// program.
pub(crate) fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> impl Future<Output = Option<T>> {
    let running = spawn_blocking(work);
    async move {
        match running.await {
            Ok(done) => Some(done),
            Err(died) if died.is_panic() => std::panic::resume_unwind(died.into_panic()),
            Err(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;

    fn faults() -> (Registry, Faults) {
        let registry = Registry::new();
        let faults = Faults::register(&registry, || 7).unwrap();
        (registry, faults)
    }

    /// The value of one part's metric.
    fn metric(registry: &Registry, name: &str) -> f64 {
        let families = registry.gather();
        let metric = &families.iter().find(|family| family.name() == name).unwrap().get_metric()[0];
        metric.get_counter().get_value().max(metric.get_gauge().get_value())
    }

    #[tokio::test(start_paused = true)]
    async fn what_dies_begins_again_is_counted_and_is_well_when_it_has_run_for_long() {
        let (registry, faults) = faults();
        let begun = AtomicU32::new(0);
        let work = || async {
            let times = begun.fetch_add(1, Ordering::SeqCst);
            assert!(times >= 2, "a fault");
            sleep(WELL * 2).await;
            if times < 3 {
                on_a_thread::<()>(|| panic!("another one, on a thread")).await;
            }
            "done"
        };
        let kept = faults.kept(Part::Counts, work);
        let watched = async {
            while begun.load(Ordering::SeqCst) < 3 {
                sleep(Duration::from_millis(100)).await;
            }
            assert_eq!(faults.told(), [(Part::Counts, Fault { count: 2, at: 7, well: false })]);
            assert_eq!(metric(&registry, "tokentrail_part_up"), 0.0);
            sleep(WELL + Duration::from_secs(1)).await;
            assert!(faults.told()[0].1.well);
            assert_eq!(metric(&registry, "tokentrail_part_up"), 1.0);
        };
        let (done, ()) = tokio::join!(kept, watched);
        assert_eq!(done, "done");
        assert_eq!(faults.told(), [(Part::Counts, Fault { count: 3, at: 7, well: true })]);
        assert_eq!(metric(&registry, "tokentrail_part_faults_total"), 3.0);
    }
    #[tokio::test(start_paused = true)]
    async fn a_part_of_two_is_not_well_because_one_of_them_is() {
        let (registry, faults) = faults();
        let begun = AtomicU32::new(0);
        let well = faults.kept(Part::Alerts, || sleep(WELL * 5));
        let ill = faults.kept(Part::Alerts, || async {
            assert!(begun.fetch_add(1, Ordering::SeqCst) >= 3, "a fault");
            sleep(WELL * 5).await;
        });
        let watched = async {
            while begun.load(Ordering::SeqCst) < 4 {
                assert!(faults.told().iter().all(|(_, fault)| !fault.well));
                sleep(Duration::from_millis(100)).await;
            }
            // The other one has run for long meanwhile, or will have soon.
            faults.works(Part::Alerts, 1);
            assert_eq!(metric(&registry, "tokentrail_part_up"), 0.0);
            sleep(WELL + Duration::from_secs(1)).await;
            assert!(faults.told()[0].1.well);
            assert_eq!(metric(&registry, "tokentrail_part_up"), 1.0);
        };
        tokio::join!(well, ill, watched);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_given_up_while_it_is_ill_is_not_waited_for() {
        let (registry, faults) = faults();
        let dies = faults.kept::<(), _>(Part::Alerts, || async { panic!("a fault") });
        tokio::select! {
            () = dies => {}
            () = sleep(Duration::from_secs(2)) => {}
        }
        assert_eq!(metric(&registry, "tokentrail_part_up"), 0.0);
        faults.kept(Part::Alerts, || sleep(WELL * 2)).await;
        assert!(faults.told()[0].1.well);
        assert_eq!(metric(&registry, "tokentrail_part_up"), 1.0);
    }
}
