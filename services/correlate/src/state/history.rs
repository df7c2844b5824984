//! The history of one value in full: all evidence, and the conclusions that are drawn from it. Most histories need less:
//! [`super::ledger`].

use super::{
    ledger::{Mark, Missing, Rules, Segment},
    reads::ReadAt,
};
use crate::{
    checkpoint::kept_struct,
    moment::{Millis, Moment, Rank},
    names::Sym,
};

/// Consecutive reads that saw the same value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run<V> {
    pub value: V,
    pub first: Moment,
    pub last: Moment,
}

#[derive(Clone, Copy)]
struct Evidence<V> {
    moment: Moment,
    /// A read's end: what it says was so at some instant up to then.
    until: Moment,
    says: Option<V>,
    by: Option<Sym>,
    event: bool,
}

/// One history.
#[derive(Clone, Debug)]
pub(crate) struct History<V> {
    pub marks: Vec<Mark<V>>,
    pub runs: Vec<Run<V>>,
    pub segments: Vec<Segment<V>>,
    pub gaps: Vec<Missing<V>>,
}

impl<V> Default for History<V> {
    fn default() -> Self {
        Self { marks: Vec::new(), runs: Vec::new(), segments: Vec::new(), gaps: Vec::new() }
    }
}

impl<V: Copy + PartialEq> History<V> {
    /// Notes an event and answers its place among the marks; `None` if it was there.
    pub(super) fn mark(&mut self, mark: Mark<V>) -> Option<usize> {
        let place = self.marks.binary_search_by_key(&mark.moment, |known| known.moment).err()?;
        make_room(&mut self.marks);
        self.marks.insert(place, mark);
        Some(place)
    }

    /// Takes an event out again (it turned out to belong elsewhere).
    pub(super) fn unmark(&mut self, moment: Moment) {
        self.marks.retain(|mark| mark.moment != moment);
    }

    /// Lets go of events before `over` that only say again what those before and after them say, if all that follows from the others is
    /// the same: else a read lies between them, and they stay.
    pub(super) fn fold(&mut self, over: Millis, reads: &[ReadAt], rules: Rules<V>) {
        let mut kept: Vec<Mark<V>> = Vec::with_capacity(2);
        for (mark, next) in self.marks.iter().zip(self.marks.iter().skip(1).map(Some).chain([None])) {
            let repeats = |other: &Mark<V>| other.moment.at < over && other.says == mark.says;
            if !(kept.last().is_some_and(repeats) && next.is_some_and(repeats)) {
                kept.push(*mark);
            }
        }
        if kept.len() == self.marks.len() {
            return;
        }
        kept.shrink_to_fit();
        let (segments, gaps) = (self.segments.clone(), self.gaps.clone());
        let all = std::mem::replace(&mut self.marks, kept);
        self.conclude(0, reads, rules);
        if self.segments != segments || self.gaps != gaps {
            (self.marks, self.segments, self.gaps) = (all, segments, gaps);
        }
    }

    /// Whether evidence at `moment` lies between two events before `over` that say the same, and says something else.
    pub(super) fn may_lack(&self, moment: Moment, says: Option<V>, over: Millis) -> bool {
        let place = self.marks.partition_point(|mark| mark.moment < moment);
        let before = place.checked_sub(1).and_then(|before| self.marks.get(before));
        let (Some(before), Some(after)) = (before, self.marks.get(place)) else { return false };
        after.moment.at < over && before.says == after.says && says != before.says
    }

    /// Notes what the read at `at` (an index into `reads`) saw.
    pub(super) fn seen(&mut self, value: Option<V>, at: usize, reads: &[ReadAt]) {
        let moment = reads[at].moment();
        let neighbour = |index: Option<usize>| index.and_then(|i| reads.get(i)).map(ReadAt::moment);
        let (before, after) = (neighbour(at.checked_sub(1)), neighbour(Some(at + 1)));
        if let Some(inside) = self.runs.iter().position(|run| run.first < moment && moment < run.last) {
            let run = self.runs[inside];
            if value == Some(run.value) {
                return;
            }
            if let (Some(before), Some(after)) = (before, after) {
                self.runs[inside] = Run { last: before, ..run };
                self.runs.insert(inside + 1, Run { first: after, ..run });
            }
        }
        let Some(value) = value else { return };
        let place = self.runs.partition_point(|run| run.first < moment);
        let left = place.checked_sub(1).filter(|i| Some(self.runs[*i].last) == before && self.runs[*i].value == value);
        let right =
            Some(place).filter(|i| self.runs.get(*i).is_some_and(|r| Some(r.first) == after && r.value == value));
        match (left, right) {
            (Some(left), Some(right)) => {
                self.runs[left].last = self.runs[right].last;
                self.runs.remove(right);
            }
            (Some(left), None) => self.runs[left].last = moment,
            (None, Some(right)) => self.runs[right].first = moment,
            (None, None) => {
                make_room(&mut self.runs);
                self.runs.insert(place, Run { value, first: moment, last: moment });
            }
        }
    }

