//! Framing of lines as a container runtime writes them (`TIME stdout F LINE`): how `send` says when it read a line.

use jiff::Timestamp;

/// Docker cuts longer lines into parts of this many bytes; only the last part ends with a line feed.
const DOCKER_PART_BYTES: usize = 16 * 1024;

/// Most bytes that a batch grows beyond its size so as not to end inside a line that was cut into parts: above the
/// longest line that the collector takes.
pub const PARTS_BYTES: usize = 2 << 20;

/// Appends one framed line. `read_at_ns` is UTC nanoseconds since the epoch.
pub fn frame(out: &mut Vec<u8>, read_at_ns: i64, line: &[u8]) {
    framed(out, read_at_ns, "stdout", line);
}

/// Appends what the sender says itself, in a frame that no line it reads can get.
pub fn frame_own(out: &mut Vec<u8>, said_at_ns: i64, line: &[u8]) {
    framed(out, said_at_ns, "tokentrail-send", line);
}

fn framed(out: &mut Vec<u8>, at_ns: i64, stream: &str, line: &[u8]) {
    let time = Timestamp::from_nanosecond(i128::from(at_ns)).unwrap_or(Timestamp::UNIX_EPOCH);
    out.extend_from_slice(format!("{time:.9} {stream} F ").as_bytes());
    out.extend_from_slice(line);
    out.push(b'\n');
}

/// A line without its end. Spaces at its end say nothing, unless the line goes on behind them.
pub fn text(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let trimmed = line.trim_ascii_end();
    let goes_on = trimmed.len() < line.len() && cri(line).is_some_and(|(_, partial)| partial);
    if goes_on { line } else { trimmed }
}

/// True if the line is framed already, so that its own time is kept.
pub fn is_framed(line: &[u8]) -> bool {
    cri(line).is_some()
}

/// When a line was written, UTC milliseconds: by the frame of its runtime, else by what it says itself.
pub fn time(line: &[u8]) -> Option<i64> {
    #[derive(serde::Deserialize)]
    struct Line<'a> {
        #[serde(borrow, alias = "time", alias = "date")]
        timestamp: std::borrow::Cow<'a, str>,
    }
    let framed =
        cri(line).and_then(|_| line.split(|b| *b == b' ').next()).and_then(|time| std::str::from_utf8(time).ok());
    let at = match framed {
        Some(framed) => framed.parse::<Timestamp>(),
        None => serde_json::from_slice::<Line<'_>>(line).ok()?.timestamp.parse(),
    };
    at.ok().map(Timestamp::as_millisecond)
}

/// Stream of a framed line, and whether it is a part that is not the last of its line.
fn cri(line: &[u8]) -> Option<(Stream, bool)> {
    let mut parts = line.splitn(4, |b| *b == b' ');
    std::str::from_utf8(parts.next()?).ok()?.parse::<Timestamp>().ok()?;
    let stream = Stream::named(parts.next()?)?;
    match parts.next()? {
        b"F" => Some((stream, false)),
        b"P" => Some((stream, true)),
        _ => None,
    }
}

/// The same of a line of docker's json-file driver.
fn docker(line: &[u8]) -> Option<(Stream, bool)> {
    if !line.starts_with(b"{\"log\":\"") {
        return None;
    }
    let tail = &line[line.len().saturating_sub(128)..];
    let at = tail.windows(12).rposition(|window| window == b"\",\"stream\":\"")?;
    let stream = Stream::named(tail[at + 12..].split(|b| *b == b'"').next()?)?;
    let whole = tail[..at].ends_with(b"\\n");
    Some((stream, !whole && line.len() >= DOCKER_PART_BYTES))
}

#[derive(Clone, Copy)]
enum Stream {
    Out,
    Err,
}

impl Stream {
    fn named(name: &[u8]) -> Option<Self> {
        match name {
            b"stdout" => Some(Self::Out),
            b"stderr" => Some(Self::Err),
            _ => None,
        }
    }
}

