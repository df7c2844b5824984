//! How long realms let sessions live, over time, and by when something has come to its end at the latest.
//!
//! A snapshot shows a change some time after it was made: until then, the longer of both counts. An event tells the instant.

use crate::{
    checkpoint::kept_struct,
    facts::Lifespans,
    log::Log,
    moment::{Millis, Moment, Rank},
    names::Id,
};
use hashbrown::HashMap;

/// Longer than anything lives.
const FOREVER: Millis = 1 << 56;

/// Of every realm.
#[derive(Default)]
pub(crate) struct Realms {
    said: HashMap<Id, Log<Moment, Lifespans>>,
}

/// Of what a lifespan is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// Of a session that nobody uses.
    Idle,
    /// Of a session in all.
    Whole,
    /// Of an offline session that nobody uses.
    OfflineIdle,
    /// Of an offline session in all.
    OfflineWhole,
}

impl Life {
    /// The longest that it can be: whether somebody wanted to be remembered is not asked.
    fn longest(self, said: Lifespans) -> Option<Millis> {
        match self {
            Self::Idle => Some(said.idle?.max(said.idle_remembered.unwrap_or(0))),
            Self::Whole => Some(said.max?.max(said.max_remembered.unwrap_or(0))),
            Self::OfflineIdle => said.offline_idle,
            Self::OfflineWhole if said.offline_ends? => said.offline_max,
            Self::OfflineWhole => Some(FOREVER),
        }
    }
}

impl Realms {
    /// Notes what was said of a realm; true if that is news.
    pub(crate) fn note(&mut self, realm: Id, moment: Moment, said: Lifespans) -> bool {
        let log = self.said.entry(realm).or_default();
        let news = log.get(&moment) != Some(&said);
        log.insert(moment, said);
        news
    }

    /// Whether what is said changes for how long sessions lived before `floor`: as what is said first does, and what a snapshot
    /// finds otherwise than was said before then.
    pub(crate) fn reaches_back(&self, realm: Id, said: (Moment, Lifespans), floor: Millis) -> bool {
        let (moment, said) = said;
        let Some(log) = self.said.get(&realm) else { return true };
        if log.get(&moment) == Some(&said) {
            return false;
        }
        let (mut known, mut last) = (Lifespans::default(), None);
        for (at, before) in log.range(..moment) {
            (known, last) = (before.or(known), Some(*at));
        }
        last.is_none_or(|last| {
            moment.at < floor || (last.at < floor && moment.rank == Rank::Read && said.or(known) != known)
        })
    }

    /// Whether anything is said of a realm.
    pub(crate) fn knows(&self, realm: Id) -> bool {
        self.said.contains_key(&realm)
    }

    /// By when what was as at `from` has ended at the latest; nothing if that is not known.
    pub(crate) fn end(&self, realm: Id, life: Life, from: Millis) -> Option<Millis> {
        let mut known = Lifespans::default();
        let mut steps: Vec<(Moment, Option<Millis>)> = Vec::new();
        for (moment, said) in self.said.get(&realm)? {
            known = said.or(known);
            let longest = life.longest(known);
            if let Some(before) = steps.last_mut().filter(|_| moment.rank == Rank::Read) {
                before.1 = before.1.zip(longest).map(|(before, now)| before.max(now));
            }
            steps.push((*moment, longest));
        }
        for (place, (moment, longest)) in steps.iter().enumerate() {
            // What was said first was so before.
            let begin = if place == 0 { Millis::MIN } else { moment.at };
            let end = steps.get(place + 1).map_or(Millis::MAX, |next| next.0.at);
            if end <= from {
                continue;
            }
            let over = from.saturating_add((*longest)?).max(begin);
            if over < end {
                return Some(over).filter(|over| *over < FOREVER);
            }
        }
        None
    }
}

kept_struct!(Lifespans { idle, max, idle_remembered, max_remembered, offline_idle, offline_max, offline_ends });
kept_struct!(Realms { said });

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::Names;
    use uuid::Uuid;

    fn idle(said: &[(Millis, Rank, Millis)]) -> (Realms, Id) {
        let (mut realms, realm) = (Realms::default(), Names::default().id("kc", "r"));
        for (at, rank, idle) in said {
            let moment = Moment { at: *at, rank: *rank, event: Uuid::nil() };
            realms.note(realm, moment, Lifespans { idle: Some(*idle), ..Lifespans::default() });
        }
        (realms, realm)
    }

    #[test]
    fn a_change_counts_from_when_it_can_have_been_made() {
        let (realms, realm) = idle(&[(100, Rank::Read, 10), (200, Rank::Read, 50), (300, Rank::Change, 5)]);
        let end = |from| realms.end(realm, Life::Idle, from);
        assert_eq!(end(20), Some(70), "as first read, or as it was changed to before it was read again");
        assert_eq!((end(120), end(180)), (Some(170), Some(230)));
        // The new, shorter one ends at once what is older than it.
        assert_eq!((end(260), end(298), end(310)), (Some(300), Some(303), Some(315)));
        assert_eq!(realms.end(realm, Life::Whole, 20), None, "nothing is said of it");
    }

    #[test]
    fn what_never_ends_has_no_end() {
        let mut realms = Realms::default();
        let realm = Names::default().id("kc", "r");
        let said = |ends| Lifespans { offline_max: Some(7), offline_ends: ends, ..Lifespans::default() };
        let at = |at| Moment { at, rank: Rank::Change, event: Uuid::nil() };
        realms.note(realm, at(10), said(Some(false)));
        assert_eq!(realms.end(realm, Life::OfflineWhole, 1), None);
        realms.note(realm, at(20), said(Some(true)));
        assert_eq!(realms.end(realm, Life::OfflineWhole, 1), Some(20));
    }
}
