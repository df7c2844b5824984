//! Which logins at identity providers are a user's: as linked, as used, as unlinked. A user has at most one of a provider.
//!
//! Events name a login by its id there, by its name there, or by both; each is a name of its own, borne from when to when. Nothing
//! is taken for linked on the word of a login alone once it was unlinked: a session that goes on still names its provider.

use crate::{
    checkpoint::{kept_enum, kept_struct},
    facts::LinkKind,
    log::Log,
    moment::{Millis, Moment},
    names::{Id, Sym},
};
use hashbrown::HashMap;
use std::collections::BTreeSet;

/// What an event says of a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub how: LinkKind,
    /// Id and name at the provider, as far as they are said.
    pub id: Option<Sym>,
    pub name: Option<Sym>,
}

/// Kinds of names of a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Called {
    Id,
    Name,
}

/// A name of a login, from when to when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Borne {
    pub provider: Sym,
    pub kind: Called,
    pub text: Sym,
    /// `None`: before anything that is known.
    pub from: Option<Moment>,
    pub to: Option<Moment>,
}

/// All of them, by user.
#[derive(Default)]
pub(crate) struct Federated {
    said: HashMap<Id, Log<(Sym, Moment), Said>>,
}

impl Federated {
    /// Notes what was said; true if that is news.
    pub(crate) fn note(&mut self, user: Id, place: (Sym, Moment), said: Said) -> bool {
        let log = self.said.entry(user).or_default();
        let news = log.get(&place) != Some(&said);
        log.insert(place, said);
        news
    }

    /// Everybody of whom a login is known.
    pub(crate) fn users(&self) -> impl Iterator<Item = Id> {
        self.said.keys().copied()
    }

    /// Names of a user's logins, of which none outlives the user. In no order of providers.
    pub(crate) fn borne(&self, user: Id) -> Vec<Borne> {
        let Some(log) = self.said.get(&user) else { return Vec::new() };
        let providers: BTreeSet<Sym> = log.keys().map(|(provider, _)| *provider).collect();
        providers.into_iter().flat_map(|provider| of_provider(log, provider)).collect()
    }
}

fn of_provider(log: &Log<(Sym, Moment), Said>, provider: Sym) -> Vec<Borne> {
    let whole = (provider, Moment::floor(Millis::MIN))..=(provider, Moment::ceiling(Millis::MAX));
    let mut borne = Vec::new();
    let new = |kind| Name { provider, kind, open: None };
    let (mut id, mut name) = (new(Called::Id), new(Called::Name));
    let mut unlinked = false;
    for (place, ((_, moment), said)) in log.range(whole).enumerate() {
        let first = place == 0;
        match said.how {
            LinkKind::Linked => {
                // Of one that is told by half, the other half stays only where the told one is the same.
                let same = match (said.id, said.name) {
                    (Some(_), _) => said.id == id.text(),
                    (None, Some(_)) => said.name == name.text(),
                    (None, None) => true,
                };
                if said.id.is_some() || !same {
                    id.becomes(said.id, *moment, &mut borne);
                }
                if said.name.is_some() || !same {
                    name.becomes(said.name, *moment, &mut borne);
                }
                unlinked = false;
            }
            LinkKind::Used if unlinked || said.name.is_none() => {}
            LinkKind::Used => name.becomes(said.name, *moment, &mut borne),
            LinkKind::Unlinked => {
                for (name, told) in [(&mut id, said.id), (&mut name, said.name)] {
                    // What ends was there, though nothing told of it before.
                    if first {
                        name.open = told.map(|text| (text, None));
                    }
                    name.becomes(None, *moment, &mut borne);
                }
                unlinked = true;
            }
        }
    }
    borne.extend([id, name].iter().filter_map(|name| name.borne(None)));
    borne
}

/// One of the two names, while the history is read.
struct Name {
    provider: Sym,
    kind: Called,
    open: Option<(Sym, Option<Moment>)>,
}

impl Name {
    fn text(&self) -> Option<Sym> {
        self.open.map(|(text, _)| text)
    }

    fn becomes(&mut self, text: Option<Sym>, moment: Moment, borne: &mut Vec<Borne>) {
        if text == self.text() {
            return;
        }
        borne.extend(self.borne(Some(moment)));
        self.open = text.map(|text| (text, Some(moment)));
    }

    fn borne(&self, to: Option<Moment>) -> Option<Borne> {
        let (text, from) = self.open?;
        Some(Borne { provider: self.provider, kind: self.kind, text, from, to })
    }
}

kept_struct!(Said { how, id, name });
kept_enum!(LinkKind { 0 Linked {}, 1 Used {}, 2 Unlinked {} });
kept_struct!(Federated { said });
