//! What the rules ask about what a Keycloak is configured with: reads of it, what these wrote, what they list, and what was done to some.

use crate::{
    Store, StoreError,
    query::{all, rows},
    rows::stored_time,
};
use clickhouse::Row;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// Most rows of one answer.
const ROWS_MAX: (&str, u32) = ("states of what is configured", 200_000);

/// What events about a realm say of things of which no event tells: client `REALM-realm` comes, goes and is renamed with its realm, and
/// `admin-permissions` comes with a setting, as steps of flows do.
const OF_REALMS: &[&str] = &["realm_created", "realm_updated", "realm_deleted"];

/// Where every realm has a client of its own.
const MASTER: &str = "master";

/// What is held against events: an area of snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Held {
    /// Clients, by Keycloak's id or client id.
    Clients,
    /// Identity providers, by alias.
    IdentityProviders,
    /// Authentication flows: their events do not say which one in a way that can be held against it.
    Flows,
    /// Their steps, likewise.
    FlowExecutions,
    /// Required actions: an event that moves one moves another.
    RequiredActions,
    /// The realm itself.
    Realm,
}

impl Held {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Clients, Self::IdentityProviders, Self::Flows, Self::FlowExecutions, Self::RequiredActions, Self::Realm];

    /// Its area in snapshots.
    pub fn area(self) -> &'static str {
        match self {
            Self::Clients => "clients",
            Self::IdentityProviders => "identity_providers",
            Self::Flows => "flows",
            Self::FlowExecutions => "flow_executions",
            Self::RequiredActions => "required_actions",
            Self::Realm => "realm",
        }
    }

    /// One of it. Its states are events of the kind `state_` and this.
    pub fn one(self) -> &'static str {
        match self {
            Self::Clients => "client",
            Self::IdentityProviders => "identity_provider",
            Self::Flows => "flow",
            Self::FlowExecutions => "flow_execution",
            Self::RequiredActions => "required_action",
            Self::Realm => "realm",
        }
    }

    /// Kinds of events, those about realms apart, by which one is otherwise than before.
    fn acts(self) -> &'static [&'static str] {
        const FLOWS: &[&str] = &[
            "auth_flow_created",
            "auth_flow_updated",
            "auth_flow_deleted",
            "auth_flow_action",
            "auth_execution_created",
            "auth_execution_updated",
            "auth_execution_deleted",
            "auth_execution_action",
            "auth_execution_flow_created",
            "auth_execution_flow_updated",
            "auth_execution_flow_deleted",
            "authenticator_config_created",
            "authenticator_config_deleted",
        ];
        match self {
            Self::Clients => &["client_created", "client_updated", "client_deleted"],
            // An organization that a provider is given to, or that goes, stands in the provider.
            Self::IdentityProviders => &[
                "identity_provider_created",
                "identity_provider_updated",
                "identity_provider_deleted",
                "organization_created",
                "organization_updated",
                "organization_deleted",
                "organization_action",
            ],
            Self::Flows | Self::FlowExecutions => FLOWS,
            Self::RequiredActions => &[
                "required_action_created",
                "required_action_updated",
                "required_action_deleted",
                "required_action_action",
            ],
            // These set from when on tokens count.
            Self::Realm => &["all_sessions_ended", "revocation_pushed"],
        }
    }

    /// Whether it is told by an event about it alone, or by any event about its kind.
    fn is_named(self) -> bool {
        matches!(self, Self::Clients | Self::IdentityProviders)
    }

    /// Whether any change of the realm tells it.
    fn follows_realm(self) -> bool {
        !self.is_named()
    }
}

/// A read of a realm's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Row, Deserialize)]
pub struct Read {
    /// Source id.
    pub source_id: String,
    /// Realm.
    pub realm: String,
    /// Its area in snapshots.
    pub area: String,
    /// When it ended, UTC milliseconds.
    pub ended: i64,
    /// Snapshot.
    pub snapshot: String,
    /// When it began, UTC milliseconds.
    pub began: i64,
    /// How many are on its list.
    pub entities: u64,
    /// How many of them it wrote: those that were not as before.
    pub changed: u64,
    /// Whether the list is all there is.
    pub complete: bool,
}

