//! The history of one value (does this person hold this group? what is this group called?) from two kinds of evidence:
//! events, which say what changed, and reads, which say what was.
//!
//! Before the first evidence the value is what that evidence implies: a removal implies that it was held, a read that it was as
//! read. Two neighbours that contradict each other are a gap: an event between them is missing. From the second on the history
//! is healed; between them it is what the first said, and marked. [`History`] draws these conclusions.
//!
//! There are millions of histories, and most rest on one event, or on reads that saw the same: of those only the evidence is kept,
//! and the rest follows from it whenever it is asked.

use super::{
    history::{History, Run},
    reads::ReadAt,
};
use crate::{
    checkpoint::{kept_enum, kept_struct},
    moment::{Millis, Moment, Rank},
    names::Sym,
};
use std::ops::Deref;
use uuid::Uuid;

/// An event of a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark<V> {
    pub moment: Moment,
    /// The value from here on; `None`: there is none.
    pub says: Option<V>,
    pub by: Option<Sym>,
}

/// How evidence is read.
#[derive(Clone, Copy)]
pub(crate) struct Rules<V> {
    /// The only value that there is, of a source that tells a change only if it changes something: then an event also says how
    /// it was just before.
    pub only: Option<V>,
    /// Evidence of a read this near to an event is left out: which came first cannot be told.
    pub skew: Millis,
    /// A read that does not list the thing says that it has no value (else it says nothing).
    pub absence_counts: bool,
    /// What nothing is said of is as what is said to have no value: hearing that changes no answer. (Of what exists it does: what was
    /// never spoken of may have existed.)
    pub unheard_is_none: bool,
    /// A mark of rank [`Rank::Read`] says what was seen in passing: how it was then, not that it changed.
    pub in_passing: bool,
}

impl<V> Rules<V> {
    /// Of what reads list whole: what they do not list is not so.
    pub(crate) fn listed(skew: Millis) -> Self {
        Self { only: None, skew, absence_counts: true, unheard_is_none: true, in_passing: false }
    }

    /// Of what is said of a thing where it is listed.
    pub(crate) fn said(skew: Millis) -> Self {
        Self { absence_counts: false, ..Self::listed(skew) }
    }
}

/// The value from `from` on, until the next segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment<V> {
    /// `None`: as far back as is known.
    pub from: Option<Moment>,
    pub says: Option<V>,
    /// Since when it is so without interruption, if an event says it.
    pub since: Option<Moment>,
    pub by: Option<Sym>,
    /// An event is missing between this segment's evidence and the next.
    pub gap: bool,
}

/// Two neighbours that contradict each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Missing<V> {
    pub after: Moment,
    pub before: Moment,
    /// What the missing event must have brought about.
    pub becomes: Option<V>,
    /// The second is a read, not an event.
    pub found_by_read: bool,
}

/// One history.
#[derive(Clone, Debug)]
pub(crate) enum Ledger<V> {
    Plain(Plain<V>),
    Full(Box<History<V>>),
}

/// A history of two segments: as one piece of evidence implies that it was before, and as it says from then on.
#[derive(Clone, Debug)]
pub(crate) struct Plain<V> {
    evidence: Sole<V>,
    before: Option<V>,
}

#[derive(Clone, Debug)]
enum Sole<V> {
    Event(Mark<V>),
    /// Reads that saw the same, by the first and the last: when each began, and its event.
    Reads(V, (Millis, Uuid), (Millis, Uuid)),
}

/// Segments in the order of time.
pub(crate) enum Segments<'a, V> {
    Two([Segment<V>; 2]),
    All(&'a [Segment<V>]),
}

impl<V> Default for Ledger<V> {
    fn default() -> Self {
        Self::Full(Box::default())
    }
}

impl<V: Copy + PartialEq> Ledger<V> {
    /// Notes an event and answers its place among the marks; `None` if it was there.
    pub(crate) fn mark(&mut self, mark: Mark<V>) -> Option<usize> {
        match self {
            Self::Plain(Plain { evidence: Sole::Event(known), .. }) if known.moment == mark.moment => None,
            _ => self.full().mark(mark),
        }
    }

    /// Takes an event out again (it turned out to belong elsewhere).
    pub(crate) fn unmark(&mut self, moment: Moment) {
        self.full().unmark(moment);
    }

    /// Notes what the read at `at` (an index into `reads`) saw.
    pub(crate) fn seen(&mut self, value: Option<V>, at: usize, reads: &[ReadAt]) {
        self.full().seen(value, at, reads);
    }

    /// Draws the conclusions anew, from the mark at `place` on (0: all of them). Answers from when on they differ from before,
    /// if they do.
    pub(crate) fn conclude(&mut self, place: usize, reads: &[ReadAt], rules: Rules<V>) -> Option<Millis> {
        let history = self.full();
        let from = history.conclude(place, reads, rules);
        if let Some(plain) = Plain::of(history) {
            *self = Self::Plain(plain);
        }
        from
    }

