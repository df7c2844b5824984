//! A snapshot made of the recorded state of Keycloak (`keycloak-state.json`), in the very receipts that a live one writes.
//!
//! The recording holds the realm's id, users, the group tree and direct members: these areas are complete. All others are told as
//! not read, so the snapshot is not complete and claims nothing about them.

use anyhow::Context;
use collector::pull::Received;
use events::{
    person::DeploymentKey,
    receipt::{HEADER_VERSION, Input, Payload, ReceiptHeader, SourceKind},
    snapshot::{Area, AreaEnd, Begin, End, Entity, List, Outcome, Trigger, canonical, entity_mark, state_hash},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

/// Name of the realm in the recording.
const REALM: &str = "pair";

/// What was recorded.
#[derive(Deserialize)]
pub struct State {
    /// Seconds since the epoch.
    read_at: f64,
    /// The realm's id.
    realm: String,
    users: Vec<User>,
    groups: Vec<Group>,
    /// (user id, group id).
    members: Vec<(String, String)>,
}

#[derive(Deserialize)]
struct User {
    id: String,
    username: String,
    email: String,
    enabled: bool,
}

#[derive(Deserialize)]
struct Group {
    id: String,
    path: String,
    /// Empty at the top.
    parent: String,
}

impl State {
    /// When it was read, UTC milliseconds.
    pub fn at(&self) -> i64 {
        #[allow(clippy::cast_possible_truncation)] // seconds since the epoch: far below 2^53
        let at = (self.read_at * 1_000.0) as i64;
        at
    }

    /// The receipts of a snapshot that was taken at `at`, for a source of this tenant.
    pub fn receipts(
        &self,
        key: &DeploymentKey,
        (tenant, source_id): (&str, &str),
        at: i64,
    ) -> anyhow::Result<Vec<Received>> {
        let snapshot = Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{source_id} {at}").as_bytes()).to_string();
        let mut writer = Writer { key, tenant, source_id, snapshot, at, receipts: Vec::new(), areas: Vec::new() };
        writer.write(self)?;
        Ok(writer.receipts)
    }
}

struct Writer<'a> {
    key: &'a DeploymentKey,
    tenant: &'a str,
    source_id: &'a str,
    snapshot: String,
    at: i64,
    receipts: Vec<Received>,
    areas: Vec<AreaEnd>,
}

