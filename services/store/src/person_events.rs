//! Where the events of each account stand (`person_event_rows`): written before the events themselves, by the one hand that writes those, and
//! read first by who asks for somebody's events. A row is a hint and never more: what stands there is read from the events. So
//! nothing here is ever counted again or taken back, and writing a row twice changes nothing.

use crate::{
    Store, StoreError,
    insert::{bad_key, months},
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
    time: i64,
    source_id: &'a str,
    kind: &'a str,
}

columns!(PersonEventRow<'_>: tenant, person, time, source_id, kind);

/// Whom events name, as the person or as the actor.
fn named<'a>(events: impl Iterator<Item = &'a Event>) -> Result<Vec<PersonEventRow<'a>>, StoreError> {
    let mut rows = Vec::with_capacity(events.size_hint().0);
    for event in events {
        let person = key_bytes(event.person.as_ref()).map_err(bad_key)?;
        let actor = key_bytes(event.actor.as_ref()).map_err(bad_key)?;
        let row = |person| PersonEventRow {
            tenant: &event.tenant,
            person,
            time: stored_time(event.time),
            source_id: &event.source_id,
            kind: &event.kind,
        };
        rows.extend(Some(person).filter(|key| *key != NOBODY).map(row));
        rows.extend(Some(actor).filter(|key| *key != NOBODY && *key != person).map(row));
    }
    Ok(rows)
}

impl Store {
    /// Says where events of somebody will stand. Before they do: an event without its hint is one that its person's story lacks, a hint
    /// without its event is nothing.
    pub(crate) async fn write_person_events<'a>(
        &self,
        events: impl Iterator<Item = &'a Event>,
    ) -> Result<(), StoreError> {
        let rows = named(events)?;
        for some in months(&rows, |row| row.time).values() {
            self.write("person_event_rows", some.iter().map(Ok)).await?;
        }
        Ok(())
    }
}
