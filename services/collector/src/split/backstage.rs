//! Backstage output: whole standard output in any form that shippers post, down to the lines that are receipts.
//!
//! Receipts are audit lines, access lines with 401 or 403 or of the auth and authorize routes, "Issuing token" lines and
//! the importer's "Committed" lines; all others are counted by kind. Order per instance is kept. A broken audit line is a dead letter.

mod shapes;

use super::{
    Piece, TooMany,
    counts::Counts,
    frame,
    kind::Kind,
    mend::Mending,
    place::{Neighbours, Role},
};
use crate::redact::{Broken, MAX_NODES, MAX_SNAPSHOT_NODES, Seen, Slot, Walk, backstage, detect};
use events::{
    lines::{LineKind, SenderGap},
    person::DeploymentKey,
    receipt::{LinePlace, Payload, TimeBasis},
    record::heartbeat_id,
};
use jiff::tz::TimeZone;
use serde::Deserialize;
use std::collections::HashMap;

/// Envelopes inside envelopes that are opened.
const FRAMES: u32 = 3;

/// Longest instance label that is kept, bytes.
const INSTANCE_BYTES: usize = 253;

/// What stands in every audit line, however it is packed.
const AUDIT: &str = "\"isAudit";

/// Unfinished partial lines (one per instance and stream) that are kept while a delivery is read.
const PARTIALS: usize = 64;

/// What the splitter must know beside the body.
#[derive(Clone, Debug)]
pub struct Reading<'a> {
    /// Id of the source.
    pub source: &'a str,
    /// Key of marks.
    pub key: &'a DeploymentKey,
    /// Zone of times that name none.
    pub zone: &'a TimeZone,
    /// Instance named by the sender for the whole delivery, or empty.
    pub instance: &'a str,
    /// Whether the sender reads a backlog.
    pub backlog: bool,
    /// Whether the sender is `tokentrail send`: of all others, what looks like a word of its own is an application's.
    pub by_send: bool,
    /// Most bytes of one line.
    pub line_bytes: usize,
    /// Most lines.
    pub lines: usize,
}

/// Splits a delivery; the last piece counts the lines that are no receipts, if there are any.
pub fn split(text: &str, reading: &Reading<'_>) -> Result<Vec<Piece>, TooMany> {
    let mut lines = Lines::new(reading);
    let trimmed = text.trim_start();
    if trimmed.starts_with('[') && lines.array(trimmed)? {
        return Ok(lines.done());
    }
    if trimmed.starts_with('{') && (lines.loki(trimmed)? || lines.single(trimmed)?) {
        return Ok(lines.done());
    }
    for line in text.lines() {
        lines.values(line)?;
    }
    Ok(lines.done())
}

/// The same of a body that is no UTF-8: a line that is none is lost, and no other. What a runtime has cut within a character is put
/// together again.
pub fn split_bytes(body: &[u8], reading: &Reading<'_>) -> Result<Vec<Piece>, TooMany> {
    let (mut lines, mut mending) = (Lines::new(reading), Mending::default());
    for line in body.split(|byte| *byte == b'\n') {
        let line = mending.line(line);
        match std::str::from_utf8(&line) {
            Ok(line) => lines.values(line)?,
            Err(_) => lines.no_text(&line)?,
        }
    }
    Ok(lines.done())
}

/// Splits a recording of the catalog: one state per line.
pub fn split_snapshot(text: &str, key: &DeploymentKey) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let mut walk = Walk::new(line, key, MAX_SNAPSHOT_NODES);
        pieces.push(match walk.only(&backstage::SNAPSHOT) {
            Ok(span) if line.contains("\"entities\"") => Piece::of(Payload::BackstageCatalogSnapshot, walk.body(span)),
            Ok(span) => Piece::of(Payload::Unknown, walk.body(span)),
            Err(reason) => Piece::unparsable(key, line.as_bytes(), reason),
        });
    }
    pieces
}

/// What the frames around a line said.
#[derive(Clone, Default)]
struct Around {
    time_ns: Option<i64>,
    instance: String,
    depth: u32,
}

struct Lines<'a> {
    reading: &'a Reading<'a>,
    pieces: Vec<Piece>,
    counts: Counts,
    neighbours: Neighbours,
    partials: HashMap<(String, String), String>,
    /// Lines that date themselves, seen in this delivery: how often.
    twins: HashMap<(i64, String), u32>,
    number: u32,
}

/// The sender's record of dropped lines, in the frame `TIME tokentrail-send F {...}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Dropped {
    since: i64,
    until: i64,
    dropped_lines: Option<u64>,
}

