//! The plan of a Backstage: people and groups of the catalog by cursor, roles, policies and conditions of RBAC by REST.
//!
//! Memberships come from the relation memberOf, which holds what the catalog settled on; a group's hasMember says the same and
//! is left out. Without the RBAC plugin its areas are not there; with a token that may not read policies, forbidden.

use super::{
    ask::Ask,
    run::{Run, Stop},
    unit::{Element, Gone, Item, NotUnderstood, Paging, Request, Take, Taken, Unit},
};
use events::snapshot::Area;
use serde_json::{Value, json};

/// Every area of a Backstage.
pub(super) const AREAS: &[Area] = &[
    Area::CatalogUsers,
    Area::CatalogGroups,
    Area::CatalogMembers,
    Area::RbacRoles,
    Area::RbacMembers,
    Area::RbacPolicies,
    Area::RbacConditions,
];
const CATALOG: &[Area] = &[Area::CatalogUsers, Area::CatalogGroups, Area::CatalogMembers];
const ROLES: &[Area] = &[Area::RbacRoles, Area::RbacMembers];

/// What is asked of an entity.
const FIELDS: &str =
    "kind,metadata.name,metadata.namespace,metadata.uid,metadata.annotations,spec.profile.email,relations";
const KEYCLOAK_ID: &str = "keycloak.org/id";
const KEYCLOAK_REALM: &str = "keycloak.org/realm";

/// Reads all of it.
pub(super) async fn read(run: &mut Run<'_>, source: &dyn Ask) -> Result<(), Stop> {
    let page = run.settings.page.to_string();
    let catalog = Request::new(&["api", "catalog", "entities", "by-query"]).with("limit", page).with("fields", FIELDS);
    let kinds = ["kind=user", "kind=group"].map(|kind| ("filter", kind.to_owned())).to_vec();
    let catalog = Request { first: kinds, ..catalog };
    let units = [
        (CATALOG, catalog, Paging::Cursor, Gone::Missing, Box::new(catalog_page) as Take<'_>),
        (ROLES, rbac(&["roles"]), Paging::Whole, Gone::NotThere, each(role)),
        (&[Area::RbacPolicies], rbac(&["policies"]), Paging::Whole, Gone::NotThere, each(policy)),
        (&[Area::RbacConditions], rbac(&["roles", "conditions"]), Paging::Whole, Gone::NotThere, each(condition)),
    ];
    for (areas, request, paging, gone, take) in units {
        run.unit(source, Unit { areas, realm: "", within: "", request, paging, gone, take }).await?;
    }
    Ok(())
}

fn rbac(path: &[&str]) -> Request {
    Request::new(&[&["api", "permission"], path].concat())
}

fn catalog_page(bytes: &[u8]) -> Result<Taken, NotUnderstood> {
    let answer: Value = serde_json::from_slice(bytes).map_err(|_| NotUnderstood)?;
    let items = answer.get("items").and_then(Value::as_array).ok_or(NotUnderstood)?;
    let cursor = answer.pointer("/pageInfo/nextCursor").and_then(Value::as_str).map(str::to_owned);
    Ok(Taken { elements: items.iter().map(entity).collect::<Result<_, _>>()?, cursor })
}

fn text<'v>(value: &'v Value, pointer: &str) -> Result<&'v str, NotUnderstood> {
    value.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty()).ok_or(NotUnderstood)
}

