//! Maps and lists that grow, and seldom lose anything, with millions of entries: no entry has room beside it that is not used, and none is moved when
//! room is made for more.
//!
//! A hash map of the usual kind holds its entries in a table of which, as it grows by doubling, an eighth to more than half is empty. Here that
//! table holds numbers of four bytes, and the entries lie one behind the other.

use crate::checkpoint::{Kept, Reader, Unreadable, Writer};
use hashbrown::{DefaultHashBuilder, HashTable, hash_table::Entry};
use std::hash::{BuildHasher, Hash};

/// Entries of one piece of a [`Pile`].
const PIECE: usize = 1 << 10;

/// A list in pieces.
#[derive(Clone, Debug)]
pub(crate) struct Pile<T>(Vec<Vec<T>>);

impl<T> Default for Pile<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Pile<T> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.last().map_or(0, |last| (self.0.len() - 1) * PIECE + last.len())
    }

    /// Adds an entry, whose number is the length before.
    pub fn push(&mut self, entry: T) {
        match self.0.last_mut() {
            Some(last) if last.len() < PIECE => last.push(entry),
            last => {
                // Of few entries, room for few.
                let mut piece = last.map_or_else(Vec::new, |_| Vec::with_capacity(PIECE));
                piece.push(entry);
                self.0.push(piece);
            }
        }
    }

    /// By its number.
    pub fn get(&self, number: usize) -> Option<&T> {
        self.0.get(number / PIECE)?.get(number % PIECE)
    }

    /// The same, to change it.
    pub fn get_mut(&mut self, number: usize) -> Option<&mut T> {
        self.0.get_mut(number / PIECE)?.get_mut(number % PIECE)
    }

    /// In the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().flatten()
    }

    /// The same, to change them.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.iter_mut().flatten()
    }

    /// The entries; each piece goes as soon as it was read.
    pub fn into_entries(self) -> impl Iterator<Item = T> {
        self.0.into_iter().flatten()
    }
}

/// A map whose entries lie in the order in which they came.
#[derive(Clone, Debug)]
pub struct Table<K, V> {
    /// Numbers of entries, by their keys.
    numbers: HashTable<u32>,
    hasher: DefaultHashBuilder,
    entries: Pile<(K, V)>,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self { numbers: HashTable::new(), hasher: DefaultHashBuilder::default(), entries: Pile::default() }
    }
}

impl<K: Copy + Eq + Hash, V> Table<K, V> {
    fn number(&self, key: &K) -> Option<usize> {
        let is_it = |number: &u32| self.entries.get(*number as usize).is_some_and(|(known, _)| known == key);
        self.numbers.find(self.hasher.hash_one(key), is_it).map(|number| *number as usize)
    }

    /// The value of a key.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(self.number(key)?).map(|(_, value)| value)
    }

    /// The same, to change it.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let number = self.number(key)?;
        self.entries.get_mut(number).map(|(_, value)| value)
    }

    /// Whether a key is there.
    pub fn contains_key(&self, key: &K) -> bool {
        self.number(key).is_some()
    }

    /// The value of a key, made if there is none.
    pub fn get_or_insert_with(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        let Self { numbers, hasher, entries } = self;
        let hash = |number: &u32| entries.get(*number as usize).map_or(0, |(key, _)| hasher.hash_one(key));
        let is_it = |number: &u32| entries.get(*number as usize).is_some_and(|(known, _)| *known == key);
        let number = match numbers.entry(hasher.hash_one(key), is_it, hash) {
            Entry::Occupied(known) => *known.get() as usize,
            Entry::Vacant(free) => {
                let number = entries.len();
                // Four thousand million entries are more than a machine holds.
                free.insert(u32::try_from(number).expect("a number of four bytes"));
                entries.push((key, make()));
                number
            }
        };
        &mut entries.get_mut(number).expect("it was found or pushed").1
    }

    /// The same, with the default.
    pub fn get_or_default(&mut self, key: K) -> &mut V
    where
        V: Default,
    {
        self.get_or_insert_with(key, V::default)
    }

    /// Keeps what `keep` says, in no more room than it needs.
    pub fn retain(&mut self, mut keep: impl FnMut(&K, &mut V) -> bool) {
        let all = std::mem::take(&mut self.entries);
        // Made anew, because room that was made once stays.
        self.numbers = HashTable::new();
        for (key, mut value) in all.into_entries() {
            if keep(&key, &mut value) {
                self.get_or_insert_with(key, || value);
            }
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All entries.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries.iter().map(|(key, value)| (key, value))
    }

    /// The same, to change the values.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        self.entries.iter_mut().map(|(key, value)| (&*key, value))
    }

    /// All keys.
    pub fn keys(&self) -> impl Iterator<Item = &K> {
        self.entries.iter().map(|(key, _)| key)
    }
}

