//! What a JSON line is to us: a receipt of some kind, or a line that is only counted.

use crate::redact::{Slot, Walk};
use events::{lines::LineKind, record::heartbeat_id};

/// What a backend says at its start: `Found N new secrets in config that will be redacted`; N counts all, not new ones.
const REDACTION: &str = " new secrets in config that will be redacted";

/// What a JSON line is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A terminal line of a permission evaluation.
    Evaluation,
    Audit,
    Access {
        kept: bool,
        authorize: bool,
    },
    Issuing,
    /// The importer of people and groups has written what it read: Backstage roles follow it from here on.
    Synced,
    /// What Backstage says at its start about the secrets of its config.
    Redaction(LineKind),
    Other,
}

impl Kind {
    pub fn of(walk: &Walk<'_>, line: &str) -> Self {
        let seen = &walk.seen;
        let says = |slot| seen.is(slot, line, "true") || seen.is(slot, line, "\"true\"");
        if says(Slot::IsAuditEvent) || says(Slot::IsAuditLog) {
            let evaluation = seen.is(Slot::EventId, line, "\"permission-evaluation\"");
            let terminal = !seen.is(Slot::Status, line, "\"initiated\"");
            return if evaluation && terminal { Self::Evaluation } else { Self::Audit };
        }
        if seen.is(Slot::Type, line, "\"incomingRequest\"") {
            let url = seen.text(Slot::Url, line).unwrap_or_default();
            let refused =
                seen.raw(Slot::Status, line).is_some_and(|status| matches!(status.trim_matches('"'), "401" | "403"));
            let authorize = url.starts_with("/api/permission/authorize");
            let kept = refused || authorize || url.starts_with("/api/auth/") || heartbeat_id(&url).is_some();
            return Self::Access { kept, authorize };
        }
        let message = seen.text(Slot::Message, line).unwrap_or_default();
        if message.starts_with("Issuing token for") {
            return Self::Issuing;
        }
        if let Some(found) = message.strip_prefix("Found ").and_then(|rest| rest.strip_suffix(REDACTION)) {
            return Self::Redaction(if found == "0" { LineKind::RedactionOff } else { LineKind::RedactionOn });
        }
        let importer = seen.is(Slot::Class, line, "\"KeycloakOrgEntityProvider\"");
        if importer && message.starts_with("Committed ") { Self::Synced } else { Self::Other }
    }

    /// As what it is counted; none if it is a receipt.
    pub fn counted(self) -> Option<LineKind> {
        match self {
            Self::Evaluation | Self::Audit | Self::Issuing | Self::Synced => None,
            Self::Access { kept, .. } => (!kept).then_some(LineKind::Access),
            Self::Redaction(kind) => Some(kind),
            Self::Other => Some(LineKind::Json),
        }
    }
}
