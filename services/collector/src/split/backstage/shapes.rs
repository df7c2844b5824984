//! The shapes in which shippers put lines into one body: an array, Loki's streams, one object over several lines, objects one after
//! another with a line's end between them or without. Whatever has none of these shapes is taken line by line.

use super::{Around, Lines};
use crate::redact::Cursor;
use crate::split::TooMany;
use serde::Deserialize;
use std::{borrow::Cow, collections::HashMap};

#[derive(Deserialize)]
struct Loki<'a> {
    #[serde(borrow)]
    streams: Vec<LokiStream<'a>>,
}

#[derive(Deserialize)]
struct LokiStream<'a> {
    #[serde(borrow, default)]
    stream: HashMap<Cow<'a, str>, Cow<'a, str>>,
    #[serde(borrow)]
    values: Vec<Vec<&'a serde_json::value::RawValue>>,
}

impl Lines<'_> {
    /// A JSON array of lines, envelopes or strings; false if it is none.
    pub(super) fn array(&mut self, text: &str) -> Result<bool, TooMany> {
        let Ok(elements) = serde_json::from_str::<Vec<&serde_json::value::RawValue>>(text) else { return Ok(false) };
        for element in elements {
            match serde_json::from_str::<Cow<'_, str>>(element.get()) {
                Ok(line) => self.take(&line, &Around::default())?,
                Err(_) => self.take(element.get(), &Around::default())?,
            }
        }
        Ok(true)
    }

    /// A Loki push request; false if it is none.
    pub(super) fn loki(&mut self, text: &str) -> Result<bool, TooMany> {
        if !text.get(1..64).unwrap_or(text).contains("\"streams\"") {
            return Ok(false);
        }
        let Ok(loki) = serde_json::from_str::<Loki<'_>>(text) else { return Ok(false) };
        for stream in loki.streams {
            let label = ["pod", "pod_name", "filename", "file", "host", "hostname", "instance"];
            let instance = label.iter().find_map(|label| stream.stream.get(*label)).cloned().unwrap_or_default();
            for value in &stream.values {
                let (time, line) = match value.as_slice() {
                    [] => continue,
                    // Not as Loki has it: whatever it is, it is accounted for.
                    [line] => ("", line),
                    [time, line, ..] => (time.get(), line),
                };
                let time_ns = time.trim_matches('"').parse().ok();
                let around = Around { time_ns, instance: instance.clone().into_owned(), depth: 1 };
                match serde_json::from_str::<Cow<'_, str>>(line.get()) {
                    Ok(line) => self.take(&line, &around)?,
                    Err(_) => self.take(line.get(), &around)?,
                }
            }
        }
        Ok(true)
    }

    /// One JSON object written over several lines; false if the text is anything else.
    pub(super) fn single(&mut self, text: &str) -> Result<bool, TooMany> {
        let first_line = text.lines().next().unwrap_or_default();
        let mut cursor = Cursor::new(first_line);
        if cursor.skip().is_ok() || text.len() > self.reading.line_bytes {
            return Ok(false);
        }
        let mut cursor = Cursor::new(text);
        let whole = cursor.skip().is_ok() && text[cursor.at..].trim().is_empty();
        if whole {
            self.take(text.trim_end(), &Around::default())?;
        }
        Ok(whole)
    }

    /// Takes a line, or the objects that stand in it one after another without anything between.
    pub(super) fn values(&mut self, line: &str) -> Result<(), TooMany> {
        let mut rest = line;
        while rest.starts_with('{') && rest.contains("}{") {
            let mut cursor = Cursor::new(rest);
            if cursor.skip().is_err() || !rest[cursor.at..].starts_with('{') {
                break;
            }
            let (one, after) = rest.split_at(cursor.at);
            self.take(one, &Around::default())?;
            rest = after;
        }
        self.take(rest, &Around::default())
    }
}

#[cfg(test)]
mod tests {
    use crate::split::{
        Piece,
        backstage::{Reading, split, split_bytes},
    };
    use events::{lines::LineCounts, person::DeploymentKey, receipt::Payload};
    use jiff::tz::TimeZone;

    const AUDIT: &str = r#"{"isAuditEvent":true,"plugin":"catalog","eventId":"entity-fetch","status":"succeeded"}"#;

