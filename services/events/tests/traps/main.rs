//! What the payloads do not say plainly: each case is a trap that a reader of the native type alone would fall into.

mod backstage;
#[path = "../support/mod.rs"]
mod support;

use events::{
    event::{Outcome, RightChange},
    normalise::{Dead, Ignored, Normalised, normalise},
    receipt::{Input, Payload},
};
use serde_json::{Value, json};
use support::{context, events, one, receipt};

fn admin(resource: &str, operation: &str, path: &str, representation: Value) -> Vec<events::event::Event> {
    let mut body = json!({"id": "e1", "time": 1_790_000_000_123_i64, "realmId": "r1", "operationType": operation, "resourceType": resource,
        "authDetails": {"realmId": "m1", "clientId": "c-uuid", "userId": "admin-1", "ipAddress": "10.0.0.9"}});
    if !path.is_empty() {
        body["resourcePath"] = path.into();
    }
    if !representation.is_null() {
        body["representation"] = representation.to_string().into();
    }
    events(&receipt(Payload::KeycloakAdminEvent, Input::Pull, &body.to_string()))
}

fn user(native: &str, details: Value) -> events::event::Event {
    let body = json!({"id": "e1", "time": 1, "type": native, "realmId": "r1", "clientId": "web", "userId": "u1", "sessionId": "s1", "details": details});
    one(Payload::KeycloakEvent, &body.to_string())
}

#[test]
fn the_console_removes_roles_without_naming_them() {
    for (resource, holder, kind) in [
        ("REALM_ROLE_MAPPING", "users", "role_revoked"),
        ("REALM_ROLE_MAPPING", "groups", "role_revoked"),
        ("REALM_ROLE", "roles", "composite_removed"),
        ("CLIENT_SCOPE_MAPPING", "clients", "scope_mapping_removed"),
        ("CLIENT_SCOPE_MAPPING", "clientScopes", "scope_mapping_removed"),
    ] {
        let found = admin(resource, "DELETE", &format!("ui-ext/role-mapping-delete/{holder}/x1"), Value::Null);
        let [event] = found.as_slice() else { panic!("{found:#?}") };
        assert_eq!((event.kind.as_str(), event.right_change), (kind, RightChange::RevokedUnnamed), "{holder}");
        let named = if holder == "users" { &event.person_id } else { &event.holder_id };
        assert_eq!(named, "x1", "{holder}");
    }
}

#[test]
fn a_renamed_group_can_come_with_its_old_path() {
    let renamed = json!({"id": "g1", "name": "operations", "path": "/platform/ops"});
    let found = admin("GROUP", "UPDATE", "groups/g1", renamed);
    assert_eq!((found[0].kind.as_str(), found[0].right_name.as_str()), ("group_updated", "/platform/operations"));
    let slash = admin("GROUP", "UPDATE", "groups/g1", json!({"id": "g1", "name": "a/b", "path": "/platform/a~/b"}));
    assert_eq!(slash[0].right_name, "/platform/a~/b");
    let plain = admin("GROUP", "UPDATE", "groups/g1", json!({"name": "operations"}));
    assert_eq!(plain[0].right_name, "operations");
}

#[test]
fn roles_come_in_arrays_and_each_is_a_right_of_its_own() {
    let roles = json!([{"id": "r1", "name": "a", "clientRole": false}, {"id": "r2", "name": "b", "clientRole": true, "containerId": "c9"}]);
    let found = admin("REALM_ROLE_MAPPING", "CREATE", "groups/g1/role-mappings/realm", roles);
    let read: Vec<_> =
        found.iter().map(|e| (e.ordinal, e.right_kind.as_str(), e.right_name.as_str(), e.holder_id.as_str())).collect();
    assert_eq!(read, [(0, "realm_role", "a", "g1"), (1, "client_role", "b", "g1")]);
    assert_ne!(found[0].event_id, found[1].event_id);

    let unnamed = admin("CLIENT_ROLE_MAPPING", "DELETE", "users/u1/role-mappings/clients/c1", Value::Null);
    assert_eq!(unnamed[0].right_change, RightChange::RevokedUnnamed, "the store may keep no representation");
    assert_eq!(unnamed[0].right_kind, "client_role");
}

#[test]
fn a_new_user_is_a_member_without_membership_events() {
    let found =
        admin("USER", "CREATE", "users/u1", json!({"username": "zoe", "groups": ["/a", "/b/c"], "enabled": true}));
    let read: Vec<_> = found.iter().map(|e| (e.kind.as_str(), e.right_name.as_str(), e.right_change)).collect();
    let granted = RightChange::Granted;
    assert_eq!(
        read,
        [
            ("user_created", "", RightChange::None),
            ("group_member_added", "/a", granted),
            ("group_member_added", "/b/c", granted)
        ]
    );
    assert!(found.iter().all(|event| event.person_id == "u1" && event.person.is_some()));
}

