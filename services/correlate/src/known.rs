//! All that is known of one tenant. Filled by [`crate::intake`], asked by [`crate::answer`].

use crate::{
    checkpoint::{Kept, Reader, Unreadable, Writer, kept_struct},
    config::{Config, Join},
    log::{Log, Set},
    moment::{Millis, Moment, Span},
    names::{Id, Names, Sym},
    places::Places,
    snapshots::Snapshots,
    state::{
        catalog::Catalog,
        gone::Gone,
        keycloak::Keycloak,
        persons::{Member, Persons},
        rbac::Rbac,
        reads::{Pending, Reads},
        service_accounts::ServiceAccounts,
        sessions::Sessions,
    },
    table::Table,
};
use events::{act::AccountKind, event::Outcome, person::PersonKey};
use hashbrown::HashMap;
use std::cell::RefCell;
use uuid::Uuid;

/// A permission decision or an audited call, as told.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Told {
    pub span: Span,
    pub actor: (Sym, Sym),
    pub permission: Sym,
    pub action: Sym,
    pub resource_type: Sym,
    pub resource: Sym,
    pub outcome: Outcome,
    pub owner_refs: Box<[Sym]>,
    /// Instance that wrote the line; empty if the shipper names none.
    pub instance: Sym,
    pub trace: Option<Sym>,
}

/// Everything known.
pub(crate) struct Known {
    pub config: Config,
    pub names: Names,
    pub reads: Reads,
    pub pending: HashMap<Id, (Pending, Uuid)>,
    pub snapshots: Snapshots,
    pub keycloak: Keycloak,
    pub catalog: Catalog,
    pub rbac: Rbac,
    pub sessions: Sessions,
    /// What operators said of persons.
    pub persons: Persons,
    /// Which users are machines.
    pub service_accounts: ServiceAccounts,
    /// By the reference (or the name of a caller that is no person) that the line gives.
    pub decisions: Table<Id, Log<Moment, Told>>,
    /// Audited calls of one trace: the last moment's outcome is what the caller got.
    pub traces: Table<Id, Log<Moment, Outcome>>,
    /// Conditional decisions of one trace.
    pub conditional: Table<Id, Set<(Id, Moment)>>,
    /// Users that ever bore a name (lower case), if any join is by name.
    pub bearers: Table<Id, Set<Id>>,
    /// Keys of accounts, each as the id whose digits it has: a keyed hash costs more than all else of an answer.
    pub keys: RefCell<Table<Id, Uuid>>,
    /// Latest change of the world of a source: groups, roles, policies, catalog.
    pub latest: HashMap<Sym, Millis>,
    /// The furthest that a decision's span reaches beyond its time, by reference, where it does: a line whose time is hardly known
    /// costs those of its own reference.
    pub widest: HashMap<Id, Millis>,
    /// What was forgotten.
    pub gone: Gone,
    pub places: Places,
}

impl Known {
    pub(crate) fn new(config: Config) -> Self {
        let (skew, places) = (config.skew, Places::new(&config));
        // Whether a Backstage has spoken yet must not show in the rows.
        let mut names = Names::default();
        for join in &config.joins {
            names.sym(&join.backstage);
            names.sym(&join.keycloak);
        }
        Self {
            config,
            names,
            reads: Reads::default(),
            pending: HashMap::new(),
            snapshots: Snapshots::default(),
            keycloak: Keycloak::new(skew),
            catalog: Catalog::new(skew),
            rbac: Rbac::new(skew),
            sessions: Sessions::default(),
            persons: Persons::default(),
            service_accounts: ServiceAccounts::default(),
            decisions: Table::default(),
            traces: Table::default(),
            conditional: Table::default(),
            bearers: Table::default(),
            keys: RefCell::default(),
            latest: HashMap::new(),
            widest: HashMap::new(),
            gone: Gone::default(),
            places,
        }
    }

    /// How a Backstage is joined to a Keycloak, if it is.
    pub(crate) fn join(&self, backstage: Sym) -> Option<&Join> {
        let name = self.names.text(backstage);
        self.config.joins.iter().find(|join| join.backstage == *name)
    }

    /// The key of the person whom a Keycloak user is.
    pub(crate) fn key(&self, user: Id) -> PersonKey {
        self.person(Member::user(user))
    }

    /// The key of the person whom a name stands for that is tied to no Keycloak user.
    pub(crate) fn named_key(&self, kind: &str, name: Id) -> PersonKey {
        match kind.parse() {
            Ok(kind) => self.person(Member { kind, id: name }),
            Err(()) => self.name_alone(kind, name),
        }
    }

