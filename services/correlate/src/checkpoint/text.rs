//! Texts as bytes: most are ids, and an id of 36 characters or a key of 32 digits is 16 bytes. Any text is read as it was written.

use super::codec::{Reader, Unreadable, Writer};
use uuid::{Uuid, fmt::Hyphenated, fmt::Simple};

/// In place of a length: an id follows, or a key of as many digits without hyphens; or nothing, and it is the key before. Lengths
/// are written above them.
const ID: u64 = 0;
const KEY: u64 = 1;
const SAME_KEY: u64 = 2;
const LENGTHS: u64 = 3;

impl Writer<'_> {
    pub(crate) fn text(&mut self, text: &str) {
        if let Some(id) = hyphenated(text) {
            self.number(ID);
            self.bytes(id.as_bytes());
        } else if let Some(key) = simple(text) {
            let same = self.key.replace(key) == Some(key);
            self.number(if same { SAME_KEY } else { KEY });
            self.bytes(if same { &[] } else { key.as_bytes() });
        } else {
            self.number(LENGTHS + text.len() as u64);
            self.bytes(text.as_bytes());
        }
    }
}

pub(super) fn get(from: &mut Reader<'_>) -> Result<String, Unreadable> {
    match from.number()? {
        ID => from.array().map(|id| Uuid::from_bytes(id).hyphenated().to_string()),
        KEY => {
            let key = Uuid::from_bytes(from.array()?);
            from.key = Some(key);
            Ok(key.simple().to_string())
        }
        SAME_KEY => from.key.map(|key| key.simple().to_string()).ok_or(Unreadable),
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
