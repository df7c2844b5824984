//! Ordered maps and sets that mostly hold one or two entries, of which there are millions: sorted vectors of exactly what they
//! hold, and trees only above that. The first node of a tree has room for eleven entries.

use crate::checkpoint::{Kept, Reader, Unreadable, Writer};
use std::{
    collections::{BTreeMap, btree_map},
    iter,
    ops::{Bound, RangeBounds},
    slice,
};

/// Above so many entries an insertion in the middle would cost more than a tree's.
const FEW: usize = 16;

/// An ordered map: what [`BTreeMap`] can do, as far as it is needed.
#[derive(Clone, Debug)]
pub(crate) enum Log<K, V> {
    Few(Vec<(K, V)>),
    Many(BTreeMap<K, V>),
}

impl<K, V> Default for Log<K, V> {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl<K: Ord + Copy, V> Log<K, V> {
    /// Puts an entry in, in place of one of the same key.
    pub(crate) fn insert(&mut self, key: K, value: V) {
        match self {
            Self::Many(all) => {
                all.insert(key, value);
            }
            Self::Few(all) => match all.binary_search_by(|(known, _)| known.cmp(&key)) {
                Ok(at) => all[at].1 = value,
                Err(at) if all.len() < FEW => {
                    all.reserve_exact(1);
                    all.insert(at, (key, value));
                }
                Err(_) => {
                    let mut tree: BTreeMap<K, V> = std::mem::take(all).into_iter().collect();
                    tree.insert(key, value);
                    *self = Self::Many(tree);
                }
            },
        }
    }

    /// Keeps what `keep` says, in no more room than it needs.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&K, &mut V) -> bool) {
        match self {
            Self::Few(all) => {
                all.retain_mut(|(key, value)| keep(key, value));
                all.shrink_to_fit();
            }
            Self::Many(all) => {
                all.retain(keep);
                if all.len() <= FEW {
                    *self = Self::Few(std::mem::take(all).into_iter().collect());
                }
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        match self {
            Self::Many(all) => all.get(key),
            Self::Few(all) => all.binary_search_by(|(known, _)| known.cmp(key)).ok().map(|at| &all[at].1),
        }
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        match self {
            Self::Many(all) => all.get_mut(key),
            Self::Few(all) => all.binary_search_by(|(known, _)| known.cmp(key)).ok().map(|at| &mut all[at].1),
        }
    }

    /// Puts the default in unless the key is there; `None` never comes.
    pub(crate) fn get_or_default(&mut self, key: K) -> Option<&mut V>
    where
        V: Default,
    {
        if self.get(&key).is_none() {
            self.insert(key, V::default());
        }
        self.get_mut(&key)
    }

    /// As [`BTreeMap::range`]: the bounds must not cross.
    pub(crate) fn range(&self, range: impl RangeBounds<K>) -> Iter<'_, K, V> {
        match self {
            Self::Many(all) => Iter::Many(all.range(range)),
            Self::Few(all) => {
                let from = match range.start_bound() {
                    Bound::Included(first) => all.partition_point(|(key, _)| key < first),
                    Bound::Excluded(first) => all.partition_point(|(key, _)| key <= first),
                    Bound::Unbounded => 0,
                };
                let to = match range.end_bound() {
                    Bound::Included(last) => all.partition_point(|(key, _)| key <= last),
                    Bound::Excluded(last) => all.partition_point(|(key, _)| key < last),
                    Bound::Unbounded => all.len(),
                };
                Iter::Few(all[from..to].iter())
            }
        }
    }

    pub(crate) fn iter(&self) -> Iter<'_, K, V> {
        self.range(..)
    }

    pub(crate) fn keys(&self) -> impl DoubleEndedIterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }

    pub(crate) fn values(&self) -> impl DoubleEndedIterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    pub(crate) fn iter_mut(&mut self) -> Box<dyn Iterator<Item = (&K, &mut V)> + '_> {
        match self {
            Self::Many(all) => Box::new(all.iter_mut()),
            Self::Few(all) => Box::new(all.iter_mut().map(|(key, value)| (&*key, value))),
        }
    }
}

impl<'a, K: Ord + Copy, V> IntoIterator for &'a Log<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = Iter<'a, K, V>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Entries in the order of their keys.
#[derive(Clone)]
pub(crate) enum Iter<'a, K, V> {
    Few(slice::Iter<'a, (K, V)>),
    Many(btree_map::Range<'a, K, V>),
}

impl<'a, K, V> Iterator for Iter<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Few(left) => left.next().map(|(key, value)| (key, value)),
            Self::Many(left) => left.next(),
        }
    }
}