    fn pieces(body: &[u8]) -> Vec<Piece> {
        let key = DeploymentKey::new([7; 32]);
        let reading = Reading {
            source: "portal",
            key: &key,
            zone: &TimeZone::UTC,
            instance: "",
            backlog: false,
            by_send: false,
            line_bytes: 1 << 20,
            lines: 1_000,
        };
        match std::str::from_utf8(body) {
            Ok(text) => split(text, &reading).unwrap(),
            Err(_) => split_bytes(body, &reading).unwrap(),
        }
    }

    /// Audit lines, dead letters, and lines that were only counted.
    fn fates(body: &[u8]) -> (usize, usize, u64) {
        let pieces = pieces(body);
        let of = |payloads: &[Payload]| pieces.iter().filter(|piece| payloads.contains(&piece.payload)).count();
        let counts = pieces.iter().filter(|piece| piece.payload == Payload::LineCounts);
        let counted = counts.map(|piece| LineCounts::from_bytes(&piece.body).unwrap().0.values().sum::<u64>()).sum();
        (of(&[Payload::BackstageLine]), of(&[Payload::Unknown, Payload::Unparsable]), counted)
    }

    #[test]
    fn objects_without_anything_between_are_lines_of_their_own() {
        let enveloped = serde_json::json!({ "date": 1_795_469_097.5, "log": AUDIT }).to_string();
        for (body, wanted) in [
            (AUDIT.repeat(3), (3, 0, 0)),
            (enveloped.repeat(3), (3, 0, 0)),
            (format!("{AUDIT}{enveloped}\n{AUDIT}\n"), (3, 0, 0)),
            // Braces in a text are no borders, and what follows without being an object stays one line with what is before it.
            (AUDIT.replace("entity-fetch", "a}{b"), (1, 0, 0)),
            (format!("{AUDIT}{AUDIT}cut"), (1, 1, 0)),
            (format!("{AUDIT}{{}}{{"), (1, 0, 2)),
        ] {
            assert_eq!(fates(body.as_bytes()), wanted, "{body}");
        }
    }

    #[test]
    fn whatever_a_push_of_loki_holds_is_accounted_for() {
        let push = |values: serde_json::Value| {
            serde_json::json!({ "streams": [{ "stream": { "pod": "b1" }, "values": values }] }).to_string()
        };
        let values = serde_json::json!([["1795469097000000000", AUDIT], ["1795469097000000001", { "isAuditEvent": true }], [AUDIT], [], ["1", 17]]);
        assert_eq!(fates(push(values).as_bytes()), (3, 0, 1));
    }

    #[test]
    fn an_audit_line_within_something_unknown_is_a_dead_letter_and_not_one_of_many_other_lines() {
        let (escaped, other) = (serde_json::to_string(AUDIT).unwrap(), r#"{"level":"info","message":"x"}"#);
        for (body, wanted) in [
            (format!(r#"{{"log_processed":{AUDIT},"kubernetes":{{"pod_name":"b1"}}}}"#), (0, 1, 0)),
            (format!(r#"{{"level":"info","log":{escaped}}}"#), (0, 1, 0)),
            (format!(r#"{{"body":{escaped}}}"#), (0, 1, 0)),
            (r#"{"isAuditEvent":false,"message":"\"isAudit"}"#.to_owned(), (0, 0, 1)),
            (other.to_owned(), (0, 0, 1)),
        ] {
            assert_eq!(fates(body.as_bytes()), wanted, "{body}");
        }
    }

    #[test]
    fn a_line_that_is_no_text_is_lost_alone() {
        let audit = |name: &[u8]| [&b"{\"isAuditEvent\":true,\"plugin\":\""[..], name, b"\"}"].concat();
        let lines = [audit(b"catalog"), audit(b"\xff"), b"\xc3 plain".to_vec(), audit(b"search")];
        assert_eq!(fates(&lines.join(&b'\n')), (2, 1, 1));

        // A line that was cut within a character comes as if it had not been.
        let long = AUDIT.replace("entity-fetch", "\u{e4}\u{20ac}");
        let at = long.find('\u{20ac}').unwrap() + 1;
        let frame = |tag: &str, text: &[u8]| [format!("2026-11-23T21:24:51Z stdout {tag} ").as_bytes(), text].concat();
        let parts = [frame("P", &long.as_bytes()[..at]), frame("F", &long.as_bytes()[at..])];
        let whole = frame("F", long.as_bytes());
        let body = |lines: &[u8]| pieces(lines).into_iter().map(|piece| piece.body).collect::<Vec<_>>();
        assert_eq!(fates(&parts.join(&b'\n')), (1, 0, 0));
        assert_eq!(body(&parts.join(&b'\n')), body(&whole));
    }
}
