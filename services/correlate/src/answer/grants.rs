//! Rights: what a person holds directly, as intervals; and everything that follows from it as of an instant.

use crate::{
    facts::List,
    known::Known,
    moment::{Millis, Moment},
    names::Id,
    rows::{GrantRow, Key, RightKind, Row},
    state::{
        ledger::{Ledger, Segment},
        reads::Scope,
    },
};
use serde::Serialize;
use std::collections::{BTreeSet, HashSet};
use uuid::Uuid;

/// A right that is in force at an instant, and the path by which.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Effective {
    /// Kind.
    pub kind: RightKind,
    /// Keycloak id, or Backstage role.
    pub right: String,
    /// From the person to the right, both ends left out: ids of groups and roles, references of Backstage groups.
    pub path: Vec<String>,
    /// Since when the person holds what the path begins with.
    pub since: Option<Millis>,
    /// An event is missing that this rests on, or a removal was not named.
    pub unsure: bool,
    /// The realm gave to a new user what the path begins with.
    pub by_default: bool,
}

/// How what a path begins with was given.
#[derive(Clone, Copy)]
struct Begun {
    since: Option<Millis>,
    by_default: bool,
}

impl Known {
    /// Rows of everything that a user holds directly.
    pub(crate) fn grant_rows(&self, user: Id) -> Vec<(Key, Row)> {
        let mut rows = Vec::new();
        for (group, ledger) in self.keycloak.members.ever(user) {
            self.intervals((user, RightKind::Group, group), ledger, &mut rows);
        }
        for (role, ledger) in self.keycloak.user_roles.ever(user) {
            self.intervals((user, RightKind::Role, role), ledger, &mut rows);
        }
        rows
    }

    fn intervals(&self, whose: (Id, RightKind, Id), ledger: &Ledger<()>, rows: &mut Vec<(Key, Row)>) {
        let (user, kind, held) = whose;
        let right = &*self.names.name(held);
        let (person, account) = (self.key(user), self.account_key(user));
        let unnamed = kind == RightKind::Role && self.may_have_ended((user, List::UserRoles), ledger);
        let segments = ledger.segments();
        let mut index = 0;
        while index < segments.len() {
            let first = &segments[index];
            if first.says.is_none() {
                index += 1;
                continue;
            }
            // Neighbours that only differ in whether a gap follows are one interval.
            let mut last = index;
            while segments.get(last + 1).is_some_and(|next| next.says == first.says && next.since == first.since) {
                last += 1;
            }
            let end = segments.get(last + 1);
            let begun = first.since.map(|since| since.event);
            let gap =
                segments[index..=last].iter().any(|segment| segment.gap) || (begun.is_none() && first.from.is_some());
            let text = |sym| self.owned(sym);
            let row = GrantRow {
                person: person.clone(),
                account: self.merged_account(user),
                source: self.owned(user.source),
                kind,
                right: right.to_owned(),
                from: first.since.or(first.from).map(|from| from.at),
                to: end.and_then(|end| end.from).map(|to| to.at),
                by: (first.by.map(text), end.and_then(|end| end.by).map(text)),
                evidence: (begun, end.and_then(|end| end.from).map(|to| to.event)),
                rests_on_gap: gap || (end.is_none() && unnamed),
                by_default: self.keycloak.is_gift(user, held, first.since),
            };
            let from = first.from.map_or(Uuid::nil(), |from| from.event);
            rows.push((Key::Grant(account.clone(), kind, right.to_owned(), from), Row::Grant(row)));
            index = last + 1;
        }
    }

