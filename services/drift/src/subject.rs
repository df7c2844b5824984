//! What a group of a rule's findings can be told by: a closed set, so that nobody is silent about more than they meant.

use crate::Rule;
use std::fmt;

/// What findings are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// One person.
    Person,
    /// One source, which the finding's values name.
    Source,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Person => "person",
            Self::Source => "source",
        })
    }
}

impl Rule {
    /// What this rule's findings name. D04 names no person who was never seen; D03 a person, or of a realm's settings the source;
    /// D20 the Backstage of whom one system alone knows.
    pub fn subjects(&self) -> &'static [Subject] {
        match self.id {
            "D03" | "D04" | "D20" => &[Subject::Person, Subject::Source],
            "D11" | "D12" => &[Subject::Source],
            _ => &[Subject::Person],
        }
    }
}
