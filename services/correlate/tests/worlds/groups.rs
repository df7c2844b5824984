//! The tree of groups of a simulated Keycloak: renames, moves at any depth, ends with everything below, new ones.

use crate::{lines, model::Group, sim::World};
use rand::Rng;
use std::collections::BTreeSet;

impl World {
    pub fn path(&self, group: usize) -> String {
        let above = self.groups[group].parent.map(|parent| self.path(parent)).unwrap_or_default();
        format!("{above}/{}", self.groups[group].name)
    }

    fn is_below(&self, group: usize, above: usize) -> bool {
        group == above || self.groups[group].parent.is_some_and(|parent| self.is_below(parent, above))
    }

    /// Renames, moves or deletes a group.
    pub fn change_group(&mut self) {
        let living: Vec<usize> = (0..self.groups.len()).filter(|group| self.groups[*group].lives).collect();
        if living.is_empty() {
            return;
        }
        let group = living[self.random.random_range(0..living.len())];
        match self.random.random_range(0..4) {
            3 => self.create_group(),
            0 => {
                self.groups[group].name = format!("renamed{}", self.lines.len());
                self.lines.push(lines::group_renamed(self.now, &self.groups[group]));
            }
            1 => {
                let places: Vec<usize> = living.into_iter().filter(|place| !self.is_below(*place, group)).collect();
                let to = (!places.is_empty() && self.random.random_bool(0.7))
                    .then(|| places[self.random.random_range(0..places.len())]);
                if to == self.groups[group].parent {
                    return;
                }
                self.groups[group].parent = to;
                let parent = to.map(|parent| self.groups[parent].id.clone());
                self.lines.push(lines::group_moved(self.now, &self.groups[group], parent.as_deref()));
            }
            _ => {
                self.lines.push(lines::group_deleted(self.now, &self.groups[group]));
                let gone: BTreeSet<usize> =
                    (0..self.groups.len()).filter(|below| self.is_below(*below, group)).collect();
                self.groups_are_gone(&gone);
                for below in &gone {
                    self.groups[*below].lives = false;
                    self.users.iter_mut().for_each(|user| user.groups.retain(|group| group != below));
                }
            }
        }
    }

    /// A group that no role names.
    fn create_group(&mut self) {
        let living: Vec<usize> = (0..self.groups.len()).filter(|group| self.groups[*group].lives).collect();
        let parent = self.random.random_bool(0.5).then(|| living[self.random.random_range(0..living.len())]);
        let number = self.lines.len();
        let group = Group { id: self.random_id("g"), name: format!("new{number}"), parent, lives: true };
        let above = parent.map(|parent| self.groups[parent].id.clone());
        self.lines.push(lines::group_created(self.now, &group, above.as_deref()));
        self.groups.push(group);
    }
}
