//! Ordinary log lines that carry evidence: tokens issued, catalog syncs committed. Anything else is no event.

use super::{Line, concerns, types};
use crate::{
    event::{Event, Outcome},
    normalise::scope::{Scope, note},
};

const ISSUING: &str = "Issuing token for ";
const WITH: &str = ", with entities ";
/// Class of the community module that imports people and groups from Keycloak.
const IMPORTER: &str = "KeycloakOrgEntityProvider";
const COMMITTED: &str = "Committed ";

/// The event of a plain line, if it is one.
pub(super) fn event(scope: Scope<'_>, event: Event, line: &Line<'_>) -> Option<Event> {
    let message = line.message.text();
    if let Some(rest) = message.strip_prefix(ISSUING) {
        return Some(issued(scope, event, rest));
    }
    (line.class.text() == IMPORTER && message.starts_with(COMMITTED)).then(|| synced(event, &message))
}

/// A Backstage token: at a sign-in and at each refresh. The entities are the claims that ownership rules use from now on.
fn issued(scope: Scope<'_>, mut event: Event, rest: &str) -> Event {
    named(&mut event, "auth.issuing-token");
    let (subject, entities) = rest.split_once(WITH).unwrap_or((rest, ""));
    concerns(scope, &mut event, subject.trim());
    // Other people's references are no claims of groups and would be personal.
    let groups = entities.split(',').map(str::trim).filter(|entity| !entity.is_empty() && !entity.starts_with("user:"));
    note(&mut event, "entities", &groups.collect::<Vec<_>>().join(","));
    event.outcome = Outcome::Success;
    event
}

/// From here on Backstage roles follow the groups that were read.
fn synced(mut event: Event, message: &str) -> Event {
    named(&mut event, "catalog.keycloak-sync");
    let counts: Vec<&str> = message.split(' ').filter(|word| word.bytes().all(|b| b.is_ascii_digit())).collect();
    note(&mut event, "users", counts.first().unwrap_or(&""));
    note(&mut event, "groups", counts.get(1).unwrap_or(&""));
    event.outcome = Outcome::Success;
    event
}

pub(super) fn named(event: &mut Event, native: &str) {
    let (kind, data_class) = types::line(native);
    kind.clone_into(&mut event.kind);
    native.clone_into(&mut event.native_type);
    event.data_class = data_class;
}
