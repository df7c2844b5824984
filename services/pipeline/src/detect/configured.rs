//! What a Keycloak is configured with and that changed without an event: each complete read against the one before, and what differs against what was done
//! in between. What was read is kept, so that a round asks about new reads alone.

use super::Reader;
use drift::configured::{Change, Configured};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use store::{
    StoreError,
    configured::{Done, Held, Of, Read, State},
};
use tokio::time::Instant;

/// Whether something was read anew is looked at this often.
const AGAIN: Duration = Duration::from_secs(10);
/// What an import brings has all of it read anew, this often at most.
const ANEW: Duration = Duration::from_secs(60);
/// What was too much to ask for is asked for again this often.
const ANYWAY: Duration = Duration::from_secs(900);
/// How long after its end a read may be stored, milliseconds.
const STORED: i64 = 86_400_000;
/// How long what a read wrote is waited for, milliseconds.
const WAIT: i64 = 3_600_000;

/// What was read so far, and what differed.
#[derive(Default)]
pub(super) struct Known {
    /// When to look again.
    next: Option<Instant>,
    /// Up to when reads were looked for.
    until: Option<i64>,
    lists: BTreeMap<Whose, Seen>,
    /// What no event told when it was looked for last.
    unexplained: Vec<(Held, Change)>,
    /// There was too much to ask for.
    too_much: bool,
    /// Since when this is known, and whether something came that may be a read before others.
    begun: Option<Instant>,
    is_old: bool,
}

/// Source, realm, and what of it.
type Whose = (String, String, Held);

/// All of a kind of a realm, as they were read last.
#[derive(Default)]
struct Seen {
    /// The last complete read that was compared.
    read: Option<Read>,
    /// By their marks.
    things: BTreeMap<String, Thing>,
    /// Another read came since that was not compared, and what it wrote was not written again.
    passed: bool,
}

/// One thing on a list.
#[derive(Clone)]
struct Thing {
    hash: String,
    /// None: what says it is not stored.
    state: Option<Arc<State>>,
}

impl Reader {
    /// What changed without an event, up to `ripe`; `from`: the earliest time of what was stored since the last time. What is too
    /// much to ask for is said so.
    pub(super) async fn configured(
        &self,
        (ripe, from): (i64, i64),
        known: &mut Known,
    ) -> Result<Configured, StoreError> {
        if self.settings.disabled.contains("D03") {
            return Ok(Configured::default());
        }
        match self.look_at_configured((ripe, from), known).await {
            Ok(()) => {
                let unknown = |seen: &Seen| seen.things.values().any(|thing| thing.state.is_none());
                let unread = known.lists.iter().filter(|(_, seen)| unknown(seen));
                let words =
                    |(source, realm, held): &Whose| format!("{} of {source} {realm}", held.area().replace('_', " "));
                let unread = unread.map(|(whose, _)| words(whose)).collect();
                let changes = known.unexplained.iter().map(|(_, change)| change.clone()).collect();
                Ok(Configured { changes, unread, unasked: known.too_much })
            }
            Err(error @ StoreError::TooMany { .. }) => {
                tracing::warn!(%error, "What changed in Keycloak without an event cannot be looked for.");
                *known = Known { next: Some(Instant::now() + ANYWAY), too_much: true, ..Known::default() };
                Ok(Configured { unasked: true, ..Configured::default() })
            }
            Err(error) => Err(error),
        }
    }

    async fn look_at_configured(&self, (ripe, from): (i64, i64), known: &mut Known) -> Result<(), StoreError> {
        known.is_old |= known.until.is_some_and(|until| from < until.saturating_sub(STORED));
        let late = self.still_unexplained(from, known).await?;
        if !late && known.next.is_some_and(|next| next > Instant::now()) {
            return Ok(());
        }
        if known.is_old && known.begun.is_none_or(|begun| begun.elapsed() >= ANEW) {
            *known = Known::default();
        }
        known.begun.get_or_insert_with(Instant::now);
        let since = known.until.map_or(i64::MIN, |until| until.saturating_sub(STORED));
        let mut reads = self.store.configured_reads(&self.tenant, (since, ripe)).await?;
        reads.retain(|read| {
            let seen = known.lists.get(&whose(read));
            seen.and_then(|seen| seen.read.as_ref()).is_none_or(|last| last < read)
        });
        for reads in reads.chunk_by(|a, b| whose(a) == whose(b)) {
            let whose = whose(&reads[0]);
            let held = whose.2;
            let seen = known.lists.entry(whose).or_default();
            for read in reads {
                if !self.compared((held, read), (ripe, seen, &mut known.unexplained)).await? {
                    break;
                }
            }
        }
        (known.until, known.next) = (Some(ripe), Some(Instant::now() + AGAIN));
        known.too_much = false;
        Ok(())
    }