impl<K, V> DoubleEndedIterator for Iter<'_, K, V> {
    fn next_back(&mut self) -> Option<Self::Item> {
        match self {
            Self::Few(left) => left.next_back().map(|(key, value)| (key, value)),
            Self::Many(left) => left.next_back(),
        }
    }
}

/// An ordered set.
#[derive(Clone, Debug)]
pub(crate) struct Set<K>(Log<K, ()>);

impl<K> Default for Set<K> {
    fn default() -> Self {
        Self(Log::default())
    }
}

impl<K: Ord + Copy> Set<K> {
    pub(crate) fn insert(&mut self, key: K) {
        self.0.insert(key, ());
    }

    /// Keeps what `keep` says.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&K) -> bool) {
        self.0.retain(|key, ()| keep(key));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn range(&self, range: impl RangeBounds<K>) -> impl DoubleEndedIterator<Item = &K> {
        self.0.range(range).map(|(key, ())| key)
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &K> {
        self.into_iter()
    }
}

impl<'a, K: Ord + Copy> IntoIterator for &'a Set<K> {
    type Item = &'a K;
    type IntoIter = iter::Map<Iter<'a, K, ()>, fn((&'a K, &'a ())) -> &'a K>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter().map(|(key, ())| key)
    }
}

impl<K: Kept + Ord + Copy, V: Kept> Kept for Log<K, V> {
    fn put(&self, to: &mut Writer<'_>) {
        let count = match self {
            Self::Few(all) => all.len(),
            Self::Many(all) => all.len(),
        };
        count.put(to);
        for (key, value) in self {
            key.put(to);
            value.put(to);
        }
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        let count = usize::get(from)?;
        if count > FEW {
            return (0..count).map(|_| Kept::get(from)).collect::<Result<_, _>>().map(Self::Many);
        }
        let mut all = Vec::with_capacity(count);
        for _ in 0..count {
            all.push(Kept::get(from)?);
        }
        Ok(Self::Few(all))
    }

    fn room(&self) -> usize {
        match self {
            Self::Few(all) => all.room(),
            Self::Many(all) => all.room(),
        }
    }
}

impl<K: Kept + Ord + Copy> Kept for Set<K> {
    fn put(&self, to: &mut Writer<'_>) {
        self.0.put(to);
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        Kept::get(from).map(Self)
    }

    fn room(&self) -> usize {
        self.0.room()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng, rngs::StdRng};

    #[test]
    fn it_holds_what_a_tree_holds() {
        for seed in 0..300 {
            let mut random = StdRng::seed_from_u64(seed);
            let (mut log, mut tree) = (Log::default(), BTreeMap::new());
            for value in 0..random.random_range(0..3 * FEW) {
                let key = random.random_range(0..40);
                log.insert(key, value);
                tree.insert(key, value);
                assert_eq!(log.get(&key), Some(&value));
            }
            assert!(log.iter().eq(&tree) && log.iter().rev().eq(tree.iter().rev()));
            let from = random.random_range(0..20);
            let to = from + random.random_range(1..20);
            assert!(log.range(from..to).eq(tree.range(from..to)));
            assert!(log.range(from..=to).rev().eq(tree.range(from..=to).rev()));
            let after = (Bound::Excluded(from), Bound::Unbounded);
            assert!(log.range(after).eq(tree.range(after)));
            assert!(log.keys().eq(tree.keys()) && log.values().eq(tree.values()));
            if let (Some(one), Some(same)) = (log.get_mut(&from), tree.get_mut(&from)) {
                (*one, *same) = (99, 99);
            }
            log.get_or_default(to);
            tree.entry(to).or_default();
            let kept = |key: &i32, value: &mut usize| (key.unsigned_abs() as usize + *value) % 3 != 0;
            log.retain(|key, value| kept(key, value));
            tree.retain(|key, value| kept(key, value));
            assert_eq!(matches!(log, Log::Many(_)), tree.len() > FEW);
            assert_eq!(log.is_empty(), tree.is_empty());
            assert!(log.iter_mut().map(|(key, value)| (*key, *value)).eq(tree.into_iter()));
        }
    }
}
