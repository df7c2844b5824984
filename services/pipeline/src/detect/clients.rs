//! Clients of a Keycloak that changed without an event: each complete read against the one before, and what differs against what was done
//! in between. What was read is kept, so that a round asks about new reads alone.

use super::Reader;
use drift::client::{ClientChange, Clients};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use store::{
    StoreError,
    clients::{ClientActs, ClientRead, ClientState, ClientsOf},
};
use tokio::time::Instant;

/// Whether clients were read anew is looked at this often.
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
    realms: BTreeMap<(String, String), Realm>,
    /// What no event told when it was looked for last.
    unexplained: Vec<ClientChange>,
    /// There was too much to ask for.
    too_much: bool,
    /// Since when this is known, and whether something came that may be a read before others.
    begun: Option<Instant>,
    is_old: bool,
}

/// The clients of a realm as they were read last.
#[derive(Default)]
struct Realm {
    /// The last complete read that was compared.
    read: Option<ClientRead>,
    /// By their marks.
    clients: BTreeMap<String, Client>,
    /// Another read came since that was not compared, and what it wrote was not written again.
    passed: bool,
}

/// One client on a list.
#[derive(Clone)]
struct Client {
    hash: String,
    /// None: what says it is not stored.
    state: Option<Arc<ClientState>>,
}

impl Reader {
    /// Clients that changed without an event, up to `ripe`; `from`: the earliest time of what was stored since the last time. What is too
    /// much to ask for is said so.
    pub(super) async fn clients(&self, (ripe, from): (i64, i64), known: &mut Known) -> Result<Clients, StoreError> {
        if self.settings.disabled.contains("D03") {
            return Ok(Clients::default());
        }
        match self.look_at_clients((ripe, from), known).await {
            Ok(()) => {
                let unknown = |realm: &Realm| realm.clients.values().any(|client| client.state.is_none());
                let unread = known.realms.iter().filter(|(_, realm)| unknown(realm));
                let unread = unread.map(|((source, realm), _)| format!("{source} {realm}")).collect();
                Ok(Clients { changes: known.unexplained.clone(), unread, unasked: known.too_much })
            }
            Err(error @ StoreError::TooMany { .. }) => {
                tracing::warn!(%error, "Clients that changed without an event cannot be looked for.");
                *known = Known { next: Some(Instant::now() + ANYWAY), too_much: true, ..Known::default() };
                Ok(Clients { unasked: true, ..Clients::default() })
            }
            Err(error) => Err(error),
        }
    }

