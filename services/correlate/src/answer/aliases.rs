//! Names: of a Keycloak user as they were borne, and of callers that no annotation ties to one.

use super::grants::spans;
use crate::{
    known::Known,
    moment::Millis,
    names::{Id, Sym},
    rows::{AliasKind, AliasRow, Key, Row},
};
use events::person::PersonKey;
use std::collections::BTreeMap;

/// A name, from when to when.
type Borne = (AliasKind, Id, Option<Millis>, Option<Millis>);

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
        let name = |name| Id { source: user.source, name };
        for (kind, ledger) in books.into_iter().filter_map(|(kind, book)| Some((kind, book.get(user)?))) {
            names.extend(spans(ledger).into_iter().map(|(from, to, value)| (kind, name(value), from, to)));
        }
        for reference in self.catalog.references(user) {
            let Some(ledger) = self.catalog.users.get(reference) else { continue };
            let borne = spans(ledger).into_iter().filter(|(_, _, value)| *value == user);
            names.extend(borne.map(|(from, to, _)| (AliasKind::Reference, reference, from, to)));
        }
        // For good: a service account comes and goes with its client.
        let clients = self.service_accounts.clients(user);
        names.extend(clients.map(|client| (AliasKind::Client, name(client), None, None)));
        if names.is_empty() {
            return Vec::new();
        }
        let owner = Owner {
            person: self.key(user),
            account: self.account_key(user),
            merged: self.merged_account(user),
            user: self.names.name(user).to_owned(),
        };
        self.rows_of_names(&owner, names)
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
        self.rows_of_names(&owner, vec![(kind, caller, None, None)])
    }

    fn rows_of_names(&self, owner: &Owner, mut names: Vec<Borne>) -> Vec<(Key, Row)> {
        // By text, so that the place among equals does not follow the order of arrival.
        names.sort_by(|a, b| self.names.name(a.1).cmp(&self.names.name(b.1)));
        let mut equals: BTreeMap<(AliasKind, Sym, Option<Millis>), u32> = BTreeMap::new();
        let row = |(kind, name, from, to): Borne| {
            let place = equals.entry((kind, name.source, from)).and_modify(|place| *place += 1).or_insert(0);
            let source = self.names.text(name.source).to_owned();
            let key = Key::Alias(owner.account.clone(), kind, source, from.unwrap_or(Millis::MIN), *place);
            let Owner { person, merged, user, .. } = owner;
            let (person, account, user) = (person.clone(), merged.clone(), user.clone());
            let name = self.names.name(name).to_owned();
            (key, Row::Alias(AliasRow { person, account, user, kind, name, from, to }))
        };
        names.into_iter().map(row).collect()
    }
}
