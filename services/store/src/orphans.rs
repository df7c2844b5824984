//! Whom only one of two systems knows: who of some persons a read of a catalog lists, and who signs in without being on it. Whose an
//! entity is, is the correlation's answer; who is listed, the read's own.

use crate::{
    Store, StoreError,
    query::{all, parts, rows},
    rows::stored_time,
};
use clickhouse::Row;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// Most people of one answer: where there are more, something else is wrong.
const PEOPLE_MAX: (&str, u32) = ("people whom Keycloak or Backstage alone knows", 10_000);

/// People whose names and ids one request holds.
const TOGETHER: usize = 300;

/// A complete read of a Backstage's people.
#[derive(Clone, Debug, PartialEq, Eq, Row, Deserialize)]
pub struct CatalogRead {
    /// Snapshot.
    pub snapshot: String,
    /// Entities on its lists.
    pub entities: u64,
    /// When it began, UTC milliseconds.
    pub began: i64,
    /// When it ended, UTC milliseconds.
    pub ended: i64,
}

/// Which read of which catalog.
#[derive(Clone, Copy, Debug)]
pub struct Catalog<'a> {
    /// Tenant.
    pub tenant: &'a str,
    /// Source id of the Backstage.
    pub backstage: &'a str,
    /// Its read.
    pub read: &'a CatalogRead,
}

/// A user of whom a catalog lists an entity.
#[derive(Clone, Debug, PartialEq)]
pub struct StandingEntity {
    /// Key of the user's account.
    pub account: String,
    /// When that Backstage was first read to have an entity of them, UTC milliseconds.
    pub since: i64,
    /// The event that says so.
    pub told_in: Uuid,
}

#[derive(Row, Deserialize)]
struct Told {
    person_id: String,
    since: i64,
    #[serde(with = "clickhouse::serde::uuid")]
    told_in: Uuid,
}

/// Somebody who was given tokens by a client.
#[derive(Clone, Debug, PartialEq, Row, Deserialize)]
pub struct Stranger {
    /// Person key.
    pub person: String,
    /// The first time ever, UTC milliseconds.
    pub since: i64,
    /// The event that says so.
    #[serde(with = "clickhouse::serde::uuid")]
    pub event_id: Uuid,
}

/// Marks of the entities that a read listed.
const LISTED: &str = "SELECT substring(entry, 1, 32) FROM event_rows ARRAY JOIN extractAll(details['entries'], '.{48}') AS entry \
    WHERE tenant = {tenant:String} AND source_id = {backstage:String} AND is_deleted = 0 AND kind = 'snapshot_list' AND resource_kind = 'catalog_users' \
    AND details['snapshot'] = {snapshot:String} AND time >= fromUnixTimestamp64Milli({began:Int64}, 'UTC') \
    AND time <= fromUnixTimestamp64Milli({ended:Int64}, 'UTC')";

impl Store {
    /// Accounts that an operator merged, and the persons that they count as, in order.
    pub async fn merged_accounts(&self, tenant: &str) -> Result<Vec<(String, String)>, StoreError> {
        let sql = "SELECT account, person FROM merged_accounts WHERE tenant = {tenant:String} ORDER BY 1, 2";
        crate::query::rows(self.ask(sql).param("tenant", tenant)).await
    }

    /// The last complete read of a Backstage's people that ended between two times (UTC milliseconds, (from, to]) and of which every list is
    /// stored.
    pub async fn catalog_read(
        &self,
        (tenant, backstage): (&str, &str),
        (from, to): (i64, i64),
    ) -> Result<Option<CatalogRead>, StoreError> {
        let sql = "SELECT DISTINCT details['snapshot'] AS snapshot, toUInt64OrZero(details['entities']) AS entities, \
             toUnixTimestamp64Milli(time) - earlier_ms AS began, toUnixTimestamp64Milli(time) + later_ms AS ended FROM event_rows \
             WHERE tenant = {tenant:String} AND source_id = {source:String} AND is_deleted = 0 AND kind = 'snapshot_area' \
             AND resource_kind = 'catalog_users' AND details['outcome'] = 'complete' AND time > fromUnixTimestamp64Milli({from:Int64}, 'UTC') \
             AND time <= fromUnixTimestamp64Milli({to:Int64}, 'UTC') ORDER BY ended DESC, snapshot LIMIT 5";
        let asked = self.ask(sql).param("tenant", tenant).param("source", backstage);
        let reads: Vec<CatalogRead> = rows(asked.param("from", stored_time(from)).param("to", stored_time(to))).await?;
        let count = format!("SELECT count(DISTINCT *) FROM ({LISTED})");
        for read in reads {
            let listed = self.of_read(&count, Catalog { tenant, backstage, read: &read });
            if rows::<u64>(listed).await?.pop() == Some(read.entities) {
                return Ok(Some(read));
            }
        }
        Ok(None)
    }

