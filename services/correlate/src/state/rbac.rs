//! Backstage's roles, their members and policies, as the RBAC plugin's audit lines and reads tell them.
//!
//! Matching is RBAC's own: a policy fits a permission by name or by resource type, and by action; deny wins over allow.

use super::{
    book::{Book, Dirty, Relation},
    ledger::{Mark, Rules},
    reads::Reads,
};
use crate::{
    checkpoint::{kept_enum, kept_struct},
    facts::List,
    moment::{Millis, Moment, Rank},
    names::{Id, Names, Sym},
};
use hashbrown::HashMap;
use std::collections::BTreeSet;

/// What a policy does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Allow,
    Deny,
    Conditional,
}

/// A policy's parts.
#[derive(Clone, Debug)]
struct Parts {
    permission: Sym,
    actions: Vec<Sym>,
    effect: Effect,
}

/// What is asked of the policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub permission: Sym,
    pub action: Sym,
    pub resource_type: Sym,
}

/// Everything known of all RBAC plugins of the tenant.
pub(crate) struct Rbac {
    /// Member's reference (person or group) in role.
    pub members: Relation,
    /// Role has policy.
    pub policies: Relation,
    /// Whether any policy of a Backstage is known, by its source.
    pub known: Book<()>,
    parts: HashMap<Sym, Parts>,
    replaced: HashMap<Id, BTreeSet<Moment>>,
    unsure: HashMap<Id, BTreeSet<Millis>>,
}

impl Rbac {
    pub(crate) fn new(skew: Millis) -> Self {
        // Lines repeat what is so already: at each start the policy file is told anew.
        Self {
            members: Relation::new(List::RoleMembers, Rules::listed(skew)),
            policies: Relation::new(List::Policies, Rules::listed(skew)),
            known: Book::new(List::Policies, Rules::listed(skew)),
            parts: HashMap::new(),
            replaced: HashMap::new(),
            unsure: HashMap::new(),
        }
    }

    /// Notes that a member holds a role, or no longer does.
    pub(crate) fn member(&mut self, pair: (Id, Id), mark: Mark<()>, reads: &Reads) -> Vec<Dirty> {
        let (member, role) = pair;
        let within = member.source;
        let new = self.members.get(member, role).is_none();
        let mut dirty: Vec<Dirty> = self.members.mark((member, role, within), mark, reads).into_iter().collect();
        if new {
            dirty.extend(self.was_not_named(pair, reads));
        }
        dirty
    }

    /// Notes a complete read of members: every (member, role) that was there.
    pub(crate) fn members_read(&mut self, at: (usize, Sym), seen: &BTreeSet<(Id, Id)>, reads: &Reads) -> Vec<Dirty> {
        let new: Vec<(Id, Id)> =
            seen.iter().filter(|(member, role)| self.members.get(*member, *role).is_none()).copied().collect();
        let mut dirty = self.members.read(at, seen, reads);
        dirty.extend(new.into_iter().flat_map(|pair| self.was_not_named(pair, reads)));
        dirty
    }

    /// Whoever is not named when all members are is none from then on, whenever we come to hear of it.
    fn was_not_named(&mut self, (member, role): (Id, Id), reads: &Reads) -> Vec<Dirty> {
        let replaced: Vec<Moment> = self.replaced.get(&role).into_iter().flatten().copied().collect();
        replaced.into_iter().filter_map(|moment| self.out(member, role, (moment, reads))).collect()
    }

    /// Notes that the members named at this moment are all.
    pub(crate) fn members_replaced(&mut self, role: Id, moment: Moment, reads: &Reads) -> Vec<Dirty> {
        // Before the members that the same line names.
        let moment = Moment { rank: Rank::Read, ..moment };
        if !self.replaced.entry(role).or_default().insert(moment) {
            return Vec::new();
        }
        let members: Vec<Id> = self.members.holders(role).collect();
        members.into_iter().filter_map(|member| self.out(member, role, (moment, reads))).collect()
    }

    fn out(&mut self, member: Id, role: Id, when: (Moment, &Reads)) -> Option<Dirty> {
        let (moment, reads) = when;
        self.members.mark((member, role, member.source), Mark { moment, says: None, by: None }, reads)
    }

    /// Notes that a role's policies were replaced without saying which.
    pub(crate) fn policies_replaced(&mut self, role: Id, at: Millis) -> bool {
        self.unsure.entry(role).or_default().insert(at)
    }

    /// Whether the policies of a role were replaced, unnamed, after `since` and by `t`.
    pub(crate) fn is_unsure(&self, role: Id, since: Option<Moment>, t: Millis) -> bool {
        let since = since.map_or(Millis::MIN, |since| since.at);
        self.unsure.get(&role).is_some_and(|times| times.iter().any(|at| since < *at && *at <= t))
    }

    /// The id of a policy, with its parts remembered.
    pub(crate) fn policy(&mut self, source: Sym, said: (&str, &str, &str), names: &mut Names) -> Id {
        let (permission, action, effect) = said;
        // A condition's actions come in any order, joined by `,` or (in a state that was read) by `+`.
        let actions: BTreeSet<&str> = action.split([',', '+']).map(str::trim).collect();
        let action = actions.iter().copied().collect::<Vec<_>>().join(",");
        let name = names.sym(&format!("{permission}|{action}|{effect}"));
        self.parts.entry(name).or_insert_with(|| Parts {
            permission: names.sym(permission),
            actions: actions.iter().map(|action| names.sym(action)).collect(),
            effect: match effect {
                "deny" => Effect::Deny,
                "conditional" => Effect::Conditional,
                _ => Effect::Allow,
            },
        });
        Id { source, name }
    }

    /// What a policy says to what is asked; nothing if it does not fit.
    pub(crate) fn fits(&self, policy: Id, asked: &Asked) -> Option<Effect> {
        let parts = self.parts.get(&policy.name)?;
        let named = parts.permission == asked.permission || parts.permission == asked.resource_type;
        (named && parts.actions.contains(&asked.action)).then_some(parts.effect)
    }
}

kept_enum!(Effect { 0 Allow {}, 1 Deny {}, 2 Conditional {} });
kept_struct!(Parts { permission, actions, effect });
kept_struct!(Rbac { members, policies, known, parts, replaced, unsure });
