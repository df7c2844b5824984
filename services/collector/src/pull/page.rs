//! One page of events, split into the bytes of each event. Reads id and time, and keeps everything else as it came.

use super::cursor::Key;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// An event of a page.
#[derive(Debug)]
pub(super) struct Item<'a> {
    /// Exactly the bytes that Keycloak sent.
    pub body: &'a [u8],
    /// Keycloak's id of it; empty before Keycloak 26.2.
    pub id: Cow<'a, str>,
    /// UTC milliseconds.
    pub time: i64,
}

/// Why a page is no page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadPage {
    /// Not an array of objects with a time.
    NotEvents,
    /// The server does not sort by ascending time: it is older than 26.2.
    NotAscending,
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow, default)]
    id: Option<Cow<'a, str>>,
    time: i64,
}

/// Splits a page and checks that it is in order.
pub(super) fn split(page: &[u8]) -> Result<Vec<Item<'_>>, BadPage> {
    let raw: Vec<&RawValue> = serde_json::from_slice(page).map_err(|_| BadPage::NotEvents)?;
    let mut items: Vec<Item<'_>> = Vec::with_capacity(raw.len());
    for raw in raw {
        let head: Head<'_> = serde_json::from_str(raw.get()).map_err(|_| BadPage::NotEvents)?;
        if items.last().is_some_and(|before| before.time > head.time) {
            return Err(BadPage::NotAscending);
        }
        items.push(Item { body: raw.get().as_bytes(), id: head.id.unwrap_or_default(), time: head.time });
    }
    Ok(items)
}

impl Item<'_> {
    /// What tells it from others: its id, else its bytes.
    pub(super) fn key(&self) -> Key {
        let named = if self.id.is_empty() { self.body } else { self.id.as_bytes() };
        Key::new(self.time, named)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_the_bytes_that_came() {
        let page = br#"[ {"id":"a","time":1, "x":1.50,"x2":"\u00e9"} ,{"time":1}]"#;
        let items = split(page).unwrap();
        assert_eq!(items[0].body, br#"{"id":"a","time":1, "x":1.50,"x2":"\u00e9"}"#);
        assert_eq!((items[0].id.as_ref(), items[1].id.as_ref()), ("a", ""));
        assert_ne!(items[0].key(), items[1].key());
    }

    #[test]
    fn what_is_no_page_is_refused() {
        for bad in [&b"{}"[..], b"[1]", br#"[{"id":"a"}]"#, b"[{\"time\":1}", br#"[{"time":"1"}]"#, b""] {
            assert_eq!(split(bad).unwrap_err(), BadPage::NotEvents);
        }
        assert_eq!(split(br#"[{"time":2},{"time":1}]"#).unwrap_err(), BadPage::NotAscending);
    }
}
