//! Rights by every path, as `access` and `who-can` print them.

use crate::status::moment;
use std::collections::{BTreeMap, BTreeSet};
use store::{Store, correlation::EffectiveRecord};

/// Names of every right and every step of a path, as last written.
pub(super) async fn names(
    store: &Store,
    tenant: &str,
    rights: &[EffectiveRecord],
) -> anyhow::Result<BTreeMap<String, String>> {
    let ids: BTreeSet<&String> = rights.iter().flat_map(|right| right.path.iter().chain([&right.right_id])).collect();
    let ids: Vec<String> = ids.into_iter().cloned().collect();
    Ok(store.right_names(tenant, &ids).await?)
}

pub(super) fn name(right: &EffectiveRecord, names: &BTreeMap<String, String>) -> String {
    match right.right_kind.as_str() {
        // `permission|actions|effect`, as a person reads it.
        "permission" => right.right_id.replace('|', " "),
        _ => names.get(&right.right_id).unwrap_or(&right.right_id).clone(),
    }
}

/// The path, from the person to the right.
pub(super) fn through(right: &EffectiveRecord, names: &BTreeMap<String, String>) -> String {
    if right.path.is_empty() {
        let way = match (right.right_kind.as_str(), right.by_default) {
            ("backstage_role", _) => "given in Backstage",
            ("group", 1) => "default group",
            (_, 1) => "default role",
            _ => "direct",
        };
        return way.to_owned();
    }
    let steps: Vec<&str> = right.path.iter().map(|step| names.get(step).unwrap_or(step).as_str()).collect();
    let way = steps.join(" > ");
    // What it begins with was given by the realm, and by nobody.
    if right.by_default == 1 { format!("{way} (by default)") } else { way }
}

/// From, until, by whom, and what is to be known.
pub(super) fn held(right: &EffectiveRecord) -> [String; 4] {
    let from = right.held_from.map_or_else(|| "as far back as known".into(), moment);
    let to = right.held_to.map_or_else(|| "still".into(), moment);
    let seen = if right.granted_in.is_nil() { "seen as state" } else { "" };
    let note = if right.rests_on_gap == 1 { "an event is missing" } else { seen };
    [from, to, right.granted_by.clone(), note.to_owned()]
}
