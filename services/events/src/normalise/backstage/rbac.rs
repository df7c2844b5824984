//! Changes of Backstage roles, their members, policies and conditions.
//!
//! The first event is the change itself (who, which role); one event per member or policy follows. A change that failed says
//! nothing about rights. An `update` names the whole new list and never what it replaced: `members = complete` and
//! `replaces_unnamed = true` say so.

use super::{
    audit::{Audited, conditions},
    concerns,
};
use crate::{
    event::{Event, RightChange},
    normalise::{
        json::{self, Map, Raw, get},
        scope::{Scope, note},
    },
};
use std::borrow::Cow;

/// Fields with `[member, role]` pairs, as the policy file's changes are told, and whether they add.
const PAIRS: &[(&str, bool)] = &[
    ("addedPolicies", true),
    ("updatedPolicies", true),
    ("groupingPolicies", true),
    ("removedPolicies", false),
    ("deletedPolicies", false),
];

fn removes(action: &str) -> bool {
    action.starts_with("delete")
}

fn change(adds: bool) -> RightChange {
    if adds { RightChange::Granted } else { RightChange::Revoked }
}

/// A role and its members.
pub(super) fn roles(scope: Scope<'_>, mut event: Event, audited: &Audited<'_>) -> Vec<Event> {
    let meta = &audited.meta;
    let role = get(meta, "roleEntityRef").text();
    if !role.is_empty() {
        role_named(&mut event, &role);
    }
    let author = get(meta, "modifiedBy").text();
    note(&mut event, "source", &get(meta, "source").text());
    if event.actor_kind != "user" && super::person_ref(&author).is_some() {
        json::cut(&author).clone_into(event.personal.entry("modified_by".to_owned()).or_default());
    }
    let change_itself = event.clone();
    let mut events = vec![event];
    if audited.failed {
        return events;
    }
    let complete = audited.action == "update";
    for member in get(meta, "members").texts() {
        let mut event = membership(scope, &change_itself, (&member, &role));
        set_change(&mut event, !removes(audited.action));
        if complete {
            note(&mut event, "members", "complete");
        }
        events.push(event);
    }
    if complete {
        note(&mut events[0], "members", "complete");
    }
    for (key, adds) in PAIRS {
        for pair in rows(meta, key) {
            let [member, role, ..] = pair.as_slice() else { continue };
            let mut event = membership(scope, &change_itself, (member, role));
            set_change(&mut event, *adds && !removes(audited.action));
            events.push(event);
        }
    }
    events
}

fn set_change(event: &mut Event, adds: bool) {
    let kind = if adds { "backstage_role_member_added" } else { "backstage_role_member_removed" };
    kind.clone_into(&mut event.kind);
    event.right_change = change(adds);
}

fn role_named(event: &mut Event, role: &str) {
    "backstage_role".clone_into(&mut event.right_kind);
    event.right_id = json::cut(role);
    event.right_name = json::cut(role);
}

/// One member of one role: a person, or a group as holder.
fn membership(scope: Scope<'_>, change: &Event, told: (&str, &str)) -> Event {
    let (member, role) = told;
    let mut event = change.clone();
    role_named(&mut event, role);
    concerns(scope, &mut event, member);
    if event.person.is_none() {
        let kind = member.split(':').next().filter(|kind| *kind == "role").unwrap_or("group");
        kind.clone_into(&mut event.holder_kind);
        event.holder_id = json::cut(&member.to_lowercase());
    }
    event
}

/// Policies `[role, permission or resource type, action, effect]`.
pub(super) fn policies(event: Event, audited: &Audited<'_>) -> Vec<Event> {
    let mut events = vec![event];
    if audited.failed {
        return events;
    }
    let adds = !removes(audited.action);
    for policy in rows(&audited.meta, "policies") {
        let [role, permission, action, effect, ..] = policy.as_slice() else { continue };
        let mut event = events[0].clone();
        let kind = if adds { "backstage_policy_added" } else { "backstage_policy_removed" };
        kind.clone_into(&mut event.kind);
        policy_of(&mut event, role);
        event.right_id = json::cut(&format!("{permission},{action},{effect}"));
        event.right_name = json::cut(permission);
        event.permission = json::cut(permission);
        note(&mut event, "policy_action", action);
        note(&mut event, "effect", effect);
        event.right_change = change(adds);
        if audited.action == "update" {
            note(&mut event, "replaces_unnamed", "true");
        }
        events.push(event);
    }
    events
}

fn policy_of(event: &mut Event, role: &str) {
    "policy".clone_into(&mut event.right_kind);
    "role".clone_into(&mut event.holder_kind);
    event.holder_id = json::cut(&role.to_lowercase());
}

/// A conditional policy: allowed where the conditions hold.
pub(super) fn condition(mut event: Event, audited: &Audited<'_>) -> Vec<Event> {
    let whole = get(&audited.meta, "condition");
    let said = whole.map();
    let role = match get(&said, "roleEntityRef").text() {
        empty if empty.is_empty() => get(&audited.meta, "roleEntityRef").text(),
        role => role,
    };
    policy_of(&mut event, &role);
    let resource_type = get(&said, "resourceType").text();
    let actions: Vec<Cow<'_, str>> = permission_actions(get(&said, "permissionMapping"));
    event.right_id = json::cut(&format!("{resource_type},{},conditional", actions.join("+")));
    event.right_name = json::cut(&resource_type);
    note(&mut event, "plugin", &get(&said, "pluginId").text());
    note(&mut event, "policy_action", &actions.join(","));
    note(&mut event, "effect", "conditional");
    conditions(&mut event, get(&said, "conditions"));
    if !audited.failed {
        let adds = !removes(audited.action);
        event.right_change = change(adds);
        let kind = if adds { "backstage_condition_added" } else { "backstage_condition_removed" };
        kind.clone_into(&mut event.kind);
        if audited.action == "update" {
            note(&mut event, "replaces_unnamed", "true");
        }
    }
    vec![event]
}

/// Actions as words, or (stored form) as objects with an action.
fn permission_actions<'a>(mapping: Raw<'a>) -> Vec<Cow<'a, str>> {
    let items: Vec<Raw<'a>> = mapping.read().unwrap_or_default();
    let word = |item: Raw<'a>| match item.text() {
        empty if empty.is_empty() => get(&item.map(), "action").text(),
        text => text,
    };
    items.into_iter().map(word).filter(|text| !text.is_empty()).collect()
}

/// An array of arrays of strings.
fn rows<'a>(meta: &Map<'a>, key: &str) -> Vec<Vec<Cow<'a, str>>> {
    let rows: Vec<Raw<'a>> = get(meta, key).read().unwrap_or_default();
    rows.into_iter().map(Raw::texts).collect()
}
