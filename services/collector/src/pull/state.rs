//! What is wrong with a source, in words that an operator can act on.

use serde::Deserialize;

/// A greater difference between Keycloak's clock and ours is told. What it tells has a resolution of one second.
pub const CLOCK_TOLERANCE_MS: i64 = 3_000;

/// User event types without which sessions, token chains or failures cannot be reconstructed from what is stored. Several
/// are not stored by default. `USER_SESSION_DELETED` exists since Keycloak 26.5.
pub const NEEDED_TYPES: &[&str] = &[
    "LOGIN",
    "LOGIN_ERROR",
    "LOGOUT",
    "CODE_TO_TOKEN",
    "CODE_TO_TOKEN_ERROR",
    "REFRESH_TOKEN",
    "REFRESH_TOKEN_ERROR",
    "CLIENT_LOGIN",
    "CLIENT_LOGIN_ERROR",
    "TOKEN_EXCHANGE",
    "TOKEN_EXCHANGE_ERROR",
    "INTROSPECT_TOKEN",
    "INTROSPECT_TOKEN_ERROR",
    "USER_INFO_REQUEST",
    "REVOKE_GRANT",
    "IMPERSONATE",
    "UPDATE_CREDENTIAL",
    "USER_DISABLED_BY_PERMANENT_LOCKOUT",
    "USER_DISABLED_BY_TEMPORARY_LOCKOUT",
    "USER_SESSION_DELETED",
];

/// One thing to say about a source and realm. Several can hold at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It answers and may be read.
    Reachable,
    /// No connection, or it ended early.
    Unreachable {
        /// What happened: never text from the other side.
        why: &'static str,
    },
    /// It answers with errors of its own.
    ServerError {
        /// HTTP status.
        status: u16,
    },
    /// It asks for fewer requests.
    Throttled,
    /// Client id or secret refused.
    Unauthorized,
    /// Logged in, but a role is missing.
    Forbidden {
        /// The role, of client `realm-management`.
        role: &'static str,
    },
    /// There is no such realm.
    RealmMissing,
    /// User events are not stored.
    EventsOff,
    /// Admin events are not stored.
    AdminEventsOff,
    /// Admin events are stored without their representation.
    DetailsOff,
    /// These needed types are not stored.
    TypesNotSaved(Vec<String>),
    /// The realm does not send its events to this listener, which the config says pushes them to us.
    ListenerMissing {
        /// The listener.
        listener: &'static str,
    },
    /// Keycloak has no event store (KC-SERVICES0082).
    EventStoreMissing,
    /// Keycloak's clock is ahead of ours by so much (negative: behind).
    ClockOffset {
        /// Milliseconds.
        ms: i64,
    },
    /// It answered something else than sorted events: older than 26.2, or no Keycloak.
    NotSupported,
    /// One event is larger than the largest answer that may be read.
    AnswerTooLarge,
    /// The cursor on disk was damaged; everything stored is read again.
    CursorDamaged,
    /// The cursor cannot be written.
    CursorNotWritten,
    /// The journal cannot take more.
    JournalFull,
}

/// How bad a state is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing to do.
    Fine,
    /// Events come in, but not all that are needed.
    Degraded,
    /// Nothing comes in.
    Down,
}

