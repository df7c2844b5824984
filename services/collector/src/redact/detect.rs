//! Secrets known by their looks: PEM blocks, JWTs, keys with a known prefix, random-looking runs, `password=…` in free text.
//!
//! Works word by word, so that a sentence keeps its words. Never decides about a whole field: rules do.

use super::{mark_text, url};
use events::person::DeploymentKey;
use std::ops::Range;

/// Shortest random-looking run that counts as a key, bytes.
const RUN_BYTES: usize = 20;

/// Prefixes of well-known keys; the word must have at least [`RUN_BYTES`] bytes.
const PREFIXES: [&str; 24] = [
    "AKIA",
    "ASIA",
    "ghp_",
    "gho_",
    "ghs_",
    "ghu_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "xoxb-",
    "xoxp-",
    "xoxa-",
    "xoxs-",
    "sk_live_",
    "rk_live_",
    "sk-",
    "AIza",
    "ya29.",
    "npm_",
    "hvs.",
    "pypi-",
    "whsec",
    "SG.",
    "dop_v1_",
];

/// What holds a private key or another armoured secret.
const ARMOUR: &str = "-----BEGIN";

/// A JWT, an armoured block or a key with a known prefix: never a name or an id.
pub fn is_marked(text: &str) -> bool {
    text.len() >= RUN_BYTES
        && (text.contains(ARMOUR) || has_jwt(text) || words_of(text).any(|word| has_prefix(&text[word])))
}

/// The text with each secret word replaced; none if there is none. An armoured block takes the whole text with it.
pub fn words(key: &DeploymentKey, text: &str) -> Option<String> {
    if text.len() < 8 {
        return None;
    }
    if text.contains(ARMOUR) {
        return Some(mark_text(key, text));
    }
    let (mut out, mut done, mut expect) = (String::new(), 0, false);
    for range in words_of(text) {
        let word = &text[range.clone()];
        if expect && word.bytes().all(|b| matches!(b, b':' | b'=' | b'>')) {
            continue;
        }
        let replaced = if expect { Some(mark_text(key, word)) } else { replace(key, word) };
        expect = announces(word, &text[range.end..]);
        if let Some(replaced) = replaced {
            out.push_str(&text[done..range.start]);
            out.push_str(&replaced);
            done = range.end;
        }
    }
    if done == 0 {
        return None;
    }
    out.push_str(&text[done..]);
    Some(out)
}

fn replace(key: &DeploymentKey, word: &str) -> Option<String> {
    if word.len() < 3 {
        return None;
    }
    if word.contains("://") || word.contains('?') {
        return url::redact(key, word);
    }
    if let Some((name, value)) = word.split_once(['=', ':'])
        && !value.is_empty()
        && assigns(name)
    {
        return Some(format!("{name}={}", mark_text(key, value)));
    }
    is_secret(word).then(|| mark_text(key, word))
}

/// Whether one word is a secret by its looks.
pub fn is_secret(word: &str) -> bool {
    word.len() >= RUN_BYTES
        && (has_jwt(word) || has_prefix(word) || runs_of(word).any(|run| is_random(&word.as_bytes()[run])))
}

/// Names that announce a secret in free text (narrower than [`super::telling`]: `key=` and `value=` are prose).
fn assigns(name: &str) -> bool {
    const NAMES: [&str; 9] =
        ["password", "passwd", "pwd", "secret", "token", "apikey", "api_key", "credential", "privatekey"];
    let name = name.to_ascii_lowercase();
    NAMES.iter().any(|known| name.ends_with(known) || name.ends_with(&format!("{known}s")))
}

/// Whether the word before `rest` announces that the next word is a secret (`password: x`, `Bearer x`).
fn announces(word: &str, rest: &str) -> bool {
    if word.eq_ignore_ascii_case("bearer") {
        return true;
    }
    let Some(name) = word.strip_suffix([':', '=']) else {
        let quoted = rest.trim_start_matches(['"', '\'', ' ']);
        return rest.starts_with(['"', '\'']) && quoted.starts_with([':', '=']) && assigns(word);
    };
    assigns(name)
}

fn is_delimiter(b: u8) -> bool {
    b.is_ascii_whitespace()
        || matches!(
            b,
            b'"' | b'\'' | b'`' | b'<' | b'>' | b'(' | b')' | b'[' | b']' | b'{' | b'}' | b',' | b';' | b'|' | b'\\'
        )
}

fn words_of(text: &str) -> impl Iterator<Item = Range<usize>> + '_ {
    pieces(text, |b| !is_delimiter(b))
}

fn runs_of(word: &str) -> impl Iterator<Item = Range<usize>> + '_ {
    pieces(word, |b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=' | b'_' | b'-'))
}

/// Maximal ranges of bytes that `keep` takes; delimiters are ASCII, so ranges are on character borders.
fn pieces(text: &str, keep: impl Fn(u8) -> bool + Copy) -> impl Iterator<Item = Range<usize>> {
    let bytes = text.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < bytes.len() && !keep(bytes[at]) {
            at += 1;
        }
        let start = at;
        while at < bytes.len() && keep(bytes[at]) {
            at += 1;
        }
        (start < at).then_some(start..at)
    })
}

