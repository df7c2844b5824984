//! Missing events, named: who, which right, between which two pieces of evidence, and what most likely became of it.

use crate::{
    known::Known,
    names::Id,
    rows::{Cause, GapRow, Key, Missed, RightKind, Row},
    state::{
        book::{Book, Relation},
        ledger::Missing,
    },
};
use events::person::PersonKey;

/// Whose right is in question: a person's, or what else holds it, by its id or reference.
enum Whose<'a> {
    /// Who they are, and the key of the account alone.
    Person(&'a PersonKey, &'a PersonKey),
    Holder(&'a str),
}

impl Known {
    /// Rows of every gap in what is known of a user, a group, a role or an entity reference.
    pub(crate) fn gap_rows(&self, of: Id) -> Vec<(Key, Row)> {
        let mut rows = Vec::new();
        self.gaps_of_user(of, &mut rows);
        self.gaps_of_reference(of, &mut rows);
        self.gaps_of_world(of, &mut rows);
        rows
    }

    fn gaps_of_user(&self, user: Id, rows: &mut Vec<(Key, Row)>) {
        let (person, account) = (self.key(user), self.account_key(user));
        let whose = Whose::Person(&person, &account);
        let keycloak = &self.keycloak;
        for (group, ledger) in keycloak.members.ever(user) {
            for gap in ledger.gaps() {
                let causes = self.causes((user, group), gap);
                rows.push(row(&whose, (RightKind::Group, &self.names.name(group)), gap, causes));
            }
        }
        for (role, ledger) in keycloak.user_roles.ever(user) {
            for gap in ledger.gaps() {
                // A service account has it from the beginning, and nothing tells when that was.
                let within = keycloak.user_roles.within(user);
                let default = within.is_some_and(|within| keycloak.default_roles.get(&within) == Some(&role));
                if default && gap.becomes.is_some() && keycloak.users.get(user).is_none() {
                    continue;
                }
                let causes = self.causes((user, role), gap);
                rows.push(row(&whose, (RightKind::Role, &self.names.name(role)), gap, causes));
            }
        }
        for gap in gaps(&keycloak.enabled, user) {
            let causes = vec![Cause::LostDelivery, Cause::BehindTheApi];
            rows.push(row(&whose, (RightKind::Enabled, ""), gap, causes));
        }
        for gap in gaps(&keycloak.users, user) {
            let causes = vec![Cause::LostDelivery, Cause::Federation, Cause::BehindTheApi];
            rows.push(row(&whose, (RightKind::Existence, ""), gap, causes));
        }
    }

    /// Backstage roles of a person or of a group of the catalog. Backstage tells both in its lines.
    fn gaps_of_reference(&self, reference: Id, rows: &mut Vec<(Key, Row)>) {
        for (role, ledger) in self.rbac.members.ever(reference) {
            for gap in ledger.gaps() {
                let user = self.who(reference, gap.before.at).user;
                let person = user.map(|user| (self.key(user), self.account_key(user)));
                let name = &*self.names.name(reference);
                let whose = person.as_ref().map_or(Whose::Holder(name), |(who, account)| Whose::Person(who, account));
                let role = self.names.name(role);
                let right = (RightKind::BackstageRole, &*role);
                rows.push(row(&whose, right, gap, vec![Cause::LostDelivery, Cause::BehindTheApi]));
            }
        }
    }

    /// What belongs to no single person.
    fn gaps_of_world(&self, of: Id, rows: &mut Vec<(Key, Row)>) {
        let causes = || vec![Cause::LostDelivery, Cause::Federation, Cause::BehindTheApi];
        let name = &*self.names.name(of);
        let whose = Whose::Holder(name);
        let keycloak = &self.keycloak;
        for gap in gaps(&keycloak.groups, of) {
            rows.push(row(&whose, (RightKind::Existence, name), gap, causes()));
        }
        // A role's creation names no id: only its end can be missed.
        for gap in gaps(&keycloak.roles, of).iter().filter(|gap| gap.becomes.is_none()) {
            rows.push(row(&whose, (RightKind::Existence, name), gap, causes()));
        }
        for gap in gaps(&keycloak.called, of) {
            rows.push(row(&whose, (RightKind::Name, name), gap, causes()));
        }
        for gap in gaps(&keycloak.parents, of) {
            rows.push(row(&whose, (RightKind::Place, name), gap, causes()));
        }
        let held = |relation: &Relation, kind: RightKind, rows: &mut Vec<(Key, Row)>| {
            for (right, ledger) in relation.ever(of) {
                for gap in ledger.gaps() {
                    rows.push(row(&whose, (kind, &self.names.name(right)), gap, self.causes((of, right), gap)));
                }
            }
        };
        held(&keycloak.group_roles, RightKind::Role, rows);
        held(&keycloak.composites, RightKind::Composite, rows);
        held(&keycloak.defaults, RightKind::DefaultGroup, rows);
        held(&self.rbac.policies, RightKind::Policy, rows);
    }

    /// Likely causes, likeliest first.
    fn causes<V: Copy + PartialEq>(&self, pair: (Id, Id), gap: &Missing<V>) -> Vec<Cause> {
        let (user, right) = pair;
        let between = |at: i64| gap.after.at < at && at <= gap.before.at;
        let mut causes = Vec::new();
        if gap.becomes.is_none()
            && self.keycloak.unnamed.get(&user).is_some_and(|times| times.iter().any(|at| between(*at)))
        {
            causes.push(Cause::UnnamedRemoval);
        }
        if gap.becomes.is_none() && self.keycloak.group_ended(right).is_some_and(between) {
            causes.push(Cause::GroupDeleted);
        }
        if gap.becomes.is_some() && self.keycloak.born(user).is_some_and(|born| between(born.at)) {
            causes.push(Cause::NewUser);
        }
        causes.extend([Cause::LostDelivery, Cause::Federation, Cause::BehindTheApi]);
        causes
    }
}

fn gaps<V: Copy + PartialEq>(book: &Book<V>, of: Id) -> &[Missing<V>] {
    book.get(of).map_or(&[], |ledger| ledger.gaps())
}

fn row<V: Copy + PartialEq>(
    whose: &Whose<'_>,
    (kind, right): (RightKind, &str),
    gap: &Missing<V>,
    causes: Vec<Cause>,
) -> (Key, Row) {
    let missing = match (gap.becomes, kind) {
        (_, RightKind::Enabled | RightKind::Name | RightKind::Place) => Missed::Change,
        (Some(_), _) => Missed::Grant,
        (None, _) => Missed::Removal,
    };
    let (person, holder, of) = match whose {
        Whose::Person(person, account) => (Some((*person).clone()), String::new(), account.0.clone()),
        Whose::Holder(holder) => (None, (*holder).to_owned(), (*holder).to_owned()),
    };
    let key = Key::Gap(of, kind, right.to_owned(), gap.after.event);
    let (after, before) = (gap.after.at, gap.before.at);
    let evidence = (gap.after.event, gap.before.event);
    let right = right.to_owned();
    (key, Row::Gap(GapRow { person, holder, kind, right, missing, after, before, evidence, causes }))
}
