//! What only says again what was said before: of names, and of sessions that go on, the first and the last stay, and how many there were
//! where a row shows it.
//!
//! Each login says a user's name and address again, and each refresh that its session lives. What came between the first and the last
//! time that the same was said says nothing more, unless something else comes to light that lies between them: that is told, as all is
//! that reaches back behind the floor.

use crate::{
    facts::Grant,
    known::Known,
    log::Log,
    moment::{Millis, Moment},
    names::{Id, Names, Sym},
    places::{Place, Places},
    state::{
        reads::ReadAt,
        sessions::{Folded, Refresh, Session, Sessions, Use, UseKind},
    },
};
use hashbrown::HashSet;
use uuid::Uuid;

impl Known {
    /// Of names and addresses.
    pub(super) fn fold_names(&mut self, over: Millis) {
        let Self { keycloak, reads, .. } = self;
        keycloak.usernames.fold(over, reads);
        keycloak.emails.fold(over, reads);
    }

    /// Of sessions that are not over: how they were used, and the refresh tokens that they have done with.
    pub(super) fn fold_sessions(&mut self, over: Millis) {
        self.prove_reuses();
        let sessions = &mut self.sessions;
        for (_, session) in sessions.sessions.iter_mut() {
            session.folded.fold(&mut session.uses, over);
        }
        let mut done: Vec<(Moment, Id, Id)> = Vec::new();
        for (token, refresh) in sessions.refresh_of.iter() {
            if let Some(session) = refresh.session.filter(|session| sessions.sessions.contains_key(session))
                && is_spent(refresh, sessions.presented.get(token), over)
            {
                done.push((refresh.issued.last(), *token, session));
            }
        }
        done.sort_unstable();
        for (issued, token, session) in &done {
            let place = token_place((&self.names, &self.places), *token);
            if let Some(session) = sessions.sessions.get_mut(session) {
                session.folded.tokens.add(place, issued.event);
            }
        }
        let spent: HashSet<Id> = done.into_iter().map(|(_, token, _)| token).collect();
        if !spent.is_empty() {
            sessions.refresh_of.retain(|token, _| !spent.contains(token));
            sessions.presented.retain(|token, _| !spent.contains(token));
        }
        sessions.presented.iter_mut().for_each(|(_, all)| fold_presented(all, over));
    }

    /// Notes of refusals that they were of tokens that had been used before, while what tells so is here.
    fn prove_reuses(&mut self) {
        let Self { sessions: Sessions { sessions, presented, .. }, names, places, .. } = self;
        for (id, session) in sessions.iter_mut() {
            let Session { uses, folded, .. } = session;
            if !uses.values().any(|used| matches!(used.what, UseKind::StaleRefused { .. })) {
                continue;
            }
            for (at, used) in uses.iter_mut() {
                let UseKind::StaleRefused { presented: token } = used.what else { continue };
                let token = Id { source: id.source, name: token };
                let before = presented.get(&token).is_some_and(|all| all.range(..*at).any(|(_, user)| user.is_some()));
                if before || folded.tokens.issued(token_place((&*names, &*places), token)).is_some() {
                    used.what = UseKind::ReuseRefused;
                }
            }
        }
    }

    /// Somebody presents a refresh token that is not known. In a session of which more were presented before than are kept, it may be one of
    /// those.
    pub(crate) fn may_be_spent(&mut self, token: Id, (session, moment): (Option<Id>, Moment)) {
        if self.sessions.refresh_of.contains_key(&token) {
            return;
        }
        let lacks = |session: Id| {
            let session = self.sessions.sessions.get(&session);
            session.is_some_and(|session| session.folded.tokens.lacks()) && self.rotated(token, session).is_none()
        };
        match session {
            Some(session) if lacks(session) => self.gone.needed(moment.at),
            Some(_) => {}
            None => self.reaches_gone_sessions(moment.at),
        }
    }

