//! What paid for a Backstage token, and which tokens can stand behind a decision.
//!
//! An "Issuing token" line names a person and no session. It is tied to the Keycloak tokens issued to that person just before
//! (each pays once), and to the sign-in's callback line just after, which names the session. A callback without an Issuing line
//! before it is a refused sign-in: its Keycloak tokens paid for nothing and are not left for the next line. An Issuing line carries no
//! time of its own, a callback does: one that was read late, and that nothing else paid for, was written before the callback.

use crate::{
    facts::Grant,
    known::{Known, Told},
    log::Log,
    moment::{Millis, Moment, Span},
    names::Id,
    rows::{CredentialKind, CredentialRow},
    state::sessions::{Issue, Paid},
};
use std::ops::Bound;
use uuid::Uuid;

/// Most neighbours of each kind that are looked at for one token: beyond it, a flood, nothing is certain.
pub(crate) const MAX_NEIGHBOURS: usize = 32;

/// What paid for a Backstage token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Payment {
    pub kind: CredentialKind,
    pub session: Option<Id>,
    pub cause: Option<Uuid>,
    pub callback: Option<Uuid>,
    pub sure: bool,
}

const UNPAID: Payment =
    Payment { kind: CredentialKind::Unknown, session: None, cause: None, callback: None, sure: false };

#[derive(Clone, Copy)]
enum Step {
    Keycloak {
        session: Option<Id>,
        grant: Grant,
    },
    /// It can have been written as early as `min`.
    Backstage {
        min: Millis,
    },
    Callback {
        session: Id,
    },
}

/// Keycloak tokens that have paid for nothing yet.
#[derive(Clone, Copy)]
struct Unspent {
    moment: Moment,
    session: Option<Id>,
    grant: Grant,
}

/// A callback that no "Issuing token" line stands before, and the tokens of its session that would have paid for one.
#[derive(Clone, Copy)]
struct Refused {
    callback: Moment,
    session: Id,
    code: Option<Unspent>,
}

/// A credential that can stand behind a decision.
#[derive(Clone, Copy)]
pub(crate) struct Candidate {
    pub moment: Moment,
    pub session: Option<Id>,
    pub cause: Option<Uuid>,
    pub sure: bool,
    pub placed: bool,
}

impl Known {
    /// What paid for the token that Backstage issued to `reference` at `moment`.
    pub(crate) fn payment(&self, reference: Id, moment: Moment) -> Payment {
        let (Some(user), Some(join)) = (self.who(reference, moment.at).user, self.join(reference.source)) else {
            return UNPAID;
        };
        let (steps, cut) = self.steps((reference, user), moment, join.tie);
        let Some(here) = steps.iter().position(|(at, step)| *at == moment && matches!(step, Step::Backstage { .. }))
        else {
            return UNPAID;
        };
        let mut unspent: Vec<Unspent> = Vec::new();
        let mut refused: Vec<Refused> = Vec::new();
        let mut answered: Option<Id> = None;
        // Lines so far, with when each can have been written at the earliest.
        let mut lines: Vec<(Moment, Millis)> = Vec::new();
        for (index, (at, step)) in steps.iter().enumerate().take(here + 1) {
            unspent.retain(|issue| issue.moment.at >= at.at.saturating_sub(join.tie));
            match *step {
                Step::Keycloak { session, grant } => unspent.push(Unspent { moment: *at, session, grant }),
                Step::Callback { session } if answered == Some(session) => answered = None,
                Step::Callback { session } => {
                    let code = |issue: &&Unspent| issue.session == Some(session) && issue.grant != Grant::Refresh;
                    refused.push(Refused { callback: *at, session, code: unspent.iter().find(code).copied() });
                    unspent.retain(|issue| issue.session != Some(session));
                }
                Step::Backstage { min } => {
                    let prompt = at.at.saturating_sub(self.config.skew);
                    let mut payment =
                        spend(&mut unspent, &steps[index + 1..], (prompt, at.at.saturating_add(join.tie)));
                    payment.sure &= !cut || payment.callback.is_some();
                    let its_own = |one: &Refused| one.callback.at >= min.max(at.at.saturating_sub(join.tie));
                    if payment.session.is_none() {
                        refused.retain(its_own);
                        if let Some((callback, late)) = read_late(&mut refused, steps.get(index + 1)) {
                            payment = late;
                            // Another line behind the callback can have been written before it as well.
                            let other = |(line, min): &(Moment, Millis)| *line > callback && *min <= callback.at;
                            payment.sure &= !lines.iter().any(other);
                        }
                    } else if payment.callback.is_none() {
                        // It can be that of a sign-in that looks refused without it.
                        payment.sure &= !refused.iter().any(its_own);
                    }
                    if index == here {
                        return self.or_later(payment, &steps[index + 1..], at.at);
                    }
                    lines.push((*at, min));
                    answered = payment.callback.and(payment.session);
                }
            }
        }
        UNPAID
    }

