//! Everything that Keycloak 26.7 and Backstage are known to send is recognised, each type by the real normaliser; what nobody knows is kept as
//! `other`. The lists are Keycloak's enums and what Backstage's plugins audit; the collector's suite asks a running Keycloak for its own.

mod support;

use events::{
    event::{Event, Outcome},
    normalise::catalogue,
    receipt::{Input, Payload, SourceKind},
};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use support::{events, one, receipt};

/// Keycloak's `EventType`; each also exists with `_ERROR`.
const USER_TYPES: &str = "LOGIN REGISTER LOGOUT CODE_TO_TOKEN CLIENT_LOGIN REFRESH_TOKEN VALIDATE_ACCESS_TOKEN INTROSPECT_TOKEN \
    FEDERATED_IDENTITY_LINK REMOVE_FEDERATED_IDENTITY UPDATE_EMAIL UPDATE_PROFILE UPDATE_PASSWORD UPDATE_TOTP VERIFY_EMAIL VERIFY_PROFILE \
    REMOVE_TOTP GRANT_CONSENT UPDATE_CONSENT REVOKE_GRANT SEND_VERIFY_EMAIL SEND_RESET_PASSWORD SEND_IDENTITY_PROVIDER_LINK \
    RESET_PASSWORD RESTART_AUTHENTICATION INVALID_SIGNATURE REGISTER_NODE UNREGISTER_NODE USER_INFO_REQUEST \
    IDENTITY_PROVIDER_LINK_ACCOUNT IDENTITY_PROVIDER_LOGIN IDENTITY_PROVIDER_FIRST_LOGIN IDENTITY_PROVIDER_POST_LOGIN \
    IDENTITY_PROVIDER_RESPONSE IDENTITY_PROVIDER_RETRIEVE_TOKEN IMPERSONATE CUSTOM_REQUIRED_ACTION EXECUTE_ACTIONS \
    EXECUTE_ACTION_TOKEN CLIENT_INFO CLIENT_REGISTER CLIENT_UPDATE CLIENT_DELETE CLIENT_INITIATED_ACCOUNT_LINKING TOKEN_EXCHANGE \
    OAUTH2_DEVICE_AUTH OAUTH2_DEVICE_VERIFY_USER_CODE OAUTH2_DEVICE_CODE_TO_TOKEN AUTHREQID_TO_TOKEN PERMISSION_TOKEN DELETE_ACCOUNT \
    PUSHED_AUTHORIZATION_REQUEST USER_DISABLED_BY_PERMANENT_LOCKOUT USER_DISABLED_BY_TEMPORARY_LOCKOUT OAUTH2_EXTENSION_GRANT \
    FEDERATED_IDENTITY_OVERRIDE_LINK UPDATE_CREDENTIAL REMOVE_CREDENTIAL INVITE_ORG USER_SESSION_DELETED \
    VERIFIABLE_CREDENTIAL_REQUEST VERIFIABLE_CREDENTIAL_OFFER_REQUEST VERIFIABLE_CREDENTIAL_NONCE_REQUEST \
    VERIFIABLE_CREDENTIAL_CREATE_OFFER VERIFIABLE_CREDENTIAL_PRE_AUTHORIZED_GRANT JWT_AUTHORIZATION_GRANT";

/// Keycloak's `ResourceType`.
const RESOURCE_TYPES: &str = "REALM REALM_ROLE REALM_ROLE_MAPPING REALM_SCOPE_MAPPING AUTH_FLOW AUTH_EXECUTION_FLOW AUTH_EXECUTION \
    AUTHENTICATOR_CONFIG REQUIRED_ACTION_CONFIG REQUIRED_ACTION IDENTITY_PROVIDER IDENTITY_PROVIDER_MAPPER PROTOCOL_MAPPER USER \
    USER_LOGIN_FAILURE USER_SESSION USER_FEDERATION_PROVIDER USER_FEDERATION_MAPPER GROUP GROUP_MEMBERSHIP CLIENT \
    CLIENT_INITIAL_ACCESS_MODEL CLIENT_ROLE CLIENT_ROLE_MAPPING CLIENT_SCOPE CLIENT_SCOPE_MAPPING CLIENT_SCOPE_CLIENT_MAPPING \
    CLUSTER_NODE COMPONENT AUTHORIZATION_RESOURCE_SERVER AUTHORIZATION_RESOURCE AUTHORIZATION_SCOPE AUTHORIZATION_POLICY CUSTOM \
    USER_PROFILE ORGANIZATION ORGANIZATION_MEMBERSHIP ORGANIZATION_GROUP ORGANIZATION_GROUP_MEMBERSHIP";

/// Keycloak's `OperationType`.
const OPERATIONS: [&str; 4] = ["CREATE", "UPDATE", "DELETE", "ACTION"];

/// Plugin and the event ids that it audits; of those whose ids are made of an API's operations, some.
const AUDITED: &[(&str, &str)] = &[
    (
        "catalog",
        "entity-fetch entity-mutate entity-validate entity-facets location-analyze location-fetch location-mutate",
    ),
    ("scaffolder", "template-parameter-schema action-fetch task"),
    ("mcp-actions", "connection tool-discovery tool-execution"),
    ("kubernetes", "resource-fetch cluster-fetch"),
    (
        "orchestrator",
        "execute-workflow abort-workflow retrigger-instance get-instance get-instances get-workflow-overview",
    ),
    ("bulk-import", "find-all-imports create-import-jobs delete-import-by-repo get-import-status unknown-endpoint"),
    (
        "permission",
        "permission-evaluation role-write policy-write condition-write role-read policy-read condition-read plugin-policies-read \
         condition-rules-read plugin-ids-read plugin-ids-write conditional-policies-file-not-found conditional-policies-file-change",
    ),
    // The wrapper of docs/sources/backstage tells decisions in any plugin.
    ("search", "permission-decision"),
];

