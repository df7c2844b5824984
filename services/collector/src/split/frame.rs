//! What stands around a line: container runtime frames, shippers' envelopes, times. Takes them off, keeps time and instance.

use crate::redact::{Seen, Slot};
use jiff::{Timestamp, civil, tz::TimeZone};

/// A CRI frame: `TIME stdout F LINE`.
pub(super) struct Cri<'a> {
    pub time_ns: i64,
    pub stream: &'a str,
    pub partial: bool,
    pub line: &'a str,
}

/// Stream of the frame in which `tokentrail send` speaks for itself. It frames what it reads with `stdout`, so no line of
/// an application can come to stand in this one.
pub(super) const SENDER: &str = "tokentrail-send";

pub(super) fn cri(text: &str) -> Option<Cri<'_>> {
    if !text.as_bytes().first()?.is_ascii_digit() {
        return None;
    }
    let (time, rest) = text.split_once(' ')?;
    let (stream, rest) = rest.split_once(' ')?;
    if !["stdout", "stderr", SENDER].contains(&stream) {
        return None;
    }
    let (tag, line) = rest.split_once(' ').unwrap_or((rest, ""));
    let partial = match tag.split(':').next()? {
        "F" => false,
        "P" => true,
        _ => return None,
    };
    Some(Cri { time_ns: instant(time)?, stream, partial, line })
}

/// An envelope of a shipper or of docker's json-file driver.
pub(super) struct Envelope {
    pub line: String,
    pub time_ns: Option<i64>,
    pub instance: String,
    pub stream: String,
    pub partial: bool,
}

/// Docker cuts longer lines into parts of this many bytes; only the last part ends with a line feed.
const DOCKER_PART_BYTES: usize = 16 * 1024;

/// The envelope, unless the object is a Backstage line itself.
pub(super) fn envelope(seen: &Seen, text: &str) -> Option<Envelope> {
    let own = [Slot::IsAuditEvent, Slot::IsAuditLog, Slot::Level];
    if own.iter().any(|slot| seen.raw(*slot, text).is_some()) {
        return None;
    }
    let log = seen.text(Slot::Log, text);
    let line = match &log {
        Some(log) => log.clone(),
        None => seen.text(Slot::Message, text)?,
    };
    let partial = log.is_some_and(|log| log.len() >= DOCKER_PART_BYTES && !log.ends_with('\n'));
    Some(Envelope {
        line: line.trim_end_matches(['\n', '\r']).to_owned(),
        time_ns: shipper_time(seen, text).or_else(|| noted_time(seen, Slot::Timestamp, text)),
        instance: instance(seen, text),
        stream: seen.text(Slot::Stream, text).unwrap_or_default().into_owned(),
        partial,
    })
}

/// Pod, file or host label, first found.
pub(super) fn instance(seen: &Seen, text: &str) -> String {
    let label = [Slot::Pod, Slot::File, Slot::Host].into_iter().find_map(|slot| seen.text(slot, text));
    label.unwrap_or_default().into_owned()
}

/// The time that a shipper wrote beside the line.
pub(super) fn shipper_time(seen: &Seen, text: &str) -> Option<i64> {
    noted_time(seen, Slot::ShipperTime, text).or_else(|| {
        let date = seen.raw(Slot::Date, text)?;
        // Backstage's own `date` stands in access lines only, as text; a number is Fluent Bit's.
        let own = seen.text(Slot::Type, text).is_some_and(|kind| kind == "incomingRequest");
        if own { None } else { number_or_text(date) }
    })
}

fn noted_time(seen: &Seen, slot: Slot, text: &str) -> Option<i64> {
    number_or_text(seen.raw(slot, text)?)
}

fn number_or_text(raw: &str) -> Option<i64> {
    match raw.strip_prefix('"') {
        Some(text) => instant(text.strip_suffix('"')?),
        None => epoch(raw),
    }
}

/// Seconds or milliseconds since the epoch, as nanoseconds, without going through a float.
fn epoch(raw: &str) -> Option<i64> {
    let (whole, fraction) = raw.split_once('.').unwrap_or((raw, ""));
    let whole: i64 = whole.parse().ok()?;
    if whole >= 100_000_000_000 {
        return whole.checked_mul(1_000_000);
    }
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    whole.checked_mul(1_000_000_000)?.checked_add(digits.parse().ok()?)
}

/// RFC 3339, as nanoseconds since the epoch.
pub(super) fn instant(text: &str) -> Option<i64> {
    let time: Timestamp = text.parse().ok()?;
    i64::try_from(time.as_nanosecond()).ok()
}

/// RFC 3339, or a date and time without zone in the source's zone.
pub(super) fn zoned(text: &str, zone: &TimeZone) -> Option<i64> {
    instant(text).or_else(|| {
        let civil: civil::DateTime = text.parse().ok()?;
        let time = civil.to_zoned(zone.clone()).ok()?.timestamp();
        i64::try_from(time.as_nanosecond()).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        assert_eq!(epoch("1795469097.571258"), Some(1_795_469_097_571_258_000));
        assert_eq!(epoch("1795469097571"), Some(1_795_469_097_571_000_000));
        assert_eq!(epoch("1795469097"), Some(1_795_469_097_000_000_000));
        assert_eq!(epoch("1.5e9"), None);
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        assert_eq!(zoned("2026-11-23 22:24:51", &berlin), instant("2026-11-23T21:24:51Z"));
        assert_eq!(zoned("2026-11-23T22:24:51Z", &berlin), instant("2026-11-23T22:24:51Z"));
        assert_eq!(zoned("yesterday", &berlin), None);
    }

    #[test]
    fn cri_frames() {
        let frame = cri("2026-11-23T21:24:51.255972Z stdout F Loading config").unwrap();
        assert_eq!((frame.line, frame.partial, frame.stream), ("Loading config", false, "stdout"));
        assert!(cri("2026-11-23T21:24:51.255972Z stdout P half").unwrap().partial);
        assert!(cri("2026 stdout F x").is_none());
        assert!(cri("no frame at all").is_none());
    }
}
