//! The event: what a receipt says, in named columns. One flat struct, because it is one ClickHouse row.
//!
//! Every personal value has a column of its own (or sits in `personal`), so that one person can be erased later.

use crate::{
    ids::Position,
    person::PersonKey,
    receipt::{Input, SourceKind, TimeBasis, names},
};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;
use uuid::Uuid;

/// Result of what was tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It happened.
    Success,
    /// It was tried and refused or failed.
    Failure,
    /// A permission decision: allowed.
    Allow,
    /// A permission decision: denied.
    Deny,
    /// A permission decision: allowed where the conditions hold.
    Conditional,
    /// The source does not say.
    #[default]
    Unknown,
}
names!(Outcome: Success = "success", Failure = "failure", Allow = "allow", Deny = "deny", Conditional = "conditional", Unknown = "unknown");

/// Retention class (GDPR article 5(1)(e)): what kind of record this is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DataClass {
    /// Logins, logouts, failures, lockouts.
    Authentication,
    /// Refresh, introspection, user info, revocation.
    TokenLifecycle,
    /// Admin acts, groups, roles, policies, configuration.
    Administration,
    /// Permission decisions and audited calls.
    Decision,
    /// State that was read.
    Snapshot,
    /// This program's own records.
    #[default]
    Operational,
}
names!(DataClass: Authentication = "authentication", TokenLifecycle = "token_lifecycle", Administration = "administration",
    Decision = "decision", Snapshot = "snapshot", Operational = "operational");

/// What a change of a right did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RightChange {
    /// No change of a right.
    #[default]
    None,
    /// Somebody or something got it.
    Granted,
    /// Somebody or something lost it.
    Revoked,
    /// It was lost, but the source does not say which: unknown until the next snapshot.
    RevokedUnnamed,
}
names!(RightChange: None = "", Granted = "granted", Revoked = "revoked", RevokedUnnamed = "revoked_unnamed");

/// One event. Empty strings mean "the source does not say".
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Event {
    /// Deterministic id, [`crate::ids::event_id`].
    pub event_id: Uuid,
    /// Tenant.
    pub tenant: String,
    /// Source.
    pub source_id: String,
    /// Product of the source.
    pub source_kind: SourceKind,
    /// Way in.
    pub input: Input,
    /// Kind in our words (`login`, `group_member_added`, `decision`, ...), `other` when the type is not known.
    pub kind: String,
    /// Type in the source's words (`LOGIN`, `GROUP_MEMBERSHIP-CREATE`, `permission.permission-evaluation`).
    pub native_type: String,
    /// The source's id of the event.
    pub native_id: String,
    /// Retention class.
    pub data_class: DataClass,
    /// When it happened, UTC milliseconds.
    pub time: i64,
    /// Earliest it can have happened.
    pub time_min: i64,
    /// Latest it can have happened.
    pub time_max: i64,
    /// Where `time` was read.
    pub time_basis: TimeBasis,
    /// Result.
    pub outcome: Outcome,
    /// Realm name, if said.
    pub realm: String,
    /// Realm id, if said.
    pub realm_id: String,
    /// Whom it concerns.
    pub person: Option<PersonKey>,
    /// Keycloak user id of `person`, if said. Personal.
    pub person_id: String,
    /// Username or entity reference of `person` as written then. Personal.
    pub person_name: String,
    /// E-mail of `person` as written then. Personal.
    pub person_email: String,
    /// Who did it.
    pub actor: Option<PersonKey>,
    /// `user`, `client`, `plugin`, `static`, `impersonator`, `admin` or empty.
    pub actor_kind: String,
    /// Keycloak user id of the actor, if said. Personal.
    pub actor_id: String,
    /// Name of the actor as written then. Personal.
    pub actor_name: String,
    /// OAuth client.
    pub client: String,
    /// Keycloak user session id (a string; 24 characters since 26.5).
    pub session_id: String,
    /// Authorization code's session (`code_id`), equal to the session id where both are known.
    pub code_id: String,
    /// Access token id (jti).
    pub token_id: String,
    /// Refresh token presented or issued (id).
    pub refresh_token_id: String,
    /// Refresh token that replaces it (id).
    pub new_refresh_token_id: String,
    /// Address as the source saw it. Personal.
    pub ip: String,
    /// Personal.
    pub user_agent: String,
    /// Kind of right: `group`, `realm_role`, `client_role`, `role` (realm or client, not said), `backstage_role`, `policy`, `composite`.
    pub right_kind: String,
    /// Keycloak id of the right, or the Backstage role's entity reference.
    pub right_id: String,
    /// Group path or role name as written then.
    pub right_name: String,
    /// What happened to the right.
    pub right_change: RightChange,
    /// Who or what holds it when that is no person: `group` or `role` or `client`.
    pub holder_kind: String,
    /// Id of that holder.
    pub holder_id: String,
    /// Kind of the object acted upon (Keycloak resource type, Backstage plugin).
    pub resource_kind: String,
    /// Path, id or entity reference of the object.
    pub resource: String,
    /// Permission name of a decision.
    pub permission: String,
    /// Action of a decision or call (create, read, update, delete, use).
    pub action: String,
    /// Owner references inside the conditions of a decision: the claims that were used.
    pub owner_refs: Vec<String>,
    /// Error code or name.
    pub error: String,
    /// What else was said and is not personal.
    pub details: BTreeMap<String, String>,
    /// What else was said and is personal.
    pub personal: BTreeMap<String, String>,
    /// The receipt it came from.
    #[schemars(with = "String")]
    pub receipt: Position,
    /// Place among the events of the receipt, from 0.
    pub ordinal: u32,
    /// When the receipt was taken in, UTC milliseconds.
    pub received_at: i64,
    /// Version of the normaliser that wrote this.
    pub normaliser: u32,
}
