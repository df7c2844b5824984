//! Free ports. A port is free when asked and may be taken a moment later: who starts a server on one tries again.

use anyhow::{Context, Result};
use std::net::{Ipv4Addr, TcpListener};

/// A port of 127.0.0.1 that nobody listens on now.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot bind a port of 127.0.0.1")?;
    Ok(listener.local_addr().context("cannot read the bound port")?.port())
}
