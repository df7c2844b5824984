//! What receipts of snapshots say, derived as a reader of the log must: lists name what is there, entity receipts say what it
//! is, and only what an end calls complete is believed.
#![allow(dead_code, clippy::unwrap_used)] // each test uses a part; a test may panic

use events::{
    receipt::Payload,
    snapshot::{Area, ENTRY_DIGITS, End, Entity, ID_BYTES, List, Outcome},
};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// State by keyed id.
pub type States = BTreeMap<String, Value>;

/// One snapshot.
#[derive(Debug, Default)]
pub struct Derived {
    pub end: Option<End>,
    /// Entities listed, by area.
    pub states: BTreeMap<Area, States>,
    /// Entity receipts that this snapshot wrote.
    pub written: Vec<Entity>,
    pub lists: Vec<List>,
}

impl Derived {
    pub fn outcome(&self, realm: &str, area: Area) -> Outcome {
        let end = self.end.as_ref().expect("it ended");
        end.areas.iter().find(|end| (end.realm.as_str(), end.area) == (realm, area)).expect("told").outcome
    }

    /// A field of every entity of an area.
    pub fn field(&self, area: Area, field: &str) -> BTreeSet<String> {
        let states = self.states.get(&area).into_iter().flat_map(BTreeMap::values);
        states.map(|state| state[field].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Two fields of every entity of an area.
    pub fn pairs(&self, area: Area, (one, other): (&str, &str)) -> BTreeSet<(String, String)> {
        let text = |state: &Value, field: &str| state[field].as_str().unwrap_or_default().to_owned();
        let states = self.states.get(&area).into_iter().flat_map(BTreeMap::values);
        states.map(|state| (text(state, one), text(state, other))).collect()
    }

    /// Areas of what was written, each as often.
    pub fn written_areas(&self) -> Vec<Area> {
        let mut areas: Vec<_> = self.written.iter().map(|entity| entity.area).collect();
        areas.sort_unstable();
        areas
    }
}

/// Reads the receipts of a snapshot among all that the log holds.
pub fn derive<'a>(log: impl Iterator<Item = (Payload, &'a [u8])>, snapshot: &str) -> Derived {
    let mut known: BTreeMap<(String, String), Value> = BTreeMap::new();
    let mut derived = Derived::default();
    let mut entries: BTreeSet<(Area, String, String)> = BTreeSet::new();
    for (payload, body) in log {
        match payload {
            Payload::SnapshotEntity => {
                let entity: Entity = serde_json::from_slice(body).unwrap();
                known.insert((entity.entity.clone(), entity.hash.clone()), entity.state.clone());
                if entity.snapshot == snapshot {
                    derived.written.push(entity);
                }
            }
            Payload::SnapshotList => {
                let list: List = serde_json::from_slice(body).unwrap();
                if list.snapshot != snapshot {
                    continue;
                }
                for entry in list.entries.as_bytes().chunks(ENTRY_DIGITS) {
                    let (id, hash) = std::str::from_utf8(entry).unwrap().split_at(2 * ID_BYTES);
                    entries.insert((list.area, id.to_owned(), hash.to_owned()));
                }
                derived.lists.push(list);
            }
            Payload::SnapshotEnd => {
                let end: End = serde_json::from_slice(body).unwrap();
                if end.snapshot == snapshot {
                    derived.end = Some(end);
                }
            }
            _ => {}
        }
    }
    for (area, id, hash) in entries {
        let state = known.get(&(id.clone(), hash)).expect("listed and never written").clone();
        derived.states.entry(area).or_default().insert(id, state);
    }
    derived
}

/// Ids that an area of the earlier snapshot had and the later, complete one has not.
pub fn absent(before: &Derived, now: &Derived, area: Area) -> Vec<Value> {
    let none = States::new();
    let (before, now) = (before.states.get(&area).unwrap_or(&none), now.states.get(&area).unwrap_or(&none));
    before.iter().filter(|(id, _)| !now.contains_key(*id)).map(|(_, state)| state.clone()).collect()
}
