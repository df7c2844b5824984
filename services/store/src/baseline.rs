//! What a baseline is held against: ids of groups by path, who is in them now, who bears a username, and what the last read listed.

use crate::{
    Store, StoreError,
    query::{all, few, parts, rows},
};
use clickhouse::Row;
use serde::Deserialize;
use uuid::Uuid;

/// Most rows of one answer: a part of it would be taken for the whole.
const MEMBERS_MAX: (&str, u32) = ("members of groups", 500_000);

/// Somebody who is directly in a group now.
#[derive(Clone, Debug, PartialEq, Row, Deserialize)]
pub struct MemberNow {
    /// Keycloak id of the group.
    pub group: String,
    /// Person key.
    pub person: String,
    /// Last username; personal.
    pub username: String,
    /// Since when, UTC milliseconds; none: since before anything is known.
    pub since: Option<i64>,
    /// The event that granted it; the zero id: seen as state.
    #[serde(with = "clickhouse::serde::uuid")]
    pub granted_in: Uuid,
    /// 1 if a missing event stands behind it.
    pub rests_on_gap: u8,
}

impl Store {
    /// Ids of groups by their path as it was written last, the latest id of a path last.
    pub async fn groups_named(
        &self,
        tenant: &str,
        (source, realm): (&str, &str),
        paths: &[String],
    ) -> Result<Vec<(String, String)>, StoreError> {
        let sql = "SELECT path, id FROM (\
              SELECT e.right_id AS id, argMax(e.right_name, (e.time, e.right_name)) AS path, max(e.time) AS at FROM event_rows AS e \
              WHERE e.tenant = {tenant:String} AND e.source_id = {source:String} AND e.realm IN ({realm:String}, '') AND e.is_deleted = 0 \
              AND e.right_kind = 'group' AND e.right_id != '' AND e.right_name != '' GROUP BY e.right_id\
            ) WHERE path IN {paths:Array(String)} ORDER BY at, id";
        let mut found = Vec::new();
        for some in parts(paths) {
            let asked = self.ask(sql).param("tenant", tenant).param("source", source).param("realm", realm);
            found.extend(rows(asked.param("paths", some)).await?);
        }
        Ok(found)
    }

    /// Which of some persons were deleted, and by when that was known, UTC milliseconds. Whoever is deleted is still listed in the groups
    /// that they were in.
    pub async fn deleted_persons(&self, tenant: &str, persons: &[String]) -> Result<Vec<(String, i64)>, StoreError> {
        let sql = "SELECT person, min(at) FROM (\
              SELECT lower(hex(e.person)) AS person, toUnixTimestamp64Milli(min(e.time)) AS at FROM event_rows AS e \
              WHERE e.tenant = {tenant:String} AND e.kind = 'user_deleted' AND e.outcome != 'failure' AND e.is_deleted = 0 \
              AND e.person IN (arrayMap(x -> toFixedString(unhex(x), 16), {persons:Array(String)})) GROUP BY e.person \
              UNION ALL \
              SELECT person, toUnixTimestamp64Milli(min(before)) FROM missing_events WHERE tenant = {tenant:String} \
              AND right_kind = 'existence' AND missing = 'removal' AND person IN {persons:Array(String)} GROUP BY person\
            ) GROUP BY person ORDER BY person";
        let mut found = Vec::new();
        for some in parts(persons) {
            found.extend(rows(self.ask(sql).param("tenant", tenant).param("persons", some)).await?);
        }
        Ok(found)
    }

    /// Who is directly in some groups now, deleted persons too.
    pub async fn members_now(&self, tenant: &str, groups: &[String]) -> Result<Vec<MemberNow>, StoreError> {
        let sql = "SELECT g.right_id AS group, g.person AS person, p.username AS username, \
               if(g.held_from IS NULL, NULL, toUnixTimestamp64Milli(assumeNotNull(g.held_from))) AS since, g.granted_in AS granted_in, \
               toUInt8(g.rests_on_gap) AS rests_on_gap \
             FROM (SELECT * FROM grants WHERE tenant = {tenant:String} AND right_kind = 'group' AND right_id IN {groups:Array(String)} \
               AND held_to IS NULL AND person != '') AS g \
             LEFT ANY JOIN (SELECT person, username FROM persons WHERE tenant = {tenant:String}) AS p ON p.person = g.person \
             ORDER BY group, username, person LIMIT {beyond:UInt32}";
        let mut found = Vec::new();
        for some in parts(groups) {
            found.extend(all(self.ask(sql).param("tenant", tenant).param("groups", some), MEMBERS_MAX).await?);
        }
        few(found, MEMBERS_MAX)
    }

    /// When persons left groups last: group, person, UTC milliseconds.
    pub async fn members_before(
        &self,
        tenant: &str,
        groups: &[String],
    ) -> Result<Vec<(String, String, i64)>, StoreError> {
        let sql = "SELECT right_id, person, toUnixTimestamp64Milli(max(assumeNotNull(held_to))) FROM grants WHERE tenant = {tenant:String} \
             AND right_kind = 'group' AND right_id IN {groups:Array(String)} AND held_to IS NOT NULL AND person != '' \
             GROUP BY right_id, person ORDER BY right_id, person LIMIT {beyond:UInt32}";
        let mut found = Vec::new();
        for some in parts(groups) {
            found.extend(all(self.ask(sql).param("tenant", tenant).param("groups", some), MEMBERS_MAX).await?);
        }
        few(found, MEMBERS_MAX)
    }

    /// Persons by username, in any case of letters: username in small letters, person key.
    pub async fn persons_named(&self, tenant: &str, names: &[String]) -> Result<Vec<(String, String)>, StoreError> {
        let names: Vec<String> = names.iter().map(|name| name.to_lowercase()).collect();
        let sql = "SELECT lower(username) AS name, person FROM persons WHERE tenant = {tenant:String} AND person != '' \
            AND lower(username) IN {names:Array(String)} ORDER BY name, person";
        let mut found = Vec::new();
        for some in parts(&names) {
            found.extend(rows(self.ask(sql).param("tenant", tenant).param("names", some)).await?);
        }
        Ok(found)
    }

    /// Members of groups as the last complete read of a realm lists them: path, username. The snapshot's id comes with it.
    pub async fn members_read(
        &self,
        tenant: &str,
        (source, realm): (&str, &str),
    ) -> Result<Option<(String, Vec<(String, String)>)>, StoreError> {
        let last = "SELECT snapshot FROM snapshot_areas WHERE tenant = {tenant:String} AND source_id = {source:String} \
            AND realm = {realm:String} AND area = 'members' AND outcome = 'complete' ORDER BY time_max DESC, snapshot LIMIT 1";
        let asked = self.ask(last).param("tenant", tenant).param("source", source).param("realm", realm);
        let Some(snapshot) = rows::<String>(asked).await?.pop() else { return Ok(None) };
        let sql = "SELECT DISTINCT right_name, if(area = 'members', person_name, '') AS name FROM snapshot_states \
            WHERE tenant = {tenant:String} AND snapshot = {snapshot:String} AND realm = {realm:String} \
            AND area IN ('members', 'groups') AND right_name != '' ORDER BY right_name, name";
        let asked = self.ask(sql).param("tenant", tenant).param("snapshot", &snapshot).param("realm", realm);
        Ok(Some((snapshot, rows(asked).await?)))
    }
}
