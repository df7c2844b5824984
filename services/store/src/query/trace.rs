//! Events by what people know of them: an id, a session, a token, a person, a name, a receipt; and by time.

use super::{ROWS_MAX, StoredEvent, event::EventRead, rows};
use crate::{Store, StoreError, rows::stored_time};
use clickhouse::query::Query;
use events::{ids::Position, person::PersonKey};
use uuid::Uuid;

/// What to trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Term {
    /// One event.
    Event(Uuid),
    /// A Keycloak user session, or the code that belongs to it.
    Session(String),
    /// An access or refresh token's id.
    Token(String),
    /// A person key, as the person or as the actor.
    Person(PersonKey),
    /// A Keycloak user id, username, e-mail or entity reference as written then, or the source's own id of an event. Not indexed: reads
    /// the tenant's events.
    Name(String),
    /// One receipt.
    Receipt(Position),
    /// The source's own id of an event, at the time at which that was.
    Native(String, i64),
    /// A text of unknown meaning that may be the id of a session or a token, and events that it may be. Empty: these events alone.
    Id(String, Vec<Uuid>),
}

/// A trace.
#[derive(Clone, Debug)]
pub struct TraceQuery {
    /// Tenant.
    pub tenant: String,
    /// What to look for.
    pub term: Term,
    /// Most events to return.
    pub limit: u32,
}

/// A time span of some persons, or of everybody.
#[derive(Clone, Debug)]
pub struct PersonQuery {
    /// Tenant.
    pub tenant: String,
    /// All keys of the persons, as person or as actor.
    pub persons: Vec<PersonKey>,
    /// From this time on, UTC milliseconds.
    pub from: i64,
    /// Before this time.
    pub to: i64,
    /// Most events to return.
    pub limit: u32,
}

/// Events in order of (time, id), and whether there are more.
#[derive(Clone, Debug, PartialEq)]
pub struct EventPage {
    /// The first ones.
    pub events: Vec<StoredEvent>,
    /// True if the limit cut the rest off.
    pub more: bool,
}

/// Within which inputs date one event, milliseconds: the views look no further.
const APART: i64 = 86_400_000;

const IN_SESSION: &str = "session_id = {text:String} OR code_id = {text:String}";
const IN_TOKEN: &str =
    "token_id = {text:String} OR refresh_token_id = {text:String} OR new_refresh_token_id = {text:String}";
const IN_NAMES: &str = "person_id = {text:String} OR person_name = {text:String} OR person_email = {text:String} \
    OR actor_id = {text:String} OR actor_name = {text:String}";

/// How an event is found: a condition on its rows, which an index may answer, and the same on what stands of it.
struct Matching {
    rows: String,
    current: String,
}

impl Matching {
    /// Columns that have one name in both.
    fn both(condition: &str) -> Self {
        Self { rows: condition.into(), current: condition.into() }
    }

    /// By event row, and by receipt: a duplicate's row may be merged into the first one's.
    fn receipt() -> Self {
        let by_receipt = "event_id IN (SELECT event_id FROM receipts \
            WHERE tenant = {tenant:String} AND stream = unhex({text:String}) AND seq = {seq:UInt64} AND fate = 'event')";
        Self {
            rows: format!("(stream = unhex({{text:String}}) AND seq = {{seq:UInt64}}) OR {by_receipt}"),
            current: format!(
                "(tupleElement(receipt, 1) = unhex({{text:String}}) AND tupleElement(receipt, 2) = {{seq:UInt64}}) OR {by_receipt}"
            ),
        }
    }

