//! What Backstage's catalog knew, as it was read: which entity reference stands for which Keycloak user or group, and who is in
//! which Backstage group.
//!
//! Joined by the annotation `keycloak.org/id` alone. Two Keycloak groups of one name are one Backstage group: the annotation
//! names only one of them, and that is kept apart.

use super::{
    book::{Book, Relation},
    ledger::Rules,
};
use crate::{checkpoint::kept_struct, facts::List, log::Set, moment::Millis, names::Id, table::Table};

/// Everything known of all catalogs of the tenant.
pub(crate) struct Catalog {
    /// Entity reference -> Keycloak user.
    pub users: Book<Id>,
    /// Entity reference -> Keycloak group.
    pub groups: Book<Id>,
    /// Entity reference of a group -> that of its parent.
    pub parents: Book<Id>,
    /// Person's reference in group's reference.
    pub members: Relation,
    /// Every reference that ever stood for a user or a group.
    references: Table<Id, Set<Id>>,
}

impl Catalog {
    pub(crate) fn new(skew: Millis) -> Self {
        Self {
            users: Book::new(List::Users, Rules::listed(skew)),
            groups: Book::new(List::Groups, Rules::listed(skew)),
            parents: Book::new(List::Groups, Rules::listed(skew)),
            members: Relation::new(List::CatalogMembers, Rules::listed(skew)),
            references: Table::default(),
        }
    }

    /// Remembers that `reference` stood for `keycloak`.
    pub(crate) fn refers(&mut self, reference: Id, keycloak: Id) {
        self.references.get_or_default(keycloak).insert(reference);
    }

    /// Every reference that ever stood for a Keycloak user or group.
    pub(crate) fn references(&self, keycloak: Id) -> impl Iterator<Item = Id> {
        self.references.get(&keycloak).into_iter().flatten().copied()
    }
}

kept_struct!(Catalog { users, groups, parents, members, references });
