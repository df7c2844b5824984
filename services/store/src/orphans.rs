//! Whom only one of two systems knows: which references of a catalog stand for given users, and who signs in without one. What the catalog
//! says of a reference is the correlation's answer: it believes complete reads alone, and knows when one of them listed it no more.

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

/// A user to whom a Backstage's catalog ties an entity, as far as is known now.
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

impl Store {
    /// The last complete read of a Backstage's people that ended between two times (UTC milliseconds, (from, to]): when it began and ended.
    pub async fn catalog_read(
        &self,
        (tenant, backstage): (&str, &str),
        (from, to): (i64, i64),
    ) -> Result<Option<(i64, i64)>, StoreError> {
        let sql = "SELECT toUnixTimestamp64Milli(time) - earlier_ms AS began, toUnixTimestamp64Milli(time) + later_ms AS ended FROM event_rows FINAL \
             WHERE tenant = {tenant:String} AND source_id = {source:String} AND kind = 'snapshot_area' AND resource_kind = 'catalog_users' \
             AND details['outcome'] = 'complete' AND time > fromUnixTimestamp64Milli({from:Int64}, 'UTC') \
             AND time <= fromUnixTimestamp64Milli({to:Int64}, 'UTC') ORDER BY ended DESC LIMIT 1";
        let asked = self.ask(sql).param("tenant", tenant).param("source", backstage);
        Ok(rows(asked.param("from", stored_time(from)).param("to", stored_time(to))).await?.pop())
    }

    /// Who of some persons has an entity in a Backstage's catalog now, in order of account.
    pub async fn standing_entities(
        &self,
        (tenant, backstage): (&str, &str),
        persons: &[String],
    ) -> Result<Vec<StandingEntity>, StoreError> {
        let tied = "SELECT DISTINCT if(account = '', person, account) AS account, user_id FROM alias_rows FINAL WHERE tenant = {tenant:String} \
             AND person IN {persons:Array(String)} AND kind = 'reference' AND user_id != '' AND borne_to IS NULL ORDER BY 1, 2 LIMIT {beyond:UInt32}";
        // Which Backstage ties them no name says, and one that was tied before anything was known names no event.
        let told = "SELECT person_id, toUnixTimestamp64Milli(min(time)) AS since, argMin(event_id, (time, event_id)) AS told_in FROM event_rows \
             WHERE tenant = {tenant:String} AND source_id = {backstage:String} AND is_deleted = 0 AND kind = 'state_catalog_user' \
             AND person_id IN {users:Array(String)} GROUP BY person_id";
        let mut accounts: Vec<(String, String)> = Vec::new();
        for some in parts(persons) {
            accounts.extend(all(self.ask(tied).param("tenant", tenant).param("persons", some), PEOPLE_MAX).await?);
        }
        let users: Vec<String> = accounts.iter().map(|(_, user)| user.clone()).collect();
        let mut entities: BTreeMap<String, (i64, Uuid)> = BTreeMap::new();
        for some in parts(&users) {
            let asked = self.ask(told).param("tenant", tenant).param("backstage", backstage).param("users", some);
            let found = rows::<Told>(asked).await?.into_iter();
            entities.extend(found.map(|one| (one.person_id, (one.since, one.told_in))));
        }
        let entity = |(account, user): (String, String)| {
            let (since, told_in) = *entities.get(&user)?;
            Some(StandingEntity { account, since, told_in })
        };
        Ok(accounts.into_iter().filter_map(entity).collect())
    }

