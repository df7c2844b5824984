//! `tokentrail access` and `tokentrail who-can`: who holds which right directly, at an instant or over a time.

use super::{AccessArgs, WhoCanArgs, at, one_person, person};
use crate::{
    status::moment,
    table::{Align, Table},
};
use serde::Serialize;
use std::collections::BTreeMap;
use store::{
    Store,
    correlation::{AliasRecord, GrantRecord},
};

/// Rights of a person.
#[derive(Serialize)]
pub struct Access {
    person: String,
    names: Vec<AliasRecord>,
    from: i64,
    to: i64,
    grants: Vec<GrantRecord>,
    right_names: BTreeMap<String, String>,
}

/// Persons who hold a right.
#[derive(Serialize)]
pub struct Holders {
    at: i64,
    rights: BTreeMap<String, String>,
    holders: Vec<Holder>,
}

#[derive(Serialize)]
struct Holder {
    names: Vec<AliasRecord>,
    grant: GrantRecord,
}

/// What somebody holds directly.
pub async fn of_person(store: &Store, tenant: &str, args: &AccessArgs) -> anyhow::Result<Access> {
    let bearer = one_person(store, tenant, &args.person).await?;
    let (from, to) = match (args.from, args.to) {
        (None, None) => (at(args.at), at(args.at).saturating_add(1)),
        (from, to) => (from.map_or(i64::MIN, |from| from.0), at(to)),
    };
    let held = store.records_of::<GrantRecord>(tenant, std::slice::from_ref(&bearer.person), to).await?;
    let grants: Vec<GrantRecord> =
        held.into_iter().filter(|grant| grant.held_to.is_none_or(|end| end > from)).collect();
    let rights: Vec<String> = grants.iter().map(|grant| grant.right_id.clone()).collect();
    let right_names = store.right_names(tenant, &rights).await?;
    Ok(Access { person: bearer.person, names: bearer.names, from, to, grants, right_names })
}

/// Who holds a right directly.
pub async fn of_right(store: &Store, tenant: &str, args: &WhoCanArgs) -> anyhow::Result<Holders> {
    let at = at(args.at);
    let rights = store.rights_named(tenant, &args.right).await?;
    let mut grants = Vec::new();
    for right in rights.keys() {
        grants.extend(store.holders(tenant, right, at).await?);
    }
    let persons: Vec<String> = grants.iter().map(|grant| grant.person.clone()).collect();
    let names: BTreeMap<String, Vec<AliasRecord>> =
        store.names_of(tenant, &persons).await?.into_iter().map(|bearer| (bearer.person, bearer.names)).collect();
    let holder = |grant: GrantRecord| Holder { names: names.get(&grant.person).cloned().unwrap_or_default(), grant };
    Ok(Holders { at, rights, holders: grants.into_iter().map(holder).collect() })
}

fn held(grant: &GrantRecord) -> [String; 3] {
    let from = grant.held_from.map_or_else(|| "as far back as known".into(), moment);
    let to = grant.held_to.map_or_else(|| "still".into(), moment);
    [from, to, if grant.rests_on_gap == 1 { "an event is missing".into() } else { String::new() }]
}

/// For people.
pub fn render_person(access: &Access) -> String {
    use Align::Left;
    let mut out = format!("  {} (person {})\n\n", person::names(&access.names), access.person);
    if access.grants.is_empty() {
        out.push_str("  holds nothing directly then, as far as is known\n");
        return out;
    }
    let mut table = Table::new(&[("right", Left), ("kind", Left), ("from", Left), ("until", Left), ("", Left)]);
    for grant in &access.grants {
        let [from, to, note] = held(grant);
        let name = access.right_names.get(&grant.right_id).unwrap_or(&grant.right_id);
        table.row(vec![name.clone(), grant.right_kind.clone(), from, to, note]);
    }
    out.push_str(&table.render());
    out.push_str("\n  Held directly in Keycloak; what follows from groups above, composite roles and Backstage roles is not listed.\n");
    out
}

/// For people.
pub fn render_right(found: &Holders) -> String {
    use Align::Left;
    if found.rights.is_empty() {
        return "  no group or role of that id, path or name is known\n".into();
    }
    let mut out = String::new();
    for (id, name) in &found.rights {
        out.push_str(&format!("  {name} ({id}) at {}\n", moment(found.at)));
    }
    let mut table = Table::new(&[("who", Left), ("right", Left), ("from", Left), ("until", Left), ("", Left)]);
    for holder in &found.holders {
        let [from, to, note] = held(&holder.grant);
        let right = found.rights.get(&holder.grant.right_id).cloned().unwrap_or_default();
        table.row(vec![person::names(&holder.names), right, from, to, note]);
    }
    out.push('\n');
    out.push_str(&if found.holders.is_empty() {
        "  nobody directly, as far as is known\n".into()
    } else {
        table.render()
    });
    out.push_str(
        "\n  Held directly in Keycloak; through groups below, composite roles and Backstage roles is not listed.\n",
    );
    out
}
