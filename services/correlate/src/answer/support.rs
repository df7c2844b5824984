//! What supports a permission as of an instant: Keycloak group -> Backstage group -> role -> policy, or a role given in
//! Backstage itself; and when that last changed.
//!
//! This is what the person was entitled to in Keycloak at that instant, whatever the catalog had heard of it by then.

use super::person::entity_name;
use crate::{
    facts::List,
    known::Known,
    moment::{Millis, Moment},
    names::{Id, Sym},
    rows::Support,
    state::{
        keycloak::InGroup,
        ledger::Ledger,
        rbac::{Asked, Effect},
        reads::Scope,
    },
};
use std::collections::BTreeSet;

/// Most changes that are looked back through for one decision.
const MAX_CHANGES: usize = 512;

/// A question: may this reference, as this user, do that?
#[derive(Clone, Copy)]
pub(crate) struct Question {
    pub reference: Id,
    pub user: Option<Id>,
    pub asked: Asked,
}

/// How a role is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Via {
    /// Given to the person in Backstage.
    Backstage,
    /// Through a Keycloak group: the one that the person is in, and the one at or above it that has the role.
    Group { group: Id, above: Id },
    /// Through a Backstage group of which only the catalog tells.
    Catalog,
}

/// What a Keycloak group is called in a Backstage.
pub(crate) enum Naming {
    /// By the catalog's annotation: references.
    Annotated(Vec<Id>),
    /// By its own name: what a reference to it would be.
    Named(String),
}

/// A way to a role: the member's reference, how it stands for the person, since when, and whether that rests on a gap.
#[derive(Clone, Copy)]
struct Holder {
    reference: Id,
    via: Via,
    since: Option<Moment>,
    gap: bool,
}

/// One path.
#[derive(Clone, Copy)]
pub(crate) struct Path {
    pub reference: Id,
    pub via: Via,
    pub role: Id,
    pub policy: Id,
    pub since: Option<Moment>,
    pub gap: bool,
    pub unsure: bool,
}

/// Every path at one instant.
#[derive(Default)]
pub(crate) struct View {
    pub paths: Vec<Path>,
    pub denied: bool,
}

impl View {
    pub(crate) fn supports(&self) -> bool {
        !self.denied && !self.paths.is_empty()
    }

    /// Whether something else than a role given in Backstage itself supports it.
    pub(crate) fn by_group(&self) -> bool {
        self.paths.iter().any(|path| path.via != Via::Backstage)
    }
}

impl Known {
    /// Whether the permission would be supported if what is missing had come before `t`: the person may have been in a group
    /// or had a role by then.
    pub(crate) fn may_support(&self, question: &Question, t: Millis) -> bool {
        let Question { reference, user, asked } = *question;
        let open = |ledger: &Ledger<()>| ledger.at(t).is_some_and(|segment| segment.says.is_none() && segment.gap);
        let fits = |role: Id| {
            self.rbac
                .policies
                .of(role, t)
                .any(|(policy, _)| matches!(self.rbac.fits(policy, &asked), Some(Effect::Allow | Effect::Conditional)))
        };
        if self.rbac.members.ever(reference).any(|(role, ledger)| open(ledger) && fits(role)) {
            return true;
        }
        let Some(user) = user else { return false };
        let closed = !self.keycloak.active(user, t);
        if closed && !self.keycloak.may_be_otherwise(user, t) {
            return false;
        }
        let mut holders = if closed { self.holders_if_open(question, t) } else { Vec::new() };
        let maybe = self.keycloak.maybe_groups_of(user, t);
        holders.extend(maybe.iter().flat_map(|member| self.through(member, reference.source, t)));
        !self.paths(&holders, &asked, t).paths.is_empty()
    }

    /// Every path from the person to the permission at `t`.
    pub(crate) fn view(&self, question: &Question, t: Millis) -> View {
        let holders = self.holders(question, t);
        self.paths(&holders, &question.asked, t)
    }

    fn paths(&self, holders: &[Holder], asked: &Asked, t: Millis) -> View {
        let mut view = View::default();
        for holder in holders {
            for (role, member) in self.rbac.members.of(holder.reference, t) {
                for (policy, given) in self.rbac.policies.of(role, t) {
                    let Some(effect) = self.rbac.fits(policy, asked) else { continue };
                    if effect == Effect::Deny {
                        view.denied = true;
                        continue;
                    }
                    let since = if holder.via == Via::Backstage { member.since } else { holder.since };
                    view.paths.push(Path {
                        reference: holder.reference,
                        via: holder.via,
                        role,
                        policy,
                        since,
                        gap: holder.gap || member.gap || given.gap,
                        unsure: self.rbac.is_unsure(role, given.since, t),
                    });
                }
            }
        }
        view
    }

