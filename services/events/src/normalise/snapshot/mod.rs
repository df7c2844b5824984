//! Snapshots of state: each receipt becomes events of data class `snapshot`, so that SQL and the correlator read state from
//! where they read everything else.
//!
//! An entity is one event of kind `state_<area>` with the columns that events about it have. Beginning, lists and end are
//! events too: what an end calls complete and no list names was absent. Nothing here compares snapshots.

mod backstage;
mod keycloak;
mod recorded;

pub(super) use recorded::recorded;

use super::{
    Dead, Normalised, json,
    scope::{NativeKey, Scope, note},
};
use crate::{
    event::{DataClass, Event},
    receipt::TimeBasis,
    snapshot::{Area, AreaEnd, Begin, End, Entity, List},
};
use serde_json::Value;

/// Reads a body of a snapshot's; what is no such body is dead.
fn body<'a, T: serde::Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Dead> {
    json::body(bytes)
}

fn settle(scope: Scope<'_>, events: Result<Vec<Event>, Dead>) -> Normalised {
    // The reader's own key is in the header: equal for repeats after a kill.
    let native = &scope.header().native_id;
    let key = if native.is_empty() { scope.fallback_key() } else { NativeKey::from(native.clone()) };
    events.map_or_else(Normalised::Dead, |events| scope.seal(events, &key))
}

/// A `snapshot_begin` receipt.
pub(super) fn begin(scope: Scope<'_>, bytes: &[u8]) -> Normalised {
    settle(scope, body(bytes).map(|told: Begin| vec![begun(scope, &told)]))
}

/// A `snapshot_entity` receipt.
pub(super) fn entity(scope: Scope<'_>, bytes: &[u8]) -> Normalised {
    settle(scope, body(bytes).and_then(|told: Entity| Ok(vec![stated(scope, &told)?])))
}

/// A `snapshot_list` receipt.
pub(super) fn list(scope: Scope<'_>, bytes: &[u8]) -> Normalised {
    settle(scope, body(bytes).map(|told: List| vec![listed(scope, &told)]))
}

/// A `snapshot_end` receipt: the end itself, and one event per area.
pub(super) fn end(scope: Scope<'_>, bytes: &[u8]) -> Normalised {
    settle(scope, body(bytes).map(|told: End| ended(scope, &told)))
}

/// An event about a snapshot, read by the reader's clock.
fn about(scope: Scope<'_>, (kind, snapshot): (&str, &str), times: (i64, i64)) -> Event {
    let mut event = scope.blank();
    kind.clone_into(&mut event.kind);
    kind.clone_into(&mut event.native_type);
    event.native_id = json::cut(&scope.header().native_id);
    event.data_class = DataClass::Snapshot;
    (event.time_min, event.time_max, event.time) = (times.0, times.1, times.1);
    event.time_basis = TimeBasis::Shipper;
    note(&mut event, "snapshot", snapshot);
    event
}

fn begun(scope: Scope<'_>, told: &Begin) -> Event {
    let mut event = about(scope, ("snapshot_begin", &told.snapshot), (told.time, told.time));
    note(&mut event, "trigger", told.trigger.as_str());
    note(&mut event, "full", if told.full { "true" } else { "false" });
    note(&mut event, "previous", told.previous.as_deref().unwrap_or_default());
    note(&mut event, "realms", &told.realms.join(","));
    event
}

fn stated(scope: Scope<'_>, told: &Entity) -> Result<Event, Dead> {
    let mut event = about(scope, (kind(told.area), &told.snapshot), (told.time_min, told.time_max));
    told.area.as_str().clone_into(&mut event.native_type);
    told.area.as_str().clone_into(&mut event.resource_kind);
    event.realm = json::cut(&told.realm);
    note(&mut event, "entity", &told.entity);
    note(&mut event, "hash", &told.hash);
    let said = Said { state: &told.state, names: &told.names };
    if !told.state.is_object() {
        return Err(Dead::MissingField);
    }
    if !keycloak::fill(scope, &mut event, (told.area, said)) {
        backstage::fill(scope, &mut event, (told.area, said));
    }
    Ok(event)
}

