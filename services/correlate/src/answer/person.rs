//! Who an entity reference stood for, as of an instant: by the catalog's annotation, never by name unless configured.

use crate::{
    facts::List,
    known::Known,
    moment::Millis,
    names::Id,
    rows::Reason,
    state::{ledger::Ledger, reads::Scope},
};

/// The Keycloak user behind a reference, and what is to be said of the tie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Who {
    pub user: Option<Id>,
    pub reason: Option<Reason>,
}

impl Known {
    /// Whom `reference` stood for at `t`.
    pub(crate) fn who(&self, reference: Id, t: Millis) -> Who {
        let Some(join) = self.join(reference.source) else {
            return Who { user: None, reason: Some(Reason::NotTied) };
        };
        let ledger = self.catalog.users.get(reference);
        if let Some((segment, next)) = ledger.and_then(|ledger| ledger.around(t)) {
            // What the next read says instead was so from some instant before it on.
            let next = next.filter(|_| segment.gap).and_then(|next| next.says);
            if let Some(user) = segment.says {
                let seen_later = segment.from.is_none().then_some(Reason::TieSeenLater);
                let reason = next.map_or(seen_later, |_| Some(Reason::RestsOnGap));
                return Who { user: Some(user), reason };
            }
            // The entity is gone; a token that was issued before still names it, for as long as tokens live.
            let gone = self.gone(reference, t).filter(|(_, since)| *since >= t.saturating_sub(join.token_life));
            if let Some((user, _)) = gone {
                return Who { user: Some(user), reason: Some(Reason::EntityGone) };
            }
            // It came between two reads: nobody else is known whom it can have stood for since.
            if let Some(user) = next {
                return Who { user: Some(user), reason: Some(Reason::TieSeenLater) };
            }
        }
        if !join.by_name {
            return Who { user: None, reason: Some(Reason::NotTied) };
        }
        let bearers = self.bearers_of(reference, t);
        match bearers.as_slice() {
            [] => Who { user: None, reason: Some(Reason::NotTied) },
            [user] => Who { user: Some(*user), reason: Some(Reason::TiedByName) },
            _ => Who { user: None, reason: Some(Reason::SeveralUsers) },
        }
    }

    /// For whom a reference last stood before `t`, and since when it stands for nobody.
    fn gone(&self, reference: Id, t: Millis) -> Option<(Id, Millis)> {
        last_stood(self.catalog.users.get(reference)?, t)
    }

    /// The Keycloak group that a reference stands for at `t`, or stood for last; and since when for none, where that is so.
    pub(super) fn group_of(&self, reference: Id, t: Millis) -> Option<(Id, Option<Millis>)> {
        let ledger = self.catalog.groups.get(reference)?;
        let (segment, next) = ledger.around(t)?;
        let last = || last_stood(ledger, t).map(|(group, since)| (group, Some(since)));
        // What came between two reads can have been there by then.
        let next = next.filter(|_| segment.gap).and_then(|next| next.says);
        segment.says.or(next).map(|group| (group, None)).or_else(last)
    }

    /// Users of the joined Keycloak whose name, as Backstage would write it, the reference has.
    fn bearers_of(&self, reference: Id, t: Millis) -> Vec<Id> {
        let Some(join) = self.join(reference.source) else { return Vec::new() };
        let reference = self.names.name(reference);
        let name = reference.rsplit('/').next().unwrap_or("");
        let Some(name) = self.names.known_id(&join.keycloak, &format!("entity:{name}")) else { return Vec::new() };
        let bearers = self.bearers.get(&name).into_iter().flatten().copied();
        bearers
            .filter(|user| {
                let now = self.keycloak.usernames.value(*user, t).map(|now| entity_name(&self.names.text(now)));
                now.is_none_or(|now| format!("entity:{now}") == *self.names.name(name))
                    && self.keycloak.exists(*user, t)
            })
            .collect()
    }

    /// Every reference that a user ever had, or could have by name.
    pub(crate) fn references_of(&self, user: Id) -> Vec<Id> {
        let mut found: Vec<Id> = self.catalog.references(user).collect();
        for join in self.config.joins.iter().filter(|join| join.by_name) {
            let names = self.keycloak.usernames.get(user).into_iter().flat_map(|ledger| ledger.segments());
            for name in names.filter_map(|segment| segment.says) {
                let reference = format!("user:default/{}", entity_name(&self.names.text(name)));
                found.extend(self.names.known_id(&join.backstage, &reference));
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// When the catalog of a Backstage was last read before `t`.
    pub(crate) fn catalog_read(&self, backstage: crate::names::Sym, t: Millis) -> Option<Millis> {
        self.reads.last(Scope { list: List::Groups, within: backstage }, t)
    }
}

/// What a reference last stood for before `t`, and since when it stands for nothing.
fn last_stood(ledger: &Ledger<Id>, t: Millis) -> Option<(Id, Millis)> {
    let mut since = None;
    // However often its absence was read: the first time counts.
    let until_then = ledger.segments().into_iter();
    for segment in until_then.filter(|segment| segment.from.is_none_or(|from| from.at <= t)) {
        since = match (segment.says, since) {
            (Some(of), _) => Some((of, None)),
            (None, Some((of, None))) => Some((of, segment.from.map(|from| from.at))),
            (None, known) => known,
        };
    }
    since.and_then(|(of, since)| Some((of, since?)))
}

/// A name as the importer of Keycloak's people and groups writes it: lower case, anything else than letters, digits, `-`, `_`
/// and `.` replaced by `-`.
pub(crate) fn entity_name(name: &str) -> String {
    let keep = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c.to_ascii_lowercase() } else { '-' };
    name.chars().map(keep).collect()
}
