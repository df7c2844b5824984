//! What operators said of persons, and whose key an account carries because of it.

use crate::{
    checkpoint::{Kept, Reader, Unreadable, Writer, kept_enum, kept_struct},
    log::Log,
    moment::Moment,
    names::Id,
    persons::{Act, Folded},
};
use events::act::AccountKind;
use std::collections::{BTreeMap, BTreeSet};

/// An account of any kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Member {
    pub kind: AccountKind,
    pub id: Id,
}

impl Member {
    /// A Keycloak user.
    pub(crate) fn user(id: Id) -> Self {
        Self { kind: AccountKind::KeycloakUser, id }
    }
}

/// All acts, and what they come to: made anew with each act, of which there are few.
#[derive(Default)]
pub(crate) struct Persons {
    acts: Log<Moment, Act<Member>>,
    /// Of each account that hangs below another: whose key it carries.
    roots: BTreeMap<Member, Member>,
}

impl Persons {
    /// Takes an act in; the accounts that carry another key by now.
    pub(crate) fn act(&mut self, moment: Moment, act: Act<Member>) -> BTreeSet<Member> {
        self.acts.insert(moment, act);
        let before = std::mem::take(&mut self.roots);
        self.fold();
        let differs = |member: &&Member| before.get(member) != self.roots.get(member);
        before.keys().chain(self.roots.keys()).filter(differs).copied().collect()
    }

    fn fold(&mut self) {
        let folded = Folded::of(self.acts.iter().map(|(_, act)| *act));
        self.roots = folded.above.keys().map(|member| (*member, folded.root(*member))).collect();
    }

    /// Whose key an account carries, if not its own.
    pub(crate) fn root(&self, member: Member) -> Option<Member> {
        if self.roots.is_empty() {
            return None;
        }
        self.roots.get(&member).copied()
    }
}

kept_struct!(Member { kind, id });
kept_enum!(AccountKind { 0 KeycloakUser {}, 1 User {}, 2 Static {}, 3 Plugin {} });

impl Kept for Act<Member> {
    fn put(&self, to: &mut Writer<'_>) {
        let (account, into) = match self {
            Self::Merge(account, into) => (account, Some(*into)),
            Self::Split(account) => (account, None),
        };
        account.put(to);
        into.put(to);
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        let account = Kept::get(from)?;
        let into: Option<Member> = Kept::get(from)?;
        Ok(into.map_or(Self::Split(account), |into| Self::Merge(account, into)))
    }
}

/// The acts; the rest is made anew.
impl Kept for Persons {
    fn put(&self, to: &mut Writer<'_>) {
        let Self { acts, roots: _ } = self;
        acts.put(to);
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        let mut persons = Self { acts: Kept::get(from)?, ..Self::default() };
        persons.fold();
        Ok(persons)
    }
}
