//! How long a stop may take, in all and up to the end of each of its stages. What is not done by then is left as kill -9 would leave it,
//! which is safe: what was acknowledged is on disk, and what is on disk and not stored yet is stored after the next start.
//!
//! Stages end by the clock of the signal, not one after another's: what hangs takes no time from those behind it.

use std::{
    future::Future,
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::time::{Instant, timeout_at};

/// From the signal until nothing comes in any more, at most.
pub const TAKEN_BY: Duration = Duration::from_secs(4);
/// From the signal until no more is stored of what waits, at most.
pub const DRAINED_BY: Duration = Duration::from_millis(5_500);
/// From the signal until the last block is stored, or given up, and the correlation has kept what it knows, at most. The rest is for the
/// engine.
pub const STORED_BY: Duration = Duration::from_millis(8_500);
/// From the signal to the end of the process, at most.
pub const STOP_DEADLINE: Duration = Duration::from_secs(10);

/// When a stop began, for all parts that have to do with it.
#[derive(Clone, Debug, Default)]
pub struct Began(Arc<OnceLock<Instant>>);

impl Began {
    /// It begins now, unless it has.
    pub fn now(&self) {
        self.0.get_or_init(Instant::now);
    }

    /// Waits for a stage until so long after the beginning, or from now on if none began; none if its time is over.
    pub async fn by<T>(&self, by: Duration, stage: impl Future<Output = T>) -> Option<T> {
        let began = self.0.get().copied().unwrap_or_else(Instant::now);
        timeout_at(began + by, stage).await.ok()
    }
}

/// The stages of a stop, in their order. `storage` is told to stop by `tell`.
pub struct Stages<I, D, T, S> {
    /// Ends when nothing comes in any more; tells what is left to close.
    pub taken: I,
    /// Ends when nothing waits to be stored.
    pub drained: D,
    /// Tells what stores to stop.
    pub tell: T,
    /// Ends when all of that has ended.
    pub stored: S,
}

impl<I: Future, D: Future, T: FnOnce(), S: Future> Stages<I, D, T, S> {
    /// Goes through them; what the first and the last of them said, in time.
    pub async fn go(self, began: &Began) -> (Option<I::Output>, S::Output) {
        let taken = began.by(TAKEN_BY, self.taken).await;
        let _ = began.by(DRAINED_BY, self.drained).await;
        (self.tell)();
        (taken, self.stored.await)
    }
}

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
    use std::future::{pending, ready};
    use tokio::time::sleep;

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

    /// How long after the signal what stores is told to stop, where the stages before take so long, in milliseconds.
    async fn told_after(taken: u64, drained: u64) -> u128 {
        let (began, signal) = (Began::default(), Instant::now());
        began.now();
        let stages = Stages {
            taken: async { sleep(Duration::from_millis(taken)).await },
            drained: async { sleep(Duration::from_millis(drained)).await },
            tell: || (),
            stored: ready(()),
        };
        stages.go(&began).await;
        signal.elapsed().as_millis()
    }

    #[tokio::test(start_paused = true)]
    async fn no_stage_of_a_stop_eats_the_time_of_those_behind_it() {
        const LONG: u64 = 3_600_000;
        assert_eq!(told_after(300, 200).await, 500, "nothing waits without need");
        for (taken, drained) in [(LONG, LONG), (3_900, LONG), (0, LONG), (LONG, 1_600)] {
            assert_eq!(told_after(taken, drained).await, 5_500, "{taken} {drained}");
        }
        assert_eq!(told_after(LONG, 0).await, 4_000);

        // Of what stores, each part has until the same instant, however long the one before took.
        let (began, signal) = (Began::default(), Instant::now());
        began.now();
        sleep(Duration::from_secs(7)).await;
        assert_eq!(began.by(STORED_BY, pending::<()>()).await, None);
        assert_eq!(began.by(STORED_BY, pending::<()>()).await, None);
        assert_eq!(signal.elapsed().as_millis(), 8_500, "and the engine has the rest");
        began.now();
        assert_eq!(began.by(STORED_BY, ready(7)).await, Some(7), "what is done is done");
    }
}
