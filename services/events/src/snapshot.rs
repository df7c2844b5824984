//! Snapshots of state as receipts: what the reader of a source writes into the log, and what everything behind it reads.
//!
//! Four bodies, all JSON: `snapshot_begin`, one `snapshot_entity` per entity that is new or changed since the last snapshot (what a
//! realm records of events: also unchanged, twice a day),
//! `snapshot_list` with the keyed id and hash of every entity of one list, and `snapshot_end`, which says of each area
//! whether it was read completely. Without an end nothing of a snapshot counts as complete. docs/snapshots.md explains them.

pub mod fields;

use crate::{person::DeploymentKey, receipt::names};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Bytes of an entity's keyed id.
pub const ID_BYTES: usize = 16;
/// Bytes of a keyed hash of an entity's state: a change is overlooked with a chance of 1 in 2^64.
pub const HASH_BYTES: usize = 8;
/// Hex digits of one entry of a list: keyed id, then hash.
pub const ENTRY_DIGITS: usize = 2 * (ID_BYTES + HASH_BYTES);
/// Most entries of one list receipt.
pub const LIST_ENTRIES: usize = 500;

/// A kind of state, read as one list or as one list per container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Area {
    /// Keycloak: the realm itself, with token lifespans.
    Realm,
    /// Keycloak: what the realm stores of events.
    EventsConfig,
    /// Keycloak: clients.
    Clients,
    /// Keycloak: (client, its service account's user).
    ServiceAccounts,
    /// Keycloak: realm and client roles.
    Roles,
    /// Keycloak: the group tree.
    Groups,
    /// Keycloak: groups that new users join.
    DefaultGroups,
    /// Keycloak: users, without service accounts.
    Users,
    /// Keycloak: (user, group), direct members, read per group.
    Members,
    /// Keycloak: (user, role), direct holders, read per role; service accounts too.
    RoleUsers,
    /// Keycloak: (group, role), read per role.
    RoleGroups,
    /// Keycloak: (outer role, inner role).
    Composites,
    /// Keycloak: identity providers through which people sign in.
    IdentityProviders,
    /// Keycloak: authentication flows.
    Flows,
    /// Keycloak: executions of a flow, read per flow.
    FlowExecutions,
    /// Keycloak: required actions.
    RequiredActions,
    /// Keycloak: organizations.
    Organizations,
    /// Keycloak: (user, organization), read per organization.
    OrganizationMembers,
    /// Keycloak: (session, client), read per client.
    Sessions,
    /// Keycloak: the same of offline sessions.
    OfflineSessions,
    /// Backstage: User entities of the catalog.
    CatalogUsers,
    /// Backstage: Group entities of the catalog.
    CatalogGroups,
    /// Backstage: (user, group), relation memberOf.
    CatalogMembers,
    /// Backstage RBAC: roles.
    RbacRoles,
    /// Backstage RBAC: (user or group, role).
    RbacMembers,
    /// Backstage RBAC: permission policies.
    RbacPolicies,
    /// Backstage RBAC: conditional policies.
    RbacConditions,
}

names!(Area: Realm = "realm", EventsConfig = "events_config", Clients = "clients", ServiceAccounts = "service_accounts",
    Roles = "roles", Groups = "groups", DefaultGroups = "default_groups", Users = "users", Members = "members",
    RoleUsers = "role_users", RoleGroups = "role_groups", Composites = "composites", IdentityProviders = "identity_providers", Flows = "flows",
    FlowExecutions = "flow_executions", RequiredActions = "required_actions", Organizations = "organizations",
    OrganizationMembers = "organization_members", Sessions = "sessions", OfflineSessions = "offline_sessions",
    CatalogUsers = "catalog_users", CatalogGroups = "catalog_groups", CatalogMembers = "catalog_members",
    RbacRoles = "rbac_roles", RbacMembers = "rbac_members", RbacPolicies = "rbac_policies",
    RbacConditions = "rbac_conditions");

