//! Who is in which group, of all senders: a join of somebody who is in, or a leave of somebody who is not, would be a change that was
//! lost, and a finding.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Mutex, PoisonError},
};

/// So many at least are in groups before anybody leaves one: between a join and its leave there is time.
const STAY: usize = 1_000;

/// Users and groups by their places in the world.
#[derive(Default)]
pub struct Members(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    are: HashSet<(usize, usize)>,
    in_order: VecDeque<(usize, usize)>,
}

impl Members {
    /// False if they are in already.
    pub fn joins(&self, who: (usize, usize)) -> bool {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let new = inner.are.insert(who);
        if new {
            inner.in_order.push_back(who);
        }
        new
    }

    /// Who has been in longest, if there are enough.
    pub fn leaves(&self) -> Option<(usize, usize)> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.in_order.len() < STAY {
            return None;
        }
        let who = inner.in_order.pop_front()?;
        inner.are.remove(&who);
        Some(who)
    }
}