/// Stream of a line in a runtime's frame, and whether it is a part that is not the last of its line.
fn part(line: &[u8]) -> Option<(Stream, bool)> {
    cri(line).or_else(|| docker(line))
}

/// Which streams are inside a line that their runtime has cut into parts. The collector joins the parts of one delivery
/// only, so a batch that ended there would lose the line.
#[derive(Clone, Copy, Default)]
pub struct Parts {
    open: [bool; 2],
}

impl Parts {
    /// Goes past a line as it was read.
    pub fn line(&mut self, line: &[u8]) {
        if let Some((stream, partial)) = part(line) {
            self.open[stream as usize] = partial;
        }
    }

    /// The lines that are open here stay without their end.
    pub fn give_up(&mut self, open: &mut Self) {
        for (given_up, open) in self.open.iter_mut().zip(&mut open.open) {
            *given_up |= std::mem::take(open);
        }
    }

    /// Goes past a line as it was read; true if it belongs to one that was given up.
    pub fn goes_on(&mut self, line: &[u8]) -> bool {
        let Some((stream, partial)) = part(line) else { return false };
        let given_up = self.open[stream as usize];
        self.open[stream as usize] = given_up && partial;
        given_up
    }

    /// Whether a batch may end here.
    pub fn whole(self) -> bool {
        self.open == [false; 2]
    }
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
        let mut own = Vec::new();
        frame_own(&mut own, 1_795_469_091_255_972_001, b"{}");
        assert!(!is_framed(&own), "an application that writes this is framed and so told from us");
    }

    #[test]
    fn spaces_stay_where_a_line_goes_on_behind_them() {
        let cri = |tag: &str| format!("2026-11-23T21:24:51Z stdout {tag} a \t\r\n");
        assert_eq!(text(cri("P").as_bytes()), cri("P").trim_end_matches("\r\n").as_bytes());
        for other in [cri("F"), "a \n".into(), "a \t".into(), "a".into(), "2026-11-23T21:24:51Z stdout P".into()] {
            assert_eq!(text(other.as_bytes()), other.trim_end().as_bytes());
        }
    }

    #[test]
    fn the_rest_of_a_line_that_was_given_up_is_told_from_other_lines() {
        let cri = |stream: &str, tag: &str| format!("2026-11-23T21:24:51Z {stream} {tag} x");
        let (mut open, mut given_up) = (Parts::default(), Parts::default());
        open.line(cri("stdout", "P").as_bytes());
        given_up.give_up(&mut open);
        assert!(open.whole() && !given_up.whole());
        let told = [("stderr", "F"), ("stderr", "P"), ("stdout", "P"), ("stdout", "F"), ("stdout", "F")]
            .map(|(stream, tag)| given_up.goes_on(cri(stream, tag).as_bytes()));
        assert_eq!(told, [false, false, true, true, false], "up to its end");
        assert!(!given_up.goes_on(b"plain") && given_up.whole());
    }

    #[test]
    fn lines_cut_into_parts_are_open_until_their_stream_ends_them() {
        let long = "x".repeat(DOCKER_PART_BYTES);
        let docker = |end: &str, stream: &str| {
            format!("{{\"log\":\"{long}{end}\",\"stream\":\"{stream}\",\"time\":\"2026-11-23T21:24:51Z\"}}")
        };
        let cri = |stream: &str, tag: &str| format!("2026-11-23T21:24:51Z {stream} {tag} x");
        let forms = [
            [cri("stdout", "P"), cri("stderr", "F"), cri("stdout", "F")],
            [docker("", "stdout"), docker("\\n", "stderr"), docker("\\n", "stdout")],
        ];
        for [begin, other, end] in forms {
            let mut parts = Parts::default();
            let mut whole = |line: &str| {
                parts.line(line.as_bytes());
                parts.whole()
            };
            assert!(whole("plain") && !whole(&begin) && !whole(&other) && !whole("plain") && whole(&end));
        }
    }
}
