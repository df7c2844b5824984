//! What recent lines of a Backstage say about how they were made and shipped: counted, never their bodies as a whole.

use super::{receipt::Blob, rows};
use crate::{Store, StoreError};
use clickhouse::Row;
use serde::Deserialize;

/// A line is at most this much older than its receipt, days: backlogs and imports that are older are not surveyed.
const OLD_DAYS: u32 = 31;
/// Lines whose text is looked at.
const TEXTS: u32 = 200;

/// What the lines of one source were, counted over those taken in since some time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LineSurvey {
    /// By what they say.
    pub events: SurveyedEvents,
    /// By how they came.
    pub receipts: SurveyedReceipts,
}

/// Events of lines by what they say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Row, Deserialize)]
pub struct SurveyedEvents {
    /// Audit lines of today's format.
    pub audit: u64,
    /// Of these, without an id that joins begin and end.
    pub audit_without_id: u64,
    /// Of these, without a time of their own.
    pub audit_without_time: u64,
    /// Audit lines of the format before it (audit-log-node).
    pub legacy: u64,
    /// Permission decisions.
    pub decisions: u64,
    /// Of these, told by a wrapper around the permissions service, which names the resource.
    pub wrapped_decisions: u64,
    /// Of these, without a time of their own or of the access line that belongs to them.
    pub undated_decisions: u64,
    /// Tokens issued.
    pub tokens_issued: u64,
    /// Access lines of sign-ins, refreshes and sign-outs.
    pub auth_access: u64,
}

/// Receipts of lines by how they came.
#[derive(Clone, Debug, Default, PartialEq, Eq, Row, Deserialize)]
pub struct SurveyedReceipts {
    /// Lines that were kept.
    pub lines: u64,
    /// Of these, without a name of their instance.
    pub without_instance: u64,
    /// Of these, access lines that date a decision.
    pub authorize_access: u64,
    /// Instances that they name, in order, up to a bound.
    pub instances: Vec<String>,
}

#[derive(Row, Deserialize)]
struct OnlyBody {
    body: Blob,
}

impl Store {
    /// Counts the lines of a Backstage that were taken in since `since` (UTC milliseconds). Reads its events of the last
    /// month and the receipts of the same time, a few columns each.
    pub async fn survey_lines(&self, tenant: &str, source_id: &str, since: i64) -> Result<LineSurvey, StoreError> {
        // When an event was taken in is a part of its version.
        let events = "SELECT countIf(is_audit AND NOT is_legacy) AS audit, \
            countIf(is_audit AND NOT is_legacy AND native_id = '') AS audit_without_id, \
            countIf(is_audit AND NOT is_legacy AND time_basis != 'line') AS audit_without_time, \
            countIf(is_legacy) AS legacy, \
            countIf(kind = 'decision') AS decisions, \
            countIf(endsWith(native_type, '.permission-decision')) AS wrapped_decisions, \
            countIf(kind = 'decision' AND time_basis IN ('shipper', 'receipt')) AS undated_decisions, \
            countIf(native_type = 'auth.issuing-token') AS tokens_issued, \
            countIf(native_type IN ('http.start', 'http.callback', 'http.refresh', 'http.logout')) AS auth_access \
            FROM (SELECT kind, native_type, native_id, time_basis, \
                native_type NOT IN ('auth.issuing-token', 'catalog.keycloak-sync') AND NOT startsWith(native_type, 'http.') AS is_audit, \
                position(native_type, '.') = 0 AS is_legacy \
              FROM event_rows FINAL WHERE tenant = {tenant:String} AND source_id = {source:String} AND ordinal = 0 \
              AND time >= fromUnixTimestamp64Milli({since:Int64}, 'UTC') - toIntervalDay({days:UInt32}) \
              AND 281474976710655 - bitAnd(version, 281474976710655) >= {since:Int64})";
        let receipts = "SELECT count() AS lines, countIf(line_instance = '') AS without_instance, \
            countIf(reason = 'dates_decision') AS authorize_access, \
            arraySort(groupUniqArrayIf(1000)(toString(line_instance), line_instance != '')) AS instances \
            FROM receipt_rows WHERE tenant = {tenant:String} AND source_id = {source:String} \
            AND payload = 'backstage_line' AND received_at >= fromUnixTimestamp64Milli({since:Int64}, 'UTC')";
        let ask = |sql: &str| {
            let asked = self.ask(sql).param("tenant", tenant).param("source", source_id);
            asked.param("since", since).param("days", OLD_DAYS)
        };
        Ok(LineSurvey {
            events: rows(ask(events)).await?.pop().unwrap_or_default(),
            receipts: rows(ask(receipts)).await?.pop().unwrap_or_default(),
        })
    }

    /// Redacted bodies of the newest lines of a source that date themselves, a few hundred: what their times look like.
    pub async fn self_dated_lines(
        &self,
        tenant: &str,
        source_id: &str,
        since: i64,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        let sql = "SELECT body FROM raw_bodies FINAL WHERE tenant = {tenant:String} AND (stream, seq) IN (\
              SELECT stream, seq FROM receipt_rows WHERE tenant = {tenant:String} AND source_id = {source:String} \
              AND payload = 'backstage_line' AND line_basis = 'line' AND fate = 'event' \
              AND received_at >= fromUnixTimestamp64Milli({since:Int64}, 'UTC') \
              ORDER BY received_at DESC, seq DESC LIMIT {limit:UInt32})";
        let asked = self.ask(sql).param("tenant", tenant).param("source", source_id);
        let asked = asked.param("since", since).param("limit", TEXTS);
        Ok(rows::<OnlyBody>(asked).await?.into_iter().map(|row| row.body.0).collect())
    }
}