/// What started a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// The schedule.
    Schedule,
    /// A person.
    Demand,
    /// A recording that was imported.
    Recording,
}

names!(Trigger: Schedule = "schedule", Demand = "demand", Recording = "recording");

/// Body of a `snapshot_begin` receipt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Begin {
    /// Id of the snapshot: a UUID.
    pub snapshot: String,
    /// When it began, UTC milliseconds of the reader's clock.
    pub time: i64,
    /// What started it.
    pub trigger: Trigger,
    /// True if every entity is written anew, false if only what is new or changed since `previous`.
    pub full: bool,
    /// The complete or partly complete snapshot before it, from which the same reader compares; none for the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
    /// Realms that are read; empty for a Backstage.
    pub realms: Vec<String>,
}

/// Body of a `snapshot_entity` receipt: one entity as it was at some instant from `time_min` to `time_max`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Entity {
    /// Id of the snapshot.
    pub snapshot: String,
    /// Area.
    pub area: Area,
    /// Realm; empty for a Backstage.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub realm: String,
    /// Keyed id, 32 hex digits: [`entity_mark`].
    pub entity: String,
    /// Keyed hash of `state`, 16 hex digits: [`state_hash`].
    pub hash: String,
    /// When it was asked for, UTC milliseconds of the reader's clock.
    pub time_min: i64,
    /// When the answer was there.
    pub time_max: i64,
    /// What was read, redacted, with names and lists of names sorted so that equal states are equal bytes.
    pub state: Value,
    /// Names of what `state` refers to by id, as they were then; no part of the hash, so that a renamed group is one change.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub names: Value,
}

/// Body of a `snapshot_list` receipt: entities of one list, `page` of `pages`. An entity of the list that was there all the
/// time from `time_min` to `time_max` is on one of its pages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct List {
    /// Id of the snapshot.
    pub snapshot: String,
    /// Area.
    pub area: Area,
    /// Realm; empty for a Backstage.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub realm: String,
    /// Id of the group, role, client, flow or organization whose list it is; empty for a list of the whole realm.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub within: String,
    /// From 0.
    pub page: u32,
    /// How many pages the list has, at least 1.
    pub pages: u32,
    /// When its reading began, UTC milliseconds of the reader's clock.
    pub time_min: i64,
    /// When its reading ended.
    pub time_max: i64,
    /// Keyed id and hash of each entity, [`ENTRY_DIGITS`] hex digits each, one after another.
    pub entries: String,
}

/// What became of an area.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every list was read whole.
    Complete,
    /// The source has no such thing (organizations are off, RBAC is not installed).
    NotThere,
    /// It changed faster than it could be read.
    Unstable,
    /// The account lacks a role or permission.
    Forbidden,
    /// Client id, secret or token refused.
    Unauthorized,
    /// No such realm.
    RealmMissing,
    /// No connection.
    Unreachable,
    /// Errors of the source's own.
    ServerError,
    /// The source asks for fewer requests.
    Throttled,
    /// Another answer than this program knows.
    NotSupported,
    /// One answer is larger than may be read.
    TooLarge,
    /// It was not read: the snapshot ended before.
    Interrupted,
}

names!(Outcome: Complete = "complete", NotThere = "not_there", Unstable = "unstable", Forbidden = "forbidden",
    Unauthorized = "unauthorized", RealmMissing = "realm_missing", Unreachable = "unreachable",
    ServerError = "server_error", Throttled = "throttled", NotSupported = "not_supported", TooLarge = "too_large",
    Interrupted = "interrupted");

impl Outcome {
    /// True if nothing that exists is missing from the area.
    pub fn is_whole(self) -> bool {
        matches!(self, Self::Complete | Self::NotThere)
    }
}