    /// Nothing came before: the clocks can differ, and an event can be lost of which the callback still tells.
    fn or_later(&self, payment: Payment, next: &[(Moment, Step)], at: Millis) -> Payment {
        if payment.session.is_some() {
            return payment;
        }
        match next.first() {
            Some((moment, Step::Callback { session })) => {
                let (session, callback) = (Some(*session), Some(moment.event));
                // Further away, it is as likely that of a sign-in that was refused.
                let sure = moment.at <= at.saturating_add(self.config.skew);
                Payment { kind: CredentialKind::SignIn, session, cause: None, callback, sure }
            }
            Some((moment, Step::Keycloak { session: Some(session), grant }))
                if moment.at <= at.saturating_add(self.config.skew) =>
            {
                let cause = Some(moment.event);
                Payment { kind: kind(*grant), session: Some(*session), cause, callback: None, sure: false }
            }
            _ => payment,
        }
    }

    /// The steps around `moment`: back to a silence longer than `tie`, and forward for as long as an answer can take; and
    /// whether there were more than are looked at.
    fn steps(&self, whose: (Id, Id), moment: Moment, tie: Millis) -> (Vec<(Moment, Step)>, bool) {
        let (reference, user) = whose;
        let mut steps: Vec<(Moment, Step)> = Vec::new();
        let issues = self.sessions.issues.get(&user).map(|all| around(all, moment, tie)).unwrap_or_default();
        let pays = issues.iter().filter(|(_, issue)| self.pays(reference, issue));
        steps.extend(pays.map(|(at, issue)| (*at, Step::Keycloak { session: issue.session, grant: issue.grant })));
        let paid = self.sessions.paid.get(&reference).map(|all| around(all, moment, tie)).unwrap_or_default();
        steps.extend(paid.iter().map(|(at, paid)| (*at, Step::Backstage { min: paid.span.min })));
        let callbacks = self.sessions.callbacks.get(&user).map(|all| around(all, moment, tie)).unwrap_or_default();
        let here = callbacks.iter().filter(|(_, (_, source))| *source == reference.source);
        steps.extend(here.map(|(at, (session, _))| (*at, Step::Callback { session: *session })));
        steps.sort_by_key(|(at, _)| *at);
        let mut first = steps.partition_point(|(at, _)| *at < moment);
        while first > 0 && steps[first].0.at.saturating_sub(steps[first - 1].0.at) <= tie {
            first -= 1;
        }
        let flood = [issues.len(), paid.len(), callbacks.len()].iter().any(|count| *count >= MAX_NEIGHBOURS);
        let cut = flood && first == 0;
        (steps.split_off(first), cut)
    }

    /// Whether Keycloak tokens can pay for a Backstage token: of the right client, and no exchange.
    fn pays(&self, reference: Id, issue: &Issue) -> bool {
        let clients = self.join(reference.source).map_or(&[][..], |join| &join.clients);
        matches!(issue.grant, Grant::Code | Grant::Refresh | Grant::Other)
            && (clients.is_empty() || clients.iter().any(|client| **client == *self.names.text(issue.client)))
    }

