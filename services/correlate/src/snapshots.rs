//! Snapshots: gathers lists of marks and what the marks stand for and, once nothing of a list's area is missing, hands it on as a
//! complete read.
//!
//! An area is one read, from when its reading began to when it ended; what hangs at another list (members at groups, holders at
//! roles of clients) is read from when that list began: what came into being in between is on none of its lists. An area that was
//! not read whole, or of which a receipt is missing, says nothing.

use crate::{
    checkpoint::{kept_enum, kept_struct},
    dirt::Dirt,
    facts::{Fact, List, Mark, Said, Snapshot, State},
    intake::Place,
    known::Known,
    moment::Span,
    names::{Id, Sym},
    reading::Seen,
    state::reads::{Entity, ReadAt},
    table::Table,
};
use events::snapshot::Area;
use hashbrown::HashMap;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// How a list is made of areas: which ones, and the area at which they hang.
type Plan = (List, &'static [Area], Area);

const PLANS: &[Plan] = &[
    (List::Groups, &[Area::Groups], Area::Groups),
    (List::Users, &[Area::Users], Area::Users),
    (List::DefaultGroups, &[Area::DefaultGroups], Area::DefaultGroups),
    (List::Members, &[Area::Members], Area::Groups),
    (List::Roles, &[Area::Roles], Area::Clients),
    (List::UserRoles, &[Area::RoleUsers], Area::Clients),
    (List::GroupRoles, &[Area::RoleGroups], Area::Clients),
    (List::Composites, &[Area::Composites], Area::Clients),
    (List::Sessions, &[Area::Sessions, Area::OfflineSessions], Area::Clients),
    (List::Users, &[Area::CatalogUsers], Area::CatalogUsers),
    (List::Groups, &[Area::CatalogGroups], Area::CatalogGroups),
    (List::CatalogMembers, &[Area::CatalogMembers], Area::CatalogMembers),
    (List::RoleMembers, &[Area::RbacMembers], Area::RbacMembers),
    (List::Policies, &[Area::RbacPolicies, Area::RbacConditions], Area::RbacPolicies),
];

/// A snapshot's part of one realm (of a Backstage: all of it).
type Part = (Id, Sym);

/// What a mark stands for.
#[derive(Clone, Copy)]
enum Stated {
    Entity(Entity),
    Pair(Sym, Sym),
    DefaultGroup(Sym),
    Realm { id: Sym, default_role: Sym },
}

/// What became of an area.
#[derive(Clone, Copy)]
struct Ended {
    whole: bool,
    counted: (u64, u64, u64),
    span: Span,
    event: Uuid,
}

#[derive(Default)]
struct Open {
    ended: BTreeMap<Area, Ended>,
    pages: BTreeMap<(Area, Sym, u64), Vec<Mark>>,
    /// Lists, pages and entries that are there.
    counted: BTreeMap<Area, (u64, u64, u64)>,
    /// Marks whose meaning is awaited.
    awaited: BTreeMap<Area, usize>,
    concluded: BTreeSet<Area>,
}

impl Open {
    fn marks(&self, area: Area, least: Sym) -> impl Iterator<Item = Mark> + '_ {
        let pages = self.pages.range((area, least, 0)..).take_while(move |((of, ..), _)| *of == area);
        pages.flat_map(|(_, marks)| marks.iter().copied())
    }

    fn forget(&mut self, area: Area) {
        self.pages.retain(|(of, ..), _| *of != area);
    }

    /// Whether everything that the end of an area counts is there.
    fn has(&self, area: Area) -> bool {
        let counted = self.counted.get(&area).copied().unwrap_or_default();
        self.ended.get(&area).is_some_and(|ended| ended.whole && ended.counted == counted)
    }
}

/// All snapshots that are not concluded, and every state that was ever told.
#[derive(Default)]
pub(crate) struct Snapshots {
    stated: Table<Mark, Stated>,
    open: HashMap<Part, Open>,
    waiting: HashMap<Mark, Vec<(Part, Area)>>,
}

