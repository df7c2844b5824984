//! The allocator of all Rust code, and how soon it gives back what is free.

#![allow(unsafe_code)]

use std::ffi::{c_int, c_long};

// As in mimalloc.h; the crate that brings it has no safe name for them.
unsafe extern "C" {
    fn mi_option_set(option: c_int, value: c_long);
    #[cfg(test)]
    fn mi_option_get(option: c_int) -> c_long;
}

/// Events are made of very many small strings: the system's allocator takes a quarter of the pipeline's time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay`.
const PURGE_DELAY: c_int = 15;
/// Free pages go back to the system after this time, milliseconds, instead of a second: a processor that catches up is a quarter smaller
/// by it, and a twelfth slower (docs/performance.md).
const SOON: c_long = 50;

/// To be called before there is a second thread. What the environment says of it holds.
pub fn give_back_soon() {
    if std::env::var_os("MIMALLOC_PURGE_DELAY").is_none() {
        // SAFETY: it sets one number of the allocator, and no other thread is there to read it meanwhile.
        unsafe { mi_option_set(PURGE_DELAY, SOON) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_is_the_one_that_is_meant() {
        // SAFETY: reads numbers.
        let options = unsafe { [PURGE_DELAY, PURGE_DELAY - 1, PURGE_DELAY + 1].map(|one| mi_option_get(one)) };
        assert_eq!(options, [1_000, 1, 0], "defaults of the pinned mimalloc: purge_delay and its neighbours");
    }
}
