//! What people said of a finding, and when that counts no more.
//!
//! A pure function of their last act and of what the finding says now: a register that is filled anew from the log, in whatever order,
//! comes to the same as the one that was lost.

use crate::{
    finding::{Severity, change_id},
    register::Step,
    rules::{Reach, Rule},
};
use uuid::Uuid;

/// The change by which the rules answer an act.
pub const REVIVED: &str = "revived";
/// It went, came again and has the id that it had.
const BEGAN_LATER: &str = "it began after somebody had dealt with it";
/// What was closed was what had happened until then.
const WENT_ON: &str = "it went on after it was closed";
/// Whoever closed it had seen less.
const WORSE: &str = "it is worse than it was when it was closed";

/// What somebody said of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// They look at it.
    Acknowledged,
    /// They are done with it.
    Closed {
        /// How bad it was to them, where they said so.
        seen: Option<Severity>,
    },
}

/// The last word of people on a finding that stands, and what it says now. Times in UTC milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dealt {
    /// The finding.
    pub finding: Uuid,
    /// What was said.
    pub word: Word,
    /// When.
    pub at: i64,
    /// When it began.
    pub first: i64,
    /// When it was last seen.
    pub last: i64,
    /// How bad it is.
    pub severity: Severity,
}

/// The step by which it stands as if nobody had dealt with it; none: their word counts. One word is answered once, however much follows.
pub fn revived(rule: &Rule, dealt: &Dealt) -> Option<Step> {
    let reason = outlived(rule, dealt)?;
    let change = change_id(dealt.finding, REVIVED, dealt.at.unsigned_abs());
    Some(Step { finding: dealt.finding, change, what: REVIVED, reason, answers: true })
}

fn outlived(rule: &Rule, dealt: &Dealt) -> Option<&'static str> {
    if dealt.first > dealt.at {
        return Some(BEGAN_LATER);
    }
    // Who looks at it is told by the receivers when it gets worse.
    let Word::Closed { seen } = dealt.word else { return None };
    match () {
        // Of a person it is one finding for as long as they go on.
        () if rule.reach == Reach::Persons && dealt.last > dealt.at => Some(WENT_ON),
        () if seen.is_some_and(|seen| dealt.severity > seen) => Some(WORSE),
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed(seen: Option<Severity>) -> Dealt {
        let word = Word::Closed { seen };
        Dealt { finding: Uuid::from_u128(1), word, at: 50, first: 10, last: 50, severity: Severity::Medium }
    }

    fn reason(rule: &str, dealt: &Dealt) -> Option<&'static str> {
        revived(Rule::of(rule).unwrap(), dealt).map(|step| step.reason)
    }

    #[test]
    fn what_goes_on_after_it_was_closed_stands_again_and_what_had_happened_does_not() {
        assert_eq!(reason("D02", &closed(Some(Severity::Medium))), None);
        let goes_on = Dealt { last: 51, ..closed(None) };
        for rule in ["D01", "D02", "D19", "D20"] {
            assert_eq!(reason(rule, &goes_on), Some(WENT_ON), "{rule}");
        }
        // The end of a gap that somebody knew of is no news.
        for rule in ["D03", "D04", "D05", "D11", "D12", "D13", "D16"] {
            assert_eq!(reason(rule, &goes_on), None, "{rule}");
            assert_eq!(reason(rule, &Dealt { first: 51, ..goes_on }), Some(BEGAN_LATER), "{rule}");
        }
        // Somebody looks at it: of more of the same they need not be told.
        let looked_at = Dealt { word: Word::Acknowledged, severity: Severity::Critical, ..goes_on };
        assert_eq!(reason("D02", &looked_at), None);
        assert_eq!(reason("D02", &Dealt { first: 51, ..looked_at }), Some(BEGAN_LATER));
    }

    #[test]
    fn what_is_worse_than_whoever_closed_it_saw_stands_again() {
        let worse = Dealt { severity: Severity::High, ..closed(Some(Severity::Medium)) };
        assert_eq!(reason("D12", &worse), Some(WORSE));
        assert_eq!(reason("D12", &Dealt { severity: Severity::Low, ..worse }), None);
        assert_eq!(
            reason("D12", &Dealt { severity: Severity::Critical, ..closed(None) }),
            None,
            "nobody said what they saw"
        );
    }

    #[test]
    fn one_word_is_answered_once() {
        let step = |dealt: Dealt| revived(Rule::of("D02").unwrap(), &dealt).unwrap();
        let first = step(Dealt { last: 60, ..closed(None) });
        assert_eq!(first.change, step(Dealt { last: 70, severity: Severity::High, ..closed(None) }).change);
        assert_ne!(first.change, step(Dealt { at: 65, last: 70, ..closed(None) }).change);
    }
}