#[test]
fn a_user_delete_is_not_always_the_end_of_a_user() {
    let unlinked = &admin("USER", "DELETE", "users/u1/federated-identity/github", Value::Null)[0];
    assert_eq!(
        (unlinked.kind.as_str(), unlinked.details["identity_provider"].as_str()),
        ("identity_unlinked", "github")
    );
    assert_eq!(admin("USER", "DELETE", "users/u1", Value::Null)[0].kind, "user_deleted");
}

#[test]
fn a_new_user_can_come_with_logins_at_identity_providers() {
    let identities = json!([{"identityProvider": "github", "userId": "583231", "userName": "octocat"}, {"identityProvider": "corp"}]);
    let rep = json!({"username": "ann", "groups": ["/ops"], "federatedIdentities": identities});
    let found = admin("USER", "CREATE", "users/u1", rep);
    let kinds: Vec<_> = found.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, ["user_created", "group_member_added", "identity_linked", "identity_linked"]);
    let (linked, other) = (&found[2], &found[3]);
    assert_eq!((linked.person_id.as_str(), linked.details["identity_provider"].as_str()), ("u1", "github"));
    assert_eq!(linked.personal["identity_provider_user_id"], "583231");
    assert_eq!(linked.personal["identity_provider_username"], "octocat");
    assert_eq!((other.details["identity_provider"].as_str(), other.personal.len()), ("corp", 0));
    assert!(!found[0].details.contains_key("identity_provider"));
}

#[test]
fn how_long_sessions_live_is_said_where_it_is_changed() {
    let sent =
        json!({"ssoSessionIdleTimeout": 600, "offlineSessionMaxLifespanEnabled": true, "smtpServer": {"port": "25"}});
    let event = &admin("REALM", "UPDATE", "", sent)[0];
    let said = ["ssoSessionIdleTimeout", "offlineSessionMaxLifespanEnabled", "ssoSessionMaxLifespan"]
        .map(|key| event.details.get(key).map(String::as_str));
    assert_eq!(said, [Some("600"), Some("true"), None]);
}

#[test]
fn audit_settings_are_found_in_both_places() {
    let off = json!({"eventsEnabled": false, "adminEventsEnabled": false, "eventsListeners": []});
    let config = &admin("REALM", "UPDATE", "events/config", off.clone())[0];
    assert_eq!(config.kind, "audit_config_changed");
    assert_eq!((config.details["events_enabled"].as_str(), config.details["listeners"].as_str()), ("false", ""));

    let whole = admin("REALM", "UPDATE", "", off);
    let kinds: Vec<_> = whole.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, ["realm_updated", "audit_config_changed"]);
    assert_eq!(whole[1].details["admin_events_enabled"], "false");
    assert_eq!(admin("REALM", "UPDATE", "", json!({"accessTokenLifespan": 600})).len(), 1);
}

#[test]
fn composites_organizations_and_default_groups_are_rights() {
    let composite = &admin("REALM_ROLE", "CREATE", "roles-by-id/p1/composites", json!([{"id": "r1", "name": "a"}]))[0];
    assert_eq!(
        (composite.kind.as_str(), composite.holder_id.as_str(), composite.right_id.as_str()),
        ("composite_added", "p1", "r1")
    );
    let member =
        &admin("ORGANIZATION_MEMBERSHIP", "CREATE", "organizations/o1/members/u1", json!({"id": "o1", "name": "Acme"}))
            [0];
    assert_eq!(
        (member.person_id.as_str(), member.right_kind.as_str(), member.right_id.as_str()),
        ("u1", "organization", "o1")
    );
    let group = &admin("GROUP", "CREATE", "default-groups/g1", Value::Null)[0];
    assert_eq!((group.kind.as_str(), group.right_id.as_str()), ("default_group_added", "g1"));
    let top = &admin("GROUP", "UPDATE", "groups", json!({"id": "g2", "name": "x"}))[0];
    assert_eq!(
        (top.kind.as_str(), top.right_id.as_str(), top.details["parent_id"].as_str()),
        ("group_moved", "g2", "none")
    );
}

#[test]
fn what_was_typed_never_becomes_a_name() {
    let body = json!({"id": "e", "time": 1, "type": "access.LOGIN_ERROR", "error": "user_not_found", "realmId": "r",
        "authDetails": {"realmId": "acme", "clientId": "web"}, "details": {"username": "hunter2!"}});
    let event = one(Payload::KeycloakWebhook, &body.to_string());
    assert_eq!((event.person, event.person_name.as_str()), (None, ""));
    assert_eq!(event.personal["typed_username"], "hunter2!");
    assert_eq!(event.realm, "acme", "a delivery names the realm in authDetails");
}

#[test]
fn personal_and_unknown_details_stay_out_of_details() {
    let event = user(
        "UPDATE_PROFILE",
        json!({"previous_email": "a@x", "updated_first_name": "A", "x509_cert_subject": "CN=a",
        "identity_provider_identity": "a-gh", "brand_new_key": "?", "auth_method": "m", "redirect_uri": "https://h/p?code=1"}),
    );
    let details: Vec<_> = event.details.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(details, [("auth_method", "m"), ("redirect_uri", "h/p")]);
    assert_eq!(event.personal.len(), 5);
}

