//! URLs: secret parameters, user info and random path segments are replaced; `session_state` is what sign-ins are bound by.

use super::{detect, mark_text, telling};
use events::person::DeploymentKey;
use std::borrow::Cow;

/// Parameters that are secret without a telling name.
const SECRET: [&str; 15] = [
    "code",
    "state",
    "nonce",
    "assertion",
    "client_assertion",
    "ticket",
    "sig",
    "signature",
    "session_code",
    "jwt",
    "auth",
    "hash",
    "code_verifier",
    "device_code",
    "user_code",
];

/// Parameters that are kept as they are unless they hold a JWT or a known key.
const KEPT: [&str; 3] = ["session_state", "session_id", "sid"];

/// Levels of URLs inside parameters of URLs that are looked into; deeper ones are replaced.
const NESTING: u32 = 3;

/// The URL without its secrets; none if it has none.
pub fn redact(key: &DeploymentKey, url: &str) -> Option<String> {
    redact_nested(key, url, 0)
}

fn redact_nested(key: &DeploymentKey, url: &str, level: u32) -> Option<String> {
    if url.contains("-----BEGIN") {
        return Some(mark_text(key, url));
    }
    let path_end = url.find(['?', '#']).unwrap_or(url.len());
    let (path, rest) = url.split_at(path_end);
    let new_path = redact_path(key, path);
    if new_path.is_none() && rest.len() < 2 {
        return None;
    }
    let mut changed = new_path.is_some();
    let mut out = new_path.unwrap_or_else(|| path.to_owned());
    let mut at = 0;
    while at < rest.len() {
        let end = rest[at + 1..].find(['?', '#', '&', ';']).map_or(rest.len(), |next| at + 1 + next);
        out.push_str(&rest[at..at + 1]);
        let parameter = &rest[at + 1..end];
        match redact_parameter(key, parameter, level) {
            Some(new) => {
                out.push_str(&new);
                changed = true;
            }
            None => out.push_str(parameter),
        }
        at = end;
    }
    changed.then_some(out)
}

fn redact_parameter(key: &DeploymentKey, parameter: &str, level: u32) -> Option<String> {
    let Some((raw_name, value)) = parameter.split_once('=') else {
        return detect::is_secret(parameter).then(|| mark_text(key, parameter));
    };
    if value.is_empty() {
        return None;
    }
    let name = unescape(raw_name);
    let denied = SECRET.iter().any(|known| name.eq_ignore_ascii_case(known)) || telling(&name);
    let value_text = unescape(value);
    let secret = denied
        || if KEPT.contains(&name.as_ref()) { detect::is_marked(&value_text) } else { hides(key, &value_text, level) };
    secret.then(|| format!("{raw_name}={}", mark_text(key, value)))
}

/// Whether a parameter's value holds a secret of its own.
fn hides(key: &DeploymentKey, value: &str, level: u32) -> bool {
    if value.contains(['?', '#']) || value.contains("://") {
        return level >= NESTING || redact_nested(key, value, level + 1).is_some();
    }
    detect::words(key, value).is_some()
}

fn redact_path(key: &DeploymentKey, path: &str) -> Option<String> {
    let plain = |segment: &str| segment.len() < 8 || !detect::is_secret(&unescape(segment));
    if !path.contains('@') && path.split('/').all(plain) {
        return None;
    }
    let (mut out, mut changed) = (String::with_capacity(path.len()), false);
    let (scheme, rest) = match path.find("://") {
        Some(at) => path.split_at(at + 3),
        None => ("", path),
    };
    out.push_str(scheme);
    for (place, segment) in rest.split('/').enumerate() {
        if place > 0 {
            out.push('/');
        }
        if place == 0
            && !scheme.is_empty()
            && let Some((user_info, host)) = segment.rsplit_once('@')
        {
            out.push_str(&mark_text(key, user_info));
            out.push('@');
            out.push_str(host);
            changed = true;
        } else if detect::is_secret(&unescape(segment)) {
            out.push_str(&mark_text(key, segment));
            changed = true;
        } else {
            out.push_str(segment);
        }
    }
    changed.then_some(out)
}

/// Percent-decodes; what is no valid escape stays.
fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text);
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let pair = bytes.get(at + 1..at + 3).and_then(|pair| std::str::from_utf8(pair).ok());
        let byte = pair.filter(|_| bytes[at] == b'%').and_then(|pair| u8::from_str_radix(pair, 16).ok());
        out.push(byte.unwrap_or(bytes[at]));
        at += if byte.is_some() { 3 } else { 1 };
    }
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callback_keeps_its_session_and_loses_its_code() {
        let key = DeploymentKey::new([3; 32]);
        let url = "/api/auth/oidc/handler/frame?state=6e6f&session_state=6zchQ9tsE3mTyIhqbJ58YeRB&iss=http%3A%2F%2Fh%2Frealms%2Fpair&code=a.b.c";
        let out = redact(&key, url).unwrap();
        assert!(
            out.contains("session_state=6zchQ9tsE3mTyIhqbJ58YeRB&iss=http%3A%2F%2Fh%2Frealms%2Fpair&code=redacted:"),
            "{out}"
        );
        assert!(!out.contains("a.b.c") && !out.contains("6e6f&"), "{out}");
    }

    #[test]
    fn other_places_of_secrets() {
        let key = DeploymentKey::new([3; 32]);
        for url in [
            "https://user:hunter2@host/x",
            "/x?c%6fde=hunter2",
            "/x#access_token=hunter2",
            "/x?redirect=https%3A%2F%2Fh%2F%3Fcode%3Dhunter2",
            "/x?a=1;client_secret=hunter2",
            "/hook/wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLhunter2",
        ] {
            let out = redact(&key, url).unwrap_or_else(|| url.into());
            assert!(!out.contains("hunter2"), "{out}");
        }
        for url in [
            "/api/catalog/entities?filter=kind=user&fields=metadata.name",
            "http://127.0.0.1:17007/api/auth/oidc/handler/frame",
            "/x?",
            "",
        ] {
            assert_eq!(redact(&key, url), None, "{url}");
        }
    }
}
