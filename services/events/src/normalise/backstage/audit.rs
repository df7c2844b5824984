//! Audited calls and permission decisions.
//!
//! A decision's person or service is in `meta`, the line's own actor always a plugin. `succeeded` with DENY is a denial that was decided well.

use super::{
    Actor, Line, acts, concerns, rbac,
    types::{self, DECISION, DECISION_KIND, EVALUATION},
};
use crate::{
    event::{Event, Outcome},
    normalise::{
        Dead,
        json::{self, Map, Raw, get},
        scope::{Scope, note, note_personal},
    },
};
use serde_json::Value;

/// Name of the error that says that a permission was refused.
const NOT_ALLOWED: &str = "NotAllowedError";
/// What the wrapper of docs/sources/backstage writes where nobody asks whom it knows.
const NOBODY: &str = "none";
/// Most claims kept of one decision's conditions.
const MAX_CLAIMS: usize = 1_024;
/// Where an audited call names its object, best first.
const TARGETS: &[&str] = &[
    "entityRef",
    "resourceRef",
    "templateRef",
    "roleEntityRef",
    "locationRef",
    "uid",
    "id",
    "taskId",
    "workflowId",
    "toolName",
];
/// What else a call says that is not personal.
const PLAIN: &[(&str, &str)] = &[
    ("taskId", "task_id"),
    ("source", "source"),
    ("isDryRun", "dry_run"),
    ("clusterName", "cluster"),
    ("toolName", "tool"),
    ("transport", "transport"),
    ("workflowId", "workflow_id"),
    ("instanceId", "instance_id"),
    ("serviceId", "service_id"),
];

/// An audit line with its parts read: what the current and the legacy format have in common.
pub(super) struct Audited<'a> {
    pub plugin: &'a str,
    pub event_id: &'a str,
    pub action: &'a str,
    pub meta: Map<'a>,
    pub failed: bool,
    /// Name of the error, if one is said.
    pub error: String,
}

/// The events of a terminal line of the current format.
pub(super) fn events(scope: Scope<'_>, event: Event, line: &Line<'_>) -> Result<Vec<Event>, Dead> {
    let (plugin, event_id) = (line.plugin.text(), line.event_id.text());
    if event_id.is_empty() {
        return Err(Dead::MissingField);
    }
    let meta = line.meta.map();
    let action = ["actionType", "queryType"].iter().map(|key| get(&meta, key).text()).find(|text| !text.is_empty());
    let audited = Audited {
        plugin: &plugin,
        event_id: &event_id,
        action: action.as_deref().unwrap_or(""),
        failed: line.status.text() == "failed",
        error: error_name(line),
        meta: meta.clone(),
    };
    Ok(filled(scope, event, (&audited, line)))
}

/// Name of the error: `name` (0.11 and later), a string `Name: text` (before), or an object (auditor overrides).
fn error_name(line: &Line<'_>) -> String {
    let first: Option<Vec<Map<'_>>> = line.errors.read();
    let of_errors = first.as_ref().and_then(|errors| errors.first()).map(|error| get(error, "name").text());
    let object = get(&line.error.map(), "name").text();
    let text = line.error.text();
    let candidates =
        [line.name.text(), object, text.split(':').next().unwrap_or("").into(), of_errors.unwrap_or_default()];
    candidates.iter().find(|name| !name.is_empty()).map(|name| json::code(name)).unwrap_or_default()
}

/// The events of an audited act of either format.
pub(super) fn filled(scope: Scope<'_>, mut event: Event, told: (&Audited<'_>, &Line<'_>)) -> Vec<Event> {
    let (audited, line) = told;
    let (kind, data_class) = types::audited(audited.plugin, audited.event_id);
    kind.clone_into(&mut event.kind);
    event.data_class = data_class;
    if event.native_type.is_empty() {
        event.native_type = json::cut(&format!("{}.{}", audited.plugin, audited.event_id));
    }
    event.resource_kind = json::cut(audited.plugin);
    event.error.clone_from(&audited.error);
    let actor: Actor<'_> = line.actor.read().unwrap_or_default();
    acts(scope, &mut event, &actor.actor_id.text());
    event.ip = json::cut(&actor.ip.text());
    event.user_agent = json::cut(&actor.user_agent.text());
    note(&mut event, "severity", &line.severity_level.text());
    if event.error == NOT_ALLOWED {
        note(&mut event, "denied", "true");
    }
    if kind == DECISION_KIND {
        return vec![decision(scope, event, audited)];
    }
    call(scope, &mut event, told);
    let write = if audited.plugin == "permission" { audited.event_id } else { "" };
    if matches!(write, "role-write" | "policy-write" | "condition-write") {
        // The caller is the actor; whom it concerns are the members, if anybody.
        (event.person, event.person_name) = (None, String::new());
    }
    match write {
        "role-write" => rbac::roles(scope, event, audited),
        "policy-write" => rbac::policies(event, audited),
        "condition-write" => rbac::condition(event, audited),
        _ => vec![event],
    }
}

