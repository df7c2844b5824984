//! What representations of the Admin REST API say: which of their fields are kept, and which entities they are.

use super::super::unit::{Element, Found, Item, NotUnderstood, Request, Take, Taken};
use events::snapshot::{Area, fields};
use serde_json::{Map, Value, json};

/// Besides what is told of it.
const REALM: &[&str] = &["id", "realm"];
/// Left out where there is none.
const PASSWORDS: &str = "passwordPolicy";
pub(super) const EVENTS: &[&str] = &[
    "eventsEnabled",
    "eventsExpiration",
    "eventsListeners",
    "enabledEventTypes",
    "adminEventsEnabled",
    "adminEventsDetailsEnabled",
];
const CLIENT: &[&str] = &[
    "id",
    "clientId",
    "name",
    "enabled",
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
    "redirectUris",
    "webOrigins",
    "notBefore",
];
const CLIENT_ATTRIBUTES: &[&str] = &[
    "access.token.lifespan",
    "client.session.idle.timeout",
    "client.session.max.lifespan",
    "client.offline.session.idle.timeout",
    "client.offline.session.max.lifespan",
    "use.refresh.tokens",
    "standard.token.exchange.enabled",
];
const ROLE: &[&str] = &["id", "name", "composite"];
const GROUP: &[&str] = &["id", "name", "path", "parentId"];
const USER: &[&str] = &[
    "id",
    "username",
    "firstName",
    "lastName",
    "email",
    "emailVerified",
    "enabled",
    "createdTimestamp",
    "federationLink",
];
const ORGANIZATION: &[&str] = &["id", "name", "alias", "enabled"];
/// Besides what is told of it.
const IDENTITY_PROVIDER: &[&str] = &["internalId", "config"];
/// Besides what is told of it.
const FLOW: &[&str] = &["id"];
/// Besides what is told of it.
const EXECUTION: &[&str] = &["id"];
const SESSION: &[&str] = &["ipAddress", "start", "rememberMe"];

pub(super) fn read_json<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, NotUnderstood> {
    serde_json::from_slice(bytes).map_err(|_| NotUnderstood)
}

/// Reads an array, each item by `read`.
pub(super) fn each<'a>(read: impl Fn(&Value) -> Result<Element, NotUnderstood> + Send + Sync + 'a) -> Take<'a> {
    Box::new(move |bytes| {
        let items: Vec<Value> = read_json(bytes)?;
        let elements = items.iter().map(&read).collect::<Result<_, _>>()?;
        Ok(Taken { elements, cursor: None })
    })
}

/// Reads one object of which there is one per realm.
pub(super) fn one<'a>(area: Area, fields: &'static [&'static str]) -> Take<'a> {
    Box::new(move |bytes| {
        let value: Value = read_json(bytes)?;
        let element = Element { items: vec![item(area, area.as_str(), pick(&value, fields))], ..Element::default() };
        Ok(Taken { elements: vec![element], cursor: None })
    })
}

/// The realm's settings: found only if they are told in full.
pub(super) fn realm_settings<'a>() -> Take<'a> {
    Box::new(|bytes| {
        let value: Value = read_json(bytes)?;
        if value.get("accessTokenLifespan").is_none() {
            return Ok(Taken::default());
        }
        let mut state = pick_both(&value, (REALM, fields::SETTINGS));
        state[PASSWORDS] = json!(value.get(PASSWORDS).and_then(Value::as_str).unwrap_or_default());
        if let Some(role) = value.get("defaultRole") {
            state["defaultRole"] = pick(role, &["id", "name"]);
        }
        let organizations = value.get("organizationsEnabled").and_then(Value::as_bool).unwrap_or_default();
        let found = Found { id: text(&value, "id")?.to_owned(), marked: organizations, ..Found::default() };
        let items = vec![item(Area::Realm, Area::Realm.as_str(), state)];
        Ok(Taken { elements: vec![Element { items, found: Some(found), ..Element::default() }], cursor: None })
    })
}

pub(super) fn text<'v>(value: &'v Value, field: &str) -> Result<&'v str, NotUnderstood> {
    value.get(field).and_then(Value::as_str).filter(|text| !text.is_empty()).ok_or(NotUnderstood)
}

/// The fields of a representation that are kept.
pub(super) fn pick(value: &Value, fields: &[&str]) -> Value {
    let kept = fields.iter().filter_map(|name| Some(((*name).to_owned(), value.get(*name)?.clone())));
    Value::Object(kept.collect::<Map<_, _>>())
}

