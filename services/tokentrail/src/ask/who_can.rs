//! `tokentrail who-can`: who had a right at an instant, by every path: a Keycloak group or role, a Backstage role, or a permission.

use super::{WhoCanArgs, at, person, rights};
use crate::{
    status::moment,
    table::{Align, Table},
};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use store::{
    Store,
    correlation::{AliasRecord, EffectiveRecord, RightQuery},
};

/// Persons who have a right.
#[derive(Serialize)]
pub struct Holders {
    at: i64,
    /// Keycloak's groups and roles that are meant, with their names.
    rights: BTreeMap<String, String>,
    /// What policies must speak of to decide on the permission: its name, and the types of resource that it was asked for.
    permissions: Vec<String>,
    policies_known: bool,
    holders: Vec<Holder>,
    right_names: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct Holder {
    names: Vec<AliasRecord>,
    /// `yes`; `on conditions`; `no: denied` where another policy denies; `no: disabled` while the account is.
    can: &'static str,
    #[serde(flatten)]
    right: EffectiveRecord,
}

/// Who has a right.
pub async fn of_right(store: &Store, tenant: &str, args: &WhoCanArgs) -> anyhow::Result<Holders> {
    let at = at(args.at);
    let wanted = args.right.trim();
    let rights = store.rights_named(tenant, wanted).await?;
    let (mut permissions, mut actions) = (BTreeSet::from([wanted.to_owned()]), BTreeSet::new());
    for (kind, action) in store.asked_with(tenant, wanted).await? {
        permissions.extend(Some(kind).filter(|kind| !kind.is_empty()));
        actions.extend(Some(action).filter(|action| !action.is_empty()));
    }
    let query = RightQuery {
        ids: rights.keys().cloned().collect(),
        role: wanted.to_lowercase(),
        permissions: permissions.into_iter().collect(),
        actions: actions.into_iter().collect(),
    };
    let found = store.who_had(tenant, &query, at).await?;
    let denied = denied(&found);
    let persons: BTreeSet<String> = found.iter().map(|one| one.person.clone()).collect();
    let persons: Vec<String> = persons.into_iter().collect();
    let names: BTreeMap<String, Vec<AliasRecord>> =
        store.names_of(tenant, &persons).await?.into_iter().map(|bearer| (bearer.person, bearer.names)).collect();
    let right_names = rights::names(store, tenant, &found).await?;
    let holder = |right: EffectiveRecord| Holder {
        names: names.get(&right.person).cloned().unwrap_or_default(),
        can: can(&right, denied.contains(&whose(&right))),
        right,
    };
    let policies_known = store.knows_policies(tenant, at).await?;
    let holders = found.into_iter().map(holder).collect();
    Ok(Holders { at, rights, permissions: query.permissions, policies_known, holders, right_names })
}

/// What a policy does; nothing of a right that is none.
fn effect(right: &EffectiveRecord) -> Option<&str> {
    if right.right_kind == "permission" { right.right_id.rsplit('|').next() } else { None }
}

/// A person in a source: what one Backstage denies, another may allow.
fn whose(right: &EffectiveRecord) -> (String, String) {
    (right.person.clone(), right.source_id.clone())
}

fn denied(found: &[EffectiveRecord]) -> BTreeSet<(String, String)> {
    found.iter().filter(|one| effect(one) == Some("deny")).map(whose).collect()
}

fn can(right: &EffectiveRecord, denied: bool) -> &'static str {
    match effect(right) {
        _ if right.is_disabled == 1 => "no: disabled",
        Some("deny") => "no: denied",
        // Deny wins over allow.
        Some(_) if denied => "no: denied",
        Some("conditional") => "on conditions",
        _ => "yes",
    }
}

/// For people.
pub fn render_right(found: &Holders) -> String {
    use Align::Left;
    let mut out = String::new();
    for (id, name) in &found.rights {
        out.push_str(&format!("  {name} ({id}) at {}\n", moment(found.at)));
    }
    if found.rights.is_empty() {
        out.push_str(&format!("  {} at {}\n", found.permissions.join(", or "), moment(found.at)));
    }
    let columns = [
        ("who", Left),
        ("can", Left),
        ("right", Left),
        ("through", Left),
        ("from", Left),
        ("until", Left),
        ("by", Left),
        ("", Left),
    ];
    let mut table = Table::new(&columns);
    for holder in &found.holders {
        let [from, to, by, note] = rights::held(&holder.right);
        let right = rights::name(&holder.right, &found.right_names);
        let through = rights::through(&holder.right, &found.right_names);
        table.row(vec![person::names(&holder.names), holder.can.to_owned(), right, through, from, to, by, note]);
    }
    out.push('\n');
    if !found.holders.is_empty() {
        out.push_str(&table.render());
    } else if !found.rights.is_empty() || found.policies_known {
        out.push_str("  nobody, as far as is known\n");
    }
    if !found.policies_known {
        out.push_str("  No policy of a Backstage is known for then: who has a permission there cannot be told.\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permission_is_had_as_its_policies_say_and_only_while_the_account_is_open() {
        let of = |effect: &str, is_disabled| EffectiveRecord {
            person: "p".into(),
            source_id: "bs".into(),
            right_kind: "permission".into(),
            right_id: format!("catalog-entity|delete|{effect}"),
            path: vec!["role:default/owners".into()],
            held_from: None,
            held_to: None,
            granted_at: None,
            granted_by: String::new(),
            granted_in: uuid::Uuid::nil(),
            rests_on_gap: 0,
            by_default: 0,
            is_disabled,
        };
        assert_eq!([can(&of("allow", 0), false), can(&of("conditional", 0), false)], ["yes", "on conditions"]);
        assert_eq!([can(&of("deny", 0), true), can(&of("allow", 0), true)], ["no: denied", "no: denied"]);
        assert_eq!(can(&of("allow", 1), false), "no: disabled");
        let role = EffectiveRecord { right_kind: "role".into(), right_id: "a|b|deny".into(), ..of("", 0) };
        assert_eq!(can(&role, true), "yes", "no policy speaks of a role");
        let elsewhere = EffectiveRecord { source_id: "other".into(), ..of("allow", 0) };
        let found = [of("deny", 0), of("allow", 0), elsewhere];
        let denied = denied(&found);
        let told = found.each_ref().map(|one| can(one, denied.contains(&whose(one))));
        assert_eq!(told, ["no: denied", "no: denied", "yes"]);
    }
}
