//! One event from the copies that its inputs brought, field by field with the precedence of the view `events`.
//!
//! Holds what the correlation reads of an event and nothing else: no receipt, no address, and of personal details only what a login at
//! an identity provider is called.

use crate::{StoreError, query::unknown};
use clickhouse::Row;
use events::{
    event::{Event, Outcome},
    ids::{Position, StreamId},
    receipt::{Input, TimeBasis},
};
use serde::Deserialize;
use uuid::Uuid;

/// Columns of [`Copy`], for a `SELECT` on `event_rows`.
pub(super) const COLUMNS: &str = "source_id, time, event_id, input, source_kind, kind, native_type, data_class, earlier_ms, \
    later_ms, outcome, realm, realm_id, person_id, person_name, person_email, actor_kind, \
    if(bitTest(same, 2), person_id, actor_id) AS actor_id, if(bitTest(same, 3), person_name, actor_name) AS actor_name, client, \
    session_id, if(bitTest(same, 0), session_id, code_id) AS code_id, token_id, refresh_token_id, new_refresh_token_id, \
    right_kind, right_id, right_name, right_change, holder_kind, holder_id, resource_kind, resource, permission, action, \
    owner_refs, error, CAST(details, 'Map(String, String)') AS details, \
    mapFilter((key, value) -> startsWith(key, 'identity_provider_'), CAST(personal, 'Map(String, String)')) AS personal, \
    toInt64(281474976710655 - bitAnd(version, 281474976710655)) AS received_at";

/// The word of one input.
#[derive(Row, Deserialize)]
pub(super) struct Copy {
    pub source_id: String,
    pub time: i64,
    #[serde(with = "clickhouse::serde::uuid")]
    pub event_id: Uuid,
    input: String,
    source_kind: String,
    kind: String,
    native_type: String,
    data_class: String,
    earlier_ms: i64,
    later_ms: i64,
    outcome: String,
    realm: String,
    realm_id: String,
    person_id: String,
    person_name: String,
    person_email: String,
    actor_kind: String,
    actor_id: String,
    actor_name: String,
    client: String,
    session_id: String,
    code_id: String,
    token_id: String,
    refresh_token_id: String,
    new_refresh_token_id: String,
    right_kind: String,
    right_id: String,
    right_name: String,
    right_change: String,
    holder_kind: String,
    holder_id: String,
    resource_kind: String,
    resource: String,
    permission: String,
    action: String,
    owner_refs: Vec<String>,
    error: String,
    details: Vec<(String, String)>,
    personal: Vec<(String, String)>,
    /// As the version keeps it (`rows.rs`).
    received_at: i64,
}

impl Copy {
    /// True if both are copies of one event.
    pub(super) fn is_of(&self, other: &Self) -> bool {
        self.event_id == other.event_id && self.time == other.time && self.source_id == other.source_id
    }

    fn event(self, tenant: &str) -> Result<Event, StoreError> {
        Ok(Event {
            event_id: self.event_id,
            tenant: tenant.to_owned(),
            source_id: self.source_id,
            source_kind: self.source_kind.parse().map_err(|()| unknown("source kind"))?,
            input: self.input.parse().map_err(|()| unknown("input"))?,
            kind: self.kind,
            native_type: self.native_type,
            native_id: String::new(),
            data_class: self.data_class.parse().map_err(|()| unknown("data class"))?,
            time: self.time,
            time_min: self.time.saturating_sub(self.earlier_ms),
            time_max: self.time.saturating_add(self.later_ms),
            time_basis: TimeBasis::Event,
            outcome: self.outcome.parse().map_err(|()| unknown("outcome"))?,
            realm: self.realm,
            realm_id: self.realm_id,
            person: None,
            person_id: self.person_id,
            person_name: self.person_name,
            person_email: self.person_email,
            actor: None,
            actor_kind: self.actor_kind,
            actor_id: self.actor_id,
            actor_name: self.actor_name,
            client: self.client,
            session_id: self.session_id,
            code_id: self.code_id,
            token_id: self.token_id,
            refresh_token_id: self.refresh_token_id,
            new_refresh_token_id: self.new_refresh_token_id,
            ip: String::new(),
            user_agent: String::new(),
            right_kind: self.right_kind,
            right_id: self.right_id,
            right_name: self.right_name,
            right_change: self.right_change.parse().map_err(|()| unknown("right change"))?,
            holder_kind: self.holder_kind,
            holder_id: self.holder_id,
            resource_kind: self.resource_kind,
            resource: self.resource,
            permission: self.permission,
            action: self.action,
            owner_refs: self.owner_refs,
            error: self.error,
            details: self.details.into_iter().collect(),
            personal: self.personal.into_iter().collect(),
            receipt: Position { stream: StreamId([0; 16]), seq: 0 },
            ordinal: 0,
            received_at: self.received_at,
            normaliser: 0,
        })
    }
}

/// Whose word counts first, as the view `events` has it.
const PRECEDENCE: [Input; 9] = [
    Input::Webhook,
    Input::Kafka,
    Input::Pull,
    Input::Lines,
    Input::Import,
    Input::Snapshot,
    Input::Operator,
    Input::Collector,
    Input::Heartbeat,
];

/// An event and, where several inputs brought it, the word of each.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// Merged.
    pub event: Event,
    /// The copies; empty if there is one.
    pub copies: Vec<Event>,
}

/// Merges the copies of one event.
pub(super) fn merge(copies: Vec<Copy>, tenant: &str) -> Result<Option<Told>, StoreError> {
    let mut events = Vec::with_capacity(copies.len());
    for copy in copies {
        events.push(copy.event(tenant)?);
    }
    let rank = |event: &Event| PRECEDENCE.iter().position(|input| *input == event.input).unwrap_or(PRECEDENCE.len());
    events.sort_by_key(rank);
    let Some(first) = events.first().cloned() else { return Ok(None) };
    if events.len() == 1 {
        return Ok(Some(Told { event: first, copies: Vec::new() }));
    }
    let mut merged = first;
    for other in &events[1..] {
        complete(&mut merged, other);
    }
    Ok(Some(Told { event: merged, copies: events }))
}

/// Fills what `event` does not say from a copy whose word counts less.
fn complete(event: &mut Event, other: &Event) {
    if event.outcome == Outcome::Unknown {
        event.outcome = other.outcome;
    }
    if event.right_change.as_str().is_empty() {
        event.right_change = other.right_change;
    }
    if event.owner_refs.is_empty() {
        event.owner_refs.clone_from(&other.owner_refs);
    }
    for (all, others) in [(&mut event.details, &other.details), (&mut event.personal, &other.personal)] {
        for (key, value) in others {
            all.entry(key.clone()).or_insert_with(|| value.clone());
        }
    }
    macro_rules! fill {
        ($($field:ident),+) => { $(if event.$field.is_empty() { event.$field.clone_from(&other.$field); })+ };
    }
    fill!(
        realm,
        realm_id,
        person_id,
        person_name,
        person_email,
        actor_kind,
        actor_id,
        actor_name,
        client,
        session_id,
        code_id,
        token_id,
        refresh_token_id,
        new_refresh_token_id,
        right_kind,
        right_id,
        right_name,
        holder_kind,
        holder_id,
        resource_kind,
        resource,
        permission,
        action,
        error
    );
}