    /// Draws the conclusions anew, from the mark at `place` on (0: all of them). Answers from when on they differ from before,
    /// if they do.
    ///
    /// Nothing before the evidence next to its millisecond can differ: what comes before it rests on neighbours that are the same. (Of what was
    /// seen in passing it can: a change beside it leaves it out.)
    pub(super) fn conclude(&mut self, place: usize, reads: &[ReadAt], rules: Rules<V>) -> Option<Millis> {
        let place = if rules.in_passing { 0 } else { self.beginning(place) };
        let before = (0..place).rev().find(|before| !self.is_named_again(&self.marks[*before]));
        let (first, begin) = (before.unwrap_or(0), before.map(|before| self.marks[before].moment));
        let evidence = self.evidence((first, begin), reads, rules);
        let kept = begin.map_or(0, |begin| self.segments.partition_point(|s| s.from.is_none_or(|from| from < begin)));
        let old = self.segments.split_off(kept);
        self.gaps.truncate(begin.map_or(0, |begin| self.gaps.partition_point(|gap| gap.after < begin)));
        if kept == 0 {
            let says = evidence.first().and_then(|first| first.implies(rules)).unwrap_or(None);
            self.segments.push(Segment { from: None, says, since: None, by: None, gap: false });
        }
        for (i, piece) in evidence.iter().enumerate() {
            let next = evidence.get(i + 1);
            let missing = next.filter(|next| contradict(piece.says, next.implies(rules)));
            if let Some(next) = missing {
                let becomes = next.implies(rules).unwrap_or(next.says);
                let found_by_read = !next.event;
                self.gaps.push(Missing { after: piece.moment, before: next.until, becomes, found_by_read });
            }
            let before = self.segments[self.segments.len() - 1];
            // What a read finds otherwise became so at the latest by its end: until then it is open.
            let from = if before.gap { piece.until } else { piece.moment };
            let from = before.from.map_or(from, |before| before.max(from));
            let goes_on = before.says == piece.says && !before.gap;
            // What goes on keeps its beginning; what a read finds new began at an unknown time.
            let (since, by) = match (goes_on, piece.event) {
                (true, _) => (before.since, before.by),
                (false, true) => (Some(piece.moment), piece.by),
                (false, false) => (None, None),
            };
            let segment = Segment { from: Some(from), says: piece.says, since, by, gap: missing.is_some() };
            // What was only implied and what was seen are kept apart.
            if goes_on && before.from.is_some() && segment.gap == before.gap {
                continue;
            }
            self.segments.push(segment);
        }
        if self.segments.len() < FEW {
            self.segments.shrink_to_fit();
        }
        first_difference(&old, &self.segments[kept..], (kept == 0, rules.unheard_is_none))
    }

    /// The place of the first mark of the millisecond of the one at `place`.
    fn beginning(&self, place: usize) -> usize {
        let Some(mark) = self.marks.get(place) else { return place };
        self.marks.partition_point(|known| known.moment.at < mark.moment.at)
    }

    /// A list that is saved anew is first emptied: whom anything of that millisecond names again it names still.
    fn is_named_again(&self, mark: &Mark<V>) -> bool {
        if mark.moment.rank != Rank::Read || mark.says.is_some() {
            return false;
        }
        let at = mark.moment.at;
        let first = self.marks.partition_point(|known| known.moment.at < at);
        self.marks[first..].iter().take_while(|known| known.moment.at == at).any(|known| known.says.is_some())
    }

    /// Every mark from the first one on, and those reads after `begin` that can matter: at the edges of runs, and next to marks. What is seen,
    /// by a read or in passing, so near to a change that it cannot be told which came first is left out.
    fn evidence(&self, from: (usize, Option<Moment>), reads: &[ReadAt], rules: Rules<V>) -> Vec<Evidence<V>> {
        let (first, begin) = from;
        let marks = &self.marks[first..];
        let changes = |m: &Mark<V>| !(rules.in_passing && m.moment.rank == Rank::Read);
        let changes_near = |from: Millis, to: Millis| {
            let first = marks.partition_point(|m| m.moment.at < from.saturating_sub(rules.skew));
            marks[first..].iter().take_while(|m| m.moment.at <= to.saturating_add(rules.skew)).any(changes)
        };
        let tells = |m: &&Mark<V>| !self.is_named_again(m) && (changes(m) || !changes_near(m.moment.at, m.moment.at));
        let told = |m: &Mark<V>| {
            let Mark { moment, says, by } = *m;
            Evidence { moment, until: moment, says, by, event: changes(m) }
        };
        let mut all: Vec<Evidence<V>> = marks.iter().filter(tells).map(told).collect();
        if reads.is_empty() {
            return all;
        }
        let index = |moment: &Moment| reads.partition_point(|read| read.moment() < *moment);
        let mut wanted = vec![0];
        for run in &self.runs {
            let (first, last) = (index(&run.first), index(&run.last));
            wanted.extend([first.saturating_sub(1), first, last, last + 1]);
        }
        for mark in marks {
            let after = reads.partition_point(|read| read.begin.saturating_sub(rules.skew) <= mark.moment.at);
            // One that began later can have ended sooner.
            let is_over = |read: &ReadAt| read.end.saturating_add(rules.skew) < mark.moment.at;
            wanted.extend(reads[..after].iter().rposition(is_over));
            wanted.push(after);
        }
        wanted.sort_unstable();
        wanted.dedup();
        for read in wanted.into_iter().filter_map(|i| reads.get(i)) {
            let moment = read.moment();
            if begin.is_some_and(|begin| moment < begin) {
                continue;
            }
            if changes_near(read.begin, read.end) {
                continue;
            }
            let run = self.runs.iter().find(|run| run.first <= moment && moment <= run.last);
            if run.is_none() && !rules.absence_counts {
                continue;
            }
            let says = run.map(|run| run.value);
            let until = Moment { at: read.end.max(read.begin), ..moment };
            all.push(Evidence { moment, until, says, by: None, event: false });
        }
        all.sort_by_key(|evidence| evidence.moment);
        all
    }
}

