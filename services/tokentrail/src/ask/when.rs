//! Times as people type them.

use super::When;
use jiff::{SignedDuration, Span, Timestamp, tz::TimeZone};

/// RFC 3339, `now`, or a span that is taken back from now (`2h`, `2h ago`, `3 days ago`).
pub fn parse(text: &str) -> Result<When, String> {
    relative_to(text, Timestamp::now())
}

fn relative_to(text: &str, now: Timestamp) -> Result<When, String> {
    let text = text.trim();
    if text == "now" {
        return Ok(When(now.as_millisecond()));
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(When(time.as_millisecond()));
    }
    let Ok(span) = text.parse::<Span>() else {
        return Err("a time is RFC 3339 (2026-11-24T12:00:00Z), `now`, or relative (2h ago, 30m, 3 days ago)".into());
    };
    let back = if span.is_positive() { span.negate() } else { span };
    let then = now.to_zoned(TimeZone::UTC).checked_add(back).map_err(|_| "that is too long ago".to_owned())?;
    debug_assert!(then.timestamp().duration_since(now) <= SignedDuration::ZERO);
    Ok(When(then.timestamp().as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_absolute_or_before_now() {
        let now: Timestamp = "2026-11-24T12:00:00Z".parse().unwrap();
        let at =
            |text: &str| relative_to(text, now).map(|when| Timestamp::from_millisecond(when.0).unwrap().to_string());
        assert_eq!(at("2026-11-24T10:00:00+01:00").unwrap(), "2026-11-24T09:00:00Z");
        for text in ["2h ago", "2h", "-2h", "PT2H"] {
            assert_eq!(at(text).unwrap(), "2026-11-24T10:00:00Z", "{text}");
        }
        assert_eq!(at("3 days ago").unwrap(), "2026-11-21T12:00:00Z");
        assert_eq!(at("now").unwrap(), "2026-11-24T12:00:00Z");
        assert!(at("noon").is_err() && at("").is_err());
    }
}
