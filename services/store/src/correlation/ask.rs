//! Questions to the correlation's rows: by person and time, by event, by name, by right. All by sort key or index but names,
//! which must not be in one.

use super::{AliasRecord, DecisionRecord, Derived, MissingEventRecord, SessionRecord, storable};
use crate::{
    Store, StoreError,
    query::{all, parts, rows},
};
use clickhouse::Row;
use events::receipt::Input;
use serde::Deserialize;
use std::collections::{BTreeMap, HashSet};
use uuid::Uuid;

/// Most rows of one answer: a part of it would be taken for the whole.
const ROWS_MAX: u32 = 500_000;
/// Most decisions of one page.
const PAGE_MAX: u32 = 50_000;
/// A decision stands at the time of its event, or of the access line that dates it, milliseconds.
const DATED_APART: i64 = 3_600_000;

/// A person and every name that is known of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Bearer {
    /// Person key.
    pub person: String,
    /// In order of time.
    pub names: Vec<AliasRecord>,
}

/// How a decision stands.
#[derive(Clone, Debug, PartialEq, Row, Deserialize)]
pub struct JudgedRecord {
    /// The event that tells it.
    #[serde(with = "clickhouse::serde::uuid")]
    pub event_id: Uuid,
    /// Verdict.
    pub verdict: String,
    /// Between the change of the right and the decision, milliseconds.
    pub delay_ms: Option<i64>,
    /// The clock that it obeys.
    pub clock: String,
    /// How sure the grounds are.
    pub grade: String,
}

/// Which decisions. Empty lists and strings do not restrict.
#[derive(Clone, Debug, Default)]
pub struct DecisionQuery {
    /// Tenant.
    pub tenant: String,
    /// Person keys.
    pub persons: Vec<String>,
    /// Verdicts.
    pub verdicts: Vec<String>,
    /// Permission.
    pub permission: String,
    /// From this time on, UTC milliseconds.
    pub from: i64,
    /// Before this time.
    pub to: i64,
    /// Most rows; the latest.
    pub limit: u32,
}

impl Store {
    /// Rows of some persons whose sort time is below `before`, in order of time.
    pub async fn records_of<T: Derived>(
        &self,
        tenant: &str,
        persons: &[String],
        before: i64,
    ) -> Result<Vec<T>, StoreError> {
        let sql = format!(
            "SELECT ?fields FROM {} FINAL WHERE tenant = {{tenant:String}} AND person IN {{persons:Array(String)}} \
             AND at < fromUnixTimestamp64Milli({{before:Int64}}, 'UTC') ORDER BY at, row_id LIMIT {{beyond:UInt32}}",
            T::TABLE
        );
        let asked = self.ask(&sql).param("tenant", tenant).param("persons", persons).param("before", before);
        all(asked, (T::TABLE, ROWS_MAX)).await
    }

    /// The decision that an event tells.
    pub async fn decision_of(&self, tenant: &str, event: Uuid) -> Result<Option<DecisionRecord>, StoreError> {
        let sql = "SELECT ?fields FROM decision_rows FINAL WHERE tenant = {tenant:String} AND event_id = toUUID({event:String}) LIMIT 1";
        let asked = self.ask(sql).param("tenant", tenant).param("event", event.to_string());
        Ok(rows(asked).await?.pop())
    }

    /// Decisions whose id begins with some digits, at most a few. Reads the ids of all decisions.
    pub async fn decisions_beginning(&self, tenant: &str, digits: &str) -> Result<Vec<DecisionRecord>, StoreError> {
        let sql = "SELECT ?fields FROM decision_rows FINAL WHERE tenant = {tenant:String} \
            AND startsWith(toString(event_id), {digits:String}) LIMIT 2";
        rows(self.ask(sql).param("tenant", tenant).param("digits", digits)).await
    }

