//! Following, a step: the events of some blocks are read back, taken in and answered, and what changed is written.

use super::{
    CHANGES_AT_ONCE, End, Stage, WINDOW_POSITIONS,
    acknowledged::{Pending, Touched},
    fold::Fold,
    memory::Pacing,
    pen::Pen,
    settle,
};
use std::collections::BTreeSet;
use store::{
    StoreError,
    correlation::{Told, Window},
};
use tokio::sync::watch;

/// Who writes, until when, and what of it is paced.
pub(super) struct Hand<'a> {
    pub epoch: u64,
    pub pen: &'a Pen,
    pub stop: &'a mut watch::Receiver<bool>,
    pub pacing: Pacing,
}

impl Stage {
    /// Some blocks: reads them back, takes them in, settles, writes, so many events at once as fit into memory. An end if not all of
    /// that was done.
    pub(super) async fn step(
        &self,
        mut fold: Fold,
        pending: &[Pending],
        hand: &mut Hand<'_>,
    ) -> Result<(Fold, Option<End>), StoreError> {
        let tenant = &self.config.tenant;
        let mut open = 0;
        for window in pending.iter().flat_map(|one| windows(one.window)) {
            let read = || async {
                let mut told: Vec<Told> = Vec::new();
                if window.earliest <= window.latest {
                    self.store.events_of(tenant, &window, &mut |event| told.push(event)).await?;
                }
                Ok(told)
            };
            let Some(told) = self.patiently(hand.stop, read).await else { return Ok((fold, Some(End::Stopped))) };
            open += told.len() as u64;
            self.metrics.events.inc_by(told.len() as u64);
            told.iter().for_each(|told| fold.take_late(told));
            if open > self.memory.part_events().max(WINDOW_POSITIONS) {
                open = 0;
                let (said, end) = self.say(fold, pending, hand).await?;
                if end.is_some() {
                    return Ok((said, end));
                }
                fold = self.make_room(said, &mut hand.pacing).await?;
            }
        }
        self.say(fold, pending, hand).await
    }

    /// Answers what was touched, and writes it.
    async fn say(
        &self,
        fold: Fold,
        pending: &[Pending],
        hand: &mut Hand<'_>,
    ) -> Result<(Fold, Option<End>), StoreError> {
        let (mut fold, changes) = settle(fold).await?;
        let owner = (hand.epoch, hand.pen);
        let mut retold = BTreeSet::new();
        for chunk in changes.chunks(CHANGES_AT_ONCE) {
            let rows = fold.records(chunk);
            let changed = rows.decisions.iter().filter(|row| row.is_deleted == 1 || !row.because.is_nil());
            retold.extend(changed.map(|row| row.person.clone()));
            match self.wholly(hand.stop, || self.write_rows(&rows, owner)).await {
                Some(true) => {}
                Some(false) => return Ok((fold, Some(End::Superseded))),
                None => return Ok((fold, Some(End::Stopped))),
            }
        }
        self.acknowledged.touch(Touched::of((pending, retold), &changes));
        Ok((fold, None))
    }
}

/// A window in parts that fit into memory.
fn windows(whole: Window) -> impl Iterator<Item = Window> {
    let step = usize::try_from(WINDOW_POSITIONS).unwrap_or(usize::MAX);
    (whole.first..whole.end).step_by(step).map(move |first| Window {
        first,
        end: whole.end.min(first.saturating_add(WINDOW_POSITIONS)),
        ..whole
    })
}
