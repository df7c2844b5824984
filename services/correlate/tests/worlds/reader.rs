//! A reader of snapshots in small: writes the receipts that the collector writes (an entity only when it is new or changed, every
//! list with every mark, the end with its counts), read by the real normaliser.

use crate::lines::{self, Line};
use events::{
    receipt::Payload,
    snapshot::{Area, AreaEnd, End, Entity, List, Outcome, canonical, entity_mark, state_hash},
};
use serde_json::Value;
use std::collections::BTreeMap;

/// Marks on one page: few, so that lists have several.
const PAGE: usize = 3;

/// An entity: its id, its state, names beside it.
pub type Item = (String, Value, Value);

#[derive(Default)]
pub struct Reader {
    source: &'static str,
    realm: &'static str,
    snapshot: String,
    taken: usize,
    known: BTreeMap<(Area, String), String>,
    areas: BTreeMap<Area, AreaEnd>,
}

impl Reader {
    pub fn new(source: &'static str, realm: &'static str) -> Self {
        Self { source, realm, ..Self::default() }
    }

    pub fn begin(&mut self) {
        self.taken += 1;
        self.snapshot = format!("{} {}", self.source, self.taken);
        self.areas.clear();
    }

    /// Reads one list from `when.0` to `when.1`.
    pub fn list(&mut self, when: (i64, i64), list: (Area, &str), items: Vec<Item>) -> Vec<Line> {
        let (area, within) = list;
        let mut told = Vec::new();
        let mut entries = Vec::new();
        for (id, state, names) in items {
            let state = canonical(&state);
            let entity = entity_mark(&lines::key(), ("default", self.source), (self.realm, area, &id));
            let hash = state_hash(&lines::key(), &state.to_string());
            entries.push(format!("{entity}{hash}"));
            if self.known.insert((area, id), hash.clone()).as_ref() == Some(&hash) {
                continue;
            }
            let (snapshot, realm) = (self.snapshot.clone(), self.realm.to_owned());
            let body = Entity { snapshot, area, realm, entity, hash, time_min: when.0, time_max: when.1, state, names };
            let native = format!("{}:{}", body.entity, body.hash);
            told.push(self.receipt(when.1, (Payload::SnapshotEntity, &native), &body));
        }
        let pages: Vec<&[String]> = if entries.is_empty() { vec![&[]] } else { entries.chunks(PAGE).collect() };
        let ended = self.area(area);
        let first = ended.lists == 0;
        ended.lists += 1;
        ended.pages += pages.len() as u64;
        ended.entities += entries.len() as u64;
        ended.time_min = if first { when.0 } else { ended.time_min.min(when.0) };
        ended.time_max = ended.time_max.max(when.1);
        for (page, entries) in (0..).zip(&pages) {
            let body = List {
                snapshot: self.snapshot.clone(),
                area,
                realm: self.realm.to_owned(),
                within: within.to_owned(),
                page,
                pages: pages.len() as u32,
                time_min: when.0,
                time_max: when.1,
                entries: entries.concat(),
            };
            let native = format!("list:{}:{within}:{page}", area.as_str());
            told.push(self.receipt(when.1, (Payload::SnapshotList, &native), &body));
        }
        told
    }

    /// An area that is read, and of which there may be no list.
    pub fn area(&mut self, area: Area) -> &mut AreaEnd {
        let realm = self.realm.to_owned();
        self.areas.entry(area).or_insert_with(|| AreaEnd {
            area,
            realm,
            outcome: Outcome::Complete,
            needs: String::new(),
            lists: 0,
            pages: 0,
            entities: 0,
            changed: 0,
            time_min: 0,
            time_max: 0,
        })
    }

    pub fn end(&mut self, at: i64) -> Line {
        let areas = self.areas.values().cloned().collect();
        let body = End { snapshot: self.snapshot.clone(), time: at, complete: true, areas };
        self.receipt(at, (Payload::SnapshotEnd, "end"), &body)
    }

    fn receipt(&self, at: i64, what: (Payload, &str), body: &impl serde::Serialize) -> Line {
        let (payload, native) = what;
        let native = format!("snapshot:{}:{native}", self.snapshot);
        lines::receipt(at, (self.source, payload, &native), &serde_json::to_value(body).unwrap())
    }
}