/// What a snapshot says of one area at its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AreaEnd {
    /// Area.
    pub area: Area,
    /// Realm; empty for a Backstage.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub realm: String,
    /// What became of it. Absence from an area says something only if it is complete.
    pub outcome: Outcome,
    /// Role or permission that is missing, if it is forbidden.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub needs: String,
    /// Lists read.
    pub lists: u64,
    /// List receipts of them.
    pub pages: u64,
    /// Entries on them.
    pub entities: u64,
    /// New or changed ones; of a full snapshot all.
    pub changed: u64,
    /// When its reading began, UTC milliseconds; 0 if it did not.
    pub time_min: i64,
    /// When its reading ended.
    pub time_max: i64,
}

/// Body of a `snapshot_end` receipt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct End {
    /// Id of the snapshot.
    pub snapshot: String,
    /// When it ended, UTC milliseconds of the reader's clock.
    pub time: i64,
    /// True if every area is whole.
    pub complete: bool,
    /// By area and realm.
    pub areas: Vec<AreaEnd>,
}

/// The keyed id of an entity: nothing can be learned from it, and it is equal in every snapshot of one source.
pub fn entity_mark(key: &DeploymentKey, source: (&str, &str), named: (&str, Area, &str)) -> String {
    let (tenant, source_id) = source;
    let (realm, area, id) = named;
    key.mark("snapshot_entity", &[tenant, source_id, realm, area.as_str(), id])
}

/// The keyed hash of an entity's state.
pub fn state_hash(key: &DeploymentKey, state: &str) -> String {
    let mut mark = key.mark("snapshot_state", &[state]);
    mark.truncate(2 * HASH_BYTES);
    mark
}

/// The state in the one order in which equal states are equal bytes: names sorted, lists of plain values sorted.
pub fn canonical(state: &Value) -> Value {
    match state {
        Value::Object(fields) => {
            let mut names: Vec<_> = fields.iter().collect();
            names.sort_by_key(|(name, _)| name.as_str());
            Value::Object(names.into_iter().map(|(name, value)| (name.clone(), canonical(value))).collect())
        }
        Value::Array(items) => {
            let mut items: Vec<Value> = items.iter().map(canonical).collect();
            if items.iter().all(|item| !item.is_object() && !item.is_array()) {
                items.sort_by_cached_key(Value::to_string);
            }
            Value::Array(items)
        }
        plain => plain.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn equal_states_are_equal_bytes() {
        let one = json!({"b": ["y", "x"], "a": {"d": 1, "c": [{"n": 2}, {"n": 1}]}});
        let other = json!({"a": {"c": [{"n": 2}, {"n": 1}], "d": 1}, "b": ["x", "y"]});
        assert_eq!(canonical(&one).to_string(), canonical(&other).to_string());
        assert_ne!(canonical(&json!([{"n": 2}, {"n": 1}])), canonical(&json!([{"n": 1}, {"n": 2}])));
    }

    #[test]
    fn marks_are_keyed_and_told_apart_by_everything() {
        let key = DeploymentKey::new([1; 32]);
        let mark = |realm, area, id| entity_mark(&key, ("t", "kc"), (realm, area, id));
        assert_eq!(mark("acme", Area::Users, "u1").len(), 2 * ID_BYTES);
        assert_ne!(mark("acme", Area::Users, "u1"), mark("beta", Area::Users, "u1"));
        assert_ne!(mark("acme", Area::Users, "u1"), mark("acme", Area::Groups, "u1"));
        assert_eq!(state_hash(&key, "{}").len(), 2 * HASH_BYTES);
        assert_ne!(state_hash(&key, "{}"), state_hash(&DeploymentKey::new([2; 32]), "{}"));
    }

    #[test]
    fn names_are_those_of_json() {
        for area in Area::ALL {
            assert_eq!(serde_json::to_value(area).unwrap(), area.as_str());
        }
        for outcome in Outcome::ALL {
            assert_eq!(serde_json::to_value(outcome).unwrap(), outcome.as_str());
        }
    }
}
