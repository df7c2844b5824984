//! What is stored and was not announced: found in ClickHouse, when a note there says that there is something (`hand_over.rs`).

use super::{End, Hand, Stage, WINDOW_POSITIONS, acknowledged::Pending, checkpoint::Reached, fold::Fold};
use store::{
    StoreError,
    correlation::{Covered, Note, Ranges, Window},
};

/// What became of a look for such blocks.
pub(super) enum Untold {
    /// No note is open.
    None(Fold),
    /// They are answered.
    Taken(Fold),
    /// Something else came first.
    Ended(End),
}

impl Stage {
    /// Takes in what open notes are about.
    pub(super) async fn take_untold(
        &self,
        (fold, reached): (Fold, &mut Reached),
        hand: &mut Hand<'_>,
    ) -> Result<Untold, StoreError> {
        let tenant = &self.config.tenant;
        // Where ClickHouse does not tell, the next look does.
        let noted = self.store.unannounced(tenant).await.unwrap_or_default();
        if noted.is_empty() {
            return Ok(Untold::None(fold));
        }
        let covered: &Reached = reached;
        let looked = self.patiently(hand.stop, || self.untold(covered)).await;
        let Some((left, pending)) = looked else { return Ok(Untold::Ended(End::Stopped)) };
        let (fold, end) = self.step(fold, &pending, hand).await?;
        if let Some(end) = end {
            return Ok(Untold::Ended(end));
        }
        hand.note_waiting(&reached.covered);
        reached.covered.and(&left);
        // Commit point: the rows of all that was stored before these notes are acknowledged. A crash before this line looks again.
        let answered = reached.covered.without(&hand.waiting);
        let put = || self.store.put_correlated(tenant, (hand.epoch, &answered));
        let Some(()) = self.patiently(hand.stop, put).await else { return Ok(Untold::Ended(End::Stopped)) };
        match self.patiently(hand.stop, || self.answered(noted.clone())).await {
            Some(()) => Ok(Untold::Taken(fold)),
            None => Ok(Untold::Ended(End::Stopped)),
        }
    }

    /// The stored positions that were not taken in, and where their events are.
    async fn untold(&self, reached: &Reached) -> Result<(Covered, Vec<Pending>), StoreError> {
        let tenant = &self.config.tenant;
        let stored = self.store.stored_positions(tenant, &reached.covered).await?;
        let left = stored.without(&reached.covered);
        let windows = self.store.windows_of(tenant, &left, WINDOW_POSITIONS).await?;
        // The positions themselves are in `left`, those without an event too.
        let pending = |window: Window| Pending { window, ranges: Ranges::default() };
        Ok((left, windows.into_iter().map(pending).collect()))
    }

    /// Everything that was stored before these notes is answered.
    pub(super) async fn answered(&self, notes: Vec<Note>) -> Result<(), StoreError> {
        if notes.is_empty() {
            return Ok(());
        }
        self.store.answer_unannounced(notes).await
    }
}
