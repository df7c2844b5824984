//! The way back: every event that is stored, streamed in the order of the table.
//!
//! Memory is that of a few rows: nothing is gathered here, and the server merges its parts as it reads.

use super::{
    merge::{COLUMNS, Copy, Told, merge},
    streaming,
};
use crate::{Store, StoreError, error::within, query::rows, settings::QUERY_WAIT};
use clickhouse::query::Query;
use events::ids::StreamId;

const HOUR: i64 = 3_600_000;

/// Positions of a stream, and between which times their events lie (UTC milliseconds, both ends within).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Stream.
    pub stream: StreamId,
    /// First position.
    pub first: u64,
    /// Behind the last.
    pub end: u64,
    /// Earliest time.
    pub earliest: i64,
    /// Latest time.
    pub latest: i64,
}

/// A part of the time, UTC milliseconds, and about how many rows of events there are in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// From this instant on.
    pub from: i64,
    /// Before this one.
    pub to: i64,
    /// Rows: copies of one event are one each.
    pub rows: u64,
}

impl Store {
    /// Parts of the time that hold every event of a tenant, in order, of at least `rows` rows each but the last: whole hours, of
    /// which each can hold any number.
    pub async fn event_slices(&self, tenant: &str, rows_each: u64) -> Result<Vec<Slice>, StoreError> {
        let sql = format!(
            "SELECT toInt64(floor(toUnixTimestamp64Milli(time) / {HOUR})) AS hour, count() FROM event_rows \
             WHERE tenant = {{tenant:String}} GROUP BY hour ORDER BY hour"
        );
        let hours = rows::<(i64, u64)>(self.ask(&sql).param("tenant", tenant)).await?;
        let mut slices: Vec<Slice> = Vec::new();
        for (hour, rows) in hours {
            match slices.last_mut().filter(|slice| slice.rows < rows_each) {
                Some(slice) => (slice.to, slice.rows) = ((hour + 1) * HOUR, slice.rows + rows),
                None => slices.push(Slice { from: hour * HOUR, to: (hour + 1) * HOUR, rows }),
            }
        }
        // What comes while all this is read belongs to it, too.
        if let Some(last) = slices.last_mut() {
            last.to = (super::storable(i64::MAX).div_euclid(HOUR) + 1) * HOUR;
        }
        Ok(slices)
    }

    /// Hands over every event of a slice of the time, merged from its inputs; how many there were.
    pub async fn events_in(
        &self,
        tenant: &str,
        slice: &Slice,
        each: &mut (dyn FnMut(Told) + Send),
    ) -> Result<u64, StoreError> {
        let asked = self.ask(&ordered(
            "time >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND time < fromUnixTimestamp64Milli({to:Int64}, 'UTC')",
        ));
        let asked = asked.param("tenant", tenant).param("from", slice.from).param("to", slice.to);
        let asked = asked.with_setting("optimize_read_in_order", "1");
        hand_over(streaming(asked), tenant, each).await
    }

    /// Hands over what may reach back however far: what was done to people, groups, roles and policies, what was read of them, and what
    /// operators said of persons. What happens all the time (logins, tokens, decisions) is not among it.
    pub async fn each_lasting(&self, tenant: &str, each: &mut (dyn FnMut(Told) + Send)) -> Result<u64, StoreError> {
        let asked =
            self.ask(&ordered("data_class IN ('administration', 'snapshot', 'operational')")).param("tenant", tenant);
        hand_over(streaming(asked), tenant, each).await
    }

    /// Hands over the events of receipts, each merged from all inputs that the store has by now.
    pub async fn events_of(
        &self,
        tenant: &str,
        window: &Window,
        each: &mut (dyn FnMut(Told) + Send),
    ) -> Result<u64, StoreError> {
        let within_time = "time >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND time <= fromUnixTimestamp64Milli({to:Int64}, 'UTC')";
        let sql = format!(
            "SELECT {COLUMNS} FROM event_rows FINAL WHERE tenant = {{tenant:String}} AND {within_time} \
             AND (source_id, time, event_id) IN (SELECT source_id, time, event_id FROM event_rows \
               WHERE tenant = {{tenant:String}} AND {within_time} AND stream = unhex({{stream:String}}) \
               AND seq >= {{first:UInt64}} AND seq < {{end:UInt64}}) \
             ORDER BY tenant, source_id, time, event_id, input"
        );
        let asked = self
            .ask(&sql)
            .param("tenant", tenant)
            .param("from", window.earliest)
            .param("to", window.latest)
            .param("stream", window.stream.to_string())
            .param("first", window.first)
            .param("end", window.end);
        hand_over(streaming(asked), tenant, each).await
    }
}

/// Events of a tenant for which something holds, copies of one beside each other.
fn ordered(condition: &str) -> String {
    format!(
        "SELECT {COLUMNS} FROM event_rows FINAL WHERE tenant = {{tenant:String}} AND {condition} \
         ORDER BY tenant, source_id, time, event_id, input"
    )
}

/// Copies of one event are neighbours: gathers and merges them.
async fn hand_over(asked: Query, tenant: &str, each: &mut (dyn FnMut(Told) + Send)) -> Result<u64, StoreError> {
    let mut found = asked.fetch::<Copy>()?;
    let (mut copies, mut count): (Vec<Copy>, u64) = (Vec::new(), 0);
    loop {
        let next = within(QUERY_WAIT, found.next()).await?;
        let same = next.as_ref().zip(copies.first()).is_some_and(|(next, first)| next.is_of(first));
        if !same && let Some(told) = merge(std::mem::take(&mut copies), tenant)? {
            count += 1;
            each(told);
        }
        let Some(next) = next else { return Ok(count) };
        copies.push(next);
    }
}
