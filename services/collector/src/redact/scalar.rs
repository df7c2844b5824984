//! What a rule keeps of one string.

use super::{Rule, detect, mark_text, url};
use events::person::DeploymentKey;

/// Longest id that is kept by its form alone, bytes.
const ID_BYTES: usize = 128;

/// Nothing to hide: empty, or masked by the source (Keycloak writes `**********`).
pub(super) fn is_harmless(value: &str) -> bool {
    value.bytes().all(|b| b == b'*')
}

/// The string to write instead, if it cannot stay as it is.
pub(super) fn redact(key: &DeploymentKey, rule: &Rule, value: &str) -> Option<String> {
    if is_harmless(value) {
        return None;
    }
    match rule {
        Rule::Id if is_id(value) => None,
        Rule::Id | Rule::Text | Rule::Unlisted | Rule::Tree | Rule::One(_) | Rule::Map(_) => {
            detect::words(key, value)
        }
        Rule::Name => detect::is_marked(value).then(|| mark_text(key, value)),
        Rule::Url => url::redact(key, value),
        Rule::Deny => Some(mark_text(key, value)),
        Rule::Later => None,
        Rule::Note(_, inner) => redact(key, inner, value),
    }
}

/// Ids of Keycloak and Backstage: one or more parts of letters, digits, `-` and `_`, joined by `:`. A JWT has dots.
pub(crate) fn is_id(value: &str) -> bool {
    value.len() <= ID_BYTES
        && value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b':'))
        && !detect::is_marked(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_kept_by_their_form() {
        for id in [
            "onrtac:24c92341-57b7-156f-2078-2244ac791074",
            "cx-5n1IvfJg3rx8ScohigMeF",
            "f:18d949a1-2cb6-4491-955d-0aa9d1162dbe:jdoe",
            "374d40f9-4342-ed6f-294e-746edbee93b4",
        ] {
            assert!(is_id(id), "{id}");
        }
        for other in ["eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.x", "AKIAIOSFODNN7EXAMPLE", "a b", &"a".repeat(129)] {
            assert!(!is_id(other), "{other}");
        }
    }
}
