//! Rows of sessions and of the tokens issued in them.

use crate::{
    answer::credential::MAX_NEIGHBOURS,
    facts::EndKind,
    known::Known,
    moment::{Millis, Moment},
    names::Id,
    rows::{Impersonator, SessionRow, SignIn, TokenRow},
    state::{
        lifespans::Life,
        sessions::{Called, Session, Use, UseKind},
    },
};
use std::collections::BTreeSet;
use uuid::Uuid;

/// Keycloak lets a session go on for so long after its idle time, where several sites may not have heard of its last use yet.
const IDLE_WINDOW: Millis = 120_000;

impl Known {
    pub(crate) fn session_row(&self, id: Id) -> Option<SessionRow> {
        let session = self.sessions.sessions.get(&id)?;
        let logins = session.uses.iter().filter(|(_, used)| matches!(used.what, UseKind::Login { .. }));
        let issues = session.uses.iter().filter_map(|(at, used)| match used.what {
            UseKind::Issue { grant, offline } => Some((at, grant, offline)),
            _ => None,
        });
        let good = || session.uses.iter().filter(|(_, used)| !used.what.is_refused());
        // A refresh that is refused tells of no session; unless Keycloak went so far as to look whether its token was used before.
        let reuse_refused = self.reuse_refused(id, session);
        let lived = good().next().is_some() || !session.callbacks.is_empty() || !reuse_refused.is_empty();
        if !lived && session.ends.is_empty() && session.listed.is_empty() {
            return None;
        }
        let ended = self.ended(id, session);
        let alive: Vec<Millis> = good().map(|(at, _)| at.at).chain(session.callbacks.keys().map(|at| at.at)).collect();
        let clients: BTreeSet<String> =
            good().map(|(_, used)| self.owned(used.client)).filter(|client| !client.is_empty()).collect();
        let after_end = |at: &Moment| ended.is_some_and(|(end, _)| at.at > end.saturating_add(self.config.skew));
        Some(SessionRow {
            person: session.user.map(|user| self.key(user)),
            started: logins.clone().map(|(at, _)| at.at).next(),
            seen: alive.iter().min().zip(alive.iter().max()).map(|(first, last)| (*first, *last)),
            clients: clients.into_iter().collect(),
            logins: count(logins.count()).saturating_add(session.folded.logins),
            refreshes: count(issues.clone().filter(|(_, grant, _)| *grant == crate::facts::Grant::Refresh).count())
                .saturating_add(session.folded.refreshes),
            offline: issues.clone().any(|(_, _, offline)| offline),
            impersonators: self.impersonators(session),
            expires: if ended.is_some() { None } else { self.expires(id, session) },
            ended,
            active_after_end: issues.clone().any(|(at, _, _)| after_end(at)),
            sign_ins: self.sign_ins(id, session),
            reuse_refused,
        })
    }

    /// Everybody else who acts in a session, from their first login in it on.
    fn impersonators(&self, session: &Session) -> Vec<Impersonator> {
        let mut found: Vec<Impersonator> = Vec::new();
        for (moment, used) in &session.uses {
            let UseKind::Login { impersonator } = used.what else { continue };
            let name = self.owned(impersonator);
            if !name.is_empty() && found.iter().all(|known| known.name != name) {
                found.push(Impersonator { name, since: moment.at, event: moment.event });
            }
        }
        found
    }

    /// The first and the last time that a refresh token was refused because it had been used before.
    fn reuse_refused(&self, id: Id, session: &Session) -> Vec<(Millis, Uuid)> {
        let is_reuse = |(moment, used): &(&Moment, &Use)| match used.what {
            UseKind::ReuseRefused => true,
            UseKind::StaleRefused { presented } => {
                let presented = Id { source: id.source, name: presented };
                self.was_presented(presented, **moment) || self.rotated(presented, Some(session)).is_some()
            }
            _ => false,
        };
        let told = |(moment, _): (&Moment, &Use)| (moment.at, moment.event);
        let mut all = session.uses.iter().filter(is_reuse).map(told);
        all.next().into_iter().chain(all.next_back()).collect()
    }

