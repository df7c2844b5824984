//! What a processor tells the owner of the correlation: which receipts ClickHouse has acknowledged, and between which times their
//! events lie. References only: the owner reads the events back. docs/kafka.md describes it; change both together and raise
//! [`FORMAT`].

use events::ids::StreamId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use store::{
    Block,
    correlation::{Ranges, storable},
};

/// Version of the format.
const FORMAT: u32 = 1;

/// Receipts of several streams.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcement {
    v: u32,
    streams: Vec<Part>,
}

/// Receipts of one stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Part {
    stream: StreamId,
    /// First position and how many from there on.
    runs: Vec<(u64, u64)>,
    /// Earliest and latest time of their events, UTC milliseconds; none: they say nothing.
    times: Option<(i64, i64)>,
}

/// An announcement while its block comes.
#[derive(Default)]
pub(crate) struct Announcing(BTreeMap<StreamId, (Ranges, Option<(i64, i64)>)>);

impl Announcing {
    pub(crate) fn add(&mut self, block: &Block) {
        for stored in &block.receipts {
            let position = stored.receipt.position;
            self.0.entry(position.stream).or_default().0.add((position.seq, position.seq.saturating_add(1)));
        }
        for event in &block.events {
            let (_, times) = self.0.entry(event.receipt.stream).or_default();
            let time = storable(event.time);
            let (earliest, latest) = times.unwrap_or((time, time));
            *times = Some((earliest.min(time), latest.max(time)));
        }
    }

    pub(crate) fn finish(self) -> Announcement {
        let part = |(stream, (ranges, times)): (StreamId, (Ranges, Option<(i64, i64)>))| Part {
            stream,
            runs: ranges.iter().map(|(first, end)| (first, end - first)).collect(),
            times,
        };
        Announcement { v: FORMAT, streams: self.0.into_iter().map(part).collect() }
    }
}

/// An announcement as the owner keeps it.
pub(super) struct Stored {
    pub(super) stream: StreamId,
    pub(super) ranges: Ranges,
    pub(super) times: Option<(i64, i64)>,
}

impl Announcement {
    /// Of a block that ClickHouse has acknowledged.
    pub fn of(block: &Block) -> Self {
        let mut announcing = Announcing::default();
        announcing.add(block);
        announcing.finish()
    }

    /// As it is put on a bulletin.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Numbers, text and lists always can be written.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads it back; none if it is none of ours, or of a later program.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok().filter(|told: &Self| told.v == FORMAT)
    }

    pub(super) fn stored(&self) -> impl Iterator<Item = Stored> + '_ {
        self.streams.iter().map(|part| {
            let mut ranges = Ranges::default();
            part.runs.iter().for_each(|(first, count)| ranges.add((*first, first.saturating_add(*count))));
            Stored { stream: part.stream, ranges, times: part.times }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_as_documented_and_read_back_and_nothing_else_is() {
        let text = r#"{"v":1,"streams":[{"stream":"STREAM","runs":[[3,2],[9,1]],"times":[5,7]}]}"#;
        let text = text.replace("STREAM", &"01".repeat(16));
        let told = Announcement::from_bytes(text.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(told.to_bytes()).unwrap(), text);
        let stored: Vec<Stored> = told.stored().collect();
        assert_eq!(stored[0].ranges.iter().collect::<Vec<_>>(), [(3, 5), (9, 10)]);
        assert_eq!((stored[0].stream, stored[0].times), (StreamId([1; 16]), Some((5, 7))));
        for other in ["", "{}", &text.replace("\"v\":1", "\"v\":2"), &text.replace("[3,2]", "[3]")] {
            assert_eq!(Announcement::from_bytes(other.as_bytes()), None, "{other}");
        }
    }
}