/// Whether the line itself says that it is one, or none.
fn says_audit(seen: &Seen, line: &str) -> bool {
    [Slot::IsAuditEvent, Slot::IsAuditLog].iter().any(|slot| seen.raw(*slot, line).is_some())
}

impl<'a> Lines<'a> {
    fn new(reading: &'a Reading<'a>) -> Self {
        Self {
            reading,
            pieces: Vec::new(),
            counts: Counts::default(),
            neighbours: Neighbours::default(),
            partials: HashMap::new(),
            twins: HashMap::new(),
            number: 0,
        }
    }

    /// A line that is no UTF-8.
    fn no_text(&mut self, line: &[u8]) -> Result<(), TooMany> {
        self.count()?;
        let instance = self.instance("");
        self.neighbours.line(&instance, None);
        let text = String::from_utf8_lossy(line);
        if text.contains(AUDIT) {
            self.pieces.push(Piece::unparsable(self.reading.key, line, Broken::NotUtf8));
        } else {
            self.counts.add(LineKind::Text, (&instance, None), &text);
        }
        Ok(())
    }

    /// Takes one line with its frames.
    fn take(&mut self, line: &str, around: &Around) -> Result<(), TooMany> {
        let line = line.trim_end_matches('\r');
        if line.trim().is_empty() {
            return Ok(());
        }
        if around.depth <= FRAMES
            && let Some(frame) = frame::cri(line)
        {
            if frame.stream == frame::SENDER {
                return self.told(frame.line, around);
            }
            let inner =
                Around { time_ns: Some(frame.time_ns), instance: around.instance.clone(), depth: around.depth + 1 };
            let (stream, partial) = (frame.stream.to_owned(), frame.partial);
            return self.join(frame.line, inner, (stream, partial));
        }
        if line.len() <= self.reading.line_bytes && line.starts_with('{') {
            let mut walk = Walk::new(line, self.reading.key, MAX_NODES);
            let walked = walk.only(&backstage::LINE);
            if walked.is_ok()
                && around.depth <= FRAMES
                && let Some(envelope) = frame::envelope(&walk.seen, line)
            {
                let instance = if envelope.instance.is_empty() { around.instance.clone() } else { envelope.instance };
                let time_ns = envelope.time_ns.or(around.time_ns);
                let inner = Around { time_ns, instance, depth: around.depth + 1 };
                return self.join(&envelope.line, inner, (envelope.stream, envelope.partial));
            }
            let number = self.count()?;
            match walked {
                Ok(_) => self.json(&mut walk, around, number),
                Err(reason) => self.unreadable(line, reason, around),
            }
            return Ok(());
        }
        self.count()?;
        let reason = if line.len() > self.reading.line_bytes { Broken::LineTooLong } else { Broken::Syntax };
        self.unreadable(line, reason, around);
        Ok(())
    }

    /// What `tokentrail send` says itself: lines that it dropped. Only outside of all envelopes: there, no application's
    /// output can stand.
    fn told(&mut self, line: &str, around: &Around) -> Result<(), TooMany> {
        self.count()?;
        let instance = self.instance(&around.instance);
        self.neighbours.line(&instance, None);
        match serde_json::from_str::<Dropped>(line) {
            Ok(Dropped { since, until, dropped_lines }) if around.depth == 0 && self.reading.by_send => {
                let source = self.reading.source.to_owned();
                let gap = SenderGap { source, instance, since, until, dropped_lines };
                let body = serde_json::to_vec(&gap).unwrap_or_default();
                self.pieces.push(Piece::of(Payload::SenderGap, body));
            }
            _ => self.counts.add(LineKind::Text, (&instance, around.time_ns), line),
        }
        Ok(())
    }

    fn count(&mut self) -> Result<u32, TooMany> {
        if self.number as usize >= self.reading.lines {
            return Err(TooMany);
        }
        self.number += 1;
        Ok(self.number - 1)
    }

    /// Joins parts of a line that a runtime has cut, per instance and stream.
    fn join(&mut self, part: &str, around: Around, tag: (String, bool)) -> Result<(), TooMany> {
        let (stream, partial) = tag;
        if !partial && self.partials.is_empty() {
            return self.take(part, &around);
        }
        let place = (around.instance.clone(), stream);
        let mut whole = self.partials.remove(&place).unwrap_or_default();
        whole.push_str(part);
        if partial && whole.len() <= self.reading.line_bytes && self.partials.len() < PARTIALS {
            self.partials.insert(place, whole);
            return Ok(());
        }
        self.take(&whole, &around)
    }

