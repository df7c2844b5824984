//! What was forgotten, as far as it must be known: up to when of whom, so that what would need it is told and not answered worse.

use super::spent::Spent;
use crate::{checkpoint::kept_struct, moment::Millis, names::Id, table::Table};

/// What is no longer there.
#[derive(Default)]
pub(crate) struct Gone {
    /// What is wholly before it can have been forgotten.
    pub floor: Option<Millis>,
    /// Rows that are over by then are gone: somewhat before the floor, because what happens at the floor can be told of what was just
    /// before it.
    pub over: Option<Millis>,
    /// Of an entity reference, or of another caller: the last instant of a decision or credential whose row is gone.
    pub references: Table<Id, Millis>,
    /// Of a user: likewise of tokens, callbacks and sessions.
    pub users: Table<Id, Millis>,
    /// Sessions, by what stands for their names: of one that was never known all can be said, of one that was forgotten nothing.
    pub sessions: Spent,
    /// The earliest and the latest instant of what was taken in and would have needed what was forgotten.
    late: Option<(Millis, Millis)>,
}

impl Gone {
    /// What was forgotten would have been needed, from an instant on.
    pub(crate) fn needed(&mut self, from: Millis) {
        self.late = Some(self.late.map_or((from, from), |(first, last)| (first.min(from), last.max(from))));
    }

    /// The earliest and the latest such instant since the last time.
    pub(crate) fn take_needed(&mut self) -> Option<(Millis, Millis)> {
        self.late.take()
    }

    /// Notes that something of a reference or user is gone.
    pub(crate) fn note(table: &mut Table<Id, Millis>, of: Id, until: Millis) {
        let known = table.get_or_insert_with(of, || until);
        *known = until.max(*known);
    }
}

kept_struct!(Gone { floor, over, references, users, sessions, late });