impl State {
    /// Name for metric labels and JSON.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Reachable => "reachable",
            Self::Unreachable { .. } => "unreachable",
            Self::ServerError { .. } => "server_error",
            Self::Throttled => "throttled",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden { .. } => "forbidden",
            Self::RealmMissing => "realm_missing",
            Self::EventsOff => "events_off",
            Self::AdminEventsOff => "admin_events_off",
            Self::DetailsOff => "details_off",
            Self::TypesNotSaved(_) => "types_not_saved",
            Self::ListenerMissing { .. } => "listener_missing",
            Self::EventStoreMissing => "event_store_missing",
            Self::ClockOffset { .. } => "clock_offset",
            Self::NotSupported => "not_supported",
            Self::AnswerTooLarge => "answer_too_large",
            Self::CursorDamaged => "cursor_damaged",
            Self::CursorNotWritten => "cursor_not_written",
            Self::JournalFull => "journal_full",
        }
    }

    /// How bad it is.
    pub fn severity(&self) -> Severity {
        match self {
            Self::Reachable => Severity::Fine,
            Self::EventsOff
            | Self::AdminEventsOff
            | Self::DetailsOff
            | Self::TypesNotSaved(_)
            | Self::ListenerMissing { .. }
            | Self::ClockOffset { .. }
            | Self::CursorDamaged => Severity::Degraded,
            _ => Severity::Down,
        }
    }

    /// What it means and what to do.
    pub fn remedy(&self) -> String {
        match self {
            Self::Reachable => "nothing to do".into(),
            Self::Unreachable { why } => format!("{why}: check the base URL, the network and that Keycloak runs"),
            Self::ServerError { status } => format!("Keycloak answered {status}: look into its own log"),
            Self::Throttled => "Keycloak or a proxy before it asks for fewer requests: raise interval_seconds of this source's pull, or read fewer realms".into(),
            Self::Unauthorized => {
                "client id or secret was refused: check both, and that the client is enabled and has \"Service accounts roles\" on".into()
            }
            Self::Forbidden { role } => {
                format!("the service account lacks a role: give it `{role}` of client `realm-management` (of `<realm>-realm` if it lives in master)")
            }
            Self::RealmMissing => "no realm of this name: check its spelling and the base URL's path".into(),
            Self::EventsOff => "user events are not stored: Realm settings, Events, User events settings, turn \"Save events\" on".into(),
            Self::AdminEventsOff => {
                "admin events are not stored: Realm settings, Events, Admin events settings, turn \"Save events\" on".into()
            }
            Self::DetailsOff => {
                "admin events are stored without what was changed: Realm settings, Events, Admin events settings, turn \"Include representation\" on".into()
            }
            Self::TypesNotSaved(types) => format!(
                "not stored: {}: add them under Realm settings, Events, User events settings (those that this version of Keycloak knows)",
                types.join(", ")
            ),
            Self::ListenerMissing { listener } => format!(
                "webhooks are configured, and the realm sends its events to no listener {listener}: add it under Realm settings, \
                 Events, Event listeners (or take the webhook's secret out of the config, if events are only pulled)"
            ),
            Self::EventStoreMissing => {
                "Keycloak has no event store although events are on (its log says KC-SERVICES0082): with keycloak-events \
                 installed there are two providers, so build or start it with `--spi-events-store--provider=jpa`"
                    .into()
            }
            Self::ClockOffset { ms } => {
                let side = if *ms > 0 { "ahead of" } else { "behind" };
                format!("Keycloak's clock is {} ms {side} this one: synchronise both", ms.unsigned_abs())
            }
            Self::NotSupported => "the answer is no list of events by ascending time: Keycloak 26.2 or newer is needed".into(),
            Self::AnswerTooLarge => "one stored event is larger than the largest answer that is read (32 MiB), and nothing behind it is: clear it in \
                 Keycloak (Realm settings, Events, \"Clear events\", once everything before it is read), or let it expire"
                    .into(),
            Self::CursorDamaged => {
                "the cursor was damaged and put aside; all stored events are read again, known ones become duplicates".into()
            }
            Self::CursorNotWritten => "the cursor cannot be written: check space and rights of the data folder".into(),
            Self::JournalFull => "the journal cannot take more: free disk space; reading goes on by itself".into(),
        }
    }
}

/// What `GET events/config` says. Fields that are missing count as off.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct EventsConfig {
    pub events_enabled: bool,
    pub admin_events_enabled: bool,
    pub admin_events_details_enabled: bool,
    /// Never empty in an answer: Keycloak fills in its default list.
    pub enabled_event_types: Vec<String>,
    /// Absent: not told.
    pub events_listeners: Option<Vec<String>>,
}

impl EventsConfig {
    /// What is not as it should be. `listener`: where the realm's events must be sent to.
    pub(super) fn states(&self, listener: Option<&'static str>) -> Vec<State> {
        let mut states = Vec::new();
        let named =
            |listener: &str| self.events_listeners.as_ref().is_none_or(|all| all.iter().any(|one| one == listener));
        states.extend(listener.filter(|listener| !named(listener)).map(|listener| State::ListenerMissing { listener }));
        if !self.events_enabled {
            states.push(State::EventsOff);
        } else {
            let saved = &self.enabled_event_types;
            let missing = NEEDED_TYPES.iter().filter(|needed| !saved.iter().any(|saved| saved == *needed));
            let missing: Vec<_> = missing.map(|name| (*name).to_owned()).collect();
            if !missing.is_empty() {
                states.push(State::TypesNotSaved(missing));
            }
        }
        if !self.admin_events_enabled {
            states.push(State::AdminEventsOff);
        } else if !self.admin_events_details_enabled {
            states.push(State::DetailsOff);
        }
        states
    }
}

/// The state of a clock, if it is worth a word.
pub(super) fn clock(offset_ms: Option<i64>) -> Option<State> {
    offset_ms.filter(|ms| ms.abs() > CLOCK_TOLERANCE_MS).map(|ms| State::ClockOffset { ms })
}
