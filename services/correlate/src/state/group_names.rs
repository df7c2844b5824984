//! What a group is called, and which group a path means: as it was told, as it was read, and as memberships name it in passing.

use super::{book::Dirty, keycloak::Keycloak, ledger::Mark, reads::Reads};
use crate::{
    moment::{Millis, Moment, Rank},
    names::{Id, Names, Sym},
};

impl Keycloak {
    /// Remembers that a group was seen under a path; true if that is new or earlier than known.
    pub(crate) fn path(&mut self, path: Id, group: Id, moment: Moment) -> bool {
        let known = self.paths.entry(path).or_default().entry(group).or_insert(Moment::ceiling(Millis::MAX));
        let earlier = moment < *known;
        *known = moment.min(*known);
        earlier
    }

    /// A membership names its group as it is called then. Of all that say the same name the first and the last stay: a group has as many
    /// members as it likes.
    pub(crate) fn called_in_passing(
        &mut self,
        (group, within): (Id, Sym),
        (moment, name): (Moment, Sym),
        reads: &Reads,
    ) -> Option<Dirty> {
        let moment = Moment { rank: Rank::Read, ..moment };
        let seen = self.seen_called.entry(group).or_default();
        let before = seen.get(&name).copied();
        let now = before.map_or((moment, moment), |(first, last)| (first.min(moment), last.max(moment)));
        if before == Some(now) {
            return None;
        }
        seen.insert(name, now);
        let gone = before.into_iter().flat_map(<[Moment; 2]>::from).find(|known| ![now.0, now.1].contains(known));
        self.called.see((group, within), (Mark { moment, says: Some(name), by: None }, gone), reads)
    }

    /// The group that a path meant at `t`: the last that had come to it by then, else the first that ever did.
    pub(crate) fn by_path(&self, path: Id, t: Moment) -> Option<Id> {
        let groups = self.paths.get(&path)?;
        let by_time = |(group, since): (&Id, &Moment)| (*since, *group);
        let then = groups.iter().filter(|(_, since)| **since <= t).map(by_time).max();
        then.or_else(|| groups.iter().map(by_time).min()).map(|(_, group)| group)
    }

    /// The last part of what a group is called.
    pub(crate) fn short_name(&self, group: Id, t: Millis, names: &Names) -> Option<String> {
        match self.called.value(group, t) {
            Some(called) => last_part(&names.text(called)),
            None => by_path_alone(group, names),
        }
    }

    /// The same; and if nothing was said by then, what was said first.
    pub(crate) fn name_known_at(&self, group: Id, t: Millis, names: &Names) -> Option<String> {
        let first = || self.called.get(group)?.segments().into_iter().find_map(|segment| segment.says);
        match self.called.value(group, t).or_else(first) {
            Some(called) => last_part(&names.text(called)),
            None => by_path_alone(group, names),
        }
    }
}

fn last_part(said: &str) -> Option<String> {
    said.rsplit('/').next().filter(|name| !name.is_empty()).map(str::to_owned)
}

/// Of a group that memberships name by its path and by nothing else, that is all there is.
fn by_path_alone(group: Id, names: &Names) -> Option<String> {
    let named = names.name(group);
    if named.starts_with('/') { last_part(&named) } else { None }
}
