//! Writing rows as an owner that may have hung for any time since it took over.
//!
//! A later owner's rows win over late ones by their epoch. But where the later owner had nothing to write, because what stood was
//! right, a late row would stand. So whoever writes looks before, so that little comes late, and after; and if it was superseded, it
//! notes a change of the past, after which the owner reads everything again. A process that is killed after its late write and before
//! that leaves the row until the next time that everything is read.

use super::{CHANGES_AT_ONCE, Fold, Stage};
use correlate::rows::Change;
use std::sync::atomic::{AtomicBool, Ordering};
use store::{StoreError, correlation::Correlated};
use tokio::sync::watch;

/// Knows whether rows are on their way of which nobody has seen whether they came in time.
#[derive(Debug, Default)]
pub(super) struct Pen {
    open: AtomicBool,
}

/// Why a beginning ended.
pub(super) enum Halt {
    /// A later owner has taken over.
    Superseded,
    /// ClickHouse does not do it.
    Store(StoreError),
}

impl From<StoreError> for Halt {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Stage {
    /// Writes as the owner of an epoch; false if a later one has taken over. After an error any part may be there: write the same
    /// again.
    pub(super) async fn write_rows(&self, rows: &Correlated, (epoch, pen): (u64, &Pen)) -> Result<bool, StoreError> {
        if rows.is_empty() {
            return Ok(true);
        }
        if !self.owns(epoch).await? {
            return Ok(false);
        }
        pen.open.store(true, Ordering::Relaxed);
        self.store.write_correlated(rows).await?;
        self.metrics.rows.inc_by(rows.len() as u64);
        let owns = self.owns(epoch).await?;
        if owns {
            pen.open.store(false, Ordering::Relaxed);
        }
        Ok(owns)
    }

    /// Writes the rows of changes, part by part.
    pub(super) async fn write(
        &self,
        fold: &mut Fold,
        changes: &[Change],
        (epoch, pen): (u64, &Pen),
    ) -> Result<(), Halt> {
        for chunk in changes.chunks(CHANGES_AT_ONCE) {
            let rows = fold.records(chunk);
            if !self.write_rows(&rows, (epoch, pen)).await? {
                return Err(Halt::Superseded);
            }
        }
        Ok(())
    }

    /// Whether nobody has taken over since this epoch began.
    pub(super) async fn owns(&self, epoch: u64) -> Result<bool, StoreError> {
        Ok(self.store.correlation_owner(&self.config.tenant).await?.is_some_and(|owner| owner.epoch == epoch))
    }

    /// Of one who owns no more: if rows may have come late, says so.
    pub(super) async fn own_up(&self, pen: &Pen, stop: &mut watch::Receiver<bool>) {
        if !pen.open.load(Ordering::Relaxed) {
            return;
        }
        tracing::warn!(
            "Rows of the correlation came after another program had taken it over; it is told to look again."
        );
        if self.wholly(stop, || self.store.note_past_change(&self.config.tenant)).await.is_some() {
            pen.open.store(false, Ordering::Relaxed);
        }
    }
}
