//! An event that the correlation dies of is left out, so that everything else goes on: on record, as a gap of its source, and until
//! somebody asks for another try (`tokentrail deadletters retry`) or a program with other rules makes one. The events themselves stay
//! stored, with their receipts' fates.
//!
//! Which one it is: `suspects.rs`. A death that no event brings about is told and made up for as before (`faults.rs`).

use super::{Stage, suspects::Found};
use events::receipt::SourceKind;
use store::{StoreError, correlation::SetAside};
use tokio::sync::watch;

/// Where more than this would have to be left out, it is no matter of single events, and none is added.
const MOST: usize = 100;

impl Stage {
    /// What is left out from here on. Gives back the events that were and are now tried again: when they are answered, say so.
    pub(super) async fn leave_out(&self) -> Result<Vec<SetAside>, StoreError> {
        let rules = self.made_by();
        let (out, again): (Vec<_>, Vec<_>) =
            self.store.set_aside(&self.config.tenant).await?.into_iter().partition(|one| one.stays_out(&rules));
        self.metrics.set_aside.set(i64::try_from(out.len()).unwrap_or(i64::MAX));
        self.suspects.begin(out.into_iter().map(|one| one.event_id));
        Ok(again)
    }

    /// These were tried again, and everything is answered.
    pub(super) async fn taken_in_again(&self, again: &[SetAside]) -> Result<(), StoreError> {
        self.suspects.clear();
        if again.is_empty() {
            return Ok(());
        }
        self.store.set_aside_is_over(again).await?;
        tracing::info!(events = again.len(), "Events that the correlation had set aside are taken in.");
        Ok(())
    }

    /// After a death: true if the next beginning does something else than this one did, because the event is found and set aside,
    /// or is one of fewer.
    pub(super) async fn learn(&self, stop: &mut watch::Receiver<bool>) -> bool {
        let event = match self.suspects.found() {
            None => return false,
            Some(Found::Fewer) => return true,
            Some(Found::One(event)) => event,
        };
        if self.suspects.count_aside() >= MOST {
            tracing::error!(
                most = MOST,
                "The correlation dies of so many events that it is none of theirs; no more is set aside."
            );
            return false;
        }
        let person = match (event.source_kind, event.person_id.as_str()) {
            (SourceKind::Keycloak, id) if !id.is_empty() => {
                self.config.key.keycloak_user(&event.tenant, &event.source_id, id).0
            }
            _ => String::new(),
        };
        let one = SetAside::of(&event, person, self.made_by());
        let noted = self.patiently(stop, || self.store.set_events_aside(std::slice::from_ref(&one))).await;
        if noted.is_none() {
            return false;
        }
        tracing::error!(
            source = one.source_id,
            kind = one.kind,
            event = %one.event_id,
            "The correlation dies of this event and leaves it out: what it says is missing from its answers. \
             `tokentrail deadletters list` shows it."
        );
        true
    }
}
