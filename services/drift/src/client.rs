//! Clients of a Keycloak that a read found otherwise than the one before, and no event tells why.

use uuid::Uuid;

/// What is known of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Clients {
    /// They.
    pub changes: Vec<ClientChange>,
    /// Source and realm of those that were read with clients of which what was read is not stored.
    pub unread: Vec<String>,
    /// There was too much to ask for.
    pub unasked: bool,
}

/// One of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClientChange {
    /// Source id.
    pub source: String,
    /// Realm.
    pub realm: String,
    /// Keycloak's id of it.
    pub uuid: String,
    /// Client id, as it was read last.
    pub client: String,
    /// `created`, `changed`, `deleted`.
    pub what: &'static str,
    /// Names of the fields that differ, in order.
    pub fields: Vec<String>,
    /// When the read began that found it as before.
    pub after: i64,
    /// When the read ended that found it otherwise.
    pub before: i64,
    /// States as they were read, in order of time.
    pub evidence: Vec<Uuid>,
}
