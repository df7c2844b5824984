//! A text in as few bytes as it needs: ids of the usual forms as the bits that they are, and what is short without a place of its
//! own. One text has one form, so equal texts are equal here too; and each is read exactly as it was written.

use crate::checkpoint::{Kept, Reader, Unreadable, Writer, hyphenated};
use std::{fmt, ops::Deref};
use uuid::{Uuid, fmt::Hyphenated};

/// With the form, as many bytes as a text that is kept elsewhere needs for saying where.
const ROOM: usize = 22;

/// Forms of a text that is kept here: its length, or one of these.
const ID: u8 = 64;
/// Six small letters and a colon before it, as Keycloak's access tokens have: what it is for.
const ID_FOR: u8 = 65;
/// 24 digits of base 64, as session ids have.
const RANDOM: u8 = 66;

/// What stands before an id that is for something, in characters and in bytes of five bits a letter.
const PURPOSE: usize = 6;
const PURPOSE_BYTES: usize = 4;
const RANDOM_DIGITS: usize = 24;
const RANDOM_BYTES: usize = 18;
/// Digits of 64, by value.
const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Packed {
    Here { form: u8, bytes: [u8; ROOM] },
    Elsewhere(Box<str>),
}

/// A text to be read: as it lies in memory, or made of what is kept.
#[derive(Debug)]
pub(crate) enum Text<'a> {
    Kept(&'a str),
    Made { length: u8, bytes: [u8; PURPOSE + 1 + Hyphenated::LENGTH] },
}

impl Packed {
    pub(crate) fn of(text: &str) -> Self {
        let mut bytes = [0; ROOM];
        let form = pack(text, &mut bytes);
        form.map_or_else(|| Self::Elsewhere(text.into()), |form| Self::Here { form, bytes })
    }

    pub(crate) fn text(&self) -> Text<'_> {
        let (form, bytes) = match self {
            Self::Elsewhere(text) => return Text::Kept(text),
            Self::Here { form, bytes } => (*form, bytes),
        };
        let mut made = [0; PURPOSE + 1 + Hyphenated::LENGTH];
        let length = match form {
            ID => id(&bytes[..16], &mut made),
            ID_FOR => {
                let packed = bytes[..PURPOSE_BYTES].iter().fold(0, |all, byte| all << 8 | u32::from(*byte));
                for (place, letter) in made[..PURPOSE].iter_mut().enumerate() {
                    *letter = b'a' + (packed >> (5 * place) & 31) as u8;
                }
                made[PURPOSE] = b':';
                PURPOSE + 1 + id(&bytes[PURPOSE_BYTES..][..16], &mut made[PURPOSE + 1..])
            }
            RANDOM => {
                for (three, four) in bytes[..RANDOM_BYTES].chunks(3).zip(made.chunks_mut(4)) {
                    let bits = three.iter().fold(0, |all, byte| all << 8 | usize::from(*byte));
                    four.iter_mut().enumerate().for_each(|(i, digit)| *digit = DIGITS[bits >> (18 - 6 * i) & 63]);
                }
                RANDOM_DIGITS
            }
            length => return Text::Kept(str::from_utf8(&bytes[..usize::from(length)]).unwrap_or_default()),
        };
        Text::Made { length: length as u8, bytes: made }
    }
}

/// The form of a text that finds room, and its bytes.
fn pack(text: &str, bytes: &mut [u8; ROOM]) -> Option<u8> {
    if text.len() <= ROOM {
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        return Some(text.len() as u8);
    }
    if let Some(id) = hyphenated(text) {
        bytes[..16].copy_from_slice(id.as_bytes());
        return Some(ID);
    }
    if text.len() == RANDOM_DIGITS {
        for (four, three) in text.as_bytes().chunks(4).zip(bytes.chunks_mut(3)) {
            let mut bits = 0;
            for digit in four {
                bits = bits << 6 | value(*digit)?;
            }
            three.copy_from_slice(&bits.to_be_bytes()[1..]);
        }
        return Some(RANDOM);
    }
    let (purpose, id) = text.split_once(':')?;
    if purpose.len() != PURPOSE || !purpose.bytes().all(|letter| letter.is_ascii_lowercase()) {
        return None;
    }
    let id = hyphenated(id)?;
    let packed = purpose.bytes().rev().fold(0, |all, letter| all << 5 | u32::from(letter - b'a'));
    bytes[..PURPOSE_BYTES].copy_from_slice(&packed.to_be_bytes());
    bytes[PURPOSE_BYTES..][..16].copy_from_slice(id.as_bytes());
    Some(ID_FOR)
}

fn id(bytes: &[u8], made: &mut [u8]) -> usize {
    let id = Uuid::from_slice(bytes).unwrap_or_default();
    id.hyphenated().encode_lower(made).len()
}

/// Of a digit of 64.
fn value(digit: u8) -> Option<u32> {
    Some(u32::from(match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'-' => 62,
        b'_' => 63,
        _ => return None,
    }))
}

impl Default for Text<'_> {
    fn default() -> Self {
        Self::Kept("")
    }
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Kept(text) => text,
            Self::Made { length, bytes } => str::from_utf8(&bytes[..usize::from(*length)]).unwrap_or_default(),
        }
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

/// As a text.
impl Kept for Packed {
    fn put(&self, to: &mut Writer<'_>) {
        to.text(&self.text());
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        String::get(from).map(|text| Self::of(&text))
    }

    fn room(&self) -> usize {
        match self {
            Self::Here { .. } => 0,
            Self::Elsewhere(text) => text.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_is_read_as_it_was_written() {
        let id = "8a0e4f9c-16d2-4c57-9d3e-5b1c7f60a2e4";
        let forms = [
            (id.to_owned(), Some(ID)),
            (id.to_uppercase(), None),
            (id.replace('-', ""), None),
            (format!("onrtac:{id}"), Some(ID_FOR)),
            (format!("zzzzzz:{id}"), Some(ID_FOR)),
            (format!("Onrtac:{id}"), None),
            (format!("onrta:{id}"), None),
            (format!("onrtac:{}", id.to_uppercase()), None),
            (format!("f:{id}:ann"), None),
            ("6zchQ9tsE3mTyIhqbJ58YeRB".to_owned(), Some(RANDOM)),
            ("cx-5n1IvfJg3rx8ScohigMe_".to_owned(), Some(RANDOM)),
            ("________________________".to_owned(), Some(RANDOM)),
            ("cx+5n1IvfJg3rx8ScohigMe/".to_owned(), None),
            (String::new(), Some(0)),
            ("user:default/ann".to_owned(), Some(16)),
            ("äöüäöüäöüäö".to_owned(), Some(22)),
            ("äöüäöüäöüäöa".to_owned(), None),
        ];
        for (text, expected) in &forms {
            let packed = Packed::of(text);
            assert_eq!(&*packed.text(), text);
            let form = match packed {
                Packed::Here { form, .. } => Some(form),
                Packed::Elsewhere(_) => None,
            };
            assert_eq!(form, *expected, "{text}");
        }
        for (at, (text, _)) in forms.iter().enumerate() {
            for (other, _) in &forms[at + 1..] {
                assert_ne!(Packed::of(text), Packed::of(other), "{text} and {other}");
            }
        }
        assert_eq!(size_of::<Packed>(), 24);
    }
}