    /// Whether Keycloak issued tokens, alive at a decision, that paid for none of `candidates`, for no line just behind it, and were not
    /// refused: then a Backstage token may be out of which no line tells.
    pub(crate) fn is_one_unseen(&self, whose: (Id, Id), when: (Moment, &Told), candidates: &[Candidate]) -> bool {
        let (reference, user) = whose;
        let (Moment { at: t, .. }, told) = when;
        let (Some(join), Some(issues)) = (self.join(reference.source), self.sessions.issues.get(&user)) else {
            return false;
        };
        let alive = Moment::floor(t.saturating_sub(join.token_life))..=Moment::ceiling(told.span.max.max(t));
        let refused = |at: &Moment, session: Option<Id>| {
            let callbacks = self.sessions.callbacks.get(&user);
            let soon = *at..=Moment::ceiling(at.at.saturating_add(join.tie));
            callbacks.is_some_and(|all| all.range(soon).any(|(_, (called, _))| Some(*called) == session))
        };
        let latest = issues.range(alive).rev().take(MAX_NEIGHBOURS);
        let open = latest.filter(|(at, issue)| {
            let spent = candidates.iter().any(|candidate| candidate.cause == Some(at.event));
            !spent && self.pays(reference, issue) && !refused(at, issue.session)
        });
        let mut open = open.map(|(at, _)| *at).peekable();
        let Some(last) = open.peek().map(|at| at.at.saturating_add(join.tie)) else { return false };
        // What was issued just now is answered by a line that comes only then.
        let soon = Moment::ceiling(t)..Moment::ceiling(last.max(t));
        let lines = self.sessions.paid.get(&reference).map(|all| all.range(soon).take(MAX_NEIGHBOURS));
        let answered = lines.into_iter().flatten().filter_map(|(moment, _)| self.payment(reference, *moment).cause);
        let answered: Vec<Uuid> = answered.collect();
        open.any(|at| !answered.contains(&at.event))
    }

    /// Credentials of `reference` that are alive at `t`, latest last, and whether there are more than are looked at.
    pub(crate) fn candidates(&self, reference: Id, t: Millis) -> (Vec<Candidate>, bool) {
        let Some(join) = self.join(reference.source) else { return Default::default() };
        let Some(paid) = self.sessions.paid.get(&reference) else { return Default::default() };
        let alive = Moment::ceiling(t.saturating_sub(join.token_life))..=Moment::ceiling(t);
        let mut latest = paid.range(alive).rev();
        let looked_at = latest.by_ref().take(MAX_NEIGHBOURS).map(|one| self.candidate(reference, one));
        let mut found: Vec<Candidate> = looked_at.collect();
        found.reverse();
        (found, latest.next().is_some())
    }

    fn candidate(&self, reference: Id, (moment, paid): (&Moment, &Paid)) -> Candidate {
        let Payment { session, cause, sure, .. } = self.payment(reference, *moment);
        Candidate { moment: *moment, session, cause, sure, placed: !self.names.text(paid.instance).is_empty() }
    }

    /// Credentials whose lines stand behind a decision and can have been written before it, and whether there are more than are looked at.
    pub(crate) fn stamped_later(&self, reference: Id, (moment, told): (Moment, &Told)) -> (Vec<Candidate>, bool) {
        let Some(paid) = self.sessions.paid.get(&reference) else { return Default::default() };
        // Lines of one instance stand in the order in which they were written, where one reader stamps both: at the latest when it read them.
        let stamped = |at: Millis, span: Span| (span.min < at && span.max == at).then_some(at.saturating_sub(span.min));
        let stamp = stamped(moment.at, told.span).filter(|_| !self.names.text(told.instance).is_empty());
        let ordered = |at: &Moment, paid: &Paid| {
            stamp.is_some() && paid.instance == told.instance && stamped(at.at, paid.span) == stamp
        };
        let later =
            paid.range((Bound::Excluded(Moment::ceiling(moment.at)), Bound::Unbounded)).take(8 * MAX_NEIGHBOURS);
        let mut later = later.filter(|(at, paid)| paid.span.min <= told.span.max && !ordered(at, paid));
        let found = later.by_ref().take(MAX_NEIGHBOURS).map(|one| self.candidate(reference, one)).collect();
        (found, later.next().is_some())
    }

    /// Sessions of a user in which Keycloak issued tokens to the Backstage's client that can be alive at `t`: all that is known
    /// where no Issuing line is.
    pub(crate) fn keycloak_candidates(&self, reference: Id, user: Id, t: Millis) -> Vec<Candidate> {
        let Some(join) = self.join(reference.source) else { return Vec::new() };
        let Some(issues) = self.sessions.issues.get(&user) else { return Vec::new() };
        let alive = Moment::ceiling(t.saturating_sub(join.token_life))..=Moment::ceiling(t);
        let latest = issues.range(alive).rev().take(8 * MAX_NEIGHBOURS);
        let latest = latest.filter(|(_, issue)| issue.session.is_some() && self.pays(reference, issue));
        let candidate = |(moment, issue): (&Moment, &Issue)| Candidate {
            moment: *moment,
            session: issue.session,
            cause: Some(moment.event),
            sure: false,
            placed: true,
        };
        let mut found: Vec<Candidate> = latest.take(MAX_NEIGHBOURS).map(candidate).collect();
        found.reverse();
        found
    }

