//! A realm in memory, changed between any two requests, with the history of everything that was ever true of it.

use crate::{
    pull::{Append, Appending, NotAppended, Received},
    snapshot::{
        Extent, NotTaken, Order, Settings, Surroundings, Taker,
        ask::{Ask, Asking, Missed},
        unit::Request,
    },
};
use events::{person::DeploymentKey, snapshot::Trigger};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, VecDeque},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

/// What happens to the realm between two requests.
#[derive(Clone, Debug)]
pub(super) enum Change {
    AddUser(u8),
    RemoveUser(u8),
    Disable(u8),
    Enable(u8),
    Join(u8),
    Leave(u8),
    /// Another name, and so another place in the list.
    Rename(u8, u8),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct User {
    pub name: String,
    pub enabled: bool,
    pub member: bool,
}

/// What a request meets.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    Missed(Missed),
    /// The process dies instead of hearing the answer.
    Dies,
}

/// The realm and all that was true of it, by instant.
#[derive(Default)]
pub(super) struct World {
    pub users: BTreeMap<u8, User>,
    /// State of every user after each change: (instant from which it holds, users).
    pub history: Vec<(i64, BTreeMap<u8, User>)>,
    pub changes: VecDeque<Vec<Change>>,
    pub faults: BTreeMap<u64, Fault>,
    pub requests: u64,
    pub asked: Vec<Request>,
}

impl World {
    pub(super) fn with_users(count: u8) -> Self {
        let user = |n: u8| (n, User { name: name(n), enabled: true, member: n.is_multiple_of(2) });
        let users: BTreeMap<u8, User> = (0..count).map(|n| user(2 * n)).collect();
        Self { history: vec![(0, users.clone())], users, ..Self::default() }
    }

    /// Changes it while nobody reads; seen from the next request on.
    pub(super) fn apply(&mut self, change: &Change) {
        self.change(change);
    }

    fn change(&mut self, change: &Change) {
        match change {
            Change::AddUser(n) => {
                let user = User { name: name(*n), enabled: true, member: false };
                // A name is taken once.
                if self.users.values().all(|other| other.name != user.name) {
                    self.users.entry(*n).or_insert(user);
                }
            }
            Change::RemoveUser(n) => drop(self.users.remove(n)),
            Change::Disable(n) => self.set(*n, |user| user.enabled = false),
            Change::Enable(n) => self.set(*n, |user| user.enabled = true),
            Change::Join(n) => self.set(*n, |user| user.member = true),
            Change::Leave(n) => self.set(*n, |user| user.member = false),
            Change::Rename(n, to) => {
                let to = name(*to);
                if self.users.values().all(|user| user.name != to) {
                    self.set(*n, |user| user.name = to);
                }
            }
        }
    }

    fn set(&mut self, n: u8, set: impl FnOnce(&mut User)) {
        self.users.entry(n).and_modify(set);
    }

    fn answer(&self, request: &Request) -> Result<Vec<u8>, Missed> {
        let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
        let number = |name: &str| {
            let found = request.query.iter().find(|(key, _)| *key == name);
            found.and_then(|(_, value)| value.parse::<usize>().ok())
        };
        let page = |items: Vec<Value>| {
            let (first, max) = (number("first").unwrap_or_default(), number("max").unwrap_or(usize::MAX));
            Value::Array(items.into_iter().skip(first).take(max).collect())
        };
        let mut sorted: Vec<(&u8, &User)> = self.users.iter().collect();
        sorted.sort_by_key(|(_, user)| user.name.clone());
        let said =
            |(n, user): &(&u8, &User)| json!({"id": format!("u{n}"), "username": user.name, "enabled": user.enabled});
        let answer = match path.as_slice() {
            [] => json!({"id": "r1", "realm": "acme", "accessTokenLifespan": 300, "organizationsEnabled": false}),
            ["events", "config"] => json!({"eventsEnabled": true}),
            ["clients"] => page(vec![json!({"id": "c1", "clientId": "account"})]),
            ["groups"] => page(vec![json!({"id": "g1", "name": "ops", "path": "/ops", "subGroupCount": 0})]),
            ["users"] => page(sorted.iter().map(said).collect()),
            ["groups", "g1", "members"] => page(sorted.iter().filter(|(_, user)| user.member).map(said).collect()),
            ["roles"] | ["clients", "c1", "roles"] | ["default-groups"] | ["client-session-stats"] => page(Vec::new()),
            ["identity-provider", "instances"] | ["authentication", "flows" | "required-actions"] => page(Vec::new()),
            _ => return Err(Missed::NotFound),
        };
        Ok(answer.to_string().into_bytes())
    }
}

