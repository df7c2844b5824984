//! When a list that was read in pages is believed. Pure.
//!
//! Each page by offset repeats the last element of the page before. If that element still stands there, nothing was added or
//! removed before it, and whatever was there all the time behind it is on a later page: so a pass in which every repeat
//! fits, over a list sorted by something that does not change, has missed nothing. Two things it cannot see: a list
//! that shows no order, and an element whose sort key changes so that it jumps over the reader while another before it vanishes.
//! So where the order cannot be seen, or an element of the last snapshot is missing, the list is read again until
//! two passes in a row agree. One answer alone is one state of the source and needs none of this.

use super::unit::{Found, Request};
use events::snapshot::{Area, HASH_BYTES, ID_BYTES};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Passes over one list before it counts as unstable.
pub(super) const MAX_PASSES: u32 = 8;

/// Keyed id of an entity.
pub(super) type Id = [u8; ID_BYTES];
/// Keyed hash of a state.
pub(super) type Hash = [u8; HASH_BYTES];

/// One entity on a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    pub area: Area,
    pub id: Id,
    pub hash: Hash,
}

/// One chain of pages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Leg {
    pub request: Request,
    /// Elements read.
    pub read: usize,
    /// Mark of the last of them.
    pub anchor: Option<Id>,
    /// Where the answer names the next page.
    pub cursor: Option<String>,
}

/// What an element means for a pass.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// Mark of the element.
    pub anchor: Id,
    pub order: String,
    pub entries: Vec<Entry>,
    pub below: Option<Request>,
    pub found: Option<Found>,
}

/// What a pass adds up to so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Pass {
    pub legs: VecDeque<Leg>,
    pub entries: Vec<Entry>,
    pub found: Vec<Found>,
    pub pages: u32,
    pub sorted: bool,
    /// When its first request was sent, and its last answer was there.
    pub times: Option<(i64, i64)>,
}

/// The repeated element is another one: something before it came or went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shifted;

impl Pass {
    pub(super) fn over(request: Request) -> Self {
        let leg = Leg { request, ..Leg::default() };
        Self { legs: VecDeque::from([leg]), sorted: true, ..Self::default() }
    }

    /// Takes a page of the first leg, asked for with one element of overlap where there is one; returns how many elements
    /// at its beginning were known.
    pub(super) fn overlap(&self, first: Option<&Seen>) -> Result<usize, Shifted> {
        match self.legs.front().and_then(|leg| leg.anchor) {
            None => Ok(0),
            Some(anchor) if first.is_some_and(|seen| seen.anchor == anchor) => Ok(1),
            Some(_) => Err(Shifted),
        }
    }

    /// Adds a page that fits. `last`: it is the last of its leg.
    pub(super) fn add(
        &mut self,
        page: &[Seen],
        (known, cursor, last): (usize, Option<String>, bool),
        times: (i64, i64),
    ) {
        self.sorted &= page.is_sorted_by(|one, next| one.order < next.order);
        self.pages += 1;
        self.times = Some((self.times.map_or(times.0, |(min, _)| min), times.1));
        let Some(leg) = self.legs.front_mut() else { return };
        leg.read += page.len() - known.min(page.len());
        if cursor.is_none() {
            leg.anchor = page.last().map(|seen| seen.anchor).or(leg.anchor);
        }
        leg.cursor = cursor;
        if last {
            self.legs.pop_front();
        }
        for seen in page.iter().skip(known) {
            self.entries.extend(&seen.entries);
            self.found.extend(seen.found.clone());
            self.legs.extend(seen.below.clone().map(|request| Leg { request, ..Leg::default() }));
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.legs.is_empty()
    }

    fn ids(&self) -> BTreeSet<(Area, Id)> {
        self.entries.iter().map(|entry| (entry.area, entry.id)).collect()
    }
}

/// What is to be done after a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The list is what it says.
    Believed,
    /// It must be read again.
    Again,
}

/// Passes over one list.
#[derive(Clone, Debug)]
pub(super) struct Passes {
    pub number: u32,
    /// Number of the last pass that is tried.
    last: u32,
    pub current: Pass,
    /// What the pass before found, and when it began, if all of it fitted.
    before: Option<(BTreeSet<(Area, Id)>, i64)>,
    request: Request,
}

impl Passes {
    pub(super) fn over(request: Request) -> Self {
        Self { number: 1, last: MAX_PASSES, current: Pass::over(request.clone()), before: None, request }
    }

    /// Begins anew because something shifted.
    pub(super) fn shifted(&mut self) -> Result<(), TooMany> {
        self.before = None;
        self.next()
    }

    /// Judges the pass that is over. `vanished`: something of the last snapshot is not on it.
    pub(super) fn judge(&mut self, vanished: bool) -> Result<Verdict, TooMany> {
        let pass = &self.current;
        let alone = pass.pages <= 1 || (pass.sorted && !vanished);
        let ids = pass.ids();
        if alone || self.before.as_ref().is_some_and(|(before, _)| *before == ids) {
            return Ok(Verdict::Believed);
        }
        self.before = Some((ids, pass.times.map_or(0, |(min, _)| min)));
        self.next()?;
        Ok(Verdict::Again)
    }

    fn next(&mut self) -> Result<(), TooMany> {
        if self.number >= self.last {
            return Err(TooMany);
        }
        self.number += 1;
        self.current = Pass::over(self.request.clone());
        Ok(())
    }

    /// Goes to a later pass of an earlier start of the process, which may try as many from there on. What that start saw of the
    /// pass before is kept if that pass reached its end: then everything had fitted.
    pub(super) fn replay(&mut self, number: u32) {
        if number <= self.number {
            return;
        }
        let ended = self.current.is_over() && self.current.pages > 0;
        self.before = ended.then(|| (self.current.ids(), self.current.times.map_or(0, |(min, _)| min)));
        self.number = number;
        self.last = number.saturating_add(MAX_PASSES);
        self.current = Pass::over(self.request.clone());
    }

    /// From when to when the believed list is known to hold.
    pub(super) fn times(&self) -> (i64, i64) {
        let (min, max) = self.current.times.unwrap_or_default();
        (self.before.as_ref().map_or(min, |(_, began)| (*began).min(min)), max)
    }

    /// The entities of the list, each once, with the state that was read last.
    pub(super) fn entries(&self) -> BTreeMap<(Area, Id), Hash> {
        self.current.entries.iter().map(|entry| ((entry.area, entry.id), entry.hash)).collect()
    }
}

/// It changes faster than it can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooMany;
