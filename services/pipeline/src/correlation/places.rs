//! Where rows stand and what they say, of millions of rows: 56 bytes each.

use correlate::checkpoint::{Kept, Reader, Unreadable, Writer};
use std::collections::HashMap;
use store::correlation::{Place, Table};

const TABLES: [Table; 8] = [
    Table::Sessions,
    Table::Tokens,
    Table::Credentials,
    Table::Grants,
    Table::Decisions,
    Table::MissingEvents,
    Table::Aliases,
    Table::World,
];

/// A [`Place`] with the person's key as the 16 bytes that it is; zeros: nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Small {
    person: [u8; 16],
    at: i64,
    content: u64,
    table: u8,
}

impl Small {
    fn of(place: &Place) -> Self {
        let mut person = [0; 16];
        // A key is 32 hex digits, and nobody is the empty text.
        let _ = hex::decode_to_slice(&place.person, &mut person);
        let table = TABLES.iter().position(|table| *table == place.table).unwrap_or_default();
        Self { person, at: place.at, content: place.content, table: u8::try_from(table).unwrap_or_default() }
    }

    fn place(self) -> Place {
        let person = if self.person == [0; 16] { String::new() } else { hex::encode(self.person) };
        let table = TABLES.get(usize::from(self.table)).copied().unwrap_or(Table::Sessions);
        Place { table, person, at: self.at, content: self.content }
    }
}

impl Kept for Small {
    fn put(&self, to: &mut Writer<'_>) {
        let Self { person, at, content, table } = self;
        (*person, *at, *content).put(to);
        table.put(to);
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        let (person, at, content) = Kept::get(from)?;
        let table = u8::get(from)?;
        if usize::from(table) < TABLES.len() { Ok(Self { person, at, content, table }) } else { Err(Unreadable) }
    }
}

/// Places by row id.
#[derive(Default)]
pub(super) struct Places(HashMap<[u8; 16], Small>);

impl Places {
    pub(super) fn insert(&mut self, id: [u8; 16], place: &Place) {
        self.0.insert(id, Small::of(place));
    }

    pub(super) fn find(&self, id: &[u8; 16]) -> Option<Place> {
        self.0.get(id).copied().map(Small::place)
    }

    pub(super) fn remove(&mut self, id: &[u8; 16]) -> Option<Place> {
        self.0.remove(id).map(Small::place)
    }

    /// All of them.
    pub(super) fn into_all(self) -> impl Iterator<Item = ([u8; 16], Place)> {
        self.0.into_iter().map(|(id, small)| (id, small.place()))
    }
}

impl FromIterator<([u8; 16], Place)> for Places {
    fn from_iter<I: IntoIterator<Item = ([u8; 16], Place)>>(places: I) -> Self {
        Self(places.into_iter().map(|(id, place)| (id, Small::of(&place))).collect())
    }
}

impl Kept for Places {
    fn put(&self, to: &mut Writer<'_>) {
        self.0.len().put(to);
        for (id, small) in &self.0 {
            id.put(to);
            small.put(to);
        }
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        let count = usize::get(from)?;
        (0..count).map(|_| Kept::get(from)).collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_found_as_it_was_put_also_after_it_was_kept() {
        let mut places = Places::default();
        let mut all = Vec::new();
        for (number, table) in TABLES.into_iter().enumerate() {
            let number = u8::try_from(number).unwrap_or_default();
            let person = if number == 0 { String::new() } else { hex::encode([number; 16]) };
            let place = Place { table, person, at: i64::from(number) - 3, content: u64::MAX - u64::from(number) };
            places.insert([number; 16], &place);
            all.push(([number; 16], place));
        }
        let mut chunks = Vec::new();
        let mut take = |chunk| {
            chunks.push(chunk);
            true
        };
        let mut to = Writer::new(50, &mut take);
        places.put(&mut to);
        assert!(to.finish());
        let mut chunks = chunks.into_iter();
        let mut next = || chunks.next();
        let mut restored = <Places as Kept>::get(&mut Reader::new(&mut next)).unwrap_or_default();
        assert_eq!(restored.find(&[3; 16]).as_ref(), Some(&all[3].1));
        assert_eq!(restored.remove(&[9; 16]), None);
        let mut found: Vec<_> = restored.into_all().collect();
        found.sort_by_key(|(id, _)| *id);
        assert_eq!(found, all);
    }
}
