//! A strict JSON scanner over bytes: finds where values begin and end, builds nothing.
//!
//! Stricter than RFC 8259 readers need be: a lone surrogate is an error. Never recurses by itself.

use super::Broken;
use std::borrow::Cow;

/// A position in a text that is being read.
pub(crate) struct Cursor<'a> {
    pub text: &'a str,
    pub at: usize,
}

/// A string with its quotes, as it stands in the text.
#[derive(Clone, Copy)]
pub(crate) struct Quoted<'a> {
    pub raw: &'a str,
    pub start: usize,
    pub escaped: bool,
}

impl<'a> Quoted<'a> {
    /// The string that it means.
    pub fn decoded(&self) -> Result<Cow<'a, str>, Broken> {
        if !self.escaped {
            return Ok(Cow::Borrowed(&self.raw[1..self.raw.len() - 1]));
        }
        serde_json::from_str(self.raw).map(Cow::Owned).map_err(|_| Broken::Syntax)
    }
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// Not 0 if any byte of `word` is a quote, a backslash or a control character (may also be set above such a byte).
fn special(word: u64) -> u64 {
    let zero = |x: u64| x.wrapping_sub(ONES) & !x & HIGHS;
    let control = word.wrapping_sub(ONES * 0x20) & !word & HIGHS;
    zero(word ^ (ONES * b'"' as u64)) | zero(word ^ (ONES * b'\\' as u64)) | control
}

impl<'a> Cursor<'a> {
    pub fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// The next byte, 0 at the end (a NUL is nowhere valid outside strings, so nothing is confused).
    #[inline]
    pub fn peek(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    #[inline]
    pub fn space(&mut self) {
        while matches!(self.peek(), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
    }

    #[inline]
    pub fn take(&mut self, byte: u8) -> Result<(), Broken> {
        if self.peek() != byte {
            return Err(Broken::Syntax);
        }
        self.at += 1;
        Ok(())
    }

    /// Reads a string; the cursor stands on its quote.
    pub fn string(&mut self) -> Result<Quoted<'a>, Broken> {
        let bytes = self.text.as_bytes();
        let start = self.at;
        self.take(b'"')?;
        let mut escaped = false;
        loop {
            while let Some(chunk) = bytes.get(self.at..self.at + 8) {
                let mut word = [0; 8];
                word.copy_from_slice(chunk);
                let found = special(u64::from_le_bytes(word));
                if found != 0 {
                    self.at += found.trailing_zeros() as usize / 8;
                    break;
                }
                self.at += 8;
            }
            match self.peek() {
                b'"' => break,
                b'\\' => {
                    escaped = true;
                    self.at += 2;
                    if self.at > bytes.len() {
                        return Err(Broken::Syntax);
                    }
                }
                0..0x20 => return Err(Broken::Syntax),
                _ => self.at += 1,
            }
        }
        self.at += 1;
        let quoted = Quoted { raw: &self.text[start..self.at], start, escaped };
        Ok(quoted)
    }

    /// Reads a number, `true`, `false` or `null`; returns its text.
    pub fn literal(&mut self) -> Result<&'a str, Broken> {
        let rest = &self.text[self.at..];
        for word in ["true", "false", "null"] {
            if rest.starts_with(word) {
                self.at += word.len();
                return Ok(word);
            }
        }
        self.number()
    }

    /// Steps over one value by its brackets and strings only: for values that were refused for a bound.
    pub fn skip(&mut self) -> Result<(), Broken> {
        let mut depth = 0u32;
        loop {
            self.space();
            match self.peek() {
                b'"' => {
                    self.string()?;
                }
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' if depth > 0 => {
                    depth -= 1;
                    self.at += 1;
                }
                b',' | b':' if depth > 0 => self.at += 1,
                _ => {
                    self.literal()?;
                }
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }

    fn digits(&mut self) -> Result<(), Broken> {
        if !self.peek().is_ascii_digit() {
            return Err(Broken::Syntax);
        }
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
        Ok(())
    }

    fn number(&mut self) -> Result<&'a str, Broken> {
        let start = self.at;
        if self.peek() == b'-' {
            self.at += 1;
        }
        if self.peek() == b'0' {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == b'.' {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), b'e' | b'E') {
            self.at += 1;
            if matches!(self.peek(), b'+' | b'-') {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(&self.text[start..self.at])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn literals() {
        for good in ["0", "-1", "1.5e+7", "0.1E-2", "true", "null"] {
            let mut cursor = Cursor::new(good);
            assert_eq!(cursor.literal().unwrap(), good);
        }
        for bad in ["", "-", "1.", ".5", "1e", "nul", "+1"] {
            let mut cursor = Cursor::new(bad);
            assert!(cursor.literal().is_err() || cursor.at < bad.len(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn strings_end_where_serde_says(text in any::<String>(), tail in "[ -~]{0,12}") {
            let quoted = serde_json::to_string(&text).unwrap();
            let whole = format!("{quoted}{tail}");
            let mut cursor = Cursor::new(&whole);
            let read = cursor.string().unwrap();
            prop_assert_eq!(cursor.at, quoted.len());
            let decoded = read.decoded().unwrap();
            prop_assert_eq!(decoded.as_ref(), text.as_str());
        }
    }
}
