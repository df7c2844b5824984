//! The legacy audit format (audit-log-node, RHDH until 1.5): `isAuditLog`, `eventName` in PascalCase, whole bodies.
//!
//! Requests and responses of this format carry whole bodies: only status and path are read from them.

use super::{
    Line,
    audit::{self, Audited},
    types::{self, LEGACY_STARTED},
};
use crate::{
    event::Event,
    normalise::{
        Dead, json,
        scope::{Scope, note},
    },
};

/// Stages of the first of two lines.
const STARTING: &[&str] = &["initiation", "initiated"];
/// Stage of the answer to a REST call; the change itself was told by the line before it.
const ANSWER: &str = "sendResponse";
/// Suffix of names that say that it failed.
const ERROR_SUFFIX: &str = "Error";

/// The events of a legacy line; none if it is the first of two.
pub(super) fn events(scope: Scope<'_>, mut event: Event, line: &Line<'_>) -> Result<Option<Vec<Event>>, Dead> {
    let name = line.event_name.text();
    if name.is_empty() {
        return Err(Dead::MissingField);
    }
    let stage = line.stage.text();
    if STARTING.contains(&stage.as_ref()) || name == LEGACY_STARTED {
        return Ok(None);
    }
    let bare = name.strip_suffix(ERROR_SUFFIX).unwrap_or(&name);
    let plugin = line.plugin.text();
    let (plugin, event_id, action) = types::legacy(bare)
        .or_else(|| types::legacy_scaffolder(bare).map(|(event_id, action)| ("scaffolder", event_id, action)))
        .unwrap_or((&plugin, bare, ""));
    event.native_type = json::cut(&name);
    let errors: Vec<json::Raw<'_>> = line.errors.read().unwrap_or_default();
    let failed = line.status.text() == "failed" || bare != name || bare.ends_with("Failed") || !errors.is_empty();
    let error = errors.first().map(|first| json::code(&json::get(&first.map(), "name").text())).unwrap_or_default();
    note(&mut event, "stage", &stage);
    let audited = Audited { plugin, event_id, action, meta: line.meta.map(), failed, error };
    let mut events = audit::filled(scope, event, (&audited, line));
    if stage == ANSWER {
        events.truncate(1);
    }
    Ok(Some(events))
}
