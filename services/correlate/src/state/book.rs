//! Many histories of one kind: one per thing ([`Book`]), or one per pair of things ([`Relation`]).

use super::{
    ledger::{Ledger, Mark, Rules, Segment},
    reads::{ReadAt, Reads, Scope},
};
use crate::{
    checkpoint::kept_struct,
    facts::List,
    log::Log,
    moment::{Millis, Moment},
    names::{Id, Sym},
    table::Table,
};
use hashbrown::HashMap;
use std::collections::{BTreeMap, BTreeSet};

/// A change of answers about `of`, from `from` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dirty {
    pub of: Id,
    pub from: Millis,
}

/// One history per thing.
pub(crate) struct Book<V> {
    ledgers: Table<Id, (Sym, Ledger<V>)>,
    /// When a thing ended with something else: reads after that do not speak of it any more.
    ended: HashMap<Id, Millis>,
    list: List,
    rules: Rules<V>,
}

impl<V: Copy + PartialEq> Book<V> {
    /// `list`: which reads speak of these histories.
    pub(crate) fn new(list: List, rules: Rules<V>) -> Self {
        Self { ledgers: Table::default(), ended: HashMap::new(), list, rules }
    }

    /// Notes an event about `of`, in the realm (or Backstage) `within`.
    pub(crate) fn mark(&mut self, place: (Id, Sym), mark: Mark<V>, reads: &Reads) -> Option<Dirty> {
        let (of, within) = place;
        let (_, ledger) = self.ledgers.get_or_insert_with(of, || (within, Ledger::default()));
        let changed = ledger.mark(mark)?;
        self.conclude((of, changed), reads)
    }

    /// Notes what was seen in passing, in place of what was seen at `gone`. Answers from when on something else is said than before.
    pub(crate) fn see(
        &mut self,
        place: (Id, Sym),
        (mark, gone): (Mark<V>, Option<Moment>),
        reads: &Reads,
    ) -> Option<Dirty> {
        let (of, within) = place;
        let (_, ledger) = self.ledgers.get_or_insert_with(of, || (within, Ledger::default()));
        let before = ledger.says();
        if let Some(gone) = gone {
            ledger.unmark(gone);
        }
        ledger.mark(mark)?;
        self.conclude((of, 0), reads);
        // That the same was seen once more says nothing new of the time before.
        let now = self.get(of)?.says();
        let same = before.iter().zip(&now).take_while(|(before, now)| before == now).count();
        let from = |says: &[(Option<Moment>, Option<V>, bool)]| {
            says.get(same).map(|(from, ..)| from.map_or(Millis::MIN, |from| from.at))
        };
        let from = from(&before).into_iter().chain(from(&now)).min()?;
        Some(Dirty { of, from })
    }

    /// Of one history, from a mark's place on.
    fn conclude(&mut self, which: (Id, usize), reads: &Reads) -> Option<Dirty> {
        let (of, place) = which;
        let (within, ledger) = self.ledgers.get_mut(&of)?;
        let reads = reads.of(Scope { list: self.list, within: *within });
        let from = ledger.conclude(place, until(reads, self.ended.get(&of), self.rules.skew), self.rules)?;
        Some(Dirty { of, from })
    }

    /// Notes when a thing ended with something else; `None`: it did not.
    pub(crate) fn ends(&mut self, of: Id, at: Option<Millis>, reads: &Reads) -> Option<Dirty> {
        let before = match at {
            Some(at) => self.ended.insert(of, at),
            None => self.ended.remove(&of),
        };
        if before == at { None } else { self.conclude((of, 0), reads) }
    }

