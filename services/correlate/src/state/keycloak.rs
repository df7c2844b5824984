//! Keycloak's side of the world: users, groups and their tree, who is in which group, roles and what contains what.
//!
//! Groups, roles and composites are kept once and by reference: deleting or moving a group changes the rights of everybody below
//! it without a fact per person.

use super::{
    book::{Book, Relation},
    federated::Federated,
    ledger::{Ledger, Mark, Rules, Segment},
};
use crate::{
    checkpoint::{kept_enum, kept_struct},
    facts::List,
    moment::{Millis, Moment},
    names::{Id, Sym},
};
use hashbrown::{HashMap, HashSet};
use std::collections::{BTreeMap, BTreeSet};

/// Deepest nesting of groups or roles that is followed; Keycloak's own trees are a few levels deep, and a cycle ends here.
const MAX_DEPTH: usize = 64;
/// Most roles that one answer expands into.
const MAX_ROLES: usize = 4_096;

/// Everything known of all Keycloaks of the tenant.
pub(crate) struct Keycloak {
    /// Users that exist.
    pub users: Book<()>,
    /// Users that may sign in.
    pub enabled: Book<bool>,
    pub usernames: Book<Sym>,
    pub emails: Book<Sym>,
    /// User in group, directly.
    pub members: Relation,
    /// Groups that exist.
    pub groups: Book<()>,
    /// Name or path of a group, as said.
    pub called: Book<Sym>,
    /// When a group was seen under a name in passing, by name: the first time and the last.
    pub(super) seen_called: HashMap<Id, BTreeMap<Sym, (Moment, Moment)>>,
    /// A group's parent; `Is(None)`: at the top.
    pub parents: Book<Option<Id>>,
    pub user_roles: Relation,
    pub group_roles: Relation,
    /// Outer role contains inner role.
    pub composites: Relation,
    /// Realm gives this group to new users.
    pub defaults: Relation,
    children: HashMap<Id, BTreeSet<Id>>,
    /// When a group was first seen under a path: for memberships that name only a path.
    pub(super) paths: HashMap<Id, BTreeMap<Id, Moment>>,
    /// Memberships that name a path and no id: who, by which event.
    pub by_path_only: HashMap<Id, BTreeMap<Moment, ByPath>>,
    /// The group that such a membership went to: by event and path.
    pub settled: HashMap<Moment, BTreeMap<Id, Id>>,
    /// Roles that exist.
    pub roles: Book<()>,
    /// Roles that were told or read under a name, and since when.
    pub roles_named: HashMap<Id, BTreeMap<Id, Moment>>,
    /// Ends of roles that are told by name.
    pub role_ends: HashMap<Id, BTreeSet<Moment>>,
    /// The role that every user of a realm gets.
    pub default_roles: HashMap<Sym, Id>,
    /// What users got when they were created, and no event says so.
    pub born_with: HashMap<Id, (Moment, BTreeSet<Gift>)>,
    /// Composites that are told by the outer role's name: by that name, event and inner role.
    pub composites_named: HashMap<Id, BTreeMap<(Moment, Id), NamedComposite>>,
    /// Holders from whom an unnamed role was taken, and when.
    pub unnamed: HashMap<Id, BTreeSet<Millis>>,
    /// Logins at identity providers.
    pub federated: Federated,
}

/// What a new user gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Gift {
    Group(Id),
    Role(Id),
}

/// A composite that is told by name: what is said, the realm, and the role that it went to.
pub(crate) type NamedComposite = (Mark<()>, Sym, Option<Id>);

/// A membership that names a path: (user, event, realm).
pub(crate) type ByPath = (Id, Mark<()>, Sym);

/// How a person is in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InGroup {
    pub group: Id,
    /// The membership itself.
    pub segment: Segment<()>,
}