    /// Everything that a user may do at `t` as Keycloak has it: groups, roles by every path, and Backstage roles.
    pub(crate) fn effective(&self, user: Id, t: Millis) -> Vec<Effective> {
        let mut found: BTreeSet<Effective> = BTreeSet::new();
        if !self.keycloak.exists(user, t) {
            return Vec::new();
        }
        let name = |id: Id| self.names.name(id).to_owned();
        for (role, segment) in self.keycloak.user_roles.of(user, t) {
            let unsure = segment.gap || self.unnamed_since(user, (List::UserRoles, &segment), t);
            let begun = Begun {
                since: segment.since.map(|since| since.at),
                by_default: self.keycloak.is_gift(user, role, segment.since),
            };
            self.roles(role, (Vec::new(), begun, unsure), t, &mut found);
        }
        for member in self.keycloak.groups_of(user, t) {
            let since = member.segment.since.map(|since| since.at);
            let by_default = self.keycloak.is_gift(user, member.group, member.segment.since);
            let begun = Begun { since, by_default };
            for above in self.keycloak.chain(member.group, t) {
                let path = if above == member.group { Vec::new() } else { vec![name(member.group)] };
                let unsure = member.segment.gap;
                found.insert(Effective {
                    kind: RightKind::Group,
                    right: name(above),
                    path: path.clone(),
                    since,
                    unsure,
                    by_default,
                });
                let mut path = path;
                path.push(name(above));
                for (role, segment) in self.keycloak.group_roles.of(above, t) {
                    let unsure = unsure || segment.gap || self.unnamed_since(above, (List::GroupRoles, &segment), t);
                    self.roles(role, (path.clone(), begun, unsure), t, &mut found);
                }
                for join in &self.config.joins {
                    let Some(backstage) = self.names.known(&join.backstage) else { continue };
                    for reference in self.references_of_group(above, backstage, t) {
                        for (role, held) in self.rbac.members.of(reference, t) {
                            let mut path = path.clone();
                            path.push(name(reference));
                            let (kind, right) = (RightKind::BackstageRole, name(role));
                            let unsure = unsure || held.gap;
                            found.insert(Effective { kind, right, path, since, unsure, by_default });
                        }
                    }
                }
            }
        }
        for reference in self.references_of(user) {
            if self.who(reference, t).user != Some(user) {
                continue;
            }
            for (role, held) in self.rbac.members.of(reference, t) {
                let (kind, right, since) = (RightKind::BackstageRole, name(role), held.since.map(|since| since.at));
                let (path, unsure, by_default) = (Vec::new(), held.gap, false);
                found.insert(Effective { kind, right, path, since, unsure, by_default });
            }
        }
        found.into_iter().collect()
    }

    /// A role and all that it contains.
    fn roles(&self, role: Id, told: (Vec<String>, Begun, bool), t: Millis, found: &mut BTreeSet<Effective>) {
        let (path, Begun { since, by_default }, unsure) = told;
        let contained = self.keycloak.contained(role, t);
        let doubtful = contained.iter().flat_map(|outer| self.maybe_taken_out(*outer, t));
        let left: HashSet<Id> = doubtful.flat_map(|inner| self.keycloak.contained(inner, t)).collect();
        for inner in contained {
            let mut path = path.clone();
            if inner != role {
                path.push(self.names.name(role).to_owned());
            }
            let right = self.names.name(inner).to_owned();
            let unsure =
                unsure || left.contains(&inner) || self.keycloak.roles.at(inner, t).is_some_and(|segment| segment.gap);
            found.insert(Effective { kind: RightKind::Role, right, path, since, unsure, by_default });
        }
    }

    /// What is held to this day, by all that is told, may have been taken by a removal that does not name it.
    pub(crate) fn may_have_ended(&self, (holder, list): (Id, List), ledger: &Ledger<()>) -> bool {
        let last = ledger.segments().last().copied();
        last.is_some_and(|last| last.says.is_some() && self.unnamed_since(holder, (list, &last), Millis::MAX))
    }

    /// The roles that a composite has at `t` and that may have been taken out of it by a removal that does not name them.
    fn maybe_taken_out(&self, outer: Id, t: Millis) -> Vec<Id> {
        if !self.keycloak.unnamed.contains_key(&outer) {
            return Vec::new();
        }
        let held = self.keycloak.composites.of(outer, t);
        held.filter(|(_, held)| self.unnamed_since(outer, (List::Composites, held), t))
            .map(|(inner, _)| inner)
            .collect()
    }

    /// A role was taken from this holder (a person, a group, a composite) after `segment` began, and it is not said which.
    /// A later read tells again what the holder has.
    fn unnamed_since(&self, holder: Id, held: (List, &Segment<()>), t: Millis) -> bool {
        let (list, segment) = held;
        let read = self
            .keycloak
            .role_holders(list)
            .within(holder)
            .and_then(|within| self.reads.last(Scope { list, within }, t));
        let told = segment.from.map_or(Millis::MIN, |from| from.at);
        let since = read.map_or(told, |read| told.max(read.saturating_sub(self.config.skew)));
        self.keycloak.unnamed.get(&holder).is_some_and(|times| times.iter().any(|at| since < *at && *at <= t))
    }
}

/// The values of a history with the evidence of their begin and of their end.
pub(super) fn spans<V: Copy + PartialEq>(ledger: &Ledger<V>) -> Vec<(Option<Moment>, Option<Moment>, V)> {
    let mut found: Vec<(Option<Moment>, Option<Moment>, V)> = Vec::new();
    let mut open: Option<V> = None;
    for segment in ledger.segments() {
        let value = segment.says;
        if value == open {
            continue;
        }
        if open.is_some()
            && let Some(last) = found.last_mut()
        {
            last.1 = segment.from;
        }
        if let Some(value) = value {
            found.push((segment.from, None, value));
        }
        open = value;
    }
    found
}
