//! Names that need no history: what does not change for as long as it is there at all.

use crate::{checkpoint::kept_struct, log::Set, names::Id, names::Sym};
use hashbrown::HashMap;

/// Of machines: which user stands for which client.
#[derive(Default)]
pub(crate) struct ServiceAccounts {
    /// Ids (`clientId`) that a service account's client was told by. More than one: it was renamed.
    clients: HashMap<Id, Set<Sym>>,
}

impl ServiceAccounts {
    /// Notes that a user stands for a client; true if that is news.
    pub(crate) fn note(&mut self, user: Id, client: Sym) -> bool {
        let clients = self.clients.entry(user).or_default();
        let news = clients.range(client..=client).next().is_none();
        clients.insert(client);
        news
    }

    /// Clients that a user stands for, in no order.
    pub(crate) fn clients(&self, user: Id) -> impl Iterator<Item = Sym> {
        self.clients.get(&user).into_iter().flatten().copied()
    }

    /// Every user that stands for a client.
    pub(crate) fn users(&self) -> impl Iterator<Item = Id> {
        self.clients.keys().copied()
    }
}

kept_struct!(ServiceAccounts { clients });
