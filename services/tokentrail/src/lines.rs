//! Framing of lines as a container runtime writes them (`TIME stdout F LINE`): how `send` says when it read a line.

use jiff::Timestamp;

/// Appends one framed line. `read_at_ns` is UTC nanoseconds since the epoch.
pub fn frame(out: &mut Vec<u8>, read_at_ns: i64, line: &[u8]) {
    let time = Timestamp::from_nanosecond(i128::from(read_at_ns)).unwrap_or(Timestamp::UNIX_EPOCH);
    out.extend_from_slice(format!("{time:.9} stdout F ").as_bytes());
    out.extend_from_slice(line);
    out.push(b'\n');
}

/// True if the line is framed already, so that its own time is kept.
pub fn is_framed(line: &[u8]) -> bool {
    let mut parts = line.splitn(4, |b| *b == b' ');
    let time = parts.next().and_then(|t| std::str::from_utf8(t).ok()).is_some_and(|t| t.parse::<Timestamp>().is_ok());
    let stream = parts.next().is_some_and(|s| s == b"stdout" || s == b"stderr");
    time && stream && parts.next().is_some_and(|f| f == b"F" || f == b"P")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_told_from_plain_lines() {
        let mut framed = Vec::new();
        frame(&mut framed, 1_795_469_091_255_972_001, b"{\"a\":1}");
        assert_eq!(framed, b"2026-11-23T21:24:51.255972001Z stdout F {\"a\":1}\n");
        assert!(is_framed(&framed));
        assert!(!is_framed(b"{\"a\":1}"));
        assert!(!is_framed(b"2026-11-23T21:24:51Z something else"));
    }
}
