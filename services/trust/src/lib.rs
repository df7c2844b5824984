//! Which servers are trusted when we speak TLS to them: those that the system trusts and, where config names one, a CA of
//! the operator's own. One notion for ClickHouse, a realm's keys, pull, heartbeats and the collector; and the same words
//! for why a certificate is refused. There is no switch that turns the check off.

#![forbid(unsafe_code)]

mod file;
mod refused;

pub use refused::Refused;

use file::CaFile;

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};
use std::{
    fmt, io,
    path::Path,
    sync::{Arc, OnceLock},
};

/// Why own certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// Not one certificate in the text.
    #[error("it holds no certificate in PEM form")]
    Empty,
    /// A certificate that cannot be read or cannot sign.
    #[error("it holds a certificate that cannot be used")]
    Unusable(#[source] rustls::Error),
    /// A file that cannot be read.
    #[error("it cannot be read")]
    Unreadable(#[source] io::Error),
    /// Not PEM.
    #[error("it is no PEM text")]
    Pem(#[source] rustls::pki_types::pem::Error),
    /// TLS cannot be set up.
    #[error("the TLS of this program cannot be set up")]
    Setup(#[source] rustls::Error),
    /// An HTTP client cannot be made.
    #[error("an HTTP client cannot be made")]
    Http(#[source] reqwest::Error),
}

/// Whom to trust.
#[derive(Clone, Default)]
pub struct Trust {
    own: Own,
}

/// What an operator adds to the system's CAs.
#[derive(Clone, Default)]
enum Own {
    #[default]
    Nothing,
    Certificates(Vec<CertificateDer<'static>>),
    File(Arc<CaFile>),
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own: &dyn fmt::Debug = match &self.own {
            Own::Nothing => &0,
            Own::Certificates(own) => &own.len(),
            Own::File(file) => file,
        };
        f.debug_struct("Trust").field("own", own).finish()
    }
}

impl Trust {
    /// The system's CAs alone (`SSL_CERT_FILE` and `SSL_CERT_DIR` name others).
    pub fn system() -> Self {
        Self::default()
    }

    /// The system's and these: one or more certificates of CAs, PEM.
    pub fn with_own(pem: &[u8]) -> Result<Self, TrustError> {
        let own = certificates(pem)?;
        add(&own, &mut RootCertStore::empty())?;
        Ok(Self { own: Own::Certificates(own) })
    }

    /// The system's and those of a file, which is looked at anew whenever a server is met: CAs that are exchanged in it
    /// count from then on, and while it holds nothing of use, those before do.
    pub fn with_file(path: &Path) -> Result<Self, TrustError> {
        Ok(Self { own: Own::File(Arc::new(CaFile::open(path)?)) })
    }

    /// TLS as a client; the protocols to offer are left to whoever uses it. A machine without any CA is no error here: its
    /// servers are then refused one by one.
    pub fn client_config(&self) -> Result<ClientConfig, TrustError> {
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(TrustError::Setup)?;
        Ok(match &self.own {
            Own::Nothing => builder.with_root_certificates(system().clone()),
            Own::Certificates(own) => builder.with_root_certificates(with(own)?),
            // Not less strict: it hands each question to the usual verifier, made from what the file holds now.
            Own::File(file) => builder.dangerous().with_custom_certificate_verifier(file.clone()),
        }
        .with_no_client_auth())
    }

    /// An HTTP client to be finished by `more`. It follows no redirect: that would carry credentials to wherever it points.
    pub fn http(
        &self,
        more: impl FnOnce(reqwest::ClientBuilder) -> reqwest::ClientBuilder,
    ) -> Result<reqwest::Client, TrustError> {
        let mut tls = self.client_config()?;
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let builder = reqwest::Client::builder().tls_backend_preconfigured(tls);
        more(builder.redirect(reqwest::redirect::Policy::none())).build().map_err(TrustError::Http)
    }
}

/// At least one.
fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let own = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>().map_err(TrustError::Pem)?;
    if own.is_empty() { Err(TrustError::Empty) } else { Ok(own) }
}

fn add(own: &[CertificateDer<'static>], roots: &mut RootCertStore) -> Result<(), TrustError> {
    own.iter().try_for_each(|one| roots.add(one.clone()).map_err(TrustError::Unusable))
}

/// The system's CAs and these.
fn with(own: &[CertificateDer<'static>]) -> Result<RootCertStore, TrustError> {
    let mut roots = system().clone();
    add(own, &mut roots)?;
    Ok(roots)
}

/// The system's CAs, read once.
fn system() -> &'static RootCertStore {
    static SYSTEM: OnceLock<RootCertStore> = OnceLock::new();
    SYSTEM.get_or_init(|| {
        let mut roots = RootCertStore::empty();
        // What the system holds and cannot be read stands in nobody's way.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        roots
    })
}
