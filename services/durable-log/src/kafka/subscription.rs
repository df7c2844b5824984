//! What a member of a group reads, and as what.

use super::wire::Labeller;

/// A topic and the group that reads it.
#[derive(Clone)]
pub struct Subscription {
    /// Topic.
    pub topic: String,
    /// Group.
    pub group: String,
    /// What its records are.
    pub reading: Reading,
}

/// What the records of a topic are.
#[derive(Clone)]
pub enum Reading {
    /// Receipts of ours. Copies of what nobody understands go to a topic of their own, if there is one, under the labels that the
    /// topic of the receipts has.
    Receipts(Option<(String, Labeller)>),
    /// Somebody else's: taken as they are, from the first one that is kept.
    Foreign,
    /// Messages of ours, taken like somebody else's.
    Messages,
}

/// Whether a topic's offsets follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offsets {
    /// They do: we alone write there, without transactions, and nothing is compacted.
    Dense,
    /// They need not: the end of a transaction and what compaction took leave holes.
    Sparse,
}

impl Reading {
    /// Whether what is missing between two records was lost.
    pub(super) fn offsets(&self) -> Offsets {
        match self {
            Self::Receipts(_) | Self::Messages => Offsets::Dense,
            Self::Foreign => Offsets::Sparse,
        }
    }
}

impl Subscription {
    /// A topic of receipts, without a topic of dead letters.
    pub fn receipts(topic: &str, group: &str) -> Self {
        Self { topic: topic.to_owned(), group: group.to_owned(), reading: Reading::Receipts(None) }
    }
}