    /// Forgets what an event tells that came since; true if something may have come that tells of an earlier time.
    async fn still_unexplained(&self, from: i64, known: &mut Known) -> Result<bool, StoreError> {
        let (mut still, mut again) = (Vec::new(), BTreeMap::<_, Vec<Change>>::new());
        for (held, change) in std::mem::take(&mut known.unexplained) {
            if from > change.before.saturating_add(self.settings.skew) {
                still.push((held, change));
                continue;
            }
            let between = (held, change.source.clone(), change.realm.clone(), change.after, change.before);
            again.entry(between).or_default().push(change);
        }
        let looked = !again.is_empty();
        for ((held, source, realm, after, before), changes) in again {
            let done = self.store.configured_acts(self.of((&source, &realm, held), (after, before))).await?;
            still.extend(unexplained((held, &done), changes));
        }
        known.unexplained = still;
        Ok(looked)
    }

    fn of<'a>(&'a self, (source, realm, held): (&'a str, &'a str, Held), (from, to): (i64, i64)) -> Of<'a> {
        let skew = self.settings.skew;
        Of { tenant: &self.tenant, source, realm, held, from: from.saturating_sub(skew), to: to.saturating_add(skew) }
    }

    /// Holds one read of a realm against the one before; false if what it wrote is waited for.
    async fn compared(
        &self,
        (held, read): (Held, &Read),
        (ripe, seen, unexplained_yet): (i64, &mut Seen, &mut Vec<(Held, Change)>),
    ) -> Result<bool, StoreError> {
        if !read.complete {
            seen.passed = true;
            return Ok(true);
        }
        let wrote_nothing = read.changed == 0 && seen.things.len() as u64 == read.entities;
        if seen.read.is_some() && wrote_nothing && !seen.passed {
            seen.read = Some(read.clone());
            return Ok(true);
        }
        let whole = self.of((&read.source_id, &read.realm, held), (read.began, read.ended));
        let list = self.store.configured_list(whole, &read.snapshot).await?;
        let is_young = ripe.saturating_sub(read.ended) < WAIT;
        if list.len() as u64 != read.entities {
            // Not all of it is stored, or not yet.
            seen.passed |= !is_young;
            return Ok(!is_young);
        }
        // What reads wrote that were given up is as good: who says it does not matter.
        let from = seen.read.as_ref().map_or(i64::MIN, |last| last.began);
        let states = self.store.configured_states(Of { from, ..whole }).await?;
        let said = states.into_iter().map(|state| ((state.entity.clone(), state.hash.clone()), Arc::new(state)));
        let said: BTreeMap<(String, String), Arc<State>> = said.collect();
        let thing = |(entity, hash): (String, String)| {
            let before = seen.things.get(&entity).filter(|thing| thing.hash == hash);
            let state = said.get(&(entity.clone(), hash.clone())).cloned();
            (entity, Thing { hash, state: state.or_else(|| before.and_then(|thing| thing.state.clone())) })
        };
        let now: BTreeMap<String, Thing> = list.into_iter().map(thing).collect();
        // What was waited for in vain once is not waited for again.
        let is_new =
            |(entity, thing): (&String, &Thing)| seen.things.get(entity).is_none_or(|was| was.hash != thing.hash);
        if is_young && now.iter().any(|one| one.1.state.is_none() && is_new(one)) {
            return Ok(false);
        }
        seen.passed = false;
        let changes = seen.compare((held, read), now);
        if let Some(first) = changes.first() {
            let span = (first.after, first.before);
            let done = self.store.configured_acts(self.of((&read.source_id, &read.realm, held), span)).await?;
            unexplained_yet.extend(unexplained((held, &done), changes));
        }
        Ok(true)
    }
}

/// Whose read it is.
fn whose(read: &Read) -> Whose {
    let held = Held::ALL.into_iter().find(|held| held.area() == read.area).unwrap_or(Held::Clients);
    (read.source_id.clone(), read.realm.clone(), held)
}