    /// Notes what a complete read (`at`, an index into the reads of `within`) saw.
    pub(crate) fn read(&mut self, place: (usize, Sym), seen: &BTreeMap<Id, V>, reads: &Reads) -> Vec<Dirty> {
        let (at, within) = place;
        let reads = reads.of(Scope { list: self.list, within });
        for of in seen.keys() {
            self.ledgers.get_or_insert_with(*of, || (within, Ledger::default()));
        }
        let mut dirty = Vec::new();
        for (of, (scope, ledger)) in self.ledgers.iter_mut() {
            if *scope != within {
                continue;
            }
            ledger.seen(seen.get(of).copied(), at, reads);
            let reads = until(reads, self.ended.get(of), self.rules.skew);
            if let Some(from) = ledger.conclude(0, reads, self.rules) {
                dirty.push(Dirty { of: *of, from });
            }
        }
        dirty
    }

    /// Lets go of evidence from before `over` that only says again what was said.
    pub(crate) fn fold(&mut self, over: Millis, reads: &Reads) {
        let Self { ledgers, ended, list, rules } = self;
        for (of, (within, ledger)) in ledgers.iter_mut() {
            let reads = reads.of(Scope { list: *list, within: *within });
            ledger.fold(over, until(reads, ended.get(of), rules.skew), *rules);
        }
    }

    pub(crate) fn get(&self, of: Id) -> Option<&Ledger<V>> {
        self.ledgers.get(&of).map(|(_, ledger)| ledger)
    }

    pub(crate) fn at(&self, of: Id, t: Millis) -> Option<Segment<V>> {
        self.get(of)?.at(t)
    }

    /// Everything that has a history.
    pub(crate) fn all(&self) -> impl Iterator<Item = Id> {
        self.ledgers.keys().copied()
    }

    /// The realm (or Backstage) of a thing.
    pub(crate) fn within(&self, of: Id) -> Option<Sym> {
        self.ledgers.get(&of).map(|(within, _)| *within)
    }

    /// The value as of `t`, if it is known.
    pub(crate) fn value(&self, of: Id, t: Millis) -> Option<V> {
        self.at(of, t)?.says
    }
}

/// What a holder holds or ever held, and the realm (or Backstage) of the holder.
struct Held {
    within: Sym,
    pairs: Log<Id, Ledger<()>>,
}

impl Held {
    fn none(within: Sym) -> Self {
        Self { within, pairs: Log::default() }
    }
}

/// One history per pair: `holder` holds `held`.
pub(crate) struct Relation {
    held: Table<Id, Held>,
    holders: HashMap<Id, BTreeSet<Id>>,
    /// When a holder or what is held ended: reads after that do not speak of the pair any more.
    ended: HashMap<Id, Millis>,
    list: List,
    rules: Rules<()>,
}

impl Relation {
    pub(crate) fn new(list: List, rules: Rules<()>) -> Self {
        Self { held: Table::default(), holders: HashMap::new(), ended: HashMap::new(), list, rules }
    }

    /// Notes an event: (holder, held), in the realm (or Backstage) of the holder.
    pub(crate) fn mark(&mut self, pair: (Id, Id, Sym), mark: Mark<()>, reads: &Reads) -> Option<Dirty> {
        let (holder, held, within) = pair;
        let pairs = &mut self.held.get_or_insert_with(holder, || Held::none(within)).pairs;
        let ledger = pairs.get_or_default(held)?;
        self.holders.entry(held).or_default().insert(holder);
        let changed = ledger.mark(mark)?;
        self.conclude((holder, held), changed, reads)
    }

    /// Of one pair, from a mark's place on.
    fn conclude(&mut self, pair: (Id, Id), place: usize, reads: &Reads) -> Option<Dirty> {
        let (holder, held) = pair;
        let Held { within, pairs } = self.held.get_mut(&holder)?;
        let scope = Scope { list: self.list, within: *within };
        let reads = until(reads.of(scope), end(&self.ended, pair), self.rules.skew);
        let from = pairs.get_mut(&held)?.conclude(place, reads, self.rules)?;
        Some(Dirty { of: holder, from })
    }