impl Known {
    /// Takes a piece of a snapshot in. The fact's realm is the realm's name; empty for a Backstage.
    pub(crate) fn snapshot(&mut self, place: &Place, (piece, fact): (&Snapshot<'_>, &Fact<'_>), dirt: &mut Dirt) {
        let part = (self.id(place, piece.id), self.names.sym(fact.realm));
        match piece.said {
            Said::Entity { mark, state } => {
                if self.snapshots.stated.contains_key(&mark) {
                    return;
                }
                let stated = self.stated(state);
                self.snapshots.stated.get_or_insert_with(mark, || stated);
                for (part, area) in self.snapshots.waiting.remove(&mark).unwrap_or_default() {
                    let open = self.snapshots.open.entry(part).or_default();
                    let awaited = open.awaited.entry(area).or_default();
                    *awaited = awaited.saturating_sub(1);
                    if *awaited == 0 {
                        self.conclude_part(part, dirt);
                    }
                }
            }
            Said::List { area, within, page, pages: _, entries } => {
                let Some(marks) = Mark::entries(entries) else { return };
                let within = self.names.sym(within);
                let open = self.snapshots.open.entry(part).or_default();
                let lost = open.ended.get(&area).is_some_and(|ended| !ended.whole);
                if lost || open.concluded.contains(&area) || open.pages.contains_key(&(area, within, page)) {
                    return;
                }
                let counted = open.counted.entry(area).or_default();
                counted.0 += u64::from(page == 0);
                counted.1 += 1;
                counted.2 += marks.len() as u64;
                open.pages.insert((area, within, page), marks);
                self.conclude_part(part, dirt);
            }
            Said::Area { area, whole, counted } => {
                let ended = Ended { whole, counted, span: fact.span, event: place.moment.event };
                let open = self.snapshots.open.entry(part).or_default();
                if !whole {
                    open.forget(area);
                }
                open.ended.insert(area, ended);
                self.conclude_part(part, dirt);
            }
        }
    }

    fn stated(&mut self, state: State<'_>) -> Stated {
        let mut sym = |text: &str| self.names.sym(text);
        Stated::Entity(match state {
            State::Realm { id, default_role } => {
                return Stated::Realm { id: sym(id), default_role: sym(default_role) };
            }
            State::DefaultGroup { group } => return Stated::DefaultGroup(sym(group)),
            State::Pair { holder, held } => return Stated::Pair(sym(holder), sym(held)),
            State::Policy { role, permission, action, effect } => {
                return Stated::Pair(sym(role), sym(&format!("{permission}|{action}|{effect}")));
            }
            State::Role { role, name, client } => {
                Entity::Role { role: sym(role), name: sym(&format!("{client}:{name}")) }
            }
            State::Group { group, path, parent } => {
                Entity::Group { group: sym(group), path: sym(path), parent: sym(parent) }
            }
            State::User { user, username, email, enabled } => {
                Entity::User { user: sym(user), username: sym(username), email: sym(email), enabled }
            }
            State::CatalogUser { reference, keycloak } => {
                Entity::CatalogUser { reference: sym(reference), keycloak: sym(keycloak) }
            }
            State::CatalogGroup { reference, keycloak, parent } => {
                Entity::CatalogGroup { reference: sym(reference), keycloak: sym(keycloak), parent: sym(parent) }
            }
        })
    }

    /// Concludes whatever of a snapshot's part has become complete.
    fn conclude_part(&mut self, part: Part, dirt: &mut Dirt) {
        let Some(within) = self.realm_of(part, dirt) else { return };
        for plan in PLANS {
            let (_, areas, since) = *plan;
            let Some(open) = self.snapshots.open.get(&part) else { return };
            let ready = !open.concluded.contains(&areas[0])
                && open.ended.contains_key(&since)
                && areas.iter().all(|area| open.has(*area));
            if ready && areas.iter().all(|area| self.has_all(part, *area)) {
                self.conclude_plan((part, within), plan, dirt);
            }
        }
    }

