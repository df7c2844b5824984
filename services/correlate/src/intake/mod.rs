//! Puts a fact where it belongs, and tells which answers it touches, from when on.
//!
//! Never looks at what came before it in order of arrival: the same facts in any order leave the same histories.

mod catalog;
mod lives;
mod persons;
mod rights;
mod sessions;

pub(crate) use rights::last_part;

use crate::{
    dirt::Dirt,
    facts::{Decided, Fact, Refusal, What},
    known::{Known, Told},
    moment::{Millis, Moment},
    names::{Id, Sym},
    state::{
        book::Dirty,
        ledger::Mark,
        sessions::{Paid, UseKind},
    },
};
use events::event::Outcome;

impl Known {
    /// Takes one fact in.
    pub(crate) fn take(&mut self, fact: &Fact<'_>, dirt: &mut Dirt) {
        dirt.event = fact.moment.event;
        let place = Place {
            moment: fact.moment,
            source: self.names.sym(fact.source),
            within: self.names.sym(if fact.realm.is_empty() { fact.source } else { fact.realm }),
            by: (!fact.by.is_empty()).then(|| self.names.sym(fact.by)),
        };
        match &fact.what {
            What::Named { user, username, email } => self.named(&place, (user, username, email), dirt),
            What::Federated { user, login } => self.federated(&place, (user, *login), dirt),
            What::UserCreated { user } => self.user_lives(&place, (user, true), dirt),
            What::UserDeleted { user } => self.user_lives(&place, (user, false), dirt),
            What::Enabled { user, enabled } => {
                let user = self.id(&place, user);
                let found = self.keycloak.enabled.mark((user, place.within), place.mark(Some(*enabled)), &self.reads);
                dirt.users(found);
                dirt.user_touched(user);
            }
            What::Member { user, group, path, held } => self.member(&place, (user, group, path, *held), dirt),
            What::RoleHeld { holder, role, held } => self.role_held(&place, (*holder, *role, *held), dirt),
            What::Composite { outer, inner, held } => self.composite(&place, (*outer, *inner, *held), dirt),
            What::Group { group, name, parent } => self.group(&place, (group, name, *parent), dirt),
            What::GroupDeleted { group } => {
                self.group_lives(&place, (group, false), dirt);
            }
            What::GroupCreated { group } => self.group_lives(&place, (group, true), dirt),
            What::RoleDeleted { role } => self.role_deleted(&place, *role, dirt),
            What::DefaultGroup { group, held } => {
                let (group, realm) = (self.id(&place, group), Id { source: place.source, name: place.within });
                let mark = place.mark(held.then_some(()));
                let found = self.keycloak.defaults.mark((realm, group, place.within), mark, &self.reads);
                if let Some(found) = found {
                    dirt.user_touched(realm);
                    self.realm_changed(place.within, found.from, dirt);
                }
            }
            What::Login { user, session, client, impersonator } => {
                let what = UseKind::Login { impersonator: self.names.sym(impersonator) };
                self.used(&place, (user, session, client), what, dirt);
            }
            What::Issued(issued) => self.issued(&place, issued, dirt),
            What::Refused { user, session, presented, why } => {
                let what = match why {
                    Refusal::Reuse => UseKind::ReuseRefused,
                    Refusal::Stale => UseKind::StaleRefused { presented: self.names.sym(presented) },
                    Refusal::Other => UseKind::Refused,
                };
                if self.used(&place, (user, session, ""), what, dirt) && *why == Refusal::Stale {
                    let (token, session) = (self.id(&place, presented), self.id(&place, session));
                    self.may_be_spent(token, (Some(session), place.moment));
                }
                self.presented(&place, (presented, None), dirt);
            }
            What::Lifespans(said) => self.lifespans(&place, *said, dirt),
            What::Ended { which, how } => self.ended_by(&place, *which, *how, dirt),
            // The catalog's own clock: kept as an event of its own; what it brought is told by reads.
            What::CatalogSynced => {}
            What::RoleMember { role, member, held } => {
                let (role, member) = (self.id(&place, &role.to_lowercase()), self.id(&place, member));
                let found = self.rbac.member((member, role), place.mark(held.then_some(())), &self.reads);
                self.rbac_changed(&place, found, dirt);
            }
            What::RoleMembersReplaced { role } => {
                let role = self.id(&place, &role.to_lowercase());
                let found = self.rbac.members_replaced(role, place.moment, &self.reads);
                self.rbac_changed(&place, found, dirt);
            }
            What::Policy { role, policy, held } => {
                let role = self.id(&place, &role.to_lowercase());
                let said = (policy.permission, policy.action, policy.effect);
                let policy = self.rbac.policy(place.source, said, &mut self.names);
                let mark = place.mark(held.then_some(()));
                let found = self.rbac.policies.mark((role, policy, place.source), mark, &self.reads);
                self.policies_known(&place, dirt);
                self.rbac_changed(&place, found.into_iter().collect(), dirt);
            }
            What::PoliciesReplaced { role } => {
                let role = self.id(&place, &role.to_lowercase());
                if self.rbac.policies_replaced(role, place.moment.at) {
                    self.rbac_changed(&place, vec![Dirty { of: role, from: place.moment.at }], dirt);
                }
            }
            What::BackstageIssued { reference, claims, instance } => {
                if self.is_too_old(fact.moment.at) {
                    return;
                }
                let reference = self.id(&place, reference);
                let (claims, instance) = (self.names.sym(claims), self.names.sym(instance));
                let paid = Paid { span: fact.span, claims, instance, over: false };
                let known = self.sessions.paid.get_or_default(reference);
                if known.get(&place.moment) == Some(&paid) {
                    return;
                }
                known.insert(place.moment, paid);
                let from = place.moment.at.saturating_sub(self.answered_within());
                dirt.reference(reference, from);
                if let Some(user) = self.who(reference, place.moment.at).user {
                    dirt.sign_ins_of(user, from);
                }
            }
            What::Callback { session } => self.callback(&place, session, dirt),
            What::Decided(decided) => self.decided(&place, (decided, fact), dirt),
            What::ServiceAccount { user, client } => {
                let (user, client) = (self.id(&place, user), self.names.sym(client));
                if self.service_accounts.note(user, client) {
                    dirt.user_touched(user);
                }
            }
            What::Merged { account, into } => self.merged(&place, (account, into), dirt),
            What::Split { account } => self.split(&place, account, dirt),
            What::Read(read) => self.piece(&place, read, dirt),
            What::Snapshot(piece) => self.snapshot(&place, (piece, fact), dirt),
        }
    }