impl<V: Copy + PartialEq> Evidence<V> {
    /// What it was just before.
    fn implies(&self, rules: Rules<V>) -> Option<Option<V>> {
        match self.says {
            says if !self.event => Some(says),
            Some(_) => rules.only.map(|_| None),
            None => rules.only.map(Some),
        }
    }
}

/// Most histories hold one or two of each, and there are millions of them: no room is made for more before there are so many.
const FEW: usize = 8;

fn make_room<T>(list: &mut Vec<T>) {
    if list.len() < FEW {
        list.reserve_exact(1);
    }
}

fn contradict<V: PartialEq>(says: Option<V>, implied: Option<Option<V>>) -> bool {
    match implied {
        Some(implied) => says != implied,
        None => false,
    }
}

/// `whole`: these are the segments from the beginning on. `unheard_is_none`: see [`Rules`].
fn first_difference<V: Copy + PartialEq>(
    old: &[Segment<V>],
    new: &[Segment<V>],
    (whole, unheard_is_none): (bool, bool),
) -> Option<Millis> {
    // Without evidence it is taken not to be so.
    let nothing = [Segment { from: None, says: None, since: None, by: None, gap: false }];
    let silent = |segment: &&Segment<V>| segment.says.is_none() && !segment.gap;
    let (old, same) = match old.is_empty() && whole {
        true if unheard_is_none => (old, new.iter().take_while(silent).count()),
        true => (&nothing[..], usize::from(new.first() == Some(&nothing[0]))),
        false => (old, old.iter().zip(new).take_while(|(old, new)| old == new).count()),
    };
    let from = |list: &[Segment<V>]| list.get(same).map(|segment| segment.from.map_or(Millis::MIN, |from| from.at));
    match (from(old), from(new)) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, other) => one.or(other),
    }
}

impl ReadAt {
    /// A read's place: what it says was so when it began.
    pub(crate) fn moment(&self) -> Moment {
        Moment { at: self.begin, rank: Rank::Read, event: self.event }
    }
}

kept_struct!(Run<V> { value, first, last });
kept_struct!(History<V> { marks, runs, segments, gaps });

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test may panic
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng, rngs::StdRng};
    use uuid::Uuid;

    /// A history as a source tells it: random events, in any order, and reads of which some lie near them.
    #[test]
    fn from_a_mark_on_is_as_from_the_beginning() {
        for seed in 0..3_000 {
            let mut random = StdRng::seed_from_u64(seed);
            let mut reads: Vec<ReadAt> = (0..random.random_range(0..4))
                .map(|n| {
                    let begin = random.random_range(0..60);
                    ReadAt { begin, end: begin + random.random_range(0..6), event: Uuid::from_u128(n) }
                })
                .collect();
            reads.sort_by_key(ReadAt::moment);
            let rules = Rules {
                only: random.random_bool(0.7).then_some(1),
                skew: random.random_range(0..4),
                absence_counts: random.random_bool(0.5),
                unheard_is_none: random.random_bool(0.5),
                in_passing: random.random_bool(0.3),
            };
            let mut history = History::default();
            for at in 0..reads.len() {
                history.seen(random.random_bool(0.5).then_some(1), at, &reads);
            }
            history.conclude(0, &reads, rules);
            // Some lie far apart, some in the same few milliseconds.
            let instants = if seed % 2 == 0 { 60 } else { 4 };
            for number in 0..random.random_range(1..12) {
                let rank = if random.random_bool(0.3) { Rank::Read } else { Rank::Change };
                let moment = Moment { at: random.random_range(0..instants), rank, event: Uuid::from_u128(number) };
                let says = random.random_bool(0.5).then_some(1);
                let Some(place) = history.mark(Mark { moment, says, by: None }) else { continue };
                let mut whole = history.clone();
                let differs = history.conclude(place, &reads, rules);
                assert_eq!(differs, whole.conclude(0, &reads, rules), "seed {seed}");
                assert_eq!(history.segments, whole.segments, "seed {seed}");
                assert_eq!(history.gaps, whole.gaps, "seed {seed}");
            }
        }
    }
}
