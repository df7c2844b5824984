//! Rolls counts up beside the flow: one round at a time, each bounded, and never more than a share of the engine's time, so
//! that intake and inserts do not feel it. Counts are right without it; it only makes them cheap.

use std::time::{Duration, Instant};
use store::{Rolling, Store};
use tokio::sync::watch;

/// Between two rounds.
const PAUSE: Duration = Duration::from_secs(5);
/// A round of a given length is followed by a rest of this many times that length.
const REST: u32 = 3;
/// A cell at rest for this long is rolled up: sooner, and a late event would have it done twice.
const QUIET: Duration = Duration::from_secs(10);
/// Fewest and most cells of one round. A cell of a busy source holds hundreds of thousands of receipts, one of a backfill
/// a handful.
const CELLS: (usize, usize) = (8, 65_536);
/// A round that took longer is followed by one of half as many cells, a shorter one by one of twice as many.
const LONG: Duration = Duration::from_millis(500);
/// Hours in use are counted this often: panels that read kept counts alone are behind by as much.
const IN_USE: Duration = Duration::from_secs(10);
/// That is followed by a rest from it of this many times its length, as all events of a busy hour are read for it.
const REST_IN_USE: u32 = 50;

/// The one roller of a database.
pub struct Roller {
    /// Where receipts are counted and counts are kept.
    pub store: Store,
}

impl Roller {
    /// Runs until `stop` turns true. What fails is tried again in the next round.
    pub async fn run(&self, mut stop: watch::Receiver<bool>) {
        let (mut cells, mut failing) = (CELLS.0, false);
        let mut in_use_at = Instant::now();
        loop {
            let began = Instant::now();
            let left = match self.store.roll(&Rolling { quiet: QUIET, cells }).await {
                Ok(rolled) => {
                    failing = false;
                    rolled.left
                }
                Err(error) => {
                    if !failing {
                        tracing::warn!(%error, "Counts cannot be kept now; they are taken from all receipts since until it works.");
                    }
                    failing = true;
                    0
                }
            };
            let took = began.elapsed();
            cells = next_cells(cells, took, failing);
            if !failing && Instant::now() >= in_use_at {
                in_use_at = Instant::now() + self.count_hours_in_use().await;
            }
            let rest = if left > 0 { took * REST } else { PAUSE.max(took * REST) };
            tokio::select! {
                () = tokio::time::sleep(rest) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }
}

impl Roller {
    /// How long to rest from it.
    async fn count_hours_in_use(&self) -> Duration {
        let began = Instant::now();
        if let Err(error) = self.store.roll_hours_in_use().await {
            tracing::debug!(%error, "Hours in use cannot be counted now; it is tried again.");
        }
        IN_USE.max(began.elapsed() * REST_IN_USE)
    }

    /// While another program of this database rolls up: gives up cells at rest, so that the other one need not wait until
    /// their marks are taken for a dead program's.
    pub async fn stand_by(&self, mut stop: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(QUIET) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
            if let Err(error) = self.store.close_quiet_marks(QUIET).await {
                tracing::debug!(%error, "Marks cannot be closed now; it is tried again.");
            }
        }
    }
}

fn next_cells(cells: usize, took: Duration, failed: bool) -> usize {
    let next = if failed || took > LONG { cells / 2 } else { cells * 2 };
    next.clamp(CELLS.0, CELLS.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_grow_while_they_are_short_and_shrink_when_they_fail() {
        assert_eq!(next_cells(8, Duration::ZERO, false), 16);
        assert_eq!(next_cells(65_536, Duration::ZERO, false), 65_536);
        assert_eq!(next_cells(64, LONG * 2, false), 32);
        assert_eq!(next_cells(64, Duration::ZERO, true), 32);
        assert_eq!(next_cells(8, LONG * 2, false), 8);
    }
}
