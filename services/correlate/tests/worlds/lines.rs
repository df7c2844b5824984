//! What Keycloak and Backstage write: each act as the payload that leaves the server, read by the real normaliser.

use crate::{
    model::{Group, User},
    rights::Role,
};
use events::{
    event::Event,
    ids::{Position, StreamId},
    normalise::{Context, Normalised, normalise},
    person::DeploymentKey,
    receipt::{HEADER_VERSION, Input, LinePlace, Payload, Receipt, ReceiptHeader, SourceKind, TimeBasis},
};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// One thing that arrives.
#[derive(Clone)]
pub struct Line {
    pub at: i64,
    /// The first event that comes of it.
    pub event: Uuid,
    pub events: Vec<Event>,
}

pub fn key() -> DeploymentKey {
    DeploymentKey::new([9; 32])
}

pub const REALM: &str = "realm-1";

fn events(at: i64, payload: Payload, body: &Value) -> Line {
    let source = if payload == Payload::KeycloakWebhook { "kc" } else { "bs" };
    receipt(at, (source, payload, ""), body)
}

/// What comes of a receipt with a native id.
pub fn receipt(at: i64, (source, payload, native): (&str, Payload, &str), body: &Value) -> Line {
    let body = body.to_string();
    let line = payload == Payload::BackstageLine;
    let input = match payload {
        Payload::BackstageLine => Input::Lines,
        Payload::KeycloakWebhook => Input::Webhook,
        _ => Input::Snapshot,
    };
    let receipt = Receipt {
        position: Position { stream: StreamId([1; 16]), seq: 0 },
        header: ReceiptHeader {
            v: HEADER_VERSION,
            tenant: "default".into(),
            source_id: source.into(),
            source_kind: if source == "bs" { SourceKind::Backstage } else { SourceKind::Keycloak },
            input,
            payload,
            received_at: at,
            native_id: native.into(),
            delivery_id: String::new(),
            delivery_keyed: false,
            delivery_index: 0,
            line: line.then(|| LinePlace {
                instance: "pod-1".into(),
                number: 0,
                time_ns: Some(at * 1_000_000),
                basis: TimeBasis::Shipper,
                mark: key().mark("line", &[&body]),
                backlog: false,
            }),
        },
        body: body.into_bytes(),
    };
    let Normalised::Events(events) = normalise(&receipt, &Context { key: key() }) else {
        panic!("no event: {body:?}", body = String::from_utf8_lossy(&receipt.body))
    };
    Line { at, event: events[0].event_id, events }
}

/// Ids follow from what is said, so that one world is always the same.
fn id(at: i64, what: &str) -> String {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{at} {what}").as_bytes()).to_string()
}

fn access(at: i64, kind: &str, user: &User, details: Value) -> Line {
    let session = details["session"].clone();
    let mut details = details;
    details.as_object_mut().unwrap().remove("session");
    events(
        at,
        Payload::KeycloakWebhook,
        &json!({
            "id": id(at, kind), "time": at, "realmId": REALM, "realmName": "one", "type": format!("access.{kind}"),
            "authDetails": {"realmId": "one", "clientId": "backstage", "userId": user.id, "username": user.name,
                "ipAddress": "10.0.0.1", "sessionId": session},
            "details": details,
        }),
    )
}

fn admin(at: i64, what: (&str, &str, &str), representation: Option<Value>, details: Value) -> Line {
    let (resource, operation, path) = what;
    let mut body = json!({
        "id": id(at, path), "time": at, "realmId": REALM, "realmName": "one",
        "type": format!("admin.{resource}-{operation}"), "resourceType": resource, "operationType": operation,
        "resourcePath": path, "authDetails": {"realmId": "master", "clientId": "c", "userId": "boss", "username": "boss"},
        "details": details,
    });
    if let Some(representation) = representation {
        body["representation"] = representation.to_string().into();
    }
    events(at, Payload::KeycloakWebhook, &body)
}

fn audit(at: i64, plugin_event: (&str, &str), meta: Value) -> Line {
    let (plugin, event) = plugin_event;
    events(
        at,
        Payload::BackstageLine,
        &json!({
            "isAuditEvent": true, "plugin": plugin, "eventId": event, "status": "succeeded", "severityLevel": "medium",
            "level": "info", "message": "m", "service": "backstage", "actor": {"actorId": "plugin:permission"}, "meta": meta,
        }),
    )
}

pub fn login(at: i64, user: &User, session: &str) -> Line {
    access(at, "LOGIN", user, json!({"session": session, "code_id": session, "username": user.name}))
}

pub fn code_to_token(at: i64, user: &User, told: (&str, &str)) -> Line {
    let (session, refresh) = told;
    access(
        at,
        "CODE_TO_TOKEN",
        user,
        json!({"session": session, "code_id": session, "refresh_token_id": refresh,
        "token_id": id(at, "access"), "refresh_token_type": "Refresh"}),
    )
}

