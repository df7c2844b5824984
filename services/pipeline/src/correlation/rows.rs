//! What stands in ClickHouse, held against what is said: which rows to write. No I/O.

use super::{
    places::Places,
    records::{at, content, push, row_id},
};
use correlate::{
    Config,
    rows::{Change, Key, Row},
};
use std::collections::{HashMap, HashSet};
use store::correlation::{Correlated, Head, Later, Place, Table, storable, version};
use uuid::Uuid;

/// Bytes that one id takes in a set.
const ID_BYTES: usize = 20;

/// Rows that stand, by where they stand and what they say.
pub(super) struct Rows {
    config: Config,
    epoch: u64,
    count: u64,
    /// Said by us. A row that is forgotten is not in here, and stands.
    pub(super) said: Places,
    /// Stand from before and were not said again yet.
    before: Places,
    /// Further places of those: of one row two can stand, if somebody wrote it elsewhere late.
    twice: HashMap<[u8; 16], Vec<Place>>,
    /// Said while everything is read in parts, and not written: they have no end yet.
    owed: HashSet<[u8; 16]>,
}

/// What a row that was written behind a checkpoint came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behind {
    Right,
    Wrong,
    /// Must be taken away.
    Stale,
    /// It is older than what is kept: whether it is one that was let go nobody knows.
    Unknown,
}

impl Rows {
    pub(super) fn new(config: Config, epoch: u64, said: Places) -> Self {
        Self { config, epoch, count: 0, said, before: Places::default(), twice: HashMap::new(), owed: HashSet::new() }
    }

    /// The version of what was said last.
    pub(super) fn version(&self) -> u64 {
        version(self.epoch, self.count)
    }

    /// What is said from here on wins over what was said so far.
    pub(super) fn begin(&mut self) {
        self.count += 1;
    }

    /// A row stands from before. Where it was said meanwhile, what was said stands there.
    pub(super) fn stands(&mut self, id: [u8; 16], place: &Place) {
        let here = |said: Place| said.table == place.table && said.person == place.person && said.at == place.at;
        if self.said.find(&id).is_some_and(here) {
            return;
        }
        if self.before.find(&id).is_some() {
            self.twice.entry(id).or_default().push(place.clone());
        } else {
            self.before.insert(id, place);
        }
    }

    /// Bytes, about.
    pub(super) fn size(&self) -> usize {
        self.said.size() + self.before.size() + self.owed.len() * ID_BYTES
    }

    /// The rows to write so that what stands is what `changes` say.
    pub(super) fn records(&mut self, changes: &[Change]) -> Correlated {
        let mut out = Correlated::default();
        for change in changes {
            let id = row_id(&self.config, &change.key);
            self.owed.remove(&id);
            self.record(id, change, &mut out);
        }
        out
    }

    /// The same while everything is read in parts. What has no end yet waits: a part to come may end it, and nobody is to see
    /// somebody hold again what was taken from them long ago, or a session shorter than it is.
    pub(super) fn records_by_now(&mut self, changes: &[Change]) -> Correlated {
        let mut out = Correlated::default();
        for change in changes {
            let id = row_id(&self.config, &change.key);
            let waits = self.said.find(&id).is_none() && change.row.as_ref().is_none_or(is_open);
            if !waits {
                self.owed.remove(&id);
                self.record(id, change, &mut out);
            } else if change.row.is_some() {
                self.owed.insert(id);
            } else {
                // If it stands from before it goes with all that is said no more.
                self.owed.remove(&id);
            }
        }
        out
    }

    /// The row to write for one that waited; nothing of any other. `over`: only of a session that nobody used from this instant on,
    /// which may be forgotten without an end.
    pub(super) fn record_owed(&mut self, (key, row): (Key, Row), over: Option<i64>, out: &mut Correlated) {
        if self.owed.is_empty() || over.is_some_and(|over| !is_quiet(&row, over)) {
            return;
        }
        let id = row_id(&self.config, &key);
        if self.owed.remove(&id) {
            self.record(id, &Change { key, version: 1, row: Some(row), because: None }, out);
        }
    }

    /// Whether rows wait.
    pub(super) fn owes(&self) -> bool {
        !self.owed.is_empty()
    }

    fn record(&mut self, id: [u8; 16], change: &Change, out: &mut Correlated) {
        let twice = self.twice.remove(&id).unwrap_or_default();
        let stood: Vec<Place> =
            [self.said.remove(&id), self.before.remove(&id)].into_iter().flatten().chain(twice).collect();
        let because = change.because.unwrap_or(Uuid::nil());
        let place = change.row.as_ref().map(|row| self.place(row));
        let here = |old: &Place| place.as_ref().is_some_and(|new| old.person == new.person && old.at == new.at);
        for old in stood.iter().filter(|old| !here(old)) {
            out.delete(old.table, self.head(id, old, because));
        }
        let (Some(place), Some(row)) = (place, &change.row) else { return };
        if !stood.contains(&place) {
            push(out, self.head(id, &place, because), (&change.key, row));
        }
        self.said.insert(id, &place);
    }

    /// A row is forgotten: it stands as it was said last, for good. One that waited to be written is left as it stands.
    pub(super) fn let_go(&mut self, key: &Key) {
        let id = row_id(&self.config, key);
        self.said.remove(&id);
        if self.owed.remove(&id) {
            self.before.remove(&id);
            self.twice.remove(&id);
        }
    }

    /// Gives back the room of what was let go.
    pub(super) fn compact(&mut self) {
        self.said.compact();
        self.before.compact();
        self.owed.shrink_to_fit();
    }