/// One thing as a read wrote it.
#[derive(Clone, Debug, PartialEq, Row, Deserialize)]
pub struct State {
    /// Its mark on lists.
    pub entity: String,
    /// Of what was read of it.
    pub hash: String,
    /// Keycloak's id of it.
    pub id: String,
    /// Its name: client id, alias, flow and step, realm.
    pub name: String,
    /// What was read of it.
    pub fields: Vec<(String, String)>,
    /// The event that says so.
    #[serde(with = "clickhouse::serde::uuid")]
    pub event_id: Uuid,
}

/// What of whom, in which time: UTC milliseconds, both ends count.
#[derive(Clone, Copy, Debug)]
pub struct Of<'a> {
    /// Tenant.
    pub tenant: &'a str,
    /// Source id.
    pub source: &'a str,
    /// Realm.
    pub realm: &'a str,
    /// What.
    pub held: Held,
    /// From here on.
    pub from: i64,
    /// Up to here.
    pub to: i64,
}

/// To what something was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Things, by Keycloak's id or by name.
    pub to: BTreeSet<String>,
    /// Whether something was done to this realm.
    pub realm: bool,
    /// Whether it was made or deleted.
    pub remade: bool,
    /// Names of all realms to which something was done; empty: of one that is not said.
    pub realms: BTreeSet<String>,
}

impl Done {
    /// True if something was done to one of a realm, or to what it comes, goes and is renamed with.
    pub fn concerns(&self, held: Held, realm: &str, (id, name): (&str, &str)) -> bool {
        let of_client = || {
            let of_realm = name.strip_suffix("-realm").filter(|_| realm == MASTER);
            of_realm.is_some_and(|of| self.realms.contains(of) || self.realms.contains(""))
                || (self.realm && name == "admin-permissions")
        };
        self.to.contains(id)
            || self.to.contains(name)
            || (!held.is_named() && !self.to.is_empty())
            || (held.follows_realm() && self.realm)
            || (held == Held::IdentityProviders && self.to.contains(ANY))
            || (held == Held::Clients && of_client())
    }
}

/// An event that names none and may have concerned any.
const ANY: &str = "*";
/// One of another realm.
const NONE: &str = "-";

impl Store {
    /// Reads that ended between two times (UTC milliseconds, (from, to]), of each realm and area in order.
    pub async fn configured_reads(&self, tenant: &str, (from, to): (i64, i64)) -> Result<Vec<Read>, StoreError> {
        let sql = "SELECT DISTINCT source_id, toString(realm) AS realm, toString(resource_kind) AS area, \
             toUnixTimestamp64Milli(time) + later_ms AS ended, details['snapshot'] AS snapshot, \
             toUnixTimestamp64Milli(time) - earlier_ms AS began, toUInt64OrZero(details['entities']) AS entities, \
             toUInt64OrZero(details['changed']) AS changed, details['outcome'] = 'complete' AS complete FROM event_rows \
             WHERE tenant = {tenant:String} AND is_deleted = 0 AND kind = 'snapshot_area' AND resource_kind IN {areas:Array(String)} \
             AND time > fromUnixTimestamp64Milli({from:Int64}, 'UTC') \
             AND time <= fromUnixTimestamp64Milli({to:Int64}, 'UTC') ORDER BY source_id, realm, area, ended, snapshot LIMIT {beyond:UInt32}";
        let asked = self.ask(sql).param("tenant", tenant).param("areas", &Held::ALL.map(Held::area)[..]);
        all(asked.param("from", stored_time(from)).param("to", stored_time(to)), ROWS_MAX).await
    }

