//! Keycloak's events in every shape they travel in, read into one: a keycloak-events delivery, the Admin REST API, the plain
//! Jackson form of the in-process `Event` and `AdminEvent` (with nulls), and the flat form of vymalo's keycloak-webhook.
//!
//! Never trusts a name where the shape gives it another meaning: `authDetails.realmId` is a realm name in a delivery and an id
//! in the store; `authDetails.clientId` is a client id for user events and a client's internal UUID for admin events.

mod admin;
mod operations;
mod rights;
mod types;
mod user;

use super::{
    Dead, Normalised,
    catalogue::Entry,
    json::{self, Map, Raw},
    scope::{NativeKey, Scope},
};
use crate::{
    event::Event,
    receipt::{SourceKind, TimeBasis},
};
use serde::Deserialize;
use std::borrow::Cow;

/// Prefix of user event types in a delivery.
const ACCESS: &str = "access.";
/// Prefix of admin event types in a delivery.
const ADMIN: &str = "admin.";
/// Keycloak's operation types.
const OPERATIONS: &[&str] = &["CREATE", "UPDATE", "DELETE", "ACTION"];

/// The union of all shapes; absent fields are empty.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Wire<'a> {
    #[serde(borrow)]
    id: Raw<'a>,
    #[serde(borrow)]
    time: Raw<'a>,
    #[serde(borrow)]
    realm_id: Raw<'a>,
    #[serde(borrow)]
    realm_name: Raw<'a>,
    #[serde(borrow, rename = "type")]
    kind: Raw<'a>,
    #[serde(borrow)]
    auth_details: Raw<'a>,
    #[serde(borrow)]
    details: Raw<'a>,
    #[serde(borrow)]
    error: Raw<'a>,
    #[serde(borrow)]
    resource_type: Raw<'a>,
    #[serde(borrow)]
    resource_type_as_string: Raw<'a>,
    #[serde(borrow)]
    operation_type: Raw<'a>,
    #[serde(borrow)]
    resource_path: Raw<'a>,
    #[serde(borrow)]
    representation: Raw<'a>,
    #[serde(borrow)]
    client_id: Raw<'a>,
    #[serde(borrow)]
    user_id: Raw<'a>,
    #[serde(borrow)]
    session_id: Raw<'a>,
    #[serde(borrow)]
    ip_address: Raw<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct AuthDetails<'a> {
    #[serde(borrow)]
    realm_id: Raw<'a>,
    #[serde(borrow)]
    realm_name: Raw<'a>,
    #[serde(borrow)]
    client_id: Raw<'a>,
    #[serde(borrow)]
    user_id: Raw<'a>,
    #[serde(borrow)]
    ip_address: Raw<'a>,
    #[serde(borrow)]
    username: Raw<'a>,
    #[serde(borrow)]
    session_id: Raw<'a>,
}

/// The shapes that matter for the meaning of fields.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// A keycloak-events delivery.
    Delivery,
    /// As the store or the server's own classes write it.
    Native,
}

/// What an event says, with every field in one meaning. For a user event the subject, for an admin event the acting admin.
struct Said<'a> {
    shape: Shape,
    realm: Cow<'a, str>,
    realm_id: Cow<'a, str>,
    /// Realm of the acting admin: a name in a delivery, an id otherwise.
    auth_realm: Cow<'a, str>,
    user_id: Cow<'a, str>,
    username: Cow<'a, str>,
    client: Cow<'a, str>,
    session_id: Cow<'a, str>,
    ip: Cow<'a, str>,
    error: Cow<'a, str>,
    details: Map<'a>,
}

/// The part of an admin event that names its object.
struct Operation<'a> {
    resource_type: Cow<'a, str>,
    operation: Cow<'a, str>,
    path: Cow<'a, str>,
    representation: Cow<'a, str>,
}

