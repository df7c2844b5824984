//! A decision's grounds: who, on which credential, by which right, how that stands to Keycloak at that instant, and how sure it is.

use super::support::{Question, View};
use crate::{
    known::{Known, Told},
    moment::{Millis, Moment},
    names::Id,
    rows::{Clock, DecisionRow, Grade, Reason, Verdict},
    state::rbac::Asked,
};
use events::event::Outcome;
use std::collections::BTreeSet;

/// A call is over by then: what carries the same trace id later is another one's.
pub(crate) const LONGEST_CALL: Millis = 3_600_000;

/// What a judgement of rights comes to.
pub(super) struct Judged {
    pub verdict: Verdict,
    pub delay: Option<Millis>,
    pub clock: Clock,
    pub view: View,
    pub stale_claims: Vec<String>,
}

impl Judged {
    /// By the catalog's clock, without a delay.
    pub(super) fn of(verdict: Verdict, view: View) -> Self {
        Self { verdict, delay: None, clock: Clock::Catalog, view, stale_claims: Vec::new() }
    }
}

/// Reasons with the grade that they leave.
pub(super) struct Grading {
    pub grade: Grade,
    pub reasons: BTreeSet<Reason>,
}

impl Default for Grading {
    fn default() -> Self {
        Self { grade: Grade::Exact, reasons: BTreeSet::new() }
    }
}

impl Grading {
    /// Notes a reason that allows no better grade than `most`.
    pub(super) fn cap(&mut self, most: Grade, reason: Reason) {
        self.grade = self.grade.min(most);
        self.reasons.insert(reason);
    }
}

impl Known {
    /// The row of the decision at `moment` that names `reference`.
    pub(crate) fn decision_row(&self, reference: Id, moment: Moment) -> Option<DecisionRow> {
        let told = self.decisions.get(&reference)?.get(&moment)?;
        let mut grading = Grading::default();
        let person = self.names.name(reference).starts_with("user:");
        let who = if person { self.who(reference, moment.at) } else { super::person::Who { user: None, reason: None } };
        match who.reason {
            None if !person => grading.cap(Grade::None, Reason::NoPerson),
            Some(reason @ (Reason::NotTied | Reason::SeveralUsers)) => grading.cap(Grade::Inferred, reason),
            Some(reason) => grading.cap(Grade::Inferred, reason),
            None => {}
        }
        // It can have been made when the reference stood for somebody else.
        let another = |at: Millis| self.who(reference, at).user != who.user;
        if person && told.span.min < told.span.max && (another(told.span.min) || another(told.span.max)) {
            grading.cap(Grade::Inferred, Reason::Straddles);
        }
        let asked = Asked { permission: told.permission, action: told.action, resource_type: told.resource_type };
        let question = Question { reference, user: who.user, asked };
        let judged = self.judge(&question, (moment, told), &mut grading);
        let when = (moment, told);
        let credential = if person { self.credential(&question, when, &mut grading) } else { Behind::default() };
        let kind = &*self.names.text(told.actor.0);
        let key = match who.user {
            Some(user) => Some(self.key(user)),
            None if person => Some(self.named_key("user", reference)),
            None if self.names.name(reference).is_empty() => None,
            None => Some(self.named_key(kind, reference)),
        };
        let mut support: Vec<_> = judged.view.paths.iter().map(|path| self.support_row(path)).collect();
        support.sort();
        support.dedup();
        Some(DecisionRow {
            person: key,
            reference: self.names.name(reference).to_owned(),
            at: moment.at,
            permission: self.owned(told.permission),
            action: self.owned(told.action),
            resource: self.owned(told.resource),
            outcome: told.outcome,
            final_outcome: self.final_outcome(reference, moment, told),
            verdict: judged.verdict,
            delay: judged.delay,
            clock: judged.clock,
            support,
            stale_claims: judged.stale_claims,
            session: credential.session.map(|session| self.names.name(session).to_owned()),
            credential: credential.latest.map(|latest| (latest.at, latest.event)),
            candidates: credential.candidates,
            grade: grading.grade,
            reasons: grading.reasons.into_iter().collect(),
        })
    }

    /// What became of a conditional decision: the outcome of the call that it was made in, where both lines carry one trace id.
    fn final_outcome(&self, reference: Id, moment: Moment, told: &Told) -> Option<Outcome> {
        if told.outcome != Outcome::Conditional {
            return None;
        }
        let trace = Id { source: reference.source, name: told.trace? };
        let calls = self.traces.get(&trace)?;
        let soon = moment..=Moment::ceiling(moment.at.saturating_add(LONGEST_CALL));
        calls.range(soon).next().map(|(_, outcome)| *outcome)
    }

    fn credential(&self, question: &Question, when: (Moment, &Told), grading: &mut Grading) -> Behind {
        let t = when.0.at;
        let (mut candidates, more) = self.candidates(question.reference, t);
        let told = !candidates.is_empty();
        if let (false, Some(user)) = (told, question.user) {
            candidates = self.keycloak_candidates(question.reference, user, t);
        }
        let Some(latest) = candidates.last().copied() else {
            grading.cap(Grade::None, Reason::NoCredential);
            return Behind::default();
        };
        if !told {
            grading.cap(Grade::Inferred, Reason::NoIssuingLine);
        }
        let unseen = |user| told && self.is_one_unseen((question.reference, user), when, &candidates);
        if question.user.is_some_and(unseen) {
            grading.cap(Grade::Inferred, Reason::TokenUnseen);
        }
        if !latest.placed {
            grading.cap(Grade::Inferred, Reason::NoInstance);
        }
        if candidates.iter().any(|candidate| self.who(question.reference, candidate.moment.at).user != question.user) {
            grading.cap(Grade::Inferred, Reason::CredentialOfAnother);
        }
        // What is stamped behind the decision can have been there as well.
        let (later, more_later) = self.stamped_later(question.reference, when);
        let count = u32::try_from(candidates.len()).unwrap_or(u32::MAX);
        candidates.extend(later);
        let more = more || more_later;
        let sessions: BTreeSet<Option<Id>> = candidates.iter().map(|candidate| candidate.session).collect();
        if sessions.iter().flatten().any(|session| self.is_acted_in(*session, t)) {
            grading.reasons.insert(Reason::Impersonated);
        }
        // Beyond those that are looked at, any session can be.
        if sessions.len() > 1 || more {
            grading.cap(Grade::Inferred, Reason::SeveralSessions);
        } else if candidates.len() > 1 {
            grading.cap(Grade::Session, Reason::SeveralTokens);
        }
        if told && !candidates.iter().all(|candidate| candidate.sure && candidate.session.is_some()) {
            grading.cap(Grade::Inferred, Reason::SessionUnsure);
        }
        Behind { session: latest.session, latest: Some(latest.moment), candidates: count }
    }
}

/// The credential that can stand behind a decision.
#[derive(Default)]
struct Behind {
    session: Option<Id>,
    latest: Option<Moment>,
    candidates: u32,
}