    /// The id of the realm, which is what events call it; of a Backstage, its source.
    fn realm_of(&mut self, part: Part, dirt: &mut Dirt) -> Option<Sym> {
        let (snapshot, name) = part;
        if self.names.text(name).is_empty() {
            return Some(snapshot.source);
        }
        let open = self.snapshots.open.get(&part)?;
        if !open.has(Area::Realm) || !self.has_all(part, Area::Realm) {
            return None;
        }
        let open = self.snapshots.open.get(&part)?;
        let mark = open.marks(Area::Realm, self.names.least()).next()?;
        let Some(Stated::Realm { id, default_role }) = self.snapshots.stated.get(&mark) else { return None };
        let (id, role) = (*id, Id { source: snapshot.source, name: *default_role });
        if !self.names.name(role).is_empty() {
            self.default_role(id, role, dirt);
        }
        Some(id)
    }

    /// Whether it is known what each mark of an area stands for; what is not known is awaited.
    fn has_all(&mut self, part: Part, area: Area) -> bool {
        let Snapshots { stated, open, waiting } = &mut self.snapshots;
        let Some(open) = open.get_mut(&part) else { return false };
        if open.awaited.get(&area).is_some_and(|count| *count > 0) {
            return false;
        }
        let unknown: BTreeSet<Mark> =
            open.marks(area, self.names.least()).filter(|mark| !stated.contains_key(mark)).collect();
        open.awaited.insert(area, unknown.len());
        for mark in &unknown {
            waiting.entry(*mark).or_default().push((part, area));
        }
        unknown.is_empty()
    }

    fn conclude_plan(&mut self, whose: (Part, Sym), plan: &Plan, dirt: &mut Dirt) {
        let ((part, within), (list, areas, since)) = (whose, *plan);
        let Some(open) = self.snapshots.open.get_mut(&part) else { return };
        let ended = |area: &Area| open.ended.get(area).copied();
        let (Some(first), Some(since)) = (ended(&areas[0]), ended(&since)) else { return };
        let spans: Vec<Span> = areas.iter().filter_map(ended).map(|ended| ended.span).collect();
        let end = spans.iter().map(|span| span.max).max().unwrap_or(first.span.max);
        let begin = spans.iter().map(|span| span.min).chain([since.span.min]).min().unwrap_or(end);
        let at = ReadAt { begin, end: end.max(begin), event: first.event };
        let (mut entities, mut pairs) = (BTreeSet::new(), BTreeSet::new());
        let least = self.names.least();
        for mark in areas.iter().flat_map(|area| open.marks(*area, least)) {
            match self.snapshots.stated.get(&mark) {
                Some(Stated::Entity(entity)) => drop(entities.insert(*entity)),
                Some(Stated::Pair(holder, held)) => drop(pairs.insert((*holder, *held))),
                Some(Stated::DefaultGroup(group)) => drop(pairs.insert((within, *group))),
                Some(Stated::Realm { .. }) | None => {}
            }
        }
        for area in areas {
            open.concluded.insert(*area);
            open.forget(*area);
        }
        let place = Place { moment: at.moment(), source: part.0.source, within, by: None };
        let seen = Seen { place: &place, at, entities, lists: BTreeMap::from([(list, pairs)]) };
        self.conclude_list(&seen, list, dirt);
    }
}

kept_enum!(Stated {
    0 Entity { 0: entity },
    1 Pair { 0: holder, 1: held },
    2 DefaultGroup { 0: group },
    3 Realm { id: id, default_role: default_role },
});
kept_struct!(Ended { whole, counted, span, event });
kept_struct!(Open { ended, pages, counted, awaited, concluded });
kept_struct!(Snapshots { stated, open, waiting });
