//! The correlation's rows as the store keeps them: its words in lower case, its unknowns as empty values.

use correlate::{
    Config,
    rows::{Impersonator, Key, Row},
};
use events::person::PersonKey;
use serde::Serialize;
use store::correlation::{
    AliasRecord, Correlated, CredentialRecord, DecisionRecord, Derived, GrantRecord, Head, Id, ImpersonatorRecord,
    MissingEventRecord, SessionRecord, TokenRecord, WorldRecord, storable,
};
use uuid::Uuid;

/// The id of a row: a keyed hash, because what identifies a row may be a name.
pub(super) fn row_id(config: &Config, key: &Key) -> [u8; 16] {
    let mark = |parts: &[&str]| {
        let mut all = vec![config.tenant.as_str()];
        all.extend(parts);
        config.key.mark("correlation row", &all)
    };
    let hex = match key {
        Key::Session(source, session) => mark(&["session", source, session]),
        Key::Token(event) => mark(&["token", &event.to_string()]),
        Key::Credential(event) => mark(&["credential", &event.to_string()]),
        Key::Grant(person, kind, right, begun) => mark(&["grant", &person.0, &word(kind), right, &begun.to_string()]),
        Key::Decision(event) => mark(&["decision", &event.to_string()]),
        Key::Gap(whose, kind, right, after) => mark(&["missing event", whose, &word(kind), right, &after.to_string()]),
        Key::Alias(person, kind, source, from, place) => {
            mark(&["alias", &person.0, &word(kind), source, &from.to_string(), &place.to_string()])
        }
        Key::World(source, kind, holder, held, from) => {
            mark(&["world", source, &word(kind), holder, held, &from.to_string()])
        }
    };
    let mut id = [0; 16];
    // A mark is always 32 hex digits.
    let _ = hex::decode_to_slice(&hex, &mut id);
    id
}

/// What a row says, as a keyed hash: equal rows give equal hashes.
pub(super) fn content(config: &Config, row: &Row) -> u64 {
    let text = serde_json::to_string(row).unwrap_or_default();
    let mark = config.key.mark("correlation content", &[&text]);
    u64::from_str_radix(mark.get(..16).unwrap_or_default(), 16).unwrap_or_default()
}

/// The time by which a row is sorted; what has no beginning comes first.
pub(super) fn at(row: &Row) -> i64 {
    storable(match row {
        Row::Session(row) => {
            let refused = row.reuse_refused.first().map(|(at, _)| *at);
            let begun = row.seen.map(|seen| seen.0).or(row.started);
            begun.or(row.ended.map(|ended| ended.0)).or(refused).unwrap_or(i64::MIN)
        }
        Row::Token(row) => row.at,
        Row::Credential(row) => row.at,
        Row::Grant(row) => row.from.unwrap_or(i64::MIN),
        Row::Decision(row) => row.at,
        Row::Gap(row) => row.after,
        Row::Alias(row) => row.from.unwrap_or(i64::MIN),
        Row::World(row) => row.from.unwrap_or(i64::MIN),
    })
}