pub fn refresh(at: i64, user: &User, told: (&str, &str, &str)) -> Line {
    let (session, presented, next) = told;
    access(
        at,
        "REFRESH_TOKEN",
        user,
        json!({"session": session, "refresh_token_id": presented,
        "updated_refresh_token_id": next, "token_id": id(at, "access"), "refresh_token_type": "Refresh"}),
    )
}

pub fn revoke_grant(at: i64, user: &User, session: &str) -> Line {
    access(at, "REVOKE_GRANT", user, json!({"session": session, "refresh_token_id": "x"}))
}

pub fn membership(at: i64, user: &User, told: (&str, &str, bool)) -> Line {
    let (group, path, joins) = told;
    let operation = if joins { "CREATE" } else { "DELETE" };
    let details = json!({"username": user.name, "email": format!("{}@example.org", user.name)});
    let what = format!("users/{}/groups/{group}", user.id);
    admin(at, ("GROUP_MEMBERSHIP", operation, &what), Some(json!({"id": group, "path": path})), details)
}

pub fn group_renamed(at: i64, group: &Group) -> Line {
    admin(at, ("GROUP", "UPDATE", &format!("groups/{}", group.id)), Some(json!({"name": group.name})), json!({}))
}

pub fn group_moved(at: i64, group: &Group, parent: Option<&str>) -> Line {
    let path = parent.map_or("groups".to_owned(), |parent| format!("groups/{parent}/children"));
    admin(at, ("GROUP", "UPDATE", &path), Some(json!({"id": group.id, "name": group.name})), json!({}))
}

pub fn group_deleted(at: i64, group: &Group) -> Line {
    admin(at, ("GROUP", "DELETE", &format!("groups/{}", group.id)), None, json!({}))
}

pub fn user_updated(at: i64, user: &User) -> Line {
    let representation = json!({"username": user.name, "enabled": user.enabled});
    admin(at, ("USER", "UPDATE", &format!("users/{}", user.id)), Some(representation), json!({}))
}

pub fn user_created(at: i64, user: &User) -> Line {
    let representation = json!({"username": user.name, "enabled": user.enabled});
    admin(at, ("USER", "CREATE", &format!("users/{}", user.id)), Some(representation), json!({}))
}

pub fn group_created(at: i64, group: &Group, parent: Option<&str>) -> Line {
    let path = parent.map_or(format!("groups/{}", group.id), |parent| format!("groups/{parent}/children"));
    admin(at, ("GROUP", "CREATE", &path), Some(json!({"id": group.id, "name": group.name})), json!({}))
}

/// A client of the realm that has roles of its own.
pub const CLIENT: &str = "client-backstage";

/// A role's path: by id, or by name and (of a client's role) the client.
pub fn role_path(role: &Role, by_id: bool) -> String {
    match (by_id, role.of_client) {
        (true, _) => format!("roles-by-id/{}", role.id),
        (false, true) => format!("clients/{CLIENT}/roles/{}", role.name),
        (false, false) => format!("roles/{}", role.name),
    }
}

fn roles(role: &Role) -> Value {
    let container = if role.of_client { CLIENT } else { REALM };
    json!([{"id": role.id, "name": role.name, "clientRole": role.of_client, "containerId": container}])
}

fn operation(given: bool) -> &'static str {
    if given { "CREATE" } else { "DELETE" }
}

/// `told`: holder's path, role, whether it is given.
pub fn role_mapping(at: i64, told: (&str, &Role, bool)) -> Line {
    let (holder, role, given) = told;
    let (resource, place) = match role.of_client {
        true => ("CLIENT_ROLE_MAPPING", format!("clients/{CLIENT}")),
        false => ("REALM_ROLE_MAPPING", "realm".to_owned()),
    };
    let path = format!("{holder}/role-mappings/{place}");
    admin(at, (resource, operation(given), &path), Some(roles(role)), json!({}))
}

/// `told`: the outer role's path, the inner role, whether it is contained from now on.
pub fn composite(at: i64, told: (String, &Role, bool)) -> Line {
    let (outer, inner, given) = told;
    let resource = if outer.starts_with("clients") { "CLIENT_ROLE" } else { "REALM_ROLE" };
    admin(at, (resource, operation(given), &format!("{outer}/composites")), Some(roles(inner)), json!({}))
}

pub fn role_deleted(at: i64, path: String) -> Line {
    let resource = if path.starts_with("clients") { "CLIENT_ROLE" } else { "REALM_ROLE" };
    admin(at, (resource, "DELETE", &path), None, json!({}))
}

pub fn default_group(at: i64, (group, given): (&str, bool)) -> Line {
    admin(at, ("GROUP", operation(given), &format!("default-groups/{group}")), None, json!({}))
}

pub fn user_deleted(at: i64, user: &User) -> Line {
    admin(at, ("USER", "DELETE", &format!("users/{}", user.id)), None, json!({}))
}

