//! Waiting for what a real server does in its own time.

use std::time::{Duration, Instant};

/// Longest wait: a loaded machine of two cores takes its time, and what never comes is to be told before CI gives up.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(25);

/// Looks until something is there. Panics, naming `what`, if it does not come within two minutes. Blocks its thread.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(LOOK);
    }
}