fn call(scope: Scope<'_>, event: &mut Event, told: (&Audited<'_>, &Line<'_>)) {
    let (audited, line) = told;
    let meta = &audited.meta;
    event.action = json::cut(audited.action);
    event.outcome = if audited.failed { Outcome::Failure } else { Outcome::Success };
    // A task runs as the scaffolder, for the person who made it.
    let created_by = get(meta, "createdBy").text();
    let person = if created_by.is_empty() { event.actor_name.clone() } else { created_by.into_owned() };
    if event.actor_kind == "user" || event.actor_kind == "plugin" {
        concerns(scope, event, &person);
    }
    event.resource = json::cut(&target(meta));
    let request = line.request.map();
    let url = get(&request, "url").text();
    let path = url.split(['?', '#']).next().unwrap_or("");
    if event.resource.is_empty() {
        event.resource = json::cut(path);
    } else {
        note_personal(event, "request_path", path);
    }
    note(event, "method", &get(&request, "method").text());
    for (key, name) in PLAIN {
        note(event, name, &get(meta, key).any());
    }
    let response = if line.response.is_there() { line.response.map() } else { get(meta, "response").map() };
    note(event, "status", &get(&response, "status").any());
}

/// What a call was about.
fn target(meta: &Map<'_>) -> String {
    let direct = TARGETS.iter().map(|key| get(meta, key).text()).find(|text| !text.is_empty());
    if let Some(text) = direct {
        return text.into_owned();
    }
    let location = get(meta, "location").map();
    let reference = get(&location, "entityRef").text();
    if reference.is_empty() { json::host_and_path(&get(&location, "target").text()) } else { reference.into_owned() }
}

/// A permission decision: of the RBAC plugin, of the legacy format, or of a wrapper that also knows the resource.
fn decision(scope: Scope<'_>, mut event: Event, audited: &Audited<'_>) -> Event {
    let meta = &audited.meta;
    let (person, permission) =
        if audited.event_id == DECISION { ("principal", "permission") } else { ("userEntityRef", "permissionName") };
    let principal = get(meta, person).text();
    concerns(scope, &mut event, &principal);
    if event.person.is_none() && audited.event_id == DECISION {
        // A service asks: the line's own actor is the plugin that was asked, which decided about somebody else.
        (event.actor, event.actor_kind, event.actor_name) = (None, String::new(), String::new());
        acts(scope, &mut event, if &*principal == NOBODY { "" } else { &principal });
    }
    if event.person.is_none() && audited.event_id != EVALUATION {
        note(&mut event, "principal", if principal.starts_with("plugin:") { &principal } else { "" });
    }
    event.permission = json::cut(&get(meta, permission).text());
    event.action = json::cut(&get(meta, "action").text());
    let inner = get(meta, "decision").map();
    let either = |key: &str| if get(meta, key).is_there() { get(meta, key) } else { get(&inner, key) };
    event.outcome = match either("result").text().as_ref() {
        "ALLOW" => Outcome::Allow,
        "DENY" => Outcome::Deny,
        "CONDITIONAL" => Outcome::Conditional,
        _ if audited.failed => Outcome::Failure,
        _ => Outcome::Unknown,
    };
    if audited.failed {
        note(&mut event, "evaluation_failed", "true");
    }
    event.resource_kind = json::cut(&either("resourceType").text());
    event.resource = json::cut(&either("resourceRef").text());
    note(
        &mut event,
        "plugin",
        &if audited.event_id == DECISION { audited.plugin.into() } else { either("pluginId").text() },
    );
    note(&mut event, "via", &get(meta, "via").text());
    conditions(&mut event, either("conditions"));
    event
}

/// The claims inside conditions, with variables like `$ownerRefs` already replaced: the claims that were used.
pub(super) fn conditions(event: &mut Event, raw: Raw<'_>) {
    let Some(value) = raw.read::<Value>() else { return };
    gather(&value, &mut event.owner_refs);
    // Claims can be people: the text as a whole is personal.
    note_personal(event, "conditions", &raw.any());
}

fn gather(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| gather(item, found)),
        Value::Object(fields) => {
            for (key, value) in fields {
                match value {
                    Value::Array(claims) if key == "claims" => {
                        for claim in claims.iter().filter_map(Value::as_str).filter(|claim| !claim.starts_with('$')) {
                            if found.len() < MAX_CLAIMS && !found.iter().any(|known| known == claim) {
                                found.push(json::cut(claim));
                            }
                        }
                    }
                    other => gather(other, found),
                }
            }
        }
        _ => {}
    }
}
