//! Strings told apart by number: every name is kept once, and a key of the state is eight bytes.
//!
//! Numbers follow the order of arrival, so nothing that leaves this crate is ever ordered by them. Most names are ids, which
//! [`Packed`] holds in half the bytes and without a place of their own in memory.

mod packed;

pub(crate) use packed::Text;

use crate::{
    checkpoint::{Kept, Reader, Unreadable, Writer, kept_struct},
    table::Pile,
};
use hashbrown::{DefaultHashBuilder, HashTable};
use packed::Packed;
use std::hash::BuildHasher;

/// A string of [`Names`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Sym(u32);

/// A thing of one source: a user, a group, a session, an entity reference. Ids of two sources never meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Id {
    pub source: Sym,
    pub name: Sym,
}

/// All strings seen.
#[derive(Default)]
pub(crate) struct Names {
    /// Places in `texts`, by what stands there: every text is kept once.
    numbers: HashTable<u32>,
    hasher: DefaultHashBuilder,
    texts: Pile<Packed>,
}

kept_struct!(Id { source, name });

impl Kept for Sym {
    fn put(&self, to: &mut Writer<'_>) {
        to.name(self.0);
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        Kept::get(from).map(Self)
    }
}

/// The texts in the order of their numbers.
impl Kept for Names {
    fn put(&self, to: &mut Writer<'_>) {
        self.texts.put(to);
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        let mut names = Self::default();
        for _ in 0..usize::get(from)? {
            names.add(Kept::get(from)?);
        }
        Ok(names)
    }

    fn room(&self) -> usize {
        self.texts.room() + self.numbers.allocation_size()
    }
}

impl Names {
    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.texts.len()
    }

    pub(crate) fn sym(&mut self, text: &str) -> Sym {
        let packed = Packed::of(text);
        self.find(&packed).unwrap_or_else(|| self.add(packed))
    }

    fn add(&mut self, text: Packed) -> Sym {
        let number = u32::try_from(self.texts.len()).unwrap_or(u32::MAX);
        let (texts, hasher) = (&self.texts, &self.hasher);
        let rehash = |number: &u32| hasher.hash_one(texts.get(*number as usize));
        self.numbers.insert_unique(hasher.hash_one(Some(&text)), number, rehash);
        self.texts.push(text);
        Sym(number)
    }

    fn find(&self, text: &Packed) -> Option<Sym> {
        let is_it = |number: &u32| self.texts.get(*number as usize) == Some(text);
        self.numbers.find(self.hasher.hash_one(Some(text)), is_it).map(|number| Sym(*number))
    }

    /// Those that are reached, in the order that they had; and the new number of each.
    pub(crate) fn only(self, reached: &[bool]) -> (Self, Vec<u32>) {
        let (mut left, mut numbers) = (Self::default(), Vec::with_capacity(reached.len()));
        for (text, reached) in self.texts.into_entries().zip(reached) {
            numbers.push(if *reached { left.add(text).0 } else { u32::MAX });
        }
        (left, numbers)
    }

    /// Before every other in the order of numbers.
    pub(crate) fn least(&self) -> Sym {
        Sym(0)
    }

    /// The number of a text that was seen before.
    pub(crate) fn known(&self, text: &str) -> Option<Sym> {
        self.find(&Packed::of(text))
    }

    pub(crate) fn id(&mut self, source: &str, name: &str) -> Id {
        Id { source: self.sym(source), name: self.sym(name) }
    }

    pub(crate) fn known_id(&self, source: &str, name: &str) -> Option<Id> {
        Some(Id { source: self.known(source)?, name: self.known(name)? })
    }

    pub(crate) fn text(&self, sym: Sym) -> Text<'_> {
        self.texts.get(sym.0 as usize).map(Packed::text).unwrap_or_default()
    }

    /// The text of a thing's name within its source.
    pub(crate) fn name(&self, id: Id) -> Text<'_> {
        self.text(id.name)
    }
}
