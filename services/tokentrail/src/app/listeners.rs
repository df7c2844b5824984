//! Sockets and TLS: bound here or handed over by systemd, so that a restart refuses no connection.

use super::Role;
use crate::config::Config;
use anyhow::{Context, bail};
use collector::server::{adopt, client::ClientAuthority, tls::Certificate};
use std::{
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::sync::watch;

/// How often the certificate's files are looked at.
const RELOAD: Duration = Duration::from_secs(10);

/// Bound sockets: intake first, admin second (also the order of `ListenStream=` in a systemd socket unit). A process that
/// takes nothing in has no intake; its admin listener is the first.
pub struct Listeners {
    intake: Option<TcpListener>,
    admin: TcpListener,
}

/// Where a process listens.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// Intake, if it takes receipts in.
    pub intake: Option<SocketAddr>,
    /// Admin listener.
    pub admin: SocketAddr,
}

impl Listeners {
    /// Takes what systemd hands over, binds the rest.
    pub fn bind(config: &Config, role: Role) -> anyhow::Result<Self> {
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
        let takes = role.takes();
        let intake = takes.then(|| listener(0, config.listen.intake, "listen.intake")).transpose()?;
        Ok(Self { intake, admin: listener(usize::from(takes), config.listen.admin, "listen.admin")? })
    }

    /// Where they really listen.
    pub fn addresses(&self) -> anyhow::Result<Addresses> {
        let intake = self.intake.as_ref().map(TcpListener::local_addr).transpose()?;
        Ok(Addresses { intake, admin: self.admin.local_addr()? })
    }

    /// Hands them to the runtime.
    pub fn adopt(self) -> anyhow::Result<(Option<tokio::net::TcpListener>, tokio::net::TcpListener)> {
        Ok((self.intake.map(adopt).transpose()?, adopt(self.admin)?))
    }
}

struct Files {
    chain: PathBuf,
    key: PathBuf,
    clients: Option<PathBuf>,
}

/// What the files hold, PEM.
struct Pem {
    chain: Vec<u8>,
    key: Vec<u8>,
    clients: Option<Vec<u8>>,
}

impl Files {
    fn read(&self) -> anyhow::Result<Pem> {
        let read = |path: &PathBuf| std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
        let clients = self.clients.as_ref().map(read).transpose()?;
        Ok(Pem { chain: read(&self.chain)?, key: read(&self.key)?, clients })
    }

    fn changed(&self) -> Option<Vec<SystemTime>> {
        let time = |path: &PathBuf| std::fs::metadata(path).and_then(|meta| meta.modified()).ok();
        [Some(&self.chain), Some(&self.key), self.clients.as_ref()].into_iter().flatten().map(time).collect()
    }
}

/// TLS, and the CAs of clients if they may prove themselves by certificate.
pub type Tls = (Option<Arc<rustls::ServerConfig>>, Option<Arc<ClientAuthority>>);

/// TLS of the intake, if the config says so. The files are read again when they change; a broken pair leaves the old one.
pub fn tls(config: &Config, mut stop: watch::Receiver<bool>) -> anyhow::Result<Tls> {
    let (chain, key) = match (&config.listen.tls_certificate, &config.listen.tls_key) {
        (Some(chain), Some(key)) => (chain.clone(), key.clone()),
        (None, None) => return Ok((None, None)),
        _ => bail!("listen.tls_certificate and listen.tls_key belong together"),
    };
    let files = Files { chain, key, clients: config.listen.tls_client_ca.clone() };
    let pem = files.read()?;
    let certificate = Certificate::new(&pem.chain, &pem.key)?;
    let clients = pem.clients.as_deref().map(ClientAuthority::new).transpose();
    let clients = clients.context("listen.tls_client_ca holds no certificate of a CA that can be used")?;
    let server = certificate.server_config_with(clients.clone())?;
    let authority = clients.clone();
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
            let reloaded = files.read().and_then(|pem| {
                certificate.reload(&pem.chain, &pem.key)?;
                if let (Some(authority), Some(clients)) = (&authority, pem.clients) {
                    authority.reload(&clients)?;
                }
                Ok(())
            });
            match reloaded {
                Ok(()) => tracing::info!("The certificate was read again."),
                Err(error) => tracing::error!(
                    error = format!("{error:#}"),
                    "The new certificate cannot be used; the old one stays."
                ),
            }
        }
    });
    Ok((Some(server), clients))
}
