//! Forgetting behind a floor: what is over, and what nothing that happens from the floor on can change, goes; its row stays as it was
//! said last.
//!
//! Histories stay whole (who was in which group, what a group carried, who was called what): they grow with changes, and every
//! answer may ask them about any instant. What grows with every event goes: decisions, tokens, credentials, sessions that are over. Of
//! tokens and credentials the row goes first, and the evidence once no decision that is still answered can rest on it.
//!
//! What reaches back behind the floor by its nature (an operator who merges two persons, a tie that is seen for the first time, a
//! missing event that comes to light) changes rows that are gone, if there are any of those whom it concerns. Then the state is not
//! answered worse in silence: [`Correlator::too_old`] tells it, and rows that are gone stay as they are until somebody reads everything
//! anew.

mod decisions;
mod names;
mod needs;
mod repeats;
mod sessions;

use crate::{correlator::Correlator, known::Known, moment::Millis, rows::Key};

impl Correlator {
    /// Forgets what is wholly before `floor` and is not needed for answers about the floor and later. `gone` is handed the key of each
    /// row that is neither said again from now on nor taken back.
    ///
    /// Says nothing and changes no answer. To be called when everything was settled: else, and where the floor is no higher than
    /// before, it does nothing.
    pub fn forget(&mut self, floor: Millis, gone: &mut dyn FnMut(&Key)) {
        let Self { known, dirt, rows, .. } = self;
        if !dirt.is_clean() || known.gone.floor.is_some_and(|before| floor <= before) {
            return;
        }
        known.forget(floor, &mut |key| {
            if rows.let_go(&key) {
                gone(&key);
            }
        });
        rows.sweep();
        self.pack();
        self.sized.take();
    }

    /// The highest floor that anything was forgotten behind.
    pub fn floor(&self) -> Option<Millis> {
        self.known.gone.floor
    }

    /// The earliest and the latest instant from which what was taken in since the last time can change rows that are gone, or would have
    /// needed what was forgotten; none: the rows that are not gone are those of one who never forgot. To be asked after settling.
    pub fn too_old(&mut self) -> Option<(Millis, Millis)> {
        if let Some(from) = self.known.needs_gone(&self.dirt) {
            self.known.gone.needed(from);
        }
        self.known.gone.take_needed()
    }

    /// Bytes of the state, about: measured whenever it has grown by a twentieth, and in between estimated by what has come since.
    pub fn size(&self) -> usize {
        let entries = self.known.names.count() + self.rows.count();
        let (measured, then) = self.sized.get().unwrap_or_default();
        if measured > 0 && entries >= then && entries - then <= then / 20 {
            return measured + (measured / then.max(1)).saturating_mul(entries - then);
        }
        let rooms: usize = self.rooms().into_iter().map(|(_, bytes)| bytes).sum();
        self.sized.set(Some((rooms, entries)));
        rooms
    }
}

/// Takes the key of a row that is gone.
type LetGo<'a> = dyn FnMut(Key) + 'a;

impl Known {
    fn forget(&mut self, floor: Millis, gone: &mut LetGo<'_>) {
        let over = floor.saturating_sub(self.answered_within()).saturating_sub(self.config.skew);
        self.gone.floor = Some(floor);
        self.gone.over = Some(over);
        self.settle_sign_ins(over);
        self.forget_decisions(over, gone);
        self.forget_credentials(over, gone);
        self.forget_tokens(over, gone);
        self.forget_sessions(over, gone);
        self.fold_sessions(over);
        self.fold_names(over);
        // Made anew of those who are asked about.
        self.keys.take();
    }

    /// Of whatever happened before the floor and is told only now it is not known whether it was known; true if that is so.
    pub(crate) fn is_too_old(&mut self, at: Millis) -> bool {
        let too_old = self.gone.floor.is_some_and(|floor| at < floor);
        if too_old {
            self.gone.needed(at);
        }
        too_old
    }
}
