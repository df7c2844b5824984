//! What a forwarder waits for before it sends: a topic that keeps what it acknowledges, and a producer.

use super::super::client::Common;
use super::super::reports::{Reports, Sending};
use super::super::words::Role;
use super::{QUIET, Run};
use crate::segment::locked;
use std::time::{Duration, Instant};

/// Between two looks at a topic that is refused from the start, and two tries to make a producer.
const REFUSED: Duration = Duration::from_secs(2);

impl Run {
    /// Waits until the topic is one that keeps what it acknowledges; false when told to stop before that.
    pub(super) fn judge_topic(&mut self) -> bool {
        loop {
            self.judge.first();
            let refused = self.judge.refused().cloned();
            let good = refused.is_none();
            locked(&self.status).refused = refused;
            if good {
                return true;
            }
            if self.is_told_to_stop_within(REFUSED) {
                return false;
            }
        }
    }

    /// A producer, as soon as one can be made: its TLS files may be half exchanged. None when told to stop before that.
    pub(super) fn made(&self) -> Option<Sending> {
        let connection = &self.forwarder.connection;
        let mut told = false;
        loop {
            let reports = Reports::new(Common::new(connection.tokens(), Role::Sends));
            let mut config = connection.producer_config();
            if self.apart.is_on() {
                // One at a time: none follows one that is refused.
                config.remove("max.in.flight.requests.per.connection");
                config.set("batch.num.messages", "1").set("max.in.flight", "1");
            }
            let error = match config.create_with_context(reports) {
                Ok(producer) => return Some(producer),
                Err(error) => error,
            };
            if !std::mem::replace(&mut told, true) {
                tracing::error!(%error, "No producer can be made with the settings and TLS files as they are now; it is tried again.");
            }
            locked(&self.status).trouble = Some(format!("no producer can be made: {error}"));
            if self.is_told_to_stop_within(REFUSED) {
                return None;
            }
        }
    }

    fn is_told_to_stop_within(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        while Instant::now() < until {
            if locked(&self.orders).stop {
                return true;
            }
            std::thread::sleep(QUIET);
        }
        false
    }
}
