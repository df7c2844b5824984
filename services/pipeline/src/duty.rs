//! What one processor does for all of its group: completeness, kept counts and the ids of privileged rights. The member that leads does it; when another
//! one takes over, both may do it for a moment, which changes nothing.

use crate::{
    coverage::Keeper,
    faults::{Faults, Part},
    privileged::PrivilegedKeeper,
    rollup::Roller,
};
use tokio::sync::watch;

/// The duties of a processor that leads.
pub struct Duty {
    /// Completeness.
    pub keeper: Keeper,
    /// Kept counts.
    pub roller: Roller,
    /// Ids of privileged rights.
    pub privileged: PrivilegedKeeper,
    /// Whether this one leads.
    pub leads: watch::Receiver<bool>,
    /// Told of duties that died; they begin again.
    pub faults: Faults,
}

/// Runs `work` for as long as this processor leads, anew each time that it begins to; until `stop` turns true.
pub async fn while_leading<F: Future<Output = ()>>(
    mut leads: watch::Receiver<bool>,
    mut stop: watch::Receiver<bool>,
    work: impl Fn() -> F,
) {
    loop {
        let leading = *leads.borrow_and_update();
        let changed = tokio::select! {
            () = work(), if leading => return,
            changed = leads.changed() => changed,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        if changed.is_err() {
            // Nobody is left who could take over or be taken over from: the program is stopping.
            let _ = stop.wait_for(|stop| *stop).await;
            return;
        }
    }
}

impl Duty {
    /// Runs until `stop` turns true.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        loop {
            let leads = *self.leads.borrow_and_update();
            let duties = async {
                if leads {
                    tokio::join!(
                        self.faults.kept(Part::Completeness, || self.keeper.run(stop.clone())),
                        self.faults.kept(Part::Counts, || self.roller.run(stop.clone())),
                        self.faults.kept(Part::Privileged, || self.privileged.run(stop.clone()))
                    );
                } else {
                    self.faults.kept(Part::Counts, || self.roller.stand_by(stop.clone())).await;
                }
            };
            let over = tokio::select! {
                () = duties => true,
                changed = self.leads.changed() => changed.is_err(),
            };
            if over {
                break;
            }
        }
        // Nobody is left who could take over or be taken over from.
        let _ = stop.wait_for(|stop| *stop).await;
    }
}
