//! Receipts of snapshots: each area becomes an event with the columns that events about it have; a recording of the catalog is a
//! whole snapshot of its own; what is no such body is dead.

mod support;

use events::{
    event::{DataClass, Event},
    normalise::{Dead, Normalised, normalise},
    receipt::{Input, Payload},
    snapshot::{Area, ENTRY_DIGITS, entity_mark},
};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use support::{context, receipt, sample};

fn events(payload: Payload, body: &Value) -> Vec<Event> {
    match normalise(&receipt(payload, Input::Snapshot, &body.to_string()), &context()) {
        Normalised::Events(events) => events,
        other => panic!("{other:?}"),
    }
}

fn entity(area: Area, state: &Value, names: &Value) -> Event {
    let body = json!({"snapshot": "s1", "area": area, "realm": "acme", "entity": "e".repeat(32), "hash": "a".repeat(16),
        "time_min": 10, "time_max": 20, "state": state, "names": names});
    events(Payload::SnapshotEntity, &body).remove(0)
}

#[test]
fn rights_have_the_columns_of_their_events() {
    let user = |names: Value| (json!({"user": "u1", "group": "g1"}), names);
    let (state, names) = user(json!({"user": "ann", "group": "/platform/ops"}));
    let member = entity(Area::Members, &state, &names);
    assert_eq!((member.kind.as_str(), member.data_class), ("state_member", DataClass::Snapshot));
    assert_eq!((member.person_id.as_str(), member.person_name.as_str()), ("u1", "ann"));
    assert_eq!((member.right_kind.as_str(), member.right_id.as_str()), ("group", "g1"));
    assert_eq!(member.right_name, "/platform/ops");
    assert_eq!((member.time_min, member.time, member.time_max), (10, 20, 20));
    assert_eq!(member.person, Some(context().key.keycloak_user("default", "kc", "u1")));

    let holder =
        entity(Area::RoleUsers, &json!({"user": "u1", "role": "r1", "clientUuid": "c1"}), &json!({"role": "dev"}));
    assert_eq!((holder.right_kind.as_str(), holder.right_id.as_str()), ("client_role", "r1"));
    let group =
        entity(Area::RoleGroups, &json!({"group": "g1", "role": "r1"}), &json!({"group": "/ops", "role": "dev"}));
    assert_eq!(
        (group.right_kind.as_str(), group.holder_kind.as_str(), group.holder_id.as_str()),
        ("realm_role", "group", "g1")
    );
    let inner = entity(Area::Composites, &json!({"outer": "r1", "role": "r2"}), &Value::Null);
    assert_eq!(
        (inner.right_kind.as_str(), inner.right_id.as_str(), inner.holder_id.as_str()),
        ("composite", "r2", "r1")
    );
    let session = entity(
        Area::Sessions,
        &json!({"session": "s24", "client": "c1", "user": "u1", "ipAddress": "::1"}),
        &Value::Null,
    );
    assert_eq!((session.session_id.as_str(), session.ip.as_str()), ("s24", "::1"));
}

#[test]
fn of_a_client_all_that_is_read_is_told_by_name() {
    let state = json!({"id": "c1", "clientId": "portal", "enabled": true, "directAccessGrantsEnabled": false,
        "redirectUris": ["https://a.example/*", "https://b.example/*"], "webOrigins": [], "access.token.lifespan": "60"});
    let client = entity(Area::Clients, &state, &Value::Null);
    assert_eq!((client.client.as_str(), client.resource.as_str()), ("portal", "c1"));
    let said = |name: &str| client.details.get(name).map(|value| value.to_string());
    assert_eq!(said("redirectUris").as_deref(), Some("https://a.example/* https://b.example/*"));
    assert_eq!(said("directAccessGrantsEnabled").as_deref(), Some("false"));
    assert_eq!(said("access.token.lifespan").as_deref(), Some("60"));
    // No address at all is a statement, a setting that is not there is none.
    assert_eq!((said("webOrigins").as_deref(), said("rootUrl")), (Some(""), None));
}

#[test]
fn backstage_is_told_by_reference_and_the_annotation_is_kept() {
    let ann =
        entity(Area::CatalogUsers, &json!({"ref": "user:default/Ann", "keycloakId": "u1", "uid": "x"}), &Value::Null);
    assert_eq!((ann.person_name.as_str(), ann.person_id.as_str()), ("user:default/ann", "u1"));
    let member =
        entity(Area::RbacMembers, &json!({"member": "group:default/ops", "role": "role:default/dev"}), &Value::Null);
    assert_eq!((member.holder_kind.as_str(), member.holder_id.as_str()), ("group", "group:default/ops"));
    assert_eq!((member.right_kind.as_str(), member.right_id.as_str()), ("backstage_role", "role:default/dev"));
    let policy =
        json!({"role": "role:default/dev", "permission": "catalog-entity", "policy": "read", "effect": "allow"});
    let policy = entity(Area::RbacPolicies, &policy, &Value::Null);
    assert_eq!(
        (policy.right_id.as_str(), policy.holder_id.as_str()),
        ("catalog-entity,read,allow", "role:default/dev")
    );
}