    /// The event that issued a refresh token which was presented in a session before the floor.
    pub(crate) fn rotated(&self, token: Id, session: Option<&Session>) -> Option<Uuid> {
        session?.folded.tokens.issued(token_place((&self.names, &self.places), token))
    }

    /// A name or an address that is told of a time before the floor can lie between two of which only the first and the last are left.
    pub(crate) fn names_reach_back(&mut self, user: Id, (moment, username, email): (Moment, &str, &str)) {
        let Some(over) = self.gone.over.filter(|over| moment.at < *over) else { return };
        let said = |text: &str| self.names.known(text);
        let lacks = [(&self.keycloak.usernames, username), (&self.keycloak.emails, email)]
            .into_iter()
            .filter(|(_, text)| !text.is_empty())
            .any(|(book, text)| book.get(user).is_some_and(|ledger| ledger.may_lack(moment, said(text), over)));
        if lacks {
            self.gone.needed(moment.at);
        }
    }

    /// The same of a complete read of users.
    pub(crate) fn read_names_reach_back(&mut self, at: ReadAt, named: &[(Id, [Sym; 2])]) {
        let Some(over) = self.gone.over.filter(|over| at.begin < *over) else { return };
        let books = [&self.keycloak.usernames, &self.keycloak.emails];
        let lacks = named.iter().any(|(user, said)| {
            let mut both = books.iter().zip(said);
            both.any(|(book, said)| {
                book.get(*user).is_some_and(|ledger| ledger.may_lack(at.moment(), Some(*said), over))
            })
        });
        if lacks {
            self.gone.needed(at.begin);
        }
    }
}

impl Folded {
    /// Leaves of the same uses before `over` the first and the last, and counts the others.
    fn fold(&mut self, uses: &mut Log<Moment, Use>, over: Millis) {
        let old = || uses.iter().take_while(|(at, _)| at.at < over);
        // A few are no gain.
        if old().nth(3).is_none() {
            return;
        }
        let mut ends: Vec<(Use, Moment, Moment)> = Vec::new();
        for (at, used) in old() {
            match ends.iter_mut().find(|(known, _, _)| known == used) {
                Some((_, _, last)) => *last = *at,
                None => ends.push((*used, *at, *at)),
            }
        }
        uses.retain(|at, used| {
            let is_end = |(known, first, last): &(Use, Moment, Moment)| *known == *used && (first == at || last == at);
            let kept = at.at >= over || ends.iter().any(is_end);
            if !kept {
                self.count(used);
            }
            kept
        });
    }

    fn count(&mut self, used: &Use) {
        match used.what {
            UseKind::Login { .. } => self.logins = self.logins.saturating_add(1),
            UseKind::Issue { grant: Grant::Refresh, .. } => self.refreshes = self.refreshes.saturating_add(1),
            UseKind::Issue { .. } | UseKind::Refused | UseKind::ReuseRefused | UseKind::StaleRefused { .. } => {}
        }
    }
}

fn token_place((names, places): (&Names, &Places), token: Id) -> Place {
    places.of(&(&*names.text(token.source), &*names.name(token)))
}

/// Whether a refresh token was issued and presented before `over`, and not since.
fn is_spent(refresh: &Refresh, presented: Option<&Log<Moment, Option<Id>>>, over: Millis) -> bool {
    let Some(presented) = presented else { return false };
    let last = presented.keys().next_back();
    let taken = presented.values().any(Option::is_some);
    taken && last.is_some_and(|last| last.at < over) && refresh.issued.last() < Moment::floor(over)
}

/// Of presentations before `over` the first for which tokens were issued stays: whatever comes later is one more time.
fn fold_presented(all: &mut Log<Moment, Option<Id>>, over: Millis) {
    let first = all.iter().find(|(_, user)| user.is_some()).map(|(at, _)| *at);
    let Some(first) = first.filter(|first| all.keys().filter(|at| at.at < over).any(|at| at != first)) else { return };
    all.retain(|at, _| at.at >= over || *at == first);
}
