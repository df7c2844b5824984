//! What was done in sessions in which somebody acts as another person: decisions that let them in, changes of credentials. Bounded by the
//! persons and by the time since the first of it.

use crate::{
    Store, StoreError,
    correlation::Id,
    query::{all, few, parts},
    rows::stored_time,
};
use clickhouse::Row;
use serde::Deserialize;
use uuid::Uuid;

/// Most rows of one answer: a part of it would be taken for the whole.
const ROWS_MAX: (&str, u32) = ("impersonated sessions", 200_000);
/// Most events that are named of each kind of deed.
const NAMED_MAX: u32 = 25;

/// What was done since one impersonation. Times are UTC milliseconds.
#[derive(Clone, Debug, PartialEq, Row, Deserialize)]
pub struct ActedRow {
    /// The event by which somebody began to act as the person.
    #[serde(with = "clickhouse::serde::uuid")]
    pub event_id: Uuid,
    /// When the session ended, or by when it must have; none: nothing tells it.
    pub ended_at: Option<i64>,
    /// Decisions that let them in and name this session.
    pub let_in: u64,
    /// Of these, those behind which no other session can stand.
    pub sure: u64,
    /// Of these, those that were allowed to create, update or delete.
    pub writes: u64,
    /// Changes of credentials in this session.
    pub credentials: u64,
    /// The last of all that.
    pub last: i64,
    /// The first events of it: decisions, writes, changes of credentials.
    pub evidence: Vec<(i64, Id)>,
}

/// Events that say that a credential was changed.
const CREDENTIALS: &[&str] = &["credential_updated", "password_reset", "credential_removed"];
const SPAN: &str = ">= fromUnixTimestamp64Milli({from:Int64}, 'UTC')";
const END: &str = "< fromUnixTimestamp64Milli({to:Int64}, 'UTC')";

impl Store {
    /// What was done in the impersonated sessions of some persons from one time on and before another; impersonations after which nothing was done
    /// are told too.
    pub async fn acted_as(
        &self,
        tenant: &str,
        persons: &[String],
        (from, to): (i64, i64),
    ) -> Result<Vec<ActedRow>, StoreError> {
        let sql = format!(
            "WITH acting AS (\
               SELECT person, toString(source_id) AS source, session_id AS session, by.1 AS since, by.3 AS begun, toUnixTimestamp64Milli(ifNull(ended_at, expires_by)) AS ended \
               FROM (SELECT person, source_id, session_id, ended_at, expires_by, arrayJoin(impersonators) AS by FROM session_rows FINAL \
                 WHERE tenant = {{tenant:String}} AND person IN {{persons:Array(String)}} AND notEmpty(impersonators))), \
             accounts AS (\
               SELECT toFixedString(unhex(key), 16) FROM (SELECT arrayJoin({{persons:Array(String)}}) AS key UNION DISTINCT \
                 SELECT account FROM alias_rows FINAL WHERE tenant = {{tenant:String}} AND account != '' AND person IN {{persons:Array(String)}})), \
             deeds AS (\
               SELECT a.begun AS begun, d.event_id AS event, toUnixTimestamp64Milli(d.at) AS at, \
                 multiIf(NOT d.sure, 'unsure', d.does, 'write', 'sure') AS what \
               FROM acting AS a INNER JOIN (\
                 SELECT person, session_id, at, event_id, grade IN ('exact', 'session') AS sure, \
                   action IN ('create', 'update', 'delete') AND (outcome = 'allow' OR final_outcome = 'allow') AS does FROM decision_rows FINAL \
                 WHERE tenant = {{tenant:String}} AND person IN {{persons:Array(String)}} AND at {SPAN} AND at {END} \
                   AND outcome IN ('allow', 'conditional') AND has(reasons, 'impersonated')\
               ) AS d ON d.person = a.person AND d.session_id = a.session WHERE d.at >= a.since \
               UNION ALL \
               SELECT a.begun, e.event_id, toUnixTimestamp64Milli(e.time), 'credential' \
               FROM acting AS a INNER JOIN (\
                 SELECT toString(source_id) AS source, session_id, event_id, time FROM event_rows FINAL \
                 WHERE tenant = {{tenant:String}} AND kind IN {{kinds:Array(String)}} AND outcome != 'failure' AND session_id IN (SELECT session FROM acting) \
                   AND time {SPAN} AND time {END} AND (source_id, time) IN (\
                     SELECT source_id, time FROM person_event_rows WHERE tenant = {{tenant:String}} AND kind IN {{kinds:Array(String)}} \
                       AND person IN accounts AND time {SPAN} AND time {END}) \
                 ORDER BY time, event_id LIMIT 1 BY event_id\
               ) AS e ON e.source = a.source AND e.session_id = a.session WHERE e.time >= a.since) \
             SELECT a.begun AS event_id, any(a.ended) AS ended_at, countIf(d.what IN ('unsure', 'sure', 'write')) AS let_in, \
               countIf(d.what IN ('sure', 'write')) AS sure, countIf(d.what = 'write') AS writes, countIf(d.what = 'credential') AS credentials, \
               max(d.at) AS last, arraySort(arrayDistinct(arrayConcat(groupArraySortedIf({NAMED_MAX})((d.at, d.event), d.what IN ('unsure', 'sure')), \
                 groupArraySortedIf({NAMED_MAX})((d.at, d.event), d.what = 'write'), groupArraySortedIf({NAMED_MAX})((d.at, d.event), d.what = 'credential')))) AS evidence \
             FROM acting AS a LEFT JOIN deeds AS d ON d.begun = a.begun GROUP BY a.begun ORDER BY event_id LIMIT {{beyond:UInt32}}"
        );
        let mut found = Vec::new();
        for some in parts(persons) {
            let asked = self.ask(&sql).param("tenant", tenant).param("persons", some).param("kinds", CREDENTIALS);
            let asked = asked.param("from", stored_time(from)).param("to", stored_time(to));
            found.extend(all(asked, ROWS_MAX).await?);
        }
        few(found, ROWS_MAX)
    }
}