#[test]
fn that_no_listener_is_left_is_said_and_a_list_that_is_not_there_is_not() {
    let listeners =
        |state: Value| entity(Area::EventsConfig, &state, &Value::Null).details.get("eventsListeners").cloned();
    assert_eq!(listeners(json!({"eventsListeners": ["jboss-logging", "email"]})).unwrap(), "jboss-logging,email");
    assert_eq!(listeners(json!({"eventsListeners": []})).unwrap(), "");
    assert_eq!(listeners(json!({"eventsEnabled": true})), None);
}

#[test]
fn every_area_has_a_kind_of_its_own() {
    let kinds: BTreeSet<String> = Area::ALL.iter().map(|area| entity(*area, &json!({}), &Value::Null).kind).collect();
    assert_eq!(kinds.len(), Area::ALL.len());
    assert!(kinds.iter().all(|kind| kind.starts_with("state_")));
}

#[test]
fn lists_and_ends_say_what_absence_rests_on() {
    let long = "0f".repeat(500 * ENTRY_DIGITS / 2);
    let list = json!({"snapshot": "s1", "area": "members", "realm": "acme", "within": "g1", "page": 0, "pages": 1,
        "time_min": 10, "time_max": 20, "entries": long});
    let list = events(Payload::SnapshotList, &list).remove(0);
    assert_eq!(list.details["entries"].len(), long.len(), "a list is never cut");
    assert_eq!(
        (list.kind.as_str(), list.resource_kind.as_str(), list.resource.as_str()),
        ("snapshot_list", "members", "g1")
    );

    let area = json!({"area": "users", "realm": "acme", "outcome": "forbidden", "needs": "view-users", "lists": 0,
        "pages": 0, "entities": 0, "changed": 0, "time_min": 0, "time_max": 0});
    let end = events(Payload::SnapshotEnd, &json!({"snapshot": "s1", "time": 30, "complete": false, "areas": [area]}));
    assert_eq!(end.iter().map(|event| event.kind.as_str()).collect::<Vec<_>>(), ["snapshot_end", "snapshot_area"]);
    assert_eq!(end[0].details["complete"], "false");
    assert_eq!((end[1].details["outcome"].as_str(), end[1].details["needs"].as_str()), ("forbidden", "view-users"));
}

#[test]
fn a_recording_is_a_whole_snapshot_in_the_form_of_a_live_one() {
    let history = sample("pair/backstage-catalog-history.ndjson");
    let mut ids = BTreeSet::new();
    for line in history.lines() {
        let recording = receipt(Payload::BackstageCatalogSnapshot, Input::Import, line);
        let Normalised::Events(events) = normalise(&recording, &context()) else { panic!("a state is understood") };
        let of = |kind: &str| events.iter().filter(|event| event.kind == kind).collect::<Vec<_>>();
        assert_eq!((of("snapshot_begin").len(), of("snapshot_end").len(), of("snapshot_area").len()), (1, 1, 3));
        let told: Value = serde_json::from_str(line).unwrap();
        let entities = told["entities"].as_array().unwrap().len();
        assert_eq!(of("state_catalog_user").len() + of("state_catalog_group").len(), entities);
        let listed: usize =
            of("snapshot_list").iter().map(|list| list.details.get("entries").map_or(0, String::len)).sum();
        let states = events.iter().filter(|event| event.kind.starts_with("state_")).count();
        assert_eq!(listed, states * ENTRY_DIGITS);
        let ann = of("state_catalog_user").into_iter().find(|event| event.person_name == "user:default/ann").unwrap();
        assert_eq!(ann.person_id, "1bc6ec44-547f-4b49-83b0-3ea39f26a233");
        let mark = entity_mark(&context().key, ("default", "bs"), ("", Area::CatalogUsers, "user:default/ann"));
        assert_eq!(ann.details["entity"], mark);
        assert!(events.iter().all(|event| ids.insert(event.event_id)), "an id twice");
    }
}

#[test]
fn what_is_no_such_body_is_dead() {
    for payload in [Payload::SnapshotBegin, Payload::SnapshotEntity, Payload::SnapshotList, Payload::SnapshotEnd] {
        let dead = |body: &str| normalise(&receipt(payload, Input::Snapshot, body), &context());
        assert_eq!(dead("{"), Normalised::Dead(Dead::NotJson));
        assert_eq!(dead("{}"), Normalised::Dead(Dead::UnknownShape));
    }
}
