//! Secrets known by their looks: PEM blocks, JWTs, keys with a known prefix, random-looking runs, `password=…` in free text.
//!
//! Works word by word, so that a sentence keeps its words. Never decides about a whole field: rules do.

use super::{mark_text, url};
use events::person::DeploymentKey;
use std::ops::Range;

/// Shortest random-looking run that counts as a key, bytes.
const RUN_BYTES: usize = 20;

/// Prefixes of well-known keys, by their first byte; the word must have about [`RUN_BYTES`] bytes.
fn prefixes(first: u8) -> &'static [&'static [u8]] {
    match first {
        b'A' => &[b"AKIA", b"ASIA", b"AIza"],
        b'g' => &[b"ghp_", b"gho_", b"ghs_", b"ghu_", b"ghr_", b"github_pat_", b"glpat-"],
        b'x' => &[b"xoxb-", b"xoxp-", b"xoxa-", b"xoxs-"],
        b's' => &[b"sk_live_", b"sk-"],
        b'r' => &[b"rk_live_"],
        b'y' => &[b"ya29."],
        b'n' => &[b"npm_"],
        b'h' => &[b"hvs."],
        b'p' => &[b"pypi-"],
        b'w' => &[b"whsec"],
        b'S' => &[b"SG."],
        b'd' => &[b"dop_v1_"],
        _ => &[],
    }
}

/// What holds a private key or another armoured secret.
const ARMOUR: &[u8] = b"-----BEGIN";

/// A JWT, an armoured block or a key with a known prefix: never a name or an id.
pub fn is_marked(text: &str) -> bool {
    let bytes = text.as_bytes();
    if bytes.len() < RUN_BYTES {
        return has_armour(bytes);
    }
    // One pass, mostly over bytes that begin nothing: this runs over every name of every event.
    let starts = |(at, byte): (usize, &u8)| {
        if !BEGINS[usize::from(*byte)] {
            return false;
        }
        let rest = &bytes[at..];
        match byte {
            b'-' => rest.starts_with(ARMOUR),
            b'e' => rest.starts_with(b"eyJ") && starts_jwt(rest),
            first => {
                let fresh = at == 0 || !bytes[at - 1].is_ascii_alphanumeric();
                fresh && starts_key(prefixes(*first), rest)
            }
        }
    };
    bytes.iter().enumerate().any(starts)
}

/// Bytes that begin a marked secret.
const BEGINS: [bool; 256] = {
    let mut table = [false; 256];
    let (firsts, mut at) = (b"-eAgxsrynhpwSd", 0);
    while at < firsts.len() {
        table[firsts[at] as usize] = true;
        at += 1;
    }
    table
};

fn has_armour(bytes: &[u8]) -> bool {
    bytes.windows(ARMOUR.len()).any(|window| window == ARMOUR)
}

/// A known prefix and enough after it: a name such as `sk-team` is none.
fn starts_key(prefixes: &[&[u8]], rest: &[u8]) -> bool {
    prefixes.iter().any(|prefix| {
        if !rest.starts_with(prefix) {
            return false;
        }
        let word = &rest[..rest.iter().take_while(|b| !is_delimiter(**b)).count()];
        word.len() >= RUN_BYTES - 4 && (word.iter().any(u8::is_ascii_digit) || prefix[0] == b'A')
    })
}

/// `eyJ…` followed by a dot: the header of a JWS or JWE.
fn starts_jwt(rest: &[u8]) -> bool {
    let header = rest.iter().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')).count();
    header >= 12 && rest.get(header) == Some(&b'.')
}

/// The text with each secret word replaced; none if there is none. An armoured block takes the whole text with it.
pub fn words(key: &DeploymentKey, text: &str) -> Option<String> {
    if text.len() < 8 {
        return None;
    }
    if has_armour(text.as_bytes()) {
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
    word.len() >= RUN_BYTES && (is_marked(word) || runs_of(word).any(|run| is_random(&word.as_bytes()[run])))
}

/// Names that announce a secret in free text (narrower than [`super::telling`]: `key=` and `value=` are prose).
fn assigns(name: &str) -> bool {
    const NAMES: [&str; 9] =
        ["password", "passwd", "pwd", "secret", "token", "apikey", "api_key", "credential", "privatekey"];
    let name = name.as_bytes();
    let ends = |name: &[u8], known: &str| {
        name.len() >= known.len() && name[name.len() - known.len()..].eq_ignore_ascii_case(known.as_bytes())
    };
    let singular = name.strip_suffix(b"s").unwrap_or(name);
    NAMES.iter().any(|known| ends(name, known) || ends(singular, known))
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
    let (mut hex, mut longest_hex, mut numbers) = (0u32, 0u32, 0u32);
    for byte in piece {
        let now = class(*byte);
        classes |= now;
        hex = if byte.is_ascii_hexdigit() { hex + 1 } else { 0 };
        longest_hex = longest_hex.max(hex);
        if now != 0 && before != 0 {
            pairs += 1;
            changes += u32::from(now != before);
        }
        numbers += u32::from(now == 4 && before != 4);
        before = now;
    }
    if longest_hex >= 32 && classes.count_ones() > 1 {
        return true;
    }
    let many = |percent: u32| pairs >= 14 && changes * 100 >= pairs * percent;
    match classes {
        // Names in paths change case too, but seldom hold two numbers.
        7 => many(28) || (piece.len() >= 32 && numbers >= 2 && many(15)),
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
            "EHLWVQQQPPXUBRC9iOGBaoU3957prSw+VKLZTLG4",
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

    /// Names and ids are not searched for random runs: there the form of a JWT alone must do.
    #[test]
    fn a_jwt_is_no_name_however_plain_its_letters() {
        assert!(is_marked(JWT));
        assert!(is_marked("client-eyJhbGciOiJub25lIn0.aaaaaaaaaaaa.bbbbbbbbbbbb"));
        assert!(!is_marked("eyJust-a-name-without-a-dot"));
    }

    #[test]
    fn every_prefix_is_looked_for() {
        for first in 0..=255u8 {
            assert!(prefixes(first).is_empty() || BEGINS[usize::from(first)], "{first}");
            for prefix in prefixes(first) {
                let word = format!("x {}0123456789abcdefghij", String::from_utf8_lossy(prefix));
                assert!(is_marked(&word), "{word}");
            }
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
