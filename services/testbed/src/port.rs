//! Ports for servers that cannot be asked to choose one themselves. A port is free when asked and may be taken a moment
//! later: who starts a server on one tries again.

use anyhow::{Result, bail};
use std::{
    collections::HashSet,
    hash::{BuildHasher, RandomState},
    net::{Ipv4Addr, TcpListener},
    sync::{LazyLock, Mutex, PoisonError},
};

/// Where ports are chosen: below the ports that Linux (32768) and macOS (49152) give to outgoing connections. One of those
/// is soon taken by any client on the machine, and a server that restarts then finds its port occupied.
const RANGE: std::ops::Range<u16> = 16_384..32_768;
const TRIES: u32 = 1000;

/// Ports that this process has chosen already: several servers are laid out before the first one listens.
static CHOSEN: LazyLock<Mutex<HashSet<u16>>> = LazyLock::new(Mutex::default);

/// A port of 127.0.0.1 that nobody listens on now and that this process was not given before.
pub fn free_port() -> Result<u16> {
    let width = u64::from(RANGE.end - RANGE.start);
    for _ in 0..TRIES {
        // Every RandomState has keys of its own: test processes that run beside one another choose differently.
        let offset = RandomState::new().hash_one(()) % width;
        let port = RANGE.start + u16::try_from(offset)?;
        let new = CHOSEN.lock().unwrap_or_else(PoisonError::into_inner).insert(port);
        if new && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port of {RANGE:?} is free on 127.0.0.1")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test may panic
mod tests {
    use super::*;

    #[test]
    fn no_port_is_given_twice_and_none_is_of_those_that_clients_get() {
        let ports: HashSet<u16> = (0..500).map(|_| free_port().unwrap()).collect();
        assert_eq!(ports.len(), 500);
        assert!(ports.iter().all(|port| RANGE.contains(port)));
    }
}
