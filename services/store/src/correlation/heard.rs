//! What a person has in a Backstage as that knows it: by what Keycloak said when the Backstage heard of it last, and by its own roles
//! and policies as they are. What happened in Keycloak since has had no effect there yet.

use super::{
    rights::{EffectiveRecord, OF_NOBODY, RIGHTS_MAX},
    walk::{Edge, Held, World, walk},
};
use crate::{
    Store, StoreError,
    query::{few, rows},
};

/// How far back the last sync of a catalog is looked for, milliseconds: who has not read Keycloak for so long has no clock any more.
const SYNCS_MOST: i64 = 31 * 86_400_000;
/// Rows of the world that Keycloak says, and those of persons that it says.
const OF_KEYCLOAK: [&str; 7] = ["parent", "lives", "group_role", "composite", "name", "disabled", "gone"];

/// What a Backstage knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Source id of the Backstage.
    pub backstage: String,
    /// When it heard of Keycloak, UTC milliseconds.
    pub at: i64,
    /// Whether it heard that accounts were closed.
    pub of_accounts: OfAccounts,
}

/// Whether somebody knows of a closed account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfAccounts {
    /// As of everything else.
    Heard,
    /// A token that lives does not.
    Unheard,
}

impl Store {
    /// When a Backstage last read people and groups from Keycloak at or before `at`, as its own line tells; UTC milliseconds.
    pub async fn catalog_synced(&self, tenant: &str, source: &str, at: i64) -> Result<Option<i64>, StoreError> {
        let sql = "SELECT maxOrNull(toUnixTimestamp64Milli(time)) FROM event_rows WHERE tenant = {tenant:String} \
            AND source_id = {source:String} AND time > fromUnixTimestamp64Milli({from:Int64}, 'UTC') \
            AND time <= fromUnixTimestamp64Milli({at:Int64}, 'UTC') AND kind = 'catalog_synced' AND is_deleted = 0";
        let asked = self.ask(sql).param("tenant", tenant).param("source", source).param("at", at);
        Ok(rows::<Option<i64>>(asked.param("from", at.saturating_sub(SYNCS_MOST))).await?.pop().flatten())
    }

    /// What a person has in a Backstage at `at` by what that heard.
    pub async fn rights_as_heard(
        &self,
        tenant: &str,
        (person, at): (&str, i64),
        heard: &Heard,
    ) -> Result<Vec<EffectiveRecord>, StoreError> {
        let one = [person.to_owned()];
        let held = self.held(tenant, ("person IN {some:Array(String)}", &one)).await?;
        let own = "person IN {some:Array(String)} AND kind IN ('tie', 'gone', 'disabled')";
        let own = self.edges(tenant, (own, &one)).await?;
        let edges = self.edges(tenant, (OF_NOBODY, &[])).await?;
        few(as_heard((held, own, edges), heard, at), RIGHTS_MAX)
    }
}

fn as_heard((held, own, edges): (Vec<Held>, Vec<Edge>, Vec<Edge>), heard: &Heard, at: i64) -> Vec<EffectiveRecord> {
    let held: Vec<Held> = held
        .into_iter()
        .filter(|held| holds((held.from, held.to), heard.at))
        .map(|held| Held { to: None, ..held })
        .collect();
    let knows = |edge: &Edge| edge.kind == "tie" || heard.of_accounts == OfAccounts::Heard;
    let own: Vec<Edge> = own.into_iter().filter(knows).filter_map(|edge| then(edge, heard.at)).collect();
    let edges: Vec<Edge> = edges.into_iter().filter_map(|edge| then(edge, heard.at)).collect();
    let mut found = walk(&held, &own, &World::of(&edges), (at, at));
    found.retain(|right| right.source_id == heard.backstage);
    found
}

fn holds((from, to): (Option<i64>, Option<i64>), at: i64) -> bool {
    from.is_none_or(|from| from <= at) && to.is_none_or(|to| to > at)
}

/// A row as it was when Keycloak was heard: what held then goes on, and nothing else did.
fn then(edge: Edge, heard: i64) -> Option<Edge> {
    if !OF_KEYCLOAK.contains(&edge.kind.as_str()) {
        return Some(edge);
    }
    match holds((edge.from, edge.to), heard) {
        true => Some(Edge { to: None, ..edge }),
        // Of what no row says that it lives it is taken that it always has.
        false if edge.kind == "lives" => Some(Edge { from: Some(0), to: Some(0), ..edge }),
        false => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::correlation::walk::tests::{edge, group, own};

    const BS: &str = "bs";

    fn heard(at: i64, of_accounts: OfAccounts) -> Heard {
        Heard { backstage: BS.to_owned(), at, of_accounts }
    }

    fn had(held: Held, own: &[Edge], (heard, at): (&Heard, i64)) -> Vec<String> {
        let of_backstage = |edge: Edge| Edge { source_id: BS.into(), held_source_id: BS.into(), ..edge };
        let edges = vec![
            Edge { held_source_id: BS.into(), ..edge("name", ("g", "group:default/g"), (None, None)) },
            of_backstage(edge("role_member", ("group:default/g", "role:default/r"), (None, Some(70)))),
            of_backstage(edge("role_member", ("group:default/g", "role:default/late"), (Some(55), None))),
            edge("lives", ("g", ""), (None, Some(60))),
        ];
        let found = as_heard((vec![held], own.to_vec(), edges), heard, at);
        found.into_iter().map(|right| right.right_id).collect()
    }

    #[test]
    fn what_keycloak_said_is_as_it_was_heard_and_what_backstage_says_as_it_is() {
        let taken = || Held { to: Some(40), ..group("g") };
        let none: &[Edge] = &[];
        let by = |at| heard(at, OfAccounts::Heard);
        assert_eq!(had(taken(), none, (&by(30), 50)), ["role:default/r"], "not heard yet that it was taken");
        assert_eq!(
            had(taken(), none, (&by(30), 60)),
            ["role:default/late", "role:default/r"],
            "its own roles count at once"
        );
        assert_eq!(had(taken(), none, (&by(30), 80)), ["role:default/late"]);
        assert!(had(taken(), none, (&by(45), 50)).is_empty());
        assert!(had(taken(), none, (&by(5), 50)).is_empty(), "nor that it was given");
        // The group ends.
        assert_eq!(had(group("g"), none, (&by(59), 65)), ["role:default/late", "role:default/r"]);
        assert!(had(group("g"), none, (&by(61), 65)).is_empty());
    }

    #[test]
    fn a_token_does_not_hear_that_its_account_was_closed() {
        let gone = [own("gone", "u", (Some(20), None))];
        assert!(had(group("g"), &gone, (&heard(50, OfAccounts::Heard), 50)).is_empty());
        assert_eq!(had(group("g"), &gone, (&heard(50, OfAccounts::Unheard), 50)), ["role:default/r"]);
        assert_eq!(had(group("g"), &gone, (&heard(15, OfAccounts::Heard), 50)), ["role:default/r"]);
    }
}