/// Which of the two kinds of event it is.
enum What<'a> {
    User(Cow<'a, str>),
    Admin(Operation<'a>),
}

/// Normalises one Keycloak event of any shape.
pub(super) fn normalise(scope: Scope<'_>, body: &[u8]) -> Normalised {
    match events(scope, body) {
        Ok(normalised) => normalised,
        Err(dead) => Normalised::Dead(dead),
    }
}

fn events(scope: Scope<'_>, body: &[u8]) -> Result<Normalised, Dead> {
    let wire: Wire<'_> = json::body(body)?;
    let what = classify(&wire)?;
    let time = wire.time.integer().ok_or(Dead::MissingField)?;
    let said = said(&wire, &what);

    let mut event = scope.blank();
    (event.time, event.time_min, event.time_max) = (time, time, time);
    event.time_basis = TimeBasis::Event;
    event.native_id = json::cut(&wire.id.text());
    if event.native_id.is_empty() {
        event.native_id.clone_from(&scope.header().native_id);
    }
    event.realm = json::cut(&said.realm);
    event.realm_id = json::cut(&said.realm_id);
    event.ip = json::cut(&said.ip);
    event.error = json::code(&said.error);

    // Only the id that Keycloak gave: so the same event has the same id by webhook, store and pull.
    let key = if event.native_id.is_empty() { scope.fallback_key() } else { NativeKey::from(event.native_id.clone()) };
    let events: Vec<Event> = match &what {
        What::User(native_type) => vec![user::event(scope, event, (native_type, &said))],
        What::Admin(operation) => admin::events(scope, event, (operation, &said)),
    };
    Ok(scope.seal(events, &key))
}

fn classify<'a>(wire: &Wire<'a>) -> Result<What<'a>, Dead> {
    let native = wire.kind.text();
    if let Some(rest) = native.strip_prefix(ACCESS) {
        return Ok(What::User(Cow::Owned(rest.to_owned())));
    }
    let named_resource = match wire.resource_type_as_string.text() {
        empty if empty.is_empty() => wire.resource_type.text(),
        custom => custom,
    };
    let prefixed = native.strip_prefix(ADMIN);
    let operation = wire.operation_type.text();
    if !operation.is_empty() && !named_resource.is_empty() {
        return Ok(What::Admin(admin_operation(wire, named_resource, operation)));
    }
    // A delivery without the split fields, or vymalo's flat form: only `RESOURCE-OPERATION`.
    if let Some((resource, operation)) = prefixed.unwrap_or(&native).rsplit_once('-')
        && OPERATIONS.contains(&operation)
        && (prefixed.is_some() || !wire.auth_details.is_there())
    {
        return Ok(What::Admin(admin_operation(wire, resource.to_owned().into(), operation.to_owned().into())));
    }
    if native.is_empty() {
        return Err(if wire.id.is_there() || wire.time.is_there() { Dead::MissingField } else { Dead::UnknownShape });
    }
    Ok(What::User(native))
}

fn admin_operation<'a>(wire: &Wire<'a>, resource_type: Cow<'a, str>, operation: Cow<'a, str>) -> Operation<'a> {
    Operation { resource_type, operation, path: wire.resource_path.text(), representation: wire.representation.any() }
}

fn said<'a>(wire: &Wire<'a>, what: &What<'_>) -> Said<'a> {
    let auth: AuthDetails<'a> = wire.auth_details.read().unwrap_or_default();
    let prefixed = wire.kind.text().contains('.');
    let shape = if prefixed { Shape::Delivery } else { Shape::Native };
    let first = |here: Raw<'a>, there: Raw<'a>| match here.text() {
        empty if empty.is_empty() => there.text(),
        text => text,
    };
    let mut realm = wire.realm_name.text();
    if realm.is_empty() && shape == Shape::Delivery && matches!(what, What::User(_)) {
        realm = auth.realm_id.text();
    }
    let auth_realm =
        if shape == Shape::Delivery { first(auth.realm_name, auth.realm_id) } else { auth.realm_id.text() };
    Said {
        shape,
        realm,
        realm_id: wire.realm_id.text(),
        auth_realm,
        user_id: first(auth.user_id, wire.user_id),
        username: auth.username.text(),
        client: first(auth.client_id, wire.client_id),
        session_id: first(auth.session_id, wire.session_id),
        ip: first(auth.ip_address, wire.ip_address),
        error: wire.error.text(),
        details: wire.details.map(),
    }
}

/// Every native type that is recognised.
pub(super) fn catalogue() -> Vec<Entry> {
    let users = types::USER_TYPES.iter().map(|(native, kind, data_class)| Entry {
        source: SourceKind::Keycloak,
        native: (*native).to_owned(),
        kind: (*kind).to_owned(),
        data_class: *data_class,
    });
    users.chain(operations::catalogue()).collect()
}
