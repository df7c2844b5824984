//! What operators say of persons, and whose answers carry another key because of it; and logins at identity providers, which are
//! names of a person and tie nobody to anybody.

use super::Place;
use crate::{
    dirt::Dirt,
    facts::{Account, Login},
    known::Known,
    moment::Millis,
    names::Id,
    persons::Act,
    state::{federated::Said, persons::Member},
};
use events::act::AccountKind;

impl Known {
    pub(super) fn federated(&mut self, place: &Place, (user, login): (&str, Login<'_>), dirt: &mut Dirt) {
        let user = self.id(place, user);
        let mut said = |text: &str| (!text.is_empty()).then(|| self.names.sym(text));
        let (id, name) = (said(login.id), said(login.name));
        let provider = self.names.sym(login.provider);
        if self.keycloak.federated.note(user, (provider, place.moment), Said { how: login.how, id, name }) {
            dirt.user_touched(user);
        }
    }

    pub(super) fn merged(&mut self, place: &Place, said: (&Account<'_>, &Account<'_>), dirt: &mut Dirt) {
        let act = Act::Merge(self.account(said.0), self.account(said.1));
        self.act(place, act, dirt);
    }

    pub(super) fn split(&mut self, place: &Place, account: &Account<'_>, dirt: &mut Dirt) {
        let act = Act::Split(self.account(account));
        self.act(place, act, dirt);
    }

    fn account(&mut self, account: &Account<'_>) -> Member {
        Member { kind: account.kind, id: self.names.id(account.source, account.name) }
    }

    /// An act changes no right and no verdict: every account keeps what is its own. All rows about it name another person.
    fn act(&mut self, place: &Place, act: Act<Member>, dirt: &mut Dirt) {
        for Member { kind, id } in self.persons.act(place.moment, act) {
            match kind {
                AccountKind::KeycloakUser => self.user_renamed(id, dirt),
                _ => {
                    dirt.reference(id, Millis::MIN);
                    dirt.user_touched(id);
                }
            }
        }
    }

    fn user_renamed(&mut self, user: Id, dirt: &mut Dirt) {
        if self.gone.users.contains_key(&user) {
            self.gone.needed(Millis::MIN);
        }
        dirt.user(user, Millis::MIN);
        dirt.sessions_of(user, Millis::MIN);
        let issues = self.sessions.issues.get(&user).into_iter().flat_map(|log| log.keys());
        dirt.tokens.extend(issues.map(|moment| (user, *moment)));
    }
}
