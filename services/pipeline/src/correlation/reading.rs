//! Reading everything anew, in parts of the time, so that it fits into memory whatever ClickHouse holds.
//!
//! Of what fits nothing is special: one part, settled and written once. Else each part is settled and what it says is written, but for
//! what has no end yet: that waits until everything was read, because a part to come may end it. When too much is kept, what is
//! over is forgotten behind the part. Rows that stand are read in parts of their time, too; those that are said no more go once
//! the floor has passed them. While this goes on rules are not judged, and `status` says so.

use super::{
    CHANGES_AT_ONCE, Stage,
    begin::{Begun, TakeOver},
    checkpoint::Reached,
    ending,
    fold::Fold,
    pen::Halt,
    settle,
};
use crate::faults::on_a_thread;
use std::{collections::HashMap, time::Instant};
use store::correlation::{Correlated, Covered, Place, Stretch};
use tokio::sync::mpsc;

/// Parts of rows to write that wait for ClickHouse.
const PARTS_AHEAD: usize = 2;

/// Where rows go.
pub(super) trait Out: Send {
    /// A row stands from before.
    fn stands(&mut self, place: &Place);
    /// Writes rows.
    fn write(&mut self, rows: &Correlated) -> impl Future<Output = Result<(), Halt>> + Send;
}

/// Into ClickHouse, as the owner of an epoch.
pub(super) struct Into<'a>(pub &'a Stage, pub TakeOver<'a>);

impl Out for Into<'_> {
    fn stands(&mut self, _: &Place) {}

    async fn write(&mut self, rows: &Correlated) -> Result<(), Halt> {
        let Self(stage, owner) = self;
        if stage.write_rows(rows, (owner.epoch, owner.pen)).await? { Ok(()) } else { Err(Halt::Superseded) }
    }
}

impl Stage {
    /// Everything that is stored, in the order of time.
    pub(super) async fn read_all(&self, (epoch, past): (u64, Option<i64>), out: &mut impl Out) -> Result<Begun, Halt> {
        let (began, tenant) = (Instant::now(), &self.config.tenant);
        let covered = self.store.stored_positions(tenant, &Covered::default()).await?;
        let slices = self.store.event_slices(tenant, self.memory.part_events()).await?;
        let mut parts = self.store.place_parts(tenant, self.memory.part_places()).await?.into_iter();
        let mut standing = None;
        let mut fold = Fold::new(self.config.clone(), epoch, HashMap::new()).told_to(&self.suspects);
        let mut events = 0;
        if slices.len() > 1 {
            // What is told of people, groups and roles may reach back to what will be forgotten by then: a snapshot says who was tied to
            // whom, an operator who is one. All of it is kept anyway, and taken again in its turn changes nothing.
            let mut take = |told| fold.take(&told);
            self.store.each_lasting(tenant, &mut take).await?;
        }
        for (number, slice) in slices.iter().enumerate() {
            // Before something is said of a time, it must be known what stands of it.
            while standing.is_none_or(|to: Option<i64>| to.is_some_and(|to| to < slice.to))
                && let Some(part) = parts.next()
            {
                self.read_standing(&mut fold, part, out).await?;
                standing = Some(part.to);
            }
            let mut take = |told| fold.take(&told);
            events += self.store.events_in(tenant, slice, &mut take).await?;
            if number + 1 < slices.len() {
                fold = say_by_now(fold, out).await?;
                if fold.size() > self.memory.most() && fold.can_forget(self.memory.limit(slice.to)) {
                    fold = say_owed(fold, Some(self.memory.limit(slice.to)), out).await?;
                    fold = self.let_go(fold, slice.to).await?;
                    if let Some(floor) = fold.floor() {
                        out.write(&fold.unsaid(Some(floor))).await?;
                    }
                }
                self.tell_kept(&fold);
            }
        }
        for part in parts {
            self.read_standing(&mut fold, part, out).await?;
        }
        let (mut fold, changes) = settle(fold).await?;
        for chunk in changes.chunks(CHANGES_AT_ONCE) {
            out.write(&fold.records(chunk)).await?;
        }
        drop(changes);
        let mut fold = say_owed(fold, None, out).await?;
        out.write(&fold.unsaid(None)).await?;
        if let Some(time) = fold.settle_for_less() {
            tracing::warn!(
                time,
                "Some of what was read reaches back behind what fits into correlation.memory_mib: what was said of that time stands."
            );
        }
        let reached = Reached { covered, past, whole: began.elapsed() };
        Ok(Begun { fold, reached, events })
    }

    async fn read_standing(&self, fold: &mut Fold, part: Stretch, out: &mut impl Out) -> Result<(), Halt> {
        let mut stands = |id, place| {
            out.stands(&place);
            fold.stands(id, &place);
        };
        Ok(self.store.places_in(&self.config.tenant, part, &mut stands).await?)
    }
}

/// Answers what was touched, and writes what is over.
async fn say_by_now(fold: Fold, out: &mut impl Out) -> Result<Fold, Halt> {
    let (mut fold, changes) = settle(fold).await?;
    for chunk in changes.chunks(CHANGES_AT_ONCE) {
        out.write(&fold.records_by_now(chunk)).await?;
    }
    Ok(fold)
}

/// Writes what waited: all, or what is `over` without an end.
async fn say_owed(mut fold: Fold, over: Option<i64>, out: &mut impl Out) -> Result<Fold, Halt> {
    let (sender, mut parts) = mpsc::channel(PARTS_AHEAD);
    let answering = on_a_thread(move || {
        fold.each_owed(over, &mut |rows| sender.blocking_send(rows).is_ok());
        fold
    });
    while let Some(rows) = parts.recv().await {
        out.write(&rows).await?;
    }
    Ok(answering.await.ok_or_else(ending)?)
}
