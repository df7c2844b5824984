//! One event, two inputs: a pushed and a pulled copy have one id and agree in every canonical field.

mod support;

use events::{
    event::{Event, Outcome},
    normalise::{canonical_fields, conflicts},
    receipt::{Receipt, TimeBasis},
};
use std::collections::BTreeMap;
use support::{events, pulled, webhook};
use uuid::Uuid;

fn by_id(receipts: &[Receipt]) -> BTreeMap<Uuid, Event> {
    receipts.iter().flat_map(events).map(|event| (event.event_id, event)).collect()
}

fn compared(folder: &str, prefix: &str) -> usize {
    let pushed = by_id(&webhook(&format!("{folder}/{prefix}webhook.ndjson")));
    let mut stored = by_id(&pulled(&format!("{folder}/{prefix}events.json")));
    stored.extend(by_id(&pulled(&format!("{folder}/{prefix}admin-events.json"))));
    let mut both = 0;
    for (id, stored) in &stored {
        let pushed = pushed.get(id).unwrap_or_else(|| panic!("not pushed: {stored:#?}"));
        assert_eq!(canonical_fields(pushed), canonical_fields(stored));
        assert_eq!((pushed.time_min, pushed.time_max), (stored.time_min, stored.time_max));
        additions(pushed, stored);
        both += 1;
    }
    // The store keeps only some types; what it has, the webhook had too.
    assert!(pushed.len() >= both);
    both
}

/// What either side may add and the other may not contradict (facts: names of realm and people, the admin's realm, sessions
/// that a delivery alone knows).
fn additions(pushed: &Event, stored: &Event) {
    const PUSHED_ONLY: &[&str] = &["actor_realm", "transient_session_id", "delivery_session_id"];
    const STORED_ONLY: &[&str] = &["actor_realm_id"];
    for (key, value) in &stored.details {
        assert!(STORED_ONLY.contains(&key.as_str()) || pushed.details.get(key) == Some(value), "{key} of {stored:#?}");
    }
    for key in pushed.details.keys() {
        assert!(PUSHED_ONLY.contains(&key.as_str()) || stored.details.contains_key(key), "{key} of {pushed:#?}");
    }
    assert_eq!(pushed.personal, stored.personal);
    for (pushed, stored) in [(&pushed.person_name, &stored.person_name), (&pushed.person_email, &stored.person_email)] {
        assert!(stored.is_empty() || pushed == stored, "{pushed:?} {stored:?}");
    }
}

#[test]
fn a_pushed_and_a_pulled_event_are_one() {
    let (alone, pair) = (compared("keycloak", ""), compared("pair", "keycloak-"));
    assert!(alone >= 60 && pair >= 80, "{alone} {pair}");
}

#[test]
fn an_altered_copy_is_a_conflict_and_a_poorer_one_is_not() {
    let event = events(&webhook("keycloak/webhook.ndjson")[0]).remove(0);
    let mut altered = event.clone();
    altered.client = "evil".into();
    assert_eq!(conflicts(&event, &altered), ["client"]);
    let mut poorer = event.clone();
    poorer.session_id.clear();
    poorer.outcome = Outcome::Unknown;
    (poorer.time, poorer.time_basis) = (event.time + 1, TimeBasis::Receipt);
    assert!(conflicts(&event, &poorer).is_empty());
    poorer.time_basis = event.time_basis;
    assert_eq!(conflicts(&event, &poorer), ["time"]);
}
