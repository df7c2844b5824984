//! Sessions, tokens and callbacks: plain logs.

use super::Place;
use crate::{
    dirt::Dirt,
    facts::{EndKind, Ended, Grant, Issued, Lifespans},
    known::Known,
    moment::Millis,
    names::Id,
    state::sessions::{Called, Issue, Once, Refresh, Use, UseKind},
};

impl Known {
    /// Notes a use of a session; false if it was there, or tells nothing.
    pub(super) fn used(&mut self, place: &Place, said: (&str, &str, &str), what: UseKind, dirt: &mut Dirt) -> bool {
        let (user, session, client) = said;
        if session.is_empty() || self.is_too_old(place.moment.at) {
            return false;
        }
        let user = (!user.is_empty()).then(|| self.id(place, user));
        let (session, client) = (self.id(place, session), self.names.sym(client));
        // Whoever is refused does not use it; that a token was used before shows in its row.
        let heard = (what != UseKind::Refused).then_some(place.moment);
        if self.is_session_gone(session, heard) {
            return false;
        }
        let (found, waiting) = self.sessions.session(session, user);
        found.realm = found.realm.or(Some(place.within));
        let used = Use { client, what };
        let known = found.uses.get(&place.moment);
        if waiting.is_none() && known.is_some_and(|known| *known == used || known.what == UseKind::ReuseRefused) {
            return false;
        }
        found.uses.insert(place.moment, used);
        dirt.sessions.insert(session);
        // Decisions say whether somebody else acted.
        if let Some(user) = user.filter(|_| self.is_by_another(what)) {
            dirt.decisions_of(user, place.moment.at);
        }
        if let (Some(user), Some(since)) = (user, waiting) {
            self.callbacks_moved(user, since, dirt);
        }
        true
    }

    /// Callbacks, the first of them at `since`, were found to be a user's: what paid for tokens around them may be another.
    pub(crate) fn callbacks_moved(&mut self, user: Id, since: Millis, dirt: &mut Dirt) {
        if self.gone.over.is_some_and(|over| since < over) {
            self.gone.needed(since);
        }
        let from = since.saturating_sub(self.answered_within());
        dirt.decisions_of(user, from);
        dirt.sign_ins_of(user, from);
    }

    pub(super) fn issued(&mut self, place: &Place, issued: &Issued<'_>, dirt: &mut Dirt) {
        if self.is_too_old(place.moment.at) {
            return;
        }
        let user = self.id(place, issued.user);
        let session = (!issued.session.is_empty()).then(|| self.id(place, issued.session));
        let issue = Issue {
            session,
            client: self.names.sym(issued.client),
            grant: issued.grant,
            access: self.names.sym(issued.access),
            presented: self.names.sym(issued.presented),
            refresh: self.names.sym(issued.refresh),
            offline: issued.offline,
            over: false,
        };
        let issues = self.sessions.issues.get_or_default(user);
        // A second copy, of which there is one of nearly everything.
        if issues.get(&place.moment) == Some(&issue) {
            return;
        }
        issues.insert(place.moment, issue);
        let what = UseKind::Issue { grant: issued.grant, offline: issued.offline };
        self.used(place, (issued.user, issued.session, issued.client), what, dirt);
        let realm = Id { source: place.source, name: place.within };
        let first_refresh = issued.grant == Grant::Refresh && self.sessions.refreshing.insert(realm);
        if first_refresh && self.sessions.realms.knows(realm) {
            self.reaches_gone_sessions(place.moment.at);
            self.sessions_of_realm(realm, dirt);
        }
        dirt.tokens.insert((user, place.moment));
        if !issued.refresh.is_empty() {
            let refresh = self.id(place, issued.refresh);
            let made = || Refresh { session, issued: Once::At(place.moment) };
            self.sessions.refresh_of.get_or_insert_with(refresh, made).issued.also(place.moment);
            dirt.tokens.extend(self.sessions.issued_for(refresh, place.moment));
        }
        if !issued.presented.is_empty() {
            let token = self.id(place, issued.presented);
            self.may_be_spent(token, (session, place.moment));
            self.presented(place, (issued.presented, Some(user)), dirt);
        }
        let from = place.moment.at.saturating_sub(self.answered_within());
        dirt.decisions_of(user, from);
        dirt.sign_ins_of(user, from);
    }