    /// Takes away what stands from before and is said no more: everything, or what began before an instant (`to`). What has no
    /// beginning may be said by what happened later.
    pub(super) fn unsaid(&mut self, to: Option<i64>) -> Correlated {
        let first = storable(i64::MIN);
        let over = |place: &Place| to.is_none_or(|to| (first + 1..to).contains(&place.at));
        // What is said and waits to be written stands as it was until then.
        let owed = |id: &[u8; 16]| to.is_some() && self.owed.contains(id);
        let mut gone: Vec<([u8; 16], Place)> =
            self.before.each().filter(|(id, place)| over(place) && !owed(id)).collect();
        gone.iter().for_each(|(id, _)| drop(self.before.remove(id)));
        let owed = &self.owed;
        for (id, places) in self.twice.iter_mut().filter(|(id, _)| to.is_none() || !owed.contains(*id)) {
            gone.extend(places.extract_if(.., |place| over(place)).map(|place| (*id, place)));
        }
        self.twice.retain(|_, places| !places.is_empty());
        let mut out = Correlated::default();
        for (id, place) in gone {
            out.delete(place.table, self.head(id, &place, Uuid::nil()));
        }
        self.before.compact();
        out
    }

    /// After a start from a checkpoint: `later` are rows that were written behind it. Gives back the rows that take away those that
    /// are not said now, and the ids of those that must be said again, because they were changed or taken away. None if rows are
    /// among them of which nobody can say whether they are wrong or forgotten: those from before `floor`.
    pub(super) fn amend(&mut self, later: &[Later], floor: Option<i64>) -> Option<(Correlated, HashSet<[u8; 16]>)> {
        self.begin();
        let (mut out, mut again) = (Correlated::default(), HashSet::new());
        for one in later {
            match self.behind(one, floor) {
                Behind::Right => {}
                Behind::Wrong => drop(again.insert(one.row_id)),
                Behind::Stale => out.delete(one.place.table, self.head(one.row_id, &one.place, Uuid::nil())),
                Behind::Unknown => return None,
            }
        }
        Some((out, again))
    }

    /// Whether a row that was written behind a checkpoint is said just so.
    pub(super) fn is_right(&self, one: &Later) -> bool {
        matches!(self.behind(one, None), Behind::Right)
    }

    fn behind(&self, one: &Later, floor: Option<i64>) -> Behind {
        let said = self.said.find(&one.row_id);
        let here = |said: &Place| said.person == one.place.person && said.at == one.place.at;
        match said {
            Some(said) if here(&said) && (one.deleted || said != one.place) => Behind::Wrong,
            Some(said) if here(&said) => Behind::Right,
            _ if one.deleted => Behind::Right,
            // It is said, elsewhere.
            Some(_) => Behind::Stale,
            None if floor.is_some_and(|floor| one.place.at < floor) => Behind::Unknown,
            None => Behind::Stale,
        }
    }

    /// Says a row again that is said, if it is one of `ids`.
    pub(super) fn again(&self, ids: &HashSet<[u8; 16]>, (key, row): (&Key, &Row), out: &mut Correlated) {
        let id = row_id(&self.config, key);
        if let Some(place) = self.said.find(&id).filter(|_| ids.contains(&id)) {
            push(out, self.head(id, &place, Uuid::nil()), (key, row));
        }
    }

    fn place(&self, row: &Row) -> Place {
        let (table, person) = whose(row);
        Place { table, person, at: at(row), content: content(&self.config, row) }
    }

    fn head(&self, row_id: [u8; 16], place: &Place, because: Uuid) -> Head {
        Head {
            tenant: self.config.tenant.clone(),
            person: place.person.clone(),
            at: place.at,
            row_id,
            version: self.version(),
            content: place.content,
            because,
        }
    }
}

/// True of a session of which there is no sign from an instant on.
fn is_quiet(row: &Row, from: i64) -> bool {
    match row {
        Row::Session(row) => row.seen.map(|seen| seen.1).or(row.started).is_none_or(|last| last < from),
        _ => false,
    }
}

/// True of what goes on until something ends it.
fn is_open(row: &Row) -> bool {
    match row {
        Row::Session(row) => row.ended.is_none(),
        Row::Grant(row) => row.to.is_none(),
        Row::Alias(row) => row.to.is_none(),
        Row::World(row) => row.to.is_none(),
        Row::Token(_) | Row::Credential(_) | Row::Decision(_) | Row::Gap(_) => false,
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

#[cfg(test)]
mod tests {
    use super::*;
    use events::person::DeploymentKey;

    fn rows() -> Rows {
        let key = DeploymentKey::new([7; 32]);
        let config = Config { tenant: "default".into(), key, joins: Vec::new(), skew: 0 };
        Rows::new(config, 1, Places::default())
    }

    fn place(at: i64, content: u64) -> Place {
        Place { table: Table::Grants, person: "1".repeat(32), at, content }
    }

    #[test]
    fn what_waits_to_be_written_stands_until_then() {
        let mut rows = rows();
        rows.stands([1; 16], &place(10, 1));
        rows.stands([2; 16], &place(10, 1));
        rows.owed.insert([1; 16]);
        assert_eq!(rows.unsaid(Some(20)).len(), 1, "it goes while everything is read");
        assert!(rows.before.find(&[1; 16]).is_some());
        rows.owed.clear();
        assert_eq!(rows.unsaid(None).len(), 1);
    }

    #[test]
    fn what_was_said_before_it_was_known_what_stands_is_not_taken_away() {
        let mut rows = rows();
        rows.said.insert([1; 16], &place(10, 2));
        // Written by us, or before us: what was said is the newer one.
        rows.stands([1; 16], &place(10, 1));
        rows.stands([1; 16], &place(10, 2));
        assert!(rows.unsaid(None).is_empty());
        // Elsewhere it stands wrongly.
        rows.stands([1; 16], &place(11, 2));
        assert_eq!(rows.unsaid(None).len(), 1);
    }
}
