//! What the correlation takes from an event, and nothing else: borrowed, compact, with its place in the one total order.
//!
//! [`facts`] turns an event into facts. Never guesses what the event does not say.

mod act;
mod admin;
mod federated;
mod lifespans;
mod lines;
mod snapshot;
mod state;
mod user;

pub use act::Account;
pub use federated::{LinkKind, Login};
pub use lifespans::Lifespans;
pub use snapshot::{Said, Snapshot, State};
pub use state::Mark;

use crate::moment::{Millis, Moment, Rank, Span};
use events::{
    event::{DataClass, Event, Outcome},
    receipt::SourceKind,
};

/// One fact.
#[derive(Clone, Debug, PartialEq)]
pub struct Fact<'a> {
    /// Its place in the total order, with the event that says it.
    pub moment: Moment,
    /// When it can have happened.
    pub span: Span,
    /// The source that says it.
    pub source: &'a str,
    /// Realm id, if said.
    pub realm: &'a str,
    /// Who did it, as an id or a name of that source; empty if not said.
    pub by: &'a str,
    /// What.
    pub what: What<'a>,
}

/// The kinds of facts. Ids are the source's own; an empty string means "not said".
#[expect(missing_docs, reason = "a variant says what its fields are")]
#[derive(Clone, Debug, PartialEq)]
pub enum What<'a> {
    /// A Keycloak user as named then.
    Named { user: &'a str, username: &'a str, email: &'a str },
    /// What is said of a user's login at an identity provider.
    Federated { user: &'a str, login: Login<'a> },
    /// A user begins to exist.
    UserCreated { user: &'a str },
    /// A user ends; what they held ends with them.
    UserDeleted { user: &'a str },
    /// A user may sign in, or may not.
    Enabled { user: &'a str, enabled: bool },
    /// A person joins or leaves a group, named by id or (in a new user's representation) by path alone.
    Member { user: &'a str, group: &'a str, path: &'a str, held: bool },
    /// A role is given to, or taken from, a person or a group; `None`: one was taken and is not named.
    RoleHeld { holder: Holder<'a>, role: RoleName<'a>, held: Option<bool> },
    /// A role contains another, or no longer does.
    Composite { outer: RoleName<'a>, inner: RoleName<'a>, held: Option<bool> },
    /// A group, as named and placed from then on.
    Group { group: &'a str, name: &'a str, parent: Parent<'a> },
    /// A group begins to exist.
    GroupCreated { group: &'a str },
    /// A role ends, and every mapping of it: no further event says so.
    RoleDeleted { role: RoleName<'a> },
    /// A group ends, with everything below it and every membership: no further event says so.
    GroupDeleted { group: &'a str },
    /// New users get this group at once, without an event.
    DefaultGroup { group: &'a str, held: bool },
    /// A user session is used by a client.
    Login { user: &'a str, session: &'a str, client: &'a str, impersonator: &'a str },
    /// Tokens are issued.
    Issued(Issued<'a>),
    /// A refresh token was presented and refused.
    Refused { user: &'a str, session: &'a str, presented: &'a str, why: Refusal },
    /// How long the realm lets sessions live from here on.
    Lifespans(Lifespans),
    /// Sessions end.
    Ended { which: Ended<'a>, how: EndKind },
    /// Backstage has read groups and members: from here on roles follow them.
    CatalogSynced,
    /// A Backstage role's member: a person's or a group's entity reference.
    RoleMember { role: &'a str, member: &'a str, held: bool },
    /// The members named at this instant are all that the role has.
    RoleMembersReplaced { role: &'a str },
    /// A policy of a Backstage role.
    Policy { role: &'a str, policy: Policy<'a>, held: bool },
    /// A role's policies were replaced, and the old ones are not named.
    PoliciesReplaced { role: &'a str },
    /// A Backstage token was issued to an entity reference, with the groups then known as its owner claims.
    BackstageIssued { reference: &'a str, claims: &'a str, instance: &'a str },
    /// The sign-in's callback of a Keycloak session: said for good and for refused sign-ins alike.
    Callback { session: &'a str },
    /// A permission decision, or an audited call that implies one.
    Decided(Decided<'a>),
    /// A user stands for a client: its service account.
    ServiceAccount { user: &'a str, client: &'a str },
    /// An operator says that an account is the same human or machine as another.
    Merged { account: Account<'a>, into: Account<'a> },
    /// An operator says that it is not, after all.
    Split { account: Account<'a> },
    /// A piece of a state that was read, with everything that it names.
    Read(Read<'a>),
    /// A piece of a snapshot, whose lists name entities by mark.
    Snapshot(Snapshot<'a>),
}

/// Who holds a role.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Holder<'a> {
    /// A person, by Keycloak user id.
    User(&'a str),
    /// A group, by Keycloak id.
    Group(&'a str),
}

/// A Keycloak role: by id, by name, or both.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct RoleName<'a> {
    /// Keycloak id, or empty.
    pub id: &'a str,
    /// Name, or empty.
    pub name: &'a str,
    /// Of a client's role: the client's Keycloak id. Names are told apart within it.
    pub client: &'a str,
}

/// What a fact says of a group's place in the tree.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Parent<'a> {
    /// Nothing.
    Unsaid,
    /// It is at the top.
    Top,
    /// It is below this group.
    Below(&'a str),
}

/// Tokens that Keycloak issued.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Issued<'a> {
    /// Whom for.
    pub user: &'a str,
    /// In which session; empty for a service account's.
    pub session: &'a str,
    /// To which client.
    pub client: &'a str,
    /// By which grant.
    pub grant: Grant,
    /// Access token id.
    pub access: &'a str,
    /// Refresh token that was presented (id).
    pub presented: &'a str,
    /// Refresh token that was issued (id).
    pub refresh: &'a str,
    /// The refresh token outlives the session's idle time.
    pub offline: bool,
}

/// Why Keycloak refused a refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It had been used as often as the realm allows.
    Reuse,
    /// `Stale token`: a later one was used already, or tokens as old as this one were revoked.
    Stale,
    /// Anything else: the session is over, the user is disabled.
    Other,
}

/// What tokens were issued for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub enum Grant {
    /// An authorization code.
    Code,
    /// A refresh token.
    Refresh,
    /// A password.
    Password,
    /// A client's own credentials.
    Client,
    /// Another token.
    Exchange,
    /// Anything else (device, CIBA, JWT, UMA, extensions).
    Other,
}

/// Which sessions end.
#[expect(missing_docs, reason = "a variant says what its fields are")]
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ended<'a> {
    /// One session.
    One { session: &'a str, user: &'a str },
    /// All sessions of a user.
    OfUser(&'a str),
    /// All sessions of the realm.
    OfRealm,
}

/// How the end of a session is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub enum EndKind {
    /// `LOGOUT`.
    Logout,
    /// `REVOKE_GRANT` of its refresh token, which is all that a Backstage sign-out leaves.
    RevokeGrant,
    /// An admin ended it, or all of the user's, or all of the realm's.
    Admin,
    /// `USER_SESSION_DELETED`: Keycloak found it expired, 3 to 10 minutes later.
    Expired,
    /// The user was deleted.
    UserDeleted,
    /// A complete read of sessions does not list it.
    AbsentFromRead,
}

/// A policy of a Backstage role.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy<'a> {
    /// Permission name, or resource type.
    pub permission: &'a str,
    /// Action, or several joined by `,`.
    pub action: &'a str,
    /// `allow`, `deny` or `conditional`.
    pub effect: &'a str,
}

/// A decision or an audited call.
#[derive(Clone, Debug, PartialEq)]
pub struct Decided<'a> {
    /// Entity reference of the person; empty for a caller that is none.
    pub reference: &'a str,
    /// Kind and name of a caller that is no person (`static`, `plugin`), or of the actor behind an audited act.
    pub actor: (&'a str, &'a str),
    /// Permission name; empty for an audited call.
    pub permission: &'a str,
    /// Action.
    pub action: &'a str,
    /// Resource type.
    pub resource_type: &'a str,
    /// Resource.
    pub resource: &'a str,
    /// Allowed, denied, or on conditions.
    pub outcome: Outcome,
    /// Owner references inside the conditions: the claims that were used.
    pub owner_refs: &'a [String],
    /// Instance of the Backstage; empty if the shipper names none.
    pub instance: &'a str,
    /// Trace id; empty without OpenTelemetry.
    pub trace: &'a str,
}

/// A piece of a state that was read. Pieces of one read share `id`; nothing is concluded before its end has come and all that
/// it counts is there.
#[derive(Clone, Debug, PartialEq)]
pub struct Read<'a> {
    /// The read's id.
    pub id: &'a str,
    /// The piece.
    pub piece: Piece<'a>,
}

/// Pieces of a read.
#[expect(missing_docs, reason = "a variant says what its fields are")]
#[derive(Clone, Debug, PartialEq)]
pub enum Piece<'a> {
    /// It began.
    Begin { at: Millis },
    /// One entity as it was.
    Entity(Entity<'a>),
    /// One page of a list: every (holder, held) of `list` on it.
    List { list: List, pairs: Vec<(&'a str, &'a str)> },
    /// It ended: which lists were read whole, and how many entities and pairs there were.
    End { at: Millis, whole: Vec<List>, entities: usize, pairs: usize },
}

/// An entity of a read.
#[expect(missing_docs, reason = "a variant says what its fields are")]
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Entity<'a> {
    /// A Keycloak user.
    User { user: &'a str, username: &'a str, email: &'a str, enabled: bool },
    /// A Keycloak group with its path and its parent (empty at the top).
    Group { group: &'a str, path: &'a str, parent: &'a str },
    /// A Backstage User entity with its annotation `keycloak.org/id` (may be empty).
    CatalogUser { reference: &'a str, keycloak: &'a str },
    /// A Backstage Group entity, likewise, with its parent's reference (may be empty).
    CatalogGroup { reference: &'a str, keycloak: &'a str, parent: &'a str },
}

/// The lists that a read can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum List {
    /// (user id, group id): direct members.
    Members,
    /// (user id, role id): direct roles of people.
    UserRoles,
    /// (group id, role id): roles of groups.
    GroupRoles,
    /// (outer role id, inner role id).
    Composites,
    /// (realm, group id): groups that new users get.
    DefaultGroups,
    /// (user id, session id): live sessions.
    Sessions,
    /// (user entity reference, group entity reference): the catalog's `memberOf`.
    CatalogMembers,
    /// (member reference, Backstage role).
    RoleMembers,
    /// (Backstage role, `permission|action|effect`).
    Policies,
    /// Users themselves: whoever is not listed does not exist.
    Users,
    /// Groups themselves, likewise.
    Groups,
    /// Roles themselves, likewise.
    Roles,
}

/// Hands every fact of `event` to `take`, in the order of the event.
pub fn facts<'a>(event: &'a Event, take: &mut dyn FnMut(Fact<'a>)) {
    if event.data_class == DataClass::Snapshot {
        return state::facts(event, take);
    }
    match event.source_kind {
        SourceKind::Keycloak if event.action.is_empty() => user::facts(event, take),
        SourceKind::Keycloak => admin::facts(event, take),
        SourceKind::Backstage => lines::facts(event, take),
        SourceKind::Tokentrail => act::facts(event, take),
    }
}

/// A fact of an event, with the tie rule that it falls under.
fn fact<'a>(event: &'a Event, rank: Rank, what: What<'a>) -> Fact<'a> {
    let by = if event.actor_id.is_empty() { &event.actor_name } else { &event.actor_id };
    Fact {
        moment: Moment { at: event.time, rank, event: event.event_id },
        span: Span { min: event.time_min, max: event.time_max },
        source: &event.source_id,
        realm: if event.realm_id.is_empty() { &event.realm } else { &event.realm_id },
        by,
        what,
    }
}

fn detail<'a>(event: &'a Event, key: &str) -> &'a str {
    event.details.get(key).map_or("", String::as_str)
}
