//! The rows of the correlation's tables, in the order and types of `schemas/clickhouse/0013_correlation.sql`.
//!
//! docs/data-model.md says what each column means. Times are UTC milliseconds; the zero id and an empty string mean "none".

use super::Table;
use clickhouse::{Row, RowOwned, RowRead, RowWrite};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What identifies a row, and which of several wins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Tenant.
    pub tenant: String,
    /// Person key; empty: none.
    pub person: String,
    /// Time in the sort key.
    pub at: i64,
    /// Keyed hash of what identifies the row.
    pub row_id: [u8; 16],
    /// [`super::version`].
    pub version: u64,
    /// Hash of what it says.
    pub content: u64,
    /// The event that changed an earlier answer.
    pub because: Uuid,
}

/// A row of one of the tables.
pub trait Derived:
    Row + RowOwned + RowRead + RowWrite + for<'a> Row<Value<'a> = Self> + Default + Serialize + Send + Sync + 'static
{
    /// Name of the table.
    const TABLE: &'static str;

    /// A row with this head and nothing else.
    fn of(head: Head) -> Self;

    /// The row that takes another away.
    fn deleting(head: Head) -> Self;

    /// What identifies it.
    fn head(&self) -> Head;

    /// True if it takes another away.
    fn is_deleting(&self) -> bool;
}

/// An id within a tuple.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Id(#[serde(with = "clickhouse::serde::uuid")] pub Uuid);

/// Time, access line of the callback, event of the Backstage token (zero: refused).
pub type SignInRecord = (i64, Id, Id);

/// From when on, name (personal), the event that says so.
pub type ImpersonatorRecord = (i64, String, Id);

/// Keycloak group, group above it that counts, Backstage group, Backstage role, policy, since when.
pub type SupportRecord = (String, String, String, String, String, Option<i64>);

