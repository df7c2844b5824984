//! Reads of state: gathers the pieces and, once nothing is missing, puts what was seen beside what events said.

use crate::{
    dirt::Dirt,
    facts::{Entity, List, Piece, Read},
    intake::{Place, last_part},
    known::Known,
    moment::Millis,
    names::{Id, Sym},
    state::{
        book::Dirty,
        reads::{End, Entity as Kept, Pending, ReadAt, Scope},
        sessions::Session,
    },
};
use std::collections::{BTreeMap, BTreeSet};

impl Known {
    /// Takes one piece of a read.
    pub(crate) fn piece(&mut self, place: &Place, read: &Read<'_>, dirt: &mut Dirt) {
        let id = self.id(place, read.id);
        let mut sym = |text: &str| self.names.sym(text);
        let (pending, event) = self.pending.entry(id).or_default();
        match &read.piece {
            Piece::Begin { at } => {
                pending.begin = Some(*at);
                *event = place.moment.event;
            }
            Piece::Entity(entity) => {
                pending.entities.insert(match *entity {
                    Entity::User { user, username, email, enabled } => {
                        Kept::User { user: sym(user), username: sym(username), email: sym(email), enabled }
                    }
                    Entity::Group { group, path, parent } => {
                        Kept::Group { group: sym(group), path: sym(path), parent: sym(parent) }
                    }
                    Entity::CatalogUser { reference, keycloak } => {
                        Kept::CatalogUser { reference: sym(reference), keycloak: sym(keycloak) }
                    }
                    Entity::CatalogGroup { reference, keycloak, parent } => {
                        Kept::CatalogGroup { reference: sym(reference), keycloak: sym(keycloak), parent: sym(parent) }
                    }
                });
            }
            Piece::List { list, pairs } => {
                let page = pairs.iter().map(|(holder, held)| match list {
                    // Backstage compares references in lower case; the parts of a policy are no references.
                    List::CatalogMembers | List::RoleMembers => {
                        (sym(&holder.to_lowercase()), sym(&held.to_lowercase()))
                    }
                    List::Policies => (sym(&holder.to_lowercase()), sym(held)),
                    _ => (sym(holder), sym(held)),
                });
                let page: Vec<(Sym, Sym)> = page.collect();
                pending.lists.entry(*list).or_default().extend(page);
            }
            Piece::End { at, whole, entities, pairs } => {
                pending.end = Some(End { at: *at, whole: whole.clone(), entities: *entities, pairs: *pairs });
            }
        }
        let Some(at) = pending.complete(*event) else { return };
        let Some((pending, _)) = self.pending.remove(&id) else { return };
        self.conclude(place, (pending, at), dirt);
    }

    fn conclude(&mut self, place: &Place, read: (Pending, ReadAt), dirt: &mut Dirt) {
        let (pending, at) = read;
        let Some(end) = pending.end else { return };
        let seen = Seen { place, at, entities: pending.entities, lists: pending.lists };
        for list in end.whole {
            self.conclude_list(&seen, list, dirt);
        }
    }

    /// Puts a list that was read whole beside what events said.
    pub(crate) fn conclude_list(&mut self, seen: &Seen<'_>, list: List, dirt: &mut Dirt) {
        let Some(index) = self.reads.add(Scope { list, within: seen.place.within }, seen.at) else { return };
        match list {
            List::Users => self.users_read(seen, index, dirt),
            List::Groups => self.groups_read(seen, index, dirt),
            List::Roles => self.roles_read(seen, index, dirt),
            List::Sessions => self.sessions_read(seen, dirt),
            List::Policies => self.policies_read(seen, index, dirt),
            _ => self.pairs_read(seen, (list, index), dirt),
        }
    }