    fn unreadable(&mut self, line: &str, reason: Broken, around: &Around) {
        let instance = self.instance(&around.instance);
        self.neighbours.line(&instance, None);
        if line.contains("\u{1b}[") {
            self.counts.add(LineKind::DevText, (&instance, around.time_ns), line);
        } else if line.contains(AUDIT) {
            self.pieces.push(Piece::unparsable(self.reading.key, line.as_bytes(), reason));
        } else {
            self.counts.add(LineKind::Text, (&instance, around.time_ns), line);
        }
    }

    fn json(&mut self, walk: &mut Walk<'_>, around: &Around, number: u32) {
        let line = walk.text();
        let labelled = frame::instance(&walk.seen, line);
        let instance = self.instance(if labelled.is_empty() { &around.instance } else { &labelled });
        let kind = Kind::of(walk, line);
        let own = self.own_time(walk, line);
        let shipped = frame::shipper_time(&walk.seen, line).or(around.time_ns);
        // An audit line within something that nobody knows would be one of many other lines.
        let packed = kind == Kind::Other && line.contains(AUDIT) && !says_audit(&walk.seen, line);
        if let Some(counted) = kind.counted().filter(|_| !packed) {
            self.counts.add(counted, (&instance, shipped), line);
            self.neighbours.line(&instance, None);
            return;
        }
        let role = match kind {
            Kind::Access { authorize: true, .. } => own.map(Role::Authorize),
            Kind::Evaluation if own.is_none() && (shipped.is_none() || self.reading.backlog) => {
                Some(Role::Evaluation(self.pieces.len()))
            }
            _ => None,
        };
        self.neighbours.line(&instance, role);
        let (time_ns, basis) = match (own, shipped) {
            (Some(own), _) => (Some(own), TimeBasis::Line),
            (None, Some(shipped)) => (Some(shipped), TimeBasis::Shipper),
            (None, None) => (None, TimeBasis::Receipt),
        };
        let mark = self.mark(line, own);
        let start = line.len() - line.trim_start().len();
        let body = walk.body(crate::redact::Span { start, end: line.trim_end().len() });
        let mut piece = Piece::of(if packed { Payload::Unknown } else { Payload::BackstageLine }, body);
        if matches!(kind, Kind::Access { .. }) {
            let url = walk.seen.text(Slot::Url, line).unwrap_or_default();
            piece.native_id = heartbeat_id(&url).unwrap_or_default().to_owned();
        }
        piece.line = Some(LinePlace { instance, number, time_ns, basis, mark, backlog: self.reading.backlog });
        self.pieces.push(piece);
    }

    /// The keyed mark of a line. A line that dates itself does so to the millisecond, so two equal decisions can share
    /// their time and every byte: the second gets another mark, or it would be taken for a repeat and be lost.
    fn mark(&mut self, line: &str, own: Option<i64>) -> String {
        let key = self.reading.key;
        let mark = key.mark("line", &[line]);
        let Some(own) = own else { return mark };
        let seen = self.twins.entry((own, mark.clone())).or_insert(0);
        *seen += 1;
        if *seen == 1 { mark } else { key.mark("line", &[line, &seen.to_string()]) }
    }

    fn own_time(&self, walk: &Walk<'_>, line: &str) -> Option<i64> {
        let access = walk.seen.text(Slot::Type, line).is_some_and(|kind| kind == "incomingRequest");
        let date = if access { walk.seen.text(Slot::Date, line) } else { None };
        let written = walk.seen.text(Slot::Timestamp, line).or(date)?;
        frame::zoned(&written, self.reading.zone)
    }

    /// The instance of a line: as the sender says, else its label; never a secret, never long.
    fn instance(&self, label: &str) -> String {
        let name = if self.reading.instance.is_empty() { label } else { self.reading.instance };
        if name.len() > INSTANCE_BYTES || detect::is_marked(name) {
            return self.reading.key.mark("instance", &[name]);
        }
        name.to_owned()
    }

    fn done(mut self) -> Vec<Piece> {
        for ((instance, _), line) in std::mem::take(&mut self.partials) {
            let around = Around { time_ns: None, instance, depth: FRAMES + 1 };
            // A line more than allowed cannot come of this: each part was a line that was not counted yet.
            if self.take(&line, &around).is_err() {
                self.pieces.push(Piece::unparsable(self.reading.key, line.as_bytes(), Broken::TooManyEvents));
            }
        }
        self.neighbours.date(&mut self.pieces);
        self.pieces.extend(self.counts.piece(self.reading));
        self.pieces
    }
}
