//! What the drift rules read: decisions that a rule may ask about, events of chosen kinds, who was put out.

use crate::{
    Store, StoreError,
    correlation::DecisionRecord,
    query::{all, few, parts, rows},
};
use clickhouse::Row;
use serde::Deserialize;
use std::collections::BTreeMap;
use uuid::Uuid;

/// Most rows of one answer: a rule would take a part of them for the whole.
const ROWS_MAX: u32 = 200_000;

/// Which facts. No persons named: everybody.
#[derive(Clone, Copy, Debug)]
pub struct DriftQuery<'a> {
    /// Tenant.
    pub tenant: &'a str,
    /// Person keys; none: everybody.
    pub persons: Option<&'a [String]>,
    /// From this time on, UTC milliseconds.
    pub from: i64,
    /// Before this time.
    pub to: i64,
    /// Most events of one answer: more are an error, for a part of them would be taken for the whole. Of decisions and persons the most
    /// is always the same.
    pub most: u32,
}

impl<'a> DriftQuery<'a> {
    /// Everybody between two times, UTC milliseconds, [from, to).
    pub fn of(tenant: &'a str, (from, to): (i64, i64)) -> Self {
        Self { tenant, persons: None, from, to, most: ROWS_MAX }
    }
}

/// An event in the few columns that rules ask for.
#[derive(Clone, Debug, PartialEq, Row, Deserialize)]
pub struct ActRow {
    /// Id.
    #[serde(with = "clickhouse::serde::uuid")]
    pub event_id: Uuid,
    /// When, UTC milliseconds.
    pub time: i64,
    /// The earliest that it can have been, UTC milliseconds.
    pub began: i64,
    /// Source.
    pub source_id: String,
    /// Realm.
    pub realm: String,
    /// Keycloak id of the realm.
    pub realm_id: String,
    /// Kind.
    pub kind: String,
    /// Outcome.
    pub outcome: String,
    /// Key of the account that it concerns; empty: none.
    pub account: String,
    /// Key of the person whom that account is; empty: none.
    pub person: String,
    /// Key of the person who did it; empty: none.
    pub actor: String,
    /// Kind of right.
    pub right_kind: String,
    /// Right.
    pub right_id: String,
    /// Who or what it was given to, if that is no person: a group, a role, a Backstage reference of a group.
    pub holder_id: String,
    /// Plain details.
    pub details: Vec<(String, String)>,
}

/// Most accounts that are asked for by their keys.
const NAMED: usize = 900;
/// Longest row of failures that a pattern can name; where more are asked for, so many are looked at.
const ROW_MAX: usize = 1_000;

/// Kinds of events that give a right, and impersonations.
const WATCHED: &[&str] =
    &["group_member_added", "role_granted", "composite_added", "backstage_role_member_added", "impersonated"];
/// Of a right that is given to whoever is in a group or has another role, or in a Backstage, those of somebody who is known. Of what is
/// given to a person, what they gave themselves.
const OF_WATCHED: Only = Only {
    rows: "AND (kind = 'impersonated' OR (actor_kind IN ('admin', 'user') \
        AND kind != 'group_member_added' AND (kind != 'role_granted' OR person = toFixedString('', 16))) \
        OR bitTest(same, 1) OR person = actor OR mapContains(merged, lower(hex(person))) OR mapContains(merged, lower(hex(actor))))",
    acts: "WHERE outcome != 'failure' AND (kind = 'impersonated' \
        OR (e.actor_kind IN ('admin', 'user') AND kind != 'group_member_added' AND (kind != 'role_granted' OR account = '')) \
        OR (kind IN ('group_member_added', 'role_granted') AND account != '' AND person = actor))",
};

/// Which events: of the rows as they are stored, those that it may be, and of what is made of them, those that it is.
#[derive(Clone, Copy, Default)]
struct Only {
    rows: &'static str,
    acts: &'static str,
}

