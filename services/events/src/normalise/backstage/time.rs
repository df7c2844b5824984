//! When a line happened: its own time, else when it was read, else when we received it, each with how far it can be off.

use super::Line;
use crate::{
    event::Event,
    receipt::{LinePlace, ReceiptHeader, TimeBasis},
};
use jiff::Timestamp;

/// A container runtime stamps a line when it reads it: 39 ms at most on an idle machine; under load the pipe can lag.
const SHIPPER_LAG_MS: i64 = 1_000;
/// The access line that follows a decision is at most 39 ms away; rounded up.
const NEIGHBOUR_MS: i64 = 50;
/// A shipper that names no time holds lines back through an outage; a day is what their buffers are commonly made for.
const RECEIPT_MS: i64 = 24 * 3_600_000;
/// A backlog is at most as old as logs and bodies are kept.
const BACKLOG_MS: i64 = 30 * 24 * 3_600_000;
/// Times without a fraction are cut to the second.
const SECOND_MS: i64 = 999;
/// Nanoseconds in a millisecond.
const NS_PER_MS: i64 = 1_000_000;

/// Sets the time of `event`, its bounds and where it was read.
pub(super) fn set(event: &mut Event, line: &Line<'_>, header: &ReceiptHeader) {
    let own = [line.timestamp, line.date].into_iter().find_map(|raw| own_time(&raw.text()));
    let (time, before, after, basis) = match (own, &header.line) {
        (Some((time, after)), _) => (time, 0, after, TimeBasis::Line),
        (None, Some(place)) => from_place(place, header.received_at),
        (None, None) => (header.received_at, RECEIPT_MS, 0, TimeBasis::Receipt),
    };
    event.time = time;
    event.time_min = time.saturating_sub(before);
    event.time_max = time.saturating_add(after);
    event.time_basis = basis;
}

/// A time with an offset. One without says nothing here: the splitter knows the source's zone and puts it into the header.
fn own_time(text: &str) -> Option<(i64, i64)> {
    let time: Timestamp = text.parse().ok()?;
    Some((time.as_millisecond(), if text.contains('.') { 0 } else { SECOND_MS }))
}

/// (time, how much earlier, how much later, basis).
fn from_place(place: &LinePlace, received_at: i64) -> (i64, i64, i64, TimeBasis) {
    let Some(time) = place.time_ns.map(|ns| ns.div_euclid(NS_PER_MS)) else {
        let before = if place.backlog { BACKLOG_MS } else { RECEIPT_MS };
        return (received_at, before, 0, TimeBasis::Receipt);
    };
    match place.basis {
        // The splitter has read it, perhaps from a text without fraction.
        TimeBasis::Event | TimeBasis::Line => (time, 0, if time % 1_000 == 0 { SECOND_MS } else { 0 }, place.basis),
        TimeBasis::NeighbourLine => (time, NEIGHBOUR_MS, NEIGHBOUR_MS, place.basis),
        // The time of reading a backlog is no time of the event: only an upper bound.
        TimeBasis::Shipper if place.backlog => (time, BACKLOG_MS, 0, TimeBasis::Receipt),
        TimeBasis::Shipper => (time, SHIPPER_LAG_MS, 0, place.basis),
        TimeBasis::Receipt => (time, if place.backlog { BACKLOG_MS } else { RECEIPT_MS }, 0, place.basis),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_times_need_an_offset() {
        assert_eq!(own_time("2026-11-23T18:41:57.295Z"), Some((1_795_459_317_295, 0)));
        assert_eq!(own_time("2026-11-23T18:41:57Z"), Some((1_795_459_317_000, SECOND_MS)));
        assert_eq!(own_time("2026-11-23 18:41:57"), None);
        assert_eq!(own_time(""), None);
    }

    #[test]
    fn a_backlog_is_only_bounded_above() {
        let mut place = LinePlace {
            instance: "pod".into(),
            number: 0,
            time_ns: Some(5_000_000_000),
            basis: TimeBasis::Shipper,
            mark: String::new(),
            backlog: false,
        };
        assert_eq!(from_place(&place, 9_000), (5_000, SHIPPER_LAG_MS, 0, TimeBasis::Shipper));
        place.backlog = true;
        assert_eq!(from_place(&place, 9_000), (5_000, BACKLOG_MS, 0, TimeBasis::Receipt));
        place.time_ns = None;
        assert_eq!(from_place(&place, 9_000), (9_000, BACKLOG_MS, 0, TimeBasis::Receipt));
    }
}