/// A name in the order of its number.
pub(super) fn name(n: u8) -> String {
    format!("user{n:03}")
}

/// Asks the world; time passes with each request, and changes happen between two.
pub(super) struct Source {
    pub world: Mutex<World>,
    pub clock: Arc<AtomicI64>,
    /// Told when a request is met by [`Fault::Dies`].
    pub died: tokio::sync::Notify,
}

impl Ask for Source {
    fn ask<'a>(&'a self, request: &'a Request) -> Asking<'a, Result<Vec<u8>, Missed>> {
        let answer = {
            let mut world = self.world.lock().unwrap();
            let at = self.clock.fetch_add(2, Ordering::SeqCst) + 1;
            for change in world.changes.pop_front().unwrap_or_default() {
                world.change(&change);
            }
            let users = world.users.clone();
            world.history.push((at, users));
            world.requests += 1;
            world.asked.push(request.clone());
            let number = world.requests;
            match world.faults.remove(&number) {
                Some(Fault::Missed(missed)) => Some(Err(missed)),
                Some(Fault::Dies) => None,
                None => Some(world.answer(request)),
            }
        };
        Box::pin(async move {
            match answer {
                Some(answer) => answer,
                None => {
                    self.died.notify_one();
                    std::future::pending().await
                }
            }
        })
    }
}

#[derive(Default)]
pub(super) struct Journal {
    pub kept: Mutex<Vec<Received>>,
    /// Appends that are refused: their number, and whether they happened all the same.
    pub refused: Mutex<BTreeMap<u64, bool>>,
    count: Mutex<u64>,
}

impl Append for Journal {
    fn append(&self, receipts: Vec<Received>) -> Appending<'_> {
        let mut count = self.count.lock().unwrap();
        *count += 1;
        let refused = self.refused.lock().unwrap().remove(&*count);
        if refused != Some(false) {
            self.kept.lock().unwrap().extend(receipts);
        }
        Box::pin(async move { if refused.is_some() { Err(NotAppended::Later) } else { Ok(()) } })
    }
}

/// A reader on a folder, as after a start of the process.
pub(super) struct Bench {
    pub source: Arc<Source>,
    pub journal: Arc<Journal>,
    pub settings: Settings,
    pub around: Surroundings,
}

impl Bench {
    pub(super) fn new(world: World, (dir, page): (&Path, usize)) -> Self {
        let clock = Arc::new(AtomicI64::new(10));
        let journal = Arc::new(Journal::default());
        let now = Arc::clone(&clock);
        let around = Surroundings {
            append: Arc::clone(&journal) as Arc<dyn Append>,
            key: DeploymentKey::new([7; 32]),
            now: Arc::new(move || now.load(Ordering::SeqCst)),
        };
        let settings = Settings { page, patience: vec![Duration::ZERO; 2], ..Settings::new(dir.to_owned()) };
        Self {
            source: Arc::new(Source { world: Mutex::new(world), clock, died: tokio::sync::Notify::new() }),
            journal,
            settings,
            around,
        }
    }

    /// Takes a snapshot as the program does, over the realm in memory; its id.
    pub(super) async fn take(&self) -> Result<String, NotTaken> {
        self.take_by(Trigger::Demand).await
    }

    pub(super) async fn take_by(&self, trigger: Trigger) -> Result<String, NotTaken> {
        let with = (self.settings.clone(), self.around.clone());
        let taker = Taker::over(("default", "kc"), Arc::clone(&self.source) as Arc<dyn Ask>, with);
        let order = Order { trigger, extent: Extent::Changes };
        Ok(taker.take(order).await?.begin.snapshot)
    }

    /// What the log says of a snapshot.
    pub(super) fn derive(&self, snapshot: &str) -> super::state::Derived {
        let kept = self.journal.kept.lock().unwrap();
        super::state::derive(kept.iter().map(|one| (one.header.payload, one.body.as_slice())), snapshot)
    }
}
