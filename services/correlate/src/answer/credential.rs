//! What paid for a Backstage token, and which tokens can stand behind a decision.
//!
//! An "Issuing token" line names a person and no session. It is tied to the Keycloak tokens issued to that person just before
//! (each pays once), and to the sign-in's callback line just after, which names the session. A callback without an Issuing line
//! before it is a refused sign-in: its Keycloak tokens paid for nothing and are not left for the next line.

use crate::{
    facts::Grant,
    known::Known,
    moment::{Millis, Moment},
    names::Id,
    rows::{CredentialKind, CredentialRow},
};
use std::ops::Bound;
use uuid::Uuid;

/// Most neighbours of each kind that are looked at for one token: beyond it, a flood, nothing is certain.
const MAX_NEIGHBOURS: usize = 32;

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
    Keycloak { session: Option<Id>, grant: Grant },
    Backstage,
    Callback { session: Id },
}

/// Keycloak tokens that have paid for nothing yet.
#[derive(Clone, Copy)]
struct Unspent {
    moment: Moment,
    session: Option<Id>,
    grant: Grant,
}

/// A credential that can stand behind a decision.
#[derive(Clone, Copy)]
pub(crate) struct Candidate {
    pub moment: Moment,
    pub session: Option<Id>,
    pub sure: bool,
    pub placed: bool,
}