fn pick_both(value: &Value, (some, others): (&[&str], &[&str])) -> Value {
    pick(value, &[some, others].concat())
}

pub(super) fn item(area: Area, id: &str, state: Value) -> Item {
    Item { area, id: id.to_owned(), state, names: Value::Null }
}

pub(super) fn client(value: &Value) -> Result<Element, NotUnderstood> {
    let (id, name) = (text(value, "id")?, text(value, "clientId")?);
    let mut state = pick(value, CLIENT);
    if let (Some(attributes), Value::Object(fields)) = (value.get("attributes"), &mut state)
        && let Value::Object(kept) = pick(attributes, CLIENT_ATTRIBUTES)
    {
        fields.extend(kept);
    }
    let marked = value.get("serviceAccountsEnabled").and_then(Value::as_bool).unwrap_or_default();
    let found = Found { id: id.to_owned(), name: name.to_owned(), marked, ..Found::default() };
    let items = vec![item(Area::Clients, id, state)];
    Ok(Element { id: id.to_owned(), order: name.to_owned(), items, found: Some(found), ..Element::default() })
}

pub(super) fn service_account(client: &Found, user: &Value) -> Result<Element, NotUnderstood> {
    let id = text(user, "id")?;
    let state = json!({"client": client.id, "user": id});
    let names = json!({"client": client.name, "user": user.get("username")});
    let item = Item { area: Area::ServiceAccounts, id: format!("{} {id}", client.id), state, names };
    Ok(Element { id: id.to_owned(), items: vec![item], ..Element::default() })
}

pub(super) fn role(value: &Value, client: &str) -> Result<Element, NotUnderstood> {
    let (id, name) = (text(value, "id")?, text(value, "name")?);
    let mut state = pick(value, ROLE);
    if !client.is_empty() {
        state["clientUuid"] = json!(client);
    }
    let marked = value.get("composite").and_then(Value::as_bool).unwrap_or_default();
    let found = Found { id: id.to_owned(), name: name.to_owned(), client: client.to_owned(), marked };
    let items = vec![item(Area::Roles, id, state)];
    Ok(Element { id: id.to_owned(), order: name.to_owned(), items, found: Some(found), ..Element::default() })
}

pub(super) fn group(value: &Value) -> Result<Element, NotUnderstood> {
    let (id, name) = (text(value, "id")?, text(value, "name")?);
    let path = value.get("path").and_then(Value::as_str).unwrap_or_default();
    let children = value.get("subGroupCount").and_then(Value::as_u64).unwrap_or_default() > 0;
    // The endpoint's own default is ten.
    let below = || Request::new(&["groups", id, "children"]).with("briefRepresentation", "false");
    let found = Found { id: id.to_owned(), name: path.to_owned(), ..Found::default() };
    Ok(Element {
        id: id.to_owned(),
        order: name.to_owned(),
        items: vec![item(Area::Groups, id, pick(value, GROUP))],
        below: children.then(below),
        found: Some(found),
    })
}

pub(super) fn default_group(value: &Value) -> Result<Element, NotUnderstood> {
    let id = text(value, "id")?;
    Ok(Element {
        id: id.to_owned(),
        items: vec![item(Area::DefaultGroups, id, pick(value, GROUP))],
        ..Element::default()
    })
}

pub(super) fn user(value: &Value) -> Result<Element, NotUnderstood> {
    let (id, name) = (text(value, "id")?, text(value, "username")?);
    let items = vec![item(Area::Users, id, pick(value, USER))];
    Ok(Element { id: id.to_owned(), order: name.to_owned(), items, ..Element::default() })
}

/// A user and what they belong to: (area, name of the other in the state).
pub(super) fn pair((area, field): (Area, &str), found: &Found, value: &Value) -> Result<Element, NotUnderstood> {
    let (id, name) = (text(value, "id")?, text(value, "username")?);
    let mut state = json!({"user": id, field: found.id});
    if !found.client.is_empty() {
        state["clientUuid"] = json!(found.client);
    }
    let names = json!({"user": name, field: found.name});
    let item = Item { area, id: format!("{id} {}", found.id), state, names };
    Ok(Element { id: id.to_owned(), order: name.to_owned(), items: vec![item], ..Element::default() })
}

