//! Lines of a body that is no UTF-8: a container's runtime cuts a long line at a number of bytes, also within a character. The bytes of
//! such a character go to the next part of its line, where they belong.

use std::{borrow::Cow, collections::HashMap};

/// Longest part of a character that waits for its end, bytes.
const CHARACTER_BYTES: usize = 3;
/// Streams of which a part may wait.
const STREAMS: usize = 8;

/// What is left of lines that were cut, by stream.
#[derive(Default)]
pub(super) struct Mending {
    waiting: HashMap<Vec<u8>, Vec<u8>>,
}

impl Mending {
    /// A line as it was written, without its end.
    pub fn line<'a>(&mut self, line: &'a [u8]) -> Cow<'a, [u8]> {
        let Some(Frame { content, stream, partial }) = Frame::of(line) else { return line.into() };
        let (head, text) = line.split_at(content);
        let mut whole = match self.waiting.remove(stream) {
            Some(before) => Cow::Owned([head, &before, text].concat()),
            None => Cow::Borrowed(line),
        };
        if !partial {
            return whole;
        }
        let Err(error) = std::str::from_utf8(&whole[content..]) else { return whole };
        let end = content + error.valid_up_to();
        let open = error.error_len().is_none() && whole.len() - end <= CHARACTER_BYTES;
        if open && self.waiting.len() < STREAMS {
            self.waiting.insert(stream.to_vec(), whole[end..].to_vec());
            whole.to_mut().truncate(end);
        }
        whole
    }
}

/// Of a line `TIME STREAM TAG CONTENT`.
struct Frame<'a> {
    /// Where the content begins.
    content: usize,
    stream: &'a [u8],
    partial: bool,
}

impl<'a> Frame<'a> {
    fn of(line: &'a [u8]) -> Option<Self> {
        let mut words = line.splitn(4, |byte| *byte == b' ');
        let (time, stream, tag) = (words.next()?, words.next()?, words.next()?);
        let partial = match tag.split(|byte| *byte == b':').next()? {
            b"F" => false,
            b"P" => true,
            _ => return None,
        };
        words.next()?;
        let known = time.first().is_some_and(u8::is_ascii_digit) && [&b"stdout"[..], b"stderr"].contains(&stream);
        known.then_some(Self { content: time.len() + stream.len() + tag.len() + 3, stream, partial })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mended(lines: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut mending = Mending::default();
        lines.iter().map(|line| mending.line(line).into_owned()).collect()
    }

    /// Wherever a line is cut, its parts are text, and make up the line.
    #[test]
    fn a_character_that_was_cut_is_whole_again_in_the_part_that_ends_it() {
        let text = "a\u{e4}\u{20ac}\u{1f600}z";
        let frame = |stream: &str, tag: &str, bytes: &[u8]| {
            [format!("2026-11-23T21:24:51Z {stream} {tag} ").as_bytes(), bytes].concat()
        };
        for first in 0..text.len() {
            for second in first..text.len() {
                let bytes = text.as_bytes();
                let parts = [
                    frame("stdout", "P", &bytes[..first]),
                    frame("stderr", "F", b"other"),
                    frame("stdout", "P", &bytes[first..second]),
                    frame("stdout", "F", &bytes[second..]),
                ];
                let mended = mended(&parts.each_ref().map(Vec::as_slice));
                let texts = mended.iter().map(|line| std::str::from_utf8(line).expect("text"));
                let whole: String = texts.filter(|line| line.contains("stdout")).map(|line| &line[30..]).collect();
                assert_eq!((whole.as_str(), &mended[1]), (text, &parts[1]), "{first} {second}");
            }
        }
    }

    #[test]
    fn what_was_never_text_and_what_was_not_cut_stays_as_it_is() {
        let (broken, plain) = (b"2026-11-23T21:24:51Z stdout P a\xffb", b"plain \xc3");
        let last = b"2026-11-23T21:24:51Z stdout F \xc3";
        assert_eq!(mended(&[broken, plain, last]), [&broken[..], plain, last]);
    }
}