impl Known {
    /// What paid for the token that Backstage issued to `reference` at `moment`.
    pub(crate) fn payment(&self, reference: Id, moment: Moment) -> Payment {
        let (Some(user), Some(join)) = (self.who(reference, moment.at).user, self.join(reference.source)) else {
            return UNPAID;
        };
        let steps = self.steps((reference, user), moment, join.tie);
        let Some(here) = steps.iter().position(|(at, step)| *at == moment && matches!(step, Step::Backstage)) else {
            return UNPAID;
        };
        let mut unspent: Vec<Unspent> = Vec::new();
        let mut answered: Option<Id> = None;
        for (index, (at, step)) in steps.iter().enumerate().take(here + 1) {
            unspent.retain(|issue| issue.moment.at >= at.at.saturating_sub(join.tie));
            match *step {
                Step::Keycloak { session, grant } => unspent.push(Unspent { moment: *at, session, grant }),
                Step::Callback { session } if answered == Some(session) => answered = None,
                Step::Callback { session } => unspent.retain(|issue| issue.session != Some(session)),
                Step::Backstage => {
                    let payment = spend(&mut unspent, &steps[index + 1..], at.at.saturating_add(join.tie));
                    if index == here {
                        return self.or_later(payment, &steps[index + 1..], at.at);
                    }
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
        let skew = at.saturating_add(self.config.skew);
        for (moment, step) in next {
            match *step {
                Step::Backstage => break,
                Step::Callback { session } => {
                    let callback = Some(moment.event);
                    return Payment {
                        kind: CredentialKind::SignIn,
                        session: Some(session),
                        cause: None,
                        callback,
                        sure: true,
                    };
                }
                Step::Keycloak { session: Some(session), grant } if moment.at <= skew => {
                    let (kind, cause) = (kind(grant), Some(moment.event));
                    return Payment { kind, session: Some(session), cause, callback: None, sure: false };
                }
                Step::Keycloak { .. } => {}
            }
        }
        payment
    }

    /// The steps around `moment`: back to a silence longer than `tie`, and forward for as long as an answer can take.
    fn steps(&self, whose: (Id, Id), moment: Moment, tie: Millis) -> Vec<(Moment, Step)> {
        let (reference, user) = whose;
        let until = Moment::ceiling(moment.at.saturating_add(tie));
        let clients = self.join(reference.source).map_or(&[][..], |join| &join.clients);
        let pays = |issue: &crate::state::sessions::Issue| {
            matches!(issue.grant, Grant::Code | Grant::Refresh | Grant::Other)
                && (clients.is_empty() || clients.iter().any(|client| client == self.names.text(issue.client)))
        };
        let mut steps: Vec<(Moment, Step)> = Vec::new();
        let around = (Bound::Unbounded, Bound::Included(moment));
        let after = (Bound::Excluded(moment), Bound::Included(until));
        if let Some(issues) = self.sessions.issues.get(&user) {
            let step = |(at, issue): (&Moment, &crate::state::sessions::Issue)| {
                (*at, Step::Keycloak { session: issue.session, grant: issue.grant })
            };
            let fits = |(_, issue): &(&Moment, &crate::state::sessions::Issue)| pays(issue);
            steps.extend(issues.range(around).rev().filter(fits).map(step).take(MAX_NEIGHBOURS));
            steps.extend(issues.range(after).filter(fits).map(step).take(MAX_NEIGHBOURS));
        }
        if let Some(paid) = self.sessions.paid.get(&reference) {
            steps.extend(paid.range(around).rev().map(|(at, _)| (*at, Step::Backstage)).take(MAX_NEIGHBOURS));
            steps.extend(paid.range(after).map(|(at, _)| (*at, Step::Backstage)).take(MAX_NEIGHBOURS));
        }
        if let Some(callbacks) = self.sessions.callbacks.get(&user) {
            let here = |(_, (_, source)): &(&Moment, &(Id, crate::names::Sym))| *source == reference.source;
            let step =
                |(at, (session, _)): (&Moment, &(Id, crate::names::Sym))| (*at, Step::Callback { session: *session });
            steps.extend(callbacks.range(around).rev().filter(here).map(step).take(MAX_NEIGHBOURS));
            steps.extend(callbacks.range(after).filter(here).map(step).take(MAX_NEIGHBOURS));
        }
        steps.sort_by_key(|(at, _)| *at);
        let here = steps.partition_point(|(at, _)| *at < moment);
        let mut first = here;
        while first > 0 && steps[first].0.at.saturating_sub(steps[first - 1].0.at) <= tie {
            first -= 1;
        }
        steps.split_off(first)
    }

    /// Credentials of `reference` that are alive at `t`, latest last.
    pub(crate) fn candidates(&self, reference: Id, t: Millis) -> Vec<Candidate> {
        let Some(join) = self.join(reference.source) else { return Vec::new() };
        let Some(paid) = self.sessions.paid.get(&reference) else { return Vec::new() };
        let alive = Moment::ceiling(t.saturating_sub(join.token_life))..=Moment::ceiling(t);
        let candidate = |moment: Moment, placed| {
            let payment = self.payment(reference, moment);
            Candidate { moment, session: payment.session, sure: payment.sure, placed }
        };
        let latest = paid.range(alive).rev().take(MAX_NEIGHBOURS).map(|(moment, paid)| candidate(*moment, paid.placed));
        let mut found: Vec<Candidate> = latest.collect();
        found.reverse();
        found
    }

    /// Sessions of a user in which Keycloak issued tokens to the Backstage's client that can be alive at `t`: all that is known
    /// where no Issuing line is.
    pub(crate) fn keycloak_candidates(&self, reference: Id, user: Id, t: Millis) -> Vec<Candidate> {
        let Some(join) = self.join(reference.source) else { return Vec::new() };
        let Some(issues) = self.sessions.issues.get(&user) else { return Vec::new() };
        let alive = Moment::ceiling(t.saturating_sub(join.token_life))..=Moment::ceiling(t);
        let clients = &join.clients;
        let of_client = |client| clients.is_empty() || clients.iter().any(|name| name == self.names.text(client));
        let latest = issues.range(alive).rev().filter(|(_, issue)| issue.session.is_some() && of_client(issue.client));
        let candidate = |(moment, issue): (&Moment, &crate::state::sessions::Issue)| Candidate {
            moment: *moment,
            session: issue.session,
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
        let claims = self.names.text(paid.claims).split(',').filter(|claim| !claim.is_empty());
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

/// Takes what pays for a token out of what is unspent; `next` are the steps after it, `until` how long a callback can take.
fn spend(unspent: &mut Vec<Unspent>, next: &[(Moment, Step)], until: Millis) -> Payment {
    let before_the_next_token = next.iter().take_while(|(_, step)| !matches!(step, Step::Backstage));
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
    let one_session = unspent.iter().all(|issue| issue.session == first.session);
    unspent.remove(0);
    let cause = Some(first.moment.event);
    Payment { kind: kind(first.grant), session: first.session, cause, callback: None, sure: one_session }
}

fn kind(grant: Grant) -> CredentialKind {
    match grant {
        Grant::Refresh => CredentialKind::Refresh,
        Grant::Code | Grant::Password | Grant::Other => CredentialKind::SignIn,
        Grant::Client | Grant::Exchange => CredentialKind::Unknown,
    }
}
