//! Answers what was touched and compares with what was said before: only what differs is a change, with the next version.
//!
//! Of what was said only a digest is kept: a row can always be answered again.

use crate::{
    checkpoint::{Kept, Reader, Unreadable, Writer, kept_struct},
    config::Config,
    dirt::{Dirt, Since},
    keys::Keys,
    known::Known,
    moment::{Millis, Moment},
    names::Id,
    places::{Place, Places},
    rows::{Change, Key, Row},
    table::Table,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash, Hasher},
};
use uuid::Uuid;

/// The rows as last answered.
pub(crate) struct Rows {
    /// By what stands for a key; the keys themselves would be most of the memory.
    said: Table<Place, Said>,
    places: Places,
    /// Keys of the rows that are listed per user (gaps also per group, role and reference), and can therefore end.
    listed: Table<Id, Keys>,
    answered: u64,
}

/// Of bytes, because a number of eight would ask for more room than it takes.
type Digest = [u8; 8];

struct Said {
    version: u32,
    /// [`GONE`]: the row is gone.
    digest: Digest,
}

/// Every row, answered anew from what is known: what all changes together must come to.
pub(crate) fn everything(known: &Known, each: &mut dyn FnMut(Key, Row)) {
    let work = Work::everything(known);
    work.answer(known, &mut |key, row, _| {
        if let Some(row) = row {
            each(key, row);
        }
    });
    for user in work.listed.keys() {
        listed(known, *user).into_iter().for_each(|(key, row)| each(key, row));
    }
}

fn listed(known: &Known, user: Id) -> Vec<(Key, Row)> {
    let mut rows = known.grant_rows(user);
    rows.extend(known.gap_rows(user));
    rows.extend(known.alias_rows(user));
    rows.extend(known.world_rows(user));
    rows
}

/// The version of a row that was let go: of others it is at least one.
const LET_GO: u32 = 0;

/// The digest of no row.
const GONE: Digest = [0; 8];

fn digest(row: &Row) -> Digest {
    let mut hasher = DefaultHasher::new();
    row.hash(&mut hasher);
    hasher.finish().max(1).to_le_bytes()
}

kept_struct!(Said { version, digest });

impl Rows {
    /// Nothing was said yet.
    pub(crate) fn new(config: &Config) -> Self {
        Self { said: Table::default(), places: Places::new(config), listed: Table::default(), answered: 0 }
    }

    /// All of it.
    pub(crate) fn keep(&self, to: &mut Writer<'_>) {
        let Self { said, places: _, listed, answered } = self;
        said.put(to);
        listed.put(to);
        answered.put(to);
    }

    /// What holds names by number.
    pub(crate) fn keep_listed(&self, to: &mut Writer<'_>) {
        self.listed.put(to);
    }

    /// The same as it was kept.
    pub(crate) fn restore_listed(&mut self, from: &mut Reader<'_>) -> Result<(), Unreadable> {
        self.listed = Kept::get(from)?;
        Ok(())
    }

    /// As it was kept, under the same secret.
    pub(crate) fn restore(self, from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        let Self { places, .. } = self;
        Ok(Self { said: Kept::get(from)?, places, listed: Kept::get(from)?, answered: Kept::get(from)? })
    }