pub fn sessions_ended(at: i64, user: &User) -> Line {
    admin(at, ("USER", "ACTION", &format!("users/{}/logout", user.id)), None, json!({}))
}

pub fn issuing(at: i64, reference: &str, claims: &BTreeSet<String>) -> Line {
    let entities: Vec<&str> = std::iter::once(reference).chain(claims.iter().map(String::as_str)).collect();
    let message = format!("Issuing token for {reference}, with entities {}", entities.join(","));
    events(
        at,
        Payload::BackstageLine,
        &json!({"component": "token-factory", "level": "info", "message": message,
        "plugin": "auth", "service": "backstage"}),
    )
}

pub fn callback(at: i64, session: &str) -> Line {
    let url = format!("/api/auth/oidc/handler/frame?state=x&session_state={session}&code=y");
    events(
        at,
        Payload::BackstageLine,
        &json!({"service": "rootHttpRouter", "type": "incomingRequest", "level": "info",
        "message": "m", "method": "GET", "url": url, "status": 200}),
    )
}

pub fn decision(at: i64, told: (&str, &str, bool)) -> Line {
    let (reference, permission, allowed) = told;
    let result = if allowed { "ALLOW" } else { "DENY" };
    audit(
        at,
        ("permission", "permission-evaluation"),
        json!({"userEntityRef": reference, "permissionName": permission,
        "action": "use", "result": result}),
    )
}

/// A decision on conditions: `told` is whose, and the trace that the line carries, if any.
pub fn conditional(at: i64, told: (&str, Option<&str>)) -> Line {
    let (reference, trace) = told;
    let meta = json!({"userEntityRef": reference, "permissionName": "p.conditional", "action": "use", "result": "CONDITIONAL",
        "resourceType": "thing"});
    traced(at, ("permission", "permission-evaluation"), (trace, true, meta))
}

/// The audited call in which something was decided.
pub fn call(at: i64, told: (&str, Option<&str>, bool)) -> Line {
    let (reference, trace, succeeded) = told;
    traced(at, ("catalog", "entity-mutate"), (trace, succeeded, json!({"actionType": "delete", "of": reference})))
}

fn traced(at: i64, plugin_event: (&str, &str), told: (Option<&str>, bool, Value)) -> Line {
    let ((plugin, event), (trace, succeeded, meta)) = (plugin_event, told);
    let mut body = json!({
        "isAuditEvent": true, "plugin": plugin, "eventId": event, "status": if succeeded { "succeeded" } else { "failed" },
        "severityLevel": "medium", "level": "info", "message": "m", "service": "backstage", "meta": meta,
        "actor": {"actorId": meta.get("of").cloned().unwrap_or("plugin:permission".into())},
    });
    if let Some(trace) = trace {
        body["trace_id"] = trace.into();
    }
    if !succeeded {
        body["error"] = "NotAllowedError: no".into();
    }
    events(at, Payload::BackstageLine, &body)
}

pub fn role_write(at: i64, told: (&str, &str, bool)) -> Line {
    let (role, member, added) = told;
    let action = if added { "create_or_update" } else { "delete" };
    audit(
        at,
        ("permission", "role-write"),
        json!({"actionType": action, "source": "rest", "roleEntityRef": role,
        "members": [member]}),
    )
}

pub fn roles_at_start(at: i64, roles: &BTreeMap<String, BTreeSet<String>>) -> Line {
    let pairs: Vec<Value> =
        roles.iter().flat_map(|(role, members)| members.iter().map(move |member| json!([member, role]))).collect();
    audit(
        at,
        ("permission", "role-write"),
        json!({"actionType": "create_or_update", "source": "csv-file",
        "addedPolicies": pairs}),
    )
}

pub fn policies_at_start(at: i64, policies: &BTreeMap<String, String>) -> Line {
    let rows: Vec<Value> =
        policies.iter().map(|(role, permission)| json!([role, permission, "use", "allow"])).collect();
    audit(at, ("permission", "policy-write"), json!({"actionType": "create", "source": "csv-file", "policies": rows}))
}

pub fn catalog(at: i64, users: &[User], groups: &[Group]) -> Line {
    let reference = |group: &usize| format!("group:default/{}", groups[*group].name);
    let mut entities: Vec<Value> = Vec::new();
    for group in groups.iter().filter(|group| group.lives) {
        let parent: Vec<String> = group.parent.iter().map(|parent| format!("childOf {}", reference(parent))).collect();
        entities.push(json!({"kind": "Group", "ref": format!("default/{}", group.name), "keycloak_id": group.id, "relations": parent}));
    }
    for user in users.iter().filter(|user| user.lives) {
        let member: Vec<String> = user.groups.iter().map(|group| format!("memberOf {}", reference(group))).collect();
        entities.push(json!({"kind": "User", "ref": format!("default/{}", user.name), "keycloak_id": user.id, "relations": member}));
    }
    let body = json!({"read_at": at as f64 / 1_000.0, "entities": entities});
    events(at, Payload::BackstageCatalogSnapshot, &body)
}
