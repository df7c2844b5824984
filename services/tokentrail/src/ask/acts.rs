//! Acts by hand as they are shown: who said what of a person, and what became of it.

use correlate::persons::{Act, Folded, Standing};
use serde::Serialize;
use std::collections::BTreeSet;
use store::correlation::PersonActRecord;

/// An act and what became of it.
#[derive(Clone, Serialize)]
pub struct Told {
    #[serde(flatten)]
    pub act: PersonActRecord,
    /// `in_force`, `undone`, or why it counts for nothing.
    pub standing: &'static str,
}

/// All acts of a tenant, and what they come to, by key of the account.
pub struct Acts<'a> {
    folded: Folded<&'a str>,
    all: &'a [PersonActRecord],
}

impl<'a> Acts<'a> {
    /// In the one order that counts.
    pub fn of(all: &'a [PersonActRecord]) -> Self {
        let act = |one: &'a PersonActRecord| match one.act.as_str() {
            "merge" => Act::Merge(one.account.as_str(), one.into.as_str()),
            _ => Act::Split(one.account.as_str()),
        };
        Self { folded: Folded::of(all.iter().map(act)), all }
    }

    /// Those that name one of these accounts.
    pub fn about(&self, accounts: &BTreeSet<String>) -> Vec<Told> {
        let named = |(act, _): &(&PersonActRecord, &Standing)| {
            accounts.contains(&act.account) || (!act.into.is_empty() && accounts.contains(&act.into))
        };
        let told =
            |(act, standing): (&PersonActRecord, &Standing)| Told { act: act.clone(), standing: word(*standing) };
        self.all.iter().zip(&self.folded.standing).filter(named).map(told).collect()
    }

    /// The account whose key the person of an account has.
    pub fn root(&self, account: &'a str) -> &'a str {
        self.folded.root(account)
    }

    /// What hangs directly below an account.
    pub fn below(&self, account: &str) -> Vec<&'a str> {
        self.folded.above.iter().filter(|(_, above)| **above == account).map(|(below, _)| *below).collect()
    }

    /// The merge by which an account hangs where it does.
    pub fn merge_of(&self, account: &str) -> Option<&'a PersonActRecord> {
        let in_force = |(act, standing): &(&PersonActRecord, &Standing)| {
            act.account == account && act.act == "merge" && **standing == Standing::InForce
        };
        self.all.iter().zip(&self.folded.standing).find(in_force).map(|(act, _)| act)
    }
}

fn word(standing: Standing) -> &'static str {
    match standing {
        Standing::InForce => "in_force",
        Standing::Undone(_) => "undone",
        Standing::OneAlready => "one_person_already",
        Standing::BelowAnother => "merged_elsewhere",
        Standing::NothingToSplit => "nothing_to_split",
    }
}

/// For people.
pub fn standing(word: &str) -> &'static str {
    match word {
        "in_force" => "in force",
        "undone" => "undone by a later split",
        "one_person_already" => "no effect: they were one person already",
        "merged_elsewhere" => "no effect: it was merged into another account already",
        "nothing_to_split" => "no effect: it was merged into nothing",
        _ => "an outcome that this program does not know",
    }
}
