//! What every normaliser shares: an event with the receipt's words filled in, person keys, ids and ordinals.

use super::{Context, NORMALISER_VERSION, Normalised};
use crate::{
    event::{DataClass, Event, Outcome, RightChange},
    ids::event_id,
    person::{DeploymentKey, PersonKey},
    receipt::{Receipt, ReceiptHeader, TimeBasis},
};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Kind of an event whose type is not in our tables.
pub(super) const OTHER: &str = "other";

/// One receipt with its context.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    receipt: &'a Receipt,
    context: &'a Context,
}

impl<'a> Scope<'a> {
    pub(super) fn new(receipt: &'a Receipt, context: &'a Context) -> Self {
        Self { receipt, context }
    }

    pub(super) fn header(&self) -> &'a ReceiptHeader {
        &self.receipt.header
    }

    /// An event that says nothing yet beside where it came from; its time is that of the receipt.
    pub(super) fn blank(&self) -> Event {
        let header = self.header();
        Event {
            event_id: Uuid::nil(),
            tenant: header.tenant.clone(),
            source_id: header.source_id.clone(),
            source_kind: header.source_kind,
            input: header.input,
            kind: OTHER.to_owned(),
            native_type: String::new(),
            native_id: String::new(),
            data_class: DataClass::Operational,
            time: header.received_at,
            time_min: header.received_at,
            time_max: header.received_at,
            time_basis: TimeBasis::Receipt,
            outcome: Outcome::Unknown,
            realm: String::new(),
            realm_id: String::new(),
            person: None,
            person_id: String::new(),
            person_name: String::new(),
            person_email: String::new(),
            actor: None,
            actor_kind: String::new(),
            actor_id: String::new(),
            actor_name: String::new(),
            client: String::new(),
            session_id: String::new(),
            code_id: String::new(),
            token_id: String::new(),
            refresh_token_id: String::new(),
            new_refresh_token_id: String::new(),
            ip: String::new(),
            user_agent: String::new(),
            right_kind: String::new(),
            right_id: String::new(),
            right_name: String::new(),
            right_change: RightChange::None,
            holder_kind: String::new(),
            holder_id: String::new(),
            resource_kind: String::new(),
            resource: String::new(),
            permission: String::new(),
            action: String::new(),
            owner_refs: Vec::new(),
            error: String::new(),
            details: BTreeMap::new(),
            personal: BTreeMap::new(),
            receipt: self.receipt.position,
            ordinal: 0,
            received_at: header.received_at,
            normaliser: NORMALISER_VERSION,
        }
    }

    /// The deployment's key, for marks.
    pub(super) fn key(&self) -> &'a DeploymentKey {
        &self.context.key
    }

    /// The key of a Keycloak user id; none for an empty id.
    pub(super) fn keycloak_user(&self, user_id: &str) -> Option<PersonKey> {
        let header = self.header();
        (!user_id.is_empty()).then(|| self.context.key.keycloak_user(&header.tenant, &header.source_id, user_id))
    }

    /// The key of a name without a Keycloak id.
    pub(super) fn named(&self, kind: &str, name: &str) -> Option<PersonKey> {
        let header = self.header();
        (!name.is_empty()).then(|| self.context.key.named(&header.tenant, &header.source_id, kind, name))
    }

    /// Numbers the events of one receipt from 0 and gives them their ids.
    pub(super) fn seal(&self, mut events: Vec<Event>, native_key: &NativeKey) -> Normalised {
        let header = self.header();
        for (event, ordinal) in events.iter_mut().zip(0..) {
            event.ordinal = ordinal;
            event.event_id = event_id(&header.tenant, &header.source_id, &native_key.key, ordinal);
            if native_key.possible_duplicate {
                note(event, "possible_duplicate", "true");
            }
        }
        Normalised::Events(events)
    }

    /// The key of an event that the source gives no id: the delivery's own key if it has one, so that a retry is the same
    /// event; else the receipt, and then a repeat cannot be told.
    pub(super) fn fallback_key(&self) -> NativeKey {
        match delivery_key(self.header()) {
            Some(key) => NativeKey::from(key),
            None => NativeKey { key: format!("receipt:{}", self.receipt.position), possible_duplicate: true },
        }
    }
}

fn delivery_key(header: &ReceiptHeader) -> Option<String> {
    (header.delivery_keyed && !header.delivery_id.is_empty())
        .then(|| format!("delivery:{}:{}", header.delivery_id, header.delivery_index))
}

/// True if copies of this event share the sender's key of their delivery and no time: the source gives neither an id nor a
/// time, so that a repeat is dated anew.
pub fn told_by_delivery_alone(header: &ReceiptHeader, event: &Event) -> bool {
    !matches!(event.time_basis, TimeBasis::Event | TimeBasis::Line)
        && delivery_key(header)
            .is_some_and(|key| event.event_id == event_id(&header.tenant, &header.source_id, &key, event.ordinal))
}

/// What tells one event of a source from all others.
pub(super) struct NativeKey {
    key: String,
    possible_duplicate: bool,
}

impl From<String> for NativeKey {
    fn from(key: String) -> Self {
        Self { key, possible_duplicate: false }
    }
}

/// Writes a detail that is not personal, unless it is empty.
pub(super) fn note(event: &mut Event, key: &str, value: &str) {
    if !value.is_empty() {
        event.details.insert(key.to_owned(), super::json::cut(value));
    }
}

/// Writes a detail that is personal, unless it is empty.
pub(super) fn note_personal(event: &mut Event, key: &str, value: &str) {
    if !value.is_empty() {
        event.personal.insert(key.to_owned(), super::json::cut(value));
    }
}
