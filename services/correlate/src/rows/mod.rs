//! What comes out: sessions, tokens, credentials, grants, decisions, gaps. Each row names its evidence by event id.
//!
//! A row is a function of the facts alone; [`Change`] adds the version and why it changed.

mod decision;
mod world;

pub use decision::{Clock, DecisionRow, Grade, Reason, Support, Verdict};
pub use world::{WorldKind, WorldRow};

use crate::{
    checkpoint::kept_enum,
    facts::{EndKind, Grant},
    moment::Millis,
};
use events::person::PersonKey;
use serde::Serialize;
use uuid::Uuid;

/// What identifies a row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// Source and session id.
    Session(String, String),
    /// The event that issued the tokens.
    Token(Uuid),
    /// The event that issued the Backstage token.
    Credential(Uuid),
    /// Account (not the person whom it is by hand), kind of right, right, and the event that began it (nil: unknown).
    Grant(PersonKey, RightKind, String, Uuid),
    /// The event of the decision.
    Decision(Uuid),
    /// Whose (an account, or what else holds it), kind and id of the right, and the evidence before it.
    Gap(String, RightKind, String, Uuid),
    /// Account, kind of name, the source that says it, from when (least: unknown), and its place among equals. Never the name.
    Alias(PersonKey, AliasKind, String, Millis, u32),
    /// Source, kind, both sides, and from when (least: unknown).
    World(String, WorldKind, String, String, Millis),
}

/// A row that is new, changed or gone.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Which.
    pub key: Key,
    /// From 1, one more with each change.
    pub version: u32,
    /// `None`: the evidence for it turned out otherwise.
    pub row: Option<Row>,
    /// The event that made the difference, if the row was there before.
    pub because: Option<Uuid>,
}

/// Any row.
#[derive(Clone, Debug, PartialEq, Hash, Serialize)]
pub enum Row {
    /// See [`SessionRow`].
    Session(SessionRow),
    /// See [`TokenRow`].
    Token(TokenRow),
    /// See [`CredentialRow`].
    Credential(CredentialRow),
    /// See [`GrantRow`].
    Grant(GrantRow),
    /// See [`DecisionRow`].
    Decision(Box<DecisionRow>),
    /// See [`GapRow`].
    Gap(GapRow),
    /// See [`AliasRow`].
    Alias(AliasRow),
    /// See [`WorldRow`].
    World(WorldRow),
}

/// A Keycloak user session.
#[derive(Clone, Debug, PartialEq, Hash, Serialize)]
pub struct SessionRow {
    /// Whose.
    pub person: Option<PersonKey>,
    /// First login; `None`: the session is only known from a later event or a read.
    pub started: Option<Millis>,
    /// First and last sign of life.
    pub seen: Option<(Millis, Millis)>,
    /// Clients that used it, in alphabetical order. More than one: single sign-on.
    pub clients: Vec<String>,
    /// Logins (one per visit of a client, not one per password).
    pub logins: u32,
    /// Refreshes.
    pub refreshes: u32,
    /// It has offline tokens.
    pub offline: bool,
    /// Others who act in it, in the order of time.
    pub impersonators: Vec<Impersonator>,
    /// End and how it is known.
    pub ended: Option<(Millis, EndKind)>,
    /// Of one whose end nothing tells: by when it has ended at the latest unless somebody uses it again, by the realm's lifespans.
    pub expires: Option<Millis>,
    /// Tokens were issued after the end.
    pub active_after_end: bool,
    /// Sign-ins to a Backstage.
    pub sign_ins: Vec<SignIn>,
    /// A refresh token was refused because it had been used before: the first time and the last, with the events that say so.
    pub reuse_refused: Vec<(Millis, Uuid)>,
}

/// Somebody else who acts in a session.
#[derive(Clone, Debug, PartialEq, Hash, Serialize)]
pub struct Impersonator {
    /// Their name. Personal.
    pub name: String,
    /// From when on: their first login in it.
    pub since: Millis,
    /// The event that says so.
    pub event: Uuid,
}

