//! Suppressions of more than one finding: who is silent about which rule, for whom or what, why and until when. Decides nothing: the
//! view `findings` says what is suppressed by them.

use crate::{Store, StoreError, query::all};
use clickhouse::Row;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Most suppressions of one answer.
const SUPPRESSIONS_MAX: (&str, u32) = ("suppressions", 50_000);

/// A change of a suppression.
#[derive(Clone, Debug, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct SuppressionChange {
    /// Tenant.
    pub tenant: String,
    /// Suppression.
    #[serde(with = "clickhouse::serde::uuid")]
    pub suppression_id: Uuid,
    /// Id of the change.
    #[serde(with = "clickhouse::serde::uuid")]
    pub change_id: Uuid,
    /// When, UTC milliseconds.
    pub changed_at: i64,
    /// `made` or `ended`.
    pub what: String,
    /// Rule id.
    pub rule: String,
    /// `person` or `source`.
    pub subject_kind: String,
    /// Person key, or source id.
    pub subject: String,
    /// Who answers for it. Personal.
    pub owner: String,
    /// Who wrote the change. Personal.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// From here on it counts no more, UTC milliseconds.
    pub until: i64,
}

/// A suppression with what became of it.
#[derive(Clone, Debug, PartialEq, Row, Serialize, Deserialize)]
pub struct Suppression {
    /// Id.
    #[serde(with = "clickhouse::serde::uuid")]
    pub suppression_id: Uuid,
    /// Rule id.
    pub rule: String,
    /// `person` or `source`.
    pub subject_kind: String,
    /// Person key, or source id.
    pub subject: String,
    /// Who answers for it. Personal.
    pub owner: String,
    /// Who made it. Personal.
    pub made_by: String,
    /// When, UTC milliseconds.
    pub made_at: i64,
    /// Why.
    pub reason: String,
    /// Until when it was asked for.
    pub until: i64,
    /// When it is over: at its end, or when somebody ended it.
    pub over_at: i64,
    /// Who ended it before its time; empty: nobody. Personal.
    pub ended_by: String,
    /// Why.
    pub ended_because: String,
    /// 1: it counts now.
    pub in_force: u8,
}

impl Store {
    /// Writes changes of suppressions.
    pub async fn put_suppression_changes(&self, changes: &[SuppressionChange]) -> Result<(), StoreError> {
        self.write_typed::<SuppressionChange>("suppression_rows", changes).await
    }

    /// All suppressions of a tenant: what counts now first, then the latest.
    pub async fn suppressions(&self, tenant: &str) -> Result<Vec<Suppression>, StoreError> {
        let sql = "SELECT ?fields FROM suppressions WHERE tenant = {tenant:String} \
            ORDER BY in_force DESC, made_at DESC, suppression_id LIMIT {beyond:UInt32}";
        all(self.ask(sql).param("tenant", tenant), SUPPRESSIONS_MAX).await
    }
}