macro_rules! derived {
    ($(#[$doc:meta])* $name:ident in $table:literal { $($(#[$meta:meta])* $field:ident: $type:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Row, Serialize, Deserialize)]
        pub struct $name {
            /// Tenant.
            pub tenant: String,
            /// Person key; empty: none.
            pub person: String,
            /// Time in the sort key.
            pub at: i64,
            /// Keyed hash of what identifies the row.
            pub row_id: [u8; 16],
            /// [`super::version`].
            pub version: u64,
            /// 1: takes the row away.
            pub is_deleted: u8,
            /// Hash of what it says.
            pub content: u64,
            /// The event that changed an earlier answer.
            #[serde(with = "clickhouse::serde::uuid")]
            pub because: Uuid,
            $($(#[$meta])* pub $field: $type,)*
        }

        impl Derived for $name {
            const TABLE: &'static str = $table;

            fn of(head: Head) -> Self {
                let Head { tenant, person, at, row_id, version, content, because } = head;
                Self { tenant, person, at, row_id, version, content, because, ..Self::default() }
            }

            fn deleting(head: Head) -> Self {
                Self { is_deleted: 1, ..Self::of(head) }
            }

            fn head(&self) -> Head {
                Head {
                    tenant: self.tenant.clone(),
                    person: self.person.clone(),
                    at: self.at,
                    row_id: self.row_id,
                    version: self.version,
                    content: self.content,
                    because: self.because,
                }
            }

            fn is_deleting(&self) -> bool {
                self.is_deleted != 0
            }
        }
    };
}

derived! {
    /// A Keycloak user session.
    SessionRecord in "session_rows" {
        /// Source.
        source_id: String,
        /// Keycloak's id.
        session_id: String,
        /// First login.
        started_at: Option<i64>,
        /// Last sign of life.
        last_seen_at: Option<i64>,
        /// End.
        ended_at: Option<i64>,
        /// How the end is known.
        ended_by: String,
        /// Clients that used it.
        clients: Vec<String>,
        /// Logins.
        logins: u32,
        /// Refreshes.
        refreshes: u32,
        /// 1: it has offline tokens.
        offline: u8,
        /// 1: tokens were issued after the end.
        active_after_end: u8,
        /// The first of `impersonators`. Personal.
        impersonator: String,
        /// Sign-ins to a Backstage.
        sign_ins: Vec<SignInRecord>,
        /// Where nothing tells the end: by when it has ended at the latest unless it is used again.
        expires_by: Option<i64>,
        /// Others who act in it.
        impersonators: Vec<ImpersonatorRecord>,
        /// The first and the last time that a refresh token was refused because it had been used before.
        reuse_refused: Vec<(i64, Id)>,
    }
}

derived! {
    /// Tokens that Keycloak issued.
    TokenRecord in "token_rows" {
        /// The event that issued them.
        #[serde(with = "clickhouse::serde::uuid")]
        event_id: Uuid,
        /// Session.
        session_id: String,
        /// Client.
        client: String,
        /// What for.
        issued_for: String,
        /// Access token id.
        access_token_id: String,
        /// Refresh token id.
        refresh_token_id: String,
        /// The event that issued the presented refresh token.
        #[serde(with = "clickhouse::serde::uuid")]
        parent: Uuid,
        /// 1: the presented refresh token had been presented before.
        reused: u8,
    }
}

derived! {
    /// A token that Backstage issued.
    CredentialRecord in "credential_rows" {
        /// The event that issued it.
        #[serde(with = "clickhouse::serde::uuid")]
        event_id: Uuid,
        /// Entity reference. Personal.
        reference: String,
        /// Owner claims.
        claims: Vec<String>,
        /// Sign-in, refresh, unknown.
        kind: String,
        /// Keycloak session.
        session_id: String,
        /// The Keycloak event that paid for it.
        #[serde(with = "clickhouse::serde::uuid")]
        cause: Uuid,
        /// The callback's access line.
        #[serde(with = "clickhouse::serde::uuid")]
        callback: Uuid,
        /// 1: the session is certain.
        sure: u8,
    }
}

derived! {
    /// Person holds right.
    GrantRecord in "grant_rows" {
        /// The Keycloak that says it.
        source_id: String,
        /// Kind of right.
        right_kind: String,
        /// Keycloak id, or Backstage role.
        right_id: String,
        /// From when; none: before anything that is known.
        held_from: Option<i64>,
        /// Until when; none: still.
        held_to: Option<i64>,
        /// Who granted it. Personal.
        granted_by: String,
        /// Who removed it. Personal.
        removed_by: String,
        /// The event that granted it.
        #[serde(with = "clickhouse::serde::uuid")]
        granted_in: Uuid,
        /// The event that removed it.
        #[serde(with = "clickhouse::serde::uuid")]
        removed_in: Uuid,
        /// 1: its beginning or end lies where an event is missing.
        rests_on_gap: u8,
        /// Key of the account alone, where it was merged into another person's; else empty.
        account: String,
        /// 1: the realm gave it to a new user, and no event says so.
        by_default: u8,
    }
}

derived! {
    /// One thing stands to another in some way, from when to when.
    WorldRecord in "world_rows" {
        /// The source that says it.
        source_id: String,
        /// In which way.
        kind: String,
        /// One side. Of a tie personal.
        holder: String,
        /// The other side.
        held: String,
        /// The source whose id or reference the other side is.
        held_source_id: String,
        /// From when; none: as far back as is known.
        held_from: Option<i64>,
        /// Until when; none: still.
        held_to: Option<i64>,
        /// The event that began it.
        #[serde(with = "clickhouse::serde::uuid")]
        begun_in: Uuid,
        /// 1: an event is missing that it rests on.
        rests_on_gap: u8,
        /// Key of the account alone, where it was merged into another person's; else empty.
        account: String,
    }
}

derived! {
    /// A decision with its grounds.
    DecisionRecord in "decision_rows" {
        /// The event that tells it.
        #[serde(with = "clickhouse::serde::uuid")]
        event_id: Uuid,
        /// Entity reference or name of the caller. Personal.
        reference: String,
        /// Permission; empty: an audited call.
        permission: String,
        /// Action.
        action: String,
        /// Resource.
        resource: String,
        /// Allow, deny or conditional.
        outcome: String,
        /// What became of a conditional one.
        final_outcome: String,
        /// How it stands to what the person held.
        verdict: String,
        /// Between the change and the decision.
        delay_ms: Option<i64>,
        /// The clock that it obeys.
        clock: String,
        /// Paths from the person to the permission.
        support: Vec<SupportRecord>,
        /// Owner claims that were used and no longer held.
        stale_claims: Vec<String>,
        /// Keycloak session.
        session_id: String,
        /// Issue time of the latest credential that can stand behind it.
        credential_at: Option<i64>,
        /// The event that issued that.
        #[serde(with = "clickhouse::serde::uuid")]
        credential: Uuid,
        /// How many credentials could.
        candidates: u32,
        /// How sure.
        grade: String,
        /// Why no better.
        reasons: Vec<String>,
    }
}

derived! {
    /// An event that must have happened and is not there.
    MissingEventRecord in "missing_event_rows" {
        /// Kind of right.
        right_kind: String,
        /// Keycloak id, Backstage role, or policy.
        right_id: String,
        /// Of what is no person's: who holds it, by Keycloak id or reference.
        holder: String,
        /// What the missing event did.
        missing: String,
        /// It happened before this.
        before: i64,
        /// Evidence before it.
        #[serde(with = "clickhouse::serde::uuid")]
        evidence_after: Uuid,
        /// Evidence behind it.
        #[serde(with = "clickhouse::serde::uuid")]
        evidence_before: Uuid,
        /// Likely causes, likeliest first.
        causes: Vec<String>,
    }
}

derived! {
    /// A name of a person.
    AliasRecord in "alias_rows" {
        /// Kind of name.
        kind: String,
        /// The name. Personal.
        name: String,
        /// Keycloak user id of usernames and e-mails. Personal.
        user_id: String,
        /// From when.
        borne_from: Option<i64>,
        /// Until when.
        borne_to: Option<i64>,
        /// Key of the account alone, where it was merged into another person's; else empty.
        account: String,
        /// The event that began it; the zero id: none is known.
        #[serde(with = "clickhouse::serde::uuid")]
        begun_in: Uuid,
        /// The event that ended it.
        #[serde(with = "clickhouse::serde::uuid")]
        ended_in: Uuid,
    }
}

/// Every table with its name.
pub(super) const TABLES: &[(Table, &str)] = &[
    (Table::Sessions, SessionRecord::TABLE),
    (Table::Tokens, TokenRecord::TABLE),
    (Table::Credentials, CredentialRecord::TABLE),
    (Table::Grants, GrantRecord::TABLE),
    (Table::Decisions, DecisionRecord::TABLE),
    (Table::MissingEvents, MissingEventRecord::TABLE),
    (Table::Aliases, AliasRecord::TABLE),
    (Table::World, WorldRecord::TABLE),
];
