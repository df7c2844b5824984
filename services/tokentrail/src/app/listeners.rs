//! Sockets and TLS: bound here or handed over by systemd, so that a restart refuses no connection.

use crate::config::Config;
use anyhow::{Context, bail};
use collector::server::{adopt, tls::Certificate};
use std::{
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::sync::watch;

/// How often the certificate's files are looked at.
const RELOAD: Duration = Duration::from_secs(10);

/// Bound sockets: intake first, admin second (also the order of `ListenStream=` in a systemd socket unit).
pub struct Listeners {
    intake: TcpListener,
    admin: TcpListener,
}

impl Listeners {
    /// Takes what systemd hands over, binds the rest.
    pub fn bind(config: &Config) -> anyhow::Result<Self> {
        let mut handed = listenfd::ListenFd::from_env();
        let mut listener = |place: usize, address: SocketAddr, key: &str| {
            if place < handed.len()
                && let Some(listener) =
                    handed.take_tcp_listener(place).context("the socket handed over is no TCP listener")?
            {
                return Ok::<_, anyhow::Error>(listener);
            }
            TcpListener::bind(address)
                .with_context(|| format!("cannot listen on {address} ({key}); is another Tokentrail running?"))
        };
        Ok(Self {
            intake: listener(0, config.listen.intake, "listen.intake")?,
            admin: listener(1, config.listen.admin, "listen.admin")?,
        })
    }

    /// Where they really listen.
    pub fn addresses(&self) -> anyhow::Result<(SocketAddr, SocketAddr)> {
        Ok((self.intake.local_addr()?, self.admin.local_addr()?))
    }

    /// Hands them to the runtime.
    pub fn adopt(self) -> anyhow::Result<(tokio::net::TcpListener, tokio::net::TcpListener)> {
        Ok((adopt(self.intake)?, adopt(self.admin)?))
    }
}

struct Files {
    chain: PathBuf,
    key: PathBuf,
}

impl Files {
    fn read(&self) -> anyhow::Result<(Vec<u8>, Vec<u8>)> {
        let read = |path: &PathBuf| std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
        Ok((read(&self.chain)?, read(&self.key)?))
    }

    fn changed(&self) -> Option<(SystemTime, SystemTime)> {
        let time = |path: &PathBuf| std::fs::metadata(path).and_then(|meta| meta.modified()).ok();
        Some((time(&self.chain)?, time(&self.key)?))
    }
}

/// TLS of the intake, if the config says so. The files are read again when they change; a broken pair leaves the old one.
pub fn tls(config: &Config, mut stop: watch::Receiver<bool>) -> anyhow::Result<Option<Arc<rustls::ServerConfig>>> {
    let (chain, key) = match (&config.listen.tls_certificate, &config.listen.tls_key) {
        (Some(chain), Some(key)) => (chain.clone(), key.clone()),
        (None, None) => return Ok(None),
        _ => bail!("listen.tls_certificate and listen.tls_key belong together"),
    };
    let files = Files { chain, key };
    let (chain_pem, key_pem) = files.read()?;
    let certificate = Certificate::new(&chain_pem, &key_pem)?;
    let server = certificate.server_config()?;
    tokio::spawn(async move {
        let mut seen = files.changed();
        loop {
            tokio::select! {
                () = tokio::time::sleep(RELOAD) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
            let now = files.changed();
            if now == seen || now.is_none() {
                continue;
            }
            seen = now;
            let reloaded = files.read().and_then(|(chain, key)| Ok(certificate.reload(&chain, &key)?));
            match reloaded {
                Ok(()) => tracing::info!("The certificate was read again."),
                Err(error) => tracing::error!(
                    error = format!("{error:#}"),
                    "The new certificate cannot be used; the old one stays."
                ),
            }
        }
    });
    Ok(Some(server))
}