    pub(crate) fn id(&mut self, place: &Place, name: &str) -> Id {
        Id { source: place.source, name: self.names.sym(name) }
    }

    fn decided(&mut self, place: &Place, said: (&Decided<'_>, &Fact<'_>), dirt: &mut Dirt) {
        let (decided, fact) = said;
        if self.is_too_old(place.moment.at) {
            return;
        }
        let name = if decided.reference.is_empty() { decided.actor.1 } else { decided.reference };
        let reference = self.id(place, name);
        let trace = (!decided.trace.is_empty()).then(|| self.names.sym(decided.trace));
        let told = Told {
            span: fact.span,
            actor: (self.names.sym(decided.actor.0), self.names.sym(decided.actor.1)),
            permission: self.names.sym(decided.permission),
            action: self.names.sym(decided.action),
            resource_type: self.names.sym(decided.resource_type),
            resource: self.names.sym(decided.resource),
            outcome: decided.outcome,
            owner_refs: decided.owner_refs.iter().map(|claim| self.names.sym(claim)).collect(),
            instance: self.names.sym(decided.instance),
            trace,
        };
        if self.decisions.get(&reference).and_then(|known| known.get(&place.moment)) == Some(&told) {
            return;
        }
        let reach = fact.span.max.saturating_sub(place.moment.at);
        if reach > 0 {
            let widest = self.widest.entry(reference).or_default();
            *widest = reach.max(*widest);
        }
        if let (Some(name), true) = (trace, decided.permission.is_empty()) {
            let calls = self.traces.get_or_default(Id { source: place.source, name });
            calls.insert(place.moment, decided.outcome);
            dirt.traces.insert(Id { source: place.source, name });
        }
        if told.outcome == Outcome::Conditional
            && let Some(name) = trace
        {
            self.conditional.get_or_default(Id { source: place.source, name }).insert((reference, place.moment));
        }
        // A name that nothing ties is listed from its first decision on.
        if !self.decisions.contains_key(&reference) && self.catalog.users.get(reference).is_none() {
            dirt.user_touched(reference);
        }
        self.decisions.get_or_default(reference).insert(place.moment, told);
        dirt.decisions.insert((reference, place.moment));
    }

    pub(crate) fn longest_life(&self) -> Millis {
        self.config.joins.iter().map(|join| join.token_life).max().unwrap_or(0)
    }

    /// How far back an answer can rest on what is told of tokens: a decision on a line just behind it, and that line on what comes after it.
    pub(crate) fn answered_within(&self) -> Millis {
        self.longest_tie().saturating_mul(2)
    }

    pub(crate) fn longest_tie(&self) -> Millis {
        self.config.joins.iter().map(|join| join.tie).max().unwrap_or(0)
    }
}

/// Where a fact belongs.
pub(crate) struct Place {
    pub moment: Moment,
    pub source: Sym,
    pub within: Sym,
    pub by: Option<Sym>,
}

impl Place {
    /// Of what exists before any evidence says so, answers change no earlier than the evidence.
    pub(crate) fn no_earlier(&self, found: Dirty) -> Dirty {
        let from = if found.from == Millis::MIN { self.moment.at } else { found.from };
        Dirty { from, ..found }
    }

    pub(crate) fn mark<V>(&self, says: Option<V>) -> Mark<V> {
        Mark { moment: self.moment, says, by: self.by }
    }
}
