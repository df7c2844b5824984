//! What a rule keeps of one string.

use super::{Rule, detect, mark_text, url};
use events::person::DeploymentKey;

/// Longest id that is kept by its form alone, bytes.
const ID_BYTES: usize = 128;

/// Longest prefix of a token id: Keycloak writes the kind of session, token and grant there.
const TOKEN_PREFIX_BYTES: usize = 16;

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
        Rule::TokenId if is_token_id(value) => None,
        Rule::Id | Rule::TokenId | Rule::Text | Rule::Unlisted | Rule::Tree | Rule::One(_) | Rule::Map(_) => {
            detect::words(key, value)
        }
        Rule::Name => detect::is_marked(value).then(|| mark_text(key, value)),
        Rule::Url => url::redact(key, value),
        Rule::Deny => Some(mark_text(key, value)),
        Rule::Later => None,
        Rule::Note(_, inner) => redact(key, inner, value),
    }
}

/// A UUID, perhaps after a short word and a colon. A token itself never looks so.
fn is_token_id(value: &str) -> bool {
    let (prefix, id) = value.rsplit_once(':').unwrap_or(("", value));
    let plain = prefix.len() <= TOKEN_PREFIX_BYTES && prefix.bytes().all(|b| b.is_ascii_alphanumeric());
    plain && id.len() == 36 && detect::is_uuid(id.as_bytes(), 0)
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
    fn token_ids_are_uuids_with_a_prefix() {
        assert!(is_token_id("onrtac:24c92341-57b7-156f-2078-2244ac791074"));
        assert!(is_token_id("374d40f9-4342-ed6f-294e-746edbee93b4"));
        assert!(!is_token_id("kIb25z40Hgxi1e5AFypt1BwLwE6tETrAmFG5aZ5F"));
        assert!(!is_token_id("kIb25z40Hgxi1e5AFypt1:24c92341-57b7-156f-2078-2244ac791074"));
    }

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
