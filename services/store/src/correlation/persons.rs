//! Persons that operators made by hand, and names that do not tell persons apart.

use crate::{
    Store, StoreError,
    query::{all, rows},
};
use clickhouse::Row;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Most acts and most shared names of one answer.
const ROWS_MAX: u32 = 50_000;
/// Names that are offered where one is not known.
const NEAREST: u32 = 3;

/// What an operator said of persons. Names are personal, and so is the reason.
#[derive(Clone, Debug, PartialEq, Row, Serialize, Deserialize)]
pub struct PersonActRecord {
    /// The event that tells it.
    #[serde(with = "clickhouse::serde::uuid")]
    pub event_id: Uuid,
    /// When, UTC milliseconds.
    pub done_at: i64,
    /// `merge` or `split`.
    pub act: String,
    /// Key of the account that was moved,
    pub account: String,
    /// its source,
    pub account_source: String,
    /// what it is there,
    pub account_kind: String,
    /// and its id or name.
    pub account_name: String,
    /// Of a merge, the same of the account that it was moved to.
    pub into: String,
    /// Its source.
    pub into_source: String,
    /// What it is there.
    pub into_kind: String,
    /// Its id or name.
    pub into_name: String,
    /// Who did it.
    pub done_by: String,
    /// Why.
    pub reason: String,
}

/// A name that another person bore at the same time.
#[derive(Clone, Debug, PartialEq, Row, Serialize, Deserialize)]
pub struct SharedName {
    /// Kind of name.
    pub kind: String,
    /// The name. Personal.
    pub name: String,
    /// Who else.
    pub person: String,
    /// From when both bore it; none: as far back as is known.
    pub shared_from: Option<i64>,
    /// Until when; none: still.
    pub shared_to: Option<i64>,
}

impl Store {
    /// All acts of a tenant, in the one order that counts.
    pub async fn person_acts(&self, tenant: &str) -> Result<Vec<PersonActRecord>, StoreError> {
        let sql = "SELECT ?fields FROM person_acts WHERE tenant = {tenant:String} ORDER BY done_at, event_id LIMIT {beyond:UInt32}";
        all(self.ask(sql).param("tenant", tenant), ("acts", ROWS_MAX)).await
    }

    /// Realms, by name or id, in which events named some accounts: account key, source and realm.
    pub async fn realms_of(
        &self,
        tenant: &str,
        accounts: &[String],
    ) -> Result<Vec<(String, String, String)>, StoreError> {
        let sql = "SELECT DISTINCT lower(hex(person)), toString(source_id), arrayJoin(arrayFilter(r -> r != '', [toString(realm), toString(realm_id)])) \
            FROM event_rows WHERE tenant = {tenant:String} AND source_kind = 'keycloak' AND is_deleted = 0 \
            AND person IN (arrayMap(x -> toFixedString(unhex(x), 16), {accounts:Array(String)})) ORDER BY 1, 2, 3";
        rows(self.ask(sql).param("tenant", tenant).param("accounts", accounts)).await
    }

    /// Names of a person that others bore at the same time: nobody is guessed from them.
    pub async fn shared_names(&self, tenant: &str, person: &str) -> Result<Vec<SharedName>, StoreError> {
        let begin = |of: &str| format!("ifNull(toUnixTimestamp64Milli({of}.borne_from), {LEAST})");
        let end = |of: &str| format!("ifNull(toUnixTimestamp64Milli({of}.borne_to), {MOST})");
        let (begun, ended) =
            (format!("greatest({}, {})", begin("a"), begin("b")), format!("least({}, {})", end("a"), end("b")));
        let sql = format!(
            "SELECT DISTINCT a.kind AS kind, a.name AS name, b.person AS person, nullIf({begun}, {LEAST}) AS shared_from, \
               nullIf({ended}, {MOST}) AS shared_to \
             FROM (SELECT toString(kind) AS kind, name, borne_from, borne_to FROM alias_rows FINAL \
               WHERE tenant = {{tenant:String}} AND person = {{person:String}} AND name != '') AS a \
             INNER JOIN (SELECT toString(kind) AS kind, name, lower(name) AS known, person, borne_from, borne_to FROM alias_rows FINAL \
               WHERE tenant = {{tenant:String}} AND person != {{person:String}} AND lower(name) IN \
                 (SELECT lower(name) FROM alias_rows WHERE tenant = {{tenant:String}} AND person = {{person:String}})) AS b \
               ON b.kind = a.kind AND b.known = lower(a.name) \
             WHERE {begun} < {ended} AND (a.kind != 'federated_id' OR a.name = b.name) ORDER BY kind, name, person, shared_from LIMIT {{beyond:UInt32}}"
        );
        let sql = format!("SELECT ?fields FROM ({sql})");
        all(self.ask(&sql).param("tenant", tenant).param("person", person), ("shared names", ROWS_MAX)).await
    }

    /// Known names that are written most like one that is not known.
    pub async fn nearest_names(&self, tenant: &str, text: &str) -> Result<Vec<String>, StoreError> {
        let sql = format!(
            "SELECT name FROM alias_rows FINAL WHERE tenant = {{tenant:String}} AND name != '' GROUP BY name \
             ORDER BY least(editDistanceUTF8(lower(left(name, 200)), lower({{text:String}})), \
               editDistanceUTF8(splitByChar('/', lower(left(name, 200)))[-1], lower({{text:String}}))), name LIMIT {NEAREST}"
        );
        let text: String = text.chars().take(200).collect();
        rows(self.ask(&sql).param("tenant", tenant).param("text", text)).await
    }
}

/// Before and behind every time that a table can hold.
const LEAST: i64 = -9_000_000_000_000_000;
const MOST: i64 = 9_000_000_000_000_000;