    fn users_read(&mut self, seen: &Seen<'_>, index: usize, dirt: &mut Dirt) {
        let (mut users, mut enabled, mut names) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let (mut emails, mut references) = (BTreeMap::new(), BTreeMap::new());
        for entity in &seen.entities {
            match *entity {
                Kept::User { user, username, email, enabled: may } => {
                    let user = seen.id(user);
                    users.insert(user, ());
                    enabled.insert(user, may);
                    names.insert(user, username);
                    emails.insert(user, email);
                    let username = self.owned(username);
                    self.bears(user, &username);
                }
                Kept::CatalogUser { reference, keycloak } => {
                    let reference = seen.id(reference);
                    if let Some(user) = self.annotated(seen, keycloak) {
                        self.catalog.refers(reference, user);
                        references.insert(reference, user);
                    }
                }
                _ => {}
            }
        }
        let at = (index, seen.place.within);
        let named = names.iter().filter_map(|(user, name)| Some((*user, [*name, *emails.get(user)?])));
        self.read_names_reach_back(seen.at, &named.collect::<Vec<_>>());
        let unheard: Vec<Id> = users.keys().copied().filter(|user| !self.members_were_read(*user)).collect();
        let mut found = self.keycloak.users.read(at, &users, &self.reads);
        let heard: Vec<Id> = unheard.into_iter().filter(|user| self.members_were_read(*user)).collect();
        self.hears_all(&heard, dirt);
        found.extend(self.keycloak.enabled.read(at, &enabled, &self.reads));
        for found in self.keycloak.usernames.read(at, &names, &self.reads) {
            self.meant_by_name(found.of, dirt);
        }
        self.keycloak.emails.read(at, &emails, &self.reads);
        for found in found {
            dirt.user(found.of, found.from);
            self.meant_by_name(found.of, dirt);
            self.user_may_have_changed(found.of, dirt);
        }
        users.keys().for_each(|user| dirt.user_touched(*user));
        for found in self.catalog.users.read(at, &references, &self.reads) {
            dirt.reference(found.of, found.from);
            dirt.user_touched(found.of);
            let ledger = self.catalog.users.get(found.of).into_iter();
            let bearers: BTreeSet<Id> = ledger.flat_map(|l| l.segments()).filter_map(|segment| segment.says).collect();
            for user in bearers {
                dirt.user_touched(user);
                dirt.sessions_of(user, found.from);
            }
        }
    }

    fn groups_read(&mut self, seen: &Seen<'_>, index: usize, dirt: &mut Dirt) {
        let (mut groups, mut called, mut parents) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let (mut references, mut above) = (BTreeMap::new(), BTreeMap::new());
        for entity in &seen.entities {
            match *entity {
                Kept::Group { group, path, parent } => {
                    let group = seen.id(group);
                    groups.insert(group, ());
                    let name = last_part(&self.names.text(path)).to_owned();
                    called.insert(group, self.names.sym(&name));
                    let parent = (!self.names.text(parent).is_empty()).then(|| seen.id(parent));
                    parents.insert(group, parent);
                    if let Some(parent) = parent {
                        self.keycloak.child(parent, group);
                    }
                    if self.keycloak.path(seen.id(path), group, seen.at.moment()) {
                        self.settle_path(seen.id(path), dirt);
                    }
                }
                Kept::CatalogGroup { reference, keycloak, parent } => {
                    let reference = seen.id(reference);
                    if let Some(group) = self.annotated(seen, keycloak) {
                        self.catalog.refers(reference, group);
                        references.insert(reference, group);
                    }
                    if !self.names.text(parent).is_empty() {
                        above.insert(reference, seen.id(parent));
                    }
                }
                _ => {}
            }
        }
        let at = (index, seen.place.within);
        let mut found = self.keycloak.groups.read(at, &groups, &self.reads);
        found.extend(self.keycloak.called.read(at, &called, &self.reads));
        found.extend(self.keycloak.parents.read(at, &parents, &self.reads));
        self.group_changed(seen.place, found, dirt);
        let found = self.catalog.groups.read(at, &references, &self.reads);
        self.groups_called(seen.place.source, &found, dirt);
        let mut found = found;
        found.extend(self.catalog.parents.read(at, &above, &self.reads));
        for found in found {
            self.world_changed(seen.place.source, seen.at.begin);
            dirt.all(seen.place.source, found.from);
        }
    }

