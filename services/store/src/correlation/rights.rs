//! Rights by every path: what follows from what somebody holds, along the rows of `world` (`walk.rs`; the view `effective_in`
//! says the same).

use super::{
    WorldRecord,
    walk::{Edge, Held, World, walk},
};
use crate::{
    Store, StoreError,
    query::{all, few, parts, rows},
};
use clickhouse::Row;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Most rows of one answer: a part of it would be taken for the whole.
pub(super) const RIGHTS_MAX: (&str, u32) = ("rights", 500_000);
/// The same of policies.
const POLICIES_MAX: (&str, u32) = ("policies", 500_000);
/// The same of what leads from one right to another.
const EDGES_MAX: (&str, u32) = ("rows of the world", 2_000_000);
/// Rows of the world that are nobody's own.
pub(super) const OF_NOBODY: &str =
    "person = '' AND kind IN ('parent', 'group_role', 'composite', 'name', 'role_member', 'policy', 'lives')";
const HELD_BY: &str = "person IN {some:Array(String)}";

/// A person has a right, by one path.
#[derive(Clone, Debug, PartialEq, Row, Serialize, Deserialize)]
pub struct EffectiveRecord {
    /// Person key.
    pub person: String,
    /// Source whose id or reference the right is.
    pub source_id: String,
    /// `group`, `role`, `backstage_role`, `permission`.
    pub right_kind: String,
    /// Keycloak id, Backstage role, or policy `permission|actions|effect`.
    pub right_id: String,
    /// From the person to the right, both ends left out: ids of groups and roles, references of Backstage.
    pub path: Vec<String>,
    /// From when all of the path holds; none: as far back as is known.
    pub held_from: Option<i64>,
    /// Until when; none: still.
    pub held_to: Option<i64>,
    /// When what the path begins with was given, if an event says so.
    pub granted_at: Option<i64>,
    /// By whom. Personal.
    pub granted_by: String,
    /// The event that says so.
    #[serde(with = "clickhouse::serde::uuid")]
    pub granted_in: Uuid,
    /// 1: an event is missing that it rests on.
    pub rests_on_gap: u8,
    /// 1: the realm gave to a new user what the path begins with, and no event says so.
    pub by_default: u8,
    /// 1: the person was disabled at the end of the time that is asked for.
    pub is_disabled: u8,
}

/// Which rights are asked for.
#[derive(Clone, Debug, Default)]
pub struct RightQuery {
    /// Ids of Keycloak's groups and roles.
    pub ids: Vec<String>,
    /// A Backstage role.
    pub role: String,
    /// Names of permissions and resource types of which a policy may speak.
    pub permissions: Vec<String>,
    /// Actions of which one must be in the policy; empty: any.
    pub actions: Vec<String>,
}

impl Store {
    /// Everything that a person had at some instant of `span` (both ends within), by every path.
    pub async fn rights_of(
        &self,
        tenant: &str,
        person: &str,
        span: (i64, i64),
    ) -> Result<Vec<EffectiveRecord>, StoreError> {
        let one = [person.to_owned()];
        let held = self.held(tenant, (HELD_BY, &one)).await?;
        let own = self
            .edges(tenant, ("person IN {some:Array(String)} AND kind IN ('tie', 'gone', 'disabled')", &one))
            .await?;
        let edges = self.edges(tenant, (OF_NOBODY, &[])).await?;
        few(walk(&held, &own, &World::of(&edges), span), RIGHTS_MAX)
    }

    /// Grants that fit.
    pub(super) async fn held(&self, tenant: &str, (which, some): (&str, &[String])) -> Result<Vec<Held>, StoreError> {
        let sql = format!(
            "SELECT person, account, toString(source_id) AS source_id, toString(right_kind) AS right_kind, right_id, \
               toUnixTimestamp64Milli(held_from) AS from, toUnixTimestamp64Milli(held_to) AS to, granted_by, granted_in, by_default, rests_on_gap \
             FROM grant_rows FINAL WHERE tenant = {{tenant:String}} AND person != '' AND {which} LIMIT {{beyond:UInt32}}"
        );
        let mut found = Vec::new();
        for some in parts(some) {
            found.extend(all(self.ask(&sql).param("tenant", tenant).param("some", some), RIGHTS_MAX).await?);
        }
        few(found, RIGHTS_MAX)
    }