#[test]
fn deprecated_twins_are_marked_and_unknown_types_are_kept() {
    assert_eq!(user("UPDATE_PASSWORD", Value::Null).details["deprecated_twin"], "true");
    assert!(user("UPDATE_CREDENTIAL", Value::Null).details.is_empty());
    let unknown = user("BREW_COFFEE_ERROR", Value::Null);
    assert_eq!(
        (unknown.kind.as_str(), unknown.native_type.as_str(), unknown.outcome),
        ("other", "BREW_COFFEE_ERROR", Outcome::Failure)
    );
    assert_eq!(admin("TEAPOT", "CREATE", "teapots/1", json!({"a": 1}))[0].kind, "other");
}

#[test]
fn a_transient_session_is_no_session_unless_it_can_refresh() {
    let transient = user("CLIENT_LOGIN", json!({"token_id": "t"}));
    assert_eq!((transient.session_id.as_str(), transient.details["transient_session_id"].as_str()), ("", "s1"));
    assert_eq!(user("CLIENT_LOGIN", json!({"refresh_token_id": "r"})).session_id, "s1");
}

#[test]
fn an_impersonator_is_the_actor() {
    let event = user("IMPERSONATE", json!({"impersonator": "root", "impersonator_realm": "master"}));
    assert_eq!(
        (event.person_id.as_str(), event.actor_kind.as_str(), event.actor_name.as_str()),
        ("u1", "impersonator", "root")
    );
    assert!(event.actor.is_some() && event.actor != event.person);
}

#[test]
fn jackson_and_vymalo_shapes_say_the_same() {
    let jackson = json!({"id": "e1", "time": 5, "type": "LOGIN", "realmId": "r1", "realmName": "acme", "clientId": "web", "userId": "u1",
        "sessionId": "s1", "ipAddress": "10.0.0.1", "error": null, "details": null});
    let vymalo = json!({"type": "LOGIN", "realmId": "r1", "id": "e1", "time": 5, "clientId": "web", "userId": "u1", "sessionId": "s1", "ipAddress": "10.0.0.1"});
    let (one_way, other) =
        (one(Payload::KeycloakEvent, &jackson.to_string()), one(Payload::KeycloakWebhook, &vymalo.to_string()));
    assert_eq!(
        (one_way.event_id, &one_way.session_id, one_way.outcome),
        (other.event_id, &other.session_id, other.outcome)
    );
    let flat = json!({"type": "GROUP_MEMBERSHIP-CREATE", "realmId": "r1", "id": "e2", "time": 5, "userId": "admin-1", "clientId": "c-uuid",
        "resourcePath": "users/u1/groups/g1", "representation": "{\"path\":\"/ops\"}"});
    let event = one(Payload::KeycloakWebhook, &flat.to_string());
    assert_eq!(
        (event.kind.as_str(), event.right_name.as_str(), event.actor_id.as_str()),
        ("group_member_added", "/ops", "admin-1")
    );
    let nulls = json!({"id": "e3", "time": 5, "realmId": "r1", "resourceType": "CUSTOM", "resourceTypeAsString": "thing", "operationType": "CREATE",
        "resourcePath": null, "representation": null, "error": null, "authDetails": {"userId": "a"}, "resourceId": null});
    assert_eq!(one(Payload::KeycloakAdminEvent, &nulls.to_string()).native_type, "thing-CREATE");
}

#[test]
fn every_receipt_has_one_fate() {
    let fate = |payload, body| normalise(&receipt(payload, Input::Webhook, body), &context());
    assert_eq!(fate(Payload::Unparsable, "{}"), Normalised::Dead(Dead::NotJson));
    assert_eq!(fate(Payload::Unknown, "{}"), Normalised::Dead(Dead::UnknownShape));
    assert_eq!(fate(Payload::StreamOpening, "{}"), Normalised::Ignored(Ignored::Bookkeeping));
    assert_eq!(fate(Payload::BackstageCatalogSnapshot, "{}"), Normalised::Dead(Dead::UnknownShape));
    assert_eq!(fate(Payload::KeycloakEvent, "{"), Normalised::Dead(Dead::NotJson));
    assert_eq!(fate(Payload::KeycloakEvent, "[]"), Normalised::Dead(Dead::UnknownShape));
    assert_eq!(fate(Payload::KeycloakEvent, "3"), Normalised::Dead(Dead::UnknownShape));
    assert_eq!(fate(Payload::KeycloakEvent, r#"{"x":1}"#), Normalised::Dead(Dead::UnknownShape));
    assert_eq!(fate(Payload::KeycloakEvent, r#"{"type":"LOGIN"}"#), Normalised::Dead(Dead::MissingField));
    let mut old = receipt(Payload::KeycloakEvent, Input::Webhook, "{}");
    old.header.v = 9;
    assert_eq!(normalise(&old, &context()), Normalised::Dead(Dead::BadHeader));
    assert_eq!(fate(Payload::Heartbeat, "{}"), Normalised::Ignored(Ignored::Heartbeat));
}
