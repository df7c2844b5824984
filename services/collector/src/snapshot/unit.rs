//! A unit: one list that is read and believed as a whole, and what its elements say.

use events::snapshot::Area;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How the pages of a list follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Paging {
    /// One answer is the whole list.
    Whole,
    /// `first` and `max`: what is added or removed before the offset shifts the rest.
    Offset,
    /// The same, with lists that hang below elements.
    Tree,
    /// The answer names the next page by what it ended with: nothing shifts.
    Cursor,
}

/// What an answer of 404 means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gone {
    /// The container of the list was deleted since it was read: the list is empty.
    Empty,
    /// The source has no such thing.
    NotThere,
    /// There must be one: an error.
    Missing,
}

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Request {
    /// Below the source's own base.
    pub path: Vec<String>,
    /// Without paging.
    pub query: Vec<(&'static str, String)>,
    /// On the first page only, where the cursor knows it from there on.
    pub first: Vec<(&'static str, String)>,
}

impl Request {
    pub(super) fn new(path: &[&str]) -> Self {
        Self { path: path.iter().map(|part| (*part).to_owned()).collect(), ..Self::default() }
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }
}

/// One thing of a list, and the entities that it says.
#[derive(Debug, Default)]
pub(super) struct Element {
    /// Tells it from others of the list.
    pub id: String,
    /// What the source sorts by, as far as is known.
    pub order: String,
    pub items: Vec<Item>,
    /// Lists that hang below it: children of a group.
    pub below: Option<Request>,
    /// What later lists of the plan need.
    pub found: Option<Found>,
}

/// One entity.
#[derive(Debug)]
pub(super) struct Item {
    pub area: Area,
    /// The source's id or ids.
    pub id: String,
    pub state: Value,
    /// Names of what the state refers to by id.
    pub names: Value,
}

/// A group, role, client, flow or organization whose own lists are read later. Holds no personal value: it is kept on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Found {
    pub id: String,
    pub name: String,
    /// Id of the client of a client role.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub client: String,
    /// Whether it has what some lists need: composites of a role, a service account of a client, sessions.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub marked: bool,
}

/// A page as its reader understands it.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub elements: Vec<Element>,
    /// The next page, where the answer names it.
    pub cursor: Option<String>,
}

/// Another answer than this program knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotUnderstood;

/// Reads a page.
pub(super) type Take<'a> = Box<dyn Fn(&[u8]) -> Result<Taken, NotUnderstood> + Send + Sync + 'a>;

/// One list.
pub(super) struct Unit<'a> {
    /// The areas that its entities belong to.
    pub areas: &'static [Area],
    /// Realm; empty for a Backstage.
    pub realm: &'a str,
    /// Id of what it hangs at; empty for a list of the whole realm.
    pub within: &'a str,
    pub request: Request,
    pub paging: Paging,
    pub gone: Gone,
    pub take: Take<'a>,
}

impl Unit<'_> {
    /// Names the unit on disk. Holds ids and the realm's name only.
    pub(super) fn key(&self) -> String {
        let area = self.areas.first().map_or("", |area| area.as_str());
        serde_json::json!([self.realm, area, self.within]).to_string()
    }
}
