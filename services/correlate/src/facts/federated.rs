//! Facts of logins at identity providers: Keycloak's user events name one as it is called there, its admin events by id and name.

use super::{Fact, What, detail, fact};
use crate::moment::Rank;
use events::event::Event;

/// A login at an identity provider.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Login<'a> {
    /// The provider's alias in the realm.
    pub provider: &'a str,
    /// Its id there, if said.
    pub id: &'a str,
    /// What it is called there, if said.
    pub name: &'a str,
    /// What became of it.
    pub how: LinkKind,
}

/// What becomes of a login at an identity provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkKind {
    /// From here on it leads to the user.
    Linked,
    /// The user came by it.
    Used,
    /// It no longer leads to the user.
    Unlinked,
}

/// The fact of an event of a user, if it names a provider.
pub(super) fn facts<'a>(event: &'a Event, take: &mut dyn FnMut(Fact<'a>)) {
    let how = match (event.kind.as_str(), event.native_type.as_str()) {
        // The owner of the mailbox agrees: another event says that it is linked.
        (_, "IDENTITY_PROVIDER_LINK_ACCOUNT") => return,
        ("identity_linked" | "identity_relinked" | "user_registered", _) => LinkKind::Linked,
        ("identity_unlinked", _) => LinkKind::Unlinked,
        ("login", _) => LinkKind::Used,
        _ => return,
    };
    let (user, provider) = (event.person_id.as_str(), detail(event, "identity_provider"));
    if user.is_empty() || provider.is_empty() {
        return;
    }
    let personal = |key: &str| event.personal.get(key).map_or("", String::as_str);
    let name = match personal("identity_provider_identity") {
        "" => personal("identity_provider_username"),
        name => name,
    };
    let login = Login { provider, id: personal("identity_provider_user_id"), name, how };
    let rank = if how == LinkKind::Used { Rank::Login } else { Rank::Change };
    take(fact(event, rank, What::Federated { user, login }));
}