    /// Whether tokens were issued for a refresh token before `moment`.
    fn was_presented(&self, token: Id, moment: Moment) -> bool {
        let all = self.sessions.presented.get(&token);
        all.is_some_and(|all| all.range(..moment).any(|(_, user)| user.is_some()))
    }

    /// Whether by `t` somebody else acts in a session.
    pub(crate) fn is_acted_in(&self, session: Id, t: Millis) -> bool {
        let Some(session) = self.sessions.sessions.get(&session) else { return false };
        session.uses.range(..=Moment::ceiling(t)).any(|(_, used)| self.is_by_another(used.what))
    }

    /// Whether a use of a session is somebody else's than its user's.
    pub(crate) fn is_by_another(&self, what: UseKind) -> bool {
        matches!(what, UseKind::Login { impersonator } if !self.names.text(impersonator).is_empty())
    }

    /// The earliest end that is told. A revoked grant ends a session only if no other client used it: single sign-on goes on.
    pub(crate) fn ended(&self, id: Id, session: &Session) -> Option<(Millis, EndKind)> {
        let listed = session.listed.iter().map(|listed| Moment::floor(*listed));
        let first = session.uses.keys().chain(session.callbacks.keys()).copied().chain(listed).min();
        let good = session.uses.values().filter(|used| !used.what.is_refused());
        let clients: BTreeSet<_> = good.map(|used| used.client).collect();
        let own = session.ends.iter().filter(|(_, how)| **how != EndKind::RevokeGrant || clients.len() <= 1);
        let own = own.map(|(at, how)| (*at, *how)).min();
        let Some(first) = first else { return own.map(|(at, how)| (at.at, how)) };
        let mut wide: Option<(Moment, EndKind)> = None;
        if let Some(user) = session.user {
            let of_user = self.sessions.ends.get(&user);
            let of_realm = session.realm.and_then(|name| self.sessions.ends.get(&Id { source: user.source, name }));
            let all = of_user.into_iter().chain(of_realm).flatten();
            wide = all.map(|(at, how)| (*at, *how)).filter(|(at, _)| *at >= first).min();
            // What cannot have been alive any more was not ended by it.
            wide = wide.filter(|(at, _)| at.at <= self.alive_until(id, session));
        }
        let told = own.into_iter().chain(wide).min().map(|(at, how)| (at.at, how));
        if own.is_some() {
            return told;
        }
        let absent = self.absent((id, session), first.at);
        told.into_iter().chain(absent).min_by_key(|(at, _)| *at)
    }

    /// By when a session has ended at the latest if nobody used it after all that is known: at the end of the time that the realm lets
    /// one be idle (if the realm tells of refreshes at all), or live.
    pub(crate) fn expires(&self, id: Id, session: &Session) -> Option<Millis> {
        let realm = Id { source: id.source, name: session.realm? };
        let used = session.uses.iter().filter(|(_, used)| !used.what.is_refused()).map(|(at, _)| at.at);
        let alive = used.chain(session.callbacks.keys().map(|at| at.at)).chain(session.listed.iter().copied());
        let alive: Vec<Millis> = alive.collect();
        let (first, last) = (*alive.iter().min()?, *alive.iter().max()?);
        let end = |idle: Life, whole: Life, begun: Millis| {
            let realms = &self.sessions.realms;
            let told = self.sessions.refreshing.contains(&realm);
            let unused = realms.end(realm, idle, last).filter(|_| told);
            unused.into_iter().chain(realms.end(realm, whole, begun)).min()
        };
        let mut latest = end(Life::Idle, Life::Whole, first)?;
        let is_offline = |used: &Use| matches!(used.what, UseKind::Issue { offline: true, .. });
        if let Some((begun, _)) = session.uses.iter().find(|(_, used)| is_offline(used)) {
            latest = latest.max(end(Life::OfflineIdle, Life::OfflineWhole, begun.at)?);
        }
        Some(latest.saturating_add(IDLE_WINDOW).saturating_add(self.config.skew))
    }

