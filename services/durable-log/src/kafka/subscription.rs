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
}

impl Subscription {
    /// A topic of receipts, without a topic of dead letters.
    pub fn receipts(topic: &str, group: &str) -> Self {
        Self { topic: topic.to_owned(), group: group.to_owned(), reading: Reading::Receipts(None) }
    }
}