pub(super) fn role_group(role: &Found, value: &Value) -> Result<Element, NotUnderstood> {
    let id = text(value, "id")?;
    let mut state = json!({"group": id, "role": role.id});
    if !role.client.is_empty() {
        state["clientUuid"] = json!(role.client);
    }
    let names = json!({"group": value.get("path"), "role": role.name});
    let item = Item { area: Area::RoleGroups, id: format!("{id} {}", role.id), state, names };
    let order = value.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok(Element { id: id.to_owned(), order, items: vec![item], ..Element::default() })
}

pub(super) fn composite(outer: &Found, value: &Value) -> Result<Element, NotUnderstood> {
    let id = text(value, "id")?;
    let mut state = json!({"outer": outer.id, "role": id});
    if value.get("clientRole").and_then(Value::as_bool).unwrap_or_default() {
        state["clientUuid"] = json!(value.get("containerId"));
    }
    let names = json!({"outer": outer.name, "role": value.get("name")});
    let item = Item { area: Area::Composites, id: format!("{} {id}", outer.id), state, names };
    Ok(Element { id: id.to_owned(), items: vec![item], ..Element::default() })
}

pub(super) fn identity_provider(value: &Value) -> Result<Element, NotUnderstood> {
    let (id, alias) = (text(value, "internalId")?, text(value, "alias")?);
    let items =
        vec![item(Area::IdentityProviders, id, pick_both(value, (IDENTITY_PROVIDER, fields::IDENTITY_PROVIDER)))];
    Ok(Element { id: id.to_owned(), order: alias.to_owned(), items, ..Element::default() })
}

pub(super) fn flow(value: &Value) -> Result<Element, NotUnderstood> {
    let (id, alias) = (text(value, "id")?, text(value, "alias")?);
    let found = Found { id: id.to_owned(), name: alias.to_owned(), ..Found::default() };
    let items = vec![item(Area::Flows, id, pick_both(value, (FLOW, fields::FLOW)))];
    Ok(Element { id: id.to_owned(), items, found: Some(found), ..Element::default() })
}

/// One step of a flow, or a flow within it.
pub(super) fn execution(flow: &Found, value: &Value) -> Result<Element, NotUnderstood> {
    let id = text(value, "id")?;
    let mut state = pick_both(value, (EXECUTION, fields::FLOW_EXECUTION));
    state["flow"] = json!(flow.id);
    let item =
        Item { area: Area::FlowExecutions, id: format!("{} {id}", flow.id), state, names: json!({"flow": flow.name}) };
    Ok(Element { id: id.to_owned(), items: vec![item], ..Element::default() })
}

pub(super) fn required_action(value: &Value) -> Result<Element, NotUnderstood> {
    let alias = text(value, "alias")?;
    let items = vec![item(Area::RequiredActions, alias, pick(value, fields::REQUIRED_ACTION))];
    Ok(Element { id: alias.to_owned(), items, ..Element::default() })
}

pub(super) fn organization(value: &Value) -> Result<Element, NotUnderstood> {
    let (id, name) = (text(value, "id")?, text(value, "name")?);
    let found = Found { id: id.to_owned(), name: name.to_owned(), ..Found::default() };
    let items = vec![item(Area::Organizations, id, pick(value, ORGANIZATION))];
    Ok(Element { id: id.to_owned(), order: name.to_owned(), items, found: Some(found), ..Element::default() })
}

pub(super) fn session(area: Area, client: &Found, value: &Value) -> Result<Element, NotUnderstood> {
    let id = text(value, "id")?;
    let mut state = pick(value, SESSION);
    state["session"] = json!(id);
    state["client"] = json!(client.id);
    state["user"] = json!(value.get("userId"));
    let names = json!({"client": client.name, "user": value.get("username")});
    let item = Item { area, id: format!("{id} {}", client.id), state, names };
    Ok(Element { id: id.to_owned(), items: vec![item], ..Element::default() })
}

/// Ids of the clients whose counted sessions are more than none.
pub(super) fn with_sessions(bytes: &[u8], counted: &str) -> Option<Vec<String>> {
    let stats: Vec<Value> = serde_json::from_slice(bytes).ok()?;
    let having = |stat: &&Value| {
        // Counts are written as text.
        let count = stat.get(counted).map(|count| count.as_str().map_or_else(|| count.to_string(), str::to_owned));
        count.is_some_and(|count| count != "0")
    };
    stats.iter().filter(having).map(|stat| Some(stat.get("id")?.as_str()?.to_owned())).collect()
}
