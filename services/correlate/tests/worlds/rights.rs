//! Keycloak's roles in small: of the realm and of a client (some of one name), what contains what, who has which, which groups a
//! new user gets; and, written down now and then, everything that somebody could do just then and by which path.

use crate::{
    lines,
    sim::{World, group_ref},
};
use rand::{Rng, rngs::StdRng};
use std::collections::BTreeSet;

#[derive(Clone)]
pub struct Role {
    pub id: String,
    pub name: String,
    /// A role of the client, and not of the realm.
    pub of_client: bool,
    pub lives: bool,
}

/// The first role is the realm's default role: everybody has it, and it stays.
#[derive(Default)]
pub struct Rights {
    pub roles: Vec<Role>,
    /// Outer role contains inner role.
    pub composites: BTreeSet<(usize, usize)>,
    /// (user, role), (group, role): directly.
    pub of_users: BTreeSet<(usize, usize)>,
    pub of_groups: BTreeSet<(usize, usize)>,
    /// Groups that new users get.
    pub defaults: BTreeSet<usize>,
}

/// What somebody could do at an instant: kind, right, and the path between.
pub struct Could {
    pub at: i64,
    pub user: String,
    pub rights: BTreeSet<Right>,
}

pub type Right = (&'static str, String, Vec<String>);

impl Rights {
    pub fn generate(random: &mut StdRng, seed: u64, counts: (usize, usize)) -> Self {
        let (users, groups) = counts;
        let role = |number: usize| Role {
            id: format!("r{seed:04x}-{number:04}"),
            // Names of two kinds of roles can be the same.
            name: if number == 0 { "default-roles-one".to_owned() } else { format!("may{}", number / 2) },
            of_client: number > 0 && number.is_multiple_of(2),
            lives: true,
        };
        let roles: Vec<Role> = (0..random.random_range(3..8)).map(role).collect();
        let mut some = |of: usize, part: f64| -> BTreeSet<(usize, usize)> {
            let pairs = (0..of).flat_map(|one| (0..roles.len()).map(move |role| (one, role)));
            pairs.filter(|_| random.random_bool(part)).collect()
        };
        let (mut of_users, of_groups, composites) = (some(users, 0.15), some(groups, 0.15), some(roles.len(), 0.2));
        of_users.extend((0..users).map(|user| (user, 0)));
        let composites = composites.into_iter().filter(|(outer, inner)| outer != inner && *inner > 0).collect();
        let of_groups = of_groups.into_iter().filter(|(_, role)| *role > 0).collect();
        let defaults = (0..groups).filter(|_| random.random_bool(0.2)).collect();
        Self { roles, composites, of_users, of_groups, defaults }
    }

    fn living(&self) -> Vec<usize> {
        (1..self.roles.len()).filter(|role| self.roles[*role].lives).collect()
    }

    /// A role and all that it contains.
    fn contained(&self, role: usize) -> BTreeSet<usize> {
        let mut found = BTreeSet::from([role]);
        loop {
            let inner: BTreeSet<usize> =
                self.composites.iter().filter(|(outer, _)| found.contains(outer)).map(|(_, inner)| *inner).collect();
            let before = found.len();
            found.extend(inner);
            if found.len() == before {
                return found;
            }
        }
    }
}

impl World {
    /// Somebody or some group gets or loses a role; a role comes to contain another, or no longer does; a role ends; a group is
    /// given to new users, or no longer is.
    pub fn change_rights(&mut self) {
        let living = self.rights.living();
        if living.is_empty() {
            return self.change_default_group();
        }
        let role = living[self.random.random_range(0..living.len())];
        match self.random.random_range(0..20) {
            0..6 => self.change_role_of_user(role),
            6..9 => self.change_role_of_group(role),
            9..15 => self.change_composite(role),
            15..19 => self.change_default_group(),
            _ => self.delete_role(role),
        }
    }

    fn change_role_of_user(&mut self, role: usize) {
        let user = self.random.random_range(0..self.users.len());
        if !self.users[user].lives {
            return;
        }
        let given = toggle(&mut self.rights.of_users, (user, role));
        let holder = format!("users/{}", self.users[user].id);
        self.lines.push(lines::role_mapping(self.now, (&holder, &self.rights.roles[role], given)));
    }

    fn change_role_of_group(&mut self, role: usize) {
        let group = self.random.random_range(0..self.groups.len());
        if !self.groups[group].lives {
            return;
        }
        let given = toggle(&mut self.rights.of_groups, (group, role));
        let holder = format!("groups/{}", self.groups[group].id);
        self.lines.push(lines::role_mapping(self.now, (&holder, &self.rights.roles[role], given)));
    }

    fn change_composite(&mut self, inner: usize) {
        let outer = self.random.random_range(0..self.rights.roles.len());
        if outer == inner || !self.rights.roles[outer].lives {
            return;
        }
        let given = toggle(&mut self.rights.composites, (outer, inner));
        let by_id = self.random.random_bool(0.5);
        let (outer, inner) = (&self.rights.roles[outer], &self.rights.roles[inner]);
        self.lines.push(lines::composite(self.now, (lines::role_path(outer, by_id), inner, given)));
    }

    fn change_default_group(&mut self) {
        let group = self.random.random_range(0..self.groups.len());
        if !self.groups[group].lives {
            return;
        }
        let given = !self.rights.defaults.remove(&group);
        if given {
            self.rights.defaults.insert(group);
        }
        self.lines.push(lines::default_group(self.now, (&self.groups[group].id, given)));
    }

    /// With a role end its mappings, and no event says so.
    fn delete_role(&mut self, role: usize) {
        self.rights.roles[role].lives = false;
        self.rights.of_users.retain(|(_, held)| *held != role);
        self.rights.of_groups.retain(|(_, held)| *held != role);
        self.rights.composites.retain(|(outer, inner)| *outer != role && *inner != role);
        let by_id = self.random.random_bool(0.3);
        self.lines.push(lines::role_deleted(self.now, lines::role_path(&self.rights.roles[role], by_id)));
    }

    /// What a new user has at once.
    pub fn gifts(&mut self, user: usize) {
        self.rights.of_users.insert((user, 0));
        for group in self.rights.defaults.clone() {
            self.joins(user, group);
        }
    }

    /// What goes with groups.
    pub fn groups_are_gone(&mut self, gone: &BTreeSet<usize>) {
        self.rights.of_groups.retain(|(group, _)| !gone.contains(group));
        self.rights.defaults.retain(|group| !gone.contains(group));
    }

    /// Writes down what somebody can do now.
    pub fn note_rights(&mut self) {
        let user = self.random.random_range(0..self.users.len());
        let rights = self.all_rights(user);
        self.could.push(Could { at: self.now, user: self.users[user].id.clone(), rights });
    }

    fn all_rights(&self, user: usize) -> BTreeSet<Right> {
        let mut found = BTreeSet::new();
        if !self.users[user].lives {
            return found;
        }
        let roles = |path: Vec<String>, role: usize, found: &mut BTreeSet<Right>| {
            for inner in self.rights.contained(role) {
                let mut path = path.clone();
                if inner != role {
                    path.push(self.rights.roles[role].id.clone());
                }
                found.insert(("role", self.rights.roles[inner].id.clone(), path));
            }
        };
        for (_, role) in self.rights.of_users.iter().filter(|(holder, _)| *holder == user) {
            roles(Vec::new(), *role, &mut found);
        }
        for direct in &self.users[user].groups {
            let mut next = Some(*direct);
            while let Some(group) = next {
                let mut path = Vec::from_iter((group != *direct).then(|| self.groups[*direct].id.clone()));
                found.insert(("group", self.groups[group].id.clone(), path.clone()));
                path.push(self.groups[group].id.clone());
                for (_, role) in self.rights.of_groups.iter().filter(|(holder, _)| *holder == group) {
                    roles(path.clone(), *role, &mut found);
                }
                let reference = group_ref(&self.groups[group].name);
                path.push(reference.clone());
                let given = self.roles.iter().filter(|(_, members)| members.contains(&reference));
                found.extend(given.map(|(role, _)| ("backstage_role", role.clone(), path.clone())));
                next = self.groups[group].parent;
            }
        }
        let reference = self.reference(user);
        let given = self.roles.iter().filter(|(_, members)| members.contains(&reference));
        found.extend(given.map(|(role, _)| ("backstage_role", role.clone(), Vec::new())));
        found
    }
}

/// Puts a pair in, or takes it out if it was there; whether it was put in.
fn toggle(pairs: &mut BTreeSet<(usize, usize)>, pair: (usize, usize)) -> bool {
    !pairs.remove(&pair) && pairs.insert(pair)
}
