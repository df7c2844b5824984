//! Sessions that are over, with the refresh tokens that were issued in them. A session that lives is kept whole.

use super::LetGo;
use crate::{
    facts::EndKind,
    known::Known,
    moment::{Millis, Moment},
    names::Id,
    places::Place,
    rows::Key,
    state::{
        gone::Gone,
        sessions::{Session, UseKind},
    },
};
use std::collections::BTreeMap;

/// What ends all sessions of a user or realm ends none of which by then nothing was heard for so long.
const SILENT: Millis = 60 * 86_400_000;
/// Nor one that must have expired so long before. What was lost in between may have kept it alive for a while.
const EXPIRED: Millis = 86_400_000;

impl Session {
    /// The last that was heard of it.
    fn heard(&self) -> Option<Millis> {
        let used = self.uses.keys().next_back().max(self.callbacks.keys().next_back());
        let told = used.max(self.ends.keys().next_back()).map(|at| at.at);
        told.max(self.listed.iter().next_back().copied())
    }
}

impl Known {
    /// The latest instant at which a session can have been alive, for all that is known.
    pub(crate) fn alive_until(&self, id: Id, session: &Session) -> Millis {
        let expired = self.expires(id, session).map(|expires| expires.saturating_add(EXPIRED));
        let silent = session.heard().map(|heard| heard.saturating_add(SILENT));
        expired.into_iter().chain(silent).min().unwrap_or(Millis::MAX)
    }

    /// Whether nothing that happens at `over` or later can change what is said of a session, but that it is used again.
    fn is_over(&self, id: Id, session: &Session, over: Millis) -> bool {
        // While a token of it lives, decisions say that somebody else acted in it.
        let asked = self.is_acted_in(id, Millis::MAX);
        let over = if asked { over.saturating_sub(self.longest_life()).saturating_sub(self.reach()) } else { over };
        if session.heard().is_none_or(|heard| heard >= over) {
            return false;
        }
        let offline = session.uses.values().any(|used| matches!(used.what, UseKind::Issue { offline: true, .. }));
        // A client's grant that is revoked does not keep others from using the session.
        let firm = |(end, how)| end < over && how != EndKind::RevokeGrant;
        (!offline && self.ended(id, session).is_some_and(firm)) || self.alive_until(id, session) < over
    }

    pub(super) fn forget_sessions(&mut self, over: Millis, gone: &mut LetGo<'_>) {
        let all = self.sessions.sessions.iter();
        let ended: BTreeMap<Id, Option<Id>> = all
            .filter(|(id, session)| self.is_over(**id, session, over))
            .map(|(id, session)| (*id, session.user))
            .collect();
        if ended.is_empty() {
            return;
        }
        let places: Vec<Place> = ended.keys().map(|id| self.session_place(*id)).collect();
        self.gone.sessions.add(over, places.into_iter());
        for (id, user) in &ended {
            gone(Key::Session(self.owned(id.source), self.owned(id.name)));
            if let Some(user) = user {
                Gone::note(&mut self.gone.users, *user, over.saturating_sub(1));
                if let Some(known) = self.sessions.of_user.get_mut(user) {
                    known.retain(|session| !ended.contains_key(session));
                }
            }
        }
        let sessions = &mut self.sessions;
        sessions.sessions.retain(|id, _| !ended.contains_key(id));
        sessions.of_user.retain(|_, known| !known.is_empty());
        let presented = &mut sessions.presented;
        sessions.refresh_of.retain(|token, refresh| {
            let stays = refresh.session.is_none_or(|session| !ended.contains_key(&session));
            if !stays && let Some(all) = presented.get_mut(token) {
                all.retain(|moment, _| moment.at >= over);
            }
            stays
        });
        presented.retain(|_, all| !all.is_empty());
    }

    /// Whether a session was forgotten. That something is heard of it is told, unless it changes nothing.
    pub(crate) fn is_session_gone(&mut self, session: Id, heard: Option<Moment>) -> bool {
        let unknown = !self.gone.sessions.is_empty() && !self.sessions.sessions.contains_key(&session);
        let gone = unknown && self.gone.sessions.contains(self.session_place(session));
        if let (true, Some(heard)) = (gone, heard) {
            self.gone.needed(heard.at);
        }
        gone
    }

    fn session_place(&self, session: Id) -> Place {
        self.places.of(&(&*self.names.text(session.source), &*self.names.name(session)))
    }

    /// What is learned of how long sessions live, or what ends all of many, concerns those that were forgotten.
    pub(crate) fn reaches_gone_sessions(&mut self, from: Millis) {
        if !self.gone.sessions.is_empty() {
            self.gone.needed(from);
        }
    }
}
