//! People, groups, roles and policies: each fact is one event of one history.

use super::Place;
use crate::{
    dirt::Dirt,
    facts::{EndKind, Holder, Parent, RoleName},
    known::Known,
    moment::{Millis, Moment},
    names::{Id, Sym},
    state::{book::Dirty, keycloak::ByPath},
};

impl Known {
    pub(super) fn named(&mut self, place: &Place, said: (&str, &str, &str), dirt: &mut Dirt) {
        let (user, username, email) = said;
        let user = self.id(place, user);
        let at = (user, place.within);
        self.names_reach_back(user, (place.moment, username, email));
        let mut changed = false;
        if !username.is_empty() {
            self.bears(user, username);
            let name = self.names.sym(username);
            let found = self.keycloak.usernames.mark(at, place.mark(Some(name)), &self.reads);
            if found.is_some() {
                self.meant_by_name(user, dirt);
            }
            changed |= found.is_some();
        }
        if !email.is_empty() {
            let email = self.names.sym(email);
            changed |= self.keycloak.emails.mark(at, place.mark(Some(email)), &self.reads).is_some();
        }
        // Each login says the name again: most of the time nothing is new.
        if changed {
            dirt.user_touched(user);
        }
    }

    /// One more bearer of a name, or one less, from when on we do not know: where a name can tie somebody, nobody may be meant by it any
    /// more, or somebody else.
    pub(crate) fn meant_by_name(&self, user: Id, dirt: &mut Dirt) {
        if !self.config.joins.iter().any(|join| join.by_name) {
            return;
        }
        dirt.user(user, Millis::MIN);
        let names = self.keycloak.usernames.get(user).into_iter().flat_map(|ledger| ledger.segments());
        for name in names.filter_map(|segment| segment.says) {
            let name = format!("entity:{}", crate::answer::person::entity_name(&self.names.text(name)));
            let name = self.names.known(&name).map(|name| Id { source: user.source, name });
            let bearers = name.and_then(|name| self.bearers.get(&name)).into_iter().flatten();
            bearers.for_each(|bearer| dirt.sign_ins_of(*bearer, Millis::MIN));
        }
    }

    /// Notes that a user bears a name, where a name can tie somebody.
    pub(crate) fn bears(&mut self, user: Id, username: &str) {
        if !self.config.joins.iter().any(|join| join.by_name) {
            return;
        }
        let name = format!("entity:{}", crate::answer::person::entity_name(username));
        let name = Id { source: user.source, name: self.names.sym(&name) };
        self.bearers.get_or_default(name).insert(user);
    }

    pub(super) fn user_lives(&mut self, place: &Place, said: (&str, bool), dirt: &mut Dirt) {
        let (user, lives) = said;
        let user = self.id(place, user);
        let before = self.heard(user, None);
        let found = self.keycloak.users.mark((user, place.within), place.mark(lives.then_some(())), &self.reads);
        self.hears((user, None), before, dirt);
        if let Some(found) = found {
            dirt.user(user, place.no_earlier(found).from);
            self.meant_by_name(user, dirt);
            self.user_may_have_changed(user, dirt);
        }
        if !lives {
            self.is_too_old(place.moment.at);
            self.sessions.ends.get_or_default(user).insert(place.moment, EndKind::UserDeleted);
            dirt.sessions_of(user, Millis::MIN);
        }
        dirt.user_touched(user);
    }

    pub(super) fn member(&mut self, place: &Place, said: (&str, &str, &str, bool), dirt: &mut Dirt) {
        let (user, group, path, held) = said;
        let user = self.id(place, user);
        let mark = place.mark(held.then_some(()));
        let group = if group.is_empty() {
            let path = self.id(place, path);
            let waiting = (user, mark, place.within);
            self.keycloak.by_path_only.entry(path).or_default().insert(place.moment, waiting);
            self.settle_at_path(path, (place.moment, waiting), dirt);
            return;
        } else {
            self.id(place, group)
        };
        if path.starts_with('/') {
            let called = self.names.sym(last_part(path));
            let said = (place.moment, called);
            let found = self.keycloak.called_in_passing((group, place.within), said, &self.reads);
            self.group_changed(place, found, dirt);
            let path = self.id(place, path);
            if self.keycloak.path(path, group, place.moment) {
                self.settle_path(path, dirt);
            }
        }
        let before = self.heard(user, Some(group));
        let found = self.keycloak.members.mark((user, group, place.within), mark, &self.reads);
        dirt.users(found);
        self.hears((user, Some(group)), before, dirt);
    }

    /// Memberships that name only a path go to the group that bore it then, as far as that is known by now.
    pub(crate) fn settle_path(&mut self, path: Id, dirt: &mut Dirt) {
        let Some(waiting) = self.keycloak.by_path_only.get(&path).cloned() else { return };
        waiting.into_iter().for_each(|one| self.settle_at_path(path, one, dirt));
    }

    /// One of them: a group of many must not be gone through for each that joins it.
    fn settle_at_path(&mut self, path: Id, (moment, (user, mark, within)): (Moment, ByPath), dirt: &mut Dirt) {
        let group = self.keycloak.by_path(path, moment).unwrap_or(path);
        let settled = self.keycloak.settled.entry(moment).or_default().insert(path, group);
        if settled == Some(group) {
            return;
        }
        self.unborn(user, dirt);
        if let Some(before) = settled {
            let heard = self.heard(user, Some(before));
            dirt.users(self.keycloak.members.unmark((user, before, within), moment, &self.reads));
            self.hears((user, Some(before)), heard, dirt);
        }
        let heard = self.heard(user, Some(group));
        dirt.users(self.keycloak.members.mark((user, group, within), mark, &self.reads));
        self.hears((user, Some(group)), heard, dirt);
        self.born(user, dirt);
        dirt.user_touched(user);
    }

