//! What stands for a key where the key itself would be most of the memory.

use crate::config::Config;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Enough of a keyed hash that no two of a thousand million rows meet.
pub(crate) type Place = [u8; 12];

/// Makes places. Begun with a secret that only this deployment has: nobody can make two keys meet, and a checkpoint's are found again.
pub(crate) struct Places([DefaultHasher; 2]);

impl Places {
    pub(crate) fn new(config: &Config) -> Self {
        let secret = config.key.mark("correlation keys", &[&config.tenant]);
        Self([0, 1].map(|half| {
            let mut hasher = DefaultHasher::new();
            hasher.write(secret.as_bytes());
            hasher.write_u8(half);
            hasher
        }))
    }

    pub(crate) fn of(&self, key: &impl Hash) -> Place {
        let mut place = [0; 12];
        for (part, begun) in place.chunks_mut(8).zip(&self.0) {
            let mut hasher = begun.clone();
            key.hash(&mut hasher);
            part.copy_from_slice(&hasher.finish().to_le_bytes()[..part.len()]);
        }
        place
    }
}