    /// Bytes by part.
    pub(crate) fn rooms(&self) -> [(&'static str, usize); 2] {
        [("said", self.said.room()), ("listed", self.listed.room())]
    }

    /// Notes that a row is never said again, nor taken back; true if it ever was said.
    pub(crate) fn let_go(&mut self, key: &Key) -> bool {
        let place = self.places.of(key);
        let said = self.said.get_mut(&place).filter(|said| said.version != LET_GO);
        said.map(|said| said.version = LET_GO).is_some()
    }

    /// Takes what was let go out of memory.
    pub(crate) fn sweep(&mut self) {
        self.said.retain(|_, said| said.version != LET_GO);
    }

    /// How many rows are remembered.
    pub(crate) fn count(&self) -> usize {
        self.said.len()
    }

    /// How often a row was answered (and, of a person's listed rows, how often a list was).
    pub(crate) fn answered(&self) -> u64 {
        self.answered
    }

    /// Answers everything in `dirt` anew.
    pub(crate) fn settle(&mut self, known: &Known, dirt: Dirt) -> Vec<Change> {
        let mut changes = Vec::new();
        let work = Work::of(known, dirt);
        let each = [
            &work.sessions.len(),
            &work.tokens.len(),
            &work.credentials.len(),
            &work.decisions.len(),
            &work.listed.len(),
        ];
        self.answered += each.into_iter().map(|count| *count as u64).sum::<u64>();
        work.answer(known, &mut |key, row, because| self.say(key, row, because, &mut changes));
        for (user, because) in &work.listed {
            self.list(known, (*user, *because), &mut changes);
        }
        // In place: a change is too large to be copied to and fro. A row that passes from one list to another has two.
        changes.sort_unstable_by(|a, b| a.key.cmp(&b.key).then(a.version.cmp(&b.version)));
        changes
    }

    fn say(&mut self, key: Key, row: Option<Row>, because: Uuid, changes: &mut Vec<Change>) {
        let digest = row.as_ref().map_or(GONE, digest);
        let place = self.places.of(&key);
        match self.said.get_mut(&place) {
            Some(said) if said.digest == digest => {}
            Some(said) => {
                said.version += 1;
                said.digest = digest;
                changes.push(Change { key, version: said.version, row, because: Some(because) });
            }
            None if row.is_none() => {}
            None => {
                self.said.get_or_insert_with(place, || Said { version: 1, digest });
                changes.push(Change { key, version: 1, row, because: None });
            }
        }
    }

    /// Grants, gaps and names of a user, gaps of anything else: what is no longer among them is gone.
    fn list(&mut self, known: &Known, touched: (Id, Uuid), changes: &mut Vec<Change>) {
        let (user, because) = touched;
        let rows = listed(known, user);
        let keys = Keys::of(rows.iter().map(|(key, _)| key));
        // Most that is touched has no rows, and never had.
        let listed = if rows.is_empty() { self.listed.get_mut(&user) } else { Some(self.listed.get_or_default(user)) };
        if let Some(listed) = listed.filter(|listed| **listed != keys) {
            let before = std::mem::replace(listed, keys).read();
            let now: BTreeSet<&Key> = rows.iter().map(|(key, _)| key).collect();
            for gone in before.into_iter().filter(|key| !now.contains(key)) {
                self.say(gone, None, because, changes);
            }
        }
        for (key, row) in rows {
            self.say(key, Some(row), because, changes);
        }
    }
}

/// Everything to answer, once each, with the event that touched it.
#[derive(Default)]
struct Work {
    sessions: BTreeMap<Id, Uuid>,
    tokens: BTreeMap<(Id, Moment), Uuid>,
    credentials: BTreeMap<(Id, Moment), Uuid>,
    decisions: BTreeMap<(Id, Moment), Uuid>,
    listed: BTreeMap<Id, Uuid>,
}

impl Work {
    fn of(known: &Known, dirt: Dirt) -> Self {
        let mut work = Self { listed: dirt.listed, ..Self::default() };
        let mut references: BTreeMap<Id, Since> = dirt.references;
        for (user, since) in &dirt.users {
            for reference in known.references_of(*user) {
                earliest(&mut references, reference, *since);
            }
        }
        for (source, since) in &dirt.sources {
            let all = known.decisions.keys().chain(known.sessions.paid.keys());
            for reference in all.filter(|reference| reference.source == *source) {
                earliest(&mut references, *reference, *since);
            }
        }
        for (reference, since) in references {
            // Whom a gap in the reference's own roles concerns follows from whom it stands for.
            if known.rbac.members.ever(reference).any(|(_, ledger)| !ledger.gaps().is_empty()) {
                work.listed.entry(reference).or_insert(since.because);
            }
            work.from(known, reference, since);
        }
        for (reference, moment) in dirt.decisions {
            work.decisions.entry((reference, moment)).or_insert(moment.event);
        }
        for trace in dirt.traces {
            for decision in known.conditional.get(&trace).into_iter().flatten() {
                work.decisions.entry(*decision).or_insert(dirt.event);
            }
        }
        for session in dirt.sessions {
            work.sessions.entry(session).or_insert(dirt.event);
        }
        for (user, from) in dirt.user_sessions {
            for session in known.sessions.of_user.get(&user).into_iter().flatten() {
                let alive = known.sessions.sessions.get(session).is_some_and(|session| session.last() >= from);
                if alive {
                    work.sessions.entry(*session).or_insert(dirt.event);
                }
            }
        }
        for (user, from) in dirt.user_sign_ins {
            let callbacks = known.sessions.callbacks.get(&user).map(|all| all.range(Moment::floor(from)..));
            for (_, (session, _)) in callbacks.into_iter().flatten() {
                work.sessions.entry(*session).or_insert(dirt.event);
            }
        }
        for (user, moment) in dirt.tokens {
            let issue = known.sessions.issues.get(&user).and_then(|all| all.get(&moment));
            if issue.is_none_or(|issue| !issue.over) {
                work.tokens.entry((user, moment)).or_insert(dirt.event);
            }
        }
        work
    }

