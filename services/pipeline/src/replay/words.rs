//! What the receipts of a page said before, against what they say now: which rows go, and the counts.

use super::{page::Judging, summary::EventCounts};
use events::{
    event::Event,
    ids::{Position, StreamId},
};
use std::collections::{HashMap, HashSet};
use store::{DeletedEvent, EventKey, Standing};

/// How an event of the page compares with what stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    Same,
    Other,
    /// Another receipt's word stands at its key.
    Repeat,
    Absent,
}

/// The events of a page beside the rows that stand.
pub(super) struct Words<'a> {
    judging: &'a Judging,
    version: u32,
    judged: (StreamId, HashSet<u64>),
    by_key: HashMap<EventKey, Vec<usize>>,
    words: Vec<Word>,
    deleted: Vec<DeletedEvent>,
}

impl<'a> Words<'a> {
    /// `judged`: positions of which this normaliser has judged every receipt.
    pub fn new(judging: &'a Judging, judged: (StreamId, HashSet<u64>), version: u32) -> Self {
        let mut by_key = HashMap::<_, Vec<usize>>::with_capacity(judging.events.len());
        for (index, event) in judging.events.iter().enumerate() {
            by_key.entry(EventKey::of(event)).or_default().push(index);
        }
        let words = vec![Word::Absent; judging.events.len()];
        Self { judging, version, judged, by_key, words, deleted: Vec::new() }
    }

    /// Takes in one row that stands.
    ///
    /// A row goes only if the receipt that it stands by was judged: an event that stands by a receipt out of the range, or
    /// by one whose body cannot be read, stays.
    pub fn compare(&mut self, row: &Standing<'_>) {
        if let Some(events) = self.by_key.get(&row.key) {
            for index in events {
                let event = &self.judging.events[*index];
                self.words[*index] = match (event.receipt == row.receipt, row.says(event)) {
                    (false, _) => Word::Repeat,
                    (true, true) => Word::Same,
                    (true, false) => Word::Other,
                };
            }
        } else if row.is_older_than(self.version)
            && row.receipt.stream == self.judged.0
            && self.judged.1.contains(&row.receipt.seq)
        {
            self.deleted.push(DeletedEvent { key: row.key.clone(), receipt: row.receipt });
        }
    }

    /// The counts, and the rows that go.
    pub fn count(self) -> (EventCounts, Vec<DeletedEvent>) {
        // An event whose row goes and that its receipt still says stands at another time now.
        let gone: HashSet<_> = self.deleted.iter().map(|one| (one.receipt, one.key.event_id, one.key.input)).collect();
        let id = |event: &Event| (event.receipt, event.event_id, event.input);
        let moved: HashSet<_> = self.judging.events.iter().map(id).filter(|id| gone.contains(id)).collect();
        // A receipt that said the same event before, and has no row of its own for it, repeats another one.
        let said: HashSet<_> =
            self.judging.verdicts.iter().filter_map(|one| Some((one.header.position, one.header.event_id?))).collect();
        let foreign = |(event, word): &(&Event, &Word)| match word {
            Word::Repeat => true,
            Word::Absent => said.contains(&(event.receipt, event.event_id)) && !moved.contains(&id(event)),
            Word::Same | Word::Other => false,
        };
        let words = || self.judging.events.iter().zip(&self.words);
        let repeats: HashSet<Position> = words().filter(foreign).map(|(event, _)| event.receipt).collect();
        let mut counts = EventCounts::default();
        for (event, word) in words() {
            *match word {
                Word::Same => &mut counts.unchanged,
                Word::Other => &mut counts.changed,
                Word::Repeat => &mut counts.repeated,
                Word::Absent if moved.contains(&id(event)) => &mut counts.changed,
                Word::Absent if repeats.contains(&event.receipt) => &mut counts.repeated,
                Word::Absent => &mut counts.new,
            } += 1;
        }
        let stays = |one: &&DeletedEvent| moved.contains(&(one.receipt, one.key.event_id, one.key.input));
        counts.deleted = (self.deleted.len() - self.deleted.iter().filter(stays).count()) as u64;
        (counts, self.deleted)
    }
}
