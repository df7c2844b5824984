//! Redaction: secrets leave the body before anything is written, in one pass over the bytes as they came.
//!
//! A [`Rule`] per field says what may stay; what no rule names is denied when it is nested or has a telling name, and is
//! searched by [`detect`] otherwise. What is removed becomes `{"redacted":true,"mark":…}` or `redacted:<mark>:<length>`, a
//! keyed mark, so that a change stays visible. Where nothing has to go, not one byte changes. Never panics on any input.

pub mod backstage;
pub mod detect;
mod json;
pub mod keycloak;
mod representation;
mod scalar;
mod seen;
pub(crate) mod state;
pub mod url;
mod walk;

use events::person::DeploymentKey;
pub(crate) use json::Cursor;
pub(crate) use scalar::is_id;
pub(crate) use seen::Span;
pub use seen::{Seen, Slot};
pub(crate) use walk::Walk;

/// Deepest nesting of JSON that is read.
pub const MAX_DEPTH: u32 = 32;

/// Most values in one event or line.
pub const MAX_NODES: u32 = 10_000;

/// Most values in one catalog snapshot.
pub const MAX_SNAPSHOT_NODES: u32 = 1_000_000;

/// What may stay of a field's value. Lists are transparent: a rule holds for each element.
#[derive(Debug)]
pub enum Rule {
    /// A name, enumeration or reference: kept unless it is a JWT, a PEM block or a known kind of key.
    Name,
    /// Free text: each word that looks like a secret is replaced.
    Text,
    /// A URL: secret parameters, user info and random path segments are replaced.
    Url,
    /// An id of a session or an event: kept if it has the form of one.
    Id,
    /// An id of a token (`onrtac:UUID`, `UUID`): kept if it has the form of one.
    TokenId,
    /// Not on the list, but with a harmless name: text is searched, nested objects are denied.
    Unlisted,
    /// Always replaced, except null, booleans, empty and already masked values.
    Deny,
    /// Any nesting is kept; names and texts inside are treated as unlisted ones.
    Tree,
    /// An object of a known class.
    One(&'static Class),
    /// An object with free names; telling names are denied, other values follow the rule.
    Map(&'static Rule),
    /// JSON inside a string: looked at when the whole event is known.
    Later,
    /// As the rule says, and remembered for the splitter.
    Note(Slot, &'static Rule),
}

/// The fields of an object that may stay.
#[derive(Debug)]
pub struct Class {
    /// Allow-list, in the order in which the source writes them (found fastest so). At most 128.
    pub fields: &'static [(&'static str, Rule)],
    /// What happens to the others.
    pub others: Others,
}

/// What happens to a field that is not on the allow-list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Others {
    /// Denied when its name is telling or its value nested, else searched.
    Search,
    /// Denied.
    Deny,
}

/// Why bytes could not be read as the JSON that we accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Not UTF-8.
    #[error("not utf-8")]
    NotUtf8,
    /// Not JSON.
    #[error("not json")]
    Syntax,
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("nested too deep")]
    TooDeep,
    /// More values than are read.
    #[error("too many values")]
    TooManyNodes,
    /// One name twice in an object: readers would differ on which counts.
    #[error("a name twice in one object")]
    DuplicateName,
    /// A line longer than the limit.
    #[error("line too long")]
    LineTooLong,
    /// More events in one request than the limit.
    #[error("too many events")]
    TooManyEvents,
    /// A record of a topic larger than is read, or than its redacted form may be.
    #[error("record too large")]
    RecordTooLarge,
}

impl Broken {
    /// Name used in dead letters.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotUtf8 => "not_utf8",
            Self::Syntax => "not_json",
            Self::TooDeep => "too_deep",
            Self::TooManyNodes => "too_many_values",
            Self::DuplicateName => "duplicate_name",
            Self::LineTooLong => "line_too_long",
            Self::TooManyEvents => "too_many_events",
            Self::RecordTooLarge => "record_too_large",
        }
    }
}

/// Names that tell of a secret: `/secret|password|credential|private|token|key|otp|value$/i`.
pub fn telling(name: &str) -> bool {
    const PARTS: [&[u8]; 7] = [b"secret", b"password", b"credential", b"private", b"token", b"key", b"otp"];
    let name = name.as_bytes();
    if name.len() >= 5 && name[name.len() - 5..].eq_ignore_ascii_case(b"value") {
        return true;
    }
    PARTS.iter().any(|part| name.windows(part.len()).any(|w| w.eq_ignore_ascii_case(part)))
}

/// What stands in place of a removed string or number.
pub fn mark_text(key: &DeploymentKey, removed: &str) -> String {
    format!("redacted:{}:{}", key.mark("redacted", &[removed]), removed.len())
}

/// What stands in place of a removed object or list (`raw` = its bytes as they came).
fn mark_nested(key: &DeploymentKey, raw: &str) -> String {
    format!(r#"{{"redacted":true,"mark":"{}"}}"#, key.mark("redacted", &[raw]))
}

/// Body of a dead letter of bytes that cannot be kept: `{"length","mark","reason"}`.
pub fn unparsable(key: &DeploymentKey, bytes: &[u8], reason: Broken) -> Vec<u8> {
    let mark = match std::str::from_utf8(bytes) {
        Ok(text) => key.mark("unparsable", &[text]),
        Err(_) => key.mark("unparsable_hex", &[&hex::encode(bytes)]),
    };
    format!(r#"{{"length":{},"mark":"{mark}","reason":"{}"}}"#, bytes.len(), reason.as_str()).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn telling_names() {
        for name in ["clientSecret", "PASSWORD", "bindCredential", "privateKey", "otp", "value", "newValue"] {
            assert!(telling(name), "{name}");
        }
        for name in ["username", "valueOf", "enabled", "description", ""] {
            assert!(!telling(name), "{name}");
        }
    }

    #[test]
    fn unparsable_keeps_length_and_mark_only() {
        let key = DeploymentKey::new([1; 32]);
        let body = unparsable(&key, b"hunter2\xff", Broken::NotUtf8);
        let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(value["length"], 8);
        assert_eq!(value["reason"], "not_utf8");
        assert!(!String::from_utf8(body).unwrap().contains("hunter2"));
    }
}
