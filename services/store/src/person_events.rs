//! Where the events of each account stand (`person_event_rows`): written before the events themselves, by the one hand that writes those, and
//! read first by who asks for somebody's events. A row is a hint and never more: what stands there is read from the events. So
//! nothing here is ever counted again or taken back, and writing a row twice changes nothing.

use crate::{
    StoreError,
    insert::bad_key,
    native::columns,
    rows::{key_bytes, stored_time},
};
use events::event::Event;

/// Nobody's key.
const NOBODY: [u8; 16] = [0; 16];

/// One account at one instant.
pub(crate) struct PersonEventRow<'a> {
    tenant: &'a str,
    person: [u8; 16],
    /// UTC milliseconds.
    pub(crate) time: i64,
    source_id: &'a str,
    kind: &'a str,
}

columns!(PersonEventRow<'_>: tenant, person, time, source_id, kind);

/// Whom an event names, as the person or as the actor. To be written before it: an event without its hint is one that its person's
/// story lacks, a hint without its event is nothing.
pub(crate) fn named(
    event: &Event,
    mut take: impl FnMut(PersonEventRow<'_>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let person = key_bytes(event.person.as_ref()).map_err(bad_key)?;
    let actor = key_bytes(event.actor.as_ref()).map_err(bad_key)?;
    let row = |person| PersonEventRow {
        tenant: &event.tenant,
        person,
        time: stored_time(event.time),
        source_id: &event.source_id,
        kind: &event.kind,
    };
    if person != NOBODY {
        take(row(person))?;
    }
    if actor != NOBODY && actor != person {
        take(row(actor))?;
    }
    Ok(())
}
