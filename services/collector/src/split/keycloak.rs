//! Keycloak bodies: one event, an array, or several one after another (NDJSON). The class is told by shape.
//!
//! A part that cannot be read is one dead letter; the parts around it are not lost with it.

use super::{Piece, TooMany};
use crate::redact::{Broken, MAX_NODES, Seen, Slot, Span, Walk, is_id, keycloak};
use events::{person::DeploymentKey, receipt::Payload};

/// Splits a body of at most `most` events. Of more nothing is taken: each of them may be sound, and who sends fewer at once loses none.
pub fn split(text: &str, key: &DeploymentKey, most: usize) -> Result<Vec<Piece>, TooMany> {
    let mut walk = Walk::new(text, key, MAX_NODES);
    let mut pieces = Vec::new();
    loop {
        walk.cursor().space();
        let start = walk.cursor().at;
        if start == text.len() {
            break;
        }
        if pieces.len() >= most {
            return Err(TooMany);
        }
        let end = if walk.cursor().peek() == b'[' {
            array(&mut walk, key, most, &mut pieces)
        } else {
            event(&mut walk, key).map(|piece| pieces.push(piece))
        };
        if let Err(reason) = end {
            let next = text[start..].find("\n{").map_or(text.len(), |at| start + at + 1);
            pieces.push(Piece::unparsable(key, &text.as_bytes()[start..next], reason));
            walk.cursor().at = next;
        }
        if pieces.len() > most {
            return Err(TooMany);
        }
    }
    if pieces.is_empty() {
        pieces.push(Piece::unparsable(key, text.as_bytes(), Broken::Syntax));
    }
    Ok(pieces)
}

/// Reads an array of events. An error means that nothing of it can be told apart from here on: what was read stays.
/// Ends early where there are more than `most`.
fn array(walk: &mut Walk<'_>, key: &DeploymentKey, most: usize, pieces: &mut Vec<Piece>) -> Result<(), Broken> {
    walk.cursor().at += 1;
    walk.cursor().space();
    if walk.cursor().peek() == b']' {
        walk.cursor().at += 1;
        return Ok(());
    }
    loop {
        if pieces.len() > most {
            walk.cursor().at = walk.text().len();
            return Ok(());
        }
        let start = walk.cursor().at;
        match event(walk, key) {
            Ok(piece) => pieces.push(piece),
            Err(reason) => {
                let rest = &walk.text().as_bytes()[start..];
                pieces.push(Piece::unparsable(key, rest, reason));
                walk.cursor().at = walk.text().len();
                return Ok(());
            }
        }
        walk.cursor().space();
        match walk.cursor().peek() {
            b',' => walk.cursor().at += 1,
            b']' => {
                walk.cursor().at += 1;
                return Ok(());
            }
            _ => {
                let at = walk.cursor().at;
                pieces.push(Piece::unparsable(key, &walk.text().as_bytes()[at..], Broken::Syntax));
                walk.cursor().at = walk.text().len();
                return Ok(());
            }
        }
        walk.cursor().space();
    }
}

/// Reads one event. What breaks a bound is a dead letter of its own; only broken syntax is an error.
fn event(walk: &mut Walk<'_>, key: &DeploymentKey) -> Result<Piece, Broken> {
    let start = walk.cursor().at;
    let span = match walk.next(&keycloak::EVENT) {
        Ok(span) => span,
        Err(Broken::Syntax) => return Err(Broken::Syntax),
        Err(reason) => {
            walk.cursor().at = start;
            walk.cursor().skip()?;
            let end = walk.cursor().at;
            return Ok(Piece::unparsable(key, &walk.text().as_bytes()[start..end], reason));
        }
    };
    keycloak::finish(walk, key);
    Ok(piece(walk, span))
}

fn piece(walk: &mut Walk<'_>, span: Span) -> Piece {
    let text = walk.text();
    let id = |slot| walk.seen.text(slot, text).filter(|id| is_id(id)).map(|id| id.into_owned());
    let native_id = id(Slot::Id).unwrap_or_default();
    let delivery_key = id(Slot::Uid).filter(|key| !key.is_empty());
    let payload = class(&walk.seen, text);
    Piece { payload, native_id, delivery_key, line: None, body: walk.body(span) }
}