    fn of_read(&self, sql: &str, of: Catalog<'_>) -> clickhouse::query::Query {
        let asked = self.ask(sql).param("tenant", of.tenant).param("backstage", of.backstage);
        let asked = asked.param("snapshot", &of.read.snapshot).param("began", stored_time(of.read.began));
        asked.param("ended", stored_time(of.read.ended))
    }

    /// Of whom of some persons a read lists an entity that is theirs, in order of account.
    pub async fn standing_entities(
        &self,
        of: Catalog<'_>,
        persons: &[String],
    ) -> Result<Vec<StandingEntity>, StoreError> {
        let tied = "SELECT DISTINCT if(account = '', person, account) AS account, user_id FROM alias_rows FINAL WHERE tenant = {tenant:String} \
             AND person IN {persons:Array(String)} AND kind = 'reference' AND user_id != '' \
             AND (borne_to IS NULL OR borne_to > fromUnixTimestamp64Milli({ended:Int64}, 'UTC')) ORDER BY 1, 2 LIMIT {beyond:UInt32}";
        let told = format!(
            "SELECT person_id, toUnixTimestamp64Milli(min(time)) AS since, argMin(event_id, (time, event_id)) AS told_in FROM event_rows \
             WHERE tenant = {{tenant:String}} AND source_id = {{backstage:String}} AND is_deleted = 0 AND kind = 'state_catalog_user' \
             AND person_id IN {{users:Array(String)}} AND details['entity'] IN ({LISTED}) GROUP BY person_id"
        );
        let mut accounts: Vec<(String, String)> = Vec::new();
        for some in parts(persons) {
            accounts.extend(all(self.of_read(tied, of).param("persons", some), PEOPLE_MAX).await?);
        }
        let users: Vec<String> = accounts.iter().map(|(_, user)| user.clone()).collect();
        let mut entities: BTreeMap<String, (i64, Uuid)> = BTreeMap::new();
        for some in parts(&users) {
            let found = rows::<Told>(self.of_read(&told, of).param("users", some)).await?.into_iter();
            entities.extend(found.map(|one| (one.person_id, (one.since, one.told_in))));
        }
        let entity = |(account, user): (String, String)| {
            let (since, told_in) = *entities.get(&user)?;
            Some(StandingEntity { account, since, told_in })
        };
        Ok(accounts.into_iter().filter_map(entity).collect())
    }

    /// Persons with a session of some clients of a Keycloak that began between two times (UTC milliseconds, [from, to)) and of whom no
    /// catalog has an entity, nor does this read list one. An entity without an annotation counts as of whoever has its name; people of
    /// realms of which this Backstage has no entity are not its own, and whose name is not known is not told.
    pub async fn strangers(
        &self,
        of: Catalog<'_>,
        (keycloak, clients): (&str, &[String]),
        (from, to): (i64, i64),
    ) -> Result<Vec<Stranger>, StoreError> {
        let sql = "SELECT DISTINCT person FROM session_rows WHERE tenant = {tenant:String} AND source_id = {keycloak:String} AND is_deleted = 0 \
             AND person != '' AND hasAny(clients, {clients:Array(String)}) \
             AND at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND at < fromUnixTimestamp64Milli({to:Int64}, 'UTC') \
             AND person NOT IN (SELECT person FROM alias_rows FINAL WHERE tenant = {tenant:String} AND kind = 'reference' \
               AND (borne_to IS NULL OR borne_to > fromUnixTimestamp64Milli({to:Int64}, 'UTC'))) \
             ORDER BY person LIMIT {beyond:UInt32}";
        let asked = self.ask(sql).param("tenant", of.tenant).param("keycloak", keycloak).param("clients", clients);
        let asked = asked.param("from", stored_time(from)).param("to", stored_time(to));
        let persons: Vec<String> = all(asked, PEOPLE_MAX).await?;
        let mut found = Vec::new();
        for some in parts(&persons) {
            found.extend(self.strangers_among(of, (keycloak, clients), some).await?);
        }
        Ok(found)
    }

