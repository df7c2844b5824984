//! Admin events: who changed which object, and which right somebody got or lost by it.
//!
//! The acting admin is named by id; a delivery adds the username. Old values are never in an event: `user_updated` says
//! `enabled` as it is from then on, and whether that is a change is told by comparing with what was known before.

use super::{
    Operation, Said, Shape,
    operations::{Reading, operation},
    rights,
};
use crate::{
    event::{DataClass, Event, Outcome},
    normalise::{
        json::{self, Map, get},
        scope::{Scope, note, note_personal},
    },
};

/// Most top-level fields of a representation that are listed by name.
const MAX_FIELDS: usize = 256;
/// Fields of a realm or of its events config that decide what is recorded.
const AUDIT_FIELDS: &[(&str, &str)] = &[
    ("eventsEnabled", "events_enabled"),
    ("adminEventsEnabled", "admin_events_enabled"),
    ("adminEventsDetailsEnabled", "admin_events_details_enabled"),
    ("eventsExpiration", "events_expiration"),
];
/// Fields of a realm that decide how long sessions live, in seconds; snapshots name them alike.
const SESSION_FIELDS: &[&str] = &[
    "ssoSessionIdleTimeout",
    "ssoSessionMaxLifespan",
    "ssoSessionIdleTimeoutRememberMe",
    "ssoSessionMaxLifespanRememberMe",
    "offlineSessionIdleTimeout",
    "offlineSessionMaxLifespanEnabled",
    "offlineSessionMaxLifespan",
];

/// What one admin event offers to the readings.
pub(super) struct Admin<'a> {
    pub scope: Scope<'a>,
    pub segments: Vec<&'a str>,
    pub representation: &'a str,
    pub granted: bool,
}

impl Admin<'_> {
    /// The segment after the first one that equals `name`.
    pub(super) fn after(&self, name: &str) -> &str {
        let at = self.segments.iter().position(|segment| *segment == name);
        at.and_then(|at| self.segments.get(at + 1)).copied().unwrap_or("")
    }

    /// The segment at `index`, or nothing.
    pub(super) fn segment(&self, index: usize) -> &str {
        self.segments.get(index).copied().unwrap_or("")
    }

    /// The representation as an object; empty if there is none.
    pub(super) fn object(&self) -> Map<'_> {
        serde_json::from_str(self.representation).unwrap_or_default()
    }

    /// Names the person by Keycloak id.
    pub(super) fn concerns(&self, event: &mut Event, user_id: &str) {
        event.person_id = json::cut(user_id);
        event.person = self.scope.keycloak_user(&event.person_id);
    }
}

/// The events of one admin event: `event` is filled with what all of them share.
pub(super) fn events(scope: Scope<'_>, mut event: Event, told: (&Operation<'_>, &Said<'_>)) -> Vec<Event> {
    let (op, said) = told;
    let segments: Vec<&str> = op.path.split('/').filter(|segment| !segment.is_empty()).collect();
    let (kind, reading) = operation(&op.resource_type, &op.operation, &segments);
    event.kind = kind.into_owned();
    event.native_type = json::cut(&format!("{}-{}", op.resource_type, op.operation));
    event.data_class = DataClass::Administration;
    event.outcome = if event.error.is_empty() { Outcome::Success } else { Outcome::Failure };
    event.resource_kind = json::cut(&op.resource_type);
    event.resource = json::cut(&op.path);
    event.action = json::cut(&op.operation.to_ascii_lowercase());
    actor(scope, &mut event, said);
    details(&mut event, said);
    let admin = Admin { scope, segments, representation: &op.representation, granted: op.operation != "DELETE" };
    match reading {
        Reading::Object => object(&admin, event),
        Reading::User => vec![user(&admin, event)],
        Reading::UserWithGroups => first_identities(&admin, rights::first_groups(&admin, user(&admin, event))),
        Reading::Membership => vec![rights::membership(&admin, event)],
        Reading::OrganizationMember => vec![rights::organization_member(&admin, event)],
        Reading::RoleMapping => rights::role_mapping(&admin, event),
        Reading::UnnamedRoles => vec![rights::unnamed(&admin, event, "role")],
        Reading::Composite => rights::composite(&admin, event),
        Reading::UnnamedComposite => vec![rights::unnamed(&admin, event, "composite")],
        Reading::ScopeMapping => rights::scope_mapping(&admin, event),
        Reading::UnnamedScope => vec![rights::unnamed(&admin, event, "role")],
        Reading::Role => vec![rights::role(&admin, event)],
        Reading::Group | Reading::ChildGroup | Reading::TopGroup => vec![rights::group(&admin, event, reading)],
        Reading::Session => vec![session(&admin, event)],
        Reading::Realm => realm(&admin, event),
        Reading::AuditConfig => vec![audit_config(&admin.object(), event)],
    }
}

fn actor(scope: Scope<'_>, event: &mut Event, said: &Said<'_>) {
    event.actor_id = json::cut(&said.user_id);
    event.actor = scope.keycloak_user(&event.actor_id);
    event.actor_name = json::cut(&said.username);
    if event.actor.is_some() {
        "admin".clone_into(&mut event.actor_kind);
    }
    note(event, "actor_client_uuid", &said.client);
    // In a delivery that carries a session, realm and session belong to the session acted upon, not to the admin.
    match (said.shape, said.session_id.is_empty()) {
        (Shape::Delivery, true) => note(event, "actor_realm", &said.auth_realm),
        (Shape::Delivery, false) => note(event, "delivery_session_id", &said.session_id),
        (Shape::Native, _) => note(event, "actor_realm_id", &said.auth_realm),
    }
}