    /// Names of Keycloak's groups in a Backstage rest on its catalog as it was read: of those that it names otherwise, and of those
    /// that were ever renamed.
    fn groups_called(&self, backstage: Sym, found: &[Dirty], dirt: &mut Dirt) {
        let ledgers = found.iter().filter_map(|found| self.catalog.groups.get(found.of));
        ledgers
            .flat_map(|ledger| ledger.segments())
            .filter_map(|segment| segment.says)
            .for_each(|group| dirt.user_touched(group));
        if self.join(backstage).is_some() {
            let called = &self.keycloak.called;
            let renamed =
                called.all().filter(|group| called.get(*group).is_some_and(|ledger| ledger.segments().len() > 2));
            renamed.for_each(|group| dirt.user_touched(group));
        }
    }

    fn roles_read(&mut self, seen: &Seen<'_>, index: usize, dirt: &mut Dirt) {
        let mut roles = BTreeMap::new();
        for entity in &seen.entities {
            if let Kept::Role { role, name } = *entity {
                roles.insert(seen.id(role), name);
            }
        }
        let listed = roles.keys().map(|role| (*role, ())).collect();
        let found = self.keycloak.roles.read((index, seen.place.within), &listed, &self.reads);
        for (role, name) in roles {
            let name = self.owned(name);
            self.role_called(seen.place, (role, &name), dirt);
        }
        for found in found {
            self.role_may_have_ended(found.of, dirt);
        }
    }

    /// The Keycloak user or group that an annotation names.
    fn annotated(&mut self, seen: &Seen<'_>, keycloak: Sym) -> Option<Id> {
        let source = self.join(seen.place.source)?.keycloak.clone();
        let source = self.names.sym(&source);
        (!self.names.text(keycloak).is_empty()).then_some(Id { source, name: keycloak })
    }

    fn sessions_read(&mut self, seen: &Seen<'_>, dirt: &mut Dirt) {
        if self.gone.floor.is_some_and(|floor| seen.at.begin < floor) {
            self.reaches_gone_sessions(seen.at.begin);
        }
        for (user, session) in seen.pairs(List::Sessions) {
            if self.is_session_gone(session, Some(seen.at.moment())) {
                continue;
            }
            let (found, waiting) = self.sessions.session(session, Some(user));
            found.realm = found.realm.or(Some(seen.place.within));
            found.listed.insert(seen.at.begin);
            if let Some(since) = waiting {
                self.callbacks_moved(user, since, dirt);
            }
        }
        let here = |(id, session): &(&Id, &Session)| {
            id.source == seen.place.source && session.realm == Some(seen.place.within)
        };
        dirt.sessions.extend(self.sessions.sessions.iter().filter(here).map(|(id, _)| *id));
    }

    fn policies_read(&mut self, seen: &Seen<'_>, index: usize, dirt: &mut Dirt) {
        let mut pairs = BTreeSet::new();
        for (role, policy) in seen.pairs(List::Policies) {
            let text = self.names.name(policy).to_owned();
            let mut parts = text.splitn(3, '|');
            let mut part = || parts.next().unwrap_or("");
            let said = (part(), part(), part());
            pairs.insert((role, self.rbac.policy(policy.source, said, &mut self.names)));
        }
        let at = (index, seen.place.within);
        let mut found = self.rbac.policies.read(at, &pairs, &self.reads);
        found.iter().for_each(|found| dirt.user_touched(found.of));
        let backstage = Id { source: seen.place.source, name: seen.place.source };
        found.extend(self.rbac.known.read(at, &BTreeMap::from([(backstage, ())]), &self.reads));
        self.read_changed(seen, found.into_iter().map(|found| found.from).min(), dirt);
    }

