//! Reads of state: pieces are gathered until the end has come and every entity and pair that it counts is there; only then does
//! a read say anything. What a complete read does not list was not there.

use crate::{
    checkpoint::{kept_enum, kept_struct},
    facts::List,
    moment::{Millis, Moment},
    names::Sym,
};
use hashbrown::HashMap;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// A complete read of one list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReadAt {
    pub begin: Millis,
    pub end: Millis,
    pub event: Uuid,
}

/// Which reads speak of a history: those of one list in one realm (or of one Backstage).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Scope {
    pub list: List,
    pub within: Sym,
}

/// All complete reads, by scope and in order of time.
#[derive(Default)]
pub(crate) struct Reads {
    complete: HashMap<Scope, Vec<ReadAt>>,
}

impl Reads {
    pub(crate) fn of(&self, scope: Scope) -> &[ReadAt] {
        self.complete.get(&scope).map_or(&[], Vec::as_slice)
    }

    /// Adds a read; its index, or nothing if it was there.
    pub(crate) fn add(&mut self, scope: Scope, read: ReadAt) -> Option<usize> {
        let reads = self.complete.entry(scope).or_default();
        match reads.binary_search_by_key(&read.moment(), ReadAt::moment) {
            Ok(_) => None,
            Err(at) => {
                reads.insert(at, read);
                Some(at)
            }
        }
    }

    /// The last read that began at or before `t`.
    pub(crate) fn last(&self, scope: Scope, t: Millis) -> Option<Millis> {
        let reads = self.of(scope);
        let limit = Moment::ceiling(t);
        let after = reads.partition_point(|read| read.moment() <= limit);
        after.checked_sub(1).map(|at| reads[at].begin)
    }
}

/// An entity of a read, kept until the read is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Entity {
    User {
        user: Sym,
        username: Sym,
        email: Sym,
        enabled: bool,
    },
    Group {
        group: Sym,
        path: Sym,
        parent: Sym,
    },
    /// `name`: `client:name`, of a realm's role `:name`.
    Role {
        role: Sym,
        name: Sym,
    },
    CatalogUser {
        reference: Sym,
        keycloak: Sym,
    },
    CatalogGroup {
        reference: Sym,
        keycloak: Sym,
        parent: Sym,
    },
}

/// A read whose pieces have not all come.
#[derive(Default)]
pub(crate) struct Pending {
    pub begin: Option<Millis>,
    pub end: Option<End>,
    pub entities: BTreeSet<Entity>,
    pub lists: BTreeMap<List, BTreeSet<(Sym, Sym)>>,
}

/// What the end of a read says.
#[derive(Clone, Debug)]
pub(crate) struct End {
    pub at: Millis,
    pub whole: Vec<List>,
    pub entities: usize,
    pub pairs: usize,
}

impl Pending {
    /// The read, if nothing of it is missing.
    pub(crate) fn complete(&self, event: Uuid) -> Option<ReadAt> {
        let (begin, end) = (self.begin?, self.end.as_ref()?);
        let pairs: usize = self.lists.values().map(BTreeSet::len).sum();
        (self.entities.len() == end.entities && pairs == end.pairs).then_some(ReadAt { begin, end: end.at, event })
    }
}

kept_struct!(ReadAt { begin, end, event });
kept_struct!(Scope { list, within });
kept_struct!(Reads { complete });
kept_enum!(Entity {
    0 User { user: user, username: username, email: email, enabled: enabled },
    1 Group { group: group, path: path, parent: parent },
    2 Role { role: role, name: name },
    3 CatalogUser { reference: reference, keycloak: keycloak },
    4 CatalogGroup { reference: reference, keycloak: keycloak, parent: parent },
});
kept_struct!(Pending { begin, end, entities, lists });
kept_struct!(End { at, whole, entities, pairs });