    /// Everything that there is to answer.
    fn everything(known: &Known) -> Self {
        let (nobody, sessions) = (Uuid::nil(), &known.sessions);
        let keycloak = &known.keycloak;
        let users = keycloak.members.all().chain(keycloak.user_roles.all()).chain(keycloak.users.all());
        let users = users.chain(keycloak.usernames.all()).chain(keycloak.emails.all()).chain(keycloak.enabled.all());
        let world = keycloak.groups.all().chain(keycloak.roles.all()).chain(keycloak.group_roles.all());
        let world = world.chain(keycloak.called.all()).chain(keycloak.parents.all());
        let world = world.chain(keycloak.composites.all()).chain(keycloak.default_roles.values().copied());
        let world = world.chain(keycloak.defaults.all());
        let named = known.catalog.groups.all().filter_map(|reference| known.catalog.groups.get(reference));
        let named = named.flat_map(|ledger| ledger.segments()).filter_map(|segment| segment.says);
        let users = users.chain(world).chain(known.rbac.members.all()).chain(known.rbac.policies.all()).chain(named);
        let tied = known.catalog.users.all().filter_map(|reference| known.catalog.users.get(reference));
        let tied = tied.flat_map(|ledger| ledger.segments()).filter_map(|segment| segment.says);
        let callers = known.decisions.keys().copied();
        let pairs = |(of, log): (&Id, Vec<Moment>)| log.into_iter().map(|moment| (*of, moment)).collect::<Vec<_>>();
        let issues = sessions.issues.iter().flat_map(|(user, log)| {
            let said = log.iter().filter(|(_, issue)| !issue.over);
            pairs((user, said.map(|(moment, _)| *moment).collect()))
        });
        let paid = sessions.paid.iter().flat_map(|(of, log)| {
            let said = log.iter().filter(|(_, paid)| !paid.over);
            pairs((of, said.map(|(moment, _)| *moment).collect()))
        });
        let decisions = known.decisions.iter().flat_map(|(of, log)| pairs((of, log.keys().copied().collect())));
        Self {
            sessions: sessions.sessions.keys().map(|session| (*session, nobody)).collect(),
            tokens: issues.map(|issue| (issue, nobody)).collect(),
            credentials: paid.map(|paid| (paid, nobody)).collect(),
            decisions: decisions.map(|decision| (decision, nobody)).collect(),
            listed: users
                .chain(tied)
                .chain(known.service_accounts.users())
                .chain(keycloak.federated.users())
                .chain(callers)
                .map(|user| (user, nobody))
                .collect(),
        }
    }

    /// Answers all but the listed rows.
    fn answer(&self, known: &Known, say: &mut dyn FnMut(Key, Option<Row>, Uuid)) {
        for (session, because) in &self.sessions {
            let key = Key::Session(known.owned(session.source), known.owned(session.name));
            say(key, known.session_row(*session).map(Row::Session), *because);
        }
        for ((user, moment), because) in &self.tokens {
            say(Key::Token(moment.event), known.token_row(*user, *moment).map(Row::Token), *because);
        }
        for ((reference, moment), because) in &self.credentials {
            let row = known.credential_row(*reference, *moment).map(Row::Credential);
            say(Key::Credential(moment.event), row, *because);
        }
        for ((reference, moment), because) in &self.decisions {
            let row = known.decision_row(*reference, *moment).map(|row| Row::Decision(Box::new(row)));
            say(Key::Decision(moment.event), row, *because);
        }
    }

    /// Credentials and decisions of a reference, from an instant on.
    fn from(&mut self, known: &Known, reference: Id, since: Since) {
        let first = Moment::floor(since.from);
        if let Some(paid) = known.sessions.paid.get(&reference) {
            for (moment, _) in paid.range(first..).filter(|(_, paid)| !paid.over) {
                let moment = *moment;
                self.credentials.entry((reference, moment)).or_insert(since.because);
            }
        }
        // A decision's span can reach beyond its time: what changes within it counts.
        let widest = known.widest.get(&reference).copied().unwrap_or(0);
        let first = Moment::floor(known.decided_from(reference, since.from).saturating_sub(widest));
        if let Some(decisions) = known.decisions.get(&reference) {
            for moment in decisions.range(first..).map(|(moment, _)| *moment) {
                self.decisions.entry((reference, moment)).or_insert(since.because);
            }
        }
    }
}

fn earliest(map: &mut BTreeMap<Id, Since>, reference: Id, since: Since) {
    map.entry(reference)
        .and_modify(|known| {
            if since.from < known.from {
                *known = since;
            }
        })
        .or_insert(since);
}

impl crate::state::sessions::Session {
    /// Last sign of life.
    fn last(&self) -> Millis {
        let used = self.uses.keys().next_back().map(|at| at.at);
        let called = self.callbacks.keys().next_back().map(|at| at.at);
        used.max(called).unwrap_or(Millis::MAX)
    }
}