    /// Rows of the world that fit.
    pub(super) async fn edges(&self, tenant: &str, (which, some): (&str, &[String])) -> Result<Vec<Edge>, StoreError> {
        let sql = format!(
            "SELECT toString(kind) AS kind, person, account, toString(source_id) AS source_id, holder, held, \
               toString(held_source_id) AS held_source_id, toUnixTimestamp64Milli(held_from) AS from, \
               toUnixTimestamp64Milli(held_to) AS to, begun_in, rests_on_gap \
             FROM world_rows FINAL WHERE tenant = {{tenant:String}} AND {which} LIMIT {{beyond:UInt32}}"
        );
        let whole: &[&[String]] = &[&[]];
        let parts = parts(some);
        let mut found = Vec::new();
        for some in if some.is_empty() { whole.iter() } else { parts.iter() } {
            found.extend(all(self.ask(&sql).param("tenant", tenant).param("some", some), EDGES_MAX).await?);
        }
        few(found, EDGES_MAX)
    }

    /// When a person was disabled, and when they did not exist.
    pub async fn account_of(&self, tenant: &str, person: &str) -> Result<Vec<WorldRecord>, StoreError> {
        let sql = "SELECT ?fields FROM world_rows FINAL WHERE tenant = {tenant:String} AND person = {person:String} \
            AND kind IN ('disabled', 'gone') ORDER BY at, row_id";
        rows(self.ask(sql).param("tenant", tenant).param("person", person)).await
    }

    /// Whether any policy of a Backstage is known at an instant.
    pub async fn knows_policies(&self, tenant: &str, at: i64) -> Result<bool, StoreError> {
        let sql = "SELECT count() FROM world_rows FINAL WHERE tenant = {tenant:String} AND person = '' AND kind = 'policy' \
            AND ifNull(held_from <= fromUnixTimestamp64Milli({at:Int64}, 'UTC'), 1) \
            AND ifNull(held_to > fromUnixTimestamp64Milli({at:Int64}, 'UTC'), 1)";
        let found = rows::<u64>(self.ask(sql).param("tenant", tenant).param("at", crate::correlation::storable(at)));
        Ok(found.await?.first().is_some_and(|count| *count > 0))
    }

    /// Policies of Backstage roles that are known at an instant, in order of role and policy.
    pub async fn policies_at(&self, tenant: &str, at: i64) -> Result<Vec<WorldRecord>, StoreError> {
        let sql = "SELECT ?fields FROM world_rows FINAL WHERE tenant = {tenant:String} AND person = '' AND kind = 'policy' \
             AND ifNull(held_from <= fromUnixTimestamp64Milli({at:Int64}, 'UTC'), 1) \
             AND ifNull(held_to > fromUnixTimestamp64Milli({at:Int64}, 'UTC'), 1) ORDER BY holder, held, at LIMIT {beyond:UInt32}";
        let asked = self.ask(sql).param("tenant", tenant).param("at", crate::correlation::storable(at));
        all(asked, POLICIES_MAX).await
    }

    /// Resource types and actions with which a permission was ever asked for in a decision.
    pub async fn asked_with(&self, tenant: &str, permission: &str) -> Result<Vec<(String, String)>, StoreError> {
        let sql = "SELECT DISTINCT toString(resource_kind), toString(action) FROM event_rows WHERE tenant = {tenant:String} \
            AND kind = 'decision' AND permission = {permission:String} AND is_deleted = 0 ORDER BY 1, 2 LIMIT 100";
        rows(self.ask(sql).param("tenant", tenant).param("permission", permission)).await
    }
}
