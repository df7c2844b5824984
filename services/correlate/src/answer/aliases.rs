//! Names: of a Keycloak user as they were borne, and of callers that no annotation ties to one.

use super::grants::spans;
use crate::{
    known::Known,
    moment::{Millis, Moment},
    names::{Id, Sym},
    rows::{AliasKind, AliasRow, Key, Row},
    state::federated::Called,
};
use events::person::PersonKey;
use std::collections::BTreeMap;
use uuid::Uuid;

/// A begin or an end, and the event that tells it.
type When = (Millis, Option<Uuid>);

/// A name, from when to when.
struct Borne {
    kind: AliasKind,
    /// Who says it.
    source: Sym,
    name: String,
    from: Option<When>,
    to: Option<When>,
}

/// Whose names: the person, the key of the account alone, that key again if it was merged, and the Keycloak user id.
struct Owner {
    person: PersonKey,
    account: PersonKey,
    merged: Option<PersonKey>,
    user: String,
}

impl Known {
    /// Rows of every name that a user bore, or of the one that a caller is known by.
    pub(crate) fn alias_rows(&self, of: Id) -> Vec<(Key, Row)> {
        let mut rows = self.names_of_user(of);
        rows.extend(self.name_of_caller(of));
        rows
    }

    fn names_of_user(&self, user: Id) -> Vec<(Key, Row)> {
        let mut names: Vec<Borne> = Vec::new();
        let books = [(AliasKind::Username, &self.keycloak.usernames), (AliasKind::Email, &self.keycloak.emails)];
        for (kind, ledger) in books.into_iter().filter_map(|(kind, book)| Some((kind, book.get(user)?))) {
            names.extend(spans(ledger).into_iter().map(|(from, to, value)| Borne {
                kind,
                source: user.source,
                name: self.owned(value),
                from: from.map(told),
                to: to.map(told),
            }));
        }
        for reference in self.catalog.references(user) {
            let Some(ledger) = self.catalog.users.get(reference) else { continue };
            let borne = spans(ledger).into_iter().filter(|(_, _, value)| *value == user);
            names.extend(borne.map(|(from, to, _)| Borne {
                from: from.map(told),
                to: to.map(told),
                ..self.for_good(AliasKind::Reference, reference)
            }));
        }
        // A service account comes and goes with its client.
        let clients = self.service_accounts.clients(user);
        names.extend(clients.map(|name| self.for_good(AliasKind::Client, Id { source: user.source, name })));
        names.extend(self.logins(user));
        if names.is_empty() {
            return Vec::new();
        }
        let owner = Owner {
            person: self.key(user),
            account: self.account_key(user),
            merged: self.merged_account(user),
            user: self.names.name(user).to_owned(),
        };
        rows_of_names(self, &owner, names)
    }

    /// Logins at identity providers: until they are unlinked, or the user ends.
    fn logins(&self, user: Id) -> impl Iterator<Item = Borne> {
        let end = self.keycloak.user_ended(user).map(|end| (end, None));
        let borne = self.keycloak.federated.borne(user).into_iter();
        let lived = borne.filter(move |borne| borne.from.is_none_or(|from| end.is_none_or(|end| from.at < end.0)));
        lived.map(move |borne| Borne {
            kind: match borne.kind {
                Called::Id => AliasKind::FederatedId,
                Called::Name => AliasKind::FederatedName,
            },
            source: user.source,
            name: format!("{}/{}", self.names.text(borne.provider), self.names.text(borne.text)),
            from: borne.from.map(told),
            to: borne.to.map(told).into_iter().chain(end).min_by_key(|end| end.0),
        })
    }

    /// Of a name in decisions that no annotation ever tied: it is nobody's but its own.
    fn name_of_caller(&self, caller: Id) -> Vec<(Key, Row)> {
        let name = &*self.names.name(caller);
        if name.is_empty() || !self.decisions.contains_key(&caller) || self.catalog.users.get(caller).is_some() {
            return Vec::new();
        }
        let (kind, word) = match name {
            _ if name.starts_with("user:") => (AliasKind::Reference, "user"),
            _ if name.starts_with("plugin:") => (AliasKind::Plugin, "plugin"),
            _ => (AliasKind::Static, "static"),
        };
        // Whom a name alone stands for is asked as of an instant.
        if kind == AliasKind::Reference && self.join(caller.source).is_some_and(|join| join.by_name) {
            return Vec::new();
        }
        let (person, account) = (self.named_key(word, caller), self.name_alone(word, caller));
        let merged = (person != account).then(|| account.clone());
        let owner = Owner { person, account, merged, user: String::new() };
        rows_of_names(self, &owner, vec![self.for_good(kind, caller)])
    }

    /// A name of which no begin and no end is known.
    fn for_good(&self, kind: AliasKind, name: Id) -> Borne {
        Borne { kind, source: name.source, name: self.names.name(name).to_owned(), from: None, to: None }
    }
}

fn told(moment: Moment) -> When {
    (moment.at, Some(moment.event))
}

fn rows_of_names(known: &Known, owner: &Owner, mut names: Vec<Borne>) -> Vec<(Key, Row)> {
    // By text, so that the place among equals does not follow the order of arrival.
    names.sort_by(|a, b| (&a.name, a.from, a.to).cmp(&(&b.name, b.from, b.to)));
    let mut equals: BTreeMap<(AliasKind, Sym, Option<Millis>), u32> = BTreeMap::new();
    let row = |Borne { kind, source, name, from, to }: Borne| {
        let begun = from.map(|from| from.0);
        let place = equals.entry((kind, source, begun)).and_modify(|place| *place += 1).or_insert(0);
        let source = known.owned(source);
        let key = Key::Alias(owner.account.clone(), kind, source, begun.unwrap_or(Millis::MIN), *place);
        let row = AliasRow {
            person: owner.person.clone(),
            account: owner.merged.clone(),
            user: owner.user.clone(),
            kind,
            name,
            from: begun,
            to: to.map(|to| to.0),
            evidence: (from.and_then(|from| from.1), to.and_then(|to| to.1)),
        };
        (key, Row::Alias(row))
    };
    names.into_iter().map(row).collect()
}
