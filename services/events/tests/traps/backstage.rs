//! Those of Backstage's lines.

use crate::support::{context, events, receipt};
use events::{
    event::{DataClass, Outcome, RightChange},
    normalise::{Ignored, Normalised, normalise},
    receipt::{Input, LinePlace, Payload, TimeBasis},
};
use serde_json::{Value, json};

fn line(body: &Value) -> Normalised {
    normalise(&receipt(Payload::BackstageLine, Input::Lines, &body.to_string()), &context())
}

fn lines(body: &Value) -> Vec<events::event::Event> {
    events(&receipt(Payload::BackstageLine, Input::Lines, &body.to_string()))
}

fn evaluation(meta: Value) -> Value {
    json!({"isAuditEvent": true, "plugin": "permission", "eventId": "permission-evaluation", "status": "succeeded", "actor": {"actorId": "plugin:permission"}, "meta": meta})
}

#[test]
fn a_decision_is_about_meta_and_never_about_status() {
    let conditions = json!({"anyOf": [{"not": {"rule": "X", "params": {"claims": ["user:default/a", "group:default/b", "$ownerRefs"]}}}]});
    let found = lines(&evaluation(
        json!({"userEntityRef": "user:default/Alice", "permissionName": "p", "action": "read", "result": "CONDITIONAL", "conditions": conditions}),
    ));
    assert_eq!((found[0].outcome, found[0].person_name.as_str()), (Outcome::Conditional, "user:default/alice"));
    assert_eq!(found[0].owner_refs, ["user:default/a", "group:default/b"]);
    assert_eq!(found[0].data_class, DataClass::Decision);
    let nobody =
        lines(&evaluation(json!({"userEntityRef": "user without entity", "permissionName": "p", "result": "DENY"})));
    assert_eq!((nobody[0].outcome, nobody[0].person.as_ref()), (Outcome::Deny, None));
}

#[test]
fn a_decision_about_a_service_is_never_the_deciding_plugins() {
    let asked = |principal: &str| {
        let meta = json!({"via": "authorize", "permission": "catalog.location.delete", "action": "delete", "principal": principal, "result": "ALLOW"});
        let body = json!({"isAuditEvent": true, "plugin": "catalog", "eventId": "permission-decision", "status": "succeeded",
            "actor": {"actorId": "plugin:catalog"}, "meta": meta});
        let event = lines(&body).remove(0);
        (event.person.is_some(), event.actor_kind, event.actor_name)
    };
    assert_eq!(asked("ci-deployer"), (false, "static".into(), "ci-deployer".into()));
    assert_eq!(asked("plugin:scaffolder"), (false, "plugin".into(), "plugin:scaffolder".into()));
    assert_eq!(asked("none"), (false, String::new(), String::new()));
    assert_eq!(asked("user:default/ann"), (true, "plugin".into(), "plugin:catalog".into()));
}

#[test]
fn failures_are_read_in_all_three_shapes() {
    let call = json!({"isAuditEvent": true, "plugin": "catalog", "eventId": "entity-mutate", "status": "failed", "actor": {"actorId": "user:default/a"}});
    for extra in [
        json!({"name": "NotAllowedError", "stack": "..."}),
        json!({"error": "NotAllowedError: no"}),
        json!({"error": {"name": "NotAllowedError"}}),
    ] {
        let mut body = call.clone();
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let event = &lines(&body)[0];
        assert_eq!(
            (event.error.as_str(), event.outcome, event.details["denied"].as_str()),
            ("NotAllowedError", Outcome::Failure, "true")
        );
    }
}

#[test]
fn members_and_policies_are_rights_of_persons_groups_and_roles() {
    let write = |event: &str, action: &str, status: &str, mut meta: Value| {
        meta["actionType"] = action.into();
        lines(
            &json!({"isAuditEvent": true, "plugin": "permission", "eventId": event, "status": status, "actor": {"actorId": "user:default/egon"}, "meta": meta}),
        )
    };
    let members = json!({"roleEntityRef": "role:default/x", "members": ["user:default/Ann", "group:default/Ops"]});
    let found = write("role-write", "update", "succeeded", members.clone());
    assert_eq!(found.len(), 3);
    assert_eq!(
        (found[1].person_name.as_str(), found[1].kind.as_str()),
        ("user:default/ann", "backstage_role_member_added")
    );
    assert_eq!((found[2].holder_kind.as_str(), found[2].holder_id.as_str()), ("group", "group:default/ops"));
    assert_eq!(found[0].details["members"], "complete", "an update names the whole list");
    assert_eq!(write("role-write", "delete", "succeeded", members.clone())[1].right_change, RightChange::Revoked);
    assert_eq!(write("role-write", "create", "failed", members).len(), 1, "what failed changed nothing");
    let policies = write(
        "policy-write",
        "delete",
        "succeeded",
        json!({"policies": [["role:default/x", "catalog.entity.delete", "delete", "allow"]]}),
    );
    assert_eq!(
        (policies[1].right_id.as_str(), policies[1].right_change),
        ("catalog.entity.delete,delete,allow", RightChange::Revoked)
    );
}

