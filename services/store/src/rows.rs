//! Rows as ClickHouse takes them: borrowed from the words of `events`, in the order and types of `schemas/clickhouse`.

mod time;

pub(crate) use time::{month, stored_time};

use crate::{
    cell::Counted,
    insert::{Fate, StoredReceipt},
    native::{Blob, columns},
    replay::{DeletedEvent, EventKey, Verdict},
};
use clickhouse::Row;
use events::{event::Event, ids::Position, person::PersonKey, receipt::ReceiptHeader};
use serde::Deserialize;
use uuid::Uuid;

const RECEIVED_BITS: u32 = 48;
const RECEIVED_MAX: u64 = (1 << RECEIVED_BITS) - 1;

pub(crate) struct ReceiptRow<'a> {
    pub(crate) tenant: &'a str,
    pub(crate) stream: [u8; 16],
    pub(crate) seq: u64,
    commitment: [u8; 32],
    chain: [u8; 32],
    enc: u32,
    header_version: u8,
    pub(crate) source_id: &'a str,
    source_kind: &'a str,
    input: &'a str,
    payload: &'a str,
    pub(crate) received_at: i64,
    native_id: &'a str,
    delivery_id: &'a str,
    delivery_keyed: u8,
    delivery_index: u32,
    line: u8,
    line_instance: &'a str,
    line_number: u32,
    line_time_ns: Option<i64>,
    line_basis: &'a str,
    line_mark: &'a str,
    line_backlog: u8,
    fate: &'a str,
    reason: &'a str,
    event_id: Uuid,
    pub(crate) minute: u32,
    pub(crate) delivery_cell: u32,
    normaliser: u32,
}

columns!(
    ReceiptRow<'_>:
    tenant, stream, seq, commitment, chain, enc, header_version, source_id, source_kind, input, payload, received_at,
    native_id, delivery_id, delivery_keyed, delivery_index, line, line_instance, line_number, line_time_ns,
    line_basis, line_mark, line_backlog, fate, reason, event_id, minute, delivery_cell, normaliser
);

/// What proves a receipt, beside its header.
struct Proof {
    commitment: [u8; 32],
    chain: Option<[u8; 32]>,
    enc: u32,
}

impl<'a> ReceiptRow<'a> {
    pub(crate) fn new(stored: &'a StoredReceipt) -> Self {
        let proof = Proof { commitment: stored.commitment, chain: stored.chain, enc: stored.enc };
        let receipt = &stored.receipt;
        Self::of((receipt.position, &receipt.header), proof, (stored.fate, stored.normaliser))
    }

    /// A receipt that the store has, with what another normaliser makes of it.
    pub(crate) fn again(verdict: &'a Verdict, normaliser: u32) -> Self {
        let stored = &verdict.header;
        let proof = Proof { commitment: stored.commitment, chain: stored.chain, enc: stored.enc };
        Self::of((stored.position, &stored.header), proof, (verdict.fate, normaliser))
    }

    fn of((position, header): (Position, &'a ReceiptHeader), proof: Proof, (fate, normaliser): (Fate, u32)) -> Self {
        let line = header.line.as_ref();
        let received = Counted::at(header.received_at);
        let (event_id, counted) = match fate {
            Fate::Event { event_id, counted } => (event_id, counted),
            Fate::Ignored(_) | Fate::Dead(_) => (Uuid::nil(), received),
        };
        Self {
            tenant: &header.tenant,
            stream: position.stream.0,
            seq: position.seq,
            commitment: proof.commitment,
            chain: proof.chain.unwrap_or_default(),
            enc: proof.enc,
            header_version: header.v,
            source_id: &header.source_id,
            source_kind: header.source_kind.as_str(),
            input: header.input.as_str(),
            payload: header.payload.as_str(),
            received_at: header.received_at,
            native_id: &header.native_id,
            delivery_id: &header.delivery_id,
            delivery_keyed: u8::from(header.delivery_keyed),
            delivery_index: header.delivery_index,
            line: u8::from(line.is_some()),
            line_instance: line.map_or("", |line| &line.instance),
            line_number: line.map_or(0, |line| line.number),
            line_time_ns: line.and_then(|line| line.time_ns),
            line_basis: line.map_or("", |line| line.basis.as_str()),
            line_mark: line.map_or("", |line| &line.mark),
            line_backlog: u8::from(line.is_some_and(|line| line.backlog)),
            fate: fate.as_str(),
            reason: fate.reason(),
            event_id,
            minute: counted.minute,
            delivery_cell: counted.delivery_cell,
            normaliser,
        }
    }
}

pub(crate) struct BodyRow<'a> {
    tenant: &'a str,
    source_id: &'a str,
    stream: [u8; 16],
    seq: u64,
    commitment_head: u64,
    received_at: i64,
    salt: [u8; 16],
    enc: u32,
    body: Blob<'a>,
}

