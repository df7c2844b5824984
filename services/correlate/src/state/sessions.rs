//! Sessions, the tokens issued in them, and what Backstage made of them: plain logs in the one total order.

use super::{lifespans::Realms, rotated::Rotated};
use crate::{
    checkpoint::{kept_enum, kept_struct},
    facts::{EndKind, Grant},
    log::{Log, Set},
    moment::{Millis, Moment, Span},
    names::{Id, Sym},
    table::Table,
};
use std::collections::BTreeSet;
use uuid::Uuid;

/// Tokens that were issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Issue {
    pub session: Option<Id>,
    pub client: Sym,
    pub grant: Grant,
    pub access: Sym,
    pub presented: Sym,
    pub refresh: Sym,
    pub offline: bool,
    /// Its row is gone; what it paid for may be asked still.
    pub over: bool,
}

/// One use of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Use {
    pub client: Sym,
    pub what: UseKind,
}

/// Kinds of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UseKind {
    Login {
        impersonator: Sym,
    },
    Issue {
        grant: Grant,
        offline: bool,
    },
    /// A refresh token was refused.
    Refused,
    /// One that had been used before, as Keycloak says,
    ReuseRefused,
    /// or as follows if this one had: Keycloak says that it is stale.
    StaleRefused {
        presented: Sym,
    },
}

impl UseKind {
    /// Whoever is refused does not use it.
    pub(crate) fn is_refused(self) -> bool {
        matches!(self, Self::Refused | Self::ReuseRefused | Self::StaleRefused { .. })
    }
}

/// A user session.
#[derive(Default)]
pub(crate) struct Session {
    pub user: Option<Id>,
    pub realm: Option<Sym>,
    pub uses: Log<Moment, Use>,
    pub ends: Log<Moment, EndKind>,
    /// Access lines of sign-in callbacks, by moment.
    pub callbacks: Log<Moment, Called>,
    /// Complete reads that listed it.
    pub listed: Set<Millis>,
    pub folded: Folded,
}

/// What of a session that goes on is not kept use by use any more: it lies before the floor, and rows show how often it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Folded {
    pub logins: u32,
    pub refreshes: u32,
    /// Refresh tokens that were presented by then.
    pub tokens: Rotated,
}

/// A sign-in's callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Called {
    pub backstage: Sym,
    /// The Backstage token that it brought, where what that follows from is forgotten.
    pub brought: Option<Option<Uuid>>,
}

/// A Backstage token that was issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Paid {
    pub span: Span,
    pub claims: Sym,
    /// Instance that wrote the line; empty if the shipper names none.
    pub instance: Sym,
    /// Its row is gone; decisions may rest on it still.
    pub over: bool,
}

/// All of them.
#[derive(Default)]
pub(crate) struct Sessions {
    pub sessions: Table<Id, Session>,
    /// Sessions of a user.
    pub of_user: Table<Id, Set<Id>>,
    /// Tokens issued to a user.
    pub issues: Table<Id, Log<Moment, Issue>>,
    /// Presentations of a refresh token: to whom tokens were issued for it; refused: nobody.
    pub presented: Table<Id, Log<Moment, Option<Id>>>,
    /// What issued a refresh token.
    pub refresh_of: Table<Id, Refresh>,
    /// Backstage tokens of an entity reference.
    pub paid: Table<Id, Log<Moment, Paid>>,
    /// Callbacks of a user's sessions: (session, Backstage).
    pub callbacks: Table<Id, Log<Moment, (Id, Sym)>>,
    /// Ends of all sessions of a user, or (by realm) of everybody.
    pub ends: Table<Id, Log<Moment, EndKind>>,
    /// How long realms let sessions live.
    pub realms: Realms,
    /// Realms that ever told of a refresh: of others it is not known whether nobody uses a session.
    pub refreshing: BTreeSet<Id>,
}

/// A refresh token: the session that it is of, and the event that issued it.
pub(crate) struct Refresh {
    pub session: Option<Id>,
    pub issued: Once,
}

/// What as a rule happens once.
pub(crate) enum Once {
    At(Moment),
    More(Box<Set<Moment>>),
}

impl Once {
    /// Notes that it happened.
    pub(crate) fn also(&mut self, moment: Moment) {
        match self {
            Self::At(known) if *known == moment => {}
            Self::At(known) => {
                let mut all = Set::default();
                [*known, moment].into_iter().for_each(|moment| all.insert(moment));
                *self = Self::More(Box::new(all));
            }
            Self::More(all) => all.insert(moment),
        }
    }

    /// The last time.
    pub(crate) fn last(&self) -> Moment {
        match self {
            Self::At(known) => *known,
            Self::More(all) => all.iter().next_back().copied().unwrap_or(Moment::floor(Millis::MIN)),
        }
    }

    /// The last time before `moment`.
    pub(crate) fn last_before(&self, moment: Moment) -> Option<Moment> {
        match self {
            Self::At(known) => Some(*known).filter(|known| *known < moment),
            Self::More(all) => all.range(..moment).next_back().copied(),
        }
    }
}

impl Sessions {
    /// Issues for which a refresh token was presented from `from` on: to whom, and when. What is known of earlier ones is as it was.
    pub(crate) fn issued_for(&self, presented: Id, from: Moment) -> impl Iterator<Item = (Id, Moment)> {
        let later = self.presented.get(&presented).map(|all| all.range(from..));
        later.into_iter().flatten().filter_map(|(moment, user)| Some(((*user)?, *moment)))
    }

    /// The session, with its user noted; and since when callbacks of it wait for that.
    pub(crate) fn session(&mut self, session: Id, user: Option<Id>) -> (&mut Session, Option<Millis>) {
        let found = self.sessions.get_or_default(session);
        let mut waiting = None;
        if let (Some(user), None) = (user, found.user) {
            found.user = Some(user);
            self.of_user.get_or_default(user).insert(session);
            let callbacks = self.callbacks.get_or_default(user);
            for (moment, called) in &found.callbacks {
                callbacks.insert(*moment, (session, called.backstage));
            }
            waiting = found.callbacks.keys().next().map(|moment| moment.at);
        }
        (found, waiting)
    }
}

kept_struct!(Issue { session, client, grant, access, presented, refresh, offline, over });
kept_struct!(Use { client, what });
kept_enum!(UseKind {
    0 Login { impersonator: impersonator },
    1 Issue { grant: grant, offline: offline },
    2 Refused {},
    3 ReuseRefused {},
    4 StaleRefused { presented: presented },
});
kept_struct!(Session { user, realm, uses, ends, callbacks, listed, folded });
kept_struct!(Folded { logins, refreshes, tokens });
kept_struct!(Refresh { session, issued });
kept_enum!(Once { 0 At { 0: moment }, 1 More { 0: moments } });
kept_struct!(Called { backstage, brought });
kept_struct!(Paid { span, claims, instance, over });
kept_struct!(Sessions { sessions, of_user, issues, presented, refresh_of, paid, callbacks, ends, realms, refreshing });
