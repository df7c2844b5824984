//! Texts as bytes: most are ids, and an id of 36 characters or a key of 32 digits is 16 bytes. Any text is read as it was written.

use super::codec::{Reader, Unreadable, Writer};
use uuid::{Uuid, fmt::Hyphenated, fmt::Simple};

/// In place of a length: an id follows, with hyphens or without. Lengths are written above them.
const HYPHENATED: u64 = 0;
const SIMPLE: u64 = 1;
const LENGTHS: u64 = 2;

impl Writer<'_> {
    pub(crate) fn text(&mut self, text: &str) {
        put(text, self);
    }
}

fn put(text: &str, to: &mut Writer<'_>) {
    let (form, id) = if let Some(id) = hyphenated(text) {
        (HYPHENATED, id)
    } else if let Some(id) = simple(text) {
        (SIMPLE, id)
    } else {
        to.number(LENGTHS + text.len() as u64);
        to.bytes(text.as_bytes());
        return;
    };
    to.number(form);
    to.bytes(id.as_bytes());
}

pub(super) fn get(from: &mut Reader<'_>) -> Result<String, Unreadable> {
    match from.number()? {
        HYPHENATED => from.array().map(|id| Uuid::from_bytes(id).hyphenated().to_string()),
        SIMPLE => from.array().map(|id| Uuid::from_bytes(id).simple().to_string()),
        length => {
            let length = usize::try_from(length - LENGTHS).map_err(|_| Unreadable)?;
            std::str::from_utf8(from.bytes(length)?).map(str::to_owned).map_err(|_| Unreadable)
        }
    }
}

/// The id that a text is, if it is written as ids are: then the id says all that the text does.
pub(crate) fn hyphenated(text: &str) -> Option<Uuid> {
    if text.len() != Hyphenated::LENGTH {
        return None;
    }
    let id = Uuid::try_parse(text).ok()?;
    (id.hyphenated().encode_lower(&mut [0; Hyphenated::LENGTH]) == text).then_some(id)
}

/// The same, without hyphens.
fn simple(text: &str) -> Option<Uuid> {
    if text.len() != Simple::LENGTH {
        return None;
    }
    let id = Uuid::try_parse(text).ok()?;
    (id.simple().encode_lower(&mut [0; Simple::LENGTH]) == text).then_some(id)
}
