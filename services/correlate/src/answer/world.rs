//! What rights follow from, as rows: the tree of groups, what groups carry, composites, names and roles in a Backstage, policies, ties.
//!
//! Kept once and by reference, as in the histories: deleting a group of 100,000 members is one row. With what somebody holds
//! directly ([`crate::rows::GrantRow`]) all that follows can be asked in SQL, and comes to what [`Known::effective`] says.

use super::support::Naming;
use crate::{
    facts::List,
    known::Known,
    moment::{Millis, Moment},
    names::{Id, Sym},
    rows::{Key, Reason, Row, WorldKind, WorldRow},
    state::{
        book::{Book, Relation},
        ledger::Ledger,
        reads::Scope,
    },
};
use std::collections::BTreeSet;

/// A stretch of a history over which it says the same.
struct Stay<V> {
    says: V,
    from: Option<Moment>,
    to: Option<Millis>,
    begun: Option<Moment>,
    gap: bool,
}

/// Gathers rows of one thing.
struct Rows<'a> {
    known: &'a Known,
    of: Id,
    rows: Vec<(Key, Row)>,
}

impl Known {
    /// Rows of everything that hangs at a user, group, role or reference.
    pub(crate) fn world_rows(&self, of: Id) -> Vec<(Key, Row)> {
        let mut rows = Rows { known: self, of, rows: Vec::new() };
        rows.user();
        rows.group();
        rows.role();
        rows.related(WorldKind::RoleMember, &self.rbac.members);
        rows.related(WorldKind::Policy, &self.rbac.policies);
        rows.rows
    }
}

impl Rows<'_> {
    fn user(&mut self) {
        let keycloak = &self.known.keycloak;
        for stay in stays_of(&keycloak.enabled, self.of).into_iter().filter(|stay| !stay.says) {
            self.push((WorldKind::Disabled, self.of, None), &stay);
        }
        for (from, to) in absences(&keycloak.users, self.of) {
            let stay = Stay { says: (), from: Some(from), to, begun: Some(from), gap: false };
            self.push((WorldKind::Gone, self.of, None), &stay);
        }
        // By the annotation alone: who is tied by name, as configured, is asked as of an instant.
        for reference in self.known.catalog.references(self.of) {
            let stands = |t: Millis| {
                let who = self.known.who(reference, t);
                who.user == Some(self.of) && who.reason != Some(Reason::TiedByName)
            };
            let life = self.known.join(reference.source).map_or(0, |join| join.token_life);
            let mut instants = BTreeSet::new();
            for from in froms(&self.known.catalog.users, reference) {
                instants.extend([from, from.saturating_add(life).saturating_add(1)]);
            }
            for (from, to) in stretches(&instants, stands) {
                let stay = Stay { says: (), from: from.map(Moment::floor), to, begun: None, gap: false };
                self.push((WorldKind::Tie, reference, Some(self.side(self.of))), &stay);
            }
        }
    }

    fn group(&mut self) {
        let known = self.known;
        let group = self.of;
        for stay in stays_of(&known.keycloak.parents, group) {
            if let Some(parent) = stay.says {
                self.push((WorldKind::Parent, group, Some(self.side(parent))), &stay);
            }
        }
        self.roles_held((WorldKind::GroupRole, List::GroupRoles), &known.keycloak.group_roles);
        let mut instants: BTreeSet<Millis> = BTreeSet::new();
        for above in known.keycloak.above(group) {
            instants.extend(froms(&known.keycloak.groups, above));
            instants.extend(froms(&known.keycloak.parents, above));
        }
        let lives = stretches(&instants, |t| known.keycloak.group_lives(group, t));
        for (from, to) in lives.into_iter().filter(|stretch| *stretch != (None, None)) {
            let stay = Stay { says: (), from: from.map(Moment::floor), to, begun: None, gap: false };
            self.push((WorldKind::Lives, group, None), &stay);
        }
        let called: Vec<Millis> = froms(&known.keycloak.called, group).collect();
        for join in known.config.joins.iter().filter(|join| join.keycloak == *known.names.text(group.source)) {
            let Some(backstage) = known.names.known(&join.backstage) else { continue };
            let reads = known.reads.of(Scope { list: List::Groups, within: backstage });
            // A new name counts until the catalog is read again.
            let next = |at: &Millis| reads.get(reads.partition_point(|read| read.begin < *at)).map(|read| read.begin);
            let mut instants: BTreeSet<Millis> = called.iter().copied().chain(called.iter().filter_map(next)).collect();
            for reference in known.catalog.references(group).filter(|reference| reference.source == backstage) {
                instants.extend(froms(&known.catalog.groups, reference));
            }
            let names = |t: Millis| match known.names_of_group(group, backstage, t) {
                Naming::Annotated(found) => found.into_iter().map(|of| known.names.name(of).to_owned()).collect(),
                Naming::Named(name) => BTreeSet::from([name]),
            };
            let ever: BTreeSet<String> = instants.iter().copied().chain([Millis::MIN]).flat_map(names).collect();
            for name in ever {
                for (from, to) in stretches(&instants, |t| names(t).contains(&name)) {
                    let stay = Stay { says: (), from: from.map(Moment::floor), to, begun: None, gap: false };
                    self.push((WorldKind::Name, group, Some((backstage, name.clone()))), &stay);
                }
            }
        }
    }

    fn role(&mut self) {
        let known = self.known;
        self.roles_held((WorldKind::Composite, List::Composites), &known.keycloak.composites);
        let instants: BTreeSet<Millis> = froms(&known.keycloak.roles, self.of).collect();
        let lives = stretches(&instants, |t| known.keycloak.role_lives(self.of, t));
        for (from, to) in lives.into_iter().filter(|stretch| *stretch != (None, None)) {
            let stay = Stay { says: (), from: from.map(Moment::floor), to, begun: None, gap: false };
            self.push((WorldKind::Lives, self.of, None), &stay);
        }
        if known.keycloak.default_roles.values().any(|role| *role == self.of) {
            let stay = Stay { says: (), from: None, to: None, begun: None, gap: false };
            self.push((WorldKind::DefaultRole, self.of, None), &stay);
        }
    }

    /// Roles of a group, or in a composite: a removal that names none may have taken any of them.
    fn roles_held(&mut self, (kind, list): (WorldKind, List), relation: &Relation) {
        for (role, ledger) in relation.ever(self.of) {
            let unnamed = self.known.may_have_ended((self.of, list), ledger);
            for mut stay in stays(ledger) {
                stay.gap |= stay.to.is_none() && unnamed;
                self.push((kind, self.of, Some(self.side(role))), &stay);
            }
        }
    }

    fn related(&mut self, kind: WorldKind, relation: &Relation) {
        for (held, ledger) in relation.ever(self.of) {
            for stay in stays(ledger) {
                self.push((kind, self.of, Some(self.side(held))), &stay);
            }
        }
    }

    fn side(&self, of: Id) -> (Sym, String) {
        (of.source, self.known.names.name(of).to_owned())
    }

    fn push<V>(&mut self, what: (WorldKind, Id, Option<(Sym, String)>), stay: &Stay<V>) {
        let (kind, holder, held) = what;
        let from = stay.from.map(|from| from.at);
        // What was and was no more in the same millisecond never counted.
        if from.is_some() && from == stay.to {
            return;
        }
        let known = self.known;
        let (held_source, held) = held.unwrap_or((holder.source, String::new()));
        let held_source = known.owned(held_source);
        let (source, holder) = (known.owned(holder.source), known.names.name(holder).to_owned());
        let key = Key::World(source.clone(), kind, holder.clone(), held.clone(), from.unwrap_or(Millis::MIN));
        let of_person = matches!(kind, WorldKind::Tie | WorldKind::Disabled | WorldKind::Gone);
        let row = WorldRow {
            person: of_person.then(|| known.key(self.of)),
            account: known.merged_account(self.of).filter(|_| of_person),
            source,
            kind,
            holder,
            held,
            held_source,
            from,
            to: stay.to,
            begun: stay.begun.map(|begun| begun.event),
            rests_on_gap: stay.gap,
        };
        self.rows.push((key, Row::World(row)));
    }
}