/// The details of an admin event name the person it concerns.
fn details(event: &mut Event, said: &Said<'_>) {
    for (key, value) in said.details.iter().take(json::MAX_ENTRIES) {
        let value = value.any();
        match key.0.as_ref() {
            "username" => event.person_name = json::cut(&value),
            "email" => event.person_email = json::cut(&value),
            "userId" => event.person_id = json::cut(&value),
            "apiVersion" => note(event, "api_version", &value),
            other => note_personal(event, &json::cut(other), &value),
        }
    }
}

fn user(admin: &Admin<'_>, mut event: Event) -> Event {
    let user_id = admin.after("users").to_owned();
    admin.concerns(&mut event, &user_id);
    let what = admin.object();
    match admin.segment(2) {
        "" => {}
        "federated-identity" => {
            identity(&mut event, admin.segment(3), &what);
            return event;
        }
        "credentials" => note(&mut event, "credential_id", admin.segment(3)),
        "consents" => note(&mut event, "consent_client", admin.segment(3)),
        _ => return event,
    }
    for (key, column) in [("username", &mut event.person_name), ("email", &mut event.person_email)] {
        let text = get(&what, key).text();
        if !text.is_empty() {
            *column = json::cut(&text);
        }
    }
    for (key, name) in [("enabled", "enabled"), ("emailVerified", "email_verified")] {
        if let Some(flag) = get(&what, key).flag() {
            note(&mut event, name, if flag { "true" } else { "false" });
        }
    }
    note(&mut event, "required_actions", &get(&what, "requiredActions").texts().join(","));
    note_personal(&mut event, "first_name", &get(&what, "firstName").text());
    note_personal(&mut event, "last_name", &get(&what, "lastName").text());
    event
}

/// A login at an identity provider, as Keycloak represents it.
fn identity(event: &mut Event, provider: &str, what: &Map<'_>) {
    note(event, "identity_provider", provider);
    note_personal(event, "identity_provider_user_id", &get(what, "userId").text());
    note_personal(event, "identity_provider_username", &get(what, "userName").text());
}

/// The logins at identity providers that a new user gets at once: no events are sent for them.
fn first_identities(admin: &Admin<'_>, mut events: Vec<Event>) -> Vec<Event> {
    let representation = admin.object();
    let identities: Vec<Map<'_>> = get(&representation, "federatedIdentities").read().unwrap_or_default();
    for what in identities.iter().take(json::MAX_ENTRIES) {
        let mut event = events[0].clone();
        "identity_linked".clone_into(&mut event.kind);
        identity(&mut event, &get(what, "identityProvider").text(), what);
        events.push(event);
    }
    events
}

fn session(admin: &Admin<'_>, mut event: Event) -> Event {
    event.session_id = json::cut(admin.segment(1));
    if let Some(offline) = get(&admin.object(), "offline").flag() {
        note(&mut event, "offline", if offline { "true" } else { "false" });
    }
    event
}

/// An object without a reading of its own: its names, and which fields were sent.
fn object(admin: &Admin<'_>, mut event: Event) -> Vec<Event> {
    let what = admin.object();
    for (key, name) in [("clientId", "client_id"), ("alias", "alias"), ("name", "name"), ("providerId", "provider")] {
        note(&mut event, name, &get(&what, key).text());
    }
    if let Some(enabled) = get(&what, "enabled").flag() {
        note(&mut event, "enabled", if enabled { "true" } else { "false" });
    }
    note(&mut event, "client_uuid", admin.after("clients"));
    fields(&what, &mut event);
    vec![event]
}

/// Names, never values: values can be secrets.
fn fields(what: &Map<'_>, event: &mut Event) {
    let names: Vec<&str> = what.keys().take(MAX_FIELDS).map(|key| key.0.as_ref()).collect();
    note(event, "fields", &names.join(","));
}

/// Realm settings. The console sends all of them each time, so the audit configuration among them is an event of its own that
/// says how it is from now on.
fn realm(admin: &Admin<'_>, mut event: Event) -> Vec<Event> {
    let what = admin.object();
    note(&mut event, "changed_realm", &get(&what, "realm").text());
    if let Some(enabled) = get(&what, "enabled").flag() {
        note(&mut event, "enabled", if enabled { "true" } else { "false" });
    }
    let audited =
        AUDIT_FIELDS.iter().any(|(key, _)| get(&what, key).is_there()) || get(&what, "eventsListeners").is_there();
    // A new realm is recorded in the admin's realm: its settings are not those of the realm that the event is in.
    let config = (audited && event.kind == "realm_updated").then(|| {
        let mut config = event.clone();
        "audit_config_changed".clone_into(&mut config.kind);
        audit_config(&what, config)
    });
    for key in SESSION_FIELDS {
        note(&mut event, key, &get(&what, key).any());
    }
    fields(&what, &mut event);
    std::iter::once(event).chain(config).collect()
}

fn audit_config(what: &Map<'_>, mut event: Event) -> Event {
    for (key, name) in AUDIT_FIELDS {
        note(&mut event, name, &get(what, key).any());
    }
    for (key, name) in [("eventsListeners", "listeners"), ("enabledEventTypes", "enabled_event_types")] {
        let list = get(what, key);
        // An empty list is a statement too: no listener is left.
        if list.is_there() {
            event.details.insert(name.to_owned(), json::cut(&list.texts().join(",")));
        }
    }
    event
}