    fn pairs_read(&mut self, seen: &Seen<'_>, which: (List, usize), dirt: &mut Dirt) {
        let (list, index) = which;
        let (pairs, at) = (seen.pairs(list), (index, seen.place.within));
        let first = self.reads.of(Scope { list, within: seen.place.within }).len() == 1;
        let keycloak = &mut self.keycloak;
        match list {
            List::Members => {
                for found in keycloak.members.read(at, &pairs, &self.reads) {
                    dirt.user(found.of, found.from);
                }
                if first {
                    let all: BTreeSet<Id> = self.keycloak.users.all().chain(self.keycloak.members.all()).collect();
                    let heard: Vec<Id> = all.into_iter().filter(|user| self.members_were_read(*user)).collect();
                    self.hears_all(&heard, dirt);
                }
            }
            List::UserRoles => {
                for found in keycloak.user_roles.read(at, &pairs, &self.reads) {
                    dirt.user_touched(found.of);
                }
                self.unnamed_settled((list, index), seen.place.within, dirt);
            }
            List::GroupRoles => {
                let found = keycloak.group_roles.read(at, &pairs, &self.reads);
                found.into_iter().for_each(|found| dirt.user_touched(found.of));
                self.unnamed_settled((list, index), seen.place.within, dirt);
            }
            List::Composites => {
                let found = keycloak.composites.read(at, &pairs, &self.reads);
                found.into_iter().for_each(|found| dirt.user_touched(found.of));
                self.unnamed_settled((list, index), seen.place.within, dirt);
            }
            List::DefaultGroups => {
                let found = keycloak.defaults.read(at, &pairs, &self.reads);
                for found in found {
                    dirt.user_touched(found.of);
                    self.realm_changed(seen.place.within, found.from, dirt);
                }
            }
            List::CatalogMembers => {
                for found in self.catalog.members.read(at, &pairs, &self.reads) {
                    self.world_changed(seen.place.source, seen.at.begin);
                    dirt.reference(found.of, found.from);
                }
            }
            List::RoleMembers => {
                let found = self.rbac.members_read(at, &pairs, &self.reads);
                found.iter().for_each(|found| dirt.user_touched(found.of));
                self.read_changed(seen, found.into_iter().map(|found| found.from).min(), dirt);
            }
            List::Users | List::Groups | List::Roles | List::Sessions | List::Policies => {}
        }
    }

    /// A read tells what a removal that names no role left open since the read before it.
    fn unnamed_settled(&self, (list, index): (List, usize), within: Sym, dirt: &mut Dirt) {
        let holders = self.keycloak.role_holders(list);
        let reads = self.reads.of(Scope { list, within });
        let before = index.checked_sub(1).and_then(|before| reads.get(before));
        let open_since = before.map_or(Millis::MIN, |before| before.begin.saturating_sub(self.config.skew));
        for (holder, times) in &self.keycloak.unnamed {
            if holders.within(*holder) == Some(within) && times.last().is_some_and(|last| *last > open_since) {
                dirt.user_touched(*holder);
            }
        }
    }

    fn read_changed(&mut self, seen: &Seen<'_>, from: Option<Millis>, dirt: &mut Dirt) {
        if let Some(from) = from {
            self.world_changed(seen.place.source, seen.at.begin);
            dirt.all(seen.place.source, from);
        }
    }
}

/// A complete read.
pub(crate) struct Seen<'a> {
    pub place: &'a Place,
    pub at: ReadAt,
    pub entities: BTreeSet<Kept>,
    pub lists: BTreeMap<List, BTreeSet<(Sym, Sym)>>,
}

impl Seen<'_> {
    fn id(&self, name: Sym) -> Id {
        Id { source: self.place.source, name }
    }

    fn pairs(&self, list: List) -> BTreeSet<(Id, Id)> {
        self.lists.get(&list).into_iter().flatten().map(|(holder, held)| (self.id(*holder), self.id(*held))).collect()
    }
}