    /// What reads wrote: of each state of each the latest.
    pub async fn configured_states(&self, of: Of<'_>) -> Result<Vec<State>, StoreError> {
        let sql = "SELECT details['entity'] AS entity, details['hash'] AS hash, resource AS id, \
               multiIf(client != '', toString(client), details['flow'] != '', concat(details['flow'], ' / ', details['displayName']), \
               details['alias'] != '', details['alias'], toString(realm)) AS name, \
             arrayFilter(one -> one.1 NOT IN ('snapshot', 'entity', 'hash'), arrayZip(mapKeys(details), mapValues(details))) AS fields, event_id \
             FROM event_rows WHERE tenant = {tenant:String} AND source_id = {source:String} AND realm = {realm:String} AND is_deleted = 0 \
             AND kind = concat('state_', {one:String}) AND time >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') \
             AND time <= fromUnixTimestamp64Milli({to:Int64}, 'UTC') \
             ORDER BY time DESC, event_id, version DESC LIMIT 1 BY entity, hash LIMIT {beyond:UInt32}";
        all(self.about(sql, of).param("one", of.held.one()), ROWS_MAX).await
    }

    /// What is on the lists of a read that fills that time: the hash of each, by its mark.
    pub async fn configured_list(&self, of: Of<'_>, snapshot: &str) -> Result<BTreeMap<String, String>, StoreError> {
        let sql = "SELECT DISTINCT substring(entry, 1, 32), substring(entry, 33, 16) FROM event_rows \
             ARRAY JOIN extractAll(details['entries'], '.{48}') AS entry \
             WHERE tenant = {tenant:String} AND source_id = {source:String} AND realm = {realm:String} AND is_deleted = 0 \
             AND kind = 'snapshot_list' AND resource_kind = {area:String} AND details['snapshot'] = {snapshot:String} \
             AND time >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND time <= fromUnixTimestamp64Milli({to:Int64}, 'UTC')";
        let asked = self.about(sql, of).param("snapshot", snapshot).param("area", of.held.area());
        Ok(rows(asked).await?.into_iter().collect())
    }

    /// To which of a realm's something was done, by whomever, and what was done to realms of that source.
    pub async fn configured_acts(&self, of: Of<'_>) -> Result<Done, StoreError> {
        // A pulled event names no realm. A client that registers or changes itself is told by its client id, what is of a partial import by
        // the path of an event about the realm.
        let sql = "SELECT DISTINCT multiIf(startsWith(resource, {path:String}), splitByChar('/', substring(resource, length({path:String}) + 1))[1], \
               details['client_uuid'] != '', details['client_uuid'], kind IN {realms:Array(String)}, '', \
               realm IN ('', {realm:String}), if({held:String} = 'clients', toString(client), {any:String}), {none:String}) AS of, \
             realm IN ('', {realm:String}), toString(realm), if(details['changed_realm'] != '', details['changed_realm'], resource), toString(kind) FROM event_rows \
             WHERE tenant = {tenant:String} AND source_id = {source:String} AND is_deleted = 0 AND outcome != 'failure' \
             AND time >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND time <= fromUnixTimestamp64Milli({to:Int64}, 'UTC') \
             AND kind IN (arrayConcat({realms:Array(String)}, {acts:Array(String)})) LIMIT {beyond:UInt32}";
        let path = match of.held {
            Held::IdentityProviders => "identity-provider/instances/",
            _ => "clients/",
        };
        let asked = self.about(sql, of).param("realms", OF_REALMS).param("acts", of.held.acts());
        let asked = asked.param("path", path).param("any", ANY).param("none", NONE).param("held", of.held.area());
        let mut done = Done::default();
        for (one, here, realm, changed, kind) in all::<(String, bool, String, String, String)>(asked, ROWS_MAX).await? {
            if one.is_empty() {
                done.realm |= here;
                done.remade |= changed == of.realm && kind != "realm_updated";
                done.realms.extend([realm].into_iter().chain(Some(changed).filter(|name| !name.is_empty())));
            } else if one != NONE {
                done.to.insert(one);
            }
        }
        Ok(done)
    }

    fn about(&self, sql: &str, of: Of<'_>) -> clickhouse::query::Query {
        let asked = self.ask(sql).param("tenant", of.tenant).param("source", of.source).param("realm", of.realm);
        asked.param("from", stored_time(of.from)).param("to", stored_time(of.to))
    }
}
