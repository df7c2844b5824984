//! Where Keycloak speaks of memberships for the first time, what the catalog alone told of them counts no more: at whatever time it told it.

use crate::{dirt::Dirt, known::Known, moment::Millis, names::Id};

/// What Keycloak has told of a user by now.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Heard {
    /// Of the one membership.
    pair: bool,
    /// All that there are were read.
    all: bool,
}

impl Known {
    pub(crate) fn heard(&self, user: Id, group: Option<Id>) -> Heard {
        let pair = group.is_some_and(|group| self.keycloak.members.get(user, group).is_some());
        Heard { pair, all: self.members_were_read(user) }
    }

    /// Touches the answers that rested on the catalog, if more was heard than `before`.
    pub(crate) fn hears(&self, (user, group): (Id, Option<Id>), before: Heard, dirt: &mut Dirt) {
        let now = self.heard(user, group);
        let of = match (now.all != before.all, now.pair != before.pair) {
            (true, _) => None,
            (false, true) => group,
            (false, false) => return,
        };
        if let Some(from) = self.catalog_told(user, of) {
            dirt.decisions_of(user, from);
        }
    }

    /// All members of a realm were read for the first time.
    pub(crate) fn hears_all(&self, users: &[Id], dirt: &mut Dirt) {
        for user in users {
            if let Some(from) = self.catalog_told(*user, None) {
                dirt.decisions_of(*user, from);
            }
        }
    }

    /// From when on the catalog says that a user is in a group, or (none) in any.
    fn catalog_told(&self, user: Id, group: Option<Id>) -> Option<Millis> {
        let stands = |named: Id, group: Id| {
            let ledger = self.catalog.groups.get(named).into_iter();
            ledger.flat_map(|ledger| ledger.segments()).any(|segment| segment.says == Some(group))
        };
        let listed = self.catalog.references(user).flat_map(|reference| self.catalog.members.ever(reference));
        let listed = listed.filter(|(named, _)| group.is_none_or(|group| stands(*named, group)));
        let since = listed.filter_map(|(_, ledger)| {
            let first = ledger.segments().into_iter().find(|segment| segment.says.is_some())?;
            Some(first.from.map_or(Millis::MIN, |from| from.at))
        });
        since.min()
    }
}
