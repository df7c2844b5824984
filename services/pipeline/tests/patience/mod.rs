//! Waiting for a condition, which suites share.

use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Longest wait on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(240);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// What a look finds in the end.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "{what}: waited in vain");
        sleep(LOOK).await;
    }
}