/// An enum's name as the tables write it: `GrantedInBackstage` is `granted_in_backstage`.
fn word(value: &impl Serialize) -> String {
    let name = serde_json::to_value(value).ok();
    let name = name.as_ref().and_then(serde_json::Value::as_str).unwrap_or_default();
    let mut out = String::with_capacity(name.len() + 4);
    for c in name.chars() {
        if c.is_ascii_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

fn id(id: Option<Uuid>) -> Uuid {
    id.unwrap_or(Uuid::nil())
}

fn account(key: Option<&PersonKey>) -> String {
    key.map(|key| key.0.clone()).unwrap_or_default()
}

fn time(at: Option<i64>) -> Option<i64> {
    at.map(storable)
}

fn impersonator(one: &Impersonator) -> ImpersonatorRecord {
    (storable(one.since), one.name.clone(), Id(one.event))
}

/// Adds the record of a row.
pub(super) fn push(out: &mut Correlated, head: Head, (key, row): (&Key, &Row)) {
    match row {
        Row::Session(row) => {
            let (source, session) = match key {
                Key::Session(source, session) => (source.clone(), session.clone()),
                _ => Default::default(),
            };
            let sign_ins = row.sign_ins.iter().map(|one| (storable(one.at), Id(one.callback), Id(id(one.credential))));
            out.sessions.push(SessionRecord {
                source_id: source,
                session_id: session,
                started_at: time(row.started),
                last_seen_at: time(row.seen.map(|seen| seen.1)),
                ended_at: time(row.ended.map(|ended| ended.0)),
                ended_by: row.ended.map(|ended| word(&ended.1)).unwrap_or_default(),
                expires_by: time(row.expires),
                clients: row.clients.clone(),
                logins: row.logins,
                refreshes: row.refreshes,
                offline: u8::from(row.offline),
                active_after_end: u8::from(row.active_after_end),
                impersonator: row.impersonators.first().map(|one| one.name.clone()).unwrap_or_default(),
                sign_ins: sign_ins.collect(),
                impersonators: row.impersonators.iter().map(impersonator).collect(),
                reuse_refused: row.reuse_refused.iter().map(|(at, event)| (storable(*at), Id(*event))).collect(),
                ..Derived::of(head)
            });
        }
        Row::Token(row) => out.tokens.push(TokenRecord {
            event_id: event_of(key),
            session_id: row.session.clone(),
            client: row.client.clone(),
            issued_for: word(&row.grant),
            access_token_id: row.access.clone(),
            refresh_token_id: row.refresh.clone(),
            parent: id(row.parent),
            reused: u8::from(row.reused),
            ..Derived::of(head)
        }),
        Row::Credential(row) => out.credentials.push(CredentialRecord {
            event_id: event_of(key),
            reference: row.reference.clone(),
            claims: row.claims.clone(),
            kind: word(&row.kind),
            session_id: row.session.clone().unwrap_or_default(),
            cause: id(row.cause),
            callback: id(row.callback),
            sure: u8::from(row.sure),
            ..Derived::of(head)
        }),
        Row::Grant(row) => out.grants.push(GrantRecord {
            source_id: row.source.clone(),
            right_kind: word(&row.kind),
            right_id: row.right.clone(),
            held_from: time(row.from),
            held_to: time(row.to),
            granted_by: row.by.0.clone().unwrap_or_default(),
            removed_by: row.by.1.clone().unwrap_or_default(),
            granted_in: id(row.evidence.0),
            removed_in: id(row.evidence.1),
            rests_on_gap: u8::from(row.rests_on_gap),
            account: account(row.account.as_ref()),
            by_default: u8::from(row.by_default),
            ..Derived::of(head)
        }),
        Row::Decision(row) => {
            let support = row.support.iter().map(|one| {
                let path = (one.group.clone(), one.above.clone(), one.reference.clone());
                (path.0, path.1, path.2, one.role.clone(), one.policy.clone(), time(one.since))
            });
            out.decisions.push(DecisionRecord {
                event_id: event_of(key),
                reference: row.reference.clone(),
                permission: row.permission.clone(),
                action: row.action.clone(),
                resource: row.resource.clone(),
                outcome: row.outcome.as_str().to_owned(),
                final_outcome: row.final_outcome.map(|outcome| outcome.as_str().to_owned()).unwrap_or_default(),
                verdict: word(&row.verdict),
                delay_ms: row.delay,
                clock: word(&row.clock),
                support: support.collect(),
                stale_claims: row.stale_claims.clone(),
                session_id: row.session.clone().unwrap_or_default(),
                credential_at: time(row.credential.map(|credential| credential.0)),
                credential: id(row.credential.map(|credential| credential.1)),
                candidates: row.candidates,
                grade: word(&row.grade),
                reasons: row.reasons.iter().map(word).collect(),
                ..Derived::of(head)
            });
        }
        Row::World(row) => out.world.push(WorldRecord {
            source_id: row.source.clone(),
            kind: word(&row.kind),
            holder: row.holder.clone(),
            held: row.held.clone(),
            held_source_id: row.held_source.clone(),
            held_from: time(row.from),
            held_to: time(row.to),
            begun_in: id(row.begun),
            rests_on_gap: u8::from(row.rests_on_gap),
            account: account(row.account.as_ref()),
            ..Derived::of(head)
        }),
        Row::Gap(row) => out.missing_events.push(MissingEventRecord {
            right_kind: word(&row.kind),
            right_id: row.right.clone(),
            holder: row.holder.clone(),
            missing: word(&row.missing),
            before: storable(row.before),
            evidence_after: row.evidence.0,
            evidence_before: row.evidence.1,
            causes: row.causes.iter().map(word).collect(),
            ..Derived::of(head)
        }),
        Row::Alias(row) => out.aliases.push(AliasRecord {
            kind: word(&row.kind),
            name: row.name.clone(),
            user_id: row.user.clone(),
            borne_from: time(row.from),
            borne_to: time(row.to),
            account: account(row.account.as_ref()),
            begun_in: id(row.evidence.0),
            ended_in: id(row.evidence.1),
            ..Derived::of(head)
        }),
    }
}

/// The event by which a row is told apart.
fn event_of(key: &Key) -> Uuid {
    match key {
        Key::Token(event) | Key::Credential(event) | Key::Decision(event) => *event,
        _ => Uuid::nil(),
    }
}