    /// First the ids of rows that match in any input, by index. Then those of which the match still stands: until a merge,
    /// rows also hold what a newer normaliser or an earlier receipt has replaced. Then those events, from all their inputs.
    /// `first` and `last`: the times between which such rows lie.
    fn sql(&self, part: Part) -> String {
        let Self { rows, current } = self;
        let order = part.order();
        format!(
            "SELECT ?fields FROM events_in(from = {{first:Int64}}, to = {{last:Int64}}) WHERE tenant = {{tenant:String}} AND event_id IN \
             (SELECT event_id FROM event_inputs_in(from = {{first:Int64}}, to = {{last:Int64}}) \
              WHERE tenant = {{tenant:String}} AND ({current}) AND event_id IN \
             (SELECT event_id FROM event_rows WHERE tenant = {{tenant:String}} AND ({rows}) \
              AND time >= fromUnixTimestamp64Milli({{first:Int64}}, 'UTC') AND time < fromUnixTimestamp64Milli({{last:Int64}}, 'UTC'))) \
             AND time >= fromUnixTimestamp64Milli({{from:Int64}}, 'UTC') AND time < fromUnixTimestamp64Milli({{to:Int64}}, 'UTC') \
             ORDER BY {order} LIMIT {{limit:UInt32}}"
        )
    }

    /// The first and the last time of such rows. By an index this reads a few; then nothing else of all the others is read.
    fn times(&self) -> String {
        format!(
            "SELECT toUnixTimestamp64Milli(min(time)), toUnixTimestamp64Milli(max(time)) FROM event_rows \
             WHERE tenant = {{tenant:String}} AND ({}) AND time >= fromUnixTimestamp64Milli({{from:Int64}}, 'UTC') \
             AND time < fromUnixTimestamp64Milli({{to:Int64}}, 'UTC') HAVING count() > 0",
            self.rows
        )
    }
}

/// Which of more than are wanted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    First,
    Last,
}

impl Part {
    pub(super) fn order(self) -> &'static str {
        match self {
            Self::First => "time, event_id",
            Self::Last => "time DESC, event_id DESC",
        }
    }
}

/// What the places of a condition stand for.
#[derive(Default)]
struct Bound {
    text: String,
    keys: Vec<String>,
    seq: u64,
}

impl Bound {
    fn of(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }
}

impl Store {
    /// All events of a term, in order of time.
    pub async fn trace(&self, query: &TraceQuery) -> Result<EventPage, StoreError> {
        self.traced(query, i64::MAX, Part::First).await
    }

    /// The last events of a term up to `at`, that within, in order of time; `more`: there are earlier ones.
    pub async fn trace_until(&self, query: &TraceQuery, at: i64) -> Result<EventPage, StoreError> {
        let mut page = self.traced(query, at.saturating_add(1), Part::Last).await?;
        page.events.reverse();
        Ok(page)
    }

    async fn traced(&self, query: &TraceQuery, to: i64, part: Part) -> Result<EventPage, StoreError> {
        let (matching, bound): (Matching, Bound) = match &query.term {
            Term::Event(id) => (Matching::both("event_id = toUUID({text:String})"), Bound::of(id.to_string())),
            Term::Session(id) => (Matching::both(IN_SESSION), Bound::of(id)),
            Term::Token(id) => (Matching::both(IN_TOKEN), Bound::of(id)),
            Term::Name(name) => {
                (Matching::both(&format!("{IN_NAMES} OR native_id = {{text:String}}")), Bound::of(name))
            }
            Term::Id(text, events) => {
                const OF_THESE: &str = "event_id IN (arrayMap(id -> toUUID(id), {keys:Array(String)}))";
                // Most events have no session and no token: an empty text would be all of theirs.
                let any = match text.as_str() {
                    "" => OF_THESE.to_owned(),
                    _ => format!("{IN_SESSION} OR {IN_TOKEN} OR {OF_THESE}"),
                };
                let keys = events.iter().map(Uuid::to_string).collect();
                (Matching::both(&any), Bound { keys, ..Bound::of(text) })
            }
            Term::Native(text, at) => {
                let matching = Matching::both("native_id = {text:String}");
                let span = (at.saturating_sub(APART), at.saturating_add(APART));
                let span = (span.0, span.1.min(to));
                return self.matching((&query.tenant, query.limit, part), (&matching, &Bound::of(text)), span).await;
            }
            Term::Person(key) => {
                let (tenant, persons, from) = (query.tenant.clone(), vec![key.clone()], stored_time(i64::MIN));
                let of = PersonQuery { tenant, persons, from, to: stored_time(to), limit: query.limit };
                return match part {
                    Part::First => self.person_events(&of).await,
                    Part::Last => self.told_of(&of, (of.from, of.to), (of.limit, part)).await,
                };
            }
            Term::Receipt(position) => {
                (Matching::receipt(), Bound { seq: position.seq, ..Bound::of(position.stream.to_string()) })
            }
        };
        let span = (stored_time(i64::MIN), stored_time(to));
        self.matching((&query.tenant, query.limit, part), (&matching, &bound), span).await
    }

