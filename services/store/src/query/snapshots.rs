//! Snapshots of state: what was taken, and how two of them differ.

use super::{ROWS_MAX, all, rows};
use crate::{Store, StoreError};
use clickhouse::Row;
use serde::{Deserialize, Serialize};

/// One snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct TakenSnapshot {
    /// Source.
    pub source_id: String,
    /// Id.
    pub snapshot: String,
    /// When it began, UTC milliseconds.
    pub began: i64,
    /// When it ended; none while it runs or if it was cut off.
    pub ended: Option<i64>,
    /// `schedule`, `demand` or `recording`.
    pub trigger: String,
    /// True if every entity was written anew.
    pub is_full: bool,
    /// True if every area is whole.
    pub complete: bool,
    /// Entities on its lists.
    pub entities: u64,
    /// New or changed ones; of a full one all.
    pub changed: u64,
    /// Areas that are not whole, with the outcome and the missing role.
    pub lacking: Vec<String>,
}

/// An entity that is in one of two snapshots only, or in both with different states; one row per side.
#[derive(Clone, Debug, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct SnapshotSide {
    /// Realm; empty for a Backstage.
    pub realm: String,
    /// Area.
    pub area: String,
    /// Keyed id.
    pub entity: String,
    /// True if it is the later snapshot's side.
    pub later: bool,
    /// Everything that is said of it: name of the field, value; empty values left out.
    pub fields: Vec<(String, String)>,
}

/// What became of an area in both of two snapshots.
#[derive(Clone, Debug, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct ComparedArea {
    /// Realm; empty for a Backstage.
    pub realm: String,
    /// Area.
    pub area: String,
    /// Outcome in the first; empty if it did not end.
    pub before: String,
    /// Outcome in the second.
    pub after: String,
}

impl Store {
    /// Snapshots of a tenant, the newest first, at most `limit`.
    pub async fn snapshots(&self, tenant: &str, limit: u32) -> Result<Vec<TakenSnapshot>, StoreError> {
        let sql = "SELECT source_id, snapshot, toUnixTimestamp64Milli(began) AS began, \
            if(isNull(ended), NULL, toUnixTimestamp64Milli(assumeNotNull(ended))) AS ended, trigger, is_full, complete, \
            entities, changed, lacking FROM snapshots WHERE tenant = {tenant:String} \
            ORDER BY began DESC, snapshot LIMIT {limit:UInt32}";
        rows(self.ask(sql).param("tenant", tenant).param("limit", limit.min(ROWS_MAX))).await
    }

    /// What became of every area in either of two snapshots.
    pub async fn compared_areas(
        &self,
        tenant: &str,
        (before, after): (&str, &str),
    ) -> Result<Vec<ComparedArea>, StoreError> {
        let sql = "SELECT realm, area, anyIf(outcome, snapshot = {before:String}) AS before, \
            anyIf(outcome, snapshot = {after:String}) AS after FROM snapshot_areas \
            WHERE tenant = {tenant:String} AND snapshot IN ({before:String}, {after:String}) \
            GROUP BY realm, area ORDER BY realm, area";
        rows(self.ask(sql).param("tenant", tenant).param("before", before).param("after", after)).await
    }

    /// The sides of every entity in which two snapshots differ, at most 50,000.
    pub async fn snapshot_sides(
        &self,
        tenant: &str,
        (before, after): (&str, &str),
    ) -> Result<Vec<SnapshotSide>, StoreError> {
        // Entries first: they are small, and what both have with one hash needs no state.
        let sql = "WITH different AS (\
              SELECT source_id, entity, hash FROM snapshot_entries \
              WHERE tenant = {tenant:String} AND snapshot IN ({before:String}, {after:String}) \
              GROUP BY source_id, entity, hash HAVING uniqExact(snapshot) = 1\
            ) \
            SELECT l.realm AS realm, l.area AS area, l.entity AS entity, l.snapshot = {after:String} AS later, \
            arraySort(arrayFilter(f -> f.2 != '', arrayConcat(\
              arrayMap((k, v) -> (k, v), mapKeys(l.details), mapValues(l.details)), \
              [('person_id', l.person_id), ('person_name', l.person_name), ('person_email', l.person_email), \
               ('client', l.client), ('session_id', l.session_id), ('ip', l.ip), ('right_kind', l.right_kind), \
               ('right_id', l.right_id), ('right_name', l.right_name), ('holder_kind', l.holder_kind), \
               ('holder_id', l.holder_id), ('permission', l.permission), ('resource', l.resource)]))) AS fields \
            FROM snapshot_states AS l \
            WHERE l.tenant = {tenant:String} AND l.snapshot IN ({before:String}, {after:String}) \
            AND (l.source_id, l.entity, l.hash) IN different \
            ORDER BY area, realm, entity, later LIMIT {beyond:UInt32}";
        let asked = self.ask(sql).param("tenant", tenant).param("before", before).param("after", after);
        all(asked, ("entities that differ", ROWS_MAX)).await
    }
}