    /// Everything that can be a member of a role and stands for the person at `t`.
    fn holders(&self, question: &Question, t: Millis) -> Vec<Holder> {
        // Whoever may not sign in has no right left: what still lets them in is a token that lives on.
        if question.user.is_some_and(|user| !self.keycloak.active(user, t)) {
            return Vec::new();
        }
        let mut holders = self.holders_if_open(question, t);
        // Nor has whoever was closed by an event that is missing.
        if question.user.is_some_and(|user| self.keycloak.may_be_otherwise(user, t)) {
            holders.iter_mut().for_each(|holder| holder.gap = true);
        }
        holders
    }

    /// The same, if the account is open.
    fn holders_if_open(&self, question: &Question, t: Millis) -> Vec<Holder> {
        let reference = question.reference;
        let mut holders = vec![Holder { reference, via: Via::Backstage, since: None, gap: false }];
        if let Some(user) = question.user {
            for member in self.keycloak.groups_of(user, t) {
                holders.extend(self.through(&member, reference.source, t));
            }
        }
        holders.extend(self.by_catalog(question, t));
        holders
    }

    /// Backstage groups that a Keycloak group stands for, itself or through a group above it.
    fn through(&self, member: &InGroup, backstage: Sym, t: Millis) -> Vec<Holder> {
        let mut holders = Vec::new();
        let (since, gap) = (member.segment.since, member.segment.gap);
        for above in self.keycloak.chain(member.group, t) {
            let via = Via::Group { group: member.group, above };
            // A rename of which no event tells can have come by then.
            let gap = gap || self.keycloak.called.at(above, t).is_some_and(|called| called.gap);
            for reference in self.references_of_group(above, backstage, t) {
                // Where Keycloak has not told what is above a group, the catalog has.
                let told = self.keycloak.parents.value(above, t).is_some();
                let chain = if told { vec![reference] } else { self.catalog_chain(reference, t) };
                holders.extend(chain.into_iter().map(|reference| Holder { reference, via, since, gap }));
            }
        }
        holders
    }

    /// Backstage groups of which the catalog alone tells: no event and no read of Keycloak speaks of the membership.
    fn by_catalog(&self, question: &Question, t: Millis) -> Vec<Holder> {
        let mut holders = Vec::new();
        for (group, segment) in self.catalog.members.of(question.reference, t) {
            let told = question.user.zip(self.catalog.groups.value(group, t)).is_some_and(|(user, keycloak)| {
                self.keycloak.members.get(user, keycloak).is_some()
                    || self.members_were_read(user)
                    || self.namesake((user, group), keycloak, t).is_some()
            });
            if told {
                continue;
            }
            for reference in self.catalog_chain(group, t) {
                holders.push(Holder { reference, via: Via::Catalog, since: None, gap: segment.gap });
            }
        }
        holders
    }

    pub(crate) fn members_were_read(&self, user: Id) -> bool {
        let within = self.keycloak.members.within(user).or_else(|| self.keycloak.users.within(user));
        within.is_some_and(|within| !self.reads.of(Scope { list: List::Members, within }).is_empty())
    }

    fn catalog_chain(&self, group: Id, t: Millis) -> Vec<Id> {
        let mut chain = vec![group];
        while let Some(parent) = self.catalog.parents.value(chain[chain.len() - 1], t) {
            if chain.contains(&parent) || chain.len() == 64 {
                break;
            }
            chain.push(parent);
        }
        chain
    }

    /// What the person has because the catalog, as last read before `t`, puts them into a Backstage group that is another Keycloak
    /// group's: one of the same name as theirs. What it says for the first time when it is read next can have been so by then.
    pub(crate) fn view_by_name(&self, question: &Question, t: Millis) -> View {
        let mut holders = Vec::new();
        let there = |(named, ledger): (Id, &Ledger<()>)| {
            let (segment, next) = ledger.around(t)?;
            let soon = || segment.gap && next.is_some_and(|next| next.says.is_some());
            (segment.says.is_some() || soon()).then_some((named, segment))
        };
        for (named, segment) in self.catalog.members.ever(question.reference).filter_map(there) {
            let (Some(user), Some(above)) = (question.user, self.catalog.groups.value(named, t)) else { continue };
            let Some(group) = self.namesake((user, named), above, t) else { continue };
            let member = self.keycloak.members.get(user, group).and_then(|ledger| ledger.at(t));
            let since = member.and_then(|member| member.since.filter(|_| member.says.is_some()));
            let via = Via::Group { group, above };
            let chain = self.catalog_chain(named, t).into_iter();
            let gap = segment.gap || member.is_some_and(|member| member.gap);
            holders.extend(chain.map(|reference| Holder { reference, via, since, gap }));
        }
        self.paths(&holders, &question.asked, t)
    }