/// A User or Group entity, and its memberships.
fn entity(value: &Value) -> Result<Element, NotUnderstood> {
    let kind = text(value, "/kind")?.to_lowercase();
    let area = match kind.as_str() {
        "user" => Area::CatalogUsers,
        "group" => Area::CatalogGroups,
        _ => return Err(NotUnderstood),
    };
    let namespace = text(value, "/metadata/namespace").unwrap_or("default");
    let reference = format!("{kind}:{namespace}/{}", text(value, "/metadata/name")?).to_lowercase();
    let uid = text(value, "/metadata/uid")?;
    let mut state = json!({"ref": reference, "uid": uid});
    let annotation = |name: &str| value.get("metadata")?.get("annotations")?.get(name)?.as_str();
    let mut put = |name: &str, said: Option<&str>| {
        if let Some(said) = said {
            state[name] = json!(said);
        }
    };
    put("keycloakId", annotation(KEYCLOAK_ID));
    put("keycloakRealm", annotation(KEYCLOAK_REALM));
    put("email", value.pointer("/spec/profile/email").and_then(Value::as_str).filter(|_| kind == "user"));
    let related = |name: &'static str| {
        let relations = value.get("relations").and_then(Value::as_array).into_iter().flatten();
        let of_name = relations.filter(move |relation| relation.get("type").and_then(Value::as_str) == Some(name));
        of_name.filter_map(|relation| relation.get("targetRef").and_then(Value::as_str).map(str::to_lowercase))
    };
    put("parent", related("childOf").next().as_deref());
    let mut items = vec![Item { area, id: reference.clone(), state, names: Value::Null }];
    if area == Area::CatalogUsers {
        items.extend(related("memberOf").map(|group| Item {
            area: Area::CatalogMembers,
            id: format!("{reference} {group}"),
            state: json!({"user": reference, "group": group}),
            names: Value::Null,
        }));
    }
    // Pages follow the entity's uid, which never changes.
    Ok(Element { id: uid.to_owned(), order: uid.to_owned(), items, ..Element::default() })
}

/// Reads an array, each item by `read`.
fn each<'a>(read: fn(&Value) -> Result<Element, NotUnderstood>) -> Take<'a> {
    Box::new(move |bytes| {
        let items: Vec<Value> = serde_json::from_slice(bytes).map_err(|_| NotUnderstood)?;
        Ok(Taken { elements: items.iter().map(read).collect::<Result<_, _>>()?, cursor: None })
    })
}

fn element(items: Vec<Item>) -> Element {
    Element { items, ..Element::default() }
}

fn role(value: &Value) -> Result<Element, NotUnderstood> {
    let role = text(value, "/name")?.to_lowercase();
    let state = json!({"role": role, "source": value.pointer("/metadata/source")});
    let mut items = vec![Item { area: Area::RbacRoles, id: role.clone(), state, names: Value::Null }];
    let members =
        value.get("memberReferences").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    items.extend(members.map(|member| {
        let member = member.to_lowercase();
        Item {
            area: Area::RbacMembers,
            id: format!("{member} {role}"),
            state: json!({"member": member, "role": role}),
            names: Value::Null,
        }
    }));
    Ok(element(items))
}

fn policy(value: &Value) -> Result<Element, NotUnderstood> {
    let role = text(value, "/entityReference")?.to_lowercase();
    let said = ["/permission", "/policy", "/effect"].map(|field| text(value, field));
    let [permission, policy, effect] = said;
    let (permission, policy, effect) = (permission?, policy?, effect?);
    let state = json!({"role": role, "permission": permission, "policy": policy, "effect": effect,
        "source": value.pointer("/metadata/source")});
    let id = json!([role, permission, policy, effect]).to_string();
    Ok(element(vec![Item { area: Area::RbacPolicies, id, state, names: Value::Null }]))
}

fn condition(value: &Value) -> Result<Element, NotUnderstood> {
    let id = value.get("id").map(Value::to_string).ok_or(NotUnderstood)?;
    let role = text(value, "/roleEntityRef")?.to_lowercase();
    let actions: Vec<&Value> = value
        .get("permissionMapping")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(|one| one.get("action").unwrap_or(one))
        .collect();
    let field = |name: &str| value.get(name).cloned().unwrap_or_default();
    let state = json!({"role": role, "pluginId": field("pluginId"), "resourceType": field("resourceType"),
        "result": field("result"), "permissionMapping": actions, "conditions": field("conditions")});
    Ok(element(vec![Item { area: Area::RbacConditions, id, state, names: Value::Null }]))
}
