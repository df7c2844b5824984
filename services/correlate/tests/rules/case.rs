//! A small world to say one rule in: facts at seconds, in any order, and the rows that come of them.

use correlate::{
    Budgets, Config, Correlator, Join, Moment, Rank, Span,
    facts::{Decided, EndKind, Ended, Entity, Fact, Grant, Issued, List, Parent, Piece, Policy, Read, What},
    rows::{Change, CredentialRow, DecisionRow, GapRow, GrantRow, Key, Row, SessionRow, TokenRow},
};
use events::{
    event::Outcome,
    person::{DeploymentKey, PersonKey},
};
use std::collections::BTreeMap;
use uuid::Uuid;

/// An owned fact: how it is told, when, and by which source and realm.
type Teller = Box<dyn Fn(&mut Correlator)>;

/// A list that was read whole, with its pairs.
pub type Listed = (List, Vec<(&'static str, &'static str)>);

pub struct Case {
    pub config: Config,
    tellers: Vec<Teller>,
    next: u128,
}

pub fn key() -> DeploymentKey {
    DeploymentKey::new([3; 32])
}

pub fn person(user: &str) -> PersonKey {
    key().keycloak_user("t", "kc", user)
}

impl Case {
    /// RBAC with `role:default/ops` (group ops may deploy) and `role:default/owners` (group pay deletes on conditions).
    pub fn new() -> Self {
        let mut join = Join::new("bs", "kc");
        join.token_life = 600_000;
        join.budgets = Budgets { catalog: 30_000, claims: 600_000, token: 600_000 };
        let config = Config { tenant: "t".to_owned(), key: key(), joins: vec![join], skew: 1_000 };
        let mut case = Self { config, tellers: Vec::new(), next: 0 };
        case.role(0.0, ("role:default/ops", "group:default/ops", true));
        case.policy(0.0, ("role:default/ops", "deploy", "use", "allow"));
        case
    }

    /// Something at `at` seconds, told by `source` in `realm`.
    pub fn tell(&mut self, at: f64, place: (&'static str, &'static str, Rank), what: What<'static>) -> Uuid {
        self.tell_within((at, at), place, what)
    }

    /// Something between two instants.
    pub fn tell_within(
        &mut self,
        when: (f64, f64),
        place: (&'static str, &'static str, Rank),
        what: What<'static>,
    ) -> Uuid {
        self.tell_dated(when.1, when, place, what)
    }

    /// Something that is dated so, and was between two instants.
    pub fn tell_dated(
        &mut self,
        at: f64,
        when: (f64, f64),
        place: (&'static str, &'static str, Rank),
        what: What<'static>,
    ) -> Uuid {
        let (source, realm, rank) = place;
        self.next += 1;
        let event = Uuid::from_u128(self.next);
        let [at, min, max] = [at, when.0, when.1].map(|at| (at * 1_000.0) as i64);
        let (moment, span) = (Moment { at, rank, event }, Span { min, max });
        let fact = Fact { moment, span, source, realm, by: "boss", what };
        self.tellers.push(Box::new(move |correlator| correlator.take(&fact)));
        event
    }

    fn change(&mut self, at: f64, what: What<'static>) -> Uuid {
        self.tell(at, ("kc", "r", Rank::Change), what)
    }

    pub fn member(&mut self, at: f64, (user, group, held): (&'static str, &'static str, bool)) -> Uuid {
        self.change(at, What::Member { user, group, path: "", held })
    }

    pub fn keycloak(&mut self, at: f64, what: What<'static>) -> Uuid {
        self.change(at, what)
    }

