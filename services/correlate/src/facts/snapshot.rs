//! The pieces of a snapshot: what each of its receipts says to the correlation.

use super::Mark;
use events::snapshot::Area;

/// A piece of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Snapshot<'a> {
    /// The snapshot's id.
    pub id: &'a str,
    /// The piece.
    pub said: Said<'a>,
}

/// Kinds of pieces.
#[expect(missing_docs, reason = "a variant says what its fields are")]
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Said<'a> {
    /// What a mark stands for.
    Entity { mark: Mark, state: State<'a> },
    /// A page of a list that was read whole: its marks in hex, one after another.
    List { area: Area, within: &'a str, page: u64, pages: u64, entries: &'a str },
    /// What became of an area: whether it was read whole; how many lists, pages and entries it has. The fact's span is from
    /// when to when it was read.
    Area { area: Area, whole: bool, counted: (u64, u64, u64) },
}

/// What an entity says.
#[expect(missing_docs, reason = "a variant says what its fields are")]
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum State<'a> {
    /// The realm whose name the fact carries.
    Realm { id: &'a str, default_role: &'a str },
    /// A role; of a client's, with the client's id.
    Role { role: &'a str, name: &'a str, client: &'a str },
    /// A group with its path and its parent (empty at the top).
    Group { group: &'a str, path: &'a str, parent: &'a str },
    /// A group that new users get.
    DefaultGroup { group: &'a str },
    /// A user.
    User { user: &'a str, username: &'a str, email: &'a str, enabled: bool },
    /// Somebody or something holds something: the area says what.
    Pair { holder: &'a str, held: &'a str },
    /// A Backstage User entity with its annotation `keycloak.org/id` (may be empty).
    CatalogUser { reference: &'a str, keycloak: &'a str },
    /// A Backstage Group entity, likewise, with its parent's reference (may be empty).
    CatalogGroup { reference: &'a str, keycloak: &'a str, parent: &'a str },
    /// A policy of a Backstage role.
    Policy { role: &'a str, permission: &'a str, action: &'a str, effect: &'a str },
}
