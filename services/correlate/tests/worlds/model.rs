//! What a simulated Keycloak and Backstage hold, and what was true at each decision.

use std::collections::BTreeSet;
use uuid::Uuid;

#[derive(Clone)]
pub struct Group {
    pub id: String,
    pub name: String,
    pub parent: Option<usize>,
    pub lives: bool,
}

#[derive(Clone)]
pub struct User {
    pub id: String,
    pub name: String,
    pub lives: bool,
    pub enabled: bool,
    pub groups: BTreeSet<usize>,
    /// Backstage tokens: (issued at, session, a sign-in).
    pub tokens: Vec<Token>,
}

#[derive(Clone, Debug)]
pub struct Token {
    pub at: i64,
    pub session: String,
    pub refresh: String,
    pub sign_in: bool,
}

/// What was true when a decision was made.
#[derive(Clone, Debug)]
pub struct Decided {
    pub event: Uuid,
    pub at: i64,
    pub user: String,
    pub allowed: bool,
    pub entitled: bool,
    /// By a role given in Backstage itself alone.
    pub by_backstage: bool,
    /// Whether the account was open when the right went or came.
    pub active: bool,
    /// Since when it is so.
    pub since: Option<i64>,
    /// The token that was used, and its session; all tokens alive: when they were issued, and their sessions.
    pub used: i64,
    pub session: String,
    pub alive: Vec<(i64, String)>,
}

/// A direct membership as it really was.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Held {
    pub user: String,
    pub group: String,
    pub from: Option<i64>,
    pub to: Option<i64>,
}

/// A sign-in as it really was.
#[derive(Clone, Debug)]
pub struct SignedIn {
    pub user: String,
    pub session: String,
    pub at: i64,
    pub refused: bool,
    pub refreshes: u32,
    pub ended: Option<i64>,
}