    /// Persons with a session of some clients of a Keycloak that began between two times (UTC milliseconds, [from, to)) and without a
    /// reference in any catalog. An entity of a Backstage without an annotation counts as of whoever has its name; people of realms of which
    /// this Backstage has no entity are not its own, and whose name is not known is not told.
    pub async fn strangers(
        &self,
        (tenant, backstage, keycloak): (&str, &str, &str),
        clients: &[String],
        (from, to): (i64, i64),
    ) -> Result<Vec<Stranger>, StoreError> {
        let sql = "SELECT DISTINCT person FROM session_rows WHERE tenant = {tenant:String} AND source_id = {keycloak:String} AND is_deleted = 0 \
             AND person != '' AND hasAny(clients, {clients:Array(String)}) \
             AND at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND at < fromUnixTimestamp64Milli({to:Int64}, 'UTC') \
             AND person NOT IN (SELECT person FROM alias_rows FINAL WHERE tenant = {tenant:String} AND kind = 'reference' AND borne_to IS NULL) \
             ORDER BY person LIMIT {beyond:UInt32}";
        let asked = self.ask(sql).param("tenant", tenant).param("keycloak", keycloak).param("clients", clients);
        let asked = asked.param("from", stored_time(from)).param("to", stored_time(to));
        let persons: Vec<String> = all(asked, PEOPLE_MAX).await?;
        let mut found = Vec::new();
        for some in parts(&persons) {
            found.extend(self.strangers_among((tenant, backstage, keycloak), clients, some).await?);
        }
        Ok(found)
    }

    async fn strangers_among(
        &self,
        (tenant, backstage, keycloak): (&str, &str, &str),
        clients: &[String],
        persons: &[String],
    ) -> Result<Vec<Stranger>, StoreError> {
        let first = "SELECT person, toUnixTimestamp64Milli(min(at)) AS since, argMin(event_id, (at, event_id)) AS event_id FROM token_rows FINAL \
             WHERE tenant = {tenant:String} AND person IN {persons:Array(String)} AND client IN {clients:Array(String)} GROUP BY person ORDER BY person";
        let asked = self.ask(first).param("tenant", tenant).param("persons", persons).param("clients", clients);
        let mut found: Vec<Stranger> = rows(asked).await?;
        let names = "SELECT DISTINCT person, lower(name) FROM alias_rows FINAL WHERE tenant = {tenant:String} \
             AND person IN {persons:Array(String)} AND kind = 'username' AND borne_to IS NULL";
        let mut named: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (person, name) in rows(self.ask(names).param("tenant", tenant).param("persons", persons)).await? {
            named.entry(person).or_default().push(name);
        }
        let known: Vec<String> = named.values().flatten().cloned().collect();
        let catalog = "SELECT toString(realm), if(person_id = '', splitByChar('/', lower(person_name))[-1], '') AS name FROM event_rows \
             WHERE tenant = {tenant:String} AND source_id = {backstage:String} AND is_deleted = 0 AND kind = 'state_catalog_user' \
             AND (person_id != '' OR name IN {names:Array(String)}) GROUP BY 1, 2";
        let (mut realms, mut taken) = (BTreeSet::new(), BTreeSet::new());
        for some in parts(&known) {
            let asked = self.ask(catalog).param("tenant", tenant).param("backstage", backstage).param("names", some);
            for (realm, name) in rows::<(String, String)>(asked).await? {
                // Annotated ones tell the realm, others the name.
                if name.is_empty() {
                    realms.insert(realm)
                } else {
                    taken.insert(name)
                };
            }
        }
        let told = "SELECT DISTINCT toString(event_id), toString(realm) FROM event_rows WHERE tenant = {tenant:String} \
             AND source_id = {keycloak:String} AND time >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') \
             AND time <= fromUnixTimestamp64Milli({to:Int64}, 'UTC') AND event_id IN (arrayMap(id -> toUUID(id), {events:Array(String)}))";
        let times = || found.iter().map(|one| one.since);
        let span = (times().min().unwrap_or_default(), times().max().unwrap_or_default());
        let events: Vec<String> = found.iter().map(|one| one.event_id.to_string()).collect();
        let mut of = BTreeMap::new();
        for some in parts(&events) {
            let asked = self.ask(told).param("tenant", tenant).param("keycloak", keycloak).param("events", some);
            let asked = asked.param("from", stored_time(span.0)).param("to", stored_time(span.1));
            of.extend(rows::<(String, String)>(asked).await?);
        }
        found.retain(|one| {
            let names = named.get(&one.person).map(Vec::as_slice).unwrap_or_default();
            let is_here = of.get(&one.event_id.to_string()).is_some_and(|realm| realms.contains(realm));
            is_here && !names.is_empty() && !names.iter().any(|name| taken.contains(name))
        });
        Ok(found)
    }
}