    /// How the decisions stand that some events of a time (UTC milliseconds, both within) tell. `persons`: whose they nearly all are, where that is
    /// known: theirs lie together, and only what is not among them is looked for among everybody's.
    pub async fn judged_of(
        &self,
        (tenant, persons): (&str, &[String]),
        events: &[Uuid],
        (first, last): (i64, i64),
    ) -> Result<Vec<JudgedRecord>, StoreError> {
        let (mut found, mut events): (Vec<JudgedRecord>, Vec<Uuid>) = (Vec::new(), events.to_vec());
        let of_them = Some("person IN {persons:Array(String)}").filter(|_| !persons.is_empty());
        for whose in of_them.into_iter().chain(["1"]) {
            let ids: Vec<String> = events.iter().map(Uuid::to_string).collect();
            let sql = format!(
                "SELECT event_id, toString(verdict) AS verdict, delay_ms, toString(clock) AS clock, toString(grade) AS grade FROM decision_rows FINAL \
                 WHERE tenant = {{tenant:String}} AND {whose} AND at >= fromUnixTimestamp64Milli({{first:Int64}}, 'UTC') \
                 AND at < fromUnixTimestamp64Milli({{last:Int64}}, 'UTC') AND event_id IN (arrayMap(id -> toUUID(id), {{events:Array(String)}}))"
            );
            for some in parts(&ids) {
                let asked = self.ask(&sql).param("tenant", tenant).param("persons", persons).param("events", some);
                let asked = asked.param("first", storable(first - DATED_APART));
                found.extend(rows::<JudgedRecord>(asked.param("last", storable(last + DATED_APART))).await?);
            }
            let told: HashSet<Uuid> = found.iter().map(|one| one.event_id).collect();
            events.retain(|event| !told.contains(event));
        }
        Ok(found)
    }

    /// The latest decisions that fit, in order of time.
    pub async fn decisions(&self, query: &DecisionQuery) -> Result<Vec<DecisionRecord>, StoreError> {
        let sql = "SELECT ?fields FROM decision_rows FINAL WHERE tenant = {tenant:String} \
            AND at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND at < fromUnixTimestamp64Milli({to:Int64}, 'UTC') \
            AND (empty({persons:Array(String)}) OR person IN {persons:Array(String)}) \
            AND (empty({verdicts:Array(String)}) OR verdict IN {verdicts:Array(String)}) \
            AND ({permission:String} = '' OR permission = {permission:String}) \
            ORDER BY at DESC, row_id LIMIT {limit:UInt32}";
        let asked = self
            .ask(sql)
            .param("tenant", &query.tenant)
            .param("from", query.from)
            .param("to", query.to)
            .param("persons", &query.persons)
            .param("verdicts", &query.verdicts)
            .param("permission", &query.permission)
            .param("limit", query.limit.min(PAGE_MAX));
        let mut found: Vec<DecisionRecord> = rows(asked).await?;
        found.reverse();
        Ok(found)
    }

    /// A session by its id; several sources can have one of the same id.
    pub async fn sessions_named(&self, tenant: &str, session: &str) -> Result<Vec<SessionRecord>, StoreError> {
        let sql = "SELECT ?fields FROM session_rows FINAL WHERE tenant = {tenant:String} AND session_id = {session:String} \
            ORDER BY source_id";
        rows(self.ask(sql).param("tenant", tenant).param("session", session)).await
    }

    /// Tells the end of those sessions that nobody can have used any more: their source is complete beyond the instant at which they
    /// expire, and nothing is or was missing since they were used. The same as the view `sessions` says.
    pub async fn tell_expired(&self, tenant: &str, sessions: &mut [SessionRecord]) -> Result<(), StoreError> {
        let (marks, gaps) = (self.watermarks(tenant).await?, self.gaps(tenant, 0).await?);
        for session in sessions.iter_mut().filter(|session| session.ended_at.is_none()) {
            let used = session.last_seen_at.unwrap_or(session.at);
            let untold = |end: i64| {
                let of_source = gaps.iter().filter(|gap| gap.source_id == session.source_id);
                of_source.into_iter().any(|gap| gap.since < end && gap.until.is_none_or(|until| until > used))
            };
            let of_source = || marks.iter().filter(|mark| mark.source_id == session.source_id);
            let pushed = of_source().filter(|mark| matches!(mark.input, Input::Webhook | Input::Kafka));
            let pushed = pushed.map(|mark| mark.watermark).max();
            let complete = pushed.or_else(|| of_source().map(|mark| mark.watermark).max());
            let over = |end: &i64| complete.is_some_and(|complete| *end <= complete) && !untold(*end);
            if let Some(end) = session.expires_by.filter(over) {
                session.ended_at = Some(end);
                "expiry_computed".clone_into(&mut session.ended_by);
            }
        }
        Ok(())
    }

