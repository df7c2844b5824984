//! Facts of Keycloak's admin events: who holds what from then on.

use super::{EndKind, Ended, Fact, Holder, Lifespans, Parent, RoleName, What, detail, fact, federated};
use crate::moment::Rank;
use events::event::{Event, Outcome, RightChange};

pub(super) fn facts<'a>(event: &'a Event, take: &mut dyn FnMut(Fact<'a>)) {
    if event.outcome == Outcome::Failure {
        return;
    }
    federated::facts(event, take);
    let user = event.person_id.as_str();
    let mut put = |what| take(fact(event, Rank::Change, what));
    if !user.is_empty() && !event.person_name.is_empty() && event.kind != "user_deleted" {
        put(What::Named { user, username: &event.person_name, email: &event.person_email });
    }
    match event.kind.as_str() {
        "group_member_added" | "group_member_removed" => {
            let held = event.kind == "group_member_added";
            put(What::Member { user, group: &event.right_id, path: &event.right_name, held });
        }
        "user_created" => {
            put(What::UserCreated { user });
            enabled(event, &mut put);
        }
        "user_updated" => enabled(event, &mut put),
        "user_deleted" => put(What::UserDeleted { user }),
        "role_granted" | "role_revoked" => {
            let holder = match event.holder_kind.as_str() {
                "group" => Holder::Group(&event.holder_id),
                "" if !user.is_empty() => Holder::User(user),
                _ => return,
            };
            put(What::RoleHeld { holder, role: right(event), held: held(event) });
        }
        "composite_added" | "composite_removed" => {
            let outer = match detail(event, "holder_named_by") {
                "name" => RoleName { id: "", name: &event.holder_id, client: detail(event, "holder_client_uuid") },
                _ => RoleName { id: &event.holder_id, ..RoleName::default() },
            };
            let client = if detail(event, "role_kind") == "client_role" { detail(event, "role_container") } else { "" };
            // Without its client, a client's role would go by the name of a role of the realm.
            let unplaced = client.is_empty() && detail(event, "role_kind") != "realm_role";
            let name = if unplaced && !event.right_id.is_empty() { "" } else { &event.right_name };
            put(What::Composite { outer, inner: RoleName { id: &event.right_id, name, client }, held: held(event) });
        }
        "group_created" | "group_moved" | "group_updated" => {
            let parent = match detail(event, "parent_id") {
                // A new group without a parent in its path is a top group; an update says nothing of the place.
                "" if event.kind == "group_created" => Parent::Top,
                "" => Parent::Unsaid,
                "none" => Parent::Top,
                id => Parent::Below(id),
            };
            if event.kind == "group_created" {
                put(What::GroupCreated { group: &event.right_id });
            }
            put(What::Group { group: &event.right_id, name: &event.right_name, parent });
        }
        "role_deleted" => put(What::RoleDeleted { role: right(event) }),
        "group_deleted" => put(What::GroupDeleted { group: &event.right_id }),
        "default_group_added" => put(What::DefaultGroup { group: &event.right_id, held: true }),
        "default_group_removed" => put(What::DefaultGroup { group: &event.right_id, held: false }),
        "sessions_ended_by_admin" => put(What::Ended { which: Ended::OfUser(user), how: EndKind::Admin }),
        "session_deleted" => {
            put(What::Ended { which: Ended::One { session: &event.session_id, user }, how: EndKind::Admin });
        }
        "realm_updated" => Lifespans::of(event).into_iter().for_each(|said| put(What::Lifespans(said))),
        "all_sessions_ended" => put(What::Ended { which: Ended::OfRealm, how: EndKind::Admin }),
        _ => {}
    }
}

fn enabled<'a>(event: &'a Event, put: &mut dyn FnMut(What<'a>)) {
    match detail(event, "enabled") {
        "" => {}
        flag => put(What::Enabled { user: &event.person_id, enabled: flag == "true" }),
    }
}

fn right(event: &Event) -> RoleName<'_> {
    let client = detail(event, "role_client_uuid");
    let unplaced = event.right_kind == "client_role" && client.is_empty();
    let name = if unplaced && !event.right_id.is_empty() { "" } else { &event.right_name };
    RoleName { id: &event.right_id, name, client }
}

fn held(event: &Event) -> Option<bool> {
    match event.right_change {
        RightChange::Granted => Some(true),
        RightChange::Revoked => Some(false),
        RightChange::RevokedUnnamed | RightChange::None => None,
    }
}
