//! Which rows must be answered anew, and the event that made it so.

use crate::{
    checkpoint::kept_struct,
    moment::{Millis, Moment},
    names::{Id, Sym},
    state::book::Dirty,
};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// From when on, and because of which event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Since {
    pub from: Millis,
    pub because: Uuid,
}

/// What was touched since rows were last answered.
#[derive(Default)]
pub(crate) struct Dirt {
    /// The event that is being taken in.
    pub event: Uuid,
    /// Answers about a person.
    pub users: BTreeMap<Id, Since>,
    /// Answers about an entity reference.
    pub references: BTreeMap<Id, Since>,
    /// Answers about everybody of a source.
    pub sources: BTreeMap<Sym, Since>,
    pub sessions: BTreeSet<Id>,
    /// All sessions of a user that were alive after an instant.
    pub user_sessions: BTreeMap<Id, Millis>,
    /// Those of a user that a sign-in's callback names after an instant: what came of it may be another.
    pub user_sign_ins: BTreeMap<Id, Millis>,
    pub tokens: BTreeSet<(Id, Moment)>,
    pub decisions: BTreeSet<(Id, Moment)>,
    pub traces: BTreeSet<Id>,
    /// Users whose grants, gaps and names must be listed anew; groups, roles and references whose gaps must be.
    pub listed: BTreeMap<Id, Uuid>,
}

impl Dirt {
    /// Nothing was touched.
    pub(crate) fn is_clean(&self) -> bool {
        let Self { event: _, users, references, sources, sessions, user_sessions, user_sign_ins, .. } = self;
        let Self { tokens, decisions, traces, listed, .. } = self;
        let people = users.is_empty() && references.is_empty() && sources.is_empty() && listed.is_empty();
        let sessions = sessions.is_empty() && user_sessions.is_empty() && user_sign_ins.is_empty();
        people && sessions && tokens.is_empty() && decisions.is_empty() && traces.is_empty()
    }

    fn note<K: Ord>(map: &mut BTreeMap<K, Since>, key: K, since: Since) {
        map.entry(key)
            .and_modify(|known| {
                if (since.from, since.because) < (known.from, known.because) {
                    *known = since;
                }
            })
            .or_insert(since);
    }

    fn since(&self, from: Millis) -> Since {
        Since { from, because: self.event }
    }

    pub(crate) fn user(&mut self, user: Id, from: Millis) {
        self.decisions_of(user, from);
        self.user_touched(user);
    }

    /// Decisions about a person, and none of the rows that are listed per person.
    pub(crate) fn decisions_of(&mut self, user: Id, from: Millis) {
        let since = self.since(from);
        Self::note(&mut self.users, user, since);
    }

    pub(crate) fn users(&mut self, found: Option<Dirty>) {
        if let Some(found) = found {
            self.user(found.of, found.from);
        }
    }

    /// Grants, gaps or names of a user may be others, even where no decision is.
    pub(crate) fn user_touched(&mut self, user: Id) {
        self.listed.entry(user).or_insert(self.event);
    }

    pub(crate) fn reference(&mut self, reference: Id, from: Millis) {
        let since = self.since(from);
        Self::note(&mut self.references, reference, since);
    }

    pub(crate) fn all(&mut self, source: Sym, from: Millis) {
        let since = self.since(from);
        Self::note(&mut self.sources, source, since);
    }

    pub(crate) fn sessions_of(&mut self, user: Id, from: Millis) {
        self.user_sessions.entry(user).and_modify(|known| *known = from.min(*known)).or_insert(from);
    }

    pub(crate) fn sign_ins_of(&mut self, user: Id, from: Millis) {
        self.user_sign_ins.entry(user).and_modify(|known| *known = from.min(*known)).or_insert(from);
    }
}

kept_struct!(Since { from, because });
kept_struct!(Dirt {
    event,
    users,
    references,
    sources,
    sessions,
    user_sessions,
    user_sign_ins,
    tokens,
    decisions,
    traces,
    listed
});
