//! Commitment and chain: what ties every record to all before it, provable without our code and without the bodies.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// Chain value before the first record of a stream.
pub const START: [u8; 32] = [0; 32];

/// HMAC-SHA-256(salt, body): binds the body without revealing it once salt and body are erased.
pub fn commitment(salt: &[u8; 16], body: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(salt).expect("HMAC takes a key of any length");
    mac.update(body);
    mac.finalize().into_bytes().into()
}

/// What one record adds to the chain.
#[derive(Clone, Copy, Debug)]
pub struct Link<'a> {
    /// Stream of the record.
    pub stream: &'a [u8; 16],
    /// Its number in the stream.
    pub seq: u64,
    /// Its header.
    pub header: &'a [u8],
    /// Its commitment.
    pub commitment: &'a [u8; 32],
}

/// SHA-256(previous || stream || seq || length of header || header || commitment), numbers big-endian (u64, u32).
pub fn link(previous: &[u8; 32], link: Link<'_>) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(previous);
    hash.update(link.stream);
    hash.update(link.seq.to_be_bytes());
    hash.update((link.header.len() as u32).to_be_bytes());
    hash.update(link.header);
    hash.update(link.commitment);
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values computed with Python's hashlib and hmac, so that the documented formula and this code agree.
    #[test]
    fn agrees_with_an_independent_computation() {
        let commitment = commitment(&[7; 16], b"body");
        assert_eq!(hex::encode(commitment), "447e09cb895550e0f1d549a115ce63a99e80aaa630417e7fa1694729afb81621");
        let value = link(&START, Link { stream: &[1; 16], seq: 5, header: b"head", commitment: &commitment });
        assert_eq!(hex::encode(value), "6668c2e5286d2ca9537ed71047f2cb9a2dadf72f2fc32c2537f4f0de7c239064");
    }
}
