//! What is news of what was announced: positions that were not taken in, and those at which a second receipt of other content stands.

use super::{Stage, acknowledged::Pending};
use store::{StoreError, correlation::Covered};
use tokio::sync::watch;

impl Stage {
    /// Leaves only what is news; none when told to stop.
    pub(super) async fn news(
        &self,
        mut pending: Vec<Pending>,
        covered: &Covered,
        stop: &mut watch::Receiver<bool>,
    ) -> Option<Vec<Pending>> {
        let repeated = repeated(&pending, covered);
        let tenant = &self.config.tenant;
        let asked = || async {
            if repeated.streams().next().is_none() {
                return Ok::<_, StoreError>(Covered::default());
            }
            self.store.twice_taken(tenant, &repeated).await
        };
        let twice = self.patiently(stop, asked).await?;
        // Of what a beginning has read already nothing is late.
        pending.retain_mut(|one| one.is_news(covered, &twice));
        Some(pending)
    }
}

/// The positions of these that are covered.
fn repeated(pending: &[Pending], covered: &Covered) -> Covered {
    let mut repeated = Covered::default();
    for one in pending {
        let stream = one.window.stream;
        let Some(known) = covered.of(stream) else { continue };
        let again = one.ranges.without(&one.ranges.without(known));
        again.iter().for_each(|range| repeated.add(stream, range));
    }
    repeated
}
