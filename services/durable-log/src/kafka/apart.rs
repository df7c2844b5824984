//! Whether records go one by one. Brokers that refuse one for its size refuse every record of its batch, and what is sent again together is
//! refused together: while any is refused so, each goes in a batch of its own. Pure.

use rdkafka::types::RDKafkaErrorCode;
use std::time::{Duration, Instant};

/// How long after the last such refusal.
const APART: Duration = Duration::from_secs(60);

/// Whether records go one by one.
#[derive(Debug, Default)]
pub(super) struct Apart {
    refused: Option<Instant>,
    is_on: bool,
}

/// The record, or its batch, is larger than the topic allows.
pub(super) fn is_size(code: RDKafkaErrorCode) -> bool {
    matches!(code, RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::MessageBatchTooLarge)
}

impl Apart {
    /// Records were refused for their size.
    pub(super) fn refused(&mut self, now: Instant) {
        self.refused = Some(now);
    }

    /// True if records are to go another way than before.
    pub(super) fn turns(&mut self, now: Instant) -> bool {
        let wanted = self.refused.is_some_and(|at| now.duration_since(at) < APART);
        std::mem::replace(&mut self.is_on, wanted) != wanted
    }

    /// True if each is to go in a batch of its own.
    pub(super) fn is_on(&self) -> bool {
        self.is_on
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_go_one_by_one_until_none_was_refused_for_its_size_for_a_while() {
        let (mut apart, now) = (Apart::default(), Instant::now());
        assert!(!apart.turns(now) && !apart.is_on());
        apart.refused(now);
        assert!(apart.turns(now) && apart.is_on());
        assert!(!apart.turns(now), "once");
        apart.refused(now + APART / 2);
        assert!(!apart.turns(now + APART) && apart.is_on(), "one is refused again and again");
        assert!(apart.turns(now + APART / 2 + APART) && !apart.is_on());
    }
}