    pub fn group(&mut self, at: f64, (group, name, parent): (&'static str, &'static str, Parent<'static>)) -> Uuid {
        self.change(at, What::Group { group, name, parent })
    }

    pub fn role(&mut self, at: f64, (role, member, held): (&'static str, &'static str, bool)) -> Uuid {
        self.tell(at, ("bs", "", Rank::Change), What::RoleMember { role, member, held })
    }

    pub fn policy(&mut self, at: f64, told: (&'static str, &'static str, &'static str, &'static str)) -> Uuid {
        let (role, permission, action, effect) = told;
        let policy = Policy { permission, action, effect };
        self.tell(at, ("bs", "", Rank::Change), What::Policy { role, policy, held: true })
    }

    pub fn login(&mut self, at: f64, (user, session, client): (&'static str, &'static str, &'static str)) -> Uuid {
        self.tell(at, ("kc", "r", Rank::Login), What::Login { user, session, client, impersonator: "" })
    }

    pub fn code(&mut self, at: f64, (user, session, refresh): (&'static str, &'static str, &'static str)) -> Uuid {
        self.issued(at, (user, session), (Grant::Code, "", refresh))
    }

    pub fn refresh(
        &mut self,
        at: f64,
        whose: (&'static str, &'static str),
        tokens: (&'static str, &'static str),
    ) -> Uuid {
        self.issued(at, whose, (Grant::Refresh, tokens.0, tokens.1))
    }

    fn issued(
        &mut self,
        at: f64,
        (user, session): (&'static str, &'static str),
        (grant, presented, refresh): (Grant, &'static str, &'static str),
    ) -> Uuid {
        let access = "a";
        let issued = Issued { user, session, client: "backstage", grant, access, presented, refresh, offline: false };
        self.tell(at, ("kc", "r", Rank::Issue), What::Issued(issued))
    }

    pub fn ended(&mut self, at: f64, which: Ended<'static>, how: EndKind) -> Uuid {
        self.tell(at, ("kc", "r", Rank::End), What::Ended { which, how })
    }

    pub fn issuing(&mut self, at: f64, reference: &'static str) -> Uuid {
        let what = What::BackstageIssued { reference, claims: "group:default/ops", instance: "pod-1" };
        self.tell(at, ("bs", "", Rank::BackstageIssue), what)
    }

    pub fn callback(&mut self, at: f64, session: &'static str) -> Uuid {
        self.tell(at, ("bs", "", Rank::Callback), What::Callback { session })
    }

    /// A good sign-in within half a second; its Issuing line.
    pub fn sign_in(&mut self, at: f64, told: (&'static str, &'static str, &'static str)) -> Uuid {
        let (user, session, reference) = told;
        self.login(at, (user, session, "backstage"));
        self.code(at + 0.1, (user, session, session));
        let issuing = self.issuing(at + 0.2, reference);
        self.callback(at + 0.21, session);
        issuing
    }

    pub fn decision(&mut self, at: f64, reference: &'static str, outcome: Outcome) -> Uuid {
        self.decided(at, decided(reference, "deploy", outcome))
    }

    pub fn decided(&mut self, at: f64, decided: Decided<'static>) -> Uuid {
        self.tell(at, ("bs", "", Rank::Decision), What::Decided(decided))
    }

    /// A complete state of the catalog: (person's reference, Keycloak id, groups), (group's reference, Keycloak id).
    pub fn catalog(
        &mut self,
        at: f64,
        people: &'static [(&'static str, &'static str, &'static [&'static str])],
        groups: &'static [(&'static str, &'static str)],
    ) {
        let mut entities: Vec<Entity<'static>> = Vec::new();
        entities.extend(people.iter().map(|(reference, keycloak, _)| Entity::CatalogUser { reference, keycloak }));
        entities.extend(groups.iter().map(|(reference, keycloak)| Entity::CatalogGroup {
            reference,
            keycloak,
            parent: "",
        }));
        let pairs =
            people.iter().flat_map(|(reference, _, groups)| groups.iter().map(move |group| (*reference, *group)));
        let lists = vec![(List::CatalogMembers, pairs.collect())];
        self.read(at, ("bs", ""), (vec![List::Users, List::Groups], entities, lists));
    }

    pub fn read(
        &mut self,
        at: f64,
        place: (&'static str, &'static str),
        told: (Vec<List>, Vec<Entity<'static>>, Vec<Listed>),
    ) {
        let (mut whole, entities, lists) = told;
        self.next += 1;
        let id: &'static str = Box::leak(format!("read {}", self.next).into_boxed_str());
        let (when, counted) =
            ((at * 1_000.0) as i64, (entities.len(), lists.iter().map(|(_, pairs)| pairs.len()).sum()));
        whole.extend(lists.iter().map(|(list, _)| *list));
        let mut pieces = vec![Piece::Begin { at: when }];
        pieces.extend(entities.into_iter().map(Piece::Entity));
        pieces.extend(lists.into_iter().map(|(list, pairs)| Piece::List { list, pairs }));
        pieces.push(Piece::End { at: when, whole, entities: counted.0, pairs: counted.1 });
        for piece in pieces {
            self.tell(at, (place.0, place.1, Rank::Read), What::Read(Read { id, piece }));
        }
    }

    /// Rows, the same in order, backwards, and settled after every fact.
    pub fn rows(&self) -> Rows {
        let run = |order: &mut dyn Iterator<Item = &Teller>, settle: bool| {
            let mut correlator = Correlator::new(self.config.clone());
            let mut told: BTreeMap<Key, Row> = BTreeMap::new();
            let mut note = |changes: Vec<Change>| {
                for change in changes {
                    match change.row {
                        Some(row) => told.insert(change.key, row),
                        None => told.remove(&change.key),
                    };
                }
            };
            for teller in order {
                teller(&mut correlator);
                if settle {
                    note(correlator.settle());
                }
            }
            note(correlator.settle());
            (correlator, told)
        };
        let (correlator, rows) = run(&mut self.tellers.iter(), false);
        for (name, other) in [
            ("answered at once", correlator.rows()),
            ("settled each time", run(&mut self.tellers.iter(), true).1),
            ("backwards", run(&mut self.tellers.iter().rev(), true).1),
            ("twice", run(&mut self.tellers.iter().chain(self.tellers.iter().rev()), true).1),
        ] {
            let differs = rows.iter().zip(&other).find(|(one, other)| one != other);
            assert_eq!(differs, None, "{name}");
            assert_eq!(rows.len(), other.len(), "{name}");
        }
        Rows { correlator, rows }
    }

    /// The changes when the last fact comes after everything else was settled.
    pub fn last_change(&self) -> Vec<Change> {
        let mut correlator = Correlator::new(self.config.clone());
        let (last, before) = self.tellers.split_last().unwrap();
        before.iter().for_each(|teller| teller(&mut correlator));
        correlator.settle();
        last(&mut correlator);
        correlator.settle()
    }
}

pub fn decided(reference: &'static str, permission: &'static str, outcome: Outcome) -> Decided<'static> {
    Decided {
        reference,
        actor: ("plugin", "plugin:permission"),
        permission,
        action: "use",
        resource_type: "",
        resource: "",
        outcome,
        owner_refs: &[],
        instance: "pod-1",
        trace: "",
    }
}

pub struct Rows {
    pub correlator: Correlator,
    pub rows: BTreeMap<Key, Row>,
}

impl From<Correlator> for Rows {
    fn from(correlator: Correlator) -> Self {
        let rows = correlator.rows();
        Self { correlator, rows }
    }
}

macro_rules! all {
    ($name:ident, $variant:ident, $row:ty) => {
        pub fn $name(&self) -> Vec<&$row> {
            self.rows.values().filter_map(|row| if let Row::$variant(row) = row { Some(row) } else { None }).collect()
        }
    };
}

impl Rows {
    all!(gaps, Gap, GapRow);
    all!(grants, Grant, GrantRow);
    all!(tokens, Token, TokenRow);

    fn row(&self, wanted: &Key) -> &Row {
        &self.rows[wanted]
    }

    pub fn decision(&self, event: Uuid) -> &DecisionRow {
        let Row::Decision(row) = self.row(&Key::Decision(event)) else { panic!("a decision") };
        row
    }

    pub fn credential(&self, event: Uuid) -> &CredentialRow {
        let Row::Credential(row) = self.row(&Key::Credential(event)) else { panic!("a credential") };
        row
    }

    pub fn session(&self, id: &str) -> &SessionRow {
        let Row::Session(row) = self.row(&Key::Session("kc".to_owned(), id.to_owned())) else { panic!("a session") };
        row
    }
}

impl Case {
    /// Tells everything to a correlator of one's own.
    pub fn tell_all(&self, correlator: &mut Correlator) {
        self.tell_from(0, correlator);
    }

    /// How much there is to tell.
    pub fn told(&self) -> usize {
        self.tellers.len()
    }

    /// Tells what was added since.
    pub fn tell_from(&self, told: usize, correlator: &mut Correlator) {
        self.tellers[told..].iter().for_each(|teller| teller(correlator));
    }
}