impl<T: Kept> Kept for Pile<T> {
    fn put(&self, to: &mut Writer<'_>) {
        self.len().put(to);
        self.iter().for_each(|entry| entry.put(to));
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        let count = usize::get(from)?;
        let mut pile = Self::default();
        for _ in 0..count {
            pile.push(T::get(from)?);
        }
        Ok(pile)
    }

    fn room(&self) -> usize {
        self.0.room()
    }
}

impl<K: Kept + Copy + Eq + Hash, V: Kept> Kept for Table<K, V> {
    fn put(&self, to: &mut Writer<'_>) {
        self.entries.put(to);
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        let entries: Pile<(K, V)> = Kept::get(from)?;
        let hasher = DefaultHashBuilder::default();
        let hash = |number: &u32| entries.get(*number as usize).map_or(0, |(key, _)| hasher.hash_one(key));
        let mut numbers = HashTable::with_capacity(entries.len());
        for number in 0..u32::try_from(entries.len()).map_err(|_| Unreadable)? {
            numbers.insert_unique(hash(&number), number, hash);
        }
        Ok(Self { numbers, hasher, entries })
    }

    fn room(&self) -> usize {
        self.numbers.allocation_size() + self.entries.room()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng, rngs::StdRng};
    use std::collections::BTreeMap;

    #[test]
    fn it_holds_what_a_tree_holds_also_after_it_was_kept() {
        let mut random = StdRng::seed_from_u64(1);
        let (mut table, mut tree) = (Table::<u64, u64>::default(), BTreeMap::new());
        for value in 0..5 * PIECE as u64 {
            let key = random.random_range(0..4 * PIECE as u64);
            *table.get_or_default(key) += value;
            *tree.entry(key).or_default() += value;
            if let (Some(one), Some(same)) = (table.get_mut(&(key / 2)), tree.get_mut(&(key / 2))) {
                (*one, *same) = (value, value);
            }
        }
        table.iter_mut().for_each(|(key, value)| *value ^= *key);
        tree.iter_mut().for_each(|(key, value)| *value ^= *key);
        let before = table.room();
        table.retain(|key, _| key % 3 == 0);
        tree.retain(|key, _| key % 3 == 0);
        assert!(table.room() < before / 2, "{} of {before}", table.room());
        let mut chunks = Vec::new();
        let mut take = |chunk| {
            chunks.push(chunk);
            true
        };
        let mut to = Writer::new(1_000, &mut take);
        table.put(&mut to);
        assert!(to.finish());
        let mut chunks = chunks.into_iter();
        let mut next = || chunks.next();
        let restored = <Table<u64, u64> as Kept>::get(&mut Reader::new(&mut next)).unwrap_or_default();
        for table in [&table, &restored] {
            assert_eq!(table.iter().map(|(key, value)| (*key, *value)).collect::<BTreeMap<_, _>>(), tree);
            assert_eq!(table.keys().count(), tree.len(), "each once");
            for key in 0..4 * PIECE as u64 {
                assert_eq!(table.get(&key), tree.get(&key));
                assert_eq!(table.contains_key(&key), tree.contains_key(&key));
            }
        }
    }
}