    async fn strangers_among(
        &self,
        of: Catalog<'_>,
        (keycloak, clients): (&str, &[String]),
        persons: &[String],
    ) -> Result<Vec<Stranger>, StoreError> {
        let first = "SELECT person, toUnixTimestamp64Milli(min(at)) AS since, argMin(event_id, (at, event_id)) AS event_id FROM token_rows FINAL \
             WHERE tenant = {tenant:String} AND person IN {persons:Array(String)} AND client IN {clients:Array(String)} GROUP BY person ORDER BY person";
        let asked = self.ask(first).param("tenant", of.tenant).param("persons", persons).param("clients", clients);
        let mut found: Vec<Stranger> = rows(asked).await?;
        let names = "SELECT DISTINCT person, lower(name) FROM alias_rows FINAL WHERE tenant = {tenant:String} \
             AND person IN {persons:Array(String)} AND kind = 'username' AND borne_to IS NULL";
        let mut named: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (person, name) in rows(self.ask(names).param("tenant", of.tenant).param("persons", persons)).await? {
            named.entry(person).or_default().push(name);
        }
        // Realm and Keycloak id of each, as their first token tells them.
        let told = "SELECT DISTINCT toString(event_id), toString(realm), person_id FROM event_rows WHERE tenant = {tenant:String} \
             AND source_id = {keycloak:String} AND time >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') \
             AND time <= fromUnixTimestamp64Milli({to:Int64}, 'UTC') AND event_id IN (arrayMap(id -> toUUID(id), {events:Array(String)}))";
        let times = || found.iter().map(|one| one.since);
        let span = (times().min().unwrap_or_default(), times().max().unwrap_or_default());
        let events: Vec<String> = found.iter().map(|one| one.event_id.to_string()).collect();
        let mut users: BTreeMap<String, (String, String)> = BTreeMap::new();
        for some in parts(&events) {
            let asked = self.ask(told).param("tenant", of.tenant).param("keycloak", keycloak).param("events", some);
            let asked = asked.param("from", stored_time(span.0)).param("to", stored_time(span.1));
            let rows = rows::<(String, String, String)>(asked).await?.into_iter();
            users.extend(rows.map(|(event, realm, user)| (event, (realm, user))));
        }
        // Of those on the list: realms of all that are annotated, ids that are asked for, and names without an annotation.
        let catalog = format!(
            "SELECT DISTINCT toString(realm), if(person_id IN {{users:Array(String)}}, person_id, '') AS user, \
               if(person_id = '', splitByChar('/', lower(person_name))[-1], '') AS name FROM event_rows \
             WHERE tenant = {{tenant:String}} AND source_id = {{backstage:String}} AND is_deleted = 0 AND kind = 'state_catalog_user' \
             AND (person_id != '' OR name IN {{names:Array(String)}}) AND details['entity'] IN ({LISTED})"
        );
        let (mut realms, mut listed, mut taken) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for some in found.chunks(TOGETHER) {
            let user = |one: &Stranger| users.get(&one.event_id.to_string()).map(|(_, user)| user.clone());
            let ids: Vec<String> = some.iter().filter_map(user).filter(|id| !id.is_empty()).collect();
            let names: Vec<String> = some.iter().filter_map(|one| named.get(&one.person)).flatten().cloned().collect();
            let asked = self.of_read(&catalog, of).param("users", ids).param("names", names);
            for (realm, user, name) in rows::<(String, String, String)>(asked).await? {
                if name.is_empty() {
                    realms.insert(realm);
                    listed.insert(user);
                } else {
                    taken.insert(name);
                }
            }
        }
        found.retain(|one| {
            let names = named.get(&one.person).map(Vec::as_slice).unwrap_or_default();
            let user = users.get(&one.event_id.to_string());
            user.is_some_and(|(realm, user)| realms.contains(realm) && !user.is_empty() && !listed.contains(user))
                && !names.is_empty()
                && !names.iter().any(|name| taken.contains(name))
        });
        Ok(found)
    }
}