columns!(
    BodyRow<'_>:
    tenant, source_id, stream, seq, commitment_head, received_at, salt, enc, body
);

impl<'a> BodyRow<'a> {
    pub(crate) fn new(stored: &'a StoredReceipt) -> Self {
        Self {
            tenant: &stored.receipt.header.tenant,
            source_id: &stored.receipt.header.source_id,
            stream: stored.receipt.position.stream.0,
            seq: stored.receipt.position.seq,
            commitment_head: commitment_head(&stored.commitment),
            received_at: stored.receipt.header.received_at,
            salt: stored.salt,
            enc: stored.enc,
            body: Blob(&stored.receipt.body),
        }
    }
}

/// The first 8 bytes of a commitment.
pub(crate) fn commitment_head(commitment: &[u8; 32]) -> u64 {
    commitment[..8].iter().fold(0, |head, byte| head << 8 | u64::from(*byte))
}

#[derive(Clone, Default, PartialEq, Row, Deserialize)]
pub(crate) struct EventRow<'a> {
    tenant: &'a str,
    pub(crate) source_id: &'a str,
    pub(crate) time: i64,
    #[serde(with = "clickhouse::serde::uuid")]
    pub(crate) event_id: Uuid,
    pub(crate) input: &'a str,
    version: u64,
    pub(crate) is_deleted: u8,
    source_kind: &'a str,
    kind: &'a str,
    native_type: &'a str,
    native_id: &'a str,
    data_class: &'a str,
    earlier_ms: i64,
    later_ms: i64,
    time_basis: &'a str,
    outcome: &'a str,
    realm: &'a str,
    realm_id: &'a str,
    person: [u8; 16],
    person_id: &'a str,
    person_name: &'a str,
    person_email: &'a str,
    same: u8,
    actor: [u8; 16],
    actor_kind: &'a str,
    actor_id: &'a str,
    actor_name: &'a str,
    client: &'a str,
    session_id: &'a str,
    code_id: &'a str,
    token_id: &'a str,
    refresh_token_id: &'a str,
    new_refresh_token_id: &'a str,
    ip: &'a str,
    user_agent: &'a str,
    right_kind: &'a str,
    right_id: &'a str,
    right_name: &'a str,
    right_change: &'a str,
    holder_kind: &'a str,
    holder_id: &'a str,
    resource_kind: &'a str,
    resource: &'a str,
    permission: &'a str,
    action: &'a str,
    owner_refs: Vec<&'a str>,
    error: &'a str,
    details: Vec<(&'a str, &'a str)>,
    personal: Vec<(&'a str, &'a str)>,
    pub(crate) stream: [u8; 16],
    pub(crate) seq: u64,
    ordinal: u32,
}

columns!(
    EventRow<'_>:
    tenant, source_id, time, event_id, input, version, is_deleted, source_kind, kind, native_type, native_id,
    data_class, earlier_ms, later_ms, time_basis, outcome, realm, realm_id, person, person_id, person_name,
    person_email, same, actor, actor_kind, actor_id, actor_name, client, session_id, code_id, token_id,
    refresh_token_id, new_refresh_token_id, ip, user_agent, right_kind, right_id, right_name, right_change,
    holder_kind, holder_id, resource_kind, resource, permission, action, owner_refs, error, details, personal,
    stream, seq, ordinal
);

/// A person key that is not 32 hex digits.
pub(crate) struct BadPersonKey;

/// Person keys as bytes; zeros = none.
pub(crate) fn key_bytes(key: Option<&PersonKey>) -> Result<[u8; 16], BadPersonKey> {
    let mut bytes = [0; 16];
    if let Some(key) = key {
        hex::decode_to_slice(&key.0, &mut bytes).map_err(|_| BadPersonKey)?;
    }
    Ok(bytes)
}

/// `bit` and nothing where the column repeats another one, else 0 and the column itself.
fn repeated<'a>(bit: u8, value: &'a str, other: &str) -> (u8, &'a str) {
    if !value.is_empty() && value == other { (bit, "") } else { (0, value) }
}

