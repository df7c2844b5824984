//! Keeps the ids of privileged rights, and who holds them, beside the flow: looked up at the start, and again now and then, as events
//! tell of new rights and holders.

use std::time::{Duration, Instant};
use store::{PrivilegedNames, Store, StoreError};
use tokio::sync::watch;

/// First and longest wait between two looks; each is a quarter longer than the one before, as new rights come with the first events.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// A look reads the names of all events: it is followed by a rest of this many times its length.
const REST: u32 = 20;

/// The one keeper of a database.
pub struct PrivilegedKeeper {
    /// Where events are, and ids are kept.
    pub store: Store,
    /// Whose.
    pub tenant: String,
    /// As config names them.
    pub names: PrivilegedNames,
}

impl PrivilegedKeeper {
    /// Runs until `stop` turns true. What fails is tried again.
    pub async fn run(&self, mut stop: watch::Receiver<bool>) {
        let mut pause = PAUSE.0;
        loop {
            let began = Instant::now();
            if let Err(error) = self.keep().await {
                tracing::debug!(%error, "Privileged rights cannot be looked up now; it is tried again.");
            }
            tokio::select! {
                () = tokio::time::sleep(pause.max(began.elapsed() * REST)) => pause = (pause * 5 / 4).min(PAUSE.1),
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    async fn keep(&self) -> Result<(), StoreError> {
        self.store.keep_privileged(&self.tenant, &self.names).await?;
        self.store.keep_privileged_holders(&self.tenant).await
    }
}
