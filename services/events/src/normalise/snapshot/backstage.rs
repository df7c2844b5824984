//! Entities of a Backstage: people and groups of the catalog, roles, policies and conditions of RBAC.
//!
//! References are compared as Backstage compares them, in lower case. The Keycloak id of an annotation is kept beside the
//! person's name and never joined here.

use super::{Said, note_fields};
use crate::{
    event::Event,
    normalise::{
        json,
        scope::{Scope, note},
    },
    snapshot::Area,
};
use serde_json::Value;

/// Fills the columns of an entity.
pub(super) fn fill(scope: Scope<'_>, event: &mut Event, told: (Area, Said<'_>)) {
    let (area, said) = told;
    match area {
        Area::CatalogUsers => {
            person(scope, event, said.text("/ref"));
            event.person_id = json::cut(said.text("/keycloakId"));
            event.person_email = json::cut(said.text("/email"));
            event.realm = json::cut(said.text("/keycloakRealm"));
            event.resource = json::cut(said.text("/uid"));
        }
        Area::CatalogGroups => {
            group(event, said.text("/ref"));
            event.realm = json::cut(said.text("/keycloakRealm"));
            event.resource = json::cut(said.text("/uid"));
            note(event, "keycloak_id", said.text("/keycloakId"));
            note(event, "parent", &said.text("/parent").to_lowercase());
        }
        Area::CatalogMembers => {
            person(scope, event, said.text("/user"));
            group(event, said.text("/group"));
        }
        Area::RbacRoles => {
            role(event, said.text("/role"));
            note_fields(event, said, &["source"]);
        }
        Area::RbacMembers => {
            let member = said.text("/member").to_lowercase();
            if member.starts_with("user:") {
                person(scope, event, &member);
            } else {
                let kind = member.split(':').next().filter(|kind| *kind == "role").unwrap_or("group");
                kind.clone_into(&mut event.holder_kind);
                event.holder_id = json::cut(&member);
            }
            role(event, said.text("/role"));
        }
        Area::RbacPolicies => {
            held_by_role(event, said);
            let [permission, action, effect] = ["/permission", "/policy", "/effect"].map(|field| said.text(field));
            policy(event, (permission, action, effect));
            event.permission = json::cut(permission);
        }
        Area::RbacConditions => {
            held_by_role(event, said);
            let actions = said.texts("/permissionMapping");
            policy(event, (said.text("/resourceType"), &actions.join("+"), "conditional"));
            note(event, "plugin", said.text("/pluginId"));
            note(event, "conditions", &said.state.pointer("/conditions").map(Value::to_string).unwrap_or_default());
        }
        _ => {}
    }
}

fn person(scope: Scope<'_>, event: &mut Event, reference: &str) {
    let reference = reference.to_lowercase();
    event.person = scope.named("user", &reference);
    event.person_name = json::cut(&reference);
}

fn group(event: &mut Event, reference: &str) {
    named(event, ("catalog_group", &reference.to_lowercase()));
}

fn role(event: &mut Event, reference: &str) {
    named(event, ("backstage_role", &reference.to_lowercase()));
}

fn named(event: &mut Event, (kind, reference): (&str, &str)) {
    kind.clone_into(&mut event.right_kind);
    event.right_id = json::cut(reference);
    event.right_name = json::cut(reference);
}

fn held_by_role(event: &mut Event, said: Said<'_>) {
    "role".clone_into(&mut event.holder_kind);
    event.holder_id = json::cut(&said.text("/role").to_lowercase());
}

/// A policy's id is what it says, as in the audit lines of its changes.
fn policy(event: &mut Event, (permission, action, effect): (&str, &str, &str)) {
    "policy".clone_into(&mut event.right_kind);
    event.right_id = json::cut(&format!("{permission},{action},{effect}"));
    event.right_name = json::cut(permission);
    note(event, "policy_action", action);
    note(event, "effect", effect);
}
