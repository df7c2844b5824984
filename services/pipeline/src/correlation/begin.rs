//! The beginning: from a checkpoint and what came after it, or from everything that is stored.
//!
//! A start goes on from the newest checkpoint that is whole, was made by the same rules under the same configuration, and knows
//! every change of the past; else from the one before; else it reads everything. Three things make up for what happened between
//! the checkpoint and now:
//!
//! - receipts: the checkpoint names the positions that are in it; every other stored position is read;
//! - rows: those with a version behind the checkpoint's were written by somebody who went on from it. What they say is held
//!   against what is said now ([`Fold::amend`]);
//! - the past: a change of it that the checkpoint does not know makes it void, and so does a store that lacks what it covers, and what
//!   happened before all that the checkpoint keeps (`memory.rs`).
//!
//! Where most of what is stored came since then everything is read as well, which is done in parts. So whoever takes over, whenever the
//! one before stopped, comes to the rows of a run over all events.

use super::{
    Stage,
    checkpoint::Reached,
    ending,
    fold::Fold,
    pen::{Halt, Pen},
    reading::Into,
    settle,
};
use crate::faults::on_a_thread;
use store::{StoreError, correlation::Covered};

/// Positions of one read of what came after a checkpoint.
const STEP: u64 = 200_000;

/// A fold that has said everything that is stored.
pub(super) struct Begun {
    pub fold: Fold,
    pub reached: Reached,
    /// Events that were read.
    pub events: u64,
}

/// Who begins, and after which change of the past.
#[derive(Clone, Copy, Debug)]
pub(super) struct TakeOver<'a> {
    pub epoch: u64,
    pub past: Option<i64>,
    pub pen: &'a Pen,
}

impl Stage {
    /// Reads what is needed, answers, and writes what differs. `trust`: a checkpoint may be gone on from.
    pub(super) async fn begin(&self, owner: TakeOver<'_>, trust: Trust) -> Result<Begun, Halt> {
        if trust == Trust::Checkpoints
            && let Some(begun) = self.resume(owner).await?
        {
            // Copies of one event that say different things, one of them in the checkpoint: which was taken first would count. Or something
            // came since that is older than what is kept.
            if begun.fold.is_sound() {
                self.metrics.resumes.inc();
                return Ok(begun);
            }
            if begun.fold.old().is_some() {
                self.metrics.old_loads.inc();
            }
        }
        let begun = self.read_all((owner.epoch, owner.past), &mut Into(self, owner)).await?;
        self.metrics.loads.inc();
        Ok(begun)
    }

    /// Goes on from the newest checkpoint that fits; none: everything must be read.
    async fn resume(&self, owner: TakeOver<'_>) -> Result<Option<Begun>, Halt> {
        let tenant = &self.config.tenant;
        let made_by = self.made_by();
        for seal in self.store.checkpoints(tenant).await? {
            // A note of a change is kept for a month: no note is no newer than any.
            if seal.made_by != made_by || owner.past > seal.past {
                continue;
            }
            let number = seal.number;
            let Some((fold, reached)) = self.read(seal, owner.epoch).await? else {
                tracing::warn!("A checkpoint of the correlation is not whole: one before it is used, or all is read.");
                continue;
            };
            if !self.still_stored(&reached.covered).await? {
                tracing::warn!("The store lacks what a checkpoint of the correlation rests on: all is read.");
                return Ok(None);
            }
            return self.catch_up((fold, reached), number, owner).await;
        }
        Ok(None)
    }

    /// Takes in what a checkpoint does not know; `number` is the version up to which it knows the rows. None: that is too much.
    async fn catch_up(
        &self,
        (mut fold, mut reached): (Fold, Reached),
        number: u64,
        owner: TakeOver<'_>,
    ) -> Result<Option<Begun>, Halt> {
        let tenant = &self.config.tenant;
        let mut later = self.store.correlated_after(tenant, number).await?;
        let stored = self.store.stored_positions(tenant, &reached.covered).await?;
        let left = stored.without(&reached.covered);
        let count = |covered: &Covered| covered.streams().map(|(_, ranges)| ranges.count()).sum::<u64>();
        let positions = count(&left);
        if positions > STEP.max(count(&stored) / 2) {
            tracing::info!(positions, "Most of what is stored came since the last checkpoint: all is read, in parts.");
            return Ok(None);
        }
        let mut events = 0;
        for window in self.store.windows_of(tenant, &left, STEP.min(self.memory.part_events())).await? {
            let mut take = |told| fold.take_late(&told);
            events += self.store.events_of(tenant, &window, &mut take).await?;
            let changes;
            (fold, changes) = settle(fold).await?;
            if !fold.is_sound() {
                // What stands is better than what this would say.
                return Ok(Some(Begun { fold, reached, events }));
            }
            self.write(&mut fold, &changes, (owner.epoch, owner.pen)).await?;
            // However much came since, it fits. What is said now as it stands is no question any more, though it may be forgotten.
            if fold.size() > self.memory.most() {
                fold.drop_right(&mut later);
                fold = self.let_go(fold, i64::MAX).await?;
            }
            self.tell_kept(&fold);
        }
        let amending = on_a_thread(move || {
            let rows = fold.amend(&later);
            (fold, rows)
        });
        let (fold, rows) = amending.await.ok_or_else(ending)?;
        if !self.write_rows(&rows, (owner.epoch, owner.pen)).await? {
            return Err(Halt::Superseded);
        }
        reached.covered.and(&stored);
        Ok(Some(Begun { fold, reached, events }))
    }

    /// Whether the store still has what is covered: it could have been put back to an earlier state.
    async fn still_stored(&self, covered: &Covered) -> Result<bool, StoreError> {
        let ends = self.store.stream_ends(&self.config.tenant).await?;
        Ok(covered.streams().all(|(stream, ranges)| ends.get(&stream).is_some_and(|end| *end >= ranges.end())))
    }
}

/// What a beginning may rest on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// A checkpoint, where one fits.
    Checkpoints,
    /// Events alone.
    Events,
}