    /// Everybody whose name, reference, e-mail, login at an identity provider, Keycloak user id or key contains `text` (`Whole`: is),
    /// in order of key.
    pub async fn bearers(&self, tenant: &str, text: &str, matching: Matching) -> Result<Vec<Bearer>, StoreError> {
        let fits = match matching {
            Matching::Whole => {
                "lower(name) = lower({text:String}) OR user_id = {text:String} OR person = {text:String} OR account = {text:String} \
                 OR (kind = 'reference' AND splitByChar('/', lower(name))[-1] = lower({text:String})) \
                 OR (kind IN ('federated_id', 'federated_name') AND substring(lower(name), position(name, '/') + 1) = lower({text:String}))"
            }
            Matching::Part => "positionCaseInsensitiveUTF8(name, {text:String}) > 0 OR user_id = {text:String}",
        };
        let sql = format!(
            "SELECT ?fields FROM alias_rows FINAL WHERE tenant = {{tenant:String}} AND person IN \
             (SELECT person FROM alias_rows FINAL WHERE tenant = {{tenant:String}} AND ({fits})) ORDER BY person, at, row_id LIMIT {{beyond:UInt32}}"
        );
        let asked = self.ask(&sql).param("tenant", tenant).param("text", text);
        let found: Vec<AliasRecord> = all(asked, ("names", ROWS_MAX)).await?;
        Ok(by_person(found))
    }

    /// The names of some persons.
    pub async fn names_of(&self, tenant: &str, persons: &[String]) -> Result<Vec<Bearer>, StoreError> {
        Ok(by_person(self.records_of::<AliasRecord>(tenant, persons, i64::from(u32::MAX) * 1_000).await?))
    }

    /// Missing events whose time span meets [from, to).
    pub async fn missing_events(
        &self,
        tenant: &str,
        (from, to): (i64, i64),
    ) -> Result<Vec<MissingEventRecord>, StoreError> {
        let sql = "SELECT ?fields FROM missing_event_rows FINAL WHERE tenant = {tenant:String} \
            AND before >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND at < fromUnixTimestamp64Milli({to:Int64}, 'UTC') \
            ORDER BY at, row_id LIMIT {beyond:UInt32}";
        let asked = self.ask(sql).param("tenant", tenant).param("from", from).param("to", to);
        all(asked, ("missing events", ROWS_MAX)).await
    }

    /// The last name that events gave to each of some rights: group path or role name.
    pub async fn right_names(&self, tenant: &str, rights: &[String]) -> Result<BTreeMap<String, String>, StoreError> {
        let sql = "SELECT right_id, argMax(right_name, time) FROM event_rows WHERE tenant = {tenant:String} \
            AND right_id IN {rights:Array(String)} AND right_name != '' AND is_deleted = 0 GROUP BY right_id";
        let found = rows::<(String, String)>(self.ask(sql).param("tenant", tenant).param("rights", rights)).await?;
        Ok(found.into_iter().collect())
    }

    /// Groups and roles by id, path or name as events gave them, with their last name.
    pub async fn rights_named(&self, tenant: &str, text: &str) -> Result<BTreeMap<String, String>, StoreError> {
        let sql = "SELECT right_id, argMax(right_name, time) AS last FROM event_rows WHERE tenant = {tenant:String} \
            AND right_id != '' AND right_name != '' AND is_deleted = 0 GROUP BY right_id \
            HAVING right_id = {text:String} OR last = {text:String} OR splitByChar('/', last)[-1] = {text:String}";
        Ok(rows::<(String, String)>(self.ask(sql).param("tenant", tenant).param("text", text))
            .await?
            .into_iter()
            .collect())
    }
}

/// How a name is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matching {
    /// All of it.
    Whole,
    /// A part of it.
    Part,
}

fn by_person(names: Vec<AliasRecord>) -> Vec<Bearer> {
    let mut bearers: BTreeMap<String, Vec<AliasRecord>> = BTreeMap::new();
    for name in names {
        bearers.entry(name.person.clone()).or_default().push(name);
    }
    bearers.into_iter().map(|(person, names)| Bearer { person, names }).collect()
}
