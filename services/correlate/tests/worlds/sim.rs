//! A Keycloak and a Backstage in small: who is in which group, what the catalog knew at its last sync, who holds which token.
//! Everything that happens is told in lines, and what is true at each decision is written down beside.

use crate::{
    lines::{self, Line},
    model::{Decided, Group, Held, SignedIn, Token, User},
    rights::{Could, Rights},
    snapshots::Readers,
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

pub const TOKEN_LIFE: i64 = 600_000;
pub const CATALOG_BUDGET: i64 = 45_000;
/// Every world begins here.
const START: i64 = 1_795_000_000_000;
/// When its Backstage tells its policies: nothing supports a permission before.
const POLICIES: i64 = START + 5;
const STEPS: usize = 60;

/// How late a line is stamped at most, ms: with what an answer takes, within what two clocks explain.
pub const MOST_LATE: i64 = 800;

pub struct World {
    pub random: StdRng,
    pub now: i64,
    pub groups: Vec<Group>,
    pub users: Vec<User>,
    pub rights: Rights,
    /// Role -> members (references).
    pub roles: BTreeMap<String, BTreeSet<String>>,
    /// Role -> permission.
    pub policies: BTreeMap<String, String>,
    /// What the catalog knows: person's reference -> (Keycloak id, groups' references with all above).
    pub catalog: BTreeMap<String, BTreeSet<String>>,
    /// (user, permission) -> (entitled, since, whether the account was open then).
    entitled: BTreeMap<(usize, String), (bool, Option<i64>, bool)>,
    pub lines: Vec<Line>,
    pub decided: Vec<Decided>,
    pub could: Vec<Could>,
    /// Decisions on conditions, and what became of them where a line tells it.
    pub conditional: Vec<(Uuid, Option<bool>)>,
    /// When a catalog first named a user.
    pub synced: BTreeMap<String, i64>,
    pub held: Vec<Held>,
    pub signed_in: Vec<SignedIn>,
    pub readers: Readers,
    /// Nothing changes while the last snapshot is read: no later one would tell.
    pub quiet: bool,
    /// Who reads the lines stamps "Issuing token" lines late, as a busy machine does: after the callback's line, which dates itself.
    pub slow: bool,
}

impl World {
    pub fn generate(seed: u64) -> Self {
        Self::of(seed, (STEPS, false))
    }

    pub fn slow(seed: u64) -> Self {
        Self::of(seed, (STEPS, true))
    }

    pub fn of_steps(seed: u64, steps: usize) -> Self {
        Self::of(seed, (steps, false))
    }

    fn of(seed: u64, (steps, slow): (usize, bool)) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let id = |kind: &str, number: usize| format!("{kind}{seed:04x}-{number:04}");
        // Some trees are deep: each group below the one before it.
        let deep = random.random_bool(0.2);
        let groups = (0..random.random_range(3..9)).map(|number| Group {
            id: id("g", number),
            name: format!("team{number}"),
            parent: match deep {
                true => usize::checked_sub(number, 1),
                false => (number > 0 && random.random_bool(0.5)).then(|| random.random_range(0..number)),
            },
            lives: true,
        });
        let groups: Vec<Group> = groups.collect();
        let users = (0..random.random_range(2..6)).map(|number| User {
            id: id("u", number),
            name: format!("person{number}"),
            lives: true,
            enabled: true,
            groups: (0..groups.len()).filter(|_| random.random_bool(0.25)).collect(),
            tokens: Vec::new(),
        });
        let users: Vec<User> = users.collect();
        let rights = Rights::generate(&mut random, seed, (users.len(), groups.len()));
        let mut roles = BTreeMap::new();
        let mut policies = BTreeMap::new();
        for number in 0..random.random_range(1..4) {
            let role = format!("role:default/r{number}");
            let members: BTreeSet<String> =
                groups.iter().filter(|_| random.random_bool(0.35)).map(|group| group_ref(&group.name)).collect();
            roles.insert(role.clone(), members);
            policies.insert(role, format!("p.{}", random.random_range(0..2)));
        }
        let mut world = Self {
            random,
            now: START,
            groups,
            users,
            rights,
            roles,
            policies,
            catalog: BTreeMap::new(),
            entitled: BTreeMap::new(),
            lines: Vec::new(),
            decided: Vec::new(),
            could: Vec::new(),
            conditional: Vec::new(),
            synced: BTreeMap::new(),
            held: Vec::new(),
            signed_in: Vec::new(),
            readers: Readers::default(),
            quiet: true,
            slow,
        };
        world.begin();
        for _ in 0..steps {
            world.step();
        }
        world.pause(30_000);
        world.quiet = true;
        world.snapshots();
        world.settle_truth();
        world.note_rights();
        world
    }

    fn begin(&mut self) {
        for user in &self.users {
            for group in &user.groups {
                let (user, group) = (user.id.clone(), self.groups[*group].id.clone());
                self.held.push(Held { user, group, from: None, to: None });
            }
        }
        self.lines.push(lines::roles_at_start(self.now, &self.roles));
        self.lines.push(lines::policies_at_start(POLICIES, &self.policies));
        self.now += 10;
        self.snapshots();
        self.quiet = false;
        self.now += 3_000;
        self.sync();
        self.settle_truth();
    }

    pub fn pause(&mut self, most: i64) {
        self.now += self.random.random_range(5..most);
    }

    fn step(&mut self) {
        self.pause(20_000);
        // Lines keep their order: nothing else is read before one that is late.
        self.now += if self.slow { MOST_LATE } else { 0 };
        let user = self.random.random_range(0..self.users.len());
        match self.random.random_range(0..100) {
            0..15 => self.sign_in(user),
            15..25 => self.refresh(user),
            25..48 => self.decide(user),
            48..52 => self.decide_on_conditions(user),
            52..62 => self.change_rights(),
            62..78 => self.change_membership(user),
            78..86 => self.sync(),
            86..89 => self.change_group(),
            89..92 => self.enable(user),
            92..95 => self.change_role(user),
            95..97 => self.sign_out(user),
            97 => self.end_sessions(user),
            98 if self.random.random_bool(0.5) => self.delete_user(user),
            98 => self.create_user(),
            _ => {
                // Not within a second of a change: what is read then is not told from what is said.
                self.now += 3_000;
                self.snapshots();
                self.now += 3_000;
            }
        }
        self.settle_truth();
        if self.random.random_bool(0.15) {
            self.note_rights();
        }
    }

    /// Writes down which entitlements began or ended just now.
    pub fn settle_truth(&mut self) {
        for user in 0..self.users.len() {
            let permissions: BTreeSet<String> = self.policies.values().cloned().collect();
            for permission in permissions {
                let (now, open) = (self.is_entitled(user, &permission), self.active(user));
                let known = self.entitled.entry((user, permission)).or_insert((now, now.then_some(POLICIES), open));
                if known.0 != now {
                    *known = (now, Some(self.now), open);
                }
            }
        }
    }

    fn is_entitled(&self, user: usize, permission: &str) -> bool {
        self.entitled_by_group(user, permission)
            || (self.active(user) && self.role_of(&[self.reference(user)].into(), permission))
    }

    fn entitled_by_group(&self, user: usize, permission: &str) -> bool {
        self.active(user) && self.role_of(&self.groups_with_parents(user), permission)
    }

    fn role_of(&self, references: &BTreeSet<String>, permission: &str) -> bool {
        let fits = |role: &&String| self.policies[*role] == permission;
        self.roles.keys().filter(fits).any(|role| !self.roles[role].is_disjoint(references))
    }

    pub fn active(&self, user: usize) -> bool {
        self.users[user].lives && self.users[user].enabled
    }

    fn groups_with_parents(&self, user: usize) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for group in &self.users[user].groups {
            let mut next = Some(*group);
            while let Some(group) = next {
                found.insert(group_ref(&self.groups[group].name));
                next = self.groups[group].parent;
            }
        }
        found
    }

    pub fn reference(&self, user: usize) -> String {
        format!("user:default/{}", self.users[user].name)
    }

    fn sync(&mut self) {
        self.catalog.clear();
        for user in (0..self.users.len()).filter(|user| self.users[*user].lives) {
            self.catalog.insert(self.reference(user), self.groups_with_parents(user));
            self.synced.entry(self.users[user].id.clone()).or_insert(self.now);
        }
        self.lines.push(lines::catalog(self.now, &self.users, &self.groups));
    }

    fn decide(&mut self, user: usize) {
        let alive: Vec<Token> =
            self.users[user].tokens.iter().filter(|token| token.at > self.now - TOKEN_LIFE).cloned().collect();
        if alive.is_empty() {
            return;
        }
        let used = alive[self.random.random_range(0..alive.len())].clone();
        let permission = format!("p.{}", self.random.random_range(0..2));
        if !self.policies.values().any(|known| *known == permission) {
            return;
        }
        let reference = self.reference(user);
        let mut references = self.catalog.get(&reference).cloned().unwrap_or_default();
        references.insert(reference.clone());
        let allowed = self.role_of(&references, &permission);
        let line = lines::decision(self.now, (&reference, &permission, allowed));
        let (entitled, since, active) = self.entitled[&(user, permission.clone())];
        self.decided.push(Decided {
            event: line.event,
            at: self.now,
            user: self.users[user].id.clone(),
            allowed,
            entitled,
            by_backstage: entitled && !self.entitled_by_group(user, &permission),
            active,
            since,
            used: used.at,
            session: used.session,
            alive: alive.into_iter().map(|token| (token.at, token.session)).collect(),
        });
        self.lines.push(line);
    }

    pub fn change_membership(&mut self, user: usize) {
        let living: Vec<usize> = (0..self.groups.len()).filter(|group| self.groups[*group].lives).collect();
        if living.is_empty() || !self.users[user].lives {
            return;
        }
        let group = living[self.random.random_range(0..living.len())];
        let joins = self.users[user].groups.insert(group);
        if joins {
            self.joins(user, group);
        } else {
            self.users[user].groups.remove(&group);
            let (user, group) = (self.users[user].id.clone(), self.groups[group].id.clone());
            self.close(|held| held.user == user && held.group == group);
        }
        let path = self.path(group);
        self.lines.push(lines::membership(self.now, &self.users[user], (&self.groups[group].id, &path, joins)));
    }

    pub fn joins(&mut self, user: usize, group: usize) {
        self.users[user].groups.insert(group);
        let (user, group) = (self.users[user].id.clone(), self.groups[group].id.clone());
        self.held.push(Held { user, group, from: Some(self.now), to: None });
    }

    fn close(&mut self, which: impl Fn(&Held) -> bool) {
        let now = self.now;
        self.held.iter_mut().filter(|held| held.to.is_none() && which(held)).for_each(|held| held.to = Some(now));
    }

    fn create_user(&mut self) {
        let id = self.random_id("u");
        let name = format!("person{}", self.lines.len());
        let (groups, tokens) = (BTreeSet::new(), Vec::new());
        let user = User { id, name, lives: true, enabled: true, groups, tokens };
        self.lines.push(lines::user_created(self.now, &user));
        self.users.push(user);
        self.gifts(self.users.len() - 1);
    }

    fn enable(&mut self, user: usize) {
        if self.users[user].lives {
            self.users[user].enabled = !self.users[user].enabled;
            self.lines.push(lines::user_updated(self.now, &self.users[user]));
        }
    }

    /// A person gets or loses a role in Backstage itself.
    fn change_role(&mut self, user: usize) {
        let reference = self.reference(user);
        let names: Vec<String> = self.roles.keys().cloned().collect();
        let role = names[self.random.random_range(0..names.len())].clone();
        let members = self.roles.get_mut(&role).unwrap();
        let added = members.insert(reference.clone());
        if !added {
            members.remove(&reference);
        }
        self.lines.push(lines::role_write(self.now, (&role, &reference, added)));
    }

    fn delete_user(&mut self, user: usize) {
        if !self.users[user].lives {
            return;
        }
        self.users[user].lives = false;
        self.users[user].groups.clear();
        self.rights.of_users.retain(|(holder, _)| *holder != user);
        let id = self.users[user].id.clone();
        for session in self.signed_in.iter_mut().filter(|s| s.user == id && s.ended.is_none()) {
            session.ended = Some(self.now);
        }
        self.lines.push(lines::user_deleted(self.now, &self.users[user]));
    }

    pub fn random_id(&mut self, kind: &str) -> String {
        format!("{kind}{:016x}", self.random.random::<u64>())
    }
}

pub fn group_ref(name: &str) -> String {
    format!("group:default/{name}")
}