    async fn matching(
        &self,
        (tenant, limit, part): (&str, u32, Part),
        (matching, bound): (&Matching, &Bound),
        (from, to): (i64, i64),
    ) -> Result<EventPage, StoreError> {
        let asked = |sql: &str| {
            let asked = self.ask(sql).param("tenant", tenant).param("text", &bound.text).param("keys", &bound.keys);
            asked.param("seq", bound.seq).param("from", from).param("to", to)
        };
        let Some((first, last)) = rows::<(i64, i64)>(asked(&matching.times())).await?.pop() else {
            return Ok(EventPage { events: Vec::new(), more: false });
        };
        // Another input may date such an event a little otherwise.
        let (first, last) = (first.saturating_sub(APART), last.saturating_add(APART + 1));
        page(asked(&matching.sql(part)).param("first", first).param("last", last), limit).await
    }

    /// Some events by id, at most a thousand, in order of time.
    pub async fn events_named(&self, tenant: &str, ids: &[Uuid]) -> Result<Vec<StoredEvent>, StoreError> {
        let sql = "SELECT ?fields FROM events WHERE tenant = {tenant:String} \
            AND event_id IN (arrayMap(id -> toUUID(id), {ids:Array(String)})) ORDER BY time, event_id LIMIT {limit:UInt32}";
        let ids: Vec<String> = ids.iter().map(Uuid::to_string).collect();
        Ok(page(self.ask(sql).param("tenant", tenant).param("ids", ids), 1_000).await?.events)
    }

    /// Everybody's events with from <= time < to, after `after` in order of (time, id): the iterator of a replay.
    ///
    /// Each call reads its whole span; walk a long time in days, jumping over empty ones with [`Store::next_time`].
    /// The `persons` of the query are not used.
    pub async fn events_between(
        &self,
        query: &PersonQuery,
        after: Option<(i64, Uuid)>,
    ) -> Result<EventPage, StoreError> {
        let (time, id) = after.unwrap_or((i64::MIN, Uuid::nil()));
        let sql = "SELECT ?fields FROM events_in(from = {from:Int64}, to = {to:Int64}) WHERE tenant = {tenant:String} \
            AND (toUnixTimestamp64Milli(time), event_id) > ({after:Int64}, toUUID({id:String})) \
            ORDER BY time, event_id LIMIT {limit:UInt32}";
        let asked = self
            .ask(sql)
            .param("from", query.from)
            .param("to", query.to)
            .param("after", time)
            .param("id", id.to_string())
            .param("tenant", &query.tenant);
        page(asked, query.limit).await
    }

    /// The time of the first event at or after `from`, UTC milliseconds.
    pub async fn next_time(&self, tenant: &str, from: i64) -> Result<Option<i64>, StoreError> {
        let sql = "SELECT toUnixTimestamp64Milli(min(time)) FROM event_rows WHERE tenant = {tenant:String} \
            AND is_deleted = 0 AND time >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') HAVING count() > 0";
        let asked = self.ask(sql).param("tenant", tenant).param("from", from);
        Ok(rows::<i64>(asked).await?.pop())
    }
}

/// Asks for one more than wanted, to know whether there is more.
pub(super) async fn page(asked: Query, limit: u32) -> Result<EventPage, StoreError> {
    let limit = limit.min(ROWS_MAX);
    let found = rows::<EventRead>(asked.param("limit", limit.saturating_add(1))).await?;
    let more = found.len() > limit as usize;
    let mut events = Vec::with_capacity(found.len());
    for row in found.into_iter().take(limit as usize) {
        events.push(row.try_into()?);
    }
    Ok(EventPage { events, more })
}
