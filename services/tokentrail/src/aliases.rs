//! Who is who between Keycloak and Backstage: the catalog annotation `keycloak.org/id` as it was recorded, with the time
//! from which it is known. Never joins by equal names. Pure.

use serde::Deserialize;
use std::collections::BTreeMap;

/// An entity reference that the catalog tied to a Keycloak user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias {
    /// Keycloak user id.
    pub keycloak_id: String,
    /// Entity reference as Backstage writes it in its lines, lower case: `user:default/ann`.
    pub entity_ref: String,
    /// First and last reading that showed it, UTC milliseconds.
    pub seen: (i64, i64),
}

#[derive(Deserialize)]
struct State {
    read_at: f64,
    entities: Vec<Entity>,
}

#[derive(Deserialize)]
struct Entity {
    #[serde(default)]
    kind: String,
    #[serde(default, rename = "ref")]
    reference: String,
    #[serde(default)]
    keycloak_id: Option<String>,
}

/// Gathers the aliases of users from recorded states of the catalog, in any order; states that cannot be read are skipped.
pub fn gather<'a>(states: impl Iterator<Item = &'a [u8]>) -> Vec<Alias> {
    let mut seen: BTreeMap<(String, String), (i64, i64)> = BTreeMap::new();
    for state in states.filter_map(|bytes| serde_json::from_slice::<State>(bytes).ok()) {
        #[allow(clippy::cast_possible_truncation)] // seconds since the epoch: far below 2^53
        let at = (state.read_at * 1000.0) as i64;
        for entity in state.entities {
            let Some(id) = entity.keycloak_id.filter(|id| !id.is_empty() && entity.kind.eq_ignore_ascii_case("user"))
            else {
                continue;
            };
            let reference = format!("user:{}", entity.reference.to_lowercase());
            let span = seen.entry((id, reference)).or_insert((at, at));
            *span = (span.0.min(at), span.1.max(at));
        }
    }
    seen.into_iter().map(|((keycloak_id, entity_ref), seen)| Alias { keycloak_id, entity_ref, seen }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_tied_by_annotation_only_and_order_does_not_matter() {
        let early = br#"{"read_at": 10.5, "entities": [{"kind":"User","ref":"default/Ann","keycloak_id":"k1"},{"kind":"Group","ref":"default/ops","keycloak_id":"g"},{"kind":"User","ref":"default/bot"}]}"#;
        let late = br#"{"read_at": 20, "entities": [{"kind":"User","ref":"default/ann","keycloak_id":"k1"}]}"#;
        let expected =
            [Alias { keycloak_id: "k1".into(), entity_ref: "user:default/ann".into(), seen: (10_500, 20_000) }];
        assert_eq!(gather([early.as_slice(), late].into_iter()), expected);
        assert_eq!(gather([late.as_slice(), b"no json", early].into_iter()), expected);
    }
}
