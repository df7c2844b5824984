//! Lines of a Backstage backend: audit events (current, older and legacy formats, auditor overrides), access lines, token
//! issues, catalog syncs.
//!
//! Only the terminal line of a call counts. `status` is not the outcome of a decision: `meta.result` is. The `message` of an
//! audit line is never parsed.

mod access;
mod audit;
mod legacy;
mod plain;
mod rbac;
mod time;
mod types;

use super::{
    Dead, Ignored, Normalised,
    catalogue::Entry,
    json::{self, Raw},
    scope::{NativeKey, Scope, note},
};
use crate::{event::Event, receipt::TimeBasis};
use access::Access;
use serde::Deserialize;
use std::borrow::Cow;

/// The union of all lines; absent fields are empty.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Line<'a> {
    #[serde(borrow)]
    is_audit_event: Raw<'a>,
    #[serde(borrow)]
    is_audit_log: Raw<'a>,
    #[serde(borrow)]
    timestamp: Raw<'a>,
    #[serde(borrow)]
    date: Raw<'a>,
    #[serde(borrow)]
    audit_id: Raw<'a>,
    #[serde(borrow)]
    instance: Raw<'a>,
    #[serde(borrow)]
    service: Raw<'a>,
    #[serde(borrow)]
    plugin: Raw<'a>,
    #[serde(borrow)]
    class: Raw<'a>,
    #[serde(borrow)]
    event_id: Raw<'a>,
    #[serde(borrow)]
    event_name: Raw<'a>,
    #[serde(borrow)]
    stage: Raw<'a>,
    #[serde(borrow)]
    status: Raw<'a>,
    #[serde(borrow)]
    severity_level: Raw<'a>,
    #[serde(borrow)]
    actor: Raw<'a>,
    #[serde(borrow)]
    request: Raw<'a>,
    #[serde(borrow)]
    response: Raw<'a>,
    #[serde(borrow)]
    meta: Raw<'a>,
    #[serde(borrow)]
    name: Raw<'a>,
    #[serde(borrow)]
    error: Raw<'a>,
    #[serde(borrow)]
    errors: Raw<'a>,
    #[serde(borrow)]
    message: Raw<'a>,
    #[serde(borrow)]
    level: Raw<'a>,
    #[serde(borrow, rename = "type")]
    kind: Raw<'a>,
    #[serde(borrow)]
    url: Raw<'a>,
    #[serde(borrow)]
    method: Raw<'a>,
    #[serde(borrow)]
    user_agent: Raw<'a>,
    #[serde(borrow, rename = "trace_id")]
    trace_id: Raw<'a>,
    #[serde(borrow, rename = "span_id")]
    span_id: Raw<'a>,
}

/// Who a line names: an entity reference, a plugin, or the free text of a token's subject.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Actor<'a> {
    #[serde(borrow)]
    actor_id: Raw<'a>,
    #[serde(borrow)]
    ip: Raw<'a>,
    #[serde(borrow)]
    user_agent: Raw<'a>,
}

/// Normalises one line.
pub(super) fn normalise(scope: Scope<'_>, body: &[u8]) -> Normalised {
    match read(scope, body) {
        Ok(normalised) => normalised,
        Err(dead) => Normalised::Dead(dead),
    }
}

fn read(scope: Scope<'_>, body: &[u8]) -> Result<Normalised, Dead> {
    let line: Line<'_> = json::body(body)?;
    let event = begin(scope, &line);
    let events = if line.is_audit_event.flag() == Some(true) {
        match line.status.text().as_ref() {
            "initiated" => return Ok(Normalised::Ignored(Ignored::Initiated)),
            "succeeded" | "failed" => audit::events(scope, event, &line)?,
            _ => return Err(Dead::MissingField),
        }
    } else if line.is_audit_log.flag() == Some(true) {
        match legacy::events(scope, event, &line)? {
            Some(events) => events,
            None => return Ok(Normalised::Ignored(Ignored::Initiated)),
        }
    } else if line.service.text() == "rootHttpRouter" && line.kind.text() == "incomingRequest" {
        match access::event(event, &line)? {
            Access::Event(event) => vec![*event],
            Access::Ignored(why) => return Ok(Normalised::Ignored(why)),
        }
    } else {
        match plain::event(scope, event, &line) {
            Some(event) => vec![event],
            // A log line by its form, and none that says anything here.
            None if !line.message.text().is_empty() && !line.level.text().is_empty() => {
                return Ok(Normalised::Ignored(Ignored::PlainLine));
            }
            None => return Err(Dead::UnknownShape),
        }
    };
    Ok(scope.seal(events, &native_key(scope, &line)))
}

/// What every line may say: its time, its instance, its trace.
fn begin(scope: Scope<'_>, line: &Line<'_>) -> Event {
    let mut event = scope.blank();
    time::set(&mut event, line, scope.header());
    let place = scope.header().line.as_ref().map_or("", |place| place.instance.as_str());
    let told = line.instance.text();
    note(&mut event, "instance", if place.is_empty() { &told } else { place });
    note(&mut event, "trace_id", &line.trace_id.text());
    note(&mut event, "span_id", &line.span_id.text());
    event.native_id = json::cut(&line.audit_id.text());
    event
}

/// The auditor's own id with the status, since all lines of one call share it; else where and when the line was read, with its
/// mark; else the delivery. The time of a neighbour is none of the line's own and cannot tell two lines apart.
fn native_key(scope: Scope<'_>, line: &Line<'_>) -> NativeKey {
    let audit_id = line.audit_id.text();
    if !audit_id.is_empty() {
        return NativeKey::from(format!("audit:{audit_id}:{}", line.status.text()));
    }
    let Some(place) = &scope.header().line else { return scope.fallback_key() };
    match place.time_ns {
        Some(time) if !place.instance.is_empty() && matches!(place.basis, TimeBasis::Shipper | TimeBasis::Line) => {
            NativeKey::from(format!("line:{}:{time}:{}", place.instance, place.mark))
        }
        _ => scope.fallback_key(),
    }
}

/// A person's entity reference as Backstage compares them (lower case); none for `user without entity` and the like.
fn person_ref(text: &str) -> Option<Cow<'_, str>> {
    let lower =
        if text.chars().any(char::is_uppercase) { Cow::Owned(text.to_lowercase()) } else { Cow::Borrowed(text) };
    let name = lower.strip_prefix("user:")?;
    (!name.is_empty() && !name.contains(char::is_whitespace)).then_some(lower)
}

/// Names the person that an event concerns, if `text` is a person's entity reference.
fn concerns(scope: Scope<'_>, event: &mut Event, text: &str) {
    if let Some(reference) = person_ref(text) {
        event.person = scope.named("user", &reference);
        event.person_name = json::cut(&reference);
    }
}

/// Names the actor. The subject of a static token is free text: whatever is neither a person nor a plugin is taken for one.
fn acts(scope: Scope<'_>, event: &mut Event, actor_id: &str) {
    let (kind, name) = match (person_ref(actor_id), actor_id.strip_prefix("plugin:")) {
        (Some(reference), _) => ("user", reference),
        (None, Some(_)) => ("plugin", Cow::Borrowed(actor_id)),
        _ => ("static", Cow::Borrowed(actor_id)),
    };
    if !name.is_empty() {
        event.actor = scope.named(kind, &name);
        kind.clone_into(&mut event.actor_kind);
        event.actor_name = json::cut(&name);
    }
}

/// Every native type that is recognised.
pub(super) fn catalogue() -> impl Iterator<Item = Entry> {
    types::catalogue()
}
