//! Sessions, tokens and callbacks: plain logs.

use super::Place;
use crate::{
    dirt::Dirt,
    facts::{EndKind, Ended, Grant, Issued, Lifespans},
    known::Known,
    moment::Millis,
    names::Id,
    state::sessions::{Issue, Use, UseKind},
};

impl Known {
    pub(super) fn used(&mut self, place: &Place, said: (&str, &str, &str), what: UseKind, dirt: &mut Dirt) {
        let (user, session, client) = said;
        if session.is_empty() {
            return;
        }
        let user = (!user.is_empty()).then(|| self.id(place, user));
        let (session, client) = (self.id(place, session), self.names.sym(client));
        let (found, waiting) = self.sessions.session(session, user);
        found.realm = found.realm.or(Some(place.within));
        found.uses.insert(place.moment, Use { client, what });
        dirt.sessions.insert(session);
        if let (Some(user), Some(since)) = (user, waiting) {
            let tie = self.longest_tie();
            dirt.decisions_of(user, since.saturating_sub(tie));
        }
    }

    pub(super) fn issued(&mut self, place: &Place, issued: &Issued<'_>, dirt: &mut Dirt) {
        let user = self.id(place, issued.user);
        let session = (!issued.session.is_empty()).then(|| self.id(place, issued.session));
        let what = UseKind::Issue { grant: issued.grant, offline: issued.offline };
        self.used(place, (issued.user, issued.session, issued.client), what, dirt);
        let realm = Id { source: place.source, name: place.within };
        let first_refresh = issued.grant == Grant::Refresh && self.sessions.refreshing.insert(realm);
        if first_refresh && self.sessions.realms.knows(realm) {
            self.sessions_of_realm(realm, dirt);
        }
        let issue = Issue {
            session,
            client: self.names.sym(issued.client),
            grant: issued.grant,
            access: self.names.sym(issued.access),
            presented: self.names.sym(issued.presented),
            refresh: self.names.sym(issued.refresh),
            offline: issued.offline,
        };
        self.sessions.issues.entry(user).or_default().insert(place.moment, issue);
        dirt.tokens.insert((user, place.moment));
        if !issued.refresh.is_empty() {
            let refresh = self.id(place, issued.refresh);
            self.sessions.refresh_of.entry(refresh).or_default().insert(place.moment);
            let presented = self.sessions.presenters.get(&refresh).into_iter().flatten();
            dirt.tokens.extend(presented.copied());
        }
        if !issued.presented.is_empty() {
            let presented = self.id(place, issued.presented);
            self.sessions.presenters.entry(presented).or_default().insert((user, place.moment));
            self.presented(place, (issued.presented, false), dirt);
        }
        let from = place.moment.at.saturating_sub(self.longest_tie());
        dirt.decisions_of(user, from);
        dirt.sign_ins_of(user, from);
    }

    pub(super) fn presented(&mut self, place: &Place, said: (&str, bool), dirt: &mut Dirt) {
        let (token, refused) = said;
        let token = self.id(place, token);
        self.sessions.presented.entry(token).or_default().insert(place.moment, refused);
        dirt.tokens.extend(self.sessions.presenters.get(&token).into_iter().flatten().copied());
    }

    pub(super) fn ended_by(&mut self, place: &Place, which: Ended<'_>, how: EndKind, dirt: &mut Dirt) {
        match which {
            Ended::One { session, user } => {
                let user = (!user.is_empty()).then(|| self.id(place, user));
                let session = self.id(place, session);
                let (found, waiting) = self.sessions.session(session, user);
                found.realm = found.realm.or(Some(place.within));
                found.ends.insert(place.moment, how);
                dirt.sessions.insert(session);
                if let (Some(user), Some(since)) = (user, waiting) {
                    dirt.decisions_of(user, since.saturating_sub(self.longest_tie()));
                }
            }
            Ended::OfUser(user) => {
                let user = self.id(place, user);
                self.sessions.ends.entry(user).or_default().insert(place.moment, how);
                dirt.sessions_of(user, Millis::MIN);
            }
            Ended::OfRealm => {
                let realm = Id { source: place.source, name: place.within };
                self.sessions.ends.entry(realm).or_default().insert(place.moment, how);
                self.sessions_of_realm(realm, dirt);
            }
        }
    }

    pub(super) fn lifespans(&mut self, place: &Place, said: Lifespans, dirt: &mut Dirt) {
        let realm = Id { source: place.source, name: place.within };
        self.sessions.realms.note(realm, place.moment, said);
        self.sessions_of_realm(realm, dirt);
    }

    fn sessions_of_realm(&self, realm: Id, dirt: &mut Dirt) {
        let all = self.sessions.sessions.iter();
        let here = all.filter(|(id, session)| id.source == realm.source && session.realm == Some(realm.name));
        dirt.sessions.extend(here.map(|(id, _)| *id));
    }

    pub(super) fn callback(&mut self, place: &Place, session: &str, dirt: &mut Dirt) {
        let backstage = place.source;
        let Some(keycloak) = self.join(backstage).map(|join| join.keycloak.clone()) else { return };
        let session = self.names.id(&keycloak, session);
        let (found, _) = self.sessions.session(session, None);
        found.callbacks.insert(place.moment, backstage);
        let user = found.user;
        dirt.sessions.insert(session);
        if let Some(user) = user {
            self.sessions.callbacks.entry(user).or_default().insert(place.moment, (session, backstage));
            let from = place.moment.at.saturating_sub(self.longest_tie());
            dirt.decisions_of(user, from);
            dirt.sign_ins_of(user, from);
        }
    }
}