fn stays_of<V: Copy + PartialEq>(book: &Book<V>, of: Id) -> Vec<Stay<V>> {
    book.get(of).map(stays).unwrap_or_default()
}

/// A history's values, each with from and to.
fn stays<V: Copy + PartialEq>(ledger: &Ledger<V>) -> Vec<Stay<V>> {
    let mut found: Vec<Stay<V>> = Vec::new();
    let mut open: Option<V> = None;
    for segment in ledger.segments() {
        if segment.says == open {
            if let (Some(_), Some(last)) = (open, found.last_mut()) {
                last.gap |= segment.gap;
            }
            continue;
        }
        if let (Some(_), Some(last)) = (open, found.last_mut()) {
            last.to = segment.from.map(|from| from.at);
        }
        if let Some(says) = segment.says {
            let gap = segment.gap || (segment.since.is_none() && segment.from.is_some());
            found.push(Stay { says, from: segment.from, to: None, begun: segment.since, gap });
        }
        open = segment.says;
    }
    found
}

/// When a thing did not exist any more, until it was there again.
fn absences(book: &Book<()>, of: Id) -> Vec<(Moment, Option<Millis>)> {
    let mut found: Vec<(Moment, Option<Millis>)> = Vec::new();
    let mut open = false;
    for segment in book.get(of).into_iter().flat_map(|ledger| ledger.segments()) {
        let gone = segment.from.filter(|_| segment.says.is_none() && !segment.gap);
        match gone {
            Some(from) if !open => found.push((from, None)),
            None if open => {
                if let Some(last) = found.last_mut() {
                    last.1 = segment.from.map(|from| from.at);
                }
            }
            _ => {}
        }
        open = gone.is_some();
    }
    found
}

fn froms<V: Copy + PartialEq>(book: &Book<V>, of: Id) -> impl Iterator<Item = Millis> {
    book.get(of).into_iter().flat_map(|ledger| ledger.segments()).filter_map(|segment| segment.from).map(|from| from.at)
}

/// From when to when something is so that can only change at these instants.
fn stretches(instants: &BTreeSet<Millis>, so: impl Fn(Millis) -> bool) -> Vec<(Option<Millis>, Option<Millis>)> {
    let mut found: Vec<(Option<Millis>, Option<Millis>)> = Vec::new();
    let mut open = so(Millis::MIN);
    if open {
        found.push((None, None));
    }
    for at in instants {
        match (open, so(*at)) {
            (false, true) => found.push((Some(*at), None)),
            (true, false) => {
                if let Some(last) = found.last_mut() {
                    last.1 = Some(*at);
                }
            }
            _ => continue,
        }
        open = !open;
    }
    found
}