impl Keycloak {
    pub(crate) fn new(skew: Millis) -> Self {
        let repeats = Rules::listed(skew);
        let changes_only = Rules { only: Some(()), ..repeats };
        let exists = Rules { unheard_is_none: false, ..changes_only };
        Self {
            users: Book::new(List::Users, exists),
            enabled: Book::new(List::Users, Rules::said(skew)),
            usernames: Book::new(List::Users, Rules::said(skew)),
            emails: Book::new(List::Users, Rules::said(skew)),
            members: Relation::new(List::Members, changes_only),
            groups: Book::new(List::Groups, exists),
            called: Book::new(List::Groups, Rules { in_passing: true, ..Rules::said(skew) }),
            seen_called: HashMap::new(),
            parents: Book::new(List::Groups, Rules::said(skew)),
            user_roles: Relation::new(List::UserRoles, repeats),
            group_roles: Relation::new(List::GroupRoles, repeats),
            composites: Relation::new(List::Composites, repeats),
            defaults: Relation::new(List::DefaultGroups, repeats),
            by_path_only: HashMap::new(),
            settled: HashMap::new(),
            composites_named: HashMap::new(),
            roles: Book::new(List::Roles, exists),
            roles_named: HashMap::new(),
            role_ends: HashMap::new(),
            default_roles: HashMap::new(),
            born_with: HashMap::new(),
            children: HashMap::new(),
            paths: HashMap::new(),
            unnamed: HashMap::new(),
            federated: Federated::default(),
        }
    }

    /// Remembers that a group was seen below another.
    pub(crate) fn child(&mut self, parent: Id, group: Id) {
        self.children.entry(parent).or_default().insert(group);
    }

    /// Whether the user exists and may sign in.
    pub(crate) fn active(&self, user: Id, t: Millis) -> bool {
        exists(&self.users, user, t) && self.enabled.value(user, t).unwrap_or(true)
    }

    /// Since when a user may not sign in, or does not exist; `None` within: as far back as is known. Nothing if they may.
    pub(crate) fn closed(&self, user: Id, t: Millis) -> Option<Option<Millis>> {
        if self.active(user, t) {
            return None;
        }
        let users = self.users.get(user).into_iter().flat_map(|ledger| ledger.changes(t));
        let enabled = self.enabled.get(user).into_iter().flat_map(|ledger| ledger.changes(t));
        let mut changes: Vec<Millis> = users.chain(enabled).collect();
        changes.sort_unstable();
        Some(changes.into_iter().rev().find(|change| self.active(user, change.saturating_sub(1))))
    }

    /// Whether an event is missing by which the account may have been closed by `t`, or be open again.
    pub(crate) fn may_be_otherwise(&self, user: Id, t: Millis) -> bool {
        let ended = self.users.at(user, t).is_some_and(|segment| segment.gap && segment.says.is_some());
        ended || self.enabled.at(user, t).is_some_and(|segment| segment.gap)
    }

    /// Whether the user exists.
    pub(crate) fn exists(&self, user: Id, t: Millis) -> bool {
        exists(&self.users, user, t)
    }

    /// The groups that the user is in directly. A group that was deleted, or lies below one that was, has no members.
    pub(crate) fn groups_of(&self, user: Id, t: Millis) -> Vec<InGroup> {
        let living = self.members.of(user, t).filter(|(group, _)| self.group_lives(*group, t));
        living.map(|(group, segment)| self.in_group(group, segment, t)).collect()
    }

    /// The groups that the user may have been in: an event is missing, and what comes after it says that they were.
    pub(crate) fn maybe_groups_of(&self, user: Id, t: Millis) -> Vec<InGroup> {
        let open = |(group, ledger): (Id, &Ledger<()>)| {
            let segment = ledger.at(t)?;
            (segment.says.is_none() && segment.gap).then_some((group, segment))
        };
        let living = self.members.ever(user).filter_map(open).filter(|(group, _)| self.group_lives(*group, t));
        living.map(|(group, segment)| self.in_group(group, segment, t)).collect()
    }