/// When accounts were out, by account.
const WHILE: &str = ", (SELECT mapFromArrays(groupArray(account), groupArray(times)) FROM (SELECT out.1 AS account, groupArray((out.2, out.3)) AS times \
    FROM (SELECT arrayJoin(arrayZip({accounts:Array(String)}, {since:Array(Int64)}, {until:Array(Int64)})) AS out) GROUP BY account)) AS spans";

/// Events of some accounts; of persons, of all their accounts.
const OF_PERSONS: &str = "AND person IN (SELECT toFixedString(unhex(key), 16) FROM (SELECT arrayJoin({persons:Array(String)}) AS key UNION DISTINCT \
    SELECT account FROM alias_rows FINAL WHERE tenant = {tenant:String} AND account != '' AND person IN {persons:Array(String)}))";

const KEY: &str = "if({} = toFixedString('', 16), '', lower(hex({})))";

/// Decisions of a time that let somebody in.
const LET_IN: &str = "decision_rows FINAL WHERE tenant = {tenant:String} AND at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') \
    AND at < fromUnixTimestamp64Milli({to:Int64}, 'UTC') AND outcome IN ('allow', 'conditional')";
/// Those that a rule may ask about, as the correlation's `notable` has them.
const NOTABLE: &str = "decision_rows FINAL WHERE tenant = {tenant:String} AND at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') \
    AND at < fromUnixTimestamp64Milli({to:Int64}, 'UTC') AND outcome IN ('allow', 'conditional') AND NOT has(reasons, 'no_person') \
    AND (verdict IN ('exposure', 'violation', 'name_collision') OR candidates = 0 OR hasAny(reasons, ['credential_of_another', 'disabled']))";

/// A question in parts that fit into a request.
fn together<'a>(query: &DriftQuery<'a>) -> Vec<DriftQuery<'a>> {
    match query.persons {
        None => vec![*query],
        Some(persons) => parts(persons).into_iter().map(|some| DriftQuery { persons: Some(some), ..*query }).collect(),
    }
}

/// Time bounds as ClickHouse holds them.
fn bounds(query: &DriftQuery<'_>) -> (i64, i64) {
    (crate::rows::stored_time(query.from), crate::rows::stored_time(query.to))
}

impl Store {
    /// Decisions that let somebody in and that a rule may ask about: stale, colliding, without a credential, or of somebody who was put out.
    /// Callers that are no persons (plugins, static tokens) are left out: they call all day, and no rule is about them.
    pub async fn drift_decisions(&self, query: &DriftQuery<'_>) -> Result<Vec<DecisionRecord>, StoreError> {
        let mut found = Vec::new();
        for some in together(query) {
            let persons = if some.persons.is_some() { "AND person IN {persons:Array(String)}" } else { "" };
            let sql = format!("SELECT ?fields FROM {NOTABLE} {persons} ORDER BY at, row_id LIMIT {{beyond:UInt32}}");
            let asked = self.notable(&sql, &some).param("persons", some.persons.unwrap_or_default());
            found.extend(all(asked, ("decisions", ROWS_MAX)).await?);
        }
        found.sort_by_key(|one: &DecisionRecord| (one.at, one.row_id));
        few(found, ("decisions", ROWS_MAX))
    }

    /// The latest of one person's who has more than one answer holds, in order of time.
    pub async fn drift_latest_decisions(&self, tenant: &str, person: &str) -> Result<Vec<DecisionRecord>, StoreError> {
        let sql = format!(
            "SELECT ?fields FROM {NOTABLE} AND person = {{person:String}} ORDER BY at DESC, row_id LIMIT {{most:UInt32}}"
        );
        let ever = DriftQuery::of(tenant, (i64::MIN, i64::MAX));
        let mut found: Vec<DecisionRecord> =
            rows(self.notable(&sql, &ever).param("person", person).param("most", ROWS_MAX / 2)).await?;
        found.reverse();
        Ok(found)
    }