    /// Notes when a holder, or what is held, ended; `None`: it lives.
    pub(crate) fn ends(&mut self, of: Id, at: Option<Millis>, reads: &Reads) -> Vec<Dirty> {
        let before = match at {
            Some(at) => self.ended.insert(of, at),
            None => self.ended.remove(&of),
        };
        if before == at {
            return Vec::new();
        }
        let held: Vec<(Id, Id)> = self.ever(of).map(|(held, _)| (of, held)).collect();
        let pairs = held.into_iter().chain(self.holders(of).map(|holder| (holder, of)).collect::<Vec<_>>());
        pairs.filter_map(|pair| self.conclude(pair, 0, reads)).collect()
    }

    /// Takes an event out of a pair's history again.
    pub(crate) fn unmark(&mut self, pair: (Id, Id, Sym), moment: Moment, reads: &Reads) -> Option<Dirty> {
        let (holder, held, _) = pair;
        self.held.get_mut(&holder)?.pairs.get_mut(&held)?.unmark(moment);
        self.conclude((holder, held), 0, reads)
    }

    /// Notes a complete read: every pair that was there.
    pub(crate) fn read(&mut self, place: (usize, Sym), seen: &BTreeSet<(Id, Id)>, reads: &Reads) -> Vec<Dirty> {
        let (at, within) = place;
        let reads = reads.of(Scope { list: self.list, within });
        for (holder, held) in seen {
            self.held.get_or_insert_with(*holder, || Held::none(within)).pairs.get_or_default(*held);
            self.holders.entry(*held).or_default().insert(*holder);
        }
        let mut dirty = Vec::new();
        for (holder, of) in self.held.iter_mut() {
            if of.within != within {
                continue;
            }
            for (held, ledger) in of.pairs.iter_mut() {
                ledger.seen(seen.contains(&(*holder, *held)).then_some(()), at, reads);
                let reads = until(reads, end(&self.ended, (*holder, *held)), self.rules.skew);
                dirty.extend(ledger.conclude(0, reads, self.rules).map(|from| Dirty { of: *holder, from }));
            }
        }
        dirty
    }

    /// The history of one pair, if there is any evidence of it.
    pub(crate) fn get(&self, holder: Id, held: Id) -> Option<&Ledger<()>> {
        self.held.get(&holder)?.pairs.get(&held).filter(|ledger| !ledger.is_silent())
    }

    /// What `holder` holds as of `t`.
    pub(crate) fn of(&self, holder: Id, t: Millis) -> impl Iterator<Item = (Id, Segment<()>)> {
        self.ever(holder).filter_map(move |(held, ledger)| {
            let segment = ledger.at(t)?;
            matches!(segment.says, Some(())).then_some((held, segment))
        })
    }

    /// What `holder` holds or ever held.
    pub(crate) fn ever(&self, holder: Id) -> impl Iterator<Item = (Id, &Ledger<()>)> {
        self.held.get(&holder).into_iter().flat_map(|of| &of.pairs).map(|(held, ledger)| (*held, ledger))
    }

    /// Who holds `held`, or ever held it.
    pub(crate) fn holders(&self, held: Id) -> impl Iterator<Item = Id> {
        self.holders.get(&held).into_iter().flatten().copied()
    }

    /// Every holder.
    pub(crate) fn all(&self) -> impl Iterator<Item = Id> {
        self.held.keys().copied()
    }

    /// The realm of a holder.
    pub(crate) fn within(&self, holder: Id) -> Option<Sym> {
        self.held.get(&holder).map(|of| of.within)
    }
}

/// When the first of a pair ended.
fn end(ended: &HashMap<Id, Millis>, pair: (Id, Id)) -> Option<&Millis> {
    ended.get(&pair.0).into_iter().chain(ended.get(&pair.1)).min()
}

/// The reads that speak of what ended then: those that were over before.
fn until<'a>(reads: &'a [ReadAt], ended: Option<&Millis>, skew: Millis) -> &'a [ReadAt] {
    ended.map_or(reads, |end| &reads[..reads.partition_point(|read| read.end.saturating_add(skew) < *end)])
}

kept_struct!(Book<V> { ledgers, ended, list, rules });
kept_struct!(Held { within, pairs });
kept_struct!(Relation { held, holders, ended, list, rules });
