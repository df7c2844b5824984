//! Where rows stand and what they say, of millions of rows: 49 bytes each, and an index.

use correlate::{
    checkpoint::{Kept, Reader, Unreadable, Writer},
    table::Table as Entries,
};
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

/// A [`Place`] with the person's key as the 16 bytes that it is; zeros: nobody. All of bytes: a number of eight would ask for
/// more room than it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Small {
    person: [u8; 16],
    at: [u8; 8],
    content: [u8; 8],
    /// [`NOWHERE`]: the row does not stand any more.
    table: u8,
}

const NOWHERE: u8 = u8::MAX;
/// Bytes that a place takes with its id and its part of the index.
const BYTES: usize = 57;

impl Small {
    fn of(place: &Place) -> Self {
        let mut person = [0; 16];
        // A key is 32 hex digits, and nobody is the empty text.
        let _ = hex::decode_to_slice(&place.person, &mut person);
        let table = TABLES.iter().position(|table| *table == place.table).unwrap_or_default();
        let table = u8::try_from(table).unwrap_or_default();
        Self { person, at: place.at.to_le_bytes(), content: place.content.to_le_bytes(), table }
    }

    fn place(self) -> Place {
        let person = if self.person == [0; 16] { String::new() } else { hex::encode(self.person) };
        let table = TABLES.get(usize::from(self.table)).copied().unwrap_or(Table::Sessions);
        Place { table, person, at: i64::from_le_bytes(self.at), content: u64::from_le_bytes(self.content) }
    }
}

impl Kept for Small {
    fn put(&self, to: &mut Writer<'_>) {
        let Self { person, at, content, table } = self;
        (*person, i64::from_le_bytes(*at), u64::from_le_bytes(*content)).put(to);
        table.put(to);
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        let (person, at, content): (_, i64, u64) = Kept::get(from)?;
        let (at, content) = (at.to_le_bytes(), content.to_le_bytes());
        let table = u8::get(from)?;
        if usize::from(table) < TABLES.len() { Ok(Self { person, at, content, table }) } else { Err(Unreadable) }
    }
}

/// Places by row id.
#[derive(Default)]
pub(super) struct Places {
    entries: Entries<[u8; 16], Small>,
    /// How many there are.
    count: usize,
    /// How many of them stand.
    standing: usize,
}

impl Places {
    pub(super) fn insert(&mut self, id: [u8; 16], place: &Place) {
        self.put_in(id, Small::of(place));
    }

    fn put_in(&mut self, id: [u8; 16], small: Small) {
        let mut new = false;
        let known = self.entries.get_or_insert_with(id, || {
            new = true;
            Small { table: NOWHERE, ..small }
        });
        self.count += usize::from(new);
        self.standing += usize::from(known.table == NOWHERE);
        *known = small;
    }

    fn all(&self) -> impl Iterator<Item = (&[u8; 16], &Small)> {
        self.entries.iter().filter(|(_, small)| small.table != NOWHERE)
    }

    pub(super) fn find(&self, id: &[u8; 16]) -> Option<Place> {
        self.entries.get(id).copied().filter(|small| small.table != NOWHERE).map(Small::place)
    }

    pub(super) fn remove(&mut self, id: &[u8; 16]) -> Option<Place> {
        let known = self.entries.get_mut(id).filter(|small| small.table != NOWHERE)?;
        let stood = *known;
        known.table = NOWHERE;
        self.standing -= 1;
        Some(stood.place())
    }

    /// Bytes, about.
    pub(super) fn size(&self) -> usize {
        self.count * BYTES
    }

    /// Gives back the room of those that do not stand any more, where that is much.
    pub(super) fn compact(&mut self) {
        if self.standing >= self.count - self.count / 4 {
            return;
        }
        self.entries.retain(|_, small| small.table != NOWHERE);
        self.count = self.standing;
    }

    /// All of them.
    pub(super) fn each(&self) -> impl Iterator<Item = ([u8; 16], Place)> {
        self.all().map(|(id, small)| (*id, small.place()))
    }
}

impl Kept for Places {
    fn put(&self, to: &mut Writer<'_>) {
        self.standing.put(to);
        for (id, small) in self.all() {
            id.put(to);
            small.put(to);
        }
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        let count = usize::get(from)?;
        let mut all = Self::default();
        for _ in 0..count {
            all.put_in(Kept::get(from)?, Kept::get(from)?);
        }
        Ok(all)
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
        assert_eq!(places.remove(&[5; 16]).as_ref(), Some(&all[5].1));
        assert_eq!((places.remove(&[5; 16]), places.find(&[5; 16])), (None, None));
        places.insert([5; 16], &all[5].1);
        assert!(places.remove(&[6; 16]).is_some());
        assert_eq!((places.size(), places.standing), (8 * BYTES, 7));
        for number in 100..110 {
            places.insert([number; 16], &all[0].1);
            assert!(places.remove(&[number; 16]).is_some());
        }
        places.compact();
        assert_eq!((places.size(), places.standing), (7 * BYTES, 7), "only what stands takes room");
        all.retain(|(id, _)| *id != [6; 16]);
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
        let restored = <Places as Kept>::get(&mut Reader::new(&mut next)).unwrap_or_default();
        assert_eq!(restored.find(&[3; 16]).as_ref(), Some(&all[3].1));
        assert_eq!((restored.find(&[9; 16]), restored.find(&[6; 16])), (None, None));
        let mut found: Vec<_> = restored.each().collect();
        found.sort_by_key(|(id, _)| *id);
        assert_eq!(found, all);
    }
}
