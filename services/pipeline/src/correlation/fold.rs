//! The correlator with the rows that stand: events in, rows to write out. No I/O, so that a self-check is the same code.

use super::records::{at, content, push, row_id};
use correlate::{
    Config, Correlator,
    facts::{Fact, facts},
    rows::{Change, Row},
};
use events::event::Event;
use std::collections::HashMap;
use store::correlation::{Correlated, Head, Place, Table, Told, version};
use uuid::Uuid;

/// The correlation of one tenant, and what of it is stored.
pub struct Fold {
    correlator: Correlator,
    config: Config,
    epoch: u64,
    count: u64,
    /// Rows that stand and were said by this fold.
    said: HashMap<[u8; 16], Place>,
    /// Rows that stand from before and were not said again yet.
    before: HashMap<[u8; 16], Place>,
    contradicted: bool,
}

impl Fold {
    /// Knows nothing yet; `before` are the rows that stand.
    pub fn new(config: Config, epoch: u64, before: HashMap<[u8; 16], Place>) -> Self {
        let correlator = Correlator::new(config.clone());
        Self { correlator, config, epoch, count: 0, said: HashMap::new(), before, contradicted: false }
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
            self.said.insert(id, place);
        }
        out
    }

    /// After everything was read: takes away what stands from before and is said no more.
    pub fn unsaid(&mut self) -> Correlated {
        let mut out = Correlated::default();
        for (id, place) in std::mem::take(&mut self.before) {
            out.delete(place.table, self.head(id, &place, Uuid::nil()));
        }
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
        let place = |row: &Row| {
            let (table, person) = whose(row);
            Place { table, person, at: at(row), content: content(&self.config, row) }
        };
        self.correlator.rows().iter().map(|(key, row)| (row_id(&self.config, key), place(row))).collect()
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
