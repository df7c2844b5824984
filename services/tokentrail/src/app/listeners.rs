//! Sockets and TLS: bound here or handed over by systemd, so that a restart refuses no connection.

use super::Role;
use crate::config::Config;
use anyhow::{Context, bail};
use collector::server::{
    adopt,
    client::{ClientAuthority, ClientTrust},
    tls::Certificate,
};
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
    revoked: Option<PathBuf>,
}

/// What the files hold, PEM.
struct Pem {
    chain: Vec<u8>,
    key: Vec<u8>,
    clients: Option<Vec<u8>>,
    revoked: Option<Vec<u8>>,
}

impl Files {
    fn of(config: &Config) -> anyhow::Result<Option<Self>> {
        let listen = &config.listen;
        match (listen.tls_certificate.clone(), listen.tls_key.clone()) {
            (Some(chain), Some(key)) => {
                let (clients, revoked) = (listen.tls_client_ca.clone(), listen.tls_client_crl.clone());
                Ok(Some(Self { chain, key, clients, revoked }))
            }
            (None, None) => Ok(None),
            _ => bail!("listen.tls_certificate and listen.tls_key belong together"),
        }
    }

    fn read(&self) -> anyhow::Result<Pem> {
        let read = |key: &str, path: &PathBuf| {
            std::fs::read(path).with_context(|| format!("cannot read listen.{key} {}", path.display()))
        };
        let some = |key: &str, path: &Option<PathBuf>| path.as_ref().map(|path| read(key, path)).transpose();
        Ok(Pem {
            chain: read("tls_certificate", &self.chain)?,
            key: read("tls_key", &self.key)?,
            clients: some("tls_client_ca", &self.clients)?,
            revoked: some("tls_client_crl", &self.revoked)?,
        })
    }

    /// When each of them changed last; none while one is not there.
    fn changed(&self) -> Option<Vec<SystemTime>> {
        let time = |path: &PathBuf| std::fs::metadata(path).and_then(|meta| meta.modified()).ok();
        let files = [Some(&self.chain), Some(&self.key), self.clients.as_ref(), self.revoked.as_ref()];
        files.into_iter().flatten().map(time).collect()
    }
}

impl Pem {
    fn clients(&self) -> Option<ClientTrust<'_>> {
        let ca_pem = self.clients.as_deref()?;
        Some(ClientTrust { ca_pem, revoked_pem: self.revoked.as_deref() })
    }
}

/// TLS, and the CAs of clients if they may prove themselves by certificate.
pub type Tls = (Option<Arc<rustls::ServerConfig>>, Option<Arc<ClientAuthority>>);

/// TLS of the intake, if the config says so. The files are read again when they change; what cannot be used leaves the old.
pub fn tls(config: &Config, stop: watch::Receiver<bool>) -> anyhow::Result<Tls> {
    let Some(files) = Files::of(config)? else { return Ok((None, None)) };
    let pem = files.read()?;
    let certificate = Certificate::new(&pem.chain, &pem.key);
    let certificate = certificate.context("listen.tls_certificate and listen.tls_key cannot be used")?;
    let clients = pem.clients().map(ClientAuthority::new).transpose();
    let clients = clients.context("listen.tls_client_ca or listen.tls_client_crl cannot be used")?;
    let server = certificate.server_config_with(clients.clone())?;
    tokio::spawn(Reload { files, certificate, clients: clients.clone() }.run(stop));
    Ok((Some(server), clients))
}

/// Watches the files.
struct Reload {
    files: Files,
    certificate: Arc<Certificate>,
    clients: Option<Arc<ClientAuthority>>,
}

impl Reload {
    async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut seen = self.files.changed();
        loop {
            tokio::select! {
                () = tokio::time::sleep(RELOAD) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
            let now = self.files.changed();
            if now == seen || now.is_none() {
                continue;
            }
            seen = now;
            match self.read() {
                Ok(()) => tracing::info!("The certificates of the intake were read again."),
                Err(error) => tracing::error!(
                    error = format!("{error:#}"),
                    "Changed certificates of the intake cannot be used; the old ones stay."
                ),
            }
        }
    }

    /// Each part by itself: a broken list must not keep a renewed certificate out.
    fn read(&self) -> anyhow::Result<()> {
        let pem = self.files.read()?;
        let own = self.certificate.reload(&pem.chain, &pem.key).context("listen.tls_certificate and listen.tls_key");
        let others = match (&self.clients, pem.clients()) {
            (Some(authority), Some(trust)) => {
                authority.reload(trust).context("listen.tls_client_ca and listen.tls_client_crl")
            }
            _ => Ok(()),
        };
        own.and(others)
    }
}