    /// A Keycloak group's references in a Backstage at `t`. A group that was renamed since the catalog was last read goes by
    /// its new name: the roles of the old one are no longer its own.
    pub(crate) fn references_of_group(&self, group: Id, backstage: Sym, t: Millis) -> Vec<Id> {
        match self.names_of_group(group, backstage, t) {
            Naming::Annotated(found) => found,
            Naming::Named(name) => self.names.known_id(&self.names.text(backstage), &name).into_iter().collect(),
        }
    }

    /// The same, whether anything speaks of such a name or not.
    pub(crate) fn names_of_group(&self, group: Id, backstage: Sym, t: Millis) -> Naming {
        let read = self.catalog_read(backstage, t);
        let name = self.keycloak.short_name(group, t, &self.names);
        let then = read.and_then(|read| self.keycloak.name_known_at(group, read, &self.names));
        let renamed = matches!((&name, &then), (Some(now), Some(then)) if now != then);
        let known = || {
            let references = self.catalog.references(group).filter(|reference| reference.source == backstage);
            references.filter(|reference| self.catalog.groups.value(*reference, t) == Some(group)).collect::<Vec<_>>()
        };
        let found = if renamed { Vec::new() } else { known() };
        let by_name = self.join(backstage).is_some_and(|join| join.by_name);
        match name {
            Some(name) if found.is_empty() && (renamed || by_name) => {
                Naming::Named(format!("group:default/{}", entity_name(&name)))
            }
            _ => Naming::Annotated(found),
        }
    }

    /// Instants up to `t`, latest first, at which the answer to `question` can have changed; and whether there were more.
    pub(crate) fn changes(&self, question: &Question, t: Millis) -> (Vec<Millis>, bool) {
        let mut found: BTreeSet<Millis> = BTreeSet::new();
        let mut references: BTreeSet<Id> = BTreeSet::from([question.reference]);
        if let Some(user) = question.user {
            let keycloak = &self.keycloak;
            found.extend(keycloak.members.ever(user).flat_map(|(_, ledger)| ledger.changes(t)));
            found.extend(keycloak.users.get(user).into_iter().flat_map(|ledger| ledger.changes(t)));
            found.extend(keycloak.enabled.get(user).into_iter().flat_map(|ledger| ledger.changes(t)));
            for group in keycloak.ever_near(user) {
                found.extend(keycloak.groups.get(group).into_iter().flat_map(|ledger| ledger.changes(t)));
                found.extend(keycloak.parents.get(group).into_iter().flat_map(|ledger| ledger.changes(t)));
                found.extend(keycloak.called.get(group).into_iter().flat_map(|ledger| ledger.changes(t)));
                for reference in self.catalog.references(group) {
                    found.extend(self.catalog.groups.get(reference).into_iter().flat_map(|ledger| ledger.changes(t)));
                    references.insert(reference);
                }
                references.extend(self.references_of_group(group, question.reference.source, t));
            }
        }
        for (group, ledger) in self.catalog.members.ever(question.reference) {
            found.extend(ledger.changes(t));
            references.extend(self.catalog_chain(group, t));
        }
        let above: Vec<Id> = references.iter().flat_map(|reference| self.catalog_chain(*reference, t)).collect();
        references.extend(above);
        for reference in references {
            found.extend(self.catalog.parents.get(reference).into_iter().flat_map(|ledger| ledger.changes(t)));
            for (role, ledger) in self.rbac.members.ever(reference) {
                found.extend(ledger.changes(t));
                let policies = self.rbac.policies.ever(role);
                let fitting = policies.filter(|(policy, _)| self.rbac.fits(*policy, &question.asked).is_some());
                found.extend(fitting.flat_map(|(_, ledger)| ledger.changes(t)));
            }
        }
        let more = found.len() > MAX_CHANGES;
        (found.into_iter().rev().take(MAX_CHANGES).collect(), more)
    }

    pub(crate) fn support_row(&self, path: &Path) -> Support {
        let text = |id: Id| self.names.name(id).to_owned();
        let (group, above) = match path.via {
            Via::Group { group, above } if above == group => (text(group), String::new()),
            Via::Group { group, above } => (text(group), text(above)),
            Via::Backstage | Via::Catalog => (String::new(), String::new()),
        };
        let reference = if path.via == Via::Backstage { String::new() } else { text(path.reference) };
        let since = path.since.map(|since| since.at);
        Support { group, above, reference, role: text(path.role), policy: text(path.policy), since }
    }
}
