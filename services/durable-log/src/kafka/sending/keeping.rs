//! What a forwarder keeps on disk: up to where the brokers have all, and how far it is with what it was ordered to send again.

use super::super::forwarder::{AGAIN, CONSUMER};
use super::{KEEP, Run, TRIM};
use crate::segment::locked;
use std::time::Instant;

impl Run {
    pub(super) fn keep_cursor(&mut self) {
        let (cursor, due) = (self.window.cursor(), self.kept.0.elapsed() >= KEEP);
        if due && self.repeats {
            self.kept.0 = Instant::now();
            if let Err(error) = self.keep_order(cursor) {
                tracing::warn!(error, "How far records were sent again cannot be kept; it is tried again.");
            }
        }
        if due && self.kept.1 < cursor {
            // Commit point: the broker has confirmed everything below, and every replica that must has it. A crash before
            // sends it again.
            match self.forwarder.journal.commit(CONSUMER, cursor) {
                Ok(()) => self.kept = (Instant::now(), cursor),
                Err(error) => tracing::warn!(%error, "The forwarder's cursor cannot be kept; it is tried again."),
            }
        }
        if self.trimmed.elapsed() >= TRIM {
            self.trimmed = Instant::now();
            if let Err(error) = self.forwarder.journal.trim() {
                tracing::warn!(%error, "Old segments could not be freed; it is tried again.");
            }
        }
    }

    /// Keeps how far an order to send again was carried out, until it was.
    fn keep_order(&mut self, cursor: u64) -> Result<(), String> {
        let orders = locked(&self.orders);
        if orders.again.is_some() {
            // One that was not taken up yet, and is kept.
            return Ok(());
        }
        let journal = &self.forwarder.journal;
        if cursor < self.kept.1 {
            return journal.commit(AGAIN, cursor).map_err(|error| error.to_string());
        }
        journal.forget(AGAIN).map_err(|error| error.to_string())?;
        self.repeats = false;
        tracing::info!("The brokers have confirmed all that was ordered to be sent again.");
        Ok(())
    }
}