    pub(super) fn presented(&mut self, place: &Place, said: (&str, Option<Id>), dirt: &mut Dirt) {
        let (token, user) = said;
        if self.is_too_old(place.moment.at) {
            return;
        }
        let token = self.id(place, token);
        self.sessions.presented.get_or_default(token).insert(place.moment, user);
        dirt.tokens.extend(self.sessions.issued_for(token, place.moment));
    }

    pub(super) fn ended_by(&mut self, place: &Place, which: Ended<'_>, how: EndKind, dirt: &mut Dirt) {
        match which {
            Ended::One { session, user } => {
                let user = (!user.is_empty()).then(|| self.id(place, user));
                let session = self.id(place, session);
                if self.is_too_old(place.moment.at) || self.is_session_gone(session, Some(place.moment)) {
                    return;
                }
                let (found, waiting) = self.sessions.session(session, user);
                found.realm = found.realm.or(Some(place.within));
                found.ends.insert(place.moment, how);
                dirt.sessions.insert(session);
                if let (Some(user), Some(since)) = (user, waiting) {
                    self.callbacks_moved(user, since, dirt);
                }
            }
            Ended::OfUser(user) => {
                let user = self.id(place, user);
                self.is_too_old(place.moment.at);
                self.sessions.ends.get_or_default(user).insert(place.moment, how);
                dirt.sessions_of(user, Millis::MIN);
            }
            Ended::OfRealm => {
                let realm = Id { source: place.source, name: place.within };
                self.is_too_old(place.moment.at);
                self.sessions.ends.get_or_default(realm).insert(place.moment, how);
                self.sessions_of_realm(realm, dirt);
            }
        }
    }

    pub(super) fn lifespans(&mut self, place: &Place, said: Lifespans, dirt: &mut Dirt) {
        let realm = Id { source: place.source, name: place.within };
        let floor = self.gone.floor.unwrap_or(Millis::MIN);
        if self.sessions.realms.reaches_back(realm, (place.moment, said), floor) {
            self.reaches_gone_sessions(place.moment.at);
        }
        if self.sessions.realms.note(realm, place.moment, said) {
            self.sessions_of_realm(realm, dirt);
        }
    }

    fn sessions_of_realm(&self, realm: Id, dirt: &mut Dirt) {
        let all = self.sessions.sessions.iter();
        let here = all.filter(|(id, session)| id.source == realm.source && session.realm == Some(realm.name));
        dirt.sessions.extend(here.map(|(id, _)| *id));
    }

    pub(super) fn callback(&mut self, place: &Place, session: &str, dirt: &mut Dirt) {
        let backstage = place.source;
        let Some(keycloak) = self.join(backstage).map(|join| join.keycloak.clone()) else { return };
        if self.is_too_old(place.moment.at) {
            return;
        }
        let session = self.names.id(&keycloak, session);
        if self.is_session_gone(session, Some(place.moment)) {
            return;
        }
        let (found, _) = self.sessions.session(session, None);
        if found.callbacks.get(&place.moment).is_some_and(|called| called.backstage == backstage) {
            return;
        }
        found.callbacks.insert(place.moment, Called { backstage, brought: None });
        let user = found.user;
        dirt.sessions.insert(session);
        if let Some(user) = user {
            self.sessions.callbacks.get_or_default(user).insert(place.moment, (session, backstage));
            let from = place.moment.at.saturating_sub(self.answered_within());
            dirt.decisions_of(user, from);
            dirt.sign_ins_of(user, from);
        }
    }
}
