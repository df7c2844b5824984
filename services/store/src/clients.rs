//! What the rules ask about clients of a Keycloak: reads of them, what these wrote, what they list, and what was done to some.

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
const ROWS_MAX: (&str, u32) = ("states of clients", 200_000);

/// By what a client is otherwise than before.
const OF_CLIENTS: &[&str] = &["client_created", "client_updated", "client_deleted"];
/// What events about a realm say of clients of which no event tells: `REALM-realm` comes, goes and is renamed with its realm, and
/// `admin-permissions` comes with a setting.
const OF_REALMS: &[&str] = &["realm_created", "realm_updated", "realm_deleted"];

/// Where every realm has a client of its own.
const MASTER: &str = "master";

/// A read of a realm's clients.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Row, Deserialize)]
pub struct ClientRead {
    /// Source id.
    pub source_id: String,
    /// Realm.
    pub realm: String,
    /// When it ended, UTC milliseconds.
    pub ended: i64,
    /// Snapshot.
    pub snapshot: String,
    /// When it began, UTC milliseconds.
    pub began: i64,
    /// Clients on its list.
    pub entities: u64,
    /// How many of them it wrote: those that were not as before.
    pub changed: u64,
    /// Whether the list is all there is.
    pub complete: bool,
}

/// A client as a read wrote it.
#[derive(Clone, Debug, PartialEq, Row, Deserialize)]
pub struct ClientState {
    /// Its mark on lists.
    pub entity: String,
    /// Of what was read of it.
    pub hash: String,
    /// Keycloak's id of it.
    pub uuid: String,
    /// Client id.
    pub client: String,
    /// What was read of it.
    pub fields: Vec<(String, String)>,
    /// The event that says so.
    #[serde(with = "clickhouse::serde::uuid")]
    pub event_id: Uuid,
}

/// Whose clients, in which time: UTC milliseconds, both ends count.
#[derive(Clone, Copy, Debug)]
pub struct ClientsOf<'a> {
    /// Tenant.
    pub tenant: &'a str,
    /// Source id.
    pub source: &'a str,
    /// Realm.
    pub realm: &'a str,
    /// From here on.
    pub from: i64,
    /// Up to here.
    pub to: i64,
}

/// To whom something was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientActs {
    /// Clients, by Keycloak's id or client id.
    pub clients: BTreeSet<String>,
    /// Whether something was done to this realm.
    pub realm: bool,
    /// Whether it was made or deleted.
    pub remade: bool,
    /// Names of all realms to which something was done; empty: of one that is not said.
    pub realms: BTreeSet<String>,
}

impl ClientActs {
    /// True if something was done to a client of a realm, or to what it comes, goes and is renamed with.
    pub fn concern(&self, realm: &str, (uuid, client): (&str, &str)) -> bool {
        let of_realm = client.strip_suffix("-realm").filter(|_| realm == MASTER);
        self.clients.contains(uuid)
            || self.clients.contains(client)
            || of_realm.is_some_and(|of| self.realms.contains(of) || self.realms.contains(""))
            || (self.realm && client == "admin-permissions")
    }
}

impl Store {
    /// Reads of clients that ended between two times (UTC milliseconds, (from, to]), of each realm in order.
    pub async fn client_reads(&self, tenant: &str, (from, to): (i64, i64)) -> Result<Vec<ClientRead>, StoreError> {
        let sql = "SELECT DISTINCT source_id, toString(realm) AS realm, toUnixTimestamp64Milli(time) + later_ms AS ended, details['snapshot'] AS snapshot, \
             toUnixTimestamp64Milli(time) - earlier_ms AS began, toUInt64OrZero(details['entities']) AS entities, \
             toUInt64OrZero(details['changed']) AS changed, details['outcome'] = 'complete' AS complete FROM event_rows \
             WHERE tenant = {tenant:String} AND is_deleted = 0 AND kind = 'snapshot_area' AND resource_kind = 'clients' \
             AND time > fromUnixTimestamp64Milli({from:Int64}, 'UTC') \
             AND time <= fromUnixTimestamp64Milli({to:Int64}, 'UTC') ORDER BY source_id, realm, ended, snapshot LIMIT {beyond:UInt32}";
        let asked = self.ask(sql).param("tenant", tenant);
        all(asked.param("from", stored_time(from)).param("to", stored_time(to)), ROWS_MAX).await
    }

