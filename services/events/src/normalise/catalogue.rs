//! The list of everything that is recognised, for documents and checks.

use super::{backstage, keycloak};
use crate::{event::DataClass, receipt::SourceKind};
use serde::Serialize;

/// One native type with what we make of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Product.
    pub source: SourceKind,
    /// Type in the source's words; admin operations with the path pattern after a space where the path decides; a user event
    /// type also stands for its `_ERROR` form.
    pub native: String,
    /// Kind in our words.
    pub kind: String,
    /// Retention class.
    pub data_class: DataClass,
}

/// Every native type that is recognised. What is not in it becomes kind `other`.
pub fn catalogue() -> Vec<Entry> {
    keycloak::catalogue().into_iter().chain(backstage::catalogue()).collect()
}