    /// Lets go of events before `over` that only say again what those before and after them say.
    pub(crate) fn fold(&mut self, over: Millis, reads: &[ReadAt], rules: Rules<V>) {
        if let Self::Full(history) = self {
            history.fold(over, reads, rules);
        }
    }

    /// Whether evidence at `moment` lies where such events may be gone, and says something else.
    pub(crate) fn may_lack(&self, moment: Moment, says: Option<V>, over: Millis) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Full(history) => history.may_lack(moment, says, over),
        }
    }

    fn full(&mut self) -> &mut History<V> {
        if let Self::Plain(plain) = self {
            *self = Self::Full(Box::new(plain.history()));
        }
        match self {
            Self::Full(history) => history,
            Self::Plain(_) => unreachable!("it was made full above"),
        }
    }

    /// The value as of `t`.
    pub(crate) fn at(&self, t: Millis) -> Option<Segment<V>> {
        self.around(t).map(|(segment, _)| segment)
    }

    /// The same, with what comes next.
    pub(crate) fn around(&self, t: Millis) -> Option<(Segment<V>, Option<Segment<V>>)> {
        let limit = Moment::ceiling(t);
        let segments = self.segments();
        let after = segments.partition_point(|segment| segment.from.is_none_or(|from| from <= limit));
        Some((*segments[..after].last()?, segments.get(after).copied()))
    }

    /// No evidence at all.
    pub(crate) fn is_silent(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Full(history) => history.marks.is_empty() && history.runs.is_empty(),
        }
    }

    /// The instants up to `t` from which the value is another.
    pub(crate) fn changes(&self, t: Millis) -> impl Iterator<Item = Millis> + '_ {
        let limit = Moment::ceiling(t);
        let froms = self.segments().into_iter().map(|segment| segment.from);
        froms.take_while(move |from| from.is_none_or(|from| from <= limit)).flatten().map(|from| from.at)
    }

    pub(crate) fn segments(&self) -> Segments<'_, V> {
        match self {
            Self::Plain(plain) => Segments::Two(plain.segments()),
            Self::Full(history) => Segments::All(&history.segments),
        }
    }

    /// Each segment with the next.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (Segment<V>, Segment<V>)> + '_ {
        self.segments().into_iter().zip(self.segments().into_iter().skip(1))
    }

    /// What it says, from when on, and whether an event is missing there.
    pub(crate) fn says(&self) -> Vec<(Option<Moment>, Option<V>, bool)> {
        let mut says: Vec<_> = self.segments().into_iter().map(|one| (one.from, one.says, one.gap)).collect();
        says.dedup_by(|next, before| (next.1, next.2) == (before.1, before.2));
        says
    }

    pub(crate) fn gaps(&self) -> &[Missing<V>] {
        match self {
            Self::Plain(_) => &[],
            Self::Full(history) => &history.gaps,
        }
    }
}

impl<V: Copy + PartialEq> Plain<V> {
    /// Of a history that is no more than this.
    fn of(history: &History<V>) -> Option<Self> {
        let evidence = match (&*history.marks, &*history.runs) {
            ([mark], []) => Sole::Event(*mark),
            ([], [Run { value, first, last }]) => Sole::Reads(*value, (first.at, first.event), (last.at, last.event)),
            _ => return None,
        };
        let plain = Self { evidence, before: history.segments.first()?.says };
        (history.gaps.is_empty() && plain.segments() == *history.segments).then_some(plain)
    }

    fn history(&self) -> History<V> {
        let (marks, runs) = match self.evidence {
            Sole::Event(mark) => (vec![mark], Vec::new()),
            Sole::Reads(value, first, last) => {
                (Vec::new(), vec![Run { value, first: read_at(first), last: read_at(last) }])
            }
        };
        History { marks, runs, segments: self.segments().to_vec(), gaps: Vec::new() }
    }

    fn segments(&self) -> [Segment<V>; 2] {
        let first = Segment { from: None, says: self.before, since: None, by: None, gap: false };
        let second = match self.evidence {
            Sole::Event(Mark { moment, says, by }) => {
                // What goes on has no beginning that an event tells.
                let begins = says != self.before;
                let (since, by) = (begins.then_some(moment), by.filter(|_| begins));
                Segment { from: Some(moment), says, since, by, gap: false }
            }
            Sole::Reads(value, first, _) => {
                Segment { from: Some(read_at(first)), says: Some(value), since: None, by: None, gap: false }
            }
        };
        [first, second]
    }
}

fn read_at((at, event): (Millis, Uuid)) -> Moment {
    Moment { at, rank: Rank::Read, event }
}

impl<V> Deref for Segments<'_, V> {
    type Target = [Segment<V>];

    fn deref(&self) -> &[Segment<V>] {
        match self {
            Self::Two(two) => two,
            Self::All(all) => all,
        }
    }
}