fn user(native: &str, payload: Payload) -> Event {
    let prefix = if payload == Payload::KeycloakWebhook { "access." } else { "" };
    let body = json!({"id": "e1", "time": 1, "type": format!("{prefix}{native}"), "realmId": "r1", "userId": "u1", "sessionId": "s1"});
    one(payload, &body.to_string())
}

/// The first event of an operation on a path that no row of the table names: the plainest reading.
fn admin(resource: &str, operation: &str, path: Option<&str>) -> Event {
    let mut body = json!({"id": "e1", "time": 1, "realmId": "r1", "operationType": operation, "resourceType": resource,
        "authDetails": {"realmId": "m1", "userId": "admin-1"}});
    if let Some(path) = path {
        body["resourcePath"] = path.into();
    }
    events(&receipt(Payload::KeycloakAdminEvent, Input::Pull, &body.to_string())).remove(0)
}

fn audited(plugin: &str, event_id: &str) -> Event {
    let body = json!({"isAuditEvent": true, "plugin": plugin, "eventId": event_id, "status": "succeeded", "severityLevel": "low",
        "actor": {"actorId": "user:default/a"}, "meta": {"userEntityRef": "user:default/a", "permissionName": "p", "result": "ALLOW"}});
    one(Payload::BackstageLine, &body.to_string())
}

#[test]
fn every_type_of_user_event_is_recognised_by_either_way_in_also_failed() {
    for native in USER_TYPES.split_whitespace() {
        for payload in [Payload::KeycloakEvent, Payload::KeycloakWebhook] {
            let event = user(native, payload);
            assert!(event.kind != "other" && event.outcome == Outcome::Success, "{native}: {event:?}");
            let failed = user(&format!("{native}_ERROR"), payload);
            assert_eq!(
                (&failed.kind, failed.outcome, failed.data_class),
                (&event.kind, Outcome::Failure, event.data_class)
            );
        }
    }
    assert_eq!(user("BREW_COFFEE", Payload::KeycloakEvent).kind, "other");
}

#[test]
fn every_operation_on_every_type_of_resource_is_recognised_with_any_path_and_none() {
    for resource in RESOURCE_TYPES.split_whitespace() {
        for operation in OPERATIONS {
            for path in [Some("what/nobody/has/seen"), Some("users/u1"), Some(""), None] {
                let event = admin(resource, operation, path);
                assert!(event.kind != "other" && !event.kind.is_empty(), "{resource}-{operation} {path:?}: {event:?}");
                assert_eq!(event.native_type, format!("{resource}-{operation}"));
            }
        }
        assert_eq!(admin(resource, "BREW", None).kind, "other", "an operation that nobody knows");
    }
    assert_eq!(admin("TEAPOT", "CREATE", None).kind, "other");
}

#[test]
fn every_id_that_backstage_audits_is_recognised_within_its_plugin() {
    for (plugin, ids) in AUDITED {
        for id in ids.split_whitespace() {
            assert_ne!(audited(plugin, id).kind, "other", "{plugin}.{id}");
            let alone = ["permission-decision"].contains(&id);
            assert_eq!(audited("somewhere-else", id).kind == "other", !alone, "{id} in a plugin that has none of it");
        }
        assert_eq!(audited(plugin, "brew-coffee").kind == "other", *plugin != "bulk-import", "{plugin}");
    }
}

/// The other way round: the published list says nothing that these do not, so that a type which was forgotten here shows.
#[test]
fn the_list_of_what_is_recognised_names_each_once_and_nothing_else() {
    let entries = catalogue();
    let mut names: Vec<_> = entries.iter().map(|entry| (entry.source.as_str(), entry.native.as_str())).collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all, "a native type stands twice");
    assert!(entries.iter().all(|entry| entry.kind != "other" && !entry.kind.is_empty()));
    let known: BTreeSet<&str> = USER_TYPES.split_whitespace().collect();
    let resources: BTreeSet<&str> = RESOURCE_TYPES.split_whitespace().collect();
    let (mut users, mut operations) = (BTreeSet::new(), BTreeSet::new());
    for entry in entries.iter().filter(|entry| entry.source == SourceKind::Keycloak) {
        match entry.native.split_once('-') {
            Some((resource, _)) => drop(operations.insert(resource)),
            None => drop(users.insert(entry.native.as_str())),
        }
    }
    assert_eq!((users, operations), (known, resources));
    let plugins: Value = json!(AUDITED.iter().map(|row| row.0).collect::<Vec<_>>());
    for entry in entries.iter().filter(|entry| entry.source == SourceKind::Backstage) {
        let Some((plugin, _)) = entry.native.split_once('.').filter(|_| entry.native.contains('-')) else { continue };
        let line = ["auth", "http"].contains(&plugin) || entry.native == "catalog.keycloak-sync" || plugin == "*";
        assert!(line || plugins.as_array().is_some_and(|all| all.contains(&plugin.into())), "{}", entry.native);
    }
}
