//! Everything of some persons, in order of time: found by where it stands (`person_event_rows`), so that it costs what they did and
//! not what everybody did.

use super::{
    EventPage, PersonQuery, ROWS_MAX, rows,
    trace::{Part, page},
};
use crate::{Store, StoreError, rows::stored_time};

/// Fewest instants of one step. A hint can be old, so a step may find fewer events than it looks at instants.
const STEP: u32 = 1_000;

impl Store {
    /// The timeline of some persons, all keys of theirs named.
    pub async fn person_events(&self, query: &PersonQuery) -> Result<EventPage, StoreError> {
        let (limit, to) = (query.limit.min(ROWS_MAX), stored_time(query.to));
        let (mut from, mut found) = (stored_time(query.from), EventPage { events: Vec::new(), more: false });
        // One step for nearly everybody. Who did more than is wanted is read as far as that, and on if much of it was old.
        while from < to && !found.more {
            let end = self.instant(query, (from, to), limit.max(STEP)).await?.map_or(to, |last| last + 1);
            let left = limit.saturating_sub(u32::try_from(found.events.len()).unwrap_or(u32::MAX));
            let step = self.told_of(query, (from, end), (left, Part::First)).await?;
            found.events.extend(step.events);
            (found.more, from) = (step.more, end);
        }
        Ok(found)
    }

    /// The first or the last events of some persons in a span.
    pub(super) async fn told_of(
        &self,
        query: &PersonQuery,
        (from, to): (i64, i64),
        (limit, part): (u32, Part),
    ) -> Result<EventPage, StoreError> {
        let sql = format!(
            "SELECT ?fields FROM events_of(tenant = {{tenant:String}}, persons = {{persons:Array(String)}}, from = {{from:Int64}}, \
             to = {{to:Int64}}) ORDER BY {} LIMIT {{limit:UInt32}}",
            part.order()
        );
        let asked = self.ask(&sql).param("tenant", &query.tenant).param("persons", keys(query));
        page(asked.param("from", from).param("to", to), limit).await
    }

    /// The instant after so many at which something of them may stand.
    async fn instant(
        &self,
        query: &PersonQuery,
        (from, to): (i64, i64),
        after: u32,
    ) -> Result<Option<i64>, StoreError> {
        let sql = "SELECT toUnixTimestamp64Milli(time) FROM person_event_rows WHERE tenant = {tenant:String} \
            AND person IN (SELECT toFixedString(unhex(arrayJoin({persons:Array(String)})), 16)) \
            AND time >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND time < fromUnixTimestamp64Milli({to:Int64}, 'UTC') \
            ORDER BY time LIMIT 1 OFFSET {after:UInt32}";
        let asked = self.ask(sql).param("tenant", &query.tenant).param("persons", keys(query));
        Ok(rows::<i64>(asked.param("from", from).param("to", to).param("after", after)).await?.pop())
    }
}

fn keys(query: &PersonQuery) -> Vec<&str> {
    query.persons.iter().map(|key| key.0.as_str()).collect()
}
