//! The fields that must agree between two inputs of one event, and the conflicts between them.
//!
//! A delivery adds names that the store does not have and the store ids that a delivery does not have (realm of the admin,
//! usernames, sessions of deleted users): those are no canonical fields.

use crate::{
    event::{Event, Outcome, RightChange},
    receipt::TimeBasis,
};

/// The canonical fields of an event by name. A repeated event that differs in one of them was altered on its way.
pub fn canonical_fields(event: &Event) -> [(&'static str, String); 27] {
    let key = |key: &Option<crate::person::PersonKey>| key.as_ref().map(|key| key.0.clone()).unwrap_or_default();
    [
        ("event_id", event.event_id.to_string()),
        ("kind", event.kind.clone()),
        ("native_type", event.native_type.clone()),
        ("time", event.time.to_string()),
        ("outcome", event.outcome.as_str().to_owned()),
        ("realm_id", event.realm_id.clone()),
        ("person", key(&event.person)),
        ("person_id", event.person_id.clone()),
        ("actor", key(&event.actor)),
        ("actor_id", event.actor_id.clone()),
        ("client", event.client.clone()),
        ("session_id", event.session_id.clone()),
        ("code_id", event.code_id.clone()),
        ("token_id", event.token_id.clone()),
        ("refresh_token_id", event.refresh_token_id.clone()),
        ("new_refresh_token_id", event.new_refresh_token_id.clone()),
        ("ip", event.ip.clone()),
        ("right_kind", event.right_kind.clone()),
        ("right_id", event.right_id.clone()),
        ("right_name", event.right_name.clone()),
        ("right_change", event.right_change.as_str().to_owned()),
        ("holder_kind", event.holder_kind.clone()),
        ("holder_id", event.holder_id.clone()),
        ("resource_kind", event.resource_kind.clone()),
        ("resource", event.resource.clone()),
        ("action", event.action.clone()),
        ("error", event.error.clone()),
    ]
}

/// Names of the canonical fields in which two inputs of one event contradict each other. A field that one side leaves empty is
/// no contradiction (a store without representations names no right), nor are an outcome that one side does not know, a removal that it
/// cannot name and a time that its source did not tell. The views `events` and `events_in` say the same of what is stored, whatever the number of inputs.
pub fn conflicts(one: &Event, other: &Event) -> Vec<&'static str> {
    let sides = [one, other];
    let unnamed = sides.iter().any(|event| event.right_change == RightChange::RevokedUnnamed);
    let unknown = sides.iter().any(|event| event.outcome == Outcome::Unknown);
    let pairs = canonical_fields(one).into_iter().zip(canonical_fields(other));
    let dated = sides.iter().all(|event| matches!(event.time_basis, TimeBasis::Event | TimeBasis::Line));
    let differs = |((name, left), (_, right)): ((&'static str, String), (_, String))| {
        let said = !left.is_empty() && !right.is_empty() && left != right;
        let carried = match name {
            "right_change" => !unnamed,
            "outcome" => !unknown,
            "time" => dated,
            _ => true,
        };
        (said && carried).then_some(name)
    };
    pairs.filter_map(differs).collect()
}
