//! Copies of one event that contradict each other, brought by two inputs: one of them was altered on its way. Each hour of a source that holds
//! such events is a gap, so that status, doctor, reports, the register of findings and metrics tell it. The roller compared them
//! (store: copies.rs); nothing here reads an event.

use super::{Keeper, keeper::Look, reconcile::reconcile};
use prometheus::{IntGaugeVec, Opts, Registry};
use std::collections::BTreeMap;
use store::{Gap, StoreError};

/// Cause of such a gap; what is `missing` of it are events of which nobody knows what they said.
pub const COPIES_DIFFER: &str = "copies_differ";
const HOUR: i64 = 3_600_000;

pub(super) fn gauge(registry: &Registry) -> Result<IntGaugeVec, prometheus::Error> {
    let told =
        "Events of which two inputs brought copies that contradict each other; one dated into two hours counts twice";
    let gauge = IntGaugeVec::new(Opts::new("tokentrail_copies_differ_events", told), &["source"])?;
    registry.register(Box::new(gauge.clone()))?;
    Ok(gauge)
}

impl Keeper {
    /// The rows of gaps that change. All hours are asked for: there is a row for each in which copies differ or did, and for no other.
    pub(super) async fn differing(&self, look: &Look<'_>) -> Result<Vec<Gap>, StoreError> {
        let hours = self.store.differing_hours(&self.tenant).await?;
        let mut events = BTreeMap::<&str, u64>::new();
        for hour in &hours {
            *events.entry(&hour.source_id).or_default() += hour.events;
        }
        self.differing.reset();
        for (source, events) in events {
            self.differing.with_label_values(&[source]).set(i64::try_from(events).unwrap_or(i64::MAX));
        }
        let found = hours.iter().map(|hour| Gap {
            until: Some(hour.since + HOUR),
            missing: Some(hour.events),
            ..self.gap(&hour.source_id, hour.since, COPIES_DIFFER)
        });
        let own: Vec<Gap> = look.written.iter().filter(|gap| gap.cause == COPIES_DIFFER).cloned().collect();
        let found: Vec<Gap> = found.collect();
        // One that was repaired before the time that was read stands as it is unless copies differ there again.
        Ok(reconcile(&own, found, look.now, None))
    }
}
