//! What a Keycloak is configured with: what a read found otherwise than the one before, and no event tells why.

use uuid::Uuid;

/// What is known of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Configured {
    /// What changed.
    pub changes: Vec<Change>,
    /// What was read without that what was read of it is stored, in words: `clients of keycloak acme`.
    pub unread: Vec<String>,
    /// There was too much to ask for.
    pub unasked: bool,
}

/// One thing that changed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Change {
    /// Source id.
    pub source: String,
    /// Realm.
    pub realm: String,
    /// What it is: `client`, `identity_provider`, `flow`, `flow_execution`, `required_action`, `realm`.
    pub kind: &'static str,
    /// Keycloak's id of it.
    pub id: String,
    /// Its name (of a client: client id) as it was read last.
    pub name: String,
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