    async fn look_at_clients(&self, (ripe, from): (i64, i64), known: &mut Known) -> Result<(), StoreError> {
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
        let mut reads = self.store.client_reads(&self.tenant, (since, ripe)).await?;
        reads.retain(|read| {
            let realm = known.realms.get(&(read.source_id.clone(), read.realm.clone()));
            realm.and_then(|realm| realm.read.as_ref()).is_none_or(|last| last < read)
        });
        for of_realm in reads.chunk_by(|a, b| (&a.source_id, &a.realm) == (&b.source_id, &b.realm)) {
            let realm = known.realms.entry((of_realm[0].source_id.clone(), of_realm[0].realm.clone())).or_default();
            for read in of_realm {
                if !self.compared(read, (ripe, realm, &mut known.unexplained)).await? {
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
        let (mut still, mut again) = (Vec::new(), BTreeMap::<_, Vec<ClientChange>>::new());
        for change in std::mem::take(&mut known.unexplained) {
            if from > change.before.saturating_add(self.settings.skew) {
                still.push(change);
                continue;
            }
            let between = (change.source.clone(), change.realm.clone(), change.after, change.before);
            again.entry(between).or_default().push(change);
        }
        let looked = !again.is_empty();
        for ((source, realm, after, before), changes) in again {
            let acts = self.store.client_acts(self.of((&source, &realm), (after, before))).await?;
            still.extend(unexplained(&acts, changes));
        }
        known.unexplained = still;
        Ok(looked)
    }

    fn of<'a>(&'a self, (source, realm): (&'a str, &'a str), (from, to): (i64, i64)) -> ClientsOf<'a> {
        let skew = self.settings.skew;
        ClientsOf { tenant: &self.tenant, source, realm, from: from.saturating_sub(skew), to: to.saturating_add(skew) }
    }

    /// Holds one read of a realm against the one before; false if what it wrote is waited for.
    async fn compared(
        &self,
        read: &ClientRead,
        (ripe, realm, unexplained_yet): (i64, &mut Realm, &mut Vec<ClientChange>),
    ) -> Result<bool, StoreError> {
        if !read.complete {
            realm.passed = true;
            return Ok(true);
        }
        let wrote_nothing = read.changed == 0 && realm.clients.len() as u64 == read.entities;
        if realm.read.is_some() && wrote_nothing && !realm.passed {
            realm.read = Some(read.clone());
            return Ok(true);
        }
        let whole = self.of((&read.source_id, &read.realm), (read.began, read.ended));
        let list = self.store.client_list(whole, &read.snapshot).await?;
        let is_young = ripe.saturating_sub(read.ended) < WAIT;
        if list.len() as u64 != read.entities {
            // Not all of it is stored, or not yet.
            realm.passed |= !is_young;
            return Ok(!is_young);
        }
        // What reads wrote that were given up is as good: who says it does not matter.
        let from = realm.read.as_ref().map_or(i64::MIN, |last| last.began);
        let states = self.store.client_states(ClientsOf { from, ..whole }).await?;
        let said = states.into_iter().map(|state| ((state.entity.clone(), state.hash.clone()), Arc::new(state)));
        let said: BTreeMap<(String, String), Arc<ClientState>> = said.collect();
        let client = |(entity, hash): (String, String)| {
            let before = realm.clients.get(&entity).filter(|client| client.hash == hash);
            let state = said.get(&(entity.clone(), hash.clone())).cloned();
            (entity, Client { hash, state: state.or_else(|| before.and_then(|client| client.state.clone())) })
        };
        let now: BTreeMap<String, Client> = list.into_iter().map(client).collect();
        // What was waited for in vain once is not waited for again.
        let is_new =
            |(entity, client): (&String, &Client)| realm.clients.get(entity).is_none_or(|was| was.hash != client.hash);
        if is_young && now.iter().any(|one| one.1.state.is_none() && is_new(one)) {
            return Ok(false);
        }
        realm.passed = false;
        let changes = realm.compare(read, now);
        if let Some(first) = changes.first() {
            let span = (first.after, first.before);
            let acts = self.store.client_acts(self.of((&read.source_id, &read.realm), span)).await?;
            unexplained_yet.extend(unexplained(&acts, changes));
        }
        Ok(true)
    }
}

/// Of the changes between two reads those of which no event tells.
fn unexplained(acts: &ClientActs, mut changes: Vec<ClientChange>) -> Vec<ClientChange> {
    // Another realm of that name: what was said of the one before is not held against it.
    if acts.remade {
        return Vec::new();
    }
    let told = |change: &ClientChange| acts.concern(&change.realm, (&change.uuid, &change.client));
    // An import can put another client into the place of one.
    let made: BTreeSet<String> = changes.iter().filter(|one| told(one)).map(|one| one.client.clone()).collect();
    let replaced = |change: &ClientChange| change.what == "deleted" && made.contains(&change.client);
    changes.retain(|change| !told(change) && !replaced(change));
    changes
}

impl Realm {
    /// What a read found otherwise than the one before; its clients.
    fn compare(&mut self, read: &ClientRead, now: BTreeMap<String, Client>) -> Vec<ClientChange> {
        let before = std::mem::replace(&mut self.clients, now);
        // The first one says what is there.
        let Some(last) = self.read.replace(read.clone()) else { return Vec::new() };
        let same =
            |(entity, client): (&String, &Client)| self.clients.get(entity).is_some_and(|now| now.hash == client.hash);
        if !before.iter().any(same) {
            return Vec::new();
        }
        let change = |state: &ClientState, what, fields, was: Option<&ClientState>| ClientChange {
            source: read.source_id.clone(),
            realm: read.realm.clone(),
            uuid: state.uuid.clone(),
            client: state.client.clone(),
            what,
            fields,
            after: last.began,
            before: read.ended,
            evidence: was.into_iter().chain([state]).map(|state| state.event_id).collect(),
        };
        let mut changes = Vec::new();
        for (entity, client) in &self.clients {
            match (before.get(entity), &client.state) {
                (None, Some(state)) => changes.push(change(state, "created", Vec::new(), None)),
                // What it was may not be stored.
                (Some(was), Some(state)) if was.hash != client.hash => {
                    let was = was.state.as_deref();
                    let fields = was.map(|was| differing(was, state)).unwrap_or_default();
                    changes.push(change(state, "changed", fields, was));
                }
                // As before; or what it is, is not stored.
                _ => {}
            }
        }
        let gone = before.iter().filter(|(entity, _)| !self.clients.contains_key(*entity));
        let gone = gone.filter_map(|(_, client)| client.state.as_deref());
        changes.extend(gone.map(|was| change(was, "deleted", Vec::new(), None)));
        changes
    }
}

/// A field that every state has, but for those that an older normaliser read: it named fewer.
const ALWAYS: &str = "redirectUris";

/// Names of the fields in which two states differ, in order.
fn differing(was: &ClientState, is: &ClientState) -> Vec<String> {
    let named = |state: &ClientState| -> BTreeMap<String, String> {
        state.fields.iter().cloned().chain([("clientId".to_owned(), state.client.clone())]).collect()
    };
    let (was, is) = (named(was), named(is));
    let alike = was.contains_key(ALWAYS) == is.contains_key(ALWAYS);
    let names: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
    let differs = |name: &&&String| {
        let (before, after) = (was.get(**name), is.get(**name));
        before != after && (alike || (before.is_some() && after.is_some()))
    };
    names.iter().filter(differs).map(|name| (*name).clone()).collect()
}
