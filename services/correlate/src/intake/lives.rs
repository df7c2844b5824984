//! What begins and ends with a person, a group or a role, and no event says so: default groups and the default role of a new
//! user; memberships and mappings of what was deleted.

use super::Place;
use crate::{
    dirt::Dirt,
    facts::RoleName,
    known::Known,
    moment::{Millis, Moment},
    names::{Id, Sym},
    state::{book::Dirty, keycloak::Gift, ledger::Mark},
};
use std::collections::BTreeSet;

impl Known {
    /// A user came into being or ended, as far as is known by now.
    pub(crate) fn user_may_have_changed(&mut self, user: Id, dirt: &mut Dirt) {
        let end = self.keycloak.user_ended(user);
        let mut found = self.keycloak.members.ends(user, end, &self.reads);
        found.extend(self.keycloak.user_roles.ends(user, end, &self.reads));
        for found in found {
            dirt.user(found.of, found.from);
        }
        self.reborn(user, dirt);
    }

    /// What a user was given at birth may be another by what is known now.
    fn reborn(&mut self, user: Id, dirt: &mut Dirt) {
        if self.gifts(user).as_ref() != self.keycloak.born_with.get(&user) {
            self.unborn(user, dirt);
            self.born(user, dirt);
        }
    }

    /// When a user was created, and what the realm gave to new users then.
    fn gifts(&self, user: Id) -> Option<(Moment, BTreeSet<Gift>)> {
        let keycloak = &self.keycloak;
        let (birth, within) = (keycloak.born(user)?, keycloak.users.within(user)?);
        let named = keycloak.settled.get(&birth);
        let defaults = keycloak.defaults.of(Id { source: user.source, name: within }, birth.at);
        let unnamed = defaults.map(|(group, _)| group).filter(|group| {
            // What the new user's representation names is told by that.
            keycloak.group_lives(*group, birth.at)
                && !named.is_some_and(|named| named.values().any(|known| known == group))
        });
        let mut gifts: BTreeSet<Gift> = unnamed.map(Gift::Group).collect();
        gifts.extend(keycloak.default_roles.get(&within).copied().map(Gift::Role));
        Some((birth, gifts))
    }

    /// Gives a user what the realm gave to new users when this one was created.
    pub(super) fn born(&mut self, user: Id, dirt: &mut Dirt) {
        let (Some((birth, gifts)), Some(within)) = (self.gifts(user), self.keycloak.users.within(user)) else { return };
        let mark = Mark { moment: birth, says: Some(()), by: None };
        for gift in &gifts {
            let found = match *gift {
                Gift::Group(group) => {
                    let before = self.heard(user, Some(group));
                    let found = self.keycloak.members.mark((user, group, within), mark, &self.reads);
                    self.hears((user, Some(group)), before, dirt);
                    found
                }
                Gift::Role(role) => self.keycloak.user_roles.mark((user, role, within), mark, &self.reads),
            };
            dirt.users(found);
        }
        self.keycloak.born_with.insert(user, (birth, gifts));
        dirt.user_touched(user);
    }

    /// Takes back what [`Known::born`] gave.
    pub(super) fn unborn(&mut self, user: Id, dirt: &mut Dirt) {
        let Some((birth, gifts)) = self.keycloak.born_with.remove(&user) else { return };
        let Some(within) = self.keycloak.users.within(user) else { return };
        for gift in gifts {
            let found = match gift {
                Gift::Group(group) => {
                    let before = self.heard(user, Some(group));
                    let found = self.keycloak.members.unmark((user, group, within), birth, &self.reads);
                    self.hears((user, Some(group)), before, dirt);
                    found
                }
                Gift::Role(role) => self.keycloak.user_roles.unmark((user, role, within), birth, &self.reads),
            };
            dirt.users(found);
        }
    }

    /// What new users of a realm get at once has changed.
    pub(crate) fn realm_changed(&mut self, realm: Sym, from: Millis, dirt: &mut Dirt) {
        let of_realm = |user: &Id| self.keycloak.users.within(*user) == Some(realm);
        let users: Vec<Id> = self.keycloak.users.all().filter(of_realm).collect();
        for user in users {
            dirt.decisions_of(user, from);
            self.reborn(user, dirt);
        }
    }

    /// The role that every user of a realm gets. A realm has one for good.
    pub(crate) fn default_role(&mut self, realm: Sym, role: Id, dirt: &mut Dirt) {
        let known = self.keycloak.default_roles.get(&realm).copied();
        // Were there two, the order of arrival must not choose.
        let first = known.is_none_or(|known| *self.names.name(role) < *self.names.name(known));
        if first {
            self.keycloak.default_roles.insert(realm, role);
            known.into_iter().chain([role]).for_each(|role| dirt.user_touched(role));
            self.realm_changed(realm, Millis::MAX, dirt);
        }
    }

    pub(super) fn group_lives(&mut self, place: &Place, said: (&str, bool), dirt: &mut Dirt) {
        let (group, lives) = said;
        let group = self.id(place, group);
        let found = self.keycloak.groups.mark((group, place.within), place.mark(lives.then_some(())), &self.reads);
        self.group_changed(place, found.map(|found| place.no_earlier(found)), dirt);
    }