    pub(super) fn role_held(&mut self, place: &Place, said: (Holder<'_>, RoleName<'_>, Option<bool>), dirt: &mut Dirt) {
        let (holder, role, held) = said;
        let role = self.role(place, role, dirt);
        dirt.user_touched(role);
        let (holder, person) = match holder {
            Holder::User(user) => (self.id(place, user), true),
            Holder::Group(group) => (self.id(place, group), false),
        };
        let Some(held) = held else {
            self.keycloak.unnamed.entry(holder).or_default().insert(place.moment.at);
            dirt.user_touched(holder);
            return;
        };
        let mark = place.mark(held.then_some(()));
        let pair = (holder, role, place.within);
        if person {
            self.keycloak.user_roles.mark(pair, mark, &self.reads);
            dirt.user_touched(holder);
        } else {
            self.keycloak.group_roles.mark(pair, mark, &self.reads);
            dirt.user_touched(holder);
        }
    }

    pub(super) fn composite(
        &mut self,
        place: &Place,
        said: (RoleName<'_>, RoleName<'_>, Option<bool>),
        dirt: &mut Dirt,
    ) {
        let (outer, inner, held) = said;
        let told_by_name = outer.id.is_empty();
        let (outer, inner) = (self.role(place, outer, dirt), self.role(place, inner, dirt));
        [outer, inner].into_iter().for_each(|role| dirt.user_touched(role));
        match held {
            Some(held) if told_by_name => {
                let told = self.keycloak.composites_named.entry(outer).or_default();
                told.entry((place.moment, inner)).or_insert((place.mark(held.then_some(())), place.within, None));
                self.settle_composites(outer, dirt);
            }
            Some(held) => {
                self.keycloak.composites.mark(
                    (outer, inner, place.within),
                    place.mark(held.then_some(())),
                    &self.reads,
                );
            }
            None => {
                self.keycloak.unnamed.entry(outer).or_default().insert(place.moment.at);
            }
        }
    }

    /// A role goes by its id; where only a name is told, by that.
    fn role(&mut self, place: &Place, role: RoleName<'_>, dirt: &mut Dirt) -> Id {
        let called = format!("{}:{}", role.client, role.name);
        if role.id.is_empty() {
            return self.role_named(place, &called);
        }
        let role_id = self.id(place, role.id);
        if !role.name.is_empty() {
            self.role_called(place, (role_id, &called), dirt);
        }
        role_id
    }

    /// Composites that are told by a name go to the role that bore it then, as far as that is known by now.
    pub(super) fn settle_composites(&mut self, named: Id, dirt: &mut Dirt) {
        let Some(waiting) = self.keycloak.composites_named.get(&named).cloned() else { return };
        for ((moment, inner), (mark, within, went)) in waiting {
            let outer = self.keycloak.role_by_name(named, moment).unwrap_or(named);
            if went == Some(outer) {
                continue;
            }
            let composites = &mut self.keycloak.composites;
            if let Some(before) = went {
                composites.unmark((before, inner, within), moment, &self.reads);
                dirt.user_touched(before);
            }
            composites.mark((outer, inner, within), mark, &self.reads);
            dirt.user_touched(outer);
            let told = self.keycloak.composites_named.entry(named).or_default();
            told.insert((moment, inner), (mark, within, Some(outer)));
        }
    }

    pub(super) fn group(&mut self, place: &Place, said: (&str, &str, Parent<'_>), dirt: &mut Dirt) {
        let (group, name, parent) = said;
        let group = self.id(place, group);
        let at = (group, place.within);
        let mut found: Vec<Dirty> = Vec::new();
        if !name.is_empty() {
            // A read gives the path, a rename the name alone: the name is what both say.
            let called = self.names.sym(last_part(name));
            found.extend(self.keycloak.called.mark(at, place.mark(Some(called)), &self.reads));
            if name.starts_with('/') {
                let path = self.id(place, name);
                if self.keycloak.path(path, group, place.moment) {
                    self.settle_path(path, dirt);
                }
            }
        }
        let parent = match parent {
            Parent::Unsaid => None,
            Parent::Top => Some(None),
            Parent::Below(parent) => Some(Some(self.id(place, parent))),
        };
        if let Some(parent) = parent {
            if let Some(parent) = parent {
                self.keycloak.child(parent, group);
            }
            found.extend(self.keycloak.parents.mark(at, place.mark(Some(parent)), &self.reads));
        }
        self.group_changed(place, found, dirt);
    }

    pub(super) fn rbac_changed(&mut self, place: &Place, found: Vec<Dirty>, dirt: &mut Dirt) {
        for found in found {
            self.world_changed(place.source, place.moment.at);
            dirt.user_touched(found.of);
            dirt.all(place.source, found.from);
        }
    }

    pub(super) fn policies_known(&mut self, place: &Place, dirt: &mut Dirt) {
        let backstage = Id { source: place.source, name: place.source };
        let found = self.rbac.known.mark((backstage, place.source), place.mark(Some(())), &self.reads);
        if let Some(found) = found {
            dirt.all(place.source, found.from);
        }
    }

    pub(crate) fn world_changed(&mut self, source: Sym, at: Millis) {
        let latest = self.latest.entry(source).or_insert(Millis::MIN);
        *latest = at.max(*latest);
    }
}

/// The last part of a path, or the name as it is.
pub(crate) fn last_part(name: &str) -> &str {
    name.rsplit('/').find(|part| !part.is_empty()).unwrap_or(name)
}
