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
    correlation::{Covered, Told, Window},
};
use tokio::sync::watch;

/// Most places of a stream that are told to wait: a cursor tells so many ranges, and what is taken in must be among them.
const WAITING_MOST: usize = 500;

/// Who writes, until when, what of it is paced, and what waits until everything is read anew.
pub(super) struct Hand<'a> {
    pub epoch: u64,
    pub pen: &'a Pen,
    pub stop: &'a mut watch::Receiver<bool>,
    pub pacing: Pacing,
    /// Positions whose events need what was forgotten: they are taken in, and in no answer yet.
    pub waiting: Covered,
    /// The same of a step, and maybe what lies between its positions.
    pub old: Covered,
}

impl<'a> Hand<'a> {
    pub(super) fn new((epoch, pen): (u64, &'a Pen), stop: &'a mut watch::Receiver<bool>) -> Self {
        let (waiting, old) = (Covered::default(), Covered::default());
        Self { epoch, pen, stop, pacing: Pacing::default(), waiting, old }
    }

    /// Notes what waits of a step; `covered`: what was taken in before it. Beyond so many places no more is told: that would hold up what is
    /// answered.
    pub(super) fn note_waiting(&mut self, covered: &Covered) {
        for (stream, range) in std::mem::take(&mut self.old).without(covered).iter() {
            if self.waiting.of(stream).is_none_or(|known| known.iter().count() < WAITING_MOST) {
                self.waiting.add(stream, range);
            }
        }
    }
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
        let (mut open, mut taken) = (0, Vec::new());
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
            taken.push(window);
            if open > self.memory.part_events().max(WINDOW_POSITIONS) {
                open = 0;
                let (said, end) = self.say(fold, (pending, &std::mem::take(&mut taken)), hand).await?;
                if end.is_some() {
                    return Ok((said, end));
                }
                fold = self.make_room(said, &mut hand.pacing).await?;
            }
        }
        self.say(fold, (pending, &taken), hand).await
    }

    /// Answers what was touched (`taken` in since the last time), and writes it.
    async fn say(
        &self,
        mut fold: Fold,
        (pending, taken): (&[Pending], &[Window]),
        hand: &mut Hand<'_>,
    ) -> Result<(Fold, Option<End>), StoreError> {
        let floor = fold.floor();
        fold.take_needed();
        let (mut fold, changes) = settle(fold).await?;
        if let Some(needed) = fold.take_needed() {
            let look = || self.too_old(taken, (floor, needed));
            let Some(old) = self.patiently(hand.stop, look).await else { return Ok((fold, Some(End::Stopped))) };
            hand.old.and(&old);
        }
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

    /// Of windows in which something is too old, the positions of what happened before the floor; all of them, where what is needed is not
    /// told by its time: a refresh of today of a session that was forgotten, an act that reaches back through everything.
    async fn too_old(
        &self,
        windows: &[Window],
        (floor, (first, last)): (Option<i64>, (i64, i64)),
    ) -> Result<Covered, StoreError> {
        let mut old = Covered::default();
        if let Some(floor) = floor.filter(|floor| last < *floor && first > i64::MIN) {
            for window in windows.iter().filter(|window| window.earliest < floor) {
                old.and(&self.store.positions_before(&self.config.tenant, window, floor).await?);
            }
        }
        if old.iter().next().is_none() {
            windows.iter().for_each(|window| old.add(window.stream, (window.first, window.end)));
        }
        Ok(old)
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
