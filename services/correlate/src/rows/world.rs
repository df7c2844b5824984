//! Rows of what belongs to no single right of a person, and from which all that is not held directly follows.

use crate::moment::Millis;
use events::person::PersonKey;
use serde::Serialize;
use uuid::Uuid;

/// `holder` stands to `held` in some way, from when to when.
#[derive(Clone, Debug, PartialEq, Hash, Serialize)]
pub struct WorldRow {
    /// Of a tie and of an account: whose.
    pub person: Option<PersonKey>,
    /// Key of the account alone, where an operator merged it into another person's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<PersonKey>,
    /// The source whose id or reference the holder is.
    pub source: String,
    /// In which way.
    pub kind: WorldKind,
    /// Keycloak id, or a reference or role of Backstage. Of a tie personal.
    pub holder: String,
    /// The same, or a policy; empty where there is nothing to name.
    pub held: String,
    /// The source whose id or reference that is.
    pub held_source: String,
    /// From when; `None`: as far back as is known.
    pub from: Option<Millis>,
    /// Until when; `None`: still.
    pub to: Option<Millis>,
    /// The event that began it, if one did.
    pub begun: Option<Uuid>,
    /// An event is missing that it rests on.
    pub rests_on_gap: bool,
}

/// Kinds of such rows: what stands on the left, and on the right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum WorldKind {
    /// A group, and the group above it.
    Parent,
    /// A group or role that has not lived always: it lives.
    Lives,
    /// A group, and a role that it carries.
    GroupRole,
    /// A role, and a role that it contains.
    Composite,
    /// A realm's role that every user has.
    DefaultRole,
    /// A group, and its reference in a Backstage.
    Name,
    /// A reference (of a person or group), and a Backstage role given to it.
    RoleMember,
    /// A Backstage role, and a policy of it.
    Policy,
    /// A reference, and the user for whom it stands.
    Tie,
    /// A user who may not sign in.
    Disabled,
    /// A user who does not exist any more.
    Gone,
}
