//! The key of a delivery: equal when the same bytes of the same place are sent again, also by another process, and by
//! nothing else. The collector keeps it with each receipt, so that a repeat is told from a second, equal delivery.

use sha2::{Digest, Sha256};

/// Bytes of the hash that are sent.
const KEY_BYTES: usize = 16;

/// The header and its value. `place` says where the body was read: the file and how far into it.
pub fn header(sender: &str, place: &[&[u8]], body: &[u8]) -> (&'static str, String) {
    let mut hash = Sha256::new();
    for part in place.iter().chain([&body]) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    (collector::http::DELIVERY_HEADER, format!("{sender}-{}", hex::encode(&hash.finalize()[..KEY_BYTES])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_bytes_of_the_same_place_have_the_same_key() {
        let key = |place: &[&[u8]], body: &[u8]| header("send", place, body).1;
        assert_eq!(key(&[b"a", b"1"], b"x"), key(&[b"a", b"1"], b"x"));
        let others =
            [key(&[b"a", b"1"], b"y"), key(&[b"a", b"2"], b"x"), key(&[b"a1", b""], b"x"), key(&[b"a"], b"1x")];
        assert!(others.iter().all(|other| *other != key(&[b"a", b"1"], b"x")));
    }
}
