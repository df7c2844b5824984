//! What a status tells of the two ways out of one Keycloak: what the one brought and the other did not, and which types are not saved.

use serde::{Deserialize, Serialize};
use store::{PathCounts, Store, StoreError, UnsavedType};

/// What webhook or topic, and pull, of one Keycloak say of each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathReport {
    /// Source id.
    pub source: String,
    /// Events that both brought.
    pub both: u64,
    /// Events that webhook or topic lost and pull repaired.
    pub lost_by_webhook: u64,
    /// Events that only webhook or topic brought: their types are not saved in Keycloak.
    pub not_saved: u64,
    /// Which types those of the last day are, the most frequent first.
    #[serde(default)]
    pub not_saved_types: Vec<NotSaved>,
}

/// A type of one realm that Keycloak pushed and did not save.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotSaved {
    /// Realm.
    pub realm: String,
    /// Type: `LOGIN`, or of admin events `USER-CREATE`.
    pub native_type: String,
    /// How many of the last day, of the newest 200,000 events that were looked at.
    pub events: u64,
    /// The last of them, UTC milliseconds.
    pub last: i64,
}

/// Names the types of what was only pushed. `before`: what is younger may still come by the other way, UTC milliseconds.
pub(super) async fn reports(
    (store, tenant): (&Store, &str),
    counted: Vec<PathCounts>,
    before: i64,
) -> Result<Vec<PathReport>, StoreError> {
    let mut reports = Vec::new();
    for path in counted {
        let types = match path.push_only {
            0 => Vec::new(),
            _ => store.pushed_alone((tenant, &path.source_id), before).await?,
        };
        reports.push(path_report(path, types));
    }
    Ok(reports)
}

fn path_report(counted: PathCounts, types: Vec<UnsavedType>) -> PathReport {
    let type_report = |one: UnsavedType| NotSaved {
        realm: one.realm,
        native_type: one.native_type,
        events: one.events,
        last: one.last,
    };
    PathReport {
        source: counted.source_id,
        both: counted.both,
        lost_by_webhook: counted.pull_only,
        not_saved: counted.push_only,
        not_saved_types: types.into_iter().map(type_report).collect(),
    }
}
