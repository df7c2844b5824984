//! Cells: what is counted together. All copies of one event fall into one cell, whatever order they come in, so that its
//! first receipt is found among the receipts of that cell alone.

use events::{event::Event, normalise::told_by_delivery_alone, receipt::ReceiptHeader};

/// Milliseconds of a cell of time. At 5,000 events a second a cell holds 300,000 receipts, which are counted in a
/// quarter of a second.
pub(crate) const CELL_MS: i64 = 60_000;
/// Positions of one cell of a stream, as a power of two; the views divide by the same.
const STREAM_CELL_BITS: u32 = 16;
/// Cells of deliveries lie above all minutes.
pub(crate) const DELIVERIES: u32 = 1 << 31;
/// How many cells the deliveries of one source share.
const DELIVERY_CELLS: u64 = 1 << 24;

/// Stands for a stream in the cells of decisions: hours of their time. No stream is called so, their ids are random.
pub(crate) const DECISIONS: [u8; 16] = *b"decisions by hr.";
/// The same of events, by the hour of theirs.
pub(crate) const EVENTS: [u8; 16] = *b"events by hour..";
/// Milliseconds of such a cell.
pub(crate) const HOUR_MS: i64 = 3_600_000;

/// Where the receipt of an event is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    pub(crate) minute: u32,
    pub(crate) delivery_cell: u32,
}

impl Counted {
    /// With the minute of the event, or with its delivery where only the sender's key tells a repeat.
    pub fn of(header: &ReceiptHeader, event: &Event) -> Self {
        if told_by_delivery_alone(header, event) {
            return Self { delivery_cell: delivery_cell(&header.delivery_id), ..Self::at(header.received_at) };
        }
        Self::at(event.time)
    }

    /// With a time, UTC milliseconds.
    pub(crate) fn at(time: i64) -> Self {
        let minute = u32::try_from(time.div_euclid(CELL_MS).max(0)).unwrap_or(DELIVERIES);
        Self { minute: minute.min(DELIVERIES - 1), delivery_cell: 0 }
    }
}

/// Cell of a position.
pub(crate) fn stream_cell(seq: u64) -> u32 {
    u32::try_from(seq >> STREAM_CELL_BITS).unwrap_or(u32::MAX)
}

/// FNV-1a, folded. Deliveries that fall together are counted together, which changes no count.
fn delivery_cell(delivery_id: &str) -> u32 {
    let hash = delivery_id
        .bytes()
        .fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3));
    let folded = (hash ^ hash >> 32) % DELIVERY_CELLS;
    DELIVERIES | u32::try_from(folded).unwrap_or(0)
}

/// A cell of a source (`stream` zeros), of a stream (`source_id` empty), of decisions or of events by the hour.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Cell {
    pub(crate) tenant: String,
    pub(crate) stream: [u8; 16],
    pub(crate) source_id: String,
    pub(crate) cell: u32,
}

impl Cell {
    pub(crate) fn of_source(tenant: &str, source_id: &str, cell: u32) -> Self {
        Self { tenant: tenant.to_owned(), stream: [0; 16], source_id: source_id.to_owned(), cell }
    }

    pub(crate) fn of_stream(tenant: &str, stream: [u8; 16], cell: u32) -> Self {
        Self { tenant: tenant.to_owned(), stream, source_id: String::new(), cell }
    }

    /// The hour of a decision, UTC milliseconds; none before 1970, which nobody keeps counts of.
    pub(crate) fn of_decision(tenant: &str, at: i64) -> Option<Self> {
        let hour = u32::try_from(at.div_euclid(HOUR_MS)).ok()?;
        Some(Self::of_stream(tenant, DECISIONS, hour))
    }

    /// The hour of an event, in the same way.
    pub(crate) fn of_event(tenant: &str, at: i64) -> Option<Self> {
        let hour = u32::try_from(at.div_euclid(HOUR_MS)).ok()?;
        Some(Self::of_stream(tenant, EVENTS, hour))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_fall_into_minutes_below_all_deliveries() {
        assert_eq!(Counted::at(-5).minute, 0);
        assert_eq!(Counted::at(59_999).minute, 0);
        assert_eq!(Counted::at(60_000).minute, 1);
        assert!(Counted::at(i64::MAX).minute < DELIVERIES);
        assert!(delivery_cell("a") >= DELIVERIES && delivery_cell("a") != delivery_cell("b"));
        assert_eq!((stream_cell(65_535), stream_cell(65_536)), (0, 1));
        let hour = |at| Cell::of_decision("t", at).map(|cell| cell.cell);
        assert_eq!((hour(-1), hour(HOUR_MS - 1), hour(HOUR_MS)), (None, Some(0), Some(1)));
    }
}
