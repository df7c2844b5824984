//! How plain values, lists, sets and maps are written.

use super::{
    codec::{Kept, Reader, Unreadable, Writer},
    text,
};
use hashbrown::HashMap;
use std::{
    collections::{BTreeMap, BTreeSet},
    hash::Hash,
};
use uuid::Uuid;

impl Kept for () {
    fn put(&self, _: &mut Writer<'_>) {}

    fn get(_: &mut Reader<'_>) -> Result<Self, Unreadable> {
        Ok(())
    }
}

impl Kept for u8 {
    fn put(&self, to: &mut Writer<'_>) {
        to.bytes(&[*self]);
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        from.array().map(|[byte]| byte)
    }
}

impl Kept for bool {
    fn put(&self, to: &mut Writer<'_>) {
        u8::from(*self).put(to);
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        match u8::get(from)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Unreadable),
        }
    }
}

impl Kept for u64 {
    fn put(&self, to: &mut Writer<'_>) {
        to.number(*self);
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        from.number()
    }
}

impl Kept for u32 {
    fn put(&self, to: &mut Writer<'_>) {
        to.number(u64::from(*self));
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        Self::try_from(from.number()?).map_err(|_| Unreadable)
    }
}

impl Kept for usize {
    fn put(&self, to: &mut Writer<'_>) {
        to.number(*self as u64);
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        Self::try_from(from.number()?).map_err(|_| Unreadable)
    }
}

/// Small numbers of either sign are short.
impl Kept for i64 {
    fn put(&self, to: &mut Writer<'_>) {
        to.number(((self << 1) ^ (self >> 63)).cast_unsigned());
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        let number = from.number()?;
        Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }
}

impl Kept for u128 {
    fn put(&self, to: &mut Writer<'_>) {
        to.bytes(&self.to_le_bytes());
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        from.array().map(Self::from_le_bytes)
    }
}

impl<const N: usize> Kept for [u8; N] {
    fn put(&self, to: &mut Writer<'_>) {
        to.bytes(self);
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        from.array()
    }
}

impl Kept for Uuid {
    fn put(&self, to: &mut Writer<'_>) {
        to.bytes(self.as_bytes());
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        from.array().map(Self::from_bytes)
    }
}

impl Kept for String {
    fn put(&self, to: &mut Writer<'_>) {
        to.text(self);
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        text::get(from)
    }

    fn room(&self) -> usize {
        self.capacity()
    }
}

impl Kept for Box<str> {
    fn put(&self, to: &mut Writer<'_>) {
        to.text(self);
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        text::get(from).map(String::into_boxed_str)
    }

    fn room(&self) -> usize {
        self.len()
    }
}

impl<T: Kept> Kept for Option<T> {
    fn put(&self, to: &mut Writer<'_>) {
        self.is_some().put(to);
        if let Some(value) = self {
            value.put(to);
        }
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        if bool::get(from)? { T::get(from).map(Some) } else { Ok(None) }
    }

    fn room(&self) -> usize {
        self.as_ref().map_or(0, T::room)
    }
}

impl<T: Kept> Kept for Vec<T> {
    fn put(&self, to: &mut Writer<'_>) {
        self.len().put(to);
        self.iter().for_each(|value| value.put(to));
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        let (length, room) = from.length()?;
        let mut all = Self::with_capacity(room);
        for _ in 0..length {
            all.push(T::get(from)?);
        }
        Ok(all)
    }

    fn room(&self) -> usize {
        self.capacity() * size_of::<T>() + self.iter().map(T::room).sum::<usize>()
    }
}

impl<T: Kept> Kept for Box<T> {
    fn put(&self, to: &mut Writer<'_>) {
        T::put(self, to);
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        T::get(from).map(Self::new)
    }

    fn room(&self) -> usize {
        size_of::<T>() + T::room(self)
    }
}

impl<T: Kept> Kept for Box<[T]> {
    fn put(&self, to: &mut Writer<'_>) {
        self.len().put(to);
        self.iter().for_each(|value| value.put(to));
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        Vec::get(from).map(Vec::into_boxed_slice)
    }

    fn room(&self) -> usize {
        size_of_val(&**self) + self.iter().map(T::room).sum::<usize>()
    }
}

macro_rules! kept_tuple {
    ($($name:ident $index:tt),+) => {
        impl<$($name: Kept),+> Kept for ($($name,)+) {
            fn put(&self, to: &mut Writer<'_>) {
                $(self.$index.put(to);)+
            }

            fn get(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
                Ok(($($name::get(from)?,)+))
            }

            fn room(&self) -> usize {
                0 $(+ self.$index.room())+
            }
        }
    };
}

kept_tuple!(A 0, B 1);
kept_tuple!(A 0, B 1, C 2);

impl<K: Kept + Ord, V: Kept> Kept for BTreeMap<K, V> {
    fn put(&self, to: &mut Writer<'_>) {
        self.len().put(to);
        for (key, value) in self {
            key.put(to);
            value.put(to);
        }
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        let length = usize::get(from)?;
        (0..length).map(|_| Kept::get(from)).collect()
    }

    fn room(&self) -> usize {
        nodes::<(K, V)>(self.len()) + self.iter().map(|(key, value)| key.room() + value.room()).sum::<usize>()
    }
}