    /// How many of them each person has, in order.
    pub async fn drift_deciders(&self, tenant: &str) -> Result<Vec<(String, u64)>, StoreError> {
        let sql = format!("SELECT person, count() FROM {NOTABLE} GROUP BY person ORDER BY person");
        rows(self.notable(&sql, &DriftQuery::of(tenant, (i64::MIN, i64::MAX)))).await
    }

    /// How many decisions of a time let callers in that are no persons.
    pub async fn drift_callers(&self, query: &DriftQuery<'_>) -> Result<u64, StoreError> {
        let sql = format!("SELECT count() FROM {LET_IN} AND has(reasons, 'no_person')");
        Ok(rows::<u64>(self.notable(&sql, query)).await?.pop().unwrap_or_default())
    }

    fn notable(&self, sql: &str, query: &DriftQuery<'_>) -> clickhouse::query::Query {
        let (from, to) = bounds(query);
        self.ask(sql).param("tenant", query.tenant).param("from", from).param("to", to)
    }

    /// Persons who were let in between two times (UTC milliseconds, [from, to)) and behind whose decision no credential can stand, in order.
    pub async fn drift_without_credential(
        &self,
        tenant: &str,
        (from, to): (i64, i64),
    ) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT DISTINCT person FROM decision_rows FINAL WHERE tenant = {tenant:String} AND person != '' \
             AND at >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND at < fromUnixTimestamp64Milli({to:Int64}, 'UTC') \
             AND outcome IN ('allow', 'conditional') AND candidates = 0 AND NOT has(reasons, 'no_person') ORDER BY person";
        let asked = self.ask(sql).param("tenant", tenant);
        rows(asked.param("from", crate::rows::stored_time(from)).param("to", crate::rows::stored_time(to))).await
    }

    /// Events of some kinds, in order of time, one row each. Persons named are asked for with all their accounts.
    pub async fn drift_acts(&self, query: &DriftQuery<'_>, kinds: &[&str]) -> Result<Vec<ActRow>, StoreError> {
        self.drift_acts_in((query, kinds, Only::default()), None).await
    }

    /// Impersonations, rights that somebody gave themselves, and roles that somebody who is known gave to a group, put into another role, or
    /// gave in a Backstage: what they may have thereby themselves. In order of time, one row each. What is given to somebody else, which is
    /// most of it, is left out, and so are refused attempts.
    pub async fn drift_watched(&self, query: &DriftQuery<'_>) -> Result<Vec<ActRow>, StoreError> {
        self.drift_acts_in((query, WATCHED, OF_WATCHED), None).await
    }

    /// Where events of some kinds are: beginnings of spans of `unit` milliseconds (UTC milliseconds), and how many are in each at most: rows
    /// that a newer normaliser replaced, and copies by other inputs, count.
    pub async fn drift_spans(
        &self,
        query: &DriftQuery<'_>,
        kinds: &[&str],
        unit: i64,
    ) -> Result<Vec<(i64, u64)>, StoreError> {
        let (from, to) = bounds(query);
        let mut spans = BTreeMap::new();
        for some in together(query) {
            let persons = if some.persons.is_some() { OF_PERSONS } else { "" };
            let sql = format!(
                "SELECT toInt64(floor(toUnixTimestamp64Milli(time) / {unit})) AS span, count() FROM event_rows \
                 WHERE tenant = {{tenant:String}} AND is_deleted = 0 {persons} AND kind IN {{kinds:Array(String)}} \
                 AND time >= fromUnixTimestamp64Milli({{from:Int64}}, 'UTC') AND time < fromUnixTimestamp64Milli({{to:Int64}}, 'UTC') \
                 GROUP BY span ORDER BY span LIMIT {{beyond:UInt32}}"
            );
            let asked = self.ask(&sql).param("tenant", query.tenant).param("from", from).param("to", to);
            let asked = asked.param("persons", some.persons.unwrap_or_default()).param("kinds", kinds);
            for (span, count) in all::<(i64, u64)>(asked, ("spans", ROWS_MAX)).await? {
                *spans.entry(span * unit).or_default() += count;
            }
        }
        Ok(spans.into_iter().collect())
    }

    /// Events of some kinds of accounts while they were out: (account, from, until), UTC milliseconds.
    pub async fn drift_acts_while(
        &self,
        (query, kinds): (&DriftQuery<'_>, &[&str]),
        times: &[(String, i64, i64)],
    ) -> Result<Vec<ActRow>, StoreError> {
        let (Some(first), Some(last)) = (times.iter().map(|one| one.1).min(), times.iter().map(|one| one.2).max())
        else {
            return Ok(Vec::new());
        };
        let accounts: std::collections::BTreeSet<&String> = times.iter().map(|one| &one.0).collect();
        let accounts: Vec<String> = accounts.into_iter().cloned().collect();
        let query =
            DriftQuery { persons: Some(&accounts), from: query.from.max(first), to: query.to.min(last), ..*query };
        self.drift_acts_in((&query, kinds, Only::default()), Some(times)).await
    }

    async fn drift_acts_in(
        &self,
        (query, kinds, only): (&DriftQuery<'_>, &[&str], Only),
        times: Option<&[(String, i64, i64)]>,
    ) -> Result<Vec<ActRow>, StoreError> {
        let mut found = Vec::new();
        for some in together(query) {
            let named = some.persons.unwrap_or_default();
            let times = times.map(|all| all.iter().filter(|one| named.contains(&one.0)).cloned().collect::<Vec<_>>());
            found.extend(self.drift_acts_of((&some, kinds, only), times.as_deref()).await?);
        }
        found.sort_by_key(|one| (one.time, one.event_id));
        // Two parts can name accounts of one person.
        found.dedup_by_key(|one| one.event_id);
        few(found, ("events", query.most))
    }

    async fn drift_acts_of(
        &self,
        (query, kinds, only): (&DriftQuery<'_>, &[&str], Only),
        times: Option<&[(String, i64, i64)]>,
    ) -> Result<Vec<ActRow>, StoreError> {
        let persons = if query.persons.is_some() { OF_PERSONS } else { "" };
        let (spans, within) = match times {
            Some(_) => (
                WHILE,
                "AND arrayExists(span -> toUnixTimestamp64Milli(time) >= span.1 AND toUnixTimestamp64Milli(time) < span.2, spans[lower(hex(person))])",
            ),
            None => ("", ""),
        };
        let (account, actor) = (KEY.replace("{}", "e.person"), KEY.replace("{}", "e.who"));
        let whose = |key: &str| format!("if(mapContains(merged, {key}), merged[{key}], {key})");
        let (person, actor) = (whose(&account), whose(&actor));
        let Only { rows, acts } = only;
        let which = format!(
            "tenant = {{tenant:String}} {persons} {within} AND kind IN {{kinds:Array(String)}} \
             AND time >= fromUnixTimestamp64Milli({{from:Int64}}, 'UTC') AND time < fromUnixTimestamp64Milli({{to:Int64}}, 'UTC')"
        );
        // All columns of a row are read before its newest version is known: few are asked for, by their ids.
        let sql = format!(
            "WITH (SELECT mapFromArrays(groupArray(account), groupArray(person)) FROM \
               (SELECT DISTINCT account, person FROM alias_rows FINAL WHERE tenant = {{tenant:String}} AND account != '')) AS merged {spans} \
             SELECT e.event_id AS event_id, e.time AS time, toUnixTimestamp64Milli(e.time) - e.earlier_ms AS began, \
               toString(e.source_id) AS source_id, toString(e.realm) AS realm, toString(e.realm_id) AS realm_id, \
               toString(e.kind) AS kind, toString(e.outcome) AS outcome, {account} AS account, {person} AS person, {actor} AS actor, \
               toString(e.right_kind) AS right_kind, e.right_id AS right_id, e.holder_id AS holder_id, \
               arrayZip(mapKeys(e.details), mapValues(e.details)) AS details FROM \
             (SELECT event_id, time, earlier_ms, source_id, realm, realm_id, kind, outcome, person, if(bitTest(same, 1), person, actor) AS who, actor_kind, right_kind, \
               right_id, holder_id, CAST(details, 'Map(String, String)') AS details, input FROM event_rows FINAL \
              PREWHERE event_id IN (SELECT event_id FROM event_rows WHERE {which} {rows}) WHERE {which} \
              ORDER BY time, event_id, input DESC LIMIT 1 BY event_id) AS e {acts} \
             ORDER BY e.time, e.event_id LIMIT {{beyond:UInt32}}"
        );
        let (from, to) = bounds(query);
        let asked = self.ask(&sql).param("tenant", query.tenant).param("from", from).param("to", to);
        let asked = asked.param("persons", query.persons.unwrap_or_default()).param("kinds", kinds);
        let times = times.unwrap_or_default();
        let asked = asked.param("accounts", times.iter().map(|one| &one.0).collect::<Vec<_>>());
        let asked = asked.param("since", times.iter().map(|one| one.1).collect::<Vec<_>>());
        all(asked.param("until", times.iter().map(|one| one.2).collect::<Vec<_>>()), ("events", query.most)).await
    }

    /// Accounts into which somebody came in a time after a row of at least `failures` failed logins, or after a lockout, without a good
    /// login between them: those whose logins a rule has to look at. What came before the time counts as far as `back` (milliseconds)
    /// before it. A user who mistypes now and then is not among them, however often they sign in.
    pub async fn drift_guessed(
        &self,
        query: &DriftQuery<'_>,
        (failures, back): (usize, i64),
    ) -> Result<Vec<String>, StoreError> {
        const GOOD: &str = "kind = 'login' AND outcome = 'success'";
        const BAD: &str = "kind IN ('user_locked_temporarily', 'user_locked_permanently') OR (kind = 'login' AND outcome = 'failure')";
        let of = |what: &str, from: &str| {
            format!(
                "FROM event_rows WHERE tenant = {{tenant:String}} AND is_deleted = 0 AND ({what}) AND person != toFixedString('', 16) \
                 AND time >= fromUnixTimestamp64Milli({{{from}:Int64}}, 'UTC') AND time < fromUnixTimestamp64Milli({{to:Int64}}, 'UTC')"
            )
        };
        // Where no number of failures is asked for, lockouts alone count.
        let many = if failures == 0 { String::new() } else { format!("OR uniqExact(event_id) >= {failures}") };
        // Few have that many failures, and of these few come in: nobody else's logins are put in order.
        let came_in = format!(
            "SELECT DISTINCT person {} AND person IN (SELECT person {} GROUP BY person HAVING countIf(kind != 'login') > 0 {many})",
            of(GOOD, "from"),
            of(BAD, "earlier"),
        );
        // F: failed, L: locked, S: good, in order of time, one each.
        let row = if failures == 0 { String::new() } else { format!("|[FL]{{{}}}S", failures.min(ROW_MAX)) };
        let guessed = |suspects: &str| {
            format!(
                "SELECT lower(hex(person)) FROM (SELECT person, event_id, min(time) AS at, \
               any(multiIf(kind != 'login', 'L', outcome = 'success', 'S', 'F')) AS what \
               {} AND person IN ({suspects}) GROUP BY person, event_id) \
             GROUP BY person HAVING match(arrayStringConcat(arrayMap(one -> one.3, arraySort(groupArray((at, event_id, what))))), {{row:String}}) \
             ORDER BY 1 LIMIT {{beyond:UInt32}}",
                of(&format!("{GOOD} OR {BAD}"), "earlier"),
            )
        };
        let (from, to) = bounds(query);
        let earlier = crate::rows::stored_time(query.from.saturating_sub(back));
        let asked = |sql: &str| {
            let asked = self.ask(sql).param("tenant", query.tenant).param("earlier", earlier);
            asked.param("from", from).param("to", to)
        };
        let suspects = format!("SELECT lower(hex(person)) FROM ({came_in}) LIMIT {}", NAMED + 1);
        let suspects: Vec<String> = rows(asked(&suspects)).await?;
        // Over a long time nearly everybody has failed that often: their names are more than a request holds.
        let among = match suspects.len() {
            0 => return Ok(suspects),
            1..=NAMED => "arrayMap(key -> toFixedString(unhex(key), 16), {persons:Array(String)})",
            _ => &came_in,
        };
        let asked = asked(&guessed(among)).param("persons", suspects.get(..NAMED).unwrap_or(&suspects));
        all(asked.param("row", format!("L[FL]*S{row}")), ("persons", ROWS_MAX)).await
    }

    /// Accounts that events of some kinds and of a time are about, in order.
    pub async fn drift_accounts(&self, query: &DriftQuery<'_>, kinds: &[&str]) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT DISTINCT lower(hex(person)) AS account FROM event_rows WHERE tenant = {tenant:String} AND is_deleted = 0 \
             AND kind IN {kinds:Array(String)} AND person != toFixedString('', 16) \
             AND time >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND time < fromUnixTimestamp64Milli({to:Int64}, 'UTC') \
             ORDER BY account LIMIT {beyond:UInt32}";
        let (from, to) = bounds(query);
        let asked = self.ask(sql).param("tenant", query.tenant).param("kinds", kinds);
        all(asked.param("from", from).param("to", to), ("persons", ROWS_MAX)).await
    }

    /// Accounts that an event of a time disabled, deleted or locked for good, or a read found disabled. Also some of which a newer normaliser says something else.
    pub async fn drift_put_out(&self, query: &DriftQuery<'_>) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT DISTINCT lower(hex(person)) AS account FROM event_rows WHERE tenant = {tenant:String} AND is_deleted = 0 \
             AND kind IN ('user_deleted', 'user_locked_permanently', 'user_created', 'user_updated', 'state_user') \
             AND (kind IN ('user_deleted', 'user_locked_permanently') OR details['enabled'] = 'false') AND person != toFixedString('', 16) \
             AND time >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND time < fromUnixTimestamp64Milli({to:Int64}, 'UTC') \
             ORDER BY account LIMIT {beyond:UInt32}";
        let (from, to) = bounds(query);
        let asked = self.ask(sql).param("tenant", query.tenant).param("from", from).param("to", to);
        all(asked, ("persons", ROWS_MAX)).await
    }

    /// The first event of some sources; those that have none are not named.
    pub async fn first_events(&self, tenant: &str, sources: &[String]) -> Result<Vec<(String, i64)>, StoreError> {
        let sql = "SELECT toString(source_id), toUnixTimestamp64Milli(min(time)) FROM event_rows WHERE tenant = {tenant:String} \
            AND source_id IN {sources:Array(String)} AND is_deleted = 0 GROUP BY source_id";
        rows(self.ask(sql).param("tenant", tenant).param("sources", sources)).await
    }

    /// How many persons have decisions or sessions between two times: what findings are counted against.
    pub async fn active_persons(&self, tenant: &str, (from, to): (i64, i64)) -> Result<u64, StoreError> {
        let sql = "SELECT uniqExact(person) FROM event_rows WHERE tenant = {tenant:String} AND person != toFixedString('', 16) \
            AND time >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND time < fromUnixTimestamp64Milli({to:Int64}, 'UTC')";
        let asked = self.ask(sql).param("tenant", tenant);
        let asked = asked.param("from", crate::rows::stored_time(from)).param("to", crate::rows::stored_time(to));
        Ok(rows::<u64>(asked).await?.pop().unwrap_or_default())
    }
}