#[test]
fn legacy_lines_are_read() {
    let base = json!({"isAuditLog": true, "plugin": "permission", "status": "succeeded", "stage": "evaluatePermissionAccess",
        "actor": {"actorId": "user:default/a"}, "meta": {"userEntityRef": "user:default/a", "permissionName": "p", "action": "read", "decision": {"result": "ALLOW"}}});
    let with = |name: &str| {
        let mut body = base.clone();
        body["eventName"] = name.into();
        body
    };
    assert_eq!(line(&with("PermissionEvaluationStarted")), Normalised::Ignored(Ignored::Initiated));
    let event = &lines(&with("PermissionEvaluationCompleted"))[0];
    assert_eq!((event.kind.as_str(), event.outcome), ("decision", Outcome::Allow));
    let failed = json!({"isAuditLog": true, "plugin": "scaffolder", "eventName": "ScaffolderTaskCreation", "stage": "completion", "status": "failed",
        "actor": {"actorId": "user:default/a"}, "errors": [{"name": "NotAllowedError", "message": "secret"}], "request": {"url": "/x?token=1", "body": {"p": 1}}});
    let event = &lines(&failed)[0];
    assert_eq!(
        (event.kind.as_str(), event.action.as_str(), event.error.as_str()),
        ("scaffolder_task", "create", "NotAllowedError")
    );
    assert!(!serde_json::to_string(event).unwrap().contains("token=1"));
}

#[test]
fn a_callback_keeps_the_session_and_nothing_secret() {
    let access = |method: &str, url: &str, status: u16| json!({"service": "rootHttpRouter", "type": "incomingRequest", "date": "2026-11-23T21:25:03.513Z", "method": method, "url": url, "status": status, "message": "m", "level": "info"});
    let event = &lines(&access(
        "GET",
        "/api/auth/oidc/handler/frame?state=SECRET&session_state=abc&code=SECRET.abc&iss=http%3A%2F%2Fkc%2Frealms%2Fx",
        200,
    ))[0];
    assert_eq!(
        (event.kind.as_str(), event.session_id.as_str(), event.outcome),
        ("backstage_callback", "abc", Outcome::Unknown)
    );
    assert!(!serde_json::to_string(event).unwrap().contains("SECRET"));
    assert_eq!(line(&access("POST", "/api/permission/authorize", 200)), Normalised::Ignored(Ignored::DatesDecision));
    assert_eq!(line(&access("GET", "/api/catalog/entities", 200)), Normalised::Ignored(Ignored::PlainLine));
    assert_eq!(lines(&access("POST", "/api/permission/authorize", 401))[0].kind, "http_denied");
    assert_eq!(lines(&access("GET", "/api/auth/oidc/refresh?env=x", 401))[0].outcome, Outcome::Failure);
}

#[test]
fn line_ids_rest_on_what_a_retry_repeats() {
    let body =
        evaluation(json!({"userEntityRef": "user:default/a", "permissionName": "p", "result": "ALLOW"})).to_string();
    let mut first = receipt(Payload::BackstageLine, Input::Lines, &body);
    first.header.line = Some(LinePlace {
        instance: "pod".into(),
        number: 1,
        time_ns: Some(7_000_000),
        basis: TimeBasis::Shipper,
        mark: "m".into(),
        backlog: false,
    });
    let id = |receipt: &events::receipt::Receipt| events(receipt)[0].event_id;
    let mut again = first.clone();
    (again.position.seq, again.header.line.as_mut().unwrap().number) = (9, 5);
    assert_eq!(id(&first), id(&again));
    again.header.line.as_mut().unwrap().time_ns = Some(7_000_001);
    assert_ne!(id(&first), id(&again), "two equal lines are two events");

    // The neighbour's time depends on how lines were cut into deliveries: only the delivery's key or the receipt is left.
    first.header.line.as_mut().unwrap().basis = TimeBasis::NeighbourLine;
    assert_eq!(events(&first)[0].details["possible_duplicate"], "true");
    first.header.delivery_keyed = true;
    assert!(!events(&first)[0].details.contains_key("possible_duplicate"));
    assert_eq!((events(&first)[0].time_min, events(&first)[0].time_max), (7 - 50, 7 + 50));
}