/// A sign-in's callback.
#[derive(Clone, Debug, PartialEq, Hash, Serialize)]
pub struct SignIn {
    /// The access line of the callback.
    pub callback: Uuid,
    /// When.
    pub at: Millis,
    /// The Backstage token that it brought; `None`: Backstage refused.
    pub credential: Option<Uuid>,
}

/// Tokens that Keycloak issued.
#[derive(Clone, Debug, PartialEq, Hash, Serialize)]
pub struct TokenRow {
    /// Whose.
    pub person: PersonKey,
    /// Session id; empty for a service account's.
    pub session: String,
    /// Client.
    pub client: String,
    /// When.
    pub at: Millis,
    /// What for.
    pub grant: Grant,
    /// Access token id.
    pub access: String,
    /// Refresh token that was issued.
    pub refresh: String,
    /// The event that issued the refresh token that was presented.
    pub parent: Option<Uuid>,
    /// The presented refresh token had been presented before.
    pub reused: bool,
}

/// A token that Backstage issued.
#[derive(Clone, Debug, PartialEq, Hash, Serialize)]
pub struct CredentialRow {
    /// Whose, as of then.
    pub person: PersonKey,
    /// Entity reference. Personal.
    pub reference: String,
    /// When.
    pub at: Millis,
    /// Owner claims that were stored with it.
    pub claims: Vec<String>,
    /// Sign-in, refresh, or not known.
    pub kind: CredentialKind,
    /// Keycloak session behind it.
    pub session: Option<String>,
    /// The Keycloak event that paid for it.
    pub cause: Option<Uuid>,
    /// The callback's access line.
    pub callback: Option<Uuid>,
    /// Whether the session is certain.
    pub sure: bool,
}

/// What a Backstage token was issued for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum CredentialKind {
    /// A sign-in.
    SignIn,
    /// A refresh.
    Refresh,
    /// No Keycloak event and no callback tells.
    Unknown,
}

/// Kinds of rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum RightKind {
    /// A Keycloak group.
    Group,
    /// A Keycloak role.
    Role,
    /// A Backstage role.
    BackstageRole,
    /// Whether the account may sign in.
    Enabled,
    /// Whether the account, group or role exists.
    Existence,
    /// What a group is called.
    Name,
    /// Where a group is in the tree.
    Place,
    /// A policy of a Backstage role: `permission|actions|effect`.
    Policy,
    /// A role that another role contains.
    Composite,
    /// A group that new users of a realm get.
    DefaultGroup,
}

impl RightKind {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Group,
        Self::Role,
        Self::BackstageRole,
        Self::Enabled,
        Self::Existence,
        Self::Name,
        Self::Place,
        Self::Policy,
        Self::Composite,
        Self::DefaultGroup,
    ];
}

/// A person holds a right, directly. What follows from it (parents, composites, Backstage roles) follows from [`WorldRow`]s, and can
/// be asked as of an instant: [`crate::Correlator::rights_at`].
#[derive(Clone, Debug, PartialEq, Hash, Serialize)]
pub struct GrantRow {
    /// Who.
    pub person: PersonKey,
    /// Key of the account alone, where an operator merged it into another person's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<PersonKey>,
    /// The Keycloak that says it.
    pub source: String,
    /// Kind.
    pub kind: RightKind,
    /// Keycloak id, or Backstage role.
    pub right: String,
    /// From when; `None`: before anything that is known.
    pub from: Option<Millis>,
    /// Until when; `None`: still.
    pub to: Option<Millis>,
    /// Who granted and who removed it, if said.
    pub by: (Option<String>, Option<String>),
    /// The events that began and ended it, if events did.
    pub evidence: (Option<Uuid>, Option<Uuid>),
    /// Its beginning or end lies in a gap.
    pub rests_on_gap: bool,
    /// No event gave it: the realm did, to a new user (a default group, the default role).
    pub by_default: bool,
}

