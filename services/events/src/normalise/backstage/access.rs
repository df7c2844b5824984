//! Access lines: sign-in callbacks (the only lines that carry a Keycloak session id), refreshes, logouts, refusals.
//!
//! A good and a refused sign-in are the same callback line: its outcome is not said. The query is never kept; the session id,
//! the provider and the issuer's address are read from it.

use super::{Line, plain::named};
use crate::{
    event::{Event, Outcome},
    normalise::{
        Dead, Ignored,
        json::{self, host_and_path},
        scope::note,
    },
    record::heartbeat_id,
};

/// Statuses that say that the caller may not.
const REFUSED: [i64; 2] = [401, 403];
/// Path of the permission API: its line dates the decision before it and says nothing itself.
const AUTHORIZE: &str = "/api/permission/authorize";

/// What an access line comes to.
pub(super) enum Access {
    Event(Box<Event>),
    Ignored(Ignored),
}

/// The event of an access line, unless it only dates a decision or says nothing about access.
pub(super) fn event(mut event: Event, line: &Line<'_>) -> Result<Access, Dead> {
    let (url, status) = (line.url.text(), line.status.integer().ok_or(Dead::MissingField)?);
    let (path, query) = url.split_once('?').unwrap_or((&url, ""));
    if heartbeat_id(path).is_some() {
        return Ok(Access::Ignored(Ignored::Heartbeat));
    }
    let refused = REFUSED.contains(&status);
    if path == AUTHORIZE && !refused {
        return Ok(Access::Ignored(Ignored::DatesDecision));
    }
    let mut segments = path.trim_start_matches('/').split('/');
    let auth = segments.next() == Some("api") && segments.next() == Some("auth");
    let (provider, rest) = (segments.next().unwrap_or(""), segments.next().unwrap_or(""));
    let frame = rest == "handler" && segments.next() == Some("frame");
    let native = match rest {
        "handler" if auth && frame => "http.callback",
        "start" if auth => "http.start",
        "refresh" if auth => "http.refresh",
        "logout" if auth => "http.logout",
        _ if refused => "http.denied",
        _ => return Ok(Access::Ignored(Ignored::PlainLine)),
    };
    named(&mut event, native);
    event.outcome = match (native, status) {
        ("http.callback", ..400) => Outcome::Unknown,
        (_, 400..) => Outcome::Failure,
        _ => Outcome::Success,
    };
    if native == "http.callback" {
        event.session_id = json::cut(&parameter(query, "session_state"));
        note(&mut event, "issuer", &host_and_path(&parameter(query, "iss")));
        event.error = json::code(&parameter(query, "error"));
    }
    if native != "http.denied" {
        note(&mut event, "provider", provider);
    }
    if status == 403 {
        note(&mut event, "denied", "true");
    }
    note(&mut event, "status", &status.to_string());
    event.resource_kind = "http".to_owned();
    event.resource = json::cut(path);
    event.action = json::cut(&line.method.text());
    event.user_agent = json::cut(&line.user_agent.text());
    Ok(Access::Event(Box::new(event)))
}

/// A parameter of a query, percent-decoded; empty if it is not there.
fn parameter(query: &str, name: &str) -> String {
    let value = query.split('&').find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name));
    value.map(|(_, value)| decode(value)).unwrap_or_default()
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (*first, tail) {
            (b'%', [high, low, after @ ..]) => match (hex_digit(*high), hex_digit(*low)) {
                (Some(high), Some(low)) => {
                    bytes.push(high << 4 | low);
                    rest = after;
                }
                _ => bytes.push(b'%'),
            },
            (b'+', _) => bytes.push(b' '),
            (byte, _) => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_and_broken_escapes_survive() {
        assert_eq!(parameter("a=1&iss=http%3A%2F%2Fkc%2Frealms%2Fx", "iss"), "http://kc/realms/x");
        assert_eq!(parameter("a=%zz%4", "a"), "%zz%4");
        assert_eq!(parameter("xsession_state=1", "session_state"), "");
    }
}
