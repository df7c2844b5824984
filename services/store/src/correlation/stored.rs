//! Which receipts are stored, exactly, and where their events lie in time: what a start from a checkpoint has to read.

use super::{
    covered::{Covered, Ranges},
    past::Window,
};
use crate::{
    Store, StoreError,
    query::{rows, unknown},
};
use events::ids::StreamId;

/// Positions that are counted together. Where none is missing, as is the rule, a page is told by three numbers.
const PAGE: u64 = 65_536;

impl Store {
    /// The positions of receipts that are stored, but for those from the beginning of a stream on that `known` names without a
    /// hole.
    pub async fn stored_positions(&self, tenant: &str, known: &Covered) -> Result<Covered, StoreError> {
        let sql = "SELECT lower(hex(stream)), min(seq), max(seq) + 1 FROM receipt_rows WHERE tenant = {tenant:String} \
            GROUP BY stream";
        let streams = rows::<(String, u64, u64)>(self.ask(sql).param("tenant", tenant)).await?;
        let mut stored = Covered::default();
        for (stream, first, end) in streams {
            let stream: StreamId = stream.parse().map_err(|_| unknown("stream"))?;
            let floor = known.of(stream).map_or(first, |ranges| ranges.reach(first));
            if floor < end {
                self.stored_from((tenant, stream), floor, &mut stored).await?;
            }
        }
        Ok(stored)
    }

    /// The positions in a window of receipts that tell of what happened before `floor`.
    pub async fn positions_before(&self, tenant: &str, window: &Window, floor: i64) -> Result<Covered, StoreError> {
        let sql = "SELECT DISTINCT seq FROM event_rows WHERE tenant = {tenant:String} AND stream = unhex({stream:String}) \
            AND time >= fromUnixTimestamp64Milli({from:Int64}, 'UTC') AND time <= fromUnixTimestamp64Milli({to:Int64}, 'UTC') \
            AND seq >= {first:UInt64} AND seq < {end:UInt64} ORDER BY seq";
        let asked = self.ask(sql).param("tenant", tenant).param("stream", window.stream.to_string());
        let asked = asked.param("from", window.earliest).param("to", window.latest.min(floor.saturating_sub(1)));
        let mut found = Covered::default();
        for seq in rows::<u64>(asked.param("first", window.first).param("end", window.end)).await? {
            found.add(window.stream, (seq, seq + 1));
        }
        Ok(found)
    }

    async fn stored_from(
        &self,
        (tenant, stream): (&str, StreamId),
        floor: u64,
        stored: &mut Covered,
    ) -> Result<(), StoreError> {
        let here = "FROM receipt_rows WHERE tenant = {tenant:String} AND stream = unhex({stream:String})";
        let sql = format!(
            "SELECT min(seq), max(seq) + 1, groupBitmap(seq) {here} AND seq >= {{floor:UInt64}} \
             GROUP BY intDiv(seq, {PAGE}) ORDER BY 1"
        );
        let asked = self.ask(&sql).param("tenant", tenant).param("stream", stream.to_string()).param("floor", floor);
        for (first, end, count) in rows::<(u64, u64, u64)>(asked).await? {
            if end - first == count {
                stored.add(stream, (first, end));
                continue;
            }
            let sql =
                format!("SELECT DISTINCT seq {here} AND seq >= {{first:UInt64}} AND seq < {{end:UInt64}} ORDER BY seq");
            let asked = self.ask(&sql).param("tenant", tenant).param("stream", stream.to_string());
            for seq in rows::<u64>(asked.param("first", first).param("end", end)).await? {
                stored.add(stream, (seq, seq + 1));
            }
        }
        Ok(())
    }

    /// Those of `covered` at which more than one receipt stands: of other content each, because the same one again replaces itself.
    pub async fn twice_taken(&self, tenant: &str, covered: &Covered) -> Result<Covered, StoreError> {
        let sql = "SELECT seq FROM receipt_rows WHERE tenant = {tenant:String} AND stream = unhex({stream:String}) \
            AND seq >= {first:UInt64} AND seq < {end:UInt64} GROUP BY seq HAVING uniqExact(commitment) > 1 ORDER BY seq";
        let mut twice = Covered::default();
        for (stream, (first, end)) in covered.iter() {
            let asked = self.ask(sql).param("tenant", tenant).param("stream", stream.to_string());
            for seq in rows::<u64>(asked.param("first", first).param("end", end)).await? {
                twice.add(stream, (seq, seq + 1));
            }
        }
        Ok(twice)
    }

    /// Positions with the times of their events, in windows of at most `step` positions; what has no event is left out.
    pub async fn windows_of(&self, tenant: &str, covered: &Covered, step: u64) -> Result<Vec<Window>, StoreError> {
        let mut windows = Vec::new();
        for (stream, ranges) in covered.streams() {
            for (first, end) in spans(ranges, step) {
                let sql = "SELECT toUnixTimestamp64Milli(min(time)), toUnixTimestamp64Milli(max(time)) FROM event_rows \
                    WHERE tenant = {tenant:String} AND stream = unhex({stream:String}) AND seq >= {first:UInt64} \
                    AND seq < {end:UInt64} HAVING count() > 0";
                let asked = self.ask(sql).param("tenant", tenant).param("stream", stream.to_string());
                let times = rows::<(i64, i64)>(asked.param("first", first).param("end", end)).await?;
                windows.extend(times.into_iter().map(|(earliest, latest)| Window {
                    stream,
                    first,
                    end,
                    earliest,
                    latest,
                }));
            }
        }
        Ok(windows)
    }
}

/// Ranges as few spans that hold them: neighbours become one while that is no longer than `step`, long ones are cut.
fn spans(ranges: &Ranges, step: u64) -> Vec<(u64, u64)> {
    let mut spans: Vec<(u64, u64)> = Vec::new();
    for (mut first, end) in ranges.iter() {
        if let Some(last) = spans.last_mut().filter(|last| end - last.0 <= step) {
            last.1 = end;
            continue;
        }
        while first < end {
            let stop = end.min(first.saturating_add(step));
            spans.push((first, stop));
            first = stop;
        }
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_hold_all_ranges_and_are_few() {
        let mut ranges = Ranges::default();
        for range in [(0, 1), (3, 5), (9, 10), (100, 125), (130, 131)] {
            ranges.add(range);
        }
        assert_eq!(spans(&ranges, 10), [(0, 10), (100, 110), (110, 120), (120, 125), (130, 131)]);
        assert_eq!(spans(&ranges, 1_000), [(0, 131)]);
    }
}
