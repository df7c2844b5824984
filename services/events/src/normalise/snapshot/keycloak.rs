//! Entities of a Keycloak realm in the columns that Keycloak's events use: the same right has the same kind and id in both.

use super::{Said, note_fields};
use crate::{
    event::Event,
    normalise::{
        json,
        scope::{Scope, note, note_personal},
    },
    snapshot::{Area, fields},
};
use serde_json::Value;

const EVENTS: &[&str] = &["eventsEnabled", "eventsExpiration", "adminEventsEnabled", "adminEventsDetailsEnabled"];

const CLIENT: &[&str] = &[
    "enabled",
    "name",
    "protocol",
    "publicClient",
    "bearerOnly",
    "consentRequired",
    "standardFlowEnabled",
    "implicitFlowEnabled",
    "directAccessGrantsEnabled",
    "serviceAccountsEnabled",
    "fullScopeAllowed",
    "clientAuthenticatorType",
    "rootUrl",
    "baseUrl",
    "notBefore",
    "access.token.lifespan",
    "client.session.idle.timeout",
    "client.session.max.lifespan",
    "client.offline.session.idle.timeout",
    "client.offline.session.max.lifespan",
    "use.refresh.tokens",
    "standard.token.exchange.enabled",
];

/// Lists of addresses, joined by spaces: none has one within.
const ADDRESSES: &[&str] = &["redirectUris", "webOrigins"];

/// Fills the columns of an entity; false if the area is none of Keycloak's.
pub(super) fn fill(scope: Scope<'_>, event: &mut Event, told: (Area, Said<'_>)) -> bool {
    let (area, said) = told;
    match area {
        Area::Realm => {
            event.realm_id = json::cut(said.text("/id"));
            event.resource = json::cut(said.text("/id"));
            note_fields(event, said, fields::SETTINGS);
            note(event, "default_role_id", said.text("/defaultRole/id"));
            // No policy at all is a statement, too.
            if let Some(policy) = said.state.get("passwordPolicy").and_then(Value::as_str) {
                event.details.insert("passwordPolicy".into(), json::cut(policy));
            }
        }
        Area::EventsConfig => {
            note_fields(event, said, EVENTS);
            note(event, "enabledEventTypes", &said.texts("/enabledEventTypes").join(","));
            // An empty list is a statement too: no listener is left.
            if said.state.get("eventsListeners").is_some_and(Value::is_array) {
                let listeners = said.texts("/eventsListeners").join(",");
                event.details.insert("eventsListeners".into(), json::cut(&listeners));
            }
        }
        Area::Clients => {
            event.client = json::cut(said.text("/clientId"));
            event.resource = json::cut(said.text("/id"));
            note_fields(event, said, CLIENT);
            for list in ADDRESSES {
                // An empty one is a statement, too.
                let addresses = said.texts(&format!("/{list}")).join(" ");
                event.details.insert((*list).into(), json::cut(&addresses));
            }
        }
        Area::ServiceAccounts => {
            user(scope, event, said);
            event.client = json::cut(said.name("/client"));
            event.resource = json::cut(said.text("/client"));
        }
        Area::Roles => {
            let client = said.text("/clientUuid");
            let kind = if client.is_empty() { "realm_role" } else { "client_role" };
            right(event, (kind, said.text("/id"), said.text("/name")));
            event.resource = json::cut(said.text("/id"));
            note(event, "role_client_uuid", client);
            note_fields(event, said, &["composite"]);
        }
        Area::Groups | Area::DefaultGroups => {
            right(event, ("group", said.text("/id"), said.text("/path")));
            event.resource = json::cut(said.text("/id"));
            note(event, "parent_id", said.text("/parentId"));
        }
        Area::Users => {
            person(scope, event, (said.text("/id"), said.text("/username")));
            event.person_email = json::cut(said.text("/email"));
            event.resource = json::cut(said.text("/id"));
            note_fields(event, said, &["enabled", "emailVerified", "createdTimestamp", "federationLink"]);
            for name in ["firstName", "lastName"] {
                note_personal(event, name, said.text(&format!("/{name}")));
            }
        }
        Area::Members => {
            user(scope, event, said);
            right(event, ("group", said.text("/group"), said.name("/group")));
        }
        Area::RoleUsers => {
            user(scope, event, said);
            role(event, said, "/role");
        }
        Area::RoleGroups => {
            role(event, said, "/role");
            "group".clone_into(&mut event.holder_kind);
            event.holder_id = json::cut(said.text("/group"));
            note(event, "holder_name", said.name("/group"));
        }
        Area::Composites => {
            "composite".clone_into(&mut event.right_kind);
            event.right_id = json::cut(said.text("/role"));
            event.right_name = json::cut(said.name("/role"));
            "role".clone_into(&mut event.holder_kind);
            event.holder_id = json::cut(said.text("/outer"));
            note(event, "holder_named_by", "id");
            note(event, "holder_name", said.name("/outer"));
            note(event, "role_client_uuid", said.text("/clientUuid"));
        }
        Area::IdentityProviders => {
            event.resource = json::cut(said.text("/internalId"));
            note_fields(event, said, fields::IDENTITY_PROVIDER);
            let config = said.state.get("config").and_then(Value::as_object);
            // Secrets are masked by Keycloak itself, and what is not listed by a keyed mark: that it changed shows.
            for (name, value) in config.into_iter().flatten() {
                note(
                    event,
                    name,
                    value.as_str().filter(|text| text.bytes().any(|byte| byte != b'*')).unwrap_or_default(),
                );
            }
        }
        Area::Flows => {
            event.resource = json::cut(said.text("/id"));
            note_fields(event, said, fields::FLOW);
        }
        Area::FlowExecutions => {
            event.resource = json::cut(said.text("/id"));
            note(event, "flow", said.name("/flow"));
            note_fields(event, said, fields::FLOW_EXECUTION);
        }
        Area::RequiredActions => {
            event.resource = json::cut(said.text("/alias"));
            note_fields(event, said, fields::REQUIRED_ACTION);
        }
        Area::Organizations => {
            right(event, ("organization", said.text("/id"), said.text("/name")));
            event.resource = json::cut(said.text("/id"));
            note_fields(event, said, &["enabled", "alias"]);
        }
        Area::OrganizationMembers => {
            user(scope, event, said);
            right(event, ("organization", said.text("/organization"), said.name("/organization")));
        }
        Area::Sessions | Area::OfflineSessions => {
            user(scope, event, said);
            event.session_id = json::cut(said.text("/session"));
            event.client = json::cut(said.name("/client"));
            event.resource = json::cut(said.text("/client"));
            event.ip = json::cut(said.text("/ipAddress"));
            note_fields(event, said, &["start", "rememberMe"]);
        }
        _ => return false,
    }
    true
}

fn user(scope: Scope<'_>, event: &mut Event, said: Said<'_>) {
    person(scope, event, (said.text("/user"), said.name("/user")));
}

fn person(scope: Scope<'_>, event: &mut Event, (id, name): (&str, &str)) {
    event.person_id = json::cut(id);
    event.person_name = json::cut(name);
    event.person = scope.keycloak_user(&event.person_id);
}

fn right(event: &mut Event, (kind, id, name): (&str, &str, &str)) {
    kind.clone_into(&mut event.right_kind);
    event.right_id = json::cut(id);
    event.right_name = json::cut(name);
}

fn role(event: &mut Event, said: Said<'_>, at: &str) {
    let client = said.text("/clientUuid");
    let kind = if client.is_empty() { "realm_role" } else { "client_role" };
    right(event, (kind, said.text(at), said.name(at)));
    note(event, "role_client_uuid", client);
}