fn listed(scope: Scope<'_>, told: &List) -> Event {
    let mut event = about(scope, ("snapshot_list", &told.snapshot), (told.time_min, told.time_max));
    told.area.as_str().clone_into(&mut event.resource_kind);
    event.realm = json::cut(&told.realm);
    event.resource = json::cut(&told.within);
    note(&mut event, "page", &told.page.to_string());
    note(&mut event, "pages", &told.pages.to_string());
    // Whole, however long: it is made of marks only, and a cut list would be a lie.
    event.details.insert("entries".to_owned(), told.entries.clone());
    event
}

fn ended(scope: Scope<'_>, told: &End) -> Vec<Event> {
    let mut event = about(scope, ("snapshot_end", &told.snapshot), (told.time, told.time));
    note(&mut event, "complete", if told.complete { "true" } else { "false" });
    let areas = told.areas.iter().map(|area| area_ended(scope, &told.snapshot, area));
    std::iter::once(event).chain(areas).collect()
}

fn area_ended(scope: Scope<'_>, snapshot: &str, told: &AreaEnd) -> Event {
    let mut event = about(scope, ("snapshot_area", snapshot), (told.time_min, told.time_max));
    if told.time_max == 0 {
        // Never begun: it happened when the snapshot ended.
        let at = scope.header().received_at;
        (event.time, event.time_min, event.time_max) = (at, at, at);
    }
    told.area.as_str().clone_into(&mut event.resource_kind);
    event.realm = json::cut(&told.realm);
    note(&mut event, "outcome", told.outcome.as_str());
    note(&mut event, "needs", &told.needs);
    for (name, count) in
        [("lists", told.lists), ("pages", told.pages), ("entities", told.entities), ("changed", told.changed)]
    {
        note(&mut event, name, &count.to_string());
    }
    event
}

/// Kind of the event of one entity.
fn kind(area: Area) -> &'static str {
    match area {
        Area::Realm => "state_realm",
        Area::EventsConfig => "state_events_config",
        Area::Clients => "state_client",
        Area::ServiceAccounts => "state_service_account",
        Area::Roles => "state_role",
        Area::Groups => "state_group",
        Area::DefaultGroups => "state_default_group",
        Area::Users => "state_user",
        Area::Members => "state_member",
        Area::RoleUsers => "state_role_user",
        Area::RoleGroups => "state_role_group",
        Area::Composites => "state_composite",
        Area::IdentityProviders => "state_identity_provider",
        Area::Flows => "state_flow",
        Area::FlowExecutions => "state_flow_execution",
        Area::RequiredActions => "state_required_action",
        Area::Organizations => "state_organization",
        Area::OrganizationMembers => "state_organization_member",
        Area::Sessions => "state_session",
        Area::OfflineSessions => "state_offline_session",
        Area::CatalogUsers => "state_catalog_user",
        Area::CatalogGroups => "state_catalog_group",
        Area::CatalogMembers => "state_catalog_member",
        Area::RbacRoles => "state_rbac_role",
        Area::RbacMembers => "state_rbac_member",
        Area::RbacPolicies => "state_rbac_policy",
        Area::RbacConditions => "state_rbac_condition",
    }
}

/// What an entity says: its state, and names of what it refers to.
#[derive(Clone, Copy)]
struct Said<'a> {
    state: &'a Value,
    names: &'a Value,
}

impl<'a> Said<'a> {
    /// A text of the state; empty if it is none.
    fn text(self, pointer: &str) -> &'a str {
        self.state.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    /// A name beside the state.
    fn name(self, pointer: &str) -> &'a str {
        self.names.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    /// A text, number or truth of the state as text; empty for anything else.
    fn plain(self, pointer: &str) -> String {
        match self.state.pointer(pointer) {
            Some(Value::String(text)) => text.clone(),
            Some(value @ (Value::Bool(_) | Value::Number(_))) => value.to_string(),
            _ => String::new(),
        }
    }

    /// The texts of a list.
    fn texts(self, pointer: &str) -> Vec<&'a str> {
        let items = self.state.pointer(pointer).and_then(Value::as_array);
        items.into_iter().flatten().filter_map(Value::as_str).collect()
    }
}

/// Notes fields of the state under their own names.
fn note_fields(event: &mut Event, said: Said<'_>, fields: &[&str]) {
    for field in fields {
        note(event, field, &said.plain(&format!("/{field}")));
    }
}
