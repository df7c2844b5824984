//! Lenient reading of JSON that others wrote: a field of an unexpected type is an absent field, never a failure.
//!
//! Nothing here allocates for plain strings, and nothing recurses deeper than `serde_json` allows (128).

use super::Dead;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{borrow::Cow, collections::BTreeMap};

/// Longest text kept in one field of an event, in bytes; longer text is cut at a character.
pub(super) const MAX_TEXT_BYTES: usize = 2_048;
/// Longest error code, in bytes: codes are chosen by whoever sends the request.
pub(super) const MAX_CODE_BYTES: usize = 64;
/// Most entries read from one map of details.
pub(super) const MAX_ENTRIES: usize = 128;

/// A value that is looked at only when it is asked for.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(transparent)]
pub(super) struct Raw<'a>(#[serde(borrow)] Option<&'a RawValue>);

/// A map key that borrows from the body where it can.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(transparent)]
pub(super) struct Key<'a>(#[serde(borrow)] pub Cow<'a, str>);

/// A JSON object by key.
pub(super) type Map<'a> = BTreeMap<Key<'a>, Raw<'a>>;

impl<'a> Raw<'a> {
    /// True if the field is there and not null.
    pub(super) fn is_there(self) -> bool {
        self.0.is_some_and(|raw| raw.get() != "null")
    }

    /// The text of a JSON string; empty for anything else.
    pub(super) fn text(self) -> Cow<'a, str> {
        let Some(raw) = self.0 else { return Cow::Borrowed("") };
        let Some(inner) = raw.get().strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
            return Cow::Borrowed("");
        };
        if inner.contains('\\') {
            Cow::Owned(serde_json::from_str(raw.get()).unwrap_or_default())
        } else {
            Cow::Borrowed(inner)
        }
    }

    /// The text of a string, or the JSON of anything else but null.
    pub(super) fn any(self) -> Cow<'a, str> {
        match self.0 {
            Some(raw) if raw.get().starts_with('"') => self.text(),
            Some(raw) if raw.get() != "null" => Cow::Borrowed(raw.get()),
            _ => Cow::Borrowed(""),
        }
    }

    /// A whole number, also when it is written as a string.
    pub(super) fn integer(self) -> Option<i64> {
        self.any().parse().ok()
    }

    /// A boolean, also when it is written as a string.
    pub(super) fn flag(self) -> Option<bool> {
        self.any().parse().ok()
    }

    /// Reads the value as `T`; `None` if it has another shape.
    pub(super) fn read<T: Deserialize<'a>>(self) -> Option<T> {
        serde_json::from_str(self.0?.get()).ok()
    }

    /// An object by key; empty for anything else.
    pub(super) fn map(self) -> Map<'a> {
        self.read().unwrap_or_default()
    }

    /// The strings of an array; empty for anything else.
    pub(super) fn texts(self) -> Vec<Cow<'a, str>> {
        let items: Vec<Raw<'a>> = self.read().unwrap_or_default();
        items.into_iter().map(Raw::text).filter(|text| !text.is_empty()).collect()
    }
}

/// Reads a body; tells bytes that are no JSON from JSON of another shape.
pub(super) fn body<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Dead> {
    serde_json::from_slice(bytes).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => Dead::UnknownShape,
        _ => Dead::NotJson,
    })
}

/// The value under `key`, or nothing.
pub(super) fn get<'a>(map: &Map<'a>, key: &str) -> Raw<'a> {
    map.get(&Key(Cow::Borrowed(key))).copied().unwrap_or_default()
}

/// A text cut to [`MAX_TEXT_BYTES`].
pub(super) fn cut(text: &str) -> String {
    text[..floor(text, MAX_TEXT_BYTES)].to_owned()
}

/// An error code or name: short, and without anything that could be taken for markup.
pub(super) fn code(text: &str) -> String {
    text[..floor(text, MAX_CODE_BYTES)]
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "_-.:".contains(c) { c } else { '_' })
        .collect()
}

fn floor(text: &str, most: usize) -> usize {
    if text.len() <= most { text.len() } else { text.floor_char_boundary(most) }
}

/// Host and path of a URL: query and fragment can carry codes, states and tokens; user info can carry passwords.
pub(super) fn host_and_path(url: &str) -> String {
    let bare = url.split(['?', '#']).next().unwrap_or_default();
    let rest = bare.split_once("://").map_or(bare, |(_, rest)| rest);
    let (host, path) = rest.split_once('/').map_or((rest, None), |(host, path)| (host, Some(path)));
    let host = host.rsplit('@').next().unwrap_or_default();
    cut(&path.map_or_else(|| host.to_owned(), |path| format!("{host}/{path}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_another_type_read_as_absent() {
        let map: Map<'_> = serde_json::from_str(r#"{"a":"x\ny","b":3,"c":null,"d":{"e":1},"f":["p",2]}"#).unwrap();
        assert_eq!(get(&map, "a").text(), "x\ny");
        assert_eq!(get(&map, "b").text(), "");
        assert_eq!(get(&map, "b").integer(), Some(3));
        assert!(!get(&map, "c").is_there());
        assert_eq!(get(&map, "d").any(), r#"{"e":1}"#);
        assert_eq!(get(&map, "f").texts(), ["p"]);
        assert!(get(&map, "missing").map().is_empty());
    }

    #[test]
    fn urls_lose_what_can_be_secret() {
        assert_eq!(host_and_path("https://u:p@app.example:8/cb/x?code=1#t"), "app.example:8/cb/x");
        assert_eq!(host_and_path("app"), "app");
        assert_eq!(code("a\"b c<d>"), "a_b_c_d_");
        assert_eq!(cut(&"é".repeat(2_000)).len(), MAX_TEXT_BYTES);
    }
}
