//! Sign-ins of a simulated Backstage through its Keycloak: tokens, refreshes, and how sessions end.

use crate::{
    lines,
    model::{SignedIn, Token},
    sim::{MOST_LATE, World},
};
use rand::Rng;
use std::collections::BTreeMap;

impl World {
    pub fn sign_in(&mut self, user: usize) {
        if !self.active(user) {
            return;
        }
        // Backstage knows only whom its catalog knows.
        let refused = self.random.random_bool(0.1) || !self.catalog.contains_key(&self.reference(user));
        let session = self.random_id("s");
        let refresh = self.random_id("t");
        let told = self.users[user].clone();
        self.lines.push(lines::login(self.now, &told, &session));
        self.now += self.random.random_range(5..60);
        self.lines.push(lines::code_to_token(self.now, &told, (&session, &refresh)));
        self.now += self.random.random_range(20..150);
        if !refused {
            self.issue(user, Token { at: self.now, session: session.clone(), refresh, sign_in: true });
            self.now += self.random.random_range(2..12);
        }
        self.lines.push(lines::callback(self.now, &session));
        let user = told.id;
        self.signed_in.push(SignedIn { user, session, at: self.now, refused, refreshes: 0, ended: None });
    }

    fn issue(&mut self, user: usize, token: Token) {
        let reference = self.reference(user);
        let claims = self.catalog.get(&reference).cloned().unwrap_or_default();
        let late = if self.slow { self.random.random_range(0..MOST_LATE) } else { 0 };
        let token = Token { at: token.at + late, ..token };
        self.lines.push(lines::issuing(token.at, &reference, &claims));
        self.users[user].tokens.push(token);
    }

    pub fn refresh(&mut self, user: usize) {
        let open = |session: &str| self.signed_in.iter().any(|s| s.session == session && s.ended.is_none());
        let latest: BTreeMap<&str, &Token> =
            self.users[user].tokens.iter().filter(|t| open(&t.session)).map(|t| (t.session.as_str(), t)).collect();
        let Some(token) = latest.values().last().map(|token| (*token).clone()) else { return };
        if !self.active(user) {
            return;
        }
        let next = self.random_id("t");
        let told = self.users[user].clone();
        self.lines.push(lines::refresh(self.now, &told, (&token.session, &token.refresh, &next)));
        self.now += self.random.random_range(20..120);
        let session = token.session;
        self.signed_in.iter_mut().filter(|s| s.session == session).for_each(|s| s.refreshes += 1);
        self.issue(user, Token { at: self.now, session, refresh: next, sign_in: false });
    }

    pub fn sign_out(&mut self, user: usize) {
        let id = self.users[user].id.clone();
        let open = self.signed_in.iter_mut().find(|s| s.user == id && !s.refused && s.ended.is_none());
        if let Some(session) = open {
            session.ended = Some(self.now);
            self.lines.push(lines::revoke_grant(self.now, &self.users[user], &session.session));
        }
    }

    pub fn end_sessions(&mut self, user: usize) {
        let id = self.users[user].id.clone();
        for session in self.signed_in.iter_mut().filter(|s| s.user == id && s.ended.is_none()) {
            session.ended = Some(self.now);
        }
        self.lines.push(lines::sessions_ended(self.now, &self.users[user]));
    }
}
