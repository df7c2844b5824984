//! Who has a right, asked from the right: what leads to it is looked for first, in the tree of groups, roles and Backstage's roles, which
//! is small; then only those are read who hold something of that, and walked from. What led to it once is looked at, too.

use super::{
    rights::{EffectiveRecord, OF_NOBODY, RIGHTS_MAX, RightQuery},
    walk::{World, walk},
};
use crate::{
    Store, StoreError,
    query::{few, rows},
};
use std::collections::{BTreeMap, BTreeSet};

impl Store {
    /// Who had one of some rights at an instant, by every path.
    pub async fn who_had(&self, tenant: &str, query: &RightQuery, at: i64) -> Result<Vec<EffectiveRecord>, StoreError> {
        let mut wanted: Vec<String> = query.ids.clone();
        wanted.extend(Some(&query.role).filter(|role| !role.is_empty()).cloned());
        wanted.extend(self.policies_of(tenant, query).await?);
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let edges = self.edges(tenant, (OF_NOBODY, &[])).await?;
        let steps: Vec<(&str, &str)> =
            edges.iter().filter(|edge| edge.kind != "lives").map(|edge| (&*edge.holder, &*edge.held)).collect();
        let towards = leading_to(&steps, &wanted);
        let held = self.held(tenant, ("right_id IN {some:Array(String)}", &towards)).await?;
        let ties =
            self.edges(tenant, ("person != '' AND kind = 'tie' AND holder IN {some:Array(String)}", &towards)).await?;
        let persons: BTreeSet<&str> =
            held.iter().map(|held| &*held.person).chain(ties.iter().map(|tie| &*tie.person)).collect();
        let persons: Vec<String> = persons.into_iter().map(str::to_owned).collect();
        let mut own = match persons.is_empty() {
            true => Vec::new(),
            false => {
                self.edges(tenant, ("person IN {some:Array(String)} AND kind IN ('gone', 'disabled')", &persons))
                    .await?
            }
        };
        own.extend(ties);
        let within: BTreeSet<&str> = towards.iter().map(String::as_str).collect();
        let mut edges = edges;
        edges.retain(|edge| edge.kind == "lives" || within.contains(&*edge.held));
        let mut found = walk(&held, &own, &World::of(&edges), (at, at));
        found.retain(|row| asked_for(query, row));
        few(found, RIGHTS_MAX)
    }

    /// Every policy that ever spoke of what is asked for, as the view calls it.
    async fn policies_of(&self, tenant: &str, query: &RightQuery) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT DISTINCT held FROM world_rows WHERE tenant = {tenant:String} AND person = '' AND kind = 'policy' AND is_deleted = 0 \
             AND splitByChar('|', held)[1] IN {permissions:Array(String)} \
             AND (empty({actions:Array(String)}) OR hasAny(splitByChar(',', splitByChar('|', held)[2]), {actions:Array(String)}))";
        let asked = self.ask(sql).param("tenant", tenant).param("permissions", &query.permissions);
        rows(asked.param("actions", &query.actions)).await
    }
}

fn asked_for(query: &RightQuery, row: &EffectiveRecord) -> bool {
    let mut parts = row.right_id.split('|');
    match row.right_kind.as_str() {
        "group" | "role" => query.ids.contains(&row.right_id),
        "backstage_role" => query.role == row.right_id,
        "permission" => {
            let permission = parts.next().is_some_and(|name| query.permissions.iter().any(|one| one == name));
            let mut actions = parts.next().unwrap_or_default().split(',');
            permission
                && (query.actions.is_empty() || actions.any(|action| query.actions.iter().any(|one| one == action)))
        }
        _ => false,
    }
}

/// Everything from which something of `wanted` can be reached along (holder, held), and that itself, in order.
fn leading_to(edges: &[(&str, &str)], wanted: &[String]) -> Vec<String> {
    let mut holders: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (holder, held) in edges {
        holders.entry(held).or_default().push(holder);
    }
    let mut found: BTreeSet<&str> = wanted.iter().map(String::as_str).collect();
    let mut next: Vec<&str> = found.iter().copied().collect();
    while let Some(held) = next.pop() {
        for holder in holders.get(held).into_iter().flatten() {
            if found.insert(holder) {
                next.push(holder);
            }
        }
    }
    found.into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leads_to_a_right_is_found_through_circles_and_nothing_else_is() {
        let edge = |holder: &'static str, held: &'static str| (holder, held);
        let edges = [edge("a", "b"), edge("b", "c"), edge("c", "a"), edge("x", "b"), edge("c", "y"), edge("p", "q")];
        let found = |wanted: &str| leading_to(&edges, &[wanted.to_owned()]);
        assert_eq!(found("b"), ["a", "b", "c", "x"]);
        assert_eq!(found("y"), ["a", "b", "c", "x", "y"]);
        assert_eq!(found("p"), ["p"]);
    }
}
