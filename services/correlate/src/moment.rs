//! When something happened, and which of two things came first: the tie rules that give every timeline one total order.
//!
//! Never uses the order of arrival.

use crate::checkpoint::{kept_enum, kept_struct};
use uuid::Uuid;

/// Milliseconds since 1970, UTC.
pub type Millis = i64;

/// What comes first when two facts carry the same millisecond. The order of the variants is the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rank {
    /// State that was read: what it says was so when the read began.
    Read,
    /// An admin's act: Keycloak stamps it at the start of the request, so it is never later than its millisecond.
    Change,
    /// A login comes before the code that it yields,
    Login,
    /// the code before the tokens,
    Issue,
    /// the tokens before the Backstage token that they pay for,
    BackstageIssue,
    /// and that before the callback's access line, which is written when the answer is out.
    Callback,
    /// A decision sees all of the above.
    Decision,
    /// An end comes after everything of its millisecond: a token used and revoked at once was used first.
    End,
}

/// A place in the one total order of all facts: time, then [`Rank`], then event id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment {
    /// Best known time.
    pub at: Millis,
    /// Tie rule.
    pub rank: Rank,
    /// The event that says it.
    pub event: Uuid,
}

impl Moment {
    /// Before every fact of the millisecond `at`.
    pub(crate) fn floor(at: Millis) -> Self {
        Self { at, rank: Rank::Read, event: Uuid::nil() }
    }

    /// After every fact of the millisecond `at`.
    pub(crate) fn ceiling(at: Millis) -> Self {
        Self { at, rank: Rank::End, event: Uuid::max() }
    }
}

/// Earliest and latest instant at which something can have happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// Earliest.
    pub min: Millis,
    /// Latest.
    pub max: Millis,
}

impl Span {
    /// Known to the millisecond.
    pub fn exact(at: Millis) -> Self {
        Self { min: at, max: at }
    }
}

kept_enum!(Rank {
    0 Read {}, 1 Change {}, 2 Login {}, 3 Issue {}, 4 BackstageIssue {}, 5 Callback {}, 6 Decision {}, 7 End {},
});
kept_struct!(Moment { at, rank, event });
kept_struct!(Span { min, max });

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_millisecond_is_ordered_by_rank_and_then_by_id() {
        let at = |rank, id| Moment { at: 5, rank, event: Uuid::from_u128(id) };
        let mut all =
            [at(Rank::Decision, 1), at(Rank::Issue, 2), at(Rank::Change, 9), at(Rank::Login, 3), at(Rank::Issue, 1)];
        all.sort();
        let ranks: Vec<(Rank, u128)> = all.iter().map(|m| (m.rank, m.event.as_u128())).collect();
        assert_eq!(
            ranks,
            [(Rank::Change, 9), (Rank::Login, 3), (Rank::Issue, 1), (Rank::Issue, 2), (Rank::Decision, 1)]
        );
        assert!(Moment::floor(5) < all[0] && all[4] < Moment::ceiling(5) && Moment::ceiling(4) < Moment::floor(5));
    }
}
