//! Gaps as `status` and `doctor` tell them.

use crate::{ask::self_check::ANSWERS_DIFFER, doctor::Check, status::moment};
use pipeline::coverage::COPIES_DIFFER;
use serde::{Deserialize, Serialize};

/// A time for which an input of a source is not known to be complete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GapReport {
    /// Source id; empty: any source.
    pub source: String,
    /// Realm, instance, or stream with its seqs; empty: all of the source.
    pub scope: String,
    /// Way in; empty: any.
    pub input: String,
    /// Why, in a word.
    pub cause: String,
    /// Start, UTC milliseconds.
    pub since: i64,
    /// End, UTC milliseconds; none while open.
    pub until: Option<i64>,
    /// Lines or records known to be missing, where that is known.
    pub missing: Option<u64>,
}

impl From<store::Gap> for GapReport {
    fn from(gap: store::Gap) -> Self {
        Self {
            source: gap.source_id,
            scope: gap.scope,
            input: gap.input,
            cause: gap.cause,
            since: gap.since,
            until: gap.until,
            missing: gap.missing,
        }
    }
}

impl GapReport {
    /// One line for people.
    pub fn line(&self) -> String {
        if self.source == store::OWN_RECORDS {
            let (from, scope) = (moment(self.since), &self.scope);
            let until = self.until.map_or_else(|| "now".to_owned(), moment);
            return format!(
                "records of Tokentrail itself ({scope}): acts by hand and snapshots may be missing from {from} to {until}"
            );
        }
        let name = |text: &str, none: &str| if text.is_empty() { none.to_owned() } else { text.to_owned() };
        let scope = if self.scope.is_empty() { String::new() } else { format!(" ({})", self.scope) };
        let until = self.until.map_or_else(|| "now, and it is still open".to_owned(), moment);
        let what = match self.cause.as_str() {
            COPIES_DIFFER => "events",
            ANSWERS_DIFFER => "rows that differ",
            _ => "missing",
        };
        let missing = self.missing.map(|n| format!(", {n} {what}")).unwrap_or_default();
        format!(
            "{}{scope} {}: {} from {} to {until}{missing}",
            name(&self.source, "all sources"),
            name(&self.input, "all inputs"),
            self.cause.replace('_', " "),
            if self.since == 0 { "the beginning".to_owned() } else { moment(self.since) },
        )
    }

    /// What doctor says of it.
    pub fn check(&self) -> Check {
        let check = Check::new("gap", "nothing is missing").look(format!("{}; {}", self.line(), self.remedy()));
        let check = check.losing("reports over this time cannot say that nothing happened");
        if self.source.is_empty() { check } else { check.of_source(&self.source) }
    }

    fn remedy(&self) -> &'static str {
        match self.cause.as_str() {
            "silent" => {
                "what happened there did not arrive: look at the webhook, the shipper or the pull; an export of that time \
                repairs it (`tokentrail import --from --to`)"
            }
            "source_unreachable" => {
                "the source took no heartbeat: look whether it ran, and at its address in the config"
            }
            "no_heartbeat" => {
                "Tokentrail did not run then; a webhook's events come by pull, others by import (--from, --to)"
            }
            "records_missing" if self.source == store::OWN_RECORDS => {
                "no export knows of them: see whether acts by hand of that time are there (`tokentrail person show`), and take a \
                snapshot (`tokentrail snapshot take`)"
            }
            "clock_off" => {
                "its clock and Tokentrail's differ by more than ten seconds: look at time synchronisation on both hosts; times, \
                the order of events and what is late cannot be trusted there"
            }
            "records_missing" => {
                "records were lost behind intake: run `tokentrail journal verify`; where the journal still has them, \
                `tokentrail forward --from` brings them; else an export of that time repairs the part of its source \
                (`tokentrail import --from --to`)"
            }
            "log_rolled_back" => {
                "an older state of the journal was put back: what the store has beyond it has no log now"
            }
            "position_contested" => {
                "two different receipts stand at one position of a stream: somebody wrote history twice, and neither is \
                proven. `SELECT * FROM contested_receipts` names the positions; both are kept"
            }
            COPIES_DIFFER => {
                "two inputs brought copies of an event that contradict each other: one was altered on its way, and nobody knows which. \
                `SELECT event_id, inputs, conflicts FROM events_in(from = MS, to = MS) WHERE notEmpty(conflicts)` names events and fields, \
                the view `event_inputs` has the word of each input; look at the source itself, and at who can write on the way"
            }
            "events_missing" | "bodies_missing" | "store_went_back" => {
                "rows that ClickHouse acknowledged are there no more: somebody deleted them, or a partition or a disk went. Put them back from a \
                backup of ClickHouse; over Kafka `tokentrail forward --from N --stream ID` brings what the journal still has; else import what \
                the source has of that time"
            }
            "chain_broken" => {
                "headers or commitments of these numbers are not those that were journaled: somebody wrote in ClickHouse. Compare them with a \
                backup, and with the journal while it has them (`tokentrail journal verify`); nothing that rests on them is proven"
            }
            "sender_dropped" => {
                "the sender's spool was full (raise --spool-mib), or a followed log was cut back, deleted or compressed before it was \
                sent (keep the newest rotated file as it is: `delaycompress`); a whole log of that time repairs it (`tokentrail \
                import --from --to`)"
            }
            store::correlation::EVENT_SET_ASIDE => {
                "the correlation dies of this event by a fault of its own and leaves it out, so sessions, rights and decisions lack \
                what it says: please report it; a newer version tries again by itself, `tokentrail deadletters retry` does now"
            }
            ANSWERS_DIFFER => {
                "answers that stand are not those of the events that are stored (`tokentrail self-check`): somebody wrote in ClickHouse, or \
                the program has a fault. `tokentrail self-check --mend` has everything answered anew; if they differ then, please report it"
            }
            _ => "import that time again",
        }
    }
}
