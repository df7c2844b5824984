//! How long a stop may take. What is not done by then is left as kill -9 would leave it, which is safe: what was acknowledged is on
//! disk, and what is on disk and not stored yet is stored after the next start.

use std::{future::Future, time::Duration};

/// From the signal to the end of the process, at most.
pub const STOP_DEADLINE: Duration = Duration::from_secs(10);

/// What became of a stop.
#[derive(Debug, PartialEq, Eq)]
pub enum Stopped<T> {
    /// All parts ended by themselves.
    InOrder(T),
    /// Something was still waiting when the time was over.
    Cut,
}

/// Waits for a stop, and no longer than it may take.
pub async fn in_time<T>(stopping: impl Future<Output = T>) -> Stopped<T> {
    match tokio::time::timeout(STOP_DEADLINE, stopping).await {
        Ok(ended) => Stopped::InOrder(ended),
        Err(_) => {
            tracing::warn!(
                seconds = STOP_DEADLINE.as_secs(),
                "The stop was cut: something was still waiting (ClickHouse or the brokers, mostly). What was acknowledged is on disk, \
                 and what is pending is stored after the next start."
            );
            Stopped::Cut
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::{Instant, sleep};

    #[tokio::test(start_paused = true)]
    async fn a_stop_that_waits_for_ever_is_cut_after_ten_seconds_and_others_are_not_held_up() {
        let began = Instant::now();
        assert_eq!(in_time(std::future::pending::<u8>()).await, Stopped::Cut);
        assert_eq!(began.elapsed().as_secs(), 10, "the promise");
        let began = Instant::now();
        let slow = async {
            sleep(Duration::from_secs(9)).await;
            7
        };
        assert_eq!(in_time(slow).await, Stopped::InOrder(7));
        assert_eq!(began.elapsed().as_secs(), 9);
    }
}
