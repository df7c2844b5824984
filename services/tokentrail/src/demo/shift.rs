//! Moves every time in recorded text, so that a recorded story ends now. Pure.

use jiff::{SignedDuration, Timestamp};

/// Epoch milliseconds of a recording have this many digits (2001 to 2286).
const EPOCH_MS_DIGITS: usize = 13;
/// Shortest ISO time with a zone: `2026-11-23T21:24:51Z`.
const ISO_LEN: usize = 20;

/// Moves ISO 8601 UTC times (keeping their number of decimals) and `"time":<epoch ms>` by `delta_ms`.
pub fn shift(text: &str, delta_ms: i64) -> String {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    let mut copied = 0;
    let mut at = 0;
    while at < bytes.len() {
        let moved = if bytes[at].is_ascii_digit() && (at == 0 || !bytes[at - 1].is_ascii_alphanumeric()) {
            iso(&text[at..], delta_ms).or_else(|| epoch(text, at, delta_ms))
        } else {
            None
        };
        match moved {
            Some((len, new)) => {
                out.push_str(&text[copied..at]);
                out.push_str(&new);
                at += len;
                copied = at;
            }
            None => at += 1,
        }
    }
    out.push_str(&text[copied..]);
    out
}

/// An ISO time at the start of `text`: its length and the moved text.
fn iso(text: &str, delta_ms: i64) -> Option<(usize, String)> {
    let bytes = text.as_bytes();
    let shape = |i: usize, c: u8| bytes.get(i) == Some(&c);
    if bytes.len() < ISO_LEN
        || !(shape(4, b'-') && shape(7, b'-') && shape(10, b'T') && shape(13, b':') && shape(16, b':'))
    {
        return None;
    }
    let len = bytes.iter().take(ISO_LEN + 10).position(|b| *b == b'Z')? + 1;
    let time: Timestamp = text.get(..len)?.parse().ok()?;
    let decimals = len.saturating_sub(ISO_LEN + 1);
    let moved = time.checked_add(SignedDuration::from_millis(delta_ms)).ok()?;
    Some((len, format!("{moved:.decimals$}")))
}

/// Digits after `"time":` or `"time": `.
fn epoch(text: &str, at: usize, delta_ms: i64) -> Option<(usize, String)> {
    if !text[..at].trim_end().ends_with("\"time\":") {
        return None;
    }
    let digits = text[at..].bytes().take_while(u8::is_ascii_digit).count();
    if digits != EPOCH_MS_DIGITS {
        return None;
    }
    let time: i64 = text[at..at + digits].parse().ok()?;
    Some((digits, (time + delta_ms).to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moves_every_form_and_nothing_else() {
        assert_eq!(shift("2026-11-23T21:24:51.255972Z stdout F x", 1000), "2026-11-23T21:24:52.255972Z stdout F x");
        assert_eq!(shift("[2026-11-23T21:24:51.255Z] y", -1000), "[2026-11-23T21:24:50.255Z] y");
        assert_eq!(
            shift("{\"id\":\"1795469097344\",\"time\":1795469097344}", 6),
            "{\"id\":\"1795469097344\",\"time\":1795469097350}"
        );
        assert_eq!(shift("{\"time\": 1795469097344,", 6), "{\"time\": 1795469097350,");
        assert_eq!(shift("ö 12 2026-11-23", 5), "ö 12 2026-11-23");
    }
}
