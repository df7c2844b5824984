//! Who has a right, asked from the right: what leads to it is looked for first, in the tree of groups, roles and Backstage's roles, which
//! is small; then only those are read who hold something of that. Times are left to the view: what led to it once is looked at, too.

use super::rights::{EVER, EffectiveRecord, RIGHTS_MAX, RightQuery};
use crate::{
    Store, StoreError,
    query::{all, rows},
};
use std::collections::{BTreeMap, BTreeSet};

/// Most things that lead to a right of which the question can name each; above that, everybody is asked.
const TOWARDS_MOST: usize = 1_000;

impl Store {
    /// Who had one of some rights at an instant, by every path.
    pub async fn who_had(&self, tenant: &str, query: &RightQuery, at: i64) -> Result<Vec<EffectiveRecord>, StoreError> {
        let mut wanted: Vec<String> = query.ids.clone();
        wanted.extend(Some(&query.role).filter(|role| !role.is_empty()).cloned());
        wanted.extend(self.policies_of(tenant, query).await?);
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let edges = "SELECT DISTINCT holder, held FROM world_rows WHERE tenant = {tenant:String} AND person = '' AND is_deleted = 0 \
             AND kind IN ('parent', 'group_role', 'composite', 'name', 'role_member', 'policy')";
        let edges: Vec<(String, String)> = rows(self.ask(edges).param("tenant", tenant)).await?;
        let mut towards = leading_to(&edges, &wanted);
        if towards.len() > TOWARDS_MOST {
            // No restriction.
            towards.clear();
        }
        let sql = "SELECT ?fields FROM effective_towards(tenant = {tenant:String}, person = '', from = {at:Int64}, to = {at:Int64}, \
               towards = {towards:Array(String)}) \
             WHERE (right_kind IN ('group', 'role') AND right_id IN {ids:Array(String)}) \
             OR (right_kind = 'backstage_role' AND right_id = {role:String}) \
             OR (right_kind = 'permission' AND splitByChar('|', right_id)[1] IN {permissions:Array(String)} \
               AND (empty({actions:Array(String)}) OR hasAny(splitByChar(',', splitByChar('|', right_id)[2]), {actions:Array(String)}))) \
             ORDER BY right_kind, right_id, person, path LIMIT {beyond:UInt32}";
        let asked = self.ask(sql).param("tenant", tenant).param("at", at.clamp(-EVER, EVER)).param("towards", &towards);
        let asked = asked.param("ids", &query.ids).param("role", &query.role);
        all(asked.param("permissions", &query.permissions).param("actions", &query.actions), RIGHTS_MAX).await
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

/// Everything from which something of `wanted` can be reached along (holder, held), and that itself, in order.
fn leading_to(edges: &[(String, String)], wanted: &[String]) -> Vec<String> {
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
        let edge = |holder: &str, held: &str| (holder.to_owned(), held.to_owned());
        let edges = [edge("a", "b"), edge("b", "c"), edge("c", "a"), edge("x", "b"), edge("c", "y"), edge("p", "q")];
        let found = |wanted: &str| leading_to(&edges, &[wanted.to_owned()]);
        assert_eq!(found("b"), ["a", "b", "c", "x"]);
        assert_eq!(found("y"), ["a", "b", "c", "x", "y"]);
        assert_eq!(found("p"), ["p"]);
    }
}