impl<'a, V: Copy> IntoIterator for Segments<'a, V> {
    type Item = Segment<V>;
    type IntoIter = SegmentsIter<'a, V>;

    fn into_iter(self) -> Self::IntoIter {
        SegmentsIter { segments: self, next: 0 }
    }
}

/// Segments one after another.
pub(crate) struct SegmentsIter<'a, V> {
    segments: Segments<'a, V>,
    next: usize,
}

impl<V: Copy> Iterator for SegmentsIter<'_, V> {
    type Item = Segment<V>;

    fn next(&mut self) -> Option<Segment<V>> {
        let segment = self.segments.get(self.next).copied();
        self.next += 1;
        segment
    }
}

kept_struct!(Mark<V> { moment, says, by });
kept_struct!(Rules<V> { only, skew, absence_counts, unheard_is_none, in_passing });
kept_struct!(Segment<V> { from, says, since, by, gap });
kept_struct!(Missing<V> { after, before, becomes, found_by_read });
kept_struct!(Plain<V> { evidence, before });
kept_enum!(Sole<V> { 0 Event { 0: mark }, 1 Reads { 0: value, 1: first, 2: last } });
kept_enum!(Ledger<V> { 0 Plain { 0: plain }, 1 Full { 0: history } });

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test may panic
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng, rngs::StdRng};

    /// Events and reads in any order, few enough that a history is plain, full and plain again.
    #[test]
    fn it_says_what_the_full_history_says() {
        let mut plain = [0, 0];
        for seed in 0..3_000 {
            let mut random = StdRng::seed_from_u64(seed);
            let mut reads: Vec<ReadAt> = (0..random.random_range(0..3))
                .map(|n| {
                    let begin = random.random_range(0..60);
                    ReadAt { begin, end: begin + random.random_range(0..6), event: Uuid::from_u128(n) }
                })
                .collect();
            reads.sort_by_key(ReadAt::moment);
            let (only, absence_counts) = (random.random_bool(0.7).then_some(1), random.random_bool(0.5));
            let unheard_is_none = random.random_bool(0.5);
            let (skew, in_passing) = (random.random_range(0..4), random.random_bool(0.5));
            let rules = Rules { only, skew, absence_counts, unheard_is_none, in_passing };
            let (mut ledger, mut history) = (Ledger::default(), History::default());
            let mut moments: Vec<Moment> = Vec::new();
            for number in 0..random.random_range(1..8) {
                let place = match random.random_range(0..4) {
                    0 if !reads.is_empty() => {
                        let (at, value) = (random.random_range(0..reads.len()), random.random_bool(0.8).then_some(1));
                        ledger.seen(value, at, &reads);
                        history.seen(value, at, &reads);
                        0
                    }
                    1 if !moments.is_empty() => {
                        let moment = moments[random.random_range(0..moments.len())];
                        ledger.unmark(moment);
                        history.unmark(moment);
                        0
                    }
                    _ => {
                        let at = random.random_range(0..60);
                        let rank = if random.random_bool(0.3) { Rank::Read } else { Rank::Change };
                        let moment = Moment { at, rank, event: Uuid::from_u128(number) };
                        let says = random.random_bool(0.6).then_some(1);
                        moments.push(moment);
                        let mark = Mark { moment, says, by: None };
                        let place = history.mark(mark);
                        assert_eq!(ledger.mark(mark), place, "seed {seed}");
                        assert_eq!(ledger.mark(mark), None, "seed {seed}: twice");
                        place.unwrap()
                    }
                };
                let differs = history.conclude(place, &reads, rules);
                assert_eq!(ledger.conclude(place, &reads, rules), differs, "seed {seed}");
                assert_eq!(*ledger.segments(), *history.segments, "seed {seed}");
                assert_eq!(ledger.gaps(), history.gaps, "seed {seed}");
                assert_eq!(ledger.is_silent(), history.marks.is_empty() && history.runs.is_empty(), "seed {seed}");
                let t = random.random_range(-1..61);
                let until = |segment: &&Segment<i32>| segment.from.is_none_or(|from| from <= Moment::ceiling(t));
                assert_eq!(ledger.at(t).as_ref(), history.segments.iter().rfind(until), "seed {seed}");
                let changes = history.segments.iter().filter(until).filter_map(|segment| segment.from);
                assert!(ledger.changes(t).eq(changes.map(|from| from.at)), "seed {seed}");
                match &ledger {
                    Ledger::Plain(Plain { evidence: Sole::Event(_), .. }) => plain[0] += 1,
                    Ledger::Plain(Plain { evidence: Sole::Reads(..), .. }) => plain[1] += 1,
                    Ledger::Full(_) => {}
                }
            }
        }
        assert!(plain.iter().all(|count| *count > 500), "{plain:?}");
    }
}
