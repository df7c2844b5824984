//! A random sample of rows: the same on every machine for the same seed, without holding the others.
//!
//! A row's lot is SHA-256 of the seed, a line feed and the texts of its key columns joined by U+001F. The rows with the least
//! lots are drawn. Anybody can compute it again from the whole file.

use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Rows that are drawn.
pub(crate) struct Sample {
    most: usize,
    seed: String,
    key: Vec<usize>,
    drawn: BTreeMap<[u8; 32], (u64, Vec<Value>)>,
}

impl Sample {
    /// Draws at most `most`; `key` are the places of the key columns.
    pub(crate) fn new(most: usize, seed: &str, key: Vec<usize>) -> Self {
        Self { most, seed: seed.to_owned(), key, drawn: BTreeMap::new() }
    }

    /// A row and its place in the order of the report.
    pub(crate) fn row(&mut self, place: u64, row: &[Value]) {
        let lot = self.lot(row);
        if self.drawn.len() >= self.most && self.drawn.last_key_value().is_none_or(|(last, _)| *last <= lot) {
            return;
        }
        self.drawn.insert(lot, (place, row.to_vec()));
        if self.drawn.len() > self.most {
            self.drawn.pop_last();
        }
    }

    fn lot(&self, row: &[Value]) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.seed.as_bytes());
        hash.update(b"\n");
        for (n, at) in self.key.iter().enumerate() {
            if n > 0 {
                hash.update("\u{1f}".as_bytes());
            }
            hash.update(row.get(*at).map(crate::format::text).unwrap_or_default().as_bytes());
        }
        hash.finalize().into()
    }

    /// The drawn rows in the report's order, with their places.
    pub(crate) fn rows(self) -> Vec<(u64, Vec<Value>)> {
        let mut rows: Vec<_> = self.drawn.into_values().collect();
        rows.sort_by_key(|row| row.0);
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(seed: &str, order: impl Iterator<Item = u64>) -> Vec<u64> {
        let mut sample = Sample::new(3, seed, vec![0]);
        for n in order {
            sample.row(n, &[Value::from(format!("row {n}"))]);
        }
        sample.rows().into_iter().map(|row| row.0).collect()
    }

    #[test]
    fn a_seed_draws_the_same_rows_in_any_order() {
        assert_eq!(drawn("4711", 0..100), drawn("4711", (0..100).rev()));
        assert_ne!(drawn("4711", 0..100), drawn("4712", 0..100));
        assert_eq!(drawn("1", 0..2), [0, 1]);
        // Computed with Python's hashlib: sorted(range(100), key=lambda n: sha256(f"4711\nrow {n}".encode()).digest())[:3]
        assert_eq!(drawn("4711", 0..100), LOTS);
    }

    const LOTS: [u64; 3] = [24, 58, 74];
}
