//! The row of a decision: its grounds, how it stands to what was held, how sure that is. All lists here are closed.

use crate::moment::Millis;
use events::{event::Outcome, person::PersonKey};
use serde::Serialize;
use uuid::Uuid;

/// A decision with its grounds.
#[derive(Clone, Debug, PartialEq, Hash, Serialize)]
pub struct DecisionRow {
    /// Who; `None`: a caller that is no person.
    pub person: Option<PersonKey>,
    /// Entity reference, or name of the caller. Personal.
    pub reference: String,
    /// When.
    pub at: Millis,
    /// Permission; empty for an audited call.
    pub permission: String,
    /// Action.
    pub action: String,
    /// Resource, if said.
    pub resource: String,
    /// What was decided.
    pub outcome: Outcome,
    /// What became of a conditional decision, where a line of the same trace tells it.
    pub final_outcome: Option<Outcome>,
    /// How it stands to what the person held.
    pub verdict: Verdict,
    /// Milliseconds between the change and the decision: of a removal (stale, or possibly stale), or of a grant (pending, or denied with a right
    /// that was not always held).
    pub delay: Option<Millis>,
    /// The clock that it obeys.
    pub clock: Clock,
    /// What supports it, or, for a stale one, what last did.
    pub support: Vec<Support>,
    /// Owner claims (groups) that were used and were no longer held.
    pub stale_claims: Vec<String>,
    /// Keycloak session that can stand behind it.
    pub session: Option<String>,
    /// Issue time and event of the latest credential that can stand behind it.
    pub credential: Option<(Millis, Uuid)>,
    /// How many credentials could.
    pub candidates: u32,
    /// How sure the grounds are.
    pub grade: Grade,
    /// Why no better, and what else is to be known.
    pub reasons: Vec<Reason>,
}

/// One path from a person to a permission.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Support {
    /// Keycloak id of the group that the person is in; empty for a role given in Backstage itself.
    pub group: String,
    /// Keycloak id of the group above it that counts, if it is not the same.
    pub above: String,
    /// Backstage group's entity reference; empty likewise.
    pub reference: String,
    /// Backstage role.
    pub role: String,
    /// Policy, `permission|action|effect`.
    pub policy: String,
    /// Since when the person holds the group or role, if an event says it.
    pub since: Option<Millis>,
}

/// How a decision stands to what the person held at its instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Verdict {
    /// Allowed with the right, or denied without.
    Agrees,
    /// Allowed by a role given in Backstage itself.
    GrantedInBackstage,
    /// Allowed although every supporting right was gone, within the clock's budget.
    Exposure,
    /// The same, beyond the budget.
    Violation,
    /// Denied although the right had been given, within the catalog's budget; or left to conditions by claims that are older than a group, which
    /// was given no longer ago than claims may be old.
    PendingGrant,
    /// Left to conditions, and nothing is wrong with the claims that were used.
    Conditional,
    /// Allowed because another Keycloak group of the same Backstage name has the role.
    NameCollision,
    /// Allowed, and nothing known supports it or ever did.
    AllowedWithoutRight,
    /// Denied, and the right was always held, or for longer than the clock's budget.
    DeniedWithRight,
    /// No policy is known, or no permission is named.
    NotJudged,
}

/// What a decision's view of rights follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Clock {
    /// Backstage roles: the catalog's last sync.
    Catalog,
    /// Ownership conditions: the last issue of the person's Backstage token.
    Claims,
    /// A disabled or deleted person: the end of the token.
    Token,
    /// Roles given in Backstage itself: at once.
    None,
}

/// How sure grounds are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Grade {
    /// Nobody or nothing is known.
    None,
    /// More than one story fits, or time alone ties it.
    Inferred,
    /// The session is known, and not which of its tokens.
    Session,
    /// The one credential that can stand behind it is known.
    Exact,
}

/// Why a grade is no better, and what else must be known to read a decision. A closed list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Reason {
    /// The caller is a plugin, a static token, or names nobody.
    NoPerson,
    /// No annotation ties the reference to a Keycloak user.
    NotTied,
    /// The tie was first seen later.
    TieSeenLater,
    /// Tied by name, as configured.
    TiedByName,
    /// Several Keycloak users could bear the name.
    SeveralUsers,
    /// The entity is gone from the catalog; the person is who it last was.
    EntityGone,
    /// The credential was issued when the reference stood for somebody else.
    CredentialOfAnother,
    /// No live credential is known.
    NoCredential,
    /// No "Issuing token" line; only Keycloak's own tokens tell.
    NoIssuingLine,
    /// Keycloak issued tokens of which no "Issuing token" line tells: another credential may be out.
    TokenUnseen,
    /// The credential's session is not certain.
    SessionUnsure,
    /// Several tokens of one session are alive.
    SeveralTokens,
    /// Several sessions of the person are alive.
    SeveralSessions,
    /// The shipper does not name the instance.
    NoInstance,
    /// A right changed within the time in which the decision can have been made.
    Straddles,
    /// An event is missing that this rests on.
    RestsOnGap,
    /// No policy is known that was in force.
    PolicyUnknown,
    /// No policy is known, and a group that the person had held was gone by then: `delay` says for how long. Whether it mattered is not known.
    PossiblyStale,
    /// Policies were replaced without saying which.
    PolicyUnsure,
    /// Group memberships are known from the catalog alone.
    RightsFromCatalog,
    /// The person was disabled or deleted.
    Disabled,
    /// Two Keycloak groups share the Backstage name.
    SharedName,
    /// A claim was used that no evidence explains.
    ClaimUnexplained,
    /// A group that had been given longer ago than claims may be old is not among the claims that were used.
    ClaimMissing,
    /// Too many changes to look back through.
    TooManyChanges,
    /// An administrator acts as the person in a session that can stand behind it: the session's row names them.
    Impersonated,
}
