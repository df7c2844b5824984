//! An event as the store merges it from its inputs.

use super::unknown;
use crate::StoreError;
use clickhouse::Row;
use events::{
    event::Event,
    ids::{Position, StreamId},
    person::PersonKey,
    receipt::Input,
};
use serde::Deserialize;
use uuid::Uuid;

/// An event merged field by field from all inputs that report it.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredEvent {
    /// The merged event; `input` is the one whose word counts first, `receipt` and `received_at` are of its first receipt.
    pub event: Event,
    /// All inputs that report it, the one whose word counts first in front.
    pub inputs: Vec<Input>,
    /// Fields in which inputs contradict each other. Never empty without an alarm.
    pub conflicts: Vec<String>,
}

/// The columns of the view `events`.
#[derive(Row, Deserialize)]
pub(super) struct EventRead {
    tenant: String,
    source_id: String,
    #[serde(with = "clickhouse::serde::uuid")]
    event_id: Uuid,
    time: i64,
    time_min: i64,
    time_max: i64,
    time_basis: String,
    source_kind: String,
    kind: String,
    data_class: String,
    native_type: String,
    native_id: String,
    outcome: String,
    realm: String,
    realm_id: String,
    person: String,
    person_id: String,
    person_name: String,
    person_email: String,
    actor: String,
    actor_kind: String,
    actor_id: String,
    actor_name: String,
    client: String,
    session_id: String,
    code_id: String,
    token_id: String,
    refresh_token_id: String,
    new_refresh_token_id: String,
    ip: String,
    user_agent: String,
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
    receipt: ([u8; 16], u64, u32),
    received_at: i64,
    normaliser: u32,
    inputs: Vec<String>,
    conflicts: Vec<String>,
}

fn key(text: String) -> Option<PersonKey> {
    (!text.is_empty()).then_some(PersonKey(text))
}

impl TryFrom<EventRead> for StoredEvent {
    type Error = StoreError;

    fn try_from(row: EventRead) -> Result<Self, StoreError> {
        let mut inputs = Vec::with_capacity(row.inputs.len());
        for input in &row.inputs {
            inputs.push(input.parse().map_err(|()| unknown("input"))?);
        }
        let (stream, seq, ordinal) = row.receipt;
        let event = Event {
            event_id: row.event_id,
            tenant: row.tenant,
            source_id: row.source_id,
            source_kind: row.source_kind.parse().map_err(|()| unknown("source kind"))?,
            input: *inputs.first().ok_or_else(|| unknown("input"))?,
            kind: row.kind,
            native_type: row.native_type,
            native_id: row.native_id,
            data_class: row.data_class.parse().map_err(|()| unknown("data class"))?,
            time: row.time,
            time_min: row.time_min,
            time_max: row.time_max,
            time_basis: row.time_basis.parse().map_err(|()| unknown("time basis"))?,
            outcome: row.outcome.parse().map_err(|()| unknown("outcome"))?,
            realm: row.realm,
            realm_id: row.realm_id,
            person: key(row.person),
            person_id: row.person_id,
            person_name: row.person_name,
            person_email: row.person_email,
            actor: key(row.actor),
            actor_kind: row.actor_kind,
            actor_id: row.actor_id,
            actor_name: row.actor_name,
            client: row.client,
            session_id: row.session_id,
            code_id: row.code_id,
            token_id: row.token_id,
            refresh_token_id: row.refresh_token_id,
            new_refresh_token_id: row.new_refresh_token_id,
            ip: row.ip,
            user_agent: row.user_agent,
            right_kind: row.right_kind,
            right_id: row.right_id,
            right_name: row.right_name,
            right_change: row.right_change.parse().map_err(|()| unknown("right change"))?,
            holder_kind: row.holder_kind,
            holder_id: row.holder_id,
            resource_kind: row.resource_kind,
            resource: row.resource,
            permission: row.permission,
            action: row.action,
            owner_refs: row.owner_refs,
            error: row.error,
            details: row.details.into_iter().collect(),
            personal: row.personal.into_iter().collect(),
            receipt: Position { stream: StreamId(stream), seq },
            ordinal,
            received_at: row.received_at,
            normaliser: row.normaliser,
        };
        Ok(Self { event, inputs, conflicts: row.conflicts })
    }
}