    /// Whoever is or was in the group, or below it, is touched: by reference, without a fact each.
    pub(crate) fn group_changed(&mut self, place: &Place, found: impl IntoIterator<Item = Dirty>, dirt: &mut Dirt) {
        for found in found {
            self.world_changed(place.source, place.moment.at);
            let below = self.keycloak.below(found.of);
            self.groups_may_have_ended(&below, dirt);
            for group in below {
                dirt.user_touched(group);
                for user in self.keycloak.members.holders(group) {
                    dirt.decisions_of(user, found.from);
                    // That the group had ended is one of a gap's causes.
                    if self.keycloak.members.get(user, group).is_some_and(|ledger| !ledger.gaps().is_empty()) {
                        dirt.user_touched(user);
                    }
                }
                let end = self.keycloak.group_ended(group);
                drop(self.keycloak.group_roles.ends(group, end, &self.reads));
                let realms: BTreeSet<Id> = self.keycloak.defaults.holders(group).collect();
                drop(self.keycloak.defaults.ends(group, end, &self.reads));
                for realm in realms {
                    dirt.user_touched(realm);
                    self.realm_changed(realm.name, found.from, dirt);
                }
                for found in self.keycloak.members.ends(group, end, &self.reads) {
                    dirt.user(found.of, found.from);
                }
            }
        }
    }

    /// A group that goes with one above it goes without an event: later reads do not speak of it.
    fn groups_may_have_ended(&mut self, groups: &BTreeSet<Id>, dirt: &mut Dirt) {
        // From above to below, one level each time.
        let mut more = true;
        while more {
            more = false;
            for group in groups {
                let end = self.keycloak.ended_above(*group);
                if let Some(found) = self.keycloak.groups.ends(*group, end, &self.reads) {
                    more = true;
                    for user in self.keycloak.members.holders(*group) {
                        dirt.decisions_of(user, found.from);
                    }
                }
            }
        }
    }

    pub(super) fn role_deleted(&mut self, place: &Place, role: RoleName<'_>, dirt: &mut Dirt) {
        if !role.id.is_empty() {
            let role = self.id(place, role.id);
            self.role_ends((role, place.within), place.moment, dirt);
            return;
        }
        let named = self.role_named(place, &format!("{}:{}", role.client, role.name));
        self.keycloak.role_ends.entry(named).or_default().insert(place.moment);
        let of_name = self.keycloak.roles_named.get(&named).into_iter().flatten();
        let ended: Vec<Id> = of_name.filter(|(_, since)| **since < place.moment).map(|(role, _)| *role).collect();
        ended.into_iter().for_each(|role| self.role_ends((role, place.within), place.moment, dirt));
    }

    /// Notes that a role was told or read (by a read that began at `moment`) under a name: `client:name`.
    pub(crate) fn role_called(&mut self, place: &Place, role: (Id, &str), dirt: &mut Dirt) {
        let (role, name) = role;
        let named = self.role_named(place, name);
        let unknown = Moment::ceiling(Millis::MAX);
        let since = self.keycloak.roles_named.entry(named).or_default().entry(role).or_insert(unknown);
        if place.moment < *since {
            *since = place.moment;
            let ends = self.keycloak.role_ends.get(&named).into_iter().flatten();
            let behind: Vec<Moment> = ends.filter(|end| place.moment < **end).copied().collect();
            behind.into_iter().for_each(|end| self.role_ends((role, place.within), end, dirt));
            self.settle_composites(named, dirt);
        }
    }

    /// A role's name, within its realm and client.
    pub(super) fn role_named(&mut self, place: &Place, name: &str) -> Id {
        let realm = self.names.text(place.within).to_owned();
        self.id(place, &format!("role:{realm}:{name}"))
    }

    /// An end that is told by name ends the roles that were told or read under that name before.
    fn role_ends(&mut self, role: (Id, Sym), moment: Moment, dirt: &mut Dirt) {
        if self.keycloak.roles.mark(role, Mark { moment, says: None, by: None }, &self.reads).is_some() {
            self.role_may_have_ended(role.0, dirt);
        }
    }

    /// Reads after a role's end do not speak of who held it.
    pub(crate) fn role_may_have_ended(&mut self, role: Id, dirt: &mut Dirt) {
        let end = self.keycloak.role_ended(role);
        for found in self.keycloak.user_roles.ends(role, end, &self.reads) {
            dirt.user_touched(found.of);
        }
        for found in self.keycloak.group_roles.ends(role, end, &self.reads) {
            dirt.user_touched(found.of);
        }
        for found in self.keycloak.composites.ends(role, end, &self.reads) {
            dirt.user_touched(found.of);
        }
        dirt.user_touched(role);
        let keycloak = &self.keycloak;
        let of_role = |named: &Id| keycloak.roles_named.get(named).is_some_and(|roles| roles.contains_key(&role));
        let names: Vec<Id> = keycloak.composites_named.keys().copied().filter(of_role).collect();
        names.into_iter().for_each(|named| self.settle_composites(named, dirt));
    }
}