impl<'a> EventRow<'a> {
    pub(crate) fn new(event: &'a Event) -> Result<Self, BadPersonKey> {
        let time = stored_time(event.time);
        let (code_bit, code_id) = repeated(1, &event.code_id, &event.session_id);
        let (id_bit, actor_id) = repeated(4, &event.actor_id, &event.person_id);
        let (name_bit, actor_name) = repeated(8, &event.actor_name, &event.person_name);
        let person = key_bytes(event.person.as_ref())?;
        let actor = key_bytes(event.actor.as_ref())?;
        let actor_bit = if event.actor.is_some() && actor == person { 2 } else { 0 };
        Ok(Self {
            tenant: &event.tenant,
            source_id: &event.source_id,
            time,
            event_id: event.event_id,
            input: event.input.as_str(),
            version: version(event.normaliser, event.received_at),
            is_deleted: 0,
            source_kind: event.source_kind.as_str(),
            kind: &event.kind,
            native_type: &event.native_type,
            native_id: &event.native_id,
            data_class: event.data_class.as_str(),
            earlier_ms: time.saturating_sub(stored_time(event.time_min)),
            later_ms: stored_time(event.time_max).saturating_sub(time),
            time_basis: event.time_basis.as_str(),
            outcome: event.outcome.as_str(),
            realm: &event.realm,
            realm_id: &event.realm_id,
            person,
            person_id: &event.person_id,
            person_name: &event.person_name,
            person_email: &event.person_email,
            same: code_bit | actor_bit | id_bit | name_bit,
            actor: if actor_bit == 0 { actor } else { [0; 16] },
            actor_kind: &event.actor_kind,
            actor_id,
            actor_name,
            client: &event.client,
            session_id: &event.session_id,
            code_id,
            token_id: &event.token_id,
            refresh_token_id: &event.refresh_token_id,
            new_refresh_token_id: &event.new_refresh_token_id,
            ip: &event.ip,
            user_agent: &event.user_agent,
            right_kind: &event.right_kind,
            right_id: &event.right_id,
            right_name: &event.right_name,
            right_change: event.right_change.as_str(),
            holder_kind: &event.holder_kind,
            holder_id: &event.holder_id,
            resource_kind: &event.resource_kind,
            resource: &event.resource,
            permission: &event.permission,
            action: &event.action,
            owner_refs: event.owner_refs.iter().map(String::as_str).collect(),
            error: &event.error,
            details: pairs(&event.details),
            personal: pairs(&event.personal),
            stream: event.receipt.stream.0,
            seq: event.receipt.seq,
            ordinal: event.ordinal,
        })
    }

    /// The row that deletes another: it holds nothing of it but its key and the receipt that it came from.
    ///
    /// Its version is the least of its normaliser, so that it wins over every row of an older normaliser and loses
    /// against each event that this one yields at the same key, in whatever order they arrive.
    pub(crate) fn deleting(tenant: &'a str, deleted: &'a DeletedEvent, normaliser: u32) -> Self {
        let EventKey { source_id, time, event_id, input } = &deleted.key;
        let owner = deleted.receipt;
        Self {
            tenant,
            source_id,
            time: *time,
            event_id: *event_id,
            input: input.as_str(),
            version: least_version(normaliser),
            is_deleted: 1,
            stream: owner.stream.0,
            seq: owner.seq,
            ..Self::default()
        }
    }

    /// The normaliser that wrote it.
    pub(crate) fn normaliser(&self) -> u64 {
        self.version >> RECEIVED_BITS
    }

    /// True if both say the same of the same event, whatever receipt and normaliser they come from.
    pub(crate) fn says_what(&self, other: &Self) -> bool {
        let said = |row: &Self| Self { version: 0, stream: [0; 16], seq: 0, ..row.clone() };
        said(self) == said(other)
    }
}

/// Above every version of older normalisers, not above any of this one.
pub(crate) fn least_version(normaliser: u32) -> u64 {
    version(normaliser, i64::MAX)
}

fn pairs(map: &std::collections::BTreeMap<String, String>) -> Vec<(&str, &str)> {
    map.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
}

/// The newest normaliser wins, then the earliest receipt: the order of inserts has no say.
fn version(normaliser: u32, received_at: i64) -> u64 {
    let received = u64::try_from(received_at).unwrap_or(0).min(RECEIVED_MAX);
    let normaliser = u64::from(normaliser).min(u64::MAX >> RECEIVED_BITS);
    normaliser << RECEIVED_BITS | (RECEIVED_MAX - received)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_normaliser_wins_over_an_earlier_receipt() {
        assert!(version(2, 2_000) > version(1, 1_000));
        assert!(version(1, 1_000) > version(1, 2_000));
        assert!(version(u32::MAX, -5) >= version(u32::MAX, 0));
        assert!(least_version(2) > version(1, 0) && least_version(2) < version(2, 1_795_521_600_000));
    }
}
