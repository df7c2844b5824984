//! Rights in admin events: memberships, roles, composites, groups. One event per right, in the order of the payload.
//!
//! What an event does not name is never guessed: a removal without names is `RevokedUnnamed`, and the world is unknown until
//! the next snapshot.

use super::{admin::Admin, operations::Reading};
use crate::{
    event::{Event, RightChange},
    normalise::{
        json::{self, Raw, get},
        scope::note,
    },
};
use serde::Deserialize;

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Role<'a> {
    #[serde(borrow)]
    id: Raw<'a>,
    #[serde(borrow)]
    name: Raw<'a>,
    #[serde(borrow)]
    client_role: Raw<'a>,
    #[serde(borrow)]
    container_id: Raw<'a>,
}

fn change(granted: bool) -> RightChange {
    if granted { RightChange::Granted } else { RightChange::Revoked }
}

/// `users/{id}/groups/{id}`: a person joins or leaves a group.
pub(super) fn membership(admin: &Admin<'_>, mut event: Event) -> Event {
    admin.concerns(&mut event, admin.after("users"));
    named_group(admin, &mut event, admin.after("groups"));
    event.right_change = change(admin.granted);
    event
}

/// The group of the representation, under an id that the path gives.
fn named_group(admin: &Admin<'_>, event: &mut Event, id: &str) {
    let group = admin.object();
    let said = get(&group, "id").text();
    "group".clone_into(&mut event.right_kind);
    event.right_id = json::cut(if id.is_empty() { &said } else { id });
    let (path, name) = (get(&group, "path").text(), get(&group, "name").text());
    // Keycloak writes a slash within a name as `~/`.
    let as_last = format!("/{}", name.replace('/', "~/"));
    event.right_name = match path.rsplit_once('/') {
        None => json::cut(&name),
        Some(_) if name.is_empty() || path.ends_with(&as_last) => json::cut(&path),
        // Whoever renames a group can send it as it was read, with the old path beside the new name: the name is what counts.
        Some((above, _)) => json::cut(&format!("{above}{as_last}")),
    };
}

/// The groups that a new user gets at once: no membership events are sent for them, only paths in the representation.
pub(super) fn first_groups(admin: &Admin<'_>, user: Event) -> Vec<Event> {
    let mut events = vec![user];
    let representation = admin.object();
    for path in get(&representation, "groups").texts() {
        let mut event = events[0].clone();
        "group_member_added".clone_into(&mut event.kind);
        "group".clone_into(&mut event.right_kind);
        event.right_name = json::cut(&path);
        event.right_change = RightChange::Granted;
        events.push(event);
    }
    events
}

/// Membership of an organization, or of a group inside one.
pub(super) fn organization_member(admin: &Admin<'_>, mut event: Event) -> Event {
    // `organizations/{id}/members` alone names the member only in the details, where the person is already read.
    let member = admin.after("members").to_owned();
    let member = if member.is_empty() { event.person_id.clone() } else { member };
    admin.concerns(&mut event, &member);
    let organization = admin.after("organizations").to_owned();
    if event.kind.starts_with("group_") {
        named_group(admin, &mut event, admin.after("groups"));
        note(&mut event, "organization_id", &organization);
    } else {
        "organization".clone_into(&mut event.right_kind);
        let what = admin.object();
        event.right_name = json::cut(&get(&what, "name").text());
        event.right_id = organization;
    }
    if event.action != "action" {
        event.right_change = change(admin.granted);
    }
    event
}

/// Roles given to or taken from a person or a group.
pub(super) fn role_mapping(admin: &Admin<'_>, mut event: Event) -> Vec<Event> {
    holder(admin, &mut event, 0);
    let client = admin.after("clients").to_owned();
    let kind = if client.is_empty() { "realm_role" } else { "client_role" };
    each_role(admin, event, |role, event| {
        kind_of(role, kind).clone_into(&mut event.right_kind);
        let container = role.container_id.text();
        if event.right_kind == "client_role" {
            note(event, "role_client_uuid", if client.is_empty() { &container } else { &client });
        }
    })
}