/// The class of an event by its shape.
fn class(seen: &Seen, text: &str) -> Payload {
    let Some(kind) = seen.text(Slot::Type, text) else {
        let resource = seen.raw(Slot::ResourceType, text).or_else(|| seen.raw(Slot::ResourceTypeText, text));
        let admin = seen.raw(Slot::OperationType, text).is_some() && resource.is_some();
        return if admin { Payload::KeycloakAdminEvent } else { Payload::Unknown };
    };
    let prefixed = ["access.", "admin.", "system."].iter().any(|prefix| kind.starts_with(prefix));
    let webhook = seen.raw(Slot::Uid, text).is_some() && seen.raw(Slot::AuthDetails, text).is_some();
    if prefixed || webhook {
        return Payload::KeycloakWebhook;
    }
    if seen.raw(Slot::Time, text).is_none() || seen.raw(Slot::RealmId, text).is_none() {
        return Payload::Unknown;
    }
    if seen.raw(Slot::OperationType, text).is_some() || kind.contains('-') {
        return Payload::KeycloakAdminEvent;
    }
    Payload::KeycloakEvent
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key() -> DeploymentKey {
        DeploymentKey::new([7; 32])
    }

    fn classes(text: &str) -> Vec<Payload> {
        split(text, &key(), 500).unwrap().into_iter().map(|piece| piece.payload).collect()
    }

    #[test]
    fn shapes() {
        use Payload::*;
        for (text, class) in [
            (r#"{"type":"access.LOGIN"}"#, KeycloakWebhook),
            (r#"{"uid":"u","authDetails":{},"type":"custom"}"#, KeycloakWebhook),
            (r#"{"id":"a","time":1,"type":"LOGIN","realmId":"r"}"#, KeycloakEvent),
            (r#"{"id":"a","time":1,"realmId":"r","operationType":"CREATE","resourceType":"USER"}"#, KeycloakAdminEvent),
            (
                r#"{"id":"a","time":1,"realmId":"r","type":null,"operationType":"CREATE","resourceTypeAsString":"X"}"#,
                KeycloakAdminEvent,
            ),
            (r#"{"type":"USER-CREATE","realmId":"r","time":1,"clientId":"c"}"#, KeycloakAdminEvent),
            (r#"{"hello":"world"}"#, Unknown),
            ("17", Unknown),
            ("{", Unparsable),
            ("", Unparsable),
        ] {
            assert_eq!(classes(text), [class], "{text}");
        }
    }

    #[test]
    fn a_bad_part_is_one_dead_letter_and_the_rest_lives() {
        use Payload::*;
        let good = r#"{"type":"access.LOGIN"}"#;
        assert_eq!(classes(&format!("{good}\n{{broken\n{good}\n")), [KeycloakWebhook, Unparsable, KeycloakWebhook]);
        let deep = format!("{}{}", "[".repeat(40), "]".repeat(40));
        let deep = format!(r#"{{"x":{deep}}}"#);
        assert_eq!(classes(&format!("[{good},{deep},{good}]")), [KeycloakWebhook, Unparsable, KeycloakWebhook]);
        assert_eq!(classes(&format!("[{good},nope]")), [KeycloakWebhook, Unparsable]);
    }

    #[test]
    fn more_events_than_the_limit_are_sent_back_whole() {
        let good = r#"{"type":"access.LOGIN"}"#;
        for (open, between, close) in [("", "\n", ""), ("[", ",", "]"), ("[", ",", ",nope]")] {
            let body = |events: usize| format!("{open}{}{close}", vec![good; events].join(between));
            let dead = usize::from(close.len() > 1);
            assert_eq!(split(&body(500 - dead), &key(), 500).map(|pieces| pieces.len()), Ok(500));
            assert_eq!(split(&body(501 - dead), &key(), 500), Err(TooMany));
        }
    }

    #[test]
    fn ids_that_are_secrets_do_not_reach_the_header() {
        let text =
            r#"{"type":"access.LOGIN","id":"eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln","uid":"AKIAIOSFODNN7EXAMPLE"}"#;
        let piece = &split(text, &key(), 1).unwrap()[0];
        assert_eq!((piece.native_id.as_str(), &piece.delivery_key), ("", &None));
    }

    proptest! {
        #[test]
        fn array_and_ndjson_give_the_same_pieces(ids in prop::collection::vec("[a-z0-9-]{1,36}", 1..20), secret in "[ -~]{0,20}") {
            let events: Vec<String> = ids.iter().map(|id| {
                serde_json::json!({"id": id, "uid": format!("u-{id}"), "type": "access.LOGIN", "details": {"password": secret}}).to_string()
            }).collect();
            let lines = split(&events.join("\n"), &key(), 500).unwrap();
            let list = split(&format!(" [ {} ] ", events.join(" , ")), &key(), 500).unwrap();
            prop_assert_eq!(lines.len(), ids.len());
            prop_assert_eq!(lines, list);
        }

        #[test]
        fn any_text_is_accounted_for(text in ".{0,200}") {
            prop_assert!(!split(&text, &key(), 500).unwrap().is_empty());
        }
    }
}
