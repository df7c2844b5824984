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

/// Rows that a day-wise read asks for at once, at least.
const ROWS_PER_QUESTION: u64 = 500_000;
const DAY: i64 = 86_400_000;

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

impl Store {
    /// Hands over every event of a tenant, merged from its inputs, day by day; how many there were.
    pub async fn each_event(&self, tenant: &str, each: &mut (dyn FnMut(Told) + Send)) -> Result<u64, StoreError> {
        let sql = "SELECT toInt64(intDiv(toUnixTimestamp64Milli(time), 86400000)) AS day, count() FROM event_rows \
            WHERE tenant = {tenant:String} GROUP BY day ORDER BY day";
        let days = rows::<(i64, u64)>(self.ask(sql).param("tenant", tenant)).await?;
        let mut count = 0;
        let mut next = days.into_iter().peekable();
        while let Some((first, mut expected)) = next.next() {
            let mut last = first;
            while let Some((day, more)) = next.next_if(|_| expected < ROWS_PER_QUESTION) {
                (last, expected) = (day, expected + more);
            }
            let sql = format!(
                "SELECT {COLUMNS} FROM event_rows FINAL WHERE tenant = {{tenant:String}} \
                 AND time >= fromUnixTimestamp64Milli({{from:Int64}}, 'UTC') \
                 AND time < fromUnixTimestamp64Milli({{to:Int64}}, 'UTC') ORDER BY tenant, source_id, time, event_id, input"
            );
            // 1969 and before: a day is counted towards zero, so the first one reaches a day further down.
            let from = if first <= 0 { (first - 1) * DAY } else { first * DAY };
            let asked = self.ask(&sql).param("tenant", tenant).param("from", from).param("to", (last + 1) * DAY);
            let asked = asked.with_setting("optimize_read_in_order", "1");
            count += hand_over(streaming(asked), tenant, each).await?;
        }
        Ok(count)
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
