//! Decisions, Backstage's tokens and Keycloak's.

use super::LetGo;
use crate::{
    answer::{credential::MAX_NEIGHBOURS, decision::LONGEST_CALL},
    known::Known,
    moment::{Millis, Moment},
    names::Id,
    rows::Key,
    state::gone::Gone,
};
use events::event::Outcome;

impl Known {
    /// What sign-ins brought follows from tokens that are forgotten next.
    pub(super) fn settle_sign_ins(&mut self, over: Millis) {
        let until = Moment::floor(over);
        let mut found = Vec::new();
        for (id, session) in self.sessions.sessions.iter() {
            if session.callbacks.range(..until).any(|(_, called)| called.brought.is_none()) {
                found.push((*id, self.brought(*id, session, until)));
            }
        }
        for (id, brought) in found {
            let Some(session) = self.sessions.sessions.get_mut(&id) else { continue };
            for (callback, credential) in brought {
                if let Some(called) = session.callbacks.get_mut(&callback) {
                    called.brought = Some(credential);
                }
            }
        }
    }

    /// Decisions that were over by then: no right that changes later changes them, and no call tells any more what became of them.
    pub(super) fn forget_decisions(&mut self, over: Millis, gone: &mut LetGo<'_>) {
        let Self { decisions, widest, .. } = self;
        for (reference, log) in decisions.iter_mut() {
            if log.keys().next().is_none_or(|first| first.at >= over) {
                continue;
            }
            let mut until = None;
            let mut reach = 0;
            log.retain(|moment, told| {
                let last = told.span.max.max(moment.at);
                let awaited = told.outcome == Outcome::Conditional && told.trace.is_some();
                let answered = if awaited { last.max(moment.at.saturating_add(LONGEST_CALL)) } else { last };
                if answered >= over {
                    reach = reach.max(last.saturating_sub(moment.at));
                    return true;
                }
                until = until.max(Some(last));
                gone(Key::Decision(moment.event));
                false
            });
            // Who is named stays: nothing else tells of a caller whom nothing ties.
            if let Some(until) = until {
                Gone::note(&mut self.gone.references, *reference, until);
            }
            if reach > 0 {
                widest.insert(*reference, reach);
            } else {
                widest.remove(reference);
            }
        }
        self.forget_traces(over);
    }

    /// Calls are asked by conditional decisions alone, and of what came before the floor by those that are still there.
    fn forget_traces(&mut self, over: Millis) {
        let Self { conditional, decisions, traces, .. } = self;
        conditional.retain(|_, waiting| {
            waiting.retain(|(reference, moment)| {
                moment.at >= over || decisions.get(reference).is_some_and(|all| all.get(moment).is_some())
            });
            !waiting.is_empty()
        });
        traces.retain(|trace, calls| {
            let asked = conditional.get(trace).into_iter().flatten().map(|(_, moment)| *moment).min();
            calls.retain(|call, _| call.at >= over || asked.is_some_and(|asked| asked <= *call));
            !calls.is_empty()
        });
    }

    /// Before then, nothing that concerns a reference is asked any more: a decision rests on tokens that are alive, and what paid for them is
    /// found among those just before.
    fn asked_from(&self, reference: Id, over: Millis) -> Millis {
        let first = self.decisions.get(&reference).and_then(|all| all.keys().next()).map_or(over, |first| first.at);
        let life = self.join(reference.source).map_or(0, |join| join.token_life);
        first.min(over).saturating_sub(life).saturating_sub(self.reach())
    }

    /// The longest way back from a token to what can have paid for it: each step no longer than a tie.
    pub(super) fn reach(&self) -> Millis {
        let steps = 3 * MAX_NEIGHBOURS as Millis + 2;
        self.longest_tie().saturating_mul(steps).saturating_add(self.config.skew)
    }

    pub(super) fn forget_credentials(&mut self, over: Millis, gone: &mut LetGo<'_>) {
        let references: Vec<Id> = self.sessions.paid.keys().copied().collect();
        for reference in references {
            let from = self.asked_from(reference, over);
            let Some(paid) = self.sessions.paid.get_mut(&reference) else { continue };
            let mut until = None;
            paid.retain(|moment, paid| {
                if moment.at < over && !paid.over {
                    paid.over = true;
                    until = until.max(Some(moment.at));
                    gone(Key::Credential(moment.event));
                }
                moment.at >= from
            });
            if let Some(until) = until {
                Gone::note(&mut self.gone.references, reference, until);
            }
        }
        self.sessions.paid.retain(|_, paid| !paid.is_empty());
    }

    /// Keycloak's tokens, and callbacks, which pay for Backstage's.
    pub(super) fn forget_tokens(&mut self, over: Millis, gone: &mut LetGo<'_>) {
        let life = self.longest_life();
        let most = over.saturating_sub(life).saturating_sub(self.reach());
        let users: Vec<Id> = self.sessions.issues.keys().chain(self.sessions.callbacks.keys()).copied().collect();
        for user in users {
            let references = self.references_of(user).into_iter();
            let from = references.map(|reference| self.asked_from(reference, over)).fold(most, Millis::min);
            let mut until = None;
            if let Some(issues) = self.sessions.issues.get_mut(&user) {
                issues.retain(|moment, issue| {
                    if moment.at < over && !issue.over {
                        issue.over = true;
                        until = until.max(Some(moment.at));
                        gone(Key::Token(moment.event));
                    }
                    moment.at >= from
                });
            }
            if let Some(callbacks) = self.sessions.callbacks.get_mut(&user) {
                let before = callbacks.keys().rev().find(|moment| moment.at < over);
                until = until.max(before.map(|moment| moment.at));
                callbacks.retain(|moment, _| moment.at >= from);
            }
            if let Some(until) = until {
                Gone::note(&mut self.gone.users, user, until);
            }
        }
        self.sessions.issues.retain(|_, issues| !issues.is_empty());
        self.sessions.callbacks.retain(|_, callbacks| !callbacks.is_empty());
    }
}