fn has_prefix(word: &str) -> bool {
    word.len() >= RUN_BYTES
        && !word.contains("://")
        && PREFIXES.iter().any(|prefix| {
            word.match_indices(prefix).any(|(at, _)| {
                let fresh = at == 0 || !word.as_bytes()[at - 1].is_ascii_alphanumeric();
                fresh
                    && word[at..].bytes().take(RUN_BYTES).filter(|b| b.is_ascii_graphic()).count() >= RUN_BYTES - 4
                    && (word[at..].bytes().any(|b| b.is_ascii_digit()) || prefix.starts_with("A"))
            })
        })
}

/// `eyJ…` followed by a dot: the header of a JWS or JWE.
fn has_jwt(text: &str) -> bool {
    text.match_indices("eyJ").any(|(at, _)| {
        let rest = &text.as_bytes()[at..];
        let header = rest.iter().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')).count();
        header >= 12 && rest.get(header) == Some(&b'.')
    })
}

/// A UUID stands at `at`.
pub(super) fn is_uuid(bytes: &[u8], at: usize) -> bool {
    let Some(piece) = bytes.get(at..at + 36) else { return false };
    piece.iter().enumerate().all(|(place, b)| match place {
        8 | 13 | 18 | 23 => *b == b'-',
        _ => b.is_ascii_hexdigit(),
    })
}

/// Whether a run changes between lower case, upper case and digits as only random text does; UUIDs are cut out first.
fn is_random(run: &[u8]) -> bool {
    let (mut start, mut at) = (0, 0);
    while at < run.len() {
        if is_uuid(run, at) {
            if is_random_piece(&run[start..at]) {
                return true;
            }
            at += 36;
            start = at;
        } else {
            at += 1;
        }
    }
    is_random_piece(&run[start..])
}

fn is_random_piece(piece: &[u8]) -> bool {
    if piece.len() < RUN_BYTES {
        return false;
    }
    let class = |b: u8| match b {
        b'a'..=b'z' => 1u8,
        b'A'..=b'Z' => 2,
        b'0'..=b'9' => 4,
        _ => 0,
    };
    let (mut classes, mut pairs, mut changes, mut before) = (0u8, 0u32, 0u32, 0u8);
    let (mut hex, mut longest_hex) = (0u32, 0u32);
    for byte in piece {
        let now = class(*byte);
        classes |= now;
        hex = if byte.is_ascii_hexdigit() { hex + 1 } else { 0 };
        longest_hex = longest_hex.max(hex);
        if now != 0 && before != 0 {
            pairs += 1;
            changes += u32::from(now != before);
        }
        before = now;
    }
    if longest_hex >= 32 && classes.count_ones() > 1 {
        return true;
    }
    let many = |percent: u32| pairs >= 14 && changes * 100 >= pairs * percent;
    match classes {
        7 => many(28),
        3 => piece.len() >= 32 && many(35),
        5 | 6 => piece.len() >= 24 && many(35),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JWT: &str = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln";

    #[test]
    fn finds_keys_and_leaves_prose() {
        for secret in [
            JWT,
            "AKIAIOSFODNN7EXAMPLE",
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
            "0123456789abcdef0123456789abcdef",
        ] {
            assert!(is_secret(secret), "{secret}");
        }
        for prose in [
            "processTicksAndRejections",
            "/app/node_modules/@backstage/plugin-catalog-backend/dist/service/DefaultLocationService.cjs.js:89:15",
            "users/fdedb130-d5b9-4395-9d9d-3636abf2f872/groups/63bcea52-3dee-4fde-87bb-e6fe4df5d13f",
            "internationalization-of-everything",
            "relations.hasMember=user:default/ann",
        ] {
            assert!(!is_secret(prose), "{prose}");
        }
    }

    #[test]
    fn replaces_the_word_and_keeps_the_sentence() {
        let key = DeploymentKey::new([3; 32]);
        let out = words(&key, &format!("bad token {JWT} (from 10.0.0.1)")).unwrap();
        assert!(out.starts_with("bad token redacted:") && out.ends_with(" (from 10.0.0.1)"), "{out}");
        for text in
            ["password=hunter2x", "Authorization: Bearer abcd", "db password: hunter2x", "\"secret\":\"hunter2x\""]
        {
            let out = words(&key, text).unwrap_or_default();
            assert!(out.contains("redacted:") && !out.contains("hunter2x") && !out.contains("abcd"), "{text} {out}");
        }
        let issuing = "Issuing token for user:default/ann, with entities user:default/ann,group:default/ops";
        assert_eq!(words(&key, issuing), None);
        assert!(words(&key, "x -----BEGIN RSA PRIVATE KEY-----\nabc").unwrap().starts_with("redacted:"));
    }
}