    /// A complete read of sessions, after the last sign of life, that does not list it. One that began when the session cannot have been alive
    /// any more does not say when it ended: that is computed.
    fn absent(&self, (id, session): (Id, &Session), first: Millis) -> Option<(Millis, EndKind)> {
        // Whoever is refused does not use it.
        let used = session.uses.iter().filter(|(_, used)| !used.what.is_refused());
        let last = used.map(|(at, _)| at.at).max().unwrap_or(first);
        let last = session.listed.iter().copied().max().map_or(last, |listed| listed.max(last));
        let scope = crate::state::reads::Scope { list: crate::facts::List::Sessions, within: session.realm? };
        let reads = self.reads.of(scope);
        let next = reads.iter().find(|read| read.begin > last.saturating_add(self.config.skew))?;
        (next.begin <= self.alive_until(id, session)).then_some((next.end, EndKind::AbsentFromRead))
    }

    fn sign_ins(&self, id: Id, session: &Session) -> Vec<SignIn> {
        let sign_in =
            |(at, brought): (Moment, Option<Uuid>)| SignIn { callback: at.event, at: at.at, credential: brought };
        self.brought(id, session, Moment::ceiling(Millis::MAX)).into_iter().map(sign_in).collect()
    }

    /// The callbacks of a session up to an instant, and the Backstage tokens that they brought. Of nobody's, nothing is said.
    pub(crate) fn brought(&self, id: Id, session: &Session, until: Moment) -> Vec<(Moment, Option<Uuid>)> {
        let Some(user) = session.user else { return Vec::new() };
        let references = self.references_of(user);
        let brought = |callback: Moment, backstage| {
            let tie = self.join(backstage)?.tie;
            // As a rule the last one before it; its line can have been read late.
            let floor = Moment::floor(callback.at.saturating_sub(tie));
            let ceiling = Moment::ceiling(callback.at.saturating_add(tie));
            let is_its_token = |reference: Id, moment: Moment| {
                let payment = self.payment(reference, moment);
                payment.session == Some(id) && payment.callback == Some(callback.event)
            };
            let here = references.iter().filter(|reference| reference.source == backstage);
            let mut tokens = here.filter_map(|reference| {
                let paid = self.sessions.paid.get(reference)?;
                let late =
                    paid.range(callback..ceiling).take(MAX_NEIGHBOURS).map(|(moment, paid)| (moment, paid.span.min));
                let late = late.filter(|(_, min)| *min <= callback.at).map(|(moment, _)| *moment);
                let before = paid.range(floor..callback).next_back().map(|(moment, _)| *moment);
                before.into_iter().chain(late).find(|moment| is_its_token(*reference, *moment))
            });
            tokens.next().map(|moment| moment.event)
        };
        let found =
            |(at, called): (&Moment, &Called)| (*at, called.brought.unwrap_or_else(|| brought(*at, called.backstage)));
        session.callbacks.range(..until).map(found).collect()
    }

    pub(crate) fn token_row(&self, user: Id, moment: Moment) -> Option<TokenRow> {
        let issue = self.sessions.issues.get(&user)?.get(&moment)?;
        let presented = Id { source: user.source, name: issue.presented };
        let earlier = self.was_presented(presented, moment);
        // Presented before the floor, of which there was no doubt even then.
        let rotated = issue.session.and_then(|session| self.rotated(presented, self.sessions.sessions.get(&session)));
        Some(TokenRow {
            person: self.key(user),
            session: issue.session.map_or_else(String::new, |session| self.names.name(session).to_owned()),
            client: self.owned(issue.client),
            at: moment.at,
            grant: issue.grant,
            access: self.owned(issue.access),
            refresh: self.owned(issue.refresh),
            parent: self.parent(presented, moment).or(rotated),
            reused: earlier || rotated.is_some(),
        })
    }

    /// The event that issued a refresh token, before it was presented at `moment`.
    fn parent(&self, presented: Id, moment: Moment) -> Option<Uuid> {
        self.sessions.refresh_of.get(&presented)?.issued.last_before(moment).map(|at| at.event)
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
