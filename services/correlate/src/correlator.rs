//! The public face: take facts in any order, settle, read changes; or ask about an instant.

use crate::{
    answer::grants::Effective,
    config::Config,
    dirt::Dirt,
    facts::{Fact, facts},
    known::Known,
    moment::Millis,
    rows::{Change, Key, Row},
    settle::{Rows, everything},
};
use events::event::Event;
use std::{cell::Cell, collections::BTreeMap};

/// The correlation of one tenant.
///
/// [`Correlator::take`] only puts facts where they belong; nothing is answered before [`Correlator::settle`]. Settle once per
/// block: however many facts of a block touch a row, it is answered once.
pub struct Correlator {
    pub(crate) known: Known,
    pub(crate) dirt: Dirt,
    pub(crate) rows: Rows,
    /// Bytes, as measured last, and how many entries there were then.
    pub(crate) sized: Cell<Option<(usize, usize)>>,
}

impl Correlator {
    /// Knows nothing yet.
    pub fn new(config: Config) -> Self {
        let rows = Rows::new(&config);
        Self { known: Known::new(config), dirt: Dirt::default(), rows, sized: Cell::default() }
    }

    /// Takes a fact in. A fact that was taken before changes nothing.
    pub fn take(&mut self, fact: &Fact<'_>) {
        self.known.take(fact, &mut self.dirt);
    }

    /// Takes everything in that an event says.
    pub fn take_event(&mut self, event: &Event) {
        facts(event, &mut |fact| self.take(&fact));
    }

    /// Answers everything anew that was touched since the last time. Changes come in the order of their keys.
    pub fn settle(&mut self) -> Vec<Change> {
        let dirt = std::mem::take(&mut self.dirt);
        if let Some(from) = self.known.needs_gone(&dirt) {
            self.known.gone.needed(from);
        }
        self.rows.settle(&self.known, dirt)
    }

    /// Every row, answered anew: what all changes together come to. For checks; it costs as much as everything so far.
    pub fn rows(&self) -> BTreeMap<Key, Row> {
        let mut rows = BTreeMap::new();
        self.each_row(&mut |key, row| drop(rows.insert(key, row)));
        rows
    }

    /// The same, one after another, in no order.
    pub fn each_row(&self, each: &mut dyn FnMut(Key, Row)) {
        everything(&self.known, each);
    }

    /// How many answers were given since the beginning: what late facts cost.
    pub fn answered(&self) -> u64 {
        self.rows.answered()
    }

    /// Everything that a Keycloak user could do at an instant, as Keycloak had it, by every path.
    pub fn rights_at(&self, source: &str, user: &str, t: Millis) -> Vec<Effective> {
        let user = self.known.names.known_id(source, user);
        user.map(|user| self.known.effective(user, t)).unwrap_or_default()
    }
}
