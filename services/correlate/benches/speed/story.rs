//! What the bench tells: people whom a catalog ties and who are put into groups, and then sign in and are decided about. Ids look
//! like those of Keycloak and Backstage: their length and their randomness are what they cost.

use correlate::{
    Correlator, Moment, Rank, Span,
    facts::{Decided, Entity, Fact, Grant, Issued, List, Piece, Policy, Read, What},
};
use events::event::Outcome;
use uuid::Uuid;

pub const GROUPS: u64 = 100;
/// The group that the role is given to, by its number.
pub const TRUSTED: u64 = 7;
/// Who made a membership.
const ADMIN: &str = "5b1f6f0e-7a54-4be5-9e0b-2f8f1a2d9c11";
const REALM: &str = "1f1f7f2a-3a1c-4f57-8b3d-0c9f3b1de0aa";

/// What is told of a person, one event each.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Joined,
    LoggedIn,
    Issued,
    BackstageIssued,
    CalledBack,
    Decided,
}

impl Step {
    pub const SIGN_IN: [Self; 5] =
        [Self::LoggedIn, Self::Issued, Self::BackstageIssued, Self::CalledBack, Self::Decided];

    /// Keycloak tells it, so it comes twice: pushed, and read again from Keycloak's own store.
    pub fn is_keycloaks(self) -> bool {
        matches!(self, Self::Joined | Self::LoggedIn | Self::Issued)
    }

    /// Milliseconds after the person's story began.
    fn after(self) -> i64 {
        match self {
            Self::Joined => 0,
            Self::LoggedIn => 10,
            Self::Issued => 40,
            Self::BackstageIssued => 90,
            Self::CalledBack => 95,
            Self::Decided => 500,
        }
    }
}

/// A person with their ids.
pub struct Person {
    number: u64,
    user: String,
    name: String,
    email: String,
    group: String,
    path: String,
    reference: String,
    session: String,
    access: String,
    refresh: String,
}

impl Person {
    pub fn new(number: u64) -> Self {
        let name = format!("person{number}");
        Self {
            number,
            user: id("user", number).to_string(),
            email: format!("{name}@example.org"),
            group: group(number % GROUPS),
            path: format!("/g{}", number % GROUPS),
            reference: format!("user:default/{name}"),
            name,
            session: session(number),
            access: format!("onrtac:{}", id("access", number)),
            refresh: id("refresh", number).to_string(),
        }
    }

    /// One event of the story that began at `at`.
    pub fn tell(&self, step: Step, at: i64, correlator: &mut Correlator) {
        let at = at + step.after();
        let user = self.user.as_str();
        let event = id("event", self.number << 3 | step as u64);
        let mut take = |rank, source, what| {
            let moment = Moment { at, rank, event };
            let (realm, by) = if source == "kc" { (REALM, ADMIN) } else { ("", "") };
            correlator.take(&Fact { moment, span: Span::exact(at), source, realm, by, what });
        };
        match step {
            Step::Joined => {
                take(Rank::Change, "kc", What::Member { user, group: &self.group, path: &self.path, held: true });
            }
            Step::LoggedIn => {
                take(Rank::Login, "kc", What::Named { user, username: &self.name, email: &self.email });
                let login = What::Login { user, session: &self.session, client: "backstage", impersonator: "" };
                take(Rank::Login, "kc", login);
            }
            Step::Issued => {
                let issued = Issued {
                    user,
                    session: &self.session,
                    client: "backstage",
                    grant: Grant::Code,
                    access: &self.access,
                    presented: "",
                    refresh: &self.refresh,
                    offline: false,
                };
                take(Rank::Issue, "kc", What::Issued(issued));
            }
            Step::BackstageIssued => {
                let reference = self.reference.as_str();
                take(Rank::BackstageIssue, "bs", What::BackstageIssued { reference, claims: "", instance: "pod-1" });
            }
            Step::CalledBack => take(Rank::Callback, "bs", What::Callback { session: &self.session }),
            Step::Decided => {
                let decided = Decided {
                    reference: &self.reference,
                    actor: ("plugin", "plugin:permission"),
                    permission: "deploy",
                    action: "use",
                    resource_type: "",
                    resource: "",
                    outcome: if self.number % GROUPS == TRUSTED { Outcome::Allow } else { Outcome::Deny },
                    owner_refs: &[],
                    instance: "pod-1",
                    trace: "",
                };
                take(Rank::Decision, "bs", What::Decided(decided));
            }
        }
    }

