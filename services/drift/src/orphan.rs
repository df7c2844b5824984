//! Whom only one of two systems knows.

use uuid::Uuid;

/// What is known of it; asked anew when a catalog was read completely.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Orphans {
    /// They.
    pub found: Vec<Orphan>,
    /// What could not be asked, in words, with why.
    pub unjudged: Vec<String>,
    /// Whether everything could be asked: who was found before and is not found now is an orphan no more.
    pub whole: bool,
}

/// Which of the two knows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// The catalog of a Backstage: the Keycloak user of its annotation is gone.
    Entity,
    /// Keycloak: the user signs in to a Backstage that has no entity of them.
    User,
}

impl Side {
    /// In a few words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Entity => "entity without a user",
            Self::User => "user without an entity",
        }
    }
}

/// One of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Orphan {
    /// Who knows them.
    pub side: Side,
    /// Source id of the Backstage.
    pub backstage: String,
    /// Source id of the Keycloak.
    pub keycloak: String,
    /// Person key.
    pub person: String,
    /// Since when: when the user was gone and the entity there, or first signed in. Does not move.
    pub since: i64,
    /// Keycloak ids of the privileged groups that they are, or were last, in.
    pub groups: Vec<String>,
    /// Whether events tell it; else a missing event does.
    pub proven: bool,
    /// What tells of them, in order of time.
    pub evidence: Vec<(i64, Uuid)>,
}