    pub(crate) fn credential_row(&self, reference: Id, moment: Moment) -> Option<CredentialRow> {
        let paid = self.sessions.paid.get(&reference)?.get(&moment)?;
        let payment = self.payment(reference, moment);
        let user = self.who(reference, moment.at).user;
        let claims = self.names.text(paid.claims);
        let claims = claims.split(',').filter(|claim| !claim.is_empty());
        Some(CredentialRow {
            person: user.map_or_else(|| self.named_key("user", reference), |user| self.key(user)),
            reference: self.names.name(reference).to_owned(),
            at: moment.at,
            claims: claims.map(str::to_owned).collect(),
            kind: payment.kind,
            session: payment.session.map(|session| self.names.name(session).to_owned()),
            cause: payment.cause,
            callback: payment.callback,
            sure: payment.sure,
        })
    }
}

/// Neighbours of `moment` in a log: the last before it and those within `tie` after it.
fn around<T: Copy>(log: &Log<Moment, T>, moment: Moment, tie: Millis) -> Vec<(Moment, T)> {
    let until = Moment::ceiling(moment.at.saturating_add(tie));
    let before = log.range(..=moment).rev().take(MAX_NEIGHBOURS);
    let after = log.range((Bound::Excluded(moment), Bound::Included(until))).take(MAX_NEIGHBOURS);
    before.chain(after).map(|(at, entry)| (*at, *entry)).collect()
}

/// Takes what pays for a token out of what is unspent; `next` are the steps after it. From `prompt` on, Keycloak's token is as near as
/// two clocks and an answer explain; a callback can take until `until`.
fn spend(unspent: &mut Vec<Unspent>, next: &[(Moment, Step)], (prompt, until): (Millis, Millis)) -> Payment {
    let before_the_next_token = next.iter().take_while(|(_, step)| !matches!(step, Step::Backstage { .. }));
    let callback = before_the_next_token.filter(|(at, _)| at.at <= until).find_map(|(at, step)| match step {
        Step::Callback { session } => Some((at.event, *session)),
        _ => None,
    });
    // The callback names the session of a code; a refresh has none.
    let named = callback.and_then(|(event, session)| {
        let place = unspent.iter().position(|issue| issue.grant != Grant::Refresh && issue.session == Some(session))?;
        Some((place, event))
    });
    if let Some((place, event)) = named {
        let issue = unspent.remove(place);
        return Payment {
            kind: kind(issue.grant),
            session: issue.session,
            cause: Some(issue.moment.event),
            callback: Some(event),
            sure: true,
        };
    }
    let Some(first) = unspent.first().copied() else { return UNPAID };
    // A callback of a session whose tokens were never told: they may have paid for this one.
    let untold = |session: Id| {
        let told = |(_, step): &&(Moment, Step)| matches!(step, Step::Keycloak { session: Some(told), .. } if *told == session);
        !next.iter().any(|step| told(&step))
    };
    // Further away, one token whose line is lost and one line whose token is lost look like this one.
    let certain = first.moment.at >= prompt && !callback.is_some_and(|(_, session)| untold(session));
    let one_session = certain && unspent.iter().all(|issue| issue.session == first.session);
    unspent.remove(0);
    let cause = Some(first.moment.event);
    Payment { kind: kind(first.grant), session: first.session, cause, callback: None, sure: one_session }
}

/// The earliest sign-in that looks refused is the one of a line that was read late. Of several, or where a callback without tokens is
/// next as well, which one is not sure.
fn read_late(refused: &mut Vec<Refused>, next: Option<&(Moment, Step)>) -> Option<(Moment, Payment)> {
    let sure = refused.len() == 1 && !matches!(next, Some((_, Step::Callback { .. })));
    if refused.is_empty() {
        return None;
    }
    let Refused { callback, session, code } = refused.remove(0);
    let kind = code.map_or(CredentialKind::SignIn, |code| kind(code.grant));
    let cause = code.map(|code| code.moment.event);
    Some((callback, Payment { kind, session: Some(session), cause, callback: Some(callback.event), sure }))
}

fn kind(grant: Grant) -> CredentialKind {
    match grant {
        Grant::Refresh => CredentialKind::Refresh,
        Grant::Code | Grant::Password | Grant::Other => CredentialKind::SignIn,
        Grant::Client | Grant::Exchange => CredentialKind::Unknown,
    }
}