    /// They are put into another group, as is learned late.
    pub fn joins(&self, other: u64, at: i64, correlator: &mut Correlator) {
        let group = group(other);
        change(at, What::Member { user: &self.user, group: &group, path: "", held: true }, correlator);
    }
}

/// A group ends, with every membership.
pub fn delete_group(number: u64, at: i64, correlator: &mut Correlator) {
    change(at, What::GroupDeleted { group: &group(number) }, correlator);
}

fn change(at: i64, what: What<'_>, correlator: &mut Correlator) {
    let source = if matches!(what, What::Policy { .. } | What::RoleMember { .. }) { "bs" } else { "kc" };
    let realm = if source == "kc" { REALM } else { "" };
    let event = id("change", at.cast_unsigned() << 2 | u64::from(matches!(what, What::Policy { .. })));
    let moment = Moment { at, rank: Rank::Change, event };
    correlator.take(&Fact { moment, span: Span::exact(at), source, realm, by: "", what });
}

/// The role, whom it is given to, and the catalog: who is tied to whom.
pub fn world(people: u64, correlator: &mut Correlator) {
    let policy = Policy { permission: "deploy", action: "use", effect: "allow" };
    change(0, What::Policy { role: "role:default/ops", policy, held: true }, correlator);
    let member = format!("group:default/g{TRUSTED}");
    change(0, What::RoleMember { role: "role:default/ops", member: &member, held: true }, correlator);
    read(Piece::Begin { at: 1_000 }, correlator);
    for number in 0..GROUPS {
        let (reference, keycloak) = (format!("group:default/g{number}"), group(number));
        let group = Entity::CatalogGroup { reference: &reference, keycloak: &keycloak, parent: "" };
        read(Piece::Entity(group), correlator);
    }
    for person in (0..people).map(Person::new) {
        let user = Entity::CatalogUser { reference: &person.reference, keycloak: &person.user };
        read(Piece::Entity(user), correlator);
    }
    let entities = usize::try_from(people + GROUPS).unwrap_or(usize::MAX);
    let whole = vec![List::Users, List::Groups];
    read(Piece::End { at: 1_000, whole, entities, pairs: 0 }, correlator);
}

fn read(piece: Piece<'_>, correlator: &mut Correlator) {
    let moment = Moment { at: 1_000, rank: Rank::Read, event: id("read", 0) };
    let what = What::Read(Read { id: "catalog", piece });
    correlator.take(&Fact { moment, span: Span::exact(1_000), source: "bs", realm: "", by: "", what });
}

fn group(number: u64) -> String {
    id("group", number).to_string()
}

/// The same random id each time.
fn id(of: &str, number: u64) -> Uuid {
    let kind = of.bytes().fold(0, |kind: u64, byte| kind.wrapping_mul(257) ^ u64::from(byte));
    Uuid::from_u64_pair(scatter(kind ^ number), scatter(kind.wrapping_add(!number)))
}

/// As Keycloak writes session ids: 18 random bytes.
fn session(number: u64) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let random = id("session", number).as_u128();
    let digit = |place: u32| {
        let bits = if place < 21 { random >> (6 * place) } else { u128::from(scatter(number ^ u64::from(place))) };
        char::from(DIGITS[(bits & 63) as usize])
    };
    (0..24).map(digit).collect()
}

/// Spreads numbers over all of their room.
pub fn scatter(number: u64) -> u64 {
    let number = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}
