//! The correlator with the rows that stand: events in, rows to write out. No I/O, so that a self-check is the same code.

use super::{
    places::Places,
    records::{at, content, push, row_id},
};
use correlate::{
    Config, Correlator,
    checkpoint::{Kept, Reader, Unreadable, Writer},
    facts::{Fact, facts},
    rows::{Change, Row},
};
use events::event::Event;
use std::collections::{HashMap, HashSet};
use store::correlation::{Correlated, Head, Later, Place, Table, Told, version};
use uuid::Uuid;

/// The correlation of one tenant, and what of it is stored.
pub struct Fold {
    correlator: Correlator,
    config: Config,
    epoch: u64,
    count: u64,
    /// Rows that stand and were said by this fold.
    said: Places,
    /// Rows that stand from before and were not said again yet.
    before: Places,
    contradicted: bool,
}

impl Fold {
    /// Knows nothing yet; `before` are the rows that stand.
    pub fn new(config: Config, epoch: u64, before: HashMap<[u8; 16], Place>) -> Self {
        let correlator = Correlator::new(config.clone());
        let before = before.into_iter().collect();
        Self { correlator, config, epoch, count: 0, said: Places::default(), before, contradicted: false }
    }

    /// All of it, but for what stands from before: keep a fold that has said everything.
    pub(super) fn put(&self, to: &mut Writer<'_>) {
        self.said.put(to);
        self.correlator.keep(to);
    }

    /// As it was kept, under the same configuration, for a later epoch.
    pub(super) fn get(owner: (Config, u64), from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        let (config, epoch) = owner;
        let said = Kept::get(from)?;
        let correlator = Correlator::restore(config.clone(), from)?;
        Ok(Self { correlator, config, epoch, count: 0, said, before: Places::default(), contradicted: false })
    }

    /// The version of what was said last.
    pub(super) fn version(&self) -> u64 {
        version(self.epoch, self.count)
    }

    /// Takes an event in.
    pub fn take(&mut self, told: &Told) {
        self.correlator.take_event(&told.event);
    }

    /// Takes an event in of which a copy may have been taken before. A fact stays as it was taken first: where copies of one
    /// event do not say the same, the order of arrival would count, and all must be read anew.
    pub(super) fn take_late(&mut self, told: &Told) {
        self.contradicted |= told.copies.iter().any(|copy| !same_facts(copy, &told.event));
        self.take(told);
    }

    /// True if the order of arrival may have counted.
    pub(super) fn contradicted(&self) -> bool {
        self.contradicted
    }

    /// Answers everything anew that was touched.
    pub fn settle(&mut self) -> Vec<Change> {
        self.count += 1;
        self.correlator.settle()
    }

    /// The rows to write so that what stands is what `changes` say.
    pub fn records(&mut self, changes: &[Change]) -> Correlated {
        let mut out = Correlated::default();
        for change in changes {
            let id = row_id(&self.config, &change.key);
            let stood = self.said.remove(&id).or_else(|| self.before.remove(&id));
            let because = change.because.unwrap_or(Uuid::nil());
            let Some(row) = &change.row else {
                if let Some(place) = stood {
                    out.delete(place.table, self.head(id, &place, because));
                }
                continue;
            };
            let (table, person) = whose(row);
            let place = Place { table, person, at: at(row), content: content(&self.config, row) };
            let same = stood.as_ref() == Some(&place);
            if let Some(old) = stood.filter(|old| old.person != place.person || old.at != place.at) {
                out.delete(old.table, self.head(id, &old, because));
            }
            if !same {
                push(&mut out, self.head(id, &place, because), (&change.key, row));
            }
            self.said.insert(id, &place);
        }
        out
    }

    /// After everything was read: takes away what stands from before and is said no more.
    pub fn unsaid(&mut self) -> Correlated {
        let mut out = Correlated::default();
        for (id, place) in std::mem::take(&mut self.before).each() {
            out.delete(place.table, self.head(id, &place, Uuid::nil()));
        }
        out
    }

    /// After a start from a checkpoint: `later` are rows that were written behind it. Takes away those that are not said now, and
    /// says again those that are and were changed or taken away. As a rule there are none: whoever goes on from one state with
    /// the same events comes to the same rows. Only what a block said and a later one took back leaves some.
    pub(super) fn amend(&mut self, later: Vec<Later>) -> Correlated {
        self.count += 1;
        let mut out = Correlated::default();
        let mut again: HashSet<[u8; 16]> = HashSet::new();
        for one in later {
            let said = self.said.find(&one.row_id);
            match said.filter(|said| said.person == one.place.person && said.at == one.place.at) {
                Some(said) if one.deleted || said != one.place => drop(again.insert(one.row_id)),
                None if !one.deleted => out.delete(one.place.table, self.head(one.row_id, &one.place, Uuid::nil())),
                _ => {}
            }
        }
        if again.is_empty() {
            return out;
        }
        self.correlator.each_row(&mut |key, row| {
            let id = row_id(&self.config, &key);
            if let Some(place) = self.said.find(&id).filter(|_| again.contains(&id)) {
                push(&mut out, self.head(id, &place, Uuid::nil()), (&key, &row));
            }
        });
        out
    }

    fn head(&self, row_id: [u8; 16], place: &Place, because: Uuid) -> Head {
        Head {
            tenant: self.config.tenant.clone(),
            person: place.person.clone(),
            at: place.at,
            row_id,
            version: version(self.epoch, self.count),
            content: place.content,
            because,
        }
    }

    /// Everything that the correlation says now, by row id: what the tables must hold.
    pub fn places(&self) -> HashMap<[u8; 16], Place> {
        let mut places = HashMap::new();
        self.correlator.each_row(&mut |key, row| {
            let (table, person) = whose(&row);
            let place = Place { table, person, at: at(&row), content: content(&self.config, &row) };
            places.insert(row_id(&self.config, &key), place);
        });
        places
    }
}

/// Table and person of a row.
fn whose(row: &Row) -> (Table, String) {
    let key = |person: Option<&events::person::PersonKey>| person.map(|key| key.0.clone()).unwrap_or_default();
    match row {
        Row::Session(row) => (Table::Sessions, key(row.person.as_ref())),
        Row::Token(row) => (Table::Tokens, key(Some(&row.person))),
        Row::Credential(row) => (Table::Credentials, key(Some(&row.person))),
        Row::Grant(row) => (Table::Grants, key(Some(&row.person))),
        Row::Decision(row) => (Table::Decisions, key(row.person.as_ref())),
        Row::Gap(row) => (Table::MissingEvents, key(row.person.as_ref())),
        Row::Alias(row) => (Table::Aliases, key(Some(&row.person))),
        Row::World(row) => (Table::World, key(row.person.as_ref())),
    }
}

/// True if two copies of an event say the same to the correlation.
fn same_facts(one: &Event, other: &Event) -> bool {
    let (mut first, mut second): (Vec<Fact<'_>>, Vec<Fact<'_>>) = (Vec::new(), Vec::new());
    facts(one, &mut |fact| first.push(fact));
    facts(other, &mut |fact| second.push(fact));
    first == second
}