    /// What reads wrote of a realm's clients: of each state of each client the latest.
    pub async fn client_states(&self, of: ClientsOf<'_>) -> Result<Vec<ClientState>, StoreError> {
        let sql = "SELECT details['entity'] AS entity, details['hash'] AS hash, resource AS uuid, toString(client) AS client, \
             arrayFilter(one -> one.1 NOT IN ('snapshot', 'entity', 'hash'), arrayZip(mapKeys(details), mapValues(details))) AS fields, event_id \
             FROM event_rows WHERE tenant = {tenant:String} AND source_id = {source:String} AND realm = {realm:String} AND is_deleted = 0 \
             AND kind = 'state_client' AND time >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') \
             AND time <= fromUnixTimestamp64Milli({to:Int64}, 'UTC') \
             ORDER BY time DESC, event_id, version DESC LIMIT 1 BY entity, hash LIMIT {beyond:UInt32}";
        all(self.of_clients(sql, of), ROWS_MAX).await
    }

    /// The clients on the list of a read that fills that time: the hash of each, by its mark.
    pub async fn client_list(&self, of: ClientsOf<'_>, snapshot: &str) -> Result<BTreeMap<String, String>, StoreError> {
        let sql = "SELECT DISTINCT substring(entry, 1, 32), substring(entry, 33, 16) FROM event_rows \
             ARRAY JOIN extractAll(details['entries'], '.{48}') AS entry \
             WHERE tenant = {tenant:String} AND source_id = {source:String} AND realm = {realm:String} AND is_deleted = 0 \
             AND kind = 'snapshot_list' AND resource_kind = 'clients' AND details['snapshot'] = {snapshot:String} \
             AND time >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND time <= fromUnixTimestamp64Milli({to:Int64}, 'UTC')";
        Ok(rows(self.of_clients(sql, of).param("snapshot", snapshot)).await?.into_iter().collect())
    }

    /// To which of a realm's clients something was done, by whomever, and what was done to realms of that source.
    pub async fn client_acts(&self, of: ClientsOf<'_>) -> Result<ClientActs, StoreError> {
        // A pulled event names no realm. A client that registers or changes itself is told by its client id, one of a partial import by
        // the path of an event about the realm.
        let sql = "SELECT DISTINCT multiIf(startsWith(resource, 'clients/'), splitByChar('/', resource)[2], \
               details['client_uuid'] != '', details['client_uuid'], kind IN {realms:Array(String)}, '', realm IN ('', {realm:String}), toString(client), '-') AS of, \
             realm IN ('', {realm:String}), toString(realm), if(details['changed_realm'] != '', details['changed_realm'], resource), toString(kind) FROM event_rows \
             WHERE tenant = {tenant:String} AND source_id = {source:String} AND is_deleted = 0 AND outcome != 'failure' \
             AND time >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND time <= fromUnixTimestamp64Milli({to:Int64}, 'UTC') \
             AND kind IN (arrayConcat({realms:Array(String)}, {clients:Array(String)})) LIMIT {beyond:UInt32}";
        let asked = self.of_clients(sql, of).param("realms", OF_REALMS).param("clients", OF_CLIENTS);
        let mut acts = ClientActs::default();
        for (client, here, realm, changed, kind) in
            all::<(String, bool, String, String, String)>(asked, ROWS_MAX).await?
        {
            if client.is_empty() {
                acts.realm |= here;
                acts.remade |= changed == of.realm && kind != "realm_updated";
                acts.realms.extend([realm].into_iter().chain(Some(changed).filter(|name| !name.is_empty())));
            } else {
                acts.clients.insert(client);
            }
        }
        Ok(acts)
    }

    fn of_clients(&self, sql: &str, of: ClientsOf<'_>) -> clickhouse::query::Query {
        let asked = self.ask(sql).param("tenant", of.tenant).param("source", of.source).param("realm", of.realm);
        asked.param("from", stored_time(of.from)).param("to", stored_time(of.to))
    }
}