    /// A membership also rests on whether the group, and what is above it, exists.
    fn in_group(&self, group: Id, segment: Segment<()>, t: Millis) -> InGroup {
        let open = |group: &Id| self.groups.at(*group, t).is_some_and(|segment| segment.gap);
        let gap = segment.gap || self.chain(group, t).iter().any(open);
        InGroup { group, segment: Segment { gap, ..segment } }
    }

    /// When a user was created, if that is known.
    pub(crate) fn born(&self, user: Id) -> Option<Moment> {
        let mut pairs = self.users.get(user)?.pairs();
        pairs.find(|(before, after)| before.says.is_none() && after.says.is_some())?.1.from
    }

    /// Whether what a user holds since `since` was given by the realm when they were created.
    pub(crate) fn is_gift(&self, user: Id, held: Id, since: Option<Moment>) -> bool {
        let Some((birth, gifts)) = self.born_with.get(&user) else { return false };
        since == Some(*birth) && (gifts.contains(&Gift::Group(held)) || gifts.contains(&Gift::Role(held)))
    }

    /// A group and everything above it, nearest first.
    pub(crate) fn chain(&self, group: Id, t: Millis) -> Vec<Id> {
        let mut chain = vec![group];
        while let Some(Some(parent)) = self.parents.value(chain[chain.len() - 1], t) {
            if chain.contains(&parent) || chain.len() == MAX_DEPTH {
                break;
            }
            chain.push(parent);
        }
        chain
    }

    /// Whether a group exists, with everything above it.
    pub(crate) fn group_lives(&self, group: Id, t: Millis) -> bool {
        self.chain(group, t).iter().all(|group| exists(&self.groups, *group, t))
    }

    /// When a user ended, if they did.
    pub(crate) fn user_ended(&self, user: Id) -> Option<Millis> {
        ends(&self.users, user).next()
    }

    /// When a group ended, by itself or with one above it, if it did.
    pub(crate) fn group_ended(&self, group: Id) -> Option<Millis> {
        let lives = |t| self.group_lives(group, t);
        last_end(self.above(group).into_iter().flat_map(|above| ends(&self.groups, above)), lives)
    }

    /// When a group ended because one above it did.
    pub(crate) fn ended_above(&self, group: Id) -> Option<Millis> {
        let above = self.above(group).into_iter().filter(|above| *above != group);
        let lives = |t| self.chain(group, t).iter().skip(1).all(|above| exists(&self.groups, *above, t));
        last_end(above.flat_map(|above| ends(&self.groups, above)), lives)
    }

    /// When a role ended.
    pub(crate) fn role_ended(&self, role: Id) -> Option<Millis> {
        ends(&self.roles, role).next()
    }

    /// Whether a role exists: with it end its mappings, and no event says so.
    pub(crate) fn role_lives(&self, role: Id, t: Millis) -> bool {
        exists(&self.roles, role, t)
    }

    /// The role that a name meant at `t`: the last that had come to it by then and had not ended, else the next that did.
    pub(crate) fn role_by_name(&self, named: Id, t: Moment) -> Option<Id> {
        let roles = self.roles_named.get(&named)?;
        let by_time = |(role, since): (&Id, &Moment)| (*since, *role);
        let ended = |role: Id| self.role_ended(role).is_some_and(|end| end <= t.at);
        let then = roles.iter().filter(|(role, since)| **since <= t && !ended(**role)).map(by_time).max();
        let next = || roles.iter().filter(|(_, since)| **since > t).map(by_time).min();
        then.or_else(next).map(|(_, role)| role)
    }

    /// Everything that is or ever was above a group, and the group itself.
    pub(crate) fn above(&self, group: Id) -> BTreeSet<Id> {
        let mut found = BTreeSet::from([group]);
        self.climb(&mut found);
        found
    }