/// Of the changes between two reads those of which no event tells.
fn unexplained((held, done): (Held, &Done), mut changes: Vec<Change>) -> Vec<(Held, Change)> {
    // Another realm of that name: what was said of the one before is not held against it.
    if done.remade {
        return Vec::new();
    }
    let told = |change: &Change| done.concerns(held, &change.realm, (&change.id, &change.name));
    // An import can put another one into the place of one.
    let made: BTreeSet<String> = changes.iter().filter(|one| told(one)).map(|one| one.name.clone()).collect();
    let replaced = |change: &Change| change.what == "deleted" && made.contains(&change.name);
    changes.retain(|change| !told(change) && !replaced(change));
    changes.into_iter().map(|change| (held, change)).collect()
}

impl Seen {
    /// What a read found otherwise than the one before; what it found.
    fn compare(&mut self, (held, read): (Held, &Read), now: BTreeMap<String, Thing>) -> Vec<Change> {
        let before = std::mem::replace(&mut self.things, now);
        // The first one says what is there.
        let Some(last) = self.read.replace(read.clone()) else { return Vec::new() };
        if self.is_another(held, &before) {
            return Vec::new();
        }
        let change = |state: &State, what, fields, was: Option<&State>| Change {
            source: read.source_id.clone(),
            realm: read.realm.clone(),
            kind: held.one(),
            id: state.id.clone(),
            name: state.name.clone(),
            what,
            fields,
            after: last.began,
            before: read.ended,
            evidence: was.into_iter().chain([state]).map(|state| state.event_id).collect(),
        };
        let mut changes = Vec::new();
        for (entity, thing) in &self.things {
            match (before.get(entity), &thing.state) {
                (None, Some(state)) => changes.push(change(state, "created", Vec::new(), None)),
                (Some(was), Some(state)) if was.hash != thing.hash => {
                    // What it was may not be stored.
                    let was = was.state.as_deref();
                    let fields = was.map(|was| differing(held, (was, state))).unwrap_or_default();
                    // Of a realm, a release that reads more settings makes a difference that is none.
                    if held != Held::Realm || !fields.is_empty() {
                        changes.push(change(state, "changed", fields, was));
                    }
                }
                // As before; or what it is, is not stored.
                _ => {}
            }
        }
        let gone = before.iter().filter(|(entity, _)| !self.things.contains_key(*entity));
        let gone = gone.filter_map(|(_, thing)| thing.state.as_deref());
        changes.extend(gone.map(|was| change(was, "deleted", Vec::new(), None)));
        changes
    }

    /// Whether these are of another realm of that name, or read by a release that reads all of them otherwise.
    fn is_another(&self, held: Held, before: &BTreeMap<String, Thing>) -> bool {
        let same =
            |(entity, thing): (&String, &Thing)| self.things.get(entity).is_some_and(|now| now.hash == thing.hash);
        let stays = |(entity, _): (&String, &Thing)| self.things.contains_key(entity);
        let id = |things: &BTreeMap<String, Thing>| {
            let state = things.values().next().and_then(|thing| thing.state.as_ref());
            state.map(|state| state.id.clone())
        };
        match held {
            // Every realm has several, and nobody changes all of them.
            Held::Clients => !before.iter().any(same),
            Held::Realm => id(before) != id(&self.things),
            // There can be none, or a single one.
            _ => !before.is_empty() && !self.things.is_empty() && !before.iter().any(stays),
        }
    }
}

/// A field that the state of every client has, but for those that an older normaliser read: it named fewer.
const ALWAYS: &str = "redirectUris";

/// Names of the fields in which two states differ, in order.
fn differing(held: Held, (was, is): (&State, &State)) -> Vec<String> {
    let named = |state: &State| -> BTreeMap<String, String> {
        let name = (held == Held::Clients).then(|| ("clientId".to_owned(), state.name.clone()));
        state.fields.iter().cloned().chain(name).collect()
    };
    let (was, is) = (named(was), named(is));
    // Releases before read fewer settings of a realm, and the settings of a realm are always there.
    let alike = held != Held::Realm && was.contains_key(ALWAYS) == is.contains_key(ALWAYS);
    let names: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
    let differs = |name: &&&String| {
        let (before, after) = (was.get(**name), is.get(**name));
        before != after && (alike || (before.is_some() && after.is_some()))
    };
    names.iter().filter(differs).map(|name| (*name).clone()).collect()
}