/// An event is missing.
#[derive(Clone, Debug, PartialEq, Hash, Serialize)]
pub struct GapRow {
    /// Whose right; `None`: what else holds it, or what is no person's.
    pub person: Option<PersonKey>,
    /// Of what is no person's: id of a Keycloak group, role or realm, reference of a Backstage group or role.
    pub holder: String,
    /// Kind.
    pub kind: RightKind,
    /// Keycloak id, Backstage role, or policy.
    pub right: String,
    /// What the missing event did.
    pub missing: Missed,
    /// It happened after this,
    pub after: Millis,
    /// and before this.
    pub before: Millis,
    /// Evidence on both sides.
    pub evidence: (Uuid, Uuid),
    /// Likely causes, likeliest first.
    pub causes: Vec<Cause>,
}

/// What a missing event did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Missed {
    /// The right was given.
    Grant,
    /// The right was taken.
    Removal,
    /// Another change.
    Change,
}

/// Why an event can be missing (Keycloak's own blind spots, and losses on the way).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Cause {
    /// A delivery was lost.
    LostDelivery,
    /// A sync of an LDAP directory or an identity provider's mapper, which tell nothing per user.
    Federation,
    /// An import, or a change in the database itself.
    BehindTheApi,
    /// The group was deleted with all memberships.
    GroupDeleted,
    /// Groups of a new user, or default groups, which no membership event tells.
    NewUser,
    /// Roles taken in the admin console, which does not name them.
    UnnamedRemoval,
}

/// A name of a person, and from when to when.
#[derive(Clone, Debug, PartialEq, Hash, Serialize)]
pub struct AliasRow {
    /// Who.
    pub person: PersonKey,
    /// Key of the account alone, where an operator merged it into another person's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<PersonKey>,
    /// Its Keycloak user id. Personal.
    pub user: String,
    /// Kind of name.
    pub kind: AliasKind,
    /// The name. Personal.
    pub name: String,
    /// From when; `None`: as far back as is known.
    pub from: Option<Millis>,
    /// Until when another was borne, or (of a login at a provider) it led to the person; `None`: still.
    pub to: Option<Millis>,
    /// The events that began and ended it, if events or reads did.
    pub evidence: (Option<Uuid>, Option<Uuid>),
}

/// Kinds of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum AliasKind {
    /// Keycloak username.
    Username,
    /// E-mail address.
    Email,
    /// Backstage entity reference.
    Reference,
    /// Id of the OAuth client whose service account the user is.
    Client,
    /// Static token of a Backstage.
    Static,
    /// Plugin of a Backstage.
    Plugin,
    /// Login at an identity provider by its id there: `provider/id`.
    FederatedId,
    /// The same as it is called there: `provider/name`.
    FederatedName,
}

kept_enum!(Key {
    0 Session { 0: source, 1: session },
    1 Token { 0: event },
    2 Credential { 0: event },
    3 Grant { 0: person, 1: kind, 2: right, 3: event },
    4 Decision { 0: event },
    5 Gap { 0: whose, 1: kind, 2: right, 3: after },
    6 Alias { 0: person, 1: kind, 2: source, 3: from, 4: place },
    7 World { 0: source, 1: kind, 2: holder, 3: held, 4: from },
});
kept_enum!(WorldKind {
    0 Parent {}, 1 Lives {}, 2 GroupRole {}, 3 Composite {}, 4 DefaultRole {}, 5 Name {}, 6 RoleMember {}, 7 Policy {}, 8 Tie {},
    9 Disabled {}, 10 Gone {},
});
kept_enum!(RightKind {
    0 Group {}, 1 Role {}, 2 BackstageRole {}, 3 Enabled {}, 4 Existence {}, 5 Name {}, 6 Place {}, 7 Policy {},
    8 Composite {}, 9 DefaultGroup {},
});
kept_enum!(AliasKind {
    0 Username {}, 1 Email {}, 2 Reference {}, 3 Client {}, 4 Static {}, 5 Plugin {}, 6 FederatedId {}, 7 FederatedName {},
});
