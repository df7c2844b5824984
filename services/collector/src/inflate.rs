//! Inflating of proven bodies with a cap on what comes out. Never holds more than the cap.

use flate2::read::MultiGzDecoder;
use std::io::Read;

/// Content codings that are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// As it is.
    Identity,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

impl Coding {
    /// Reads a `Content-Encoding` value; none if it is not taken.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        match () {
            () if text.is_empty() || text.eq_ignore_ascii_case("identity") => Some(Self::Identity),
            () if text.eq_ignore_ascii_case("gzip") || text.eq_ignore_ascii_case("x-gzip") => Some(Self::Gzip),
            () if text.eq_ignore_ascii_case("zstd") => Some(Self::Zstd),
            () => None,
        }
    }
}

/// Largest zstd window that is taken: 2^23 bytes, as RFC 8878 recommends for decoders.
const ZSTD_WINDOW_LOG: u32 = 23;

/// Why a body could not be inflated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InflateError {
    /// More than the cap comes out.
    #[error("the inflated body is too large")]
    TooLarge,
    /// Not of the coding that it names.
    #[error("the body is not of its content encoding")]
    Broken,
}

/// Inflates `bytes` to at most `most` bytes. Blocking: large bodies belong on a blocking thread.
pub fn inflate(bytes: &[u8], coding: Coding, most: usize) -> Result<Vec<u8>, InflateError> {
    match coding {
        Coding::Identity if bytes.len() > most => Err(InflateError::TooLarge),
        Coding::Identity => Ok(bytes.to_vec()),
        Coding::Gzip => drain(MultiGzDecoder::new(bytes), most),
        Coding::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(bytes).map_err(|_| InflateError::Broken)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(|_| InflateError::Broken)?;
            drain(decoder, most)
        }
    }
}

fn drain(reader: impl Read, most: usize) -> Result<Vec<u8>, InflateError> {
    let mut out = Vec::new();
    let mut capped = reader.take(most as u64 + 1);
    capped.read_to_end(&mut out).map_err(|_| InflateError::Broken)?;
    if out.len() > most { Err(InflateError::TooLarge) } else { Ok(out) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn both_codings_come_back_and_bombs_do_not() {
        let text = b"line\n".repeat(100);
        let zstd = zstd::encode_all(text.as_slice(), 3).unwrap();
        assert_eq!(inflate(&gzip(&text), Coding::Gzip, 500).unwrap(), text);
        assert_eq!(inflate(&zstd, Coding::Zstd, 500).unwrap(), text);
        assert_eq!(inflate(&gzip(&text), Coding::Gzip, 499), Err(InflateError::TooLarge));
        assert_eq!(inflate(&zstd, Coding::Zstd, 499), Err(InflateError::TooLarge));
        let bomb = gzip(&vec![0; 32 << 20]);
        assert!(bomb.len() < 64 << 10);
        assert_eq!(inflate(&bomb, Coding::Gzip, 1 << 20), Err(InflateError::TooLarge));
    }

    #[test]
    fn broken_bodies_are_told() {
        let cut = &gzip(b"hello hello hello")[..12];
        assert_eq!(inflate(cut, Coding::Gzip, 100), Err(InflateError::Broken));
        assert_eq!(inflate(b"plain", Coding::Zstd, 100), Err(InflateError::Broken));
        assert_eq!(Coding::parse("br"), None);
    }
}
