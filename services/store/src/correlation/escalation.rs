//! What somebody who gave a right had of it themselves: by every path, over a time. Decides nothing.

use super::{
    rights::{EffectiveRecord, RIGHTS_MAX},
    walk::{Edge, World, walk},
};
use crate::{
    Store, StoreError,
    query::{all, few, parts, unknown},
    rows::stored_time,
};
use std::collections::BTreeSet;
use uuid::Uuid;

/// Most acts of one answer.
const ACTS_MAX: (&str, u32) = ("changes of roles", 200_000);
/// What leads from what is held to a role: policies are none.
const TO_ROLES: &str = "person = '' AND kind IN ('parent', 'group_role', 'composite', 'name', 'role_member', 'lives')";
const OWN: &str = "person IN {some:Array(String)} AND kind IN ('tie', 'gone')";

/// What leads to roles, whoever has them: read once for all that is asked at the same time.
#[derive(Debug, Default)]
pub struct RoleWays(Vec<Edge>);

impl Store {
    /// What leads to roles.
    pub async fn role_ways(&self, tenant: &str) -> Result<RoleWays, StoreError> {
        Ok(RoleWays(self.edges(tenant, (TO_ROLES, &[])).await?))
    }

    /// What some persons had of some roles (Keycloak ids, Backstage roles in small letters) at any instant of `span`, both ends within,
    /// by every path.
    pub async fn rights_among(
        &self,
        tenant: &str,
        (persons, rights, ways): (&[String], &BTreeSet<String>, &RoleWays),
        span: (i64, i64),
    ) -> Result<Vec<EffectiveRecord>, StoreError> {
        if persons.is_empty() || rights.is_empty() {
            return Ok(Vec::new());
        }
        let held = self.held(tenant, ("person IN {some:Array(String)}", persons)).await?;
        let own = self.edges(tenant, (OWN, persons)).await?;
        let mut found = walk(&held, &own, &World::of(&ways.0), span);
        found.retain(|row| rights.contains(&row.right_id.to_lowercase()));
        few(found, RIGHTS_MAX)
    }

    /// Who changed members of Backstage roles: event and person, where the one who did it was tied to a Keycloak user at that time. Of
    /// events between two times (UTC milliseconds, both within).
    pub async fn role_givers(
        &self,
        tenant: &str,
        events: &[Uuid],
        (from, to): (i64, i64),
    ) -> Result<Vec<(Uuid, String)>, StoreError> {
        let sql = "WITH acts AS (\
              SELECT event_id, toString(source_id) AS source_id, time, lower(if(bitTest(same, 3), person_name, actor_name)) AS name \
              FROM event_rows FINAL WHERE tenant = {tenant:String} AND kind = 'backstage_role_member_added' \
                AND time >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND time <= fromUnixTimestamp64Milli({to:Int64}, 'UTC') \
                AND event_id IN (arrayMap(id -> toUUID(id), {events:Array(String)}))) \
            SELECT DISTINCT toString(a.event_id) AS event, t.person AS person FROM acts AS a INNER JOIN (\
              SELECT toString(source_id) AS source_id, holder, person, held_from, held_to FROM world_rows FINAL \
              WHERE tenant = {tenant:String} AND person != '' AND kind = 'tie' AND holder IN (SELECT name FROM acts)\
            ) AS t ON t.source_id = a.source_id AND t.holder = a.name \
            WHERE ifNull(t.held_from <= a.time, 1) AND ifNull(t.held_to > a.time, 1) ORDER BY event, person LIMIT {beyond:UInt32}";
        let named: Vec<String> = events.iter().map(Uuid::to_string).collect();
        let mut found = Vec::new();
        for some in parts(&named) {
            let asked = self.ask(sql).param("tenant", tenant).param("events", some);
            let asked = asked.param("from", stored_time(from)).param("to", stored_time(to));
            for (event, person) in all::<(String, String)>(asked, ACTS_MAX).await? {
                found.push((event.parse().map_err(|_| unknown("event id"))?, person));
            }
        }
        Ok(found)
    }
}