impl Writer<'_> {
    fn write(&mut self, state: &State) -> anyhow::Result<()> {
        let (snapshot, time, realms) = (self.snapshot.clone(), self.at, vec![REALM.to_owned()]);
        let begin = Begin { snapshot, time, trigger: Trigger::Recording, full: true, previous: None, realms };
        self.push((Payload::SnapshotBegin, "begin".to_owned()), &begin)?;
        let realm = json!({"id": state.realm, "realm": REALM});
        self.list((Area::Realm, ""), vec![(Area::Realm.as_str().to_owned(), realm)])?;
        let groups = state.groups.iter().map(|group| {
            let mut told = json!({"id": group.id, "path": group.path});
            if !group.parent.is_empty() {
                told["parentId"] = json!(group.parent);
            }
            (group.id.clone(), told)
        });
        self.list((Area::Groups, ""), groups.collect())?;
        let users = state.users.iter().map(|user| {
            let User { id, username, email, enabled } = user;
            (id.clone(), json!({"id": id, "username": username, "email": email, "enabled": enabled}))
        });
        self.list((Area::Users, ""), users.collect())?;
        for group in &state.groups {
            let members = state.members.iter().filter(|(_, of)| *of == group.id);
            let pair =
                |(user, group): &(String, String)| (format!("{user} {group}"), json!({"user": user, "group": group}));
            self.list((Area::Members, &group.id), members.map(pair).collect())?;
        }
        for area in Area::ALL
            .iter()
            .filter(|area| !area.as_str().starts_with("catalog_") && !area.as_str().starts_with("rbac_"))
        {
            if !self.areas.iter().any(|known| known.area == *area) {
                self.areas.push(self.area(*area, Outcome::Interrupted));
            }
        }
        let end = End { snapshot: self.snapshot.clone(), time: self.at, complete: false, areas: self.areas.clone() };
        self.push((Payload::SnapshotEnd, "end".to_owned()), &end)
    }

    fn area(&self, area: Area, outcome: Outcome) -> AreaEnd {
        let read_at = if outcome == Outcome::Complete { self.at } else { 0 };
        AreaEnd {
            area,
            realm: REALM.to_owned(),
            outcome,
            needs: String::new(),
            lists: 0,
            pages: 0,
            entities: 0,
            changed: 0,
            time_min: read_at,
            time_max: read_at,
        }
    }

    /// One list: its entities, then their marks.
    fn list(&mut self, (area, within): (Area, &str), states: Vec<(String, Value)>) -> anyhow::Result<()> {
        let mut entries = String::new();
        let count = states.len() as u64;
        for (id, state) in states {
            let state = canonical(&state);
            let entity = entity_mark(self.key, (self.tenant, self.source_id), (REALM, area, &id));
            let hash = state_hash(self.key, &state.to_string());
            entries.push_str(&entity);
            entries.push_str(&hash);
            let native = format!("{entity}:{hash}");
            let (snapshot, realm, names) = (self.snapshot.clone(), REALM.to_owned(), Value::Null);
            let told =
                Entity { snapshot, area, realm, entity, hash, time_min: self.at, time_max: self.at, state, names };
            self.push((Payload::SnapshotEntity, native), &told)?;
        }
        if !self.areas.iter().any(|known| known.area == area) {
            self.areas.push(self.area(area, Outcome::Complete));
        }
        for known in self.areas.iter_mut().filter(|known| known.area == area) {
            known.lists += 1;
            known.pages += 1;
            known.entities += count;
            known.changed += count;
        }
        let told = List {
            snapshot: self.snapshot.clone(),
            area,
            realm: REALM.to_owned(),
            within: within.to_owned(),
            page: 0,
            pages: 1,
            time_min: self.at,
            time_max: self.at,
            entries,
        };
        let native = format!("list:{REALM}:{}:{within}:0", area.as_str());
        self.push((Payload::SnapshotList, native), &told)
    }

    fn push(&mut self, (payload, native): (Payload, String), told: &impl Serialize) -> anyhow::Result<()> {
        let header = ReceiptHeader {
            v: HEADER_VERSION,
            tenant: self.tenant.to_owned(),
            source_id: self.source_id.to_owned(),
            source_kind: SourceKind::Keycloak,
            input: Input::Snapshot,
            payload,
            received_at: self.at,
            native_id: format!("snapshot:{}:{native}", self.snapshot),
            delivery_id: self.snapshot.clone(),
            delivery_keyed: false,
            delivery_index: 0,
            line: None,
        };
        let body = serde_json::to_vec(told).context("a recorded state that is no JSON")?;
        self.receipts.push(Received { header, body });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_recorded_is_told_as_not_read() {
        let text = include_str!("../../../../schemas/samples/pair/keycloak-state.json");
        let state: State = serde_json::from_str(text).unwrap();
        let receipts = state.receipts(&DeploymentKey::new([1; 32]), ("t", "kc"), state.at()).unwrap();
        let end: End = serde_json::from_slice(&receipts.last().unwrap().body).unwrap();
        let complete: Vec<&str> =
            end.areas.iter().filter(|area| area.outcome.is_whole()).map(|area| area.area.as_str()).collect();
        assert_eq!(complete, ["realm", "groups", "users", "members"]);
        assert!(!end.complete && end.areas.len() == 20);
        let members = end.areas.iter().find(|area| area.area == Area::Members).unwrap();
        assert_eq!((members.lists, members.entities), (state.groups.len() as u64, state.members.len() as u64));
    }
}