/// Roles put into or taken out of another role. The other role is the holder: by name, or by id below `roles-by-id`.
pub(super) fn composite(admin: &Admin<'_>, mut event: Event) -> Vec<Event> {
    let (by, id) = match admin.after("roles-by-id") {
        "" => ("name", admin.after("roles")),
        id => ("id", id),
    };
    "role".clone_into(&mut event.holder_kind);
    event.holder_id = json::cut(id);
    note(&mut event, "holder_named_by", by);
    note(&mut event, "holder_client_uuid", admin.after("clients"));
    each_role(admin, event, |role, event| {
        "composite".clone_into(&mut event.right_kind);
        note(event, "role_kind", kind_of(role, "role"));
        let container = role.container_id.text();
        note(event, "role_container", &container);
    })
}

/// Roles in the scope of a client or a client scope: what its tokens may carry.
pub(super) fn scope_mapping(admin: &Admin<'_>, mut event: Event) -> Vec<Event> {
    holder(admin, &mut event, 0);
    each_role(admin, event, |role, event| kind_of(role, "role").clone_into(&mut event.right_kind))
}

/// `ui-ext/role-mapping-delete/{holders}/{id}`: the admin console's removal, which names the holder and no role.
pub(super) fn unnamed(admin: &Admin<'_>, mut event: Event, right_kind: &str) -> Event {
    holder(admin, &mut event, 2);
    right_kind.clone_into(&mut event.right_kind);
    event.right_change = RightChange::RevokedUnnamed;
    event
}

/// Holder named by two segments of the path from `at`: a person, or else a kind and an id.
fn holder(admin: &Admin<'_>, event: &mut Event, at: usize) {
    let id = admin.segment(at + 1).to_owned();
    let kind = match admin.segment(at) {
        "users" => return admin.concerns(event, &id),
        "groups" => "group",
        "roles" => "role",
        "clients" => "client",
        "clientScopes" | "client-scopes" => "client_scope",
        _ => return,
    };
    kind.clone_into(&mut event.holder_kind);
    event.holder_id = json::cut(&id);
}

fn kind_of(role: &Role<'_>, unsaid: &'static str) -> &'static str {
    match role.client_role.flag() {
        Some(true) => "client_role",
        Some(false) => "realm_role",
        None => unsaid,
    }
}

/// One event per role of the representation; without any, one that says so.
fn each_role(admin: &Admin<'_>, event: Event, fill: impl Fn(&Role<'_>, &mut Event)) -> Vec<Event> {
    let roles: Vec<Role<'_>> = serde_json::from_str(admin.representation).unwrap_or_default();
    if roles.is_empty() {
        let mut event = event;
        fill(&Role::default(), &mut event);
        event.right_change = if admin.granted { RightChange::Granted } else { RightChange::RevokedUnnamed };
        note(&mut event, "unnamed", "true");
        return vec![event];
    }
    let with = |role: &Role<'_>| {
        let mut event = event.clone();
        event.right_id = json::cut(&role.id.text());
        event.right_name = json::cut(&role.name.text());
        event.right_change = change(admin.granted);
        fill(role, &mut event);
        event
    };
    roles.iter().map(with).collect()
}

/// A role itself: `roles/{name}`, `roles-by-id/{id}`, `clients/{uuid}/roles/{name}`.
pub(super) fn role(admin: &Admin<'_>, mut event: Event) -> Event {
    let client = admin.after("clients").to_owned();
    let of_client = !client.is_empty() || event.resource_kind == "CLIENT_ROLE";
    let said: Role<'_> = serde_json::from_str(admin.representation).unwrap_or_default();
    let (id, name) = (said.id.text(), said.name.text());
    let path_name = admin.after("roles");
    kind_of(&said, if of_client { "client_role" } else { "realm_role" }).clone_into(&mut event.right_kind);
    event.right_id = json::cut(if id.is_empty() { admin.after("roles-by-id") } else { &id });
    // The path names the role as it was; a renaming says the new name.
    event.right_name = json::cut(if path_name.is_empty() { &name } else { path_name });
    if !path_name.is_empty() && !name.is_empty() && name != path_name {
        note(&mut event, "new_name", &name);
    }
    note(&mut event, "role_client_uuid", &client);
    event
}

/// A group itself: created, moved, renamed, deleted, or made a default group. Old name and old parent are never said.
pub(super) fn group(admin: &Admin<'_>, mut event: Event, reading: Reading) -> Event {
    match reading {
        Reading::ChildGroup => {
            named_group(admin, &mut event, "");
            note(&mut event, "parent_id", admin.segment(1));
        }
        Reading::TopGroup => {
            named_group(admin, &mut event, "");
            note(&mut event, "parent_id", "none");
        }
        _ => named_group(admin, &mut event, admin.segment(1)),
    }
    event
}