impl<K: Kept + Ord> Kept for BTreeSet<K> {
    fn put(&self, to: &mut Writer<'_>) {
        self.len().put(to);
        self.iter().for_each(|key| key.put(to));
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        let length = usize::get(from)?;
        (0..length).map(|_| Kept::get(from)).collect()
    }

    fn room(&self) -> usize {
        nodes::<K>(self.len()) + self.iter().map(K::room).sum::<usize>()
    }
}

impl<K: Kept + Eq + Hash, V: Kept> Kept for HashMap<K, V> {
    fn put(&self, to: &mut Writer<'_>) {
        self.len().put(to);
        for (key, value) in self {
            key.put(to);
            value.put(to);
        }
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        let (length, room) = from.length()?;
        let mut all = Self::with_capacity(room);
        for _ in 0..length {
            all.insert(K::get(from)?, V::get(from)?);
        }
        Ok(all)
    }

    fn room(&self) -> usize {
        self.allocation_size() + self.iter().map(|(key, value)| key.room() + value.room()).sum::<usize>()
    }
}

/// About what a tree's nodes take: each has room for eleven entries, and of several each is three quarters full.
fn nodes<T>(entries: usize) -> usize {
    const ENTRIES: usize = 11;
    let nodes = if entries > ENTRIES { entries.div_ceil(ENTRIES * 3 / 4) } else { entries.min(1) };
    nodes * (ENTRIES * size_of::<T>() + 2 * size_of::<usize>())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test may panic
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng, rngs::StdRng};

    type All = (
        (Vec<i64>, BTreeMap<String, Option<u32>>, HashMap<u128, bool>),
        (u64, BTreeSet<Uuid>, Box<[u8]>),
        (Vec<Box<str>>, usize, [u8; 3]),
    );

    fn some(random: &mut StdRng) -> All {
        let count = random.random_range(0..40);
        let number = |random: &mut StdRng| random.random::<u64>() >> random.random_range(0..64);
        let signed = |random: &mut StdRng| number(random).cast_signed();
        let edges = [i64::MIN, i64::MAX, 0, -1, 1];
        let uuid = "8a0e4f9c-16d2-4c57-9d3e-5b1c7f60a2e4";
        let (key, other) = (&*uuid.replace('-', ""), &*"0".repeat(32));
        let texts = ["", "a", "äöü", &"x".repeat(200), uuid, key, &uuid.to_uppercase()];
        (
            (
                (0..count).map(|_| signed(random)).chain(edges).collect(),
                texts
                    .iter()
                    .map(|text| ((*text).to_owned(), random.random_bool(0.5).then(|| random.random())))
                    .collect(),
                (0..count).map(|_| (random.random(), random.random())).collect(),
            ),
            (
                number(random),
                (0..count).map(|_| Uuid::from_u128(random.random())).collect(),
                (0..count).map(|_| random.random()).collect(),
            ),
            (
                ["text", key, key, uuid, key, other, key].map(Box::from).to_vec(),
                random.random_range(0..usize::MAX),
                random.random(),
            ),
        )
    }

    fn written(value: &All, size: usize) -> Vec<Vec<u8>> {
        let mut chunks = Vec::new();
        let mut take = |chunk| {
            chunks.push(chunk);
            true
        };
        let mut to = Writer::new(size, &mut take);
        value.put(&mut to);
        assert!(to.finish());
        chunks
    }

    fn read(chunks: Vec<Vec<u8>>) -> Result<All, Unreadable> {
        let mut chunks = chunks.into_iter();
        let mut next = || chunks.next();
        let mut from = Reader::new(&mut next);
        let value = All::get(&mut from)?;
        if from.is_done() { Ok(value) } else { Err(Unreadable) }
    }

    #[test]
    fn what_was_written_is_read_and_what_is_torn_is_not() {
        for seed in 0..300 {
            let mut random = StdRng::seed_from_u64(seed);
            let value = some(&mut random);
            let chunks = written(&value, random.random_range(1..400));
            assert_eq!(read(chunks.clone()), Ok(value));
            let lost = random.random_range(0..chunks.len());
            let without: Vec<Vec<u8>> = chunks[..lost].to_vec();
            assert_eq!(read(without), Err(Unreadable), "seed {seed}: chunk {lost} is lost, and all after it");
            // Whatever stands there is read as something or refused, and nothing is asked for that is not there.
            let mut other = chunks;
            let chunk = random.random_range(0..other.len());
            let byte = random.random_range(0..other[chunk].len());
            other[chunk][byte] ^= 1 << random.random_range(0..8);
            drop(read(other));
        }
        assert_eq!(read(vec![vec![0xff; 40]]), Err(Unreadable), "a length beyond everything");
    }

    #[test]
    fn a_chunk_that_is_not_wanted_ends_the_writing() {
        let mut wanted = 3;
        let mut take = |_| {
            wanted -= 1;
            wanted > 0
        };
        let mut to = Writer::new(8, &mut take);
        (0..1_000_u64).for_each(|number| number.put(&mut to));
        assert!(!to.finish());
        assert_eq!(wanted, 0, "none is handed over after that");
    }
}
