//! Counting logins and changes by the hour, for panels: `login_hour_rows` and `change_hour_rows` are made anew from the events
//! that stand, hour by hour, as the roller finds them (rollup.rs). What is kept is never asked for while its hour has a mark.

use crate::{
    Store, StoreError,
    cell::{Cell, HOUR_MS},
    query,
    rows::stored_time,
};
use std::collections::HashSet;

/// Hours of one statement: what it groups must fit into memory, and it reads all that lies between.
const HOURS_TOGETHER: u32 = 24;
/// Above each version before, whatever the clock does.
const VERSION: &str = "greatest(toUInt64(toUnixTimestamp64Micro(now64(6))), max(version) + 1)";

/// Hours that rows change, of whatever kind they are: one may take a login's place, and a deletion does not say of what.
#[derive(Default)]
pub(crate) struct Hours {
    pub(crate) cells: HashSet<Cell>,
    last: Option<(String, i64)>,
}

impl Hours {
    /// A row of a tenant and a time, UTC milliseconds.
    pub(crate) fn take(&mut self, tenant: &str, time: i64) {
        let time = stored_time(time);
        let hour = time.div_euclid(HOUR_MS);
        // Most are in the hour of the one before.
        if self.last.as_ref().is_none_or(|(of, last)| (of.as_str(), *last) != (tenant, hour)) {
            self.last = Some((tenant.to_owned(), hour));
            self.cells.extend(Cell::of_event(tenant, time));
        }
    }
}

impl Store {
    /// Counts hours of events, in order. A group that has left an hour gets a row of zeros over its old one.
    pub(crate) async fn roll_event_hours(&self, tenant: &str, hours: &[u32]) -> Result<(), StoreError> {
        for some in hours.chunk_by(|one, next| one / HOURS_TOGETHER == next / HOURS_TOGETHER) {
            let within = query::numbers(some);
            self.count_events(&logins(&within), tenant, some).await?;
            self.count_events(&changes(&within), tenant, some).await?;
        }
        self.compare_copies(tenant, hours).await
    }

    async fn count_events(&self, sql: &str, tenant: &str, hours: &[u32]) -> Result<(), StoreError> {
        let (Some(first), Some(last)) = (hours.first(), hours.last()) else { return Ok(()) };
        let (from, to) = (i64::from(*first) * HOUR_MS, (i64::from(*last) + 1) * HOUR_MS);
        query::done(self.run(sql).param("tenant", tenant).param("from", from).param("to", to)).await
    }
}

fn logins(within: &str) -> String {
    format!(
        "INSERT INTO login_hour_rows \
         SELECT tenant, hour, source_id, realm, outcome, error, {VERSION}, sum(n), countIf(n = 1 AND who = ''), \
           groupUniqArrayIf(who, n = 1 AND who != '' AND outcome = 'failure'), uniqExactStateIf(ip, n = 1 AND outcome = 'failure'), max(time) FROM (\
           SELECT tenant, hour, source_id, realm, outcome, error, toUInt64(0) AS version, toUInt64(1) AS n, who, ip, time \
           FROM logins_told_in(from = {{from:Int64}}, to = {{to:Int64}}) WHERE tenant = {{tenant:String}} AND hour IN ({within}) \
           UNION ALL \
           SELECT tenant, hour, source_id, toString(realm), toString(outcome), toString(error), version, 0, '', '', \
             fromUnixTimestamp64Milli(toInt64(0), 'UTC') \
           FROM login_hour_rows WHERE tenant = {{tenant:String}} AND hour IN ({within})\
         ) GROUP BY tenant, hour, source_id, realm, outcome, error"
    )
}

fn changes(within: &str) -> String {
    format!(
        "INSERT INTO change_hour_rows \
         SELECT tenant, hour, source_id, realm, what, outcome, {VERSION}, sum(n), groupUniqArrayIf(who, n = 1), max(time) FROM (\
           SELECT tenant, hour, source_id, realm, what, outcome, toUInt64(0) AS version, toUInt64(1) AS n, who, time \
           FROM changes_told_in(from = {{from:Int64}}, to = {{to:Int64}}) WHERE tenant = {{tenant:String}} AND hour IN ({within}) \
           UNION ALL \
           SELECT tenant, hour, source_id, toString(realm), toString(kind), toString(outcome), version, 0, '', \
             fromUnixTimestamp64Milli(toInt64(0), 'UTC') \
           FROM change_hour_rows WHERE tenant = {{tenant:String}} AND hour IN ({within})\
         ) GROUP BY tenant, hour, source_id, realm, what, outcome"
    )
}