    /// Adds everything that is or ever was above what is in `found`.
    fn climb(&self, found: &mut BTreeSet<Id>) {
        let mut open: Vec<Id> = found.iter().copied().collect();
        while let Some(group) = open.pop() {
            let parents = self.parents.get(group).into_iter().flat_map(|ledger| ledger.segments());
            for parent in parents.filter_map(|segment| segment.says.flatten()) {
                if found.insert(parent) {
                    open.push(parent);
                }
            }
        }
    }

    /// Everything that is or ever was below a group, and the group itself.
    pub(crate) fn below(&self, group: Id) -> BTreeSet<Id> {
        let mut found = BTreeSet::from([group]);
        let mut open = vec![group];
        while let Some(group) = open.pop() {
            for child in self.children.get(&group).into_iter().flatten() {
                if found.insert(*child) {
                    open.push(*child);
                }
            }
        }
        found
    }

    /// Everything that is or ever was above the groups that the user is or ever was in, and these.
    pub(crate) fn ever_near(&self, user: Id) -> BTreeSet<Id> {
        let mut found: BTreeSet<Id> = self.members.ever(user).map(|(group, _)| group).collect();
        if let Some(realm) = self.users.within(user) {
            found.extend(self.defaults.ever(Id { source: user.source, name: realm }).map(|(group, _)| group));
        }
        self.climb(&mut found);
        found
    }

    /// Who holds roles, of a list that is read: people, groups, or composites.
    pub(crate) fn role_holders(&self, list: List) -> &Relation {
        match list {
            List::GroupRoles => &self.group_roles,
            List::Composites => &self.composites,
            _ => &self.user_roles,
        }
    }

    /// A role and everything that it contains; cycles end where they close.
    pub(crate) fn contained(&self, role: Id, t: Millis) -> Vec<Id> {
        let mut found = Vec::from_iter(self.role_lives(role, t).then_some(role));
        let mut known: HashSet<Id> = found.iter().copied().collect();
        let mut next = 0;
        while next < found.len() && found.len() < MAX_ROLES {
            for (inner, _) in self.composites.of(found[next], t) {
                if known.insert(inner) && self.role_lives(inner, t) {
                    found.push(inner);
                }
            }
            next += 1;
        }
        found
    }
}

/// What was created, or never spoken of, exists until it ends; what was created unseen may have existed.
fn exists(book: &Book<()>, of: Id, t: Millis) -> bool {
    book.at(of, t).is_none_or(|segment| segment.from.is_none() || segment.says.is_some() || segment.gap)
}

/// The end after which something never lives again. What lives again did not end: it was taken for ended, while its move away from
/// what had ended was not known.
fn last_end(ends: impl Iterator<Item = Millis>, lives: impl Fn(Millis) -> bool) -> Option<Millis> {
    if lives(Millis::MAX) {
        return None;
    }
    let mut ends: Vec<Millis> = ends.filter(|end| !lives(*end)).collect();
    ends.sort_unstable();
    let again = ends.iter().rposition(|end| lives(end - 1)).unwrap_or(0);
    ends.get(again).copied()
}

/// When a thing ended.
fn ends(book: &Book<()>, of: Id) -> impl Iterator<Item = Millis> {
    let pairs = book.get(of).into_iter().flat_map(|ledger| ledger.pairs());
    let ending = pairs.filter(|(before, after)| before.says.is_some() && after.says.is_none());
    ending.filter_map(|(_, after)| after.from).map(|from| from.at)
}

kept_enum!(Gift { 0 Group { 0: group }, 1 Role { 0: role } });
kept_struct!(Keycloak {
    users,
    enabled,
    usernames,
    emails,
    members,
    groups,
    called,
    seen_called,
    parents,
    user_roles,
    group_roles,
    composites,
    defaults,
    children,
    paths,
    by_path_only,
    settled,
    roles,
    roles_named,
    role_ends,
    default_roles,
    born_with,
    composites_named,
    unnamed,
    federated,
});
