//! What a walk noted on its way: where the values stand that tell the class, the ids and the times of an event.

use std::borrow::Cow;

/// What the splitter wants to know of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs, reason = "each is the field of its name")]
pub enum Slot {
    Id,
    Uid,
    Time,
    Type,
    Error,
    UserId,
    Username,
    ActorName,
    AuthDetails,
    Details,
    ResourceType,
    ResourceTypeText,
    ResourcePath,
    OperationType,
    Representation,
    RealmId,
    IsAuditEvent,
    IsAuditLog,
    Level,
    Message,
    Log,
    Timestamp,
    Date,
    ShipperTime,
    EventId,
    Plugin,
    Class,
    Status,
    Url,
    Method,
    Result,
    Pod,
    Host,
    File,
    Stream,
    Last,
}

/// A piece of the text, `start..end`; empty if absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub start: usize,
    pub end: usize,
}

/// The noted values of one event.
#[derive(Clone, Debug)]
pub struct Seen([Span; Slot::Last as usize]);

impl Default for Seen {
    fn default() -> Self {
        Self([Span::default(); Slot::Last as usize])
    }
}

impl Seen {
    pub(super) fn note(&mut self, slot: Slot, span: Span) {
        self.0[slot as usize] = span;
    }

    pub(crate) fn span(&self, slot: Slot) -> Option<Span> {
        let span = self.0[slot as usize];
        (span.end > 0).then_some(span)
    }

    /// The raw JSON of a noted value, unless it is absent or null.
    pub(crate) fn raw<'a>(&self, slot: Slot, text: &'a str) -> Option<&'a str> {
        let span = self.span(slot)?;
        let raw = &text[span.start..span.end];
        (raw != "null").then_some(raw)
    }

    /// A noted string, decoded; none if it is absent or no string.
    pub(crate) fn text<'a>(&self, slot: Slot, text: &'a str) -> Option<Cow<'a, str>> {
        let raw = self.raw(slot, text)?;
        let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
        if !inner.contains('\\') {
            return Some(Cow::Borrowed(inner));
        }
        serde_json::from_str(raw).ok().map(Cow::Owned)
    }

    /// Whether the noted value is exactly this literal.
    pub(crate) fn is(&self, slot: Slot, text: &str, literal: &str) -> bool {
        self.raw(slot, text) == Some(literal)
    }
}
