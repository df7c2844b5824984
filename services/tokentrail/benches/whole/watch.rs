//! When ClickHouse held how many receipts, noted beside a load.

use crate::queries::{Queries, STORED};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// Looks until it is told to stop.
pub struct Watch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<(Instant, u64)>>,
}

impl Watch {
    /// `every` is how finely a lag can be told from it.
    pub fn start(queries: Queries, every: Duration) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut seen = Vec::new();
            loop {
                // Asked for before it is known whether the end has come, so that the last look sees everything.
                let last = stopped.load(Ordering::Relaxed);
                let count = queries.number(STORED) as u64;
                seen.push((Instant::now(), count));
                if last {
                    return seen;
                }
                std::thread::sleep(every);
            }
        });
        Self { stop, thread }
    }

    /// All looks, one of them after this call.
    pub fn looks(self) -> Vec<(Instant, u64)> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}