    /// The key of a name alone, whoever it is.
    pub(crate) fn name_alone(&self, kind: &str, name: Id) -> PersonKey {
        let config = &self.config;
        config.key.named(&config.tenant, &self.names.text(name.source), kind, &self.names.name(name))
    }

    fn person(&self, account: Member) -> PersonKey {
        let Member { kind, id } = self.persons.root(account).unwrap_or(account);
        match kind {
            AccountKind::KeycloakUser => self.account_key(id),
            kind => self.name_alone(kind.as_str(), id),
        }
    }

    /// Key of a Keycloak user's account, where it carries another's.
    pub(crate) fn merged_account(&self, user: Id) -> Option<PersonKey> {
        self.persons.root(Member::user(user)).map(|_| self.account_key(user))
    }

    /// The key of a Keycloak user alone, whoever it is.
    pub(crate) fn account_key(&self, user: Id) -> PersonKey {
        if let Some(known) = self.keys.borrow().get(&user) {
            return PersonKey(known.simple().to_string());
        }
        let config = &self.config;
        let key = config.key.keycloak_user(&config.tenant, &self.names.text(user.source), &self.names.name(user));
        if let Ok(id) = Uuid::try_parse(&key.0) {
            self.keys.borrow_mut().get_or_insert_with(user, || id);
        }
        key
    }

    pub(crate) fn owned(&self, sym: Sym) -> String {
        self.names.text(sym).to_owned()
    }
}

kept_struct!(Told { span, actor, permission, action, resource_type, resource, outcome, owner_refs, instance, trace });

impl Known {
    /// Everything but the configuration, and what can be made anew from it.
    pub(crate) fn keep(&self, to: &mut Writer<'_>) {
        self.names.put(to);
        self.keep_but_names(to);
    }

    /// The same, but for the names.
    pub(crate) fn keep_but_names(&self, to: &mut Writer<'_>) {
        // All fields by name: one that is added must be kept as well.
        let Self {
            config: _,
            names: _,
            reads,
            pending,
            snapshots,
            keycloak,
            catalog,
            rbac,
            sessions,
            persons,
            service_accounts,
            decisions,
            traces,
            conditional,
            bearers,
            keys: _,
            latest,
            widest,
            gone,
            places: _,
        } = self;
        reads.put(to);
        pending.put(to);
        snapshots.put(to);
        keycloak.put(to);
        catalog.put(to);
        rbac.put(to);
        sessions.put(to);
        persons.put(to);
        service_accounts.put(to);
        decisions.put(to);
        traces.put(to);
        conditional.put(to);
        bearers.put(to);
        latest.put(to);
        widest.put(to);
        gone.put(to);
    }

    /// As it was kept.
    pub(crate) fn restore(config: Config, from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        let names = Kept::get(from)?;
        Self::restore_under((config, names), from)
    }

    /// The same, under names that are known.
    pub(crate) fn restore_under((config, names): (Config, Names), from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        let places = Places::new(&config);
        Ok(Self {
            config,
            names,
            reads: Kept::get(from)?,
            pending: Kept::get(from)?,
            snapshots: Kept::get(from)?,
            keycloak: Kept::get(from)?,
            catalog: Kept::get(from)?,
            rbac: Kept::get(from)?,
            sessions: Kept::get(from)?,
            persons: Kept::get(from)?,
            service_accounts: Kept::get(from)?,
            decisions: Kept::get(from)?,
            traces: Kept::get(from)?,
            conditional: Kept::get(from)?,
            bearers: Kept::get(from)?,
            keys: RefCell::default(),
            latest: Kept::get(from)?,
            widest: Kept::get(from)?,
            gone: Kept::get(from)?,
            places,
        })
    }

    /// Bytes by part: of what is large by its own parts.
    pub(crate) fn rooms(&self) -> Vec<(String, usize)> {
        let within = [
            ("snapshots", self.snapshots.rooms()),
            ("keycloak", self.keycloak.rooms()),
            ("catalog", self.catalog.rooms()),
            ("rbac", self.rbac.rooms()),
            ("sessions", self.sessions.rooms()),
        ];
        let parts = within.into_iter().flat_map(|(whole, parts)| parts.into_iter().map(move |part| (whole, part)));
        let parts = parts.map(|(whole, (part, bytes))| (format!("{whole}.{part}"), bytes));
        let rest = [
            ("names", self.names.room()),
            ("reads", self.reads.room() + self.pending.room()),
            ("decisions", self.decisions.room()),
            ("traces", self.traces.room() + self.conditional.room()),
            ("bearers", self.bearers.room()),
            ("keys", self.keys.borrow().room()),
            ("latest", self.latest.room() + self.widest.room()),
            ("gone", self.gone.room()),
        ];
        parts.chain(rest.into_iter().map(|(part, bytes)| (part.to_owned(), bytes))).collect()
    }
}
