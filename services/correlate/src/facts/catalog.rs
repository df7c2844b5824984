//! A recorded state of the catalog, `{"read_at", "entities": [...]}` with every User and Group entity, as one complete read.
//!
//! References are compared as Backstage compares them: in lower case.

use super::{Entity, Fact, List, Piece, Read, What};
use crate::moment::{Millis, Moment, Rank, Span};
use serde::Deserialize;
use std::fmt;
use uuid::Uuid;

/// A recorded state that cannot be read.
#[derive(Debug)]
pub struct BadState(serde_json::Error);

impl fmt::Display for BadState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Position and kind only: the text of the error can quote a name.
        write!(f, "no catalog state: {:?} at byte {}", self.0.classify(), self.0.column())
    }
}

impl std::error::Error for BadState {}

#[derive(Deserialize)]
struct State {
    read_at: f64,
    entities: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    kind: String,
    #[serde(rename = "ref")]
    name: String,
    #[serde(default)]
    keycloak_id: Option<String>,
    #[serde(default)]
    relations: Vec<String>,
}

/// Hands the facts of a recorded state of the catalog of `source` to `take`; `event` is the evidence that they carry.
pub fn catalog(told: (&[u8], &str, Uuid), take: &mut dyn FnMut(&Fact<'_>)) -> Result<(), BadState> {
    let (body, source, event) = told;
    let state: State = serde_json::from_slice(body).map_err(BadState)?;
    // Seconds as a number, of which a double keeps microseconds; out of range saturates.
    let at = (state.read_at * 1_000.0) as Millis;
    let id = event.to_string();
    let mut put = |piece: Piece<'_>| {
        take(&Fact {
            moment: Moment { at, rank: Rank::Read, event },
            span: Span::exact(at),
            source,
            realm: "",
            by: "",
            what: What::Read(Read { id: &id, piece }),
        });
    };
    let references: Vec<String> =
        state.entities.iter().map(|item| format!("{}:{}", item.kind, item.name).to_lowercase()).collect();
    let mut pairs = Vec::new();
    put(Piece::Begin { at });
    for (item, reference) in state.entities.iter().zip(&references) {
        let keycloak = item.keycloak_id.as_deref().unwrap_or("");
        if reference.starts_with("group:") {
            let parent = related(item, "childOf").next().unwrap_or("");
            put(Piece::Entity(Entity::CatalogGroup { reference, keycloak, parent }));
        } else {
            put(Piece::Entity(Entity::CatalogUser { reference, keycloak }));
            pairs.extend(related(item, "memberOf").map(|group| (reference.as_str(), group)));
        }
    }
    let counted = (state.entities.len(), pairs.len());
    put(Piece::List { list: List::CatalogMembers, pairs });
    put(Piece::End {
        at,
        whole: vec![List::Users, List::Groups, List::CatalogMembers],
        entities: counted.0,
        pairs: counted.1,
    });
    Ok(())
}

/// What an entity is related to by `relation`.
fn related<'a>(item: &'a Item, relation: &'a str) -> impl Iterator<Item = &'a str> {
    item.relations.iter().filter_map(move |text| text.strip_prefix(relation)?.strip_prefix(' '))
}
