//! Which accounts are one person, as operators said by hand: acts in the one total order, and what they come to.
//!
//! An account hangs below the one that it was merged into, with all that was merged into it before; a split cuts it off again, and
//! so undoes exactly what the merge did. Acts are timeless: what counts is what they come to together, whenever each of them came in.
//! Pure, and the same for the correlation and for who lists the acts.

use std::collections::BTreeMap;

/// What is said of two accounts, or of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act<M> {
    /// The first hangs below the second.
    Merge(M, M),
    /// It hangs below nobody.
    Split(M),
}

/// What became of an act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It counts.
    InForce,
    /// A merge that a later split took back, by its place among the acts.
    Undone(usize),
    /// It says nothing new: the two were one person already.
    OneAlready,
    /// The account hangs below another one, and is not torn from it unasked.
    BelowAnother,
    /// A split of what hangs below nobody.
    NothingToSplit,
}

/// What all acts together come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folded<M> {
    /// What hangs below what.
    pub above: BTreeMap<M, M>,
    /// What became of each act, in their order.
    pub standing: Vec<Standing>,
}

impl<M: Ord + Copy> Folded<M> {
    /// Of acts in the one total order. What contradicts what stands by then counts for nothing, and is told as such.
    pub fn of(acts: impl IntoIterator<Item = Act<M>>) -> Self {
        let mut folded = Self { above: BTreeMap::new(), standing: Vec::new() };
        let mut merged_by: BTreeMap<M, usize> = BTreeMap::new();
        for (place, act) in acts.into_iter().enumerate() {
            let standing = match act {
                // Of one person already: also where hanging the one below the other would make a circle.
                Act::Merge(account, into) if folded.root(account) == folded.root(into) => Standing::OneAlready,
                Act::Merge(account, _) if folded.above.contains_key(&account) => Standing::BelowAnother,
                Act::Merge(account, into) => {
                    folded.above.insert(account, into);
                    merged_by.insert(account, place);
                    Standing::InForce
                }
                Act::Split(account) => match merged_by.remove(&account) {
                    Some(merge) => {
                        folded.above.remove(&account);
                        folded.standing[merge] = Standing::Undone(place);
                        Standing::InForce
                    }
                    None => Standing::NothingToSplit,
                },
            };
            folded.standing.push(standing);
        }
        folded
    }

    /// The account whose key is the person's.
    pub fn root(&self, account: M) -> M {
        let mut root = account;
        // There are no circles: see above.
        while let Some(above) = self.above.get(&root) {
            root = *above;
        }
        root
    }
}

#[cfg(test)]
mod tests {
    use super::{Act::*, Standing::*, *};

    #[test]
    fn a_split_undoes_exactly_what_the_merge_did() {
        let folded = Folded::of([Merge('c', 'b'), Merge('b', 'a')]);
        assert_eq!(['a', 'b', 'c'].map(|one| folded.root(one)), ['a'; 3]);
        let folded = Folded::of([Merge('c', 'b'), Merge('b', 'a'), Split('b')]);
        assert_eq!(['a', 'b', 'c'].map(|one| folded.root(one)), ['a', 'b', 'b'], "what was merged into b goes with it");
        assert_eq!(folded.standing, [InForce, Undone(2), InForce]);
        let again = Folded::of([Merge('b', 'a'), Split('b'), Merge('b', 'a')]);
        assert_eq!((again.root('b'), again.standing), ('a', vec![Undone(1), InForce, InForce]));
    }

    #[test]
    fn what_contradicts_counts_for_nothing_and_is_told() {
        let folded = Folded::of([Merge('b', 'a'), Merge('a', 'b'), Merge('b', 'c'), Merge('a', 'a'), Split('c')]);
        assert_eq!(folded.standing, [InForce, OneAlready, BelowAnother, OneAlready, NothingToSplit]);
        assert_eq!(['a', 'b', 'c'].map(|one| folded.root(one)), ['a', 'a', 'c']);
        let circle = Folded::of([Merge('b', 'a'), Merge('c', 'b'), Merge('a', 'c')]);
        assert_eq!((circle.standing[2], circle.root('a')), (OneAlready, 'a'));
    }
}
