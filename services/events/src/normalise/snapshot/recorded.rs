//! A recorded state of the catalog, `{"read_at", "entities": [...]}`: one receipt that is a whole snapshot of its three areas.
//!
//! It has no reader that knows the state before, so every entity is written, and the lists follow from the entities.

use super::{begun, ended, listed, stated};
use crate::{
    event::Event,
    normalise::{
        Dead, Normalised, json,
        scope::{NativeKey, Scope},
    },
    snapshot::{
        Area, AreaEnd, Begin, End, Entity, LIST_ENTRIES, List, Outcome, Trigger, canonical, entity_mark, state_hash,
    },
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The areas that a recording holds.
const AREAS: [Area; 3] = [Area::CatalogUsers, Area::CatalogGroups, Area::CatalogMembers];

#[derive(Deserialize)]
struct Recorded {
    /// Seconds since the epoch.
    read_at: f64,
    entities: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    kind: String,
    #[serde(rename = "ref")]
    reference: String,
    #[serde(default)]
    uid: String,
    #[serde(default)]
    keycloak_id: Option<String>,
    #[serde(default)]
    keycloak_realm: Option<String>,
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    relations: Vec<String>,
}

impl Item {
    fn related(&self, name: &str) -> impl Iterator<Item = &str> {
        self.relations
            .iter()
            .filter_map(move |one| one.split_once(' ').filter(|(kind, _)| *kind == name))
            .map(|(_, to)| to)
    }

    /// The entity itself and its memberships, as a live reader states them.
    fn states(&self) -> Vec<(Area, String, Value)> {
        let kind = self.kind.to_lowercase();
        let reference = format!("{kind}:{}", self.reference).to_lowercase();
        let mut said = json!({"ref": reference, "uid": self.uid});
        let mut put = |name: &str, value: Option<&str>| {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                said[name] = json!(value);
            }
        };
        put("keycloakId", self.keycloak_id.as_deref());
        put("keycloakRealm", self.keycloak_realm.as_deref());
        match kind.as_str() {
            "user" => {
                put("email", self.email.as_deref());
                let members = self.related("memberOf").map(|group| {
                    let group = group.to_lowercase();
                    (Area::CatalogMembers, format!("{reference} {group}"), json!({"user": reference, "group": group}))
                });
                let members: Vec<_> = members.collect();
                std::iter::once((Area::CatalogUsers, reference.clone(), said)).chain(members).collect()
            }
            "group" => {
                put("parent", self.related("childOf").next());
                vec![(Area::CatalogGroups, reference, said)]
            }
            _ => Vec::new(),
        }
    }
}

/// A receipt of class `backstage_catalog_snapshot`.
pub(in crate::normalise) fn recorded(scope: Scope<'_>, bytes: &[u8]) -> Normalised {
    // What a recording says is its identity: the same state of the same time, from whatever file, is the same snapshot.
    let text = String::from_utf8_lossy(bytes);
    let snapshot = scope.key().mark("snapshot_recorded", &[&scope.header().source_id, &text]);
    match json::body(bytes).and_then(|recorded: Recorded| events(scope, &recorded, &snapshot)) {
        Ok(events) => scope.seal(events, &NativeKey::from(format!("snapshot:{snapshot}"))),
        Err(dead) => Normalised::Dead(dead),
    }
}

fn events(scope: Scope<'_>, recorded: &Recorded, snapshot: &str) -> Result<Vec<Event>, Dead> {
    let header = scope.header();
    #[allow(clippy::cast_possible_truncation)] // seconds since the epoch: far below 2^53; beyond it saturates
    let time = (recorded.read_at * 1000.0) as i64;
    let begin = Begin {
        snapshot: snapshot.to_owned(),
        time,
        trigger: Trigger::Recording,
        full: true,
        previous: None,
        realms: Vec::new(),
    };
    let mut events = vec![begun(scope, &begin)];
    let mut entries: BTreeMap<Area, Vec<String>> = AREAS.map(|area| (area, Vec::new())).into();
    for (area, id, state) in recorded.entities.iter().flat_map(Item::states) {
        let state = canonical(&state);
        let entity = entity_mark(scope.key(), (&header.tenant, &header.source_id), ("", area, &id));
        let hash = state_hash(scope.key(), &state.to_string());
        entries.entry(area).or_default().push(format!("{entity}{hash}"));
        let told = Entity {
            snapshot: snapshot.to_owned(),
            area,
            realm: String::new(),
            entity,
            hash,
            time_min: time,
            time_max: time,
            state,
            names: Value::Null,
        };
        events.push(stated(scope, &told)?);
    }
    let mut ends = Vec::new();
    for (area, entries) in entries {
        let chunks: Vec<_> =
            if entries.is_empty() { vec![[].as_slice()] } else { entries.chunks(LIST_ENTRIES).collect() };
        let pages = u32::try_from(chunks.len()).unwrap_or(u32::MAX);
        for (page, chunk) in (0..).zip(&chunks) {
            let told = List {
                snapshot: snapshot.to_owned(),
                area,
                realm: String::new(),
                within: String::new(),
                page,
                pages,
                time_min: time,
                time_max: time,
                entries: chunk.concat(),
            };
            events.push(listed(scope, &told));
        }
        let count = entries.len() as u64;
        ends.push(AreaEnd {
            area,
            realm: String::new(),
            outcome: Outcome::Complete,
            needs: String::new(),
            lists: 1,
            pages: u64::from(pages),
            entities: count,
            changed: count,
            time_min: time,
            time_max: time,
        });
    }
    events.extend(ended(scope, &End { snapshot: snapshot.to_owned(), time, complete: true, areas: ends }));
    Ok(events)
}
