//! What a snapshot of the simulated Keycloak and Backstage finds, list by list. The lists are of different instants: now and then
//! somebody changes something while they are read.

use crate::{lines::CLIENT, reader::Reader, sim::World};
use events::snapshot::Area;
use rand::Rng;
use serde_json::{Value, json};
use std::collections::BTreeSet;

pub struct Readers {
    keycloak: Reader,
    backstage: Reader,
}

impl Default for Readers {
    fn default() -> Self {
        Self { keycloak: Reader::new("kc", "one"), backstage: Reader::new("bs", "") }
    }
}

impl World {
    /// One snapshot of both.
    pub fn snapshots(&mut self) {
        self.read_keycloak();
        self.read_backstage();
    }

    /// Time passes while a list is read.
    fn reading(&mut self) -> (i64, i64) {
        let begun = self.now;
        self.pause(40);
        (begun, self.now)
    }

    fn read(&mut self, list: (Area, &str), items: Vec<(String, Value)>) {
        let when = self.reading();
        let keycloak = matches!(
            list.0,
            Area::CatalogUsers | Area::RbacRoles | Area::RbacMembers | Area::RbacPolicies | Area::RbacConditions
        );
        let reader = if keycloak { &mut self.readers.backstage } else { &mut self.readers.keycloak };
        let items = items.into_iter().map(|(id, state)| (id, state, Value::Null)).collect();
        self.lines.extend(reader.list(when, list, items));
    }

    fn maybe_change(&mut self) {
        if !self.quiet && self.random.random_bool(0.1) {
            self.pause(10);
            self.change_rights();
            self.pause(10);
        }
        if !self.quiet && self.random.random_bool(0.2) {
            let user = self.random.random_range(0..self.users.len());
            self.pause(10);
            self.change_membership(user);
            self.settle_truth();
            self.pause(10);
        }
    }

    fn read_keycloak(&mut self) {
        self.readers.keycloak.begin();
        let realm = json!({"id": crate::lines::REALM, "realm": "one", "defaultRole": {"id": self.rights.roles[0].id}});
        self.read((Area::Realm, ""), vec![("realm".into(), realm)]);
        self.read((Area::Clients, ""), vec![(CLIENT.into(), json!({"id": CLIENT, "clientId": "backstage"}))]);
        let roles = self.rights.roles.iter().filter(|role| role.lives).map(|role| {
            let client = if role.of_client { CLIENT } else { "" };
            (role.id.clone(), json!({"id": role.id, "name": role.name, "clientUuid": client}))
        });
        let roles = roles.collect();
        self.read((Area::Roles, ""), roles);
        let living: Vec<usize> = (0..self.groups.len()).filter(|group| self.groups[*group].lives).collect();
        let group = |group: &usize| {
            let (told, path) = (&self.groups[*group], self.path(*group));
            let parent = told.parent.map(|parent| self.groups[parent].id.clone());
            (told.id.clone(), json!({"id": told.id, "name": told.name, "path": path, "parentId": parent}))
        };
        let groups = living.iter().map(group).collect();
        self.read((Area::Groups, ""), groups);
        self.maybe_change();
        let users = self.users.iter().filter(|user| user.lives).map(|user| {
            let email = format!("{}@example.org", user.name);
            let state = json!({"id": user.id, "username": user.name, "email": email, "enabled": user.enabled});
            (user.id.clone(), state)
        });
        let users = users.collect();
        self.read((Area::Users, ""), users);
        let defaults = self.rights.defaults.iter().map(|group| {
            let id = self.groups[*group].id.clone();
            (id.clone(), json!({"id": id, "path": self.path(*group)}))
        });
        let defaults = defaults.collect();
        self.read((Area::DefaultGroups, ""), defaults);
        for group in living {
            self.maybe_change();
            let id = self.groups[group].id.clone();
            let members = self.users.iter().filter(|user| user.groups.contains(&group));
            let members = members.map(|user| pair((&user.id, "user"), (&id, "group"))).collect();
            self.read((Area::Members, &id), members);
        }
        let living = (0..self.rights.roles.len()).filter(|role| self.rights.roles[*role].lives);
        // There may be no list of composites at all.
        self.readers.keycloak.area(Area::Composites);
        for role in living.collect::<Vec<_>>() {
            self.maybe_change();
            let Some(id) = self.rights.roles.get(role).filter(|role| role.lives).map(|role| role.id.clone()) else {
                continue;
            };
            let of = |pairs: &BTreeSet<(usize, usize)>| -> Vec<usize> {
                pairs.iter().filter(|(_, held)| *held == role).map(|(holder, _)| *holder).collect()
            };
            let users = of(&self.rights.of_users).into_iter();
            let users = users.map(|user| pair((&self.users[user].id, "user"), (&id, "role"))).collect();
            self.read((Area::RoleUsers, &id), users);
            let groups = of(&self.rights.of_groups).into_iter();
            let groups = groups.map(|group| pair((&self.groups[group].id, "group"), (&id, "role"))).collect();
            self.read((Area::RoleGroups, &id), groups);
            let inner = self.rights.composites.iter().filter(|(outer, _)| *outer == role);
            let inner: Vec<_> =
                inner.map(|(_, inner)| pair((&id, "outer"), (&self.rights.roles[*inner].id, "role"))).collect();
            if !inner.is_empty() {
                self.read((Area::Composites, &id), inner);
            }
        }
        self.readers.keycloak.area(Area::OfflineSessions);
        let open = self.signed_in.iter().filter(|session| session.ended.is_none());
        let open = open.map(|open| {
            let state = json!({"session": open.session, "user": open.user, "client": CLIENT});
            (format!("{} {CLIENT}", open.session), state)
        });
        let open = open.collect();
        self.read((Area::Sessions, CLIENT), open);
        let end = self.readers.keycloak.end(self.now);
        self.lines.push(end);
    }

    fn read_backstage(&mut self) {
        self.readers.backstage.begin();
        let roles = self.roles.keys().map(|role| (role.clone(), json!({"role": role}))).collect();
        self.read((Area::RbacRoles, ""), roles);
        let members = self.roles.iter().flat_map(|(role, members)| members.iter().map(move |member| (role, member)));
        let members = members.map(|(role, member)| pair((member, "member"), (role, "role"))).collect();
        self.read((Area::RbacMembers, ""), members);
        let policies = self.policies.iter().map(|(role, permission)| {
            let state = json!({"role": role, "permission": permission, "policy": "use", "effect": "allow"});
            (format!("{role} {permission}"), state)
        });
        let policies = policies.collect();
        self.read((Area::RbacPolicies, ""), policies);
        self.read((Area::RbacConditions, ""), Vec::new());
        let end = self.readers.backstage.end(self.now);
        self.lines.push(end);
    }
}

fn pair(holder: (&str, &str), held: (&str, &str)) -> (String, Value) {
    (format!("{} {}", holder.0, held.0), json!({holder.1: holder.0, held.1: held.0}))
}
